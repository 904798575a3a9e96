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
//! | [`literal`] | how is a sparse vector written as text |
//! | [`wire`] | how is a sparse vector sent as bytes |
//! | [`accumulate`] | what is the sum or mean of sparse vectors |
//! | [`scale`] | how far does each dimension spread |
//! | [`distinct`] | which rows are the same vector |
//! | [`neighbors`] | which rows are near a vector, exactly and without looking at all of them |
//! | [`dbscan`] | which rows are dense together, at one distance |
#![forbid(unsafe_code)]

pub mod accumulate;
pub mod control;
pub mod dbscan;
pub mod distinct;
pub mod error;
pub mod limits;
pub mod literal;
pub mod neighbors;
pub mod pool;
pub mod scale;
pub mod sparse;
pub mod wire;

pub use error::{Error, Result};
