//! Incidents of one kind: when one comes back rather than being another, and how long it stays open.
//!
//! Incidents are of one kind if they have one fingerprint. One that has been quiet for long enough is resolved; if its
//! kind begins again soon after that, it is the same incident, which comes back. Each time it does so, it has to be quiet
//! for twice as long, so that what flaps is one incident and not many messages. What belongs together is decided in event
//! time; how often an incident came back within a day is counted by the clock, as people see it.

use crate::config::{MINUTE, Micros};

/// How soon after it was resolved an incident may come back; what begins later is another.
pub const COMES_BACK: Micros = 60 * MINUTE;
/// Longest quiet that an incident needs which came back.
const LONGEST: Micros = 24 * 60 * MINUTE;
/// So many times back within a day, and an incident is held open.
pub const HELD_FROM: u32 = 3;

/// The quiet that resolves an incident which came back so many times within a day: `resolve_after`, doubled each time,
/// up to a day.
pub fn quiet(resolve_after: Micros, times_back: u32) -> Micros {
    let doubled = 1i64.checked_shl(times_back).filter(|&times| times > 0);
    let doubled = doubled.map_or(LONGEST, |times| resolve_after.saturating_mul(times));
    doubled.min(LONGEST).max(resolve_after)
}

/// A stored incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stored {
    /// The caller's number for it.
    pub incident: i64,
    /// Its first event.
    pub start: Micros,
    /// Its last event.
    pub end: Micros,
    /// What [`quiet`] says of it.
    pub quiet: Micros,
    /// Whether it is resolved.
    pub is_resolved: bool,
}

impl Stored {
    /// Time between it and what lasts from `start` to `end`; 0 where they overlap.
    fn distance(&self, start: Micros, end: Micros) -> Micros {
        start.saturating_sub(self.end).max(self.start.saturating_sub(end)).max(0)
    }
}

/// What becomes of events that would found an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// They are the stored incident of that number, which goes on, or comes back.
    Joins(i64),
    /// They are an incident of their own.
    Founds {
        /// Number of the incident of their kind that is resolved, for one at a time is not: it was quiet before them, or its
        /// events lie in the future, which keeps nothing from being told that happens now.
        resolves: Option<i64>,
        /// Whether they were over before they came: a later one of their kind is known, and they end before `over_before`.
        is_over: bool,
    },
}

