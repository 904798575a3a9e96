//! Writing anomalies.
use logintel_core::detect::Judgement;
use pgrx::prelude::*;

use super::Detector;
use super::extract::Line;
use crate::security::RunAs;
use crate::spi::{Connection, arg, text_arg};
use crate::subtransaction::Failure;
use crate::text::Text;

/// Longest message or template that is copied, bytes.
const MAX_MESSAGE: usize = 8 << 10;
/// Longest source, component and level that are copied, bytes: they are keys of the views, whose indexes take 2704.
const MAX_LABEL: usize = 256;
/// Anomalies written by one statement.
const BATCH: usize = 1000;

/// Collects anomalies and writes them many at a time.
#[derive(Debug)]
pub struct Recorder<'a> {
    detector: &'a Detector,
    batch: Batch,
}

/// Columns of the anomalies that wait.
#[derive(Debug, Default)]
struct Batch {
    ts: Vec<Option<TimestampWithTimeZone>>,
    source: Vec<Option<Text>>,
    component: Vec<Option<Text>>,
    level: Vec<Option<Text>>,
    message: Vec<Option<Text>>,
    template: Vec<Text>,
    cluster: Vec<Option<i32>>,
    score: Vec<f64>,
    reason: Vec<String>,
}

impl<'a> Recorder<'a> {
    /// For a detector's anomalies.
    pub fn new(detector: &'a Detector) -> Self {
        Recorder { detector, batch: Batch::default() }
    }

    /// Takes in a flagged line.
    pub fn add(&mut self, line: &Line, judgement: Judgement) {
        let label = |text: &Option<String>| text.as_deref().map(|text| Text(cut(text, MAX_LABEL)));
        let batch = &mut self.batch;
        batch.ts.push(line.ts);
        batch.source.push(label(&line.source));
        batch.component.push(label(&line.component));
        batch.level.push(label(&line.level));
        batch.message.push(line.message.as_deref().map(|text| Text(copied(text))));
        batch.template.push(Text(copied(&judgement.template)));
        batch.cluster.push(judgement.cluster.map(|cluster| cluster as i32));
        batch.score.push(judgement.score);
        batch.reason.push(judgement.reason.to_string());
        if batch.ts.len() >= BATCH {
            self.write();
        }
    }

    /// Writes what waits, with the rights of the extension's owner.
    pub fn write(&mut self) {
        let batch = std::mem::take(&mut self.batch);
        if batch.ts.is_empty() {
            return;
        }
        let _owner = RunAs::extension_owner();
        Connection::open().write(
            "INSERT INTO logintel.anomalies \
                 (detector, version, ts, source, component, level, message, template, cluster_id, anomaly_score, reason) \
             SELECT $1, $2, * FROM unnest($3, $4, $5, $6, $7, $8, $9, $10, $11)",
            &[
                text_arg(&self.detector.name),
                arg(self.detector.active.map(|active| active.version)),
                arg(batch.ts),
                arg(batch.source),
                arg(batch.component),
                arg(batch.level),
                arg(batch.message),
                arg(batch.template),
                arg(batch.cluster),
                arg(batch.score),
                arg(batch.reason),
            ],
        );
    }
}

/// The beginning of a text, at most that many bytes.
fn cut(text: &str, bytes: usize) -> String {
    text[..text.floor_char_boundary(bytes)].to_owned()
}

/// What is copied of a message or template.
pub fn copied(text: &str) -> String {
    cut(text, MAX_MESSAGE)
}

/// Whether a copied text may be the beginning of a longer one, whose last character may have had no room.
pub fn may_be_cut(text: &str) -> bool {
    text.len() + char::MAX_LEN_UTF8 > MAX_MESSAGE
}

/// Records that rows landed without being scored: an insert of its own, for which no writer waits.
pub fn record_failure(detector: &str, rows: u64, failure: &Failure) {
    let _owner = RunAs::extension_owner();
    Connection::open().write(
        "INSERT INTO logintel.scoring_failures (detector, rows, sqlstate, message) VALUES ($1, $2, $3, $4)",
        &[
            text_arg(detector),
            arg(rows as i64),
            arg(failure.sqlstate.as_str()),
            text_arg(&copied(&failure.message)),
        ],
    );
}
