//! The engine of logintel. Pure Rust: it knows nothing of PostgreSQL.
//!
//! Modules follow the way of the data, and each depends only on those before it:
//!
//! | module | question it answers |
//! |---|---|
//! | [`error`] | what can go wrong, as one enum |
//! | [`limits`] | how large may anything be |
//! | [`control`] | how is long work watched and stopped |
//! | [`sparse`] | what is a sparse vector, and what is near what |
#![forbid(unsafe_code)]

pub mod control;
pub mod error;
pub mod limits;
pub mod sparse;

pub use error::{Error, Result};
