//! The report of logintel: what detectors found, as one HTML page that needs nothing else.
//!
//! A [`Report`] goes in, a page comes out: [`page`]. Nothing here knows of PostgreSQL, of a clock or of a file: the same report
//! is always the same page.
//!
//! | module | what it is for |
//! |---|---|
//! | [`text`] | text of a log as a page may show it: escaped, bounded, nothing in it invisible |
//! | [`time`] | moments and lengths of time, as people read them |
//! | [`report`] | what the page tells, as values |
//! | [`status`] | is all well, in one sentence |
//! | [`limits`] | how much of it the page shows, and how large it can be |
//! | [`chart`] | what has an axis |
//! | [`parts`], [`incidents`], [`detectors`], [`document`] | the page, part by part |
//! | [`assets`] | its style and its script, and what it lets a browser do |
//!
//! Three things hold by construction. No text of a log can be markup: what the page shows is [`text::Text`], or comes from this
//! crate. The page loads nothing and runs nothing but its own script: its Content-Security-Policy says so. And it has a
//! largest size, [`limits::PAGE_BYTES`], whatever goes in.
mod assets;
mod chart;
mod detectors;
mod document;
mod incidents;
pub mod limits;
mod parts;
pub mod report;
pub mod status;
pub mod text;
pub mod time;

pub use document::page;
pub use report::Report;
