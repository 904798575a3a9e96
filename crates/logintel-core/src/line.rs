//! A log line as the engine sees it.

use crate::config::{Column, Micros};

/// What is known of a log line; no part but the message is needed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Line<'a> {
    /// What is vectorised.
    pub message: &'a str,
    /// When it happened.
    pub ts: Option<Micros>,
    /// How grave its writer thinks it is.
    pub level: Option<&'a str>,
    /// The part of the system that wrote it.
    pub component: Option<&'a str>,
    /// Where that runs.
    pub source: Option<&'a str>,
}

impl<'a> Line<'a> {
    /// A message, and a level where there is one.
    pub fn new(message: &'a str, level: Option<&'a str>) -> Self {
        Line { message, level, ..Default::default() }
    }

    /// What stands in a column.
    pub fn value(&self, column: Column) -> Option<&'a str> {
        match column {
            Column::Component => self.component,
            Column::Level => self.level,
            Column::Source => self.source,
        }
    }
}
