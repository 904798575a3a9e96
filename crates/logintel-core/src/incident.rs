//! From anomalies to incidents: which belong together, how grave they are, what is not worth a look.
//!
//! Event time decides, never the time of arrival, so that late rows join what they belong to. All functions are
//! pure: the caller brings what is stored and stores what comes back.

use crate::config::{Micros, Preset, Window};
use crate::severity::is_error;

/// An anomaly without an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// The caller's number for it.
    pub id: i64,
    /// When it happened.
    pub ts: Micros,
}

/// An incident that is stored already.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// The caller's number for it.
    pub id: i64,
    /// Its first event.
    pub start: Micros,
    /// Its last event.
    pub end: Micros,
}

/// What becomes of events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// An event's number and that of the stored incident which it joins.
    pub joins: Vec<(i64, i64)>,
    /// Numbers of the events of each new incident, in time order.
    pub founds: Vec<Vec<i64>>,
}

/// Groups events by time. An event joins a stored incident where one reaches it; of the others, a group of at
/// least `min_events` founds an incident, and a smaller one waits for more.
///
/// `events` must hold every anomaly without an incident within one window of any new one, `spans` every
/// incident within one window of any of them.
pub fn group(events: &[Event], spans: &[Span], window: Window, min_events: u32) -> Grouping {
    let mut events = events.to_vec();
    events.sort_unstable_by_key(|event| (event.ts, event.id));
    let mut spans = spans.to_vec();
    spans.sort_unstable_by_key(|span| (span.start, span.id));
    let mut grouping = Grouping::default();
    let mut rest = &events[..];
    while !rest.is_empty() {
        let length = run_length(rest, window);
        let (run, after) = rest.split_at(length);
        rest = after;
        match spans.iter().find(|span| reaches(span, run, window)) {
            Some(span) => grouping.joins.extend(run.iter().map(|event| (event.id, span.id))),
            None if run.len() >= min_events as usize => {
                grouping.founds.push(run.iter().map(|event| event.id).collect());
            }
            None => {}
        }
    }
    grouping
}

/// How many of the first events belong together.
fn run_length(events: &[Event], window: Window) -> usize {
    let belongs = |a: &Event, b: &Event| match window {
        Window::Session(gap) => b.ts.saturating_sub(a.ts) <= gap,
        Window::Tumbling(length) => a.ts.div_euclid(length) == b.ts.div_euclid(length),
    };
    1 + events.windows(2).take_while(|pair| belongs(&pair[0], &pair[1])).count()
}

/// Whether an incident and a run of events belong together.
fn reaches(span: &Span, run: &[Event], window: Window) -> bool {
    let (first, last) = (run[0].ts, run[run.len() - 1].ts);
    match window {
        Window::Session(gap) => {
            first <= span.end.saturating_add(gap) && last >= span.start.saturating_sub(gap)
        }
        Window::Tumbling(length) => first.div_euclid(length) == span.start.div_euclid(length),
    }
}

/// How grave an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// Below 5.
    Low,
    /// From 5.
    Medium,
    /// From 10.
    High,
}

impl Severity {
    /// As it is stored.
    pub fn as_str(self) -> &'static str {
        match self {
            Severity::Low => "LOW",
            Severity::Medium => "MEDIUM",
            Severity::High => "HIGH",
        }
    }
}

/// An incident's score, events + 5 if any level is an error, else + 3 if any is a warning; and its severity.
/// The seed's preset knows `ERROR` and `WARN` in these spellings only.
pub fn severity(preset: Preset, events: i64, levels: &[String]) -> (i64, Severity) {
    let any = |test: &dyn Fn(&str) -> bool| levels.iter().any(|level| test(level));
    let (error, warning) = match preset {
        Preset::Seed => (any(&|level| level == "ERROR"), any(&|level| level == "WARN")),
        Preset::Default => (any(&is_error), any(&is_warning)),
    };
    let score = events.saturating_add(if error {
        5
    } else if warning {
        3
    } else {
        0
    });
    let severity = match score {
        10.. => Severity::High,
        5.. => Severity::Medium,
        _ => Severity::Low,
    };
    (score, severity)
}

