//! From anomalies to incidents: which belong together, how grave they are, what is not worth a look.
//!
//! Event time decides, never the time of arrival, so that late rows join what they belong to. All functions are
//! pure: the caller brings what is stored and stores what comes back.

use std::collections::HashMap;

use crate::config::{Micros, Preset, Window};
use crate::severity::is_error;

/// An anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The caller's number for it.
    pub id: i64,
    /// When it happened.
    pub ts: Micros,
    /// Where it happened.
    pub component: Option<String>,
    /// How many events it stands for: a burst for its lines; a line that nothing but its routine level flags for
    /// none.
    pub weight: u32,
}

/// Where and when a stored incident had an anomaly.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// The caller's number for the incident.
    pub incident: i64,
    /// When it happened.
    pub ts: Micros,
    /// Where it happened.
    pub component: Option<String>,
}

/// What becomes of events.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Grouping {
    /// An event's number and that of the stored incident which it joins.
    pub joins: Vec<(i64, i64)>,
    /// Numbers of the events of each new incident, in time order.
    pub founds: Vec<Vec<i64>>,
}

/// Groups events. Two belong together, and with each what belongs to it, if they are of one component and no more
/// than the window's gap apart, or of any and no more than a third of it ([`near`]). In windows that tumble, they are if
/// they are in one window. A group with a stored incident joins it, the one of lowest number where there are several. Of
/// the others one that stands for at least `min_events` events founds an incident, and a smaller one waits for more. An
/// event that stands for none ties nothing together: it goes along with the last one before it, or the first one after
/// it, of its component, as near.
///
/// `events` must hold every anomaly without an incident within one window of any new one, `anchors` those of
/// incidents within one window of any of them that stand for something; of those of one incident and component that
/// are so near, the first and the last do.
pub fn group(events: &[Event], anchors: &[Anchor], window: Window, min_events: u32) -> Grouping {
    let (routine, telling): (Vec<&Event>, Vec<&Event>) = events.iter().partition(|event| event.weight == 0);
    let mut points: Vec<Point<'_>> = telling.into_iter().map(Point::of).collect();
    points.extend(anchors.iter().map(|anchor| Point {
        ts: anchor.ts,
        component: anchor.component.as_deref(),
        what: What::Anchor(anchor.incident),
    }));
    points.sort_unstable_by_key(|point| (point.ts, point.what.number()));
    let groups = linked(&points, window);
    let mut members: Vec<Members<'_>> = vec![Members::default(); points.len()];
    for (point, &group) in points.iter().zip(&groups) {
        match point.what {
            What::Event(event) => members[group].events.push(event),
            What::Anchor(incident) => members[group].incidents.push(incident),
        }
    }
    let places = by_component(&points);
    for event in routine {
        let places = places.get(&event.component.as_deref()).map_or(&[][..], Vec::as_slice);
        if let Some(at) = beside(&points, places, event, window) {
            members[groups[at]].events.push(event);
        }
    }
    let mut grouping = Grouping::default();
    for Members { mut events, incidents } in members {
        events.sort_unstable_by_key(|event| (event.ts, event.id));
        let ids = events.iter().map(|event| event.id);
        let weight: u64 = events.iter().map(|event| u64::from(event.weight)).sum();
        match incidents.into_iter().min() {
            Some(incident) => grouping.joins.extend(ids.map(|id| (id, incident))),
            None if weight >= u64::from(min_events) => grouping.founds.push(ids.collect()),
            None => {}
        }
    }
    grouping
}

/// How near anomalies of different components are that belong together, where those of one may be a gap apart: a fault
/// that spreads does so within seconds or a minute, while two components that each misbehave within ten minutes have
/// seldom to do with each other.
pub fn near(gap: Micros) -> Micros {
    gap / 3
}

/// What belongs together.
#[derive(Debug, Clone, Default)]
struct Members<'a> {
    events: Vec<&'a Event>,
    incidents: Vec<i64>,
}

/// Something that happened somewhere.
#[derive(Debug, Clone, Copy)]
struct Point<'a> {
    ts: Micros,
    component: Option<&'a str>,
    what: What<'a>,
}

#[derive(Debug, Clone, Copy)]
enum What<'a> {
    Event(&'a Event),
    Anchor(i64),
}

impl What<'_> {
    fn number(self) -> i64 {
        match self {
            What::Event(event) => event.id,
            What::Anchor(incident) => incident,
        }
    }
}

impl<'a> Point<'a> {
    fn of(event: &'a Event) -> Self {
        Point { ts: event.ts, component: event.component.as_deref(), what: What::Event(event) }
    }
}

/// Points of each component, in time order.
fn by_component<'a>(points: &[Point<'a>]) -> HashMap<Option<&'a str>, Vec<usize>> {
    let mut places: HashMap<_, Vec<usize>> = HashMap::new();
    for (at, point) in points.iter().enumerate() {
        places.entry(point.component).or_default().push(at);
    }
    places
}

