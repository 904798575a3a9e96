//! Counting incidents from their anomalies, with what their detector knows.
use logintel_core::recurrence;
use pgrx::prelude::*;

use super::describe::{Anomalies, COLUMNS, Description, Training};
use super::hiding::hidden_by;
use super::life::TIMES_BACK;
use crate::detector::Detector;
use crate::spi::{Arg, Connection, arg};
use crate::step::with_snapshot;
use crate::suppression::{Effect, Suppressions};

/// What counting incidents of a detector needs.
pub struct Counting<'a> {
    pub spi: &'a Connection,
    pub detector: &'a Detector,
    training: Training,
    hiding: Option<Suppressions>,
}

impl<'a> Counting<'a> {
    /// Reads it.
    pub fn of(spi: &'a Connection, detector: &'a Detector) -> Self {
        let hiding = Suppressions::in_force(detector, Effect::Hide);
        Counting { spi, detector, training: Training::of(detector), hiding }
    }

    pub fn describe(&self, anomalies: Anomalies<'_>) -> Description {
        Description::of(self.spi, self.detector, &self.training, anomalies)
    }

    /// Values for [`COLUMNS`].
    pub fn values(&self, description: &Description, anomalies: Anomalies<'_>) -> Vec<Arg> {
        let by_rule = || with_snapshot(|| hidden_by(self.spi, self.hiding.as_ref()?, anomalies));
        description.values(self.detector, &self.training, by_rule)
    }

    /// Counts an incident from its anomalies. One that was resolved is open again if something came after its end, unless
    /// another of its kind is. One whose anomalies were replaced waits until all of them have come.
    pub fn recount(&self, incident: i64) {
        pgrx::check_for_interrupts!();
        let spi = self.spi;
        let rows = spi.repeat(
            &format!(
                "SELECT i.end_time, i.status = 'resolved' AND NOT EXISTS ( \
                            SELECT FROM logintel.incidents AS o \
                            WHERE o.detector = i.detector AND o.fingerprint = i.fingerprint AND o.status <> 'resolved'), \
                        {TIMES_BACK}, i.is_stale \
                 FROM logintel.incidents AS i WHERE i.incident_id = $1 FOR UPDATE OF i"
            ),
            &[arg(incident)],
        );
        // Gone, or waiting.
        if rows.len() == 0 || rows.must(0, 4) {
            return;
        }
        let (end, may_be_back): (TimestampWithTimeZone, bool) = (rows.must(0, 1), rows.must(0, 2));
        let times_back: i64 = rows.must(0, 3);
        let description = self.describe(Anomalies::Of(incident));
        let is_back = may_be_back && description.end > end;
        let is_held = is_back && times_back + 1 >= i64::from(recurrence::HELD_FROM);
        let mut args = vec![arg(incident), arg(is_back), arg(is_held)];
        args.extend(self.values(&description, Anomalies::Of(incident)));
        spi.repeat(
            &format!(
                "UPDATE logintel.incidents SET status = CASE WHEN $2 THEN 'open' ELSE status END, \
                     is_held = CASE WHEN $2 THEN $3 ELSE is_held END, uncounted = 0, updated_at = now(), ({}) = ROW ({}) WHERE incident_id = $1",
                COLUMNS.join(", "),
                parameters(4)
            ),
            &args,
        );
    }
}

/// So many parameters as [`COLUMNS`], the first of this number.
pub fn parameters(first: usize) -> String {
    let numbers = (first..first + COLUMNS.len()).map(|number| format!("${number}"));
    numbers.collect::<Vec<_>>().join(", ")
}
