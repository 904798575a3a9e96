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
//! | [`options`] | what can be set, and what is refused |
//! | [`pattern`] | what do Python's regular expressions mean here |
//! | [`mask`] | what of a message varies without meaning anything |
//! | [`tokenize`] | what are its words |
//! | [`sparse`] | what is a sparse vector, and what is near what |
//! | [`literal`] | how is a sparse vector written as text |
//! | [`wire`] | how is a sparse vector sent as bytes |
//! | [`accumulate`] | what is the sum or mean of sparse vectors |
//! | [`artifact`] | how are models kept |
//! | [`table`] | how are words looked up without waiting for memory |
//! | [`vocabulary`] | how are terms kept in order, as words and numbers |
//! | [`ngram`] | how are terms told without strings |
//! | `lookup` | how are the words of a message looked up |
//! | [`counts`] | how often does each term occur |
//! | [`tfidf`] | what is kept of the counts |
//! | [`vectorizer`] | how does a message become a vector |
//! | [`scale`] | how far does each dimension spread |
//! | [`distinct`] | which rows are the same vector |
//! | [`neighbors`] | which rows are near a vector, exactly and without looking at all of them |
//! | [`dbscan`] | which rows are dense together, at one distance |
//! | [`hdbscan`] | which rows are dense together, at whatever distance suits them |
//! | [`template`] | which lines were written by one statement of a program |
//! | [`marks`] | which templates has a person said are ordinary |
//! | [`config`] | what can be set for a detector |
//! | [`line`] | what is known of a log line |
//! | [`reading`] | what does a shipper's number or tag say |
//! | [`severity`] | what does a level mean |
//! | [`calibration`] | from which strangeness on is a row flagged |
//! | [`profile`] | what is ordinary for one component, one level, one source |
//! | [`reason`] | what can be strange about a line or a session |
//! | [`session`] | which whole sessions are ordinary, and how strange is one |
//! | [`rates`] | how often do things happen, and when is that too often or too seldom |
//! | [`baseline`] | what is ordinary, learnt from history |
//! | `recent` | which template is a message of that came a moment ago |
//! | [`detect`] | how strange is a line, and why |
//! | [`drift`] | how far has what comes in moved from what training saw, and may a newer model take over |
//! | [`feedback`] | does what people have marked overrule a judgement |
//! | [`suppression`] | which anomalies and lines does a rule say are not worth a look, or not worth learning |
//! | [`incident`] | which anomalies belong together, and how grave are they |
//! | [`server_log`] | which lines has PostgreSQL written to its own log |
//! | [`origin`] | where did an incident most likely begin |
//! | [`recurrence`] | when does an incident come back, and how long does it stay open |
#![forbid(unsafe_code)]

pub mod accumulate;
pub mod artifact;
pub mod baseline;
pub mod calibration;
pub mod config;
pub mod control;
pub mod counts;
pub mod dbscan;
pub mod detect;
pub mod distinct;
pub mod drift;
pub mod error;
pub mod feedback;
pub mod hdbscan;
pub mod incident;
pub mod limits;
pub mod line;
pub mod literal;
mod lookup;
pub mod marks;
pub mod mask;
pub mod neighbors;
pub mod ngram;
pub mod options;
pub mod origin;
pub mod pattern;
pub mod pool;
pub mod profile;
pub mod rates;
pub mod reading;
pub mod reason;
mod recent;
pub mod recurrence;
pub mod scale;
pub mod server_log;
pub mod session;
mod sets;
pub mod severity;
mod sort;
pub mod sparse;
pub mod stop_words;
pub mod suppression;
pub mod table;
pub mod template;
pub mod tfidf;
pub mod tokenize;
pub mod vectorizer;
pub mod vocabulary;
pub mod wire;

pub use error::{Error, Result};