fn is_warning(level: &str) -> bool {
    ["W", "WARN", "WARNING", "4"].iter().any(|word| level.trim().eq_ignore_ascii_case(word))
        || level.trim().parse().is_ok_and(|number: i64| (13..=16).contains(&number))
}

/// Longest template in a title, bytes.
const MAX_TITLE: usize = 120;

/// One line for people: how many anomalies, where, and a template, the most frequent among them.
pub fn title(events: i64, components: &[String], template: &str) -> String {
    let place = match components {
        [] => String::new(),
        [one] => format!(" in {one}"),
        [first, rest @ ..] => format!(" in {first} and {} more", rest.len()),
    };
    let line = template.lines().next().unwrap_or_default();
    let cut = &line[..line.floor_char_boundary(MAX_TITLE)];
    let dots = if cut.len() < template.len() { "…" } else { "" };
    let noun = if events == 1 { "anomaly" } else { "anomalies" };
    format!("{events} {noun}{place}: {cut}{dots}")
}

/// The rule of the seed's preset that suppresses an incident, if one does: the first that holds.
pub fn seed_suppression(
    severity: Severity,
    events: i64,
    levels: &[String],
    components: &[String],
    messages: &[String],
) -> Option<&'static str> {
    let low = severity == Severity::Low;
    if low && levels.iter().all(|level| level == "INFO") {
        return Some("low severity, INFO only");
    }
    if low && components.iter().any(|component| component == "dfs.FSNamesystem") {
        let text = messages[..messages.len().min(5)].join(" ").to_lowercase();
        if ["delete", "replicate", "block"].iter().any(|word| text.contains(word)) {
            return Some("HDFS maintenance");
        }
    }
    (events < 3).then_some("fewer than 3 events")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn events(times: &[Micros]) -> Vec<Event> {
        times.iter().enumerate().map(|(id, &ts)| Event { id: id as i64, ts }).collect()
    }

    #[test]
    fn sessions_end_after_a_quiet_gap() {
        let grouping = group(&events(&[0, 8, 17, 40, 45, 90]), &[], Window::Session(10), 2);
        assert_eq!(grouping.founds, [vec![0, 1, 2], vec![3, 4]]);
        assert!(grouping.joins.is_empty());
    }

    #[test]
    fn windows_are_counted_from_the_epoch_also_before_it() {
        let grouping = group(&events(&[-11, -10, -1, 0, 9, 10]), &[], Window::Tumbling(10), 2);
        assert_eq!(grouping.founds, [vec![1, 2], vec![3, 4]]);
    }

    #[test]
    fn late_events_join_what_is_stored_on_either_side() {
        let span = [Span { id: 7, start: 100, end: 120 }];
        let grouping = group(&events(&[95, 131, 60]), &span, Window::Session(10), 2);
        assert_eq!(grouping.joins, [(0, 7)]);
        let grouping = group(&events(&[91, 131]), &span, Window::Session(11), 2);
        assert_eq!(grouping.joins, [(0, 7), (1, 7)]);
    }

    #[test]
    fn severity_counts_events_and_the_gravest_level() {
        let levels = |words: &[&str]| words.iter().map(|&word| word.to_owned()).collect::<Vec<_>>();
        assert_eq!(severity(Preset::Seed, 6, &levels(&["ERROR"])), (11, Severity::High));
        assert_eq!(severity(Preset::Seed, 2, &levels(&["INFO"])), (2, Severity::Low));
        assert_eq!(severity(Preset::Seed, 2, &levels(&["error"])), (2, Severity::Low));
        assert_eq!(severity(Preset::Default, 2, &levels(&["error"])), (7, Severity::Medium));
        assert_eq!(severity(Preset::Default, 2, &levels(&["warning", "LOG"])), (5, Severity::Medium));
    }
}
