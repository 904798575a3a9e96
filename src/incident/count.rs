//! Counting incidents from their anomalies, with what their detector knows.
use std::collections::HashSet;

use logintel_core::recurrence;
use pgrx::prelude::*;

use super::describe::{Description, Training, columns, describe, values};
use super::gather::Groups;
use super::life::TIMES_BACK;
use crate::detector::Detector;
use crate::spi::{Arg, Connection, arg};
use crate::suppression::{Effect, Suppressions};

/// Incidents that are written together, and anomalies that are read together, unless one incident alone has more: so much is
/// in memory at once.
pub const TOGETHER: usize = 1000;
const ANOMALIES: usize = 5000;

/// What counting incidents of a detector needs.
pub struct Counting<'a> {
    pub spi: &'a Connection,
    pub detector: &'a Detector,
    training: Training,
    hiding: Option<Suppressions>,
}

/// A stored incident.
struct Known {
    incident: i64,
    end: TimestampWithTimeZone,
    fingerprint: String,
    /// Whether it is resolved, and no other of its kind is open.
    may_be_back: bool,
    times_back: i64,
    events: usize,
}

impl<'a> Counting<'a> {
    /// Reads it.
    pub fn of(spi: &'a Connection, detector: &'a Detector) -> Self {
        let hiding = Suppressions::in_force(detector, Effect::Hide);
        Counting { spi, detector, training: Training::of(detector), hiding }
    }

    /// Describes groups, some of which are read together.
    pub fn describe(&self, groups: Groups<'_>, sizes: &[usize]) -> Vec<Option<Description>> {
        together(sizes).into_iter().flat_map(|some| self.describe_together(groups.some(some))).collect()
    }

    fn describe_together(&self, groups: Groups<'_>) -> Vec<Option<Description>> {
        pgrx::check_for_interrupts!();
        describe(self.spi, self.detector, &self.training, self.hiding.as_ref(), groups)
    }

    /// Values of the columns that descriptions fill.
    pub fn values(&self, described: &[&Description]) -> Vec<Arg> {
        values(described, self.detector.options.preset, &self.training)
    }

    /// Counts incidents from their anomalies. One that was resolved is open again if something came after its end, unless
    /// another of its kind is. One whose anomalies were replaced waits until all of them have come.
    pub fn recount(&self, incidents: &[i64]) {
        for some in incidents.chunks(TOGETHER) {
            let known = self.known(some);
            let sizes: Vec<usize> = known.iter().map(|one| one.events).collect();
            let mut opened = HashSet::new();
            for some in together(&sizes) {
                self.count(&known[some], &mut opened);
            }
        }
    }

    /// Locks incidents; what is gone or waits is left out.
    fn known(&self, incidents: &[i64]) -> Vec<Known> {
        let rows = self.spi.repeat(
            &format!(
                "SELECT i.incident_id, i.end_time, i.fingerprint, i.status = 'resolved' AND NOT EXISTS ( \
                            SELECT FROM logintel.incidents AS o \
                            WHERE o.detector = i.detector AND o.fingerprint = i.fingerprint AND o.status <> 'resolved'), \
                        {TIMES_BACK}, i.event_count \
                 FROM logintel.incidents AS i WHERE i.incident_id = ANY ($1) AND NOT i.is_stale ORDER BY i.incident_id FOR UPDATE OF i"
            ),
            &[arg(incidents.to_vec())],
        );
        (0..rows.len())
            .map(|row| Known {
                incident: rows.must(row, 1),
                end: rows.must(row, 2),
                fingerprint: rows.text(row, 3).unwrap_or_default(),
                may_be_back: rows.must(row, 4),
                times_back: rows.must(row, 5),
                events: usize::try_from(rows.must::<i64>(row, 6)).unwrap_or(usize::MAX),
            })
            .collect()
    }

    /// Counts some of them. `opened` are the kinds of which one is open again.
    fn count(&self, known: &[Known], opened: &mut HashSet<String>) {
        let incidents: Vec<i64> = known.iter().map(|one| one.incident).collect();
        let described = self.describe_together(Groups::Of(&incidents));
        let (mut counted, mut numbers, mut back, mut held) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for (one, description) in known.iter().zip(&described) {
            // One that has lost all its anomalies stays as it was.
            let Some(description) = description else { continue };
            let is_back =
                one.may_be_back && description.end > one.end && opened.insert(one.fingerprint.clone());
            counted.push(description);
            numbers.push(one.incident);
            back.push(is_back);
            held.push(is_back && one.times_back + 1 >= i64::from(recurrence::HELD_FROM));
        }
        let mut args = vec![arg(numbers), arg(back), arg(held)];
        args.extend(self.values(&counted));
        let (names, values, parameters) = columns(4);
        self.spi.repeat(
            &format!(
                "UPDATE logintel.incidents AS i SET status = CASE WHEN u.is_back THEN 'open' ELSE i.status END, \
                     is_held = CASE WHEN u.is_back THEN u.is_held ELSE i.is_held END, uncounted = 0, updated_at = now(), \
                     ({names}) = ROW ({values}) \
                 FROM unnest($1, $2, $3, {parameters}) AS u (incident, is_back, is_held, {names}) WHERE i.incident_id = u.incident"
            ),
            &args,
        );
    }
}

/// The places of what is read together, where each is of such a size.
fn together(sizes: &[usize]) -> Vec<std::ops::Range<usize>> {
    let mut ranges: Vec<std::ops::Range<usize>> = Vec::new();
    let mut room = 0;
    for (at, &size) in sizes.iter().enumerate() {
        match ranges.last_mut() {
            Some(last) if size <= room => last.end = at + 1,
            _ => {
                ranges.push(at..at + 1);
                room = ANOMALIES;
            }
        }
        room = room.saturating_sub(size);
    }
    ranges
}