/// The point that an event which stands for none goes along with; `places` are the points of its component.
fn beside(points: &[Point<'_>], places: &[usize], event: &Event, window: Window) -> Option<usize> {
    let after = places.partition_point(|&at| points[at].ts <= event.ts);
    let event = Point::of(event);
    let before = places[..after].last().filter(|&&at| at_once(&points[at], &event, window));
    before.or_else(|| places.get(after).filter(|&&at| at_once(&event, &points[at], window))).copied()
}

/// Of each point, in time order, the first of its group. Of all points before it, only the last one and the last of
/// its component need a look: if an earlier one is near enough, so is one of these, and both lead to it, for neighbours
/// between them are nearer still.
fn linked(points: &[Point<'_>], window: Window) -> Vec<usize> {
    let mut first: Vec<usize> = (0..points.len()).collect();
    let mut last_of: HashMap<Option<&str>, usize> = HashMap::new();
    for (at, point) in points.iter().enumerate() {
        let before = at.checked_sub(1);
        let same = last_of.insert(point.component, at);
        let near = |other: &usize| together(&points[*other], point, window);
        for other in [before, same].into_iter().flatten().filter(near) {
            let (a, b) = (root(&mut first, at), root(&mut first, other));
            first[a.max(b)] = a.min(b);
        }
    }
    (0..points.len()).map(|at| root(&mut first, at)).collect()
}

/// Union-find with path halving (Tarjan & van Leeuwen 1984).
fn root(first: &mut [usize], mut at: usize) -> usize {
    while first[at] != at {
        first[at] = first[first[at]];
        at = first[at];
    }
    at
}

/// Whether two points, the earlier one first, belong together.
fn together(a: &Point<'_>, b: &Point<'_>, window: Window) -> bool {
    match window {
        Window::Session(gap) if a.component == b.component => b.ts.saturating_sub(a.ts) <= gap,
        _ => at_once(a, b, window),
    }
}

/// Whether two points, the earlier one first, are near enough wherever they happened.
fn at_once(a: &Point<'_>, b: &Point<'_>, window: Window) -> bool {
    match window {
        Window::Session(gap) => b.ts.saturating_sub(a.ts) <= near(gap),
        Window::Tumbling(length) => a.ts.div_euclid(length) == b.ts.div_euclid(length),
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

/// One line for people: where it most likely began, with what, and how much more there is.
/// `template` is that of its origin.
pub fn title(events: i64, origin: Option<&str>, components: &[String], template: &str) -> String {
    let place = origin.map_or_else(String::new, |origin| format!("{origin}: "));
    let more = match (events - 1, components.len()) {
        (..=0, _) => String::new(),
        (more, 0 | 1) => format!(", and {more} more"),
        (more, places) => format!(", and {more} more in {places} components"),
    };
    format!("{place}{}{more}", headline(template))
}

/// The same in the seed's preset: how many anomalies, where, and a template, the most frequent among them.
pub fn seed_title(events: i64, components: &[String], template: &str) -> String {
    let place = match components {
        [] => String::new(),
        [one] => format!(" in {one}"),
        [first, rest @ ..] => format!(" in {first} and {} more", rest.len()),
    };
    let noun = if events == 1 { "anomaly" } else { "anomalies" };
    format!("{events} {noun}{place}: {}", headline(template))
}

/// The first line of a template, cut.
fn headline(template: &str) -> String {
    let line = template.lines().next().unwrap_or_default();
    let cut = &line[..line.floor_char_boundary(MAX_TITLE)];
    let dots = if cut.len() < template.len() { "…" } else { "" };
    if template.is_empty() { "no message".to_owned() } else { format!("{cut}{dots}") }
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
    use crate::config::MINUTE;

    fn event(id: i64, ts: Micros, component: &str) -> Event {
        Event { id, ts, component: Some(component.to_owned()), weight: 1 }
    }

    fn events(times: &[Micros]) -> Vec<Event> {
        times.iter().enumerate().map(|(id, &ts)| event(id as i64, ts, "disk")).collect()
    }

    fn anchors(incident: i64, times: &[Micros]) -> Vec<Anchor> {
        times.iter().map(|&ts| Anchor { incident, ts, component: Some("disk".into()) }).collect()
    }

    #[test]
    fn sessions_end_after_a_quiet_gap() {
        let grouping = group(&events(&[0, 8, 17, 40, 45, 90]), &[], Window::Session(10), 2);
        assert_eq!(grouping.founds, [vec![0, 1, 2], vec![3, 4]]);
        assert!(grouping.joins.is_empty());
    }

    #[test]
    fn windows_are_counted_from_the_epoch_also_before_it() {
        let mut events = events(&[-11, -10, -1, 0, 9, 10]);
        events[2].component = None;
        let grouping = group(&events, &[], Window::Tumbling(10), 2);
        assert_eq!(grouping.founds, [vec![1, 2], vec![3, 4]]);
    }

    #[test]
    fn late_events_join_what_is_stored_on_either_side() {
        let stored = anchors(7, &[100, 120]);
        let grouping = group(&events(&[95, 131, 60]), &stored, Window::Session(10), 2);
        assert_eq!(grouping.joins, [(0, 7)]);
        let grouping = group(&events(&[91, 131]), &stored, Window::Session(11), 2);
        assert_eq!(grouping.joins, [(0, 7), (1, 7)]);
        let stored = [anchors(9, &[100]), anchors(8, &[110])].concat();
        let grouping = group(&events(&[105]), &stored, Window::Session(10), 2);
        assert_eq!(grouping.joins, [(0, 8)], "of two incidents the older one");
    }

    #[test]
    fn components_belong_together_only_when_they_fail_together() {
        let gap = Window::Session(10 * MINUTE);
        let apart = [
            event(0, 0, "disk"),
            event(1, 4 * MINUTE, "mail"),
            event(3, 14 * MINUTE, "mail"),
            event(2, -10 * MINUTE + 2, "disk"),
        ];
        assert_eq!(group(&apart, &[], gap, 2).founds, [vec![2, 0], vec![1, 3]]);
        let mut spreading = apart.clone();
        spreading[1].ts = 3 * MINUTE;
        assert_eq!(group(&spreading, &[], gap, 2).founds, [vec![2, 0, 1]]);
        let stored = anchors(7, &[0]);
        assert_eq!(group(&apart[1..2], &stored, gap, 1).founds, [vec![1]]);
        assert_eq!(group(&spreading[1..2], &stored, gap, 1).joins, [(1, 7)]);
    }

    #[test]
    fn a_burst_founds_alone_and_what_is_routine_never_does() {
        let mut events = events(&[0, 1, 2]);
        for event in &mut events {
            event.weight = 0;
        }
        assert_eq!(group(&events, &[], Window::Session(10), 2), Grouping::default());
        events[1].weight = 40;
        assert_eq!(group(&events, &[], Window::Session(10), 2).founds, [vec![0, 1, 2]]);
        events[1].weight = 1;
        assert_eq!(group(&events, &[], Window::Session(10), 2), Grouping::default());
    }

    #[test]
    fn what_is_routine_ties_nothing_together() {
        let mut events = events(&[0, 1, 3, 26, 28, 29]);
        events[2].weight = 0;
        events[3].weight = 0;
        let grouping = group(&events, &[], Window::Session(10), 2);
        assert_eq!(grouping.founds, [vec![0, 1, 2], vec![3, 4, 5]]);
    }

    /// However events come in, they end in the same groups, as long as none bridges two that are stored.
    #[test]
    fn the_order_of_arrival_does_not_matter() {
        let gap = Window::Session(10 * MINUTE);
        let all: Vec<Event> = (0..400)
            .map(|id| {
                let chance = crate::calibration::splitmix(id as u64);
                event(
                    id,
                    (chance % 4000) as i64 * MINUTE,
                    ["disk", "mail", "net"][(chance >> 20) as usize % 3],
                )
            })
            .collect();
        let at_once = group(&all, &[], gap, 1).founds;
        let (early, late): (Vec<Event>, Vec<Event>) =
            all.iter().cloned().partition(|event| event.id % 2 == 0);
        let founds = group(&early, &[], gap, 1).founds;
        let stored: Vec<Anchor> = founds
            .iter()
            .enumerate()
            .flat_map(|(incident, ids)| ids.iter().map(move |&id| (incident as i64, id)))
            .map(|(incident, id)| {
                let event = &all[id as usize];
                Anchor { incident, ts: event.ts, component: event.component.clone() }
            })
            .collect();
        let later = group(&late, &stored, gap, 1);
        let of_event = |id: i64| {
            let early = founds.iter().position(|ids| ids.contains(&id)).map(|at| at as i64);
            let joined = later.joins.iter().find(|join| join.0 == id).map(|join| join.1);
            let new = later.founds.iter().position(|ids| ids.contains(&id)).map(|at| at as i64 + 1000);
            early.or(joined).or(new).unwrap()
        };
        let mut bridged = 0;
        for group in &at_once {
            let mut parts: Vec<i64> = group.iter().map(|&id| of_event(id)).collect();
            parts.sort_unstable();
            parts.dedup();
            bridged += parts.len() - 1;
        }
        let groups = founds.len() + later.founds.len();
        assert_eq!(groups, at_once.len() + bridged, "no group holds what does not belong together");
    }

    #[test]
    fn titles_name_the_origin_and_how_much_more_there_is() {
        let places = ["disk", "mail"].map(String::from);
        assert_eq!(title(1, None, &[], ""), "no message");
        assert_eq!(title(1, Some("disk"), &places[..1], "full"), "disk: full");
        assert_eq!(title(3, Some("disk"), &places[..1], "full\nof it"), "disk: full…, and 2 more");
        assert_eq!(title(13, Some("disk"), &places, "full"), "disk: full, and 12 more in 2 components");
        let long = "ü".repeat(200);
        assert_eq!(title(1, None, &[], &long), format!("{}…", "ü".repeat(MAX_TITLE / 2)));
        assert_eq!(seed_title(2, &places, "full"), "2 anomalies in disk and 1 more: full");
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
