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
//! | [`options`] | what can be set, and what is refused |
//! | [`pattern`] | what do Python's regular expressions mean here |
//! | [`mask`] | what of a message varies without meaning anything |
//! | [`tokenize`] | what are its words |
//! | [`ngram`] | how are terms counted without strings |
//! | [`tfidf`] | how does a message become a vector |
//! | [`artifact`] | how are models kept |
#![forbid(unsafe_code)]

pub mod artifact;
pub mod control;
pub mod error;
pub mod limits;
pub mod mask;
pub mod ngram;
pub mod options;
pub mod pattern;
pub mod sparse;
pub mod stop_words;
pub mod tfidf;
pub mod tokenize;

pub use error::{Error, Result};