/// What becomes of events from `start` to `end` that would found an incident, beside all stored ones of their kind, of
/// which at most one is not resolved. What ends before `over_before` has been quiet by now. They join one that is near enough: that which is not resolved, else the nearest, else
/// the one of lowest number.
pub fn fate(start: Micros, end: Micros, over_before: Micros, stored: &[Stored]) -> Fate {
    let near = stored.iter().filter(|one| one.distance(start, end) <= one.quiet.saturating_add(COMES_BACK));
    let nearest = near.min_by_key(|one| (one.is_resolved, one.distance(start, end), one.incident));
    if let Some(nearest) = nearest {
        return Fate::Joins(nearest.incident);
    }
    let is_over = end < over_before && stored.iter().any(|one| one.start > end);
    let other = stored.iter().find(|one| !one.is_resolved);
    Fate::Founds { resolves: other.filter(|_| !is_over).map(|one| one.incident), is_over }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Micros = 60 * MINUTE;

    fn stored(incident: i64, start: Micros, end: Micros, is_resolved: bool) -> Stored {
        Stored { incident, start, end, quiet: HOUR, is_resolved }
    }

    #[test]
    fn quiet_doubles_up_to_a_day() {
        let hours: Vec<i64> = (0..7).map(|times| quiet(HOUR, times) / HOUR).collect();
        assert_eq!(hours, [1, 2, 4, 8, 16, 24, 24]);
        assert_eq!(quiet(HOUR, 63), LONGEST);
        assert_eq!(quiet(HOUR, u32::MAX), LONGEST);
        assert_eq!(quiet(i64::MAX, 5), i64::MAX, "longer than a day where that was asked for");
    }

    #[test]
    fn what_is_near_joins_and_what_is_far_resolves_it() {
        let open = [stored(7, 0, 10, false)];
        let limit = 10 + HOUR + COMES_BACK;
        assert_eq!(fate(limit, limit + 5, Micros::MAX, &open), Fate::Joins(7));
        assert_eq!(
            fate(limit + 1, limit + 5, Micros::MAX, &open),
            Fate::Founds { resolves: Some(7), is_over: false }
        );
        assert_eq!(
            fate(-limit, -limit + 10, Micros::MAX, &open),
            Fate::Joins(7),
            "late, and near its beginning"
        );
        let before = -HOUR - COMES_BACK - 1;
        assert_eq!(
            fate(before - 5, before, Micros::MAX, &open),
            Fate::Founds { resolves: None, is_over: true }
        );
        let future = Fate::Founds { resolves: Some(7), is_over: false };
        assert_eq!(
            fate(before - 5, before, before, &open),
            future,
            "what happens now is told, whatever is to come"
        );
        assert_eq!(fate(3, 4, Micros::MAX, &open), Fate::Joins(7));
        assert_eq!(fate(0, 0, Micros::MAX, &[]), Fate::Founds { resolves: None, is_over: false });
        let resolved = [stored(7, 0, 10, true)];
        assert_eq!(fate(limit, limit, Micros::MAX, &resolved), Fate::Joins(7), "it comes back");
        assert_eq!(
            fate(limit + 1, limit + 1, Micros::MAX, &resolved),
            Fate::Founds { resolves: None, is_over: false }
        );
    }

    #[test]
    fn of_several_the_one_that_is_not_resolved_else_the_nearest() {
        let (early, late) = (stored(1, 0, 10, true), stored(2, 4 * HOUR, 4 * HOUR, false));
        assert_eq!(fate(2 * HOUR + 5, 2 * HOUR + 6, Micros::MAX, &[early, late]), Fate::Joins(2));
        assert_eq!(fate(HOUR, HOUR, Micros::MAX, &[early, late]), Fate::Joins(1), "too far from the other");
        let late = Stored { is_resolved: true, ..late };
        assert_eq!(fate(2 * HOUR + 6, 2 * HOUR + 6, Micros::MAX, &[late, early]), Fate::Joins(2), "nearer");
        let twin = Stored { incident: 3, ..early };
        assert_eq!(fate(20, 20, Micros::MAX, &[twin, early]), Fate::Joins(1));
    }

    /// What is stored while groups of one kind come in that order, each to be settled; the parts that each holds.
    fn settle(groups: &[(Micros, Micros)], order: &[usize]) -> Vec<(Stored, Vec<usize>)> {
        let mut all: Vec<(Stored, Vec<usize>)> = Vec::new();
        for &at in order {
            let (start, end) = groups[at];
            let known: Vec<Stored> = all.iter().map(|(one, _)| *one).collect();
            match fate(start, end, Micros::MAX, &known) {
                Fate::Joins(number) => {
                    let is_open = known.iter().any(|one| !one.is_resolved && one.incident != number);
                    let (one, parts) = &mut all[number as usize];
                    // As the surface does: it comes back with something after its end, unless another is open.
                    one.is_resolved &= end <= one.end || is_open;
                    (one.start, one.end) = (one.start.min(start), one.end.max(end));
                    parts.push(at);
                }
                Fate::Founds { resolves, is_over } => {
                    if let Some(number) = resolves {
                        all[number as usize].0.is_resolved = true;
                    }
                    all.push((stored(all.len() as i64, start, end, is_over), vec![at]));
                }
            }
            let open = all.iter().filter(|(one, _)| !one.is_resolved).count();
            assert!(open <= 1, "one open incident of a kind");
        }
        all
    }

    /// Whatever the order of arrival, groups come together as in the order of time, as long as none bridges two that
    /// are stored; and there is never more than one open incident of a kind.
    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let mut bridged = 0;
        for round in 0..300u64 {
            let chance = |n: u64| crate::calibration::splitmix(round << 32 | n);
            let groups: Vec<(Micros, Micros)> = (0..12)
                .map(|n| {
                    let start = (chance(n) % (30 * 60)) as i64 * MINUTE;
                    (start, start + (chance(n + 100) % 30) as i64 * MINUTE)
                })
                .collect();
            let mut in_time: Vec<usize> = (0..groups.len()).collect();
            in_time.sort_unstable_by_key(|&at| (groups[at], at));
            let mut shuffled = in_time.clone();
            shuffled.sort_unstable_by_key(|&at| chance(at as u64 + 200));
            let at_once = settle(&groups, &in_time);
            let later = settle(&groups, &shuffled);
            let whole_of = |at: usize| at_once.iter().position(|(_, parts)| parts.contains(&at)).unwrap();
            for (_, parts) in &later {
                let mut wholes: Vec<usize> = parts.iter().map(|&at| whole_of(at)).collect();
                wholes.dedup();
                assert_eq!(wholes.len(), 1, "no incident holds what does not belong together");
            }
            bridged += later.len() - at_once.len();
            // The last in time is the one that is open.
            let last = at_once.iter().max_by_key(|(one, _)| one.end).unwrap();
            assert!(at_once.iter().all(|one| one.0.is_resolved == (one.0.incident != last.0.incident)));
        }
        assert!((1..300).contains(&bridged), "bridges are rare, and the test has some: {bridged}");
    }
}
