//! The engine of logintel. Pure Rust: it knows nothing of PostgreSQL.
//!
//! Modules follow the way of the data, and each depends only on those before it:
//!
//! | module | question it answers |
//! |---|---|
//! | [`error`] | what can go wrong, as one enum |
//! | [`limits`] | how large may anything be |
//! | [`control`] | how is long work watched and stopped |
//! | [`pool`] | how is work spread over threads |
//! | [`sparse`] | what is a sparse vector, and what is near what |
//! | [`distinct`] | which rows are the same vector |
//! | [`neighbors`] | which rows are near a vector, exactly and without looking at all of them |
//! | [`dbscan`] | which rows are dense together, at one distance |
//! | [`hdbscan`] | which rows are dense together, at whatever distance suits them |
#![forbid(unsafe_code)]

pub mod control;
pub mod dbscan;
pub mod distinct;
pub mod error;
pub mod hdbscan;
pub mod limits;
pub mod neighbors;
pub mod pool;
mod sets;
pub mod sparse;

pub use error::{Error, Result};
