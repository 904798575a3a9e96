//! The page as a whole: who wakes up at night reads from its head what is wrong and what to do, and below it why.
use maud::{DOCTYPE, Markup, PreEscaped, html};

use crate::assets::{POLICY, SCRIPT, STYLE};
use crate::report::{Grade, Report};
use crate::status::{Headline, headline};
use crate::{detectors, incidents, limits, parts, text};

/// The page: HTML of ASCII characters alone, so that it is the same in every encoding.
///
/// ```
/// let page = logintel_report::page(&logintel_report::Report::default());
/// assert!(page.starts_with("<!DOCTYPE html>"));
/// ```
pub fn page(report: &Report) -> String {
    let headline = headline(report);
    text::ascii(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                meta name="color-scheme" content="light dark";
                title { (headline.text) " \u{b7} logintel" }
                style { (PreEscaped(STYLE)) }
            }
            body {
                (head(report))
                main {
                    (status(report, &headline))
                    (figures(report))
                    (anomalies(report))
                    (incidents::details(report))
                    (incidents::timeline(report))
                    (detectors::components(report))
                    (detectors::detectors(report))
                }
                footer { p { "logintel " (report.version) " \u{b7} " code { "SELECT logintel.report_html();" } " writes this page anew. All times are UTC." } }
                script { (PreEscaped(SCRIPT)) }
            }
        }
    })
}

fn head(report: &Report) -> Markup {
    html! {
        header {
            p.name { "logintel" }
            p.of {
                "database: " (report.database)
                @if let Some(asked) = &report.asked { " \u{b7} detector: " (asked) }
                " \u{b7} " (report.generated_at.show()) " UTC"
            }
        }
    }
}

fn status(report: &Report, headline: &Headline) -> Markup {
    let (class, form) = match headline.grade {
        None => ("ok", "\u{2713}"),
        Some(Grade::Attention) => ("attention", "!"),
        Some(Grade::Trouble) => ("trouble", "\u{25b2}"),
    };
    let shown = &report.findings[..report.findings.len().min(limits::FINDINGS)];
    html! {
        section #status class=(class) {
            h1 { span.form aria-hidden="true" { (form) } (headline.text) }
            @if let Some(worst) = report.details.first() && report.counts.open.iter().any(|n| *n > 0) {
                p.first { "Look first at " a href={ "#incident-" (worst.incident.id) } { (worst.incident.title) } }
            }
            @if !shown.is_empty() {
                ul.findings {
                    @for finding in shown {
                        li class=[(finding.grade == Grade::Trouble).then_some("trouble")] {
                            p.what { @if !finding.detector.is_empty() { (finding.detector) ": " } (finding.what) }
                            @if is_statement(&finding.hint) { (parts::sql(&finding.hint)) } @else { p.hint { (finding.hint) } }
                        }
                    }
                }
                (parts::more(shown.len(), report.findings.len() as u64, "findings"))
            }
        }
    }
}

fn figures(report: &Report) -> Markup {
    let counts = &report.counts;
    let [high, medium, low] = counts.open;
    html! {
        dl.tiles {
            div { dt { "Open incidents" } dd { (parts::number(high + medium + low)) }
                dd.sub { (parts::number(counts.unacknowledged)) " not acknowledged" } }
            div { dt { "Incidents in all" } dd { (parts::number(counts.incidents)) } dd.sub { (parts::number(counts.suppressed)) " suppressed" } }
            div { dt { "Anomalies, last 24 h" } dd { (parts::number(counts.anomalies_last_day)) }
                dd.sub { @match counts.newest_anomaly { Some(newest) => { "newest " (newest.before(report.generated_at)) } None => { "none is kept" } } } }
            div { dt { "Detectors" } dd { (parts::number(counts.detectors)) } dd.sub { (parts::number(counts.trained)) " trained" } }
        }
    }
}

fn anomalies(report: &Report) -> Markup {
    html! {
        section #anomalies {
            h2 { "Anomalies over time" }
            @if report.charts.iter().all(|chart| chart.buckets.is_empty()) {
                (parts::empty("No anomaly", &html! { p { "What is flagged is drawn here." } }))
            } @else {
                @for chart in report.charts.iter().take(limits::CHARTS) { (parts::figure(chart)) }
            }
        }
    }
}

/// Whether a hint can be run as it stands.
fn is_statement(hint: &text::Text) -> bool {
    let hint = hint.as_str();
    hint.ends_with(';') && ["SELECT ", "CALL ", "SET "].iter().any(|verb| hint.starts_with(verb))
}
