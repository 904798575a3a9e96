//! The incidents: all on a timeline, and those that matter most at length.
use maud::{Markup, html};

use crate::limits;
use crate::parts::{self, count, number, numbers, rate, words};
use crate::report::{Details, Explanation, Incident, Report, Status, Template};
use crate::text::Text;
use crate::time::{SECOND, Time, length};

/// The timeline: a row for each incident, with a bar where it lies in time.
pub fn timeline(report: &Report) -> Markup {
    let shown = &report.incidents[..report.incidents.len().min(limits::INCIDENTS)];
    let from = shown.iter().map(|incident| incident.start).min().unwrap_or_default();
    let until = shown.iter().map(|incident| incident.end).max().unwrap_or_default();
    let columns = [
        words("Severity"),
        words("Status"),
        words("Incident"),
        numbers("Start"),
        numbers("Lasted"),
        numbers("Events"),
        numbers("When"),
    ];
    let rows = html! {
        @for incident in shown {
            tr class=[(incident.status == Status::Resolved).then_some("past")] {
                td data-v=(incident.severity as u8) { (parts::severity(incident.severity)) }
                td data-v=(incident.status as u8) { (parts::status(incident.status)) }
                td.title {
                    @if is_told(report, incident.id) { a href={ "#incident-" (incident.id) } { (incident.title) } } @else { (incident.title) }
                    span.detector { "#" (incident.id) " \u{b7} " (incident.detector) }
                }
                td.number data-v=(incident.start.0) { (incident.start.show_short(report.generated_at)) }
                td.number data-v=(lasted(incident)) { (length(lasted(incident))) }
                td.number data-v=(incident.events) { (number(incident.events)) }
                td.track data-v=(incident.start.0) { (track(incident, from, until)) }
            }
        }
    };
    html! {
        section #timeline {
            h2 { "Incident timeline" }
            @if shown.is_empty() {
                (nothing(report))
            } @else {
                p.note { "From " (from.show()) " to " (until.show()) " UTC. Those that are not resolved come first." }
                (parts::table("timeline", &columns, &rows))
                (parts::more(shown.len(), report.counts.incidents, "incidents, in the view logintel.incident_timeline_v"))
                @if report.counts.suppressed > 0 {
                    p.more { (count(report.counts.suppressed, "incident is", "incidents are")) " hidden by suppressions." }
                }
            }
        }
    }
}

/// Why there is no incident, and what to do next.
fn nothing(report: &Report) -> Markup {
    let counts = &report.counts;
    let next = html! {
        @if counts.suppressed > 0 {
            p { (count(counts.suppressed, "incident is", "incidents are")) " hidden by suppressions: see the table logintel.suppressions." }
        } @else if counts.newest_anomaly.is_some() {
            p { "Anomalies become incidents when maintenance runs, and enough of them come together. Where the worker does not run:" }
            (parts::sql(&"CALL logintel.run_maintenance();"))
        } @else if counts.trained == 0 {
            p { "Incidents come of anomalies, and anomalies of a detector that is trained." }
        } @else {
            p { "Nothing strange has been seen. Lines that were there before the table was watched are judged by:" }
            (parts::sql(&"SELECT logintel.score_history('name of the detector');"))
        }
    };
    parts::empty("No incident", &next)
}

fn is_told(report: &Report, id: i64) -> bool {
    report.details.iter().take(limits::DETAILS).any(|details| details.incident.id == id)
}

fn lasted(incident: &Incident) -> i64 {
    incident.end.0.saturating_sub(incident.start.0).max(0)
}

/// Where an incident lies between two times.
fn track(incident: &Incident, from: Time, until: Time) -> Markup {
    let span = (until.0.saturating_sub(from.0)).max(SECOND) as f64;
    let at = |time: Time| (time.0.saturating_sub(from.0) as f64 / span * 1000.0).clamp(0.0, 1000.0);
    let width = (at(incident.end) - at(incident.start)).max(10.0);
    let left = at(incident.start).min(1000.0 - width);
    html! {
        svg class={ "bar " (parts::severity_class(incident.severity)) } viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.ground x="0" y="0" width="1000" height="10" {}
            rect x=(format!("{left:.1}")) y="0" width=(format!("{width:.1}")) height="10" {}
        }
    }
}

/// The incidents that matter most, at length.
pub fn details(report: &Report) -> Markup {
    let shown = &report.details[..report.details.len().min(limits::DETAILS)];
    html! {
        @if !shown.is_empty() {
            section #incidents {
                h2 { "Top incidents" }
                p.note { "Those that matter most: what is not resolved first, then by severity." }
                @for (at, details) in shown.iter().enumerate() { (card(details, at == 0, report.generated_at)) }
            }
        }
    }
}

fn card(details: &Details, is_open: bool, now: Time) -> Markup {
    let incident = &details.incident;
    html! {
        details class={ "incident " (parts::severity_class(incident.severity)) } open[is_open] {
            summary {
                span.marks { (parts::severity(incident.severity)) (parts::status(incident.status)) @if incident.is_held { span.status title="It came back so often that it stays open for longer" { "held" } } }
                span.title { (incident.title) }
                span.when {
                    (count(incident.events, "event", "events")) " \u{b7} " (incident.start.show()) " UTC \u{b7} lasted " (length(lasted(incident)))
                    " \u{b7} last event " (incident.end.before(now))
                }
            }
            // Browsers open what holds the target of a link.
            div.body id={ "incident-" (incident.id) } {
                (facts(details))
                (messages(&details.messages))
                (templates(&details.templates))
                @if let Some(explanation) = &details.explanation { (explain(explanation)) }
                (history(details))
                (next(incident))
            }
        }
    }
}

fn facts(details: &Details) -> Markup {
    let reasons = &details.reasons[..details.reasons.len().min(limits::NAMES)];
    html! {
        dl.facts {
            @if let Some(origin) = &details.origin { div { dt { "Likely origin" } dd.strong { (origin) } } }
            @if !reasons.is_empty() {
                div { dt { "Reasons" @if let Some(of) = details.reasons_of { " of the first " (number(of)) } } dd {
                    @for (at, (reason, events)) in reasons.iter().enumerate() { @if at > 0 { ", " } span.nowrap { code { (reason) } " \u{d7}\u{a0}" (number(*events)) } }
                } }
            }
            @for (name, values) in [("Components", &details.components), ("Levels", &details.levels), ("Sources", &details.sources)] {
                @if let Some(values) = parts::names(values) { div { dt { (name) } dd { (values) } } }
            }
            @if let Some(now) = details.rate {
                div { dt { "Rate" } dd { (rate(now))
                    @match details.baseline_rate { Some(0.0) => { ", none in training" } Some(before) => { ", " (rate(before)) " in training" } None => {} } } }
            }
            div { dt { "Detector" } dd { (details.incident.detector) ", incident #" (details.incident.id) } }
        }
    }
}

fn messages(messages: &[Text]) -> Markup {
    html! {
        @if !messages.is_empty() {
            h3 { "Messages" }
            ol.messages { @for message in messages.iter().take(limits::MESSAGES) { li { (message) } } }
        }
    }
}

fn templates(templates: &[Template]) -> Markup {
    let shown = &templates[..templates.len().min(limits::TEMPLATES)];
    let most = shown.iter().map(|template| template.count).max().unwrap_or(0).max(1) as f64;
    let columns = [numbers("Events"), words("Template"), numbers("In training")];
    let rows = html! {
        @for template in shown {
            tr {
                td.number data-v=(template.count) { (number(template.count)) (parts::bar("", template.count as f64 / most)) }
                td.code { (template.template) }
                td.number data-v=(template.baseline_rate.unwrap_or(-1.0)) {
                    @match template.baseline_rate { Some(0.0) => { "never" } Some(before) => { (rate(before)) } None => { "" } }
                }
            }
        }
    };
    html! { @if !shown.is_empty() { h3 { "Templates" } (parts::table("templates", &columns, &rows)) } }
}

fn explain(explanation: &Explanation) -> Markup {
    let terms = &explanation.terms[..explanation.terms.len().min(limits::TERMS)];
    let most = terms.iter().map(|term| term.contribution.abs()).fold(0.0, f64::max).max(1e-9);
    let columns = [words("Term"), numbers("Contribution"), numbers(""), words("Why")];
    let rows = html! {
        @for term in terms {
            tr {
                td.code { (term.term) }
                td.number data-v=(term.contribution) { (format!("{:+.2}", term.contribution)) }
                td.signed data-v=(term.contribution) { (parts::signed_bar(term.contribution / most)) }
                td { (term.detail) }
            }
        }
    };
    html! {
        h3 { "Why this line is strange" }
        p.line { (explanation.message) }
        dl.facts {
            @for (reason, detail) in explanation.rules.iter().take(limits::TERMS) { div { dt { code { (reason) } } dd { (detail) } } }
            @if let Some((nearest, detail)) = &explanation.nearest { div { dt { "Nearest template" } dd { span.code { (nearest) } br; (detail) } } }
            @if let Some(limit) = &explanation.limit { div { dt { "Limit" } dd { (limit) } } }
        }
        @if !terms.is_empty() {
            p.note { "What each term adds to the distance from the nearest template: what is positive makes the line stranger, what is negative more ordinary." }
            (parts::table("terms", &columns, &rows))
        }
        @if let Some(version) = explanation.judged_by { p.note { "Version " (version) " judged the line; it is explained by the active model." } }
    }
}

fn history(details: &Details) -> Markup {
    html! {
        @if !details.history.is_empty() {
            h3 { "History" }
            ul.history {
                @for event in details.history.iter().take(limits::NAMES) {
                    li { (event.at.show()) " " b { (event.event) } " by " (event.actor) @if let Some(note) = &event.note { ": " (note) } }
                }
            }
        }
    }
}

fn next(incident: &Incident) -> Markup {
    let statements = match incident.status {
        Status::Open => ["acknowledge_incident", "resolve_incident"].as_slice(),
        Status::Acknowledged => &["resolve_incident"],
        Status::Resolved => &[],
    };
    html! {
        @if !statements.is_empty() {
            h3 { "What to do" }
            @for function in statements {
                (parts::sql(&format!("SELECT logintel.{function}({}, 'why');", incident.id)))
            }
            p.note { "Ordinary after all? " code { "SELECT logintel.mark_incident_normal(" (incident.id) ");" } }
        }
    }
}
