//! Small parts that the page is made of: badges, numbers, tables, bars.
use maud::{Markup, Render, html};

use crate::chart;
use crate::report::{AnomalyChart, Severity, Status};
use crate::text::Text;
use crate::time::length;

/// A severity: a form, a word and a colour, for not everybody tells colours apart.
pub fn severity(severity: Severity) -> Markup {
    let (class, form, word) = match severity {
        Severity::High => ("high", "\u{25b2}", "HIGH"),
        Severity::Medium => ("medium", "\u{25c6}", "MEDIUM"),
        Severity::Low => ("low", "\u{25cf}", "LOW"),
    };
    html! { span class={ "badge " (class) } { span aria-hidden="true" { (form) } " " (word) } }
}

/// The class of a severity.
pub fn severity_class(severity: Severity) -> &'static str {
    match severity {
        Severity::High => "high",
        Severity::Medium => "medium",
        Severity::Low => "low",
    }
}

/// A status.
pub fn status(status: Status) -> Markup {
    let (class, word) = match status {
        Status::Open => ("open", "open"),
        Status::Acknowledged => ("acknowledged", "acknowledged"),
        Status::Resolved => ("resolved", "resolved"),
    };
    html! { span class={ "status " (class) } { (word) } }
}

/// A number with its thousands apart.
pub fn number(number: u64) -> String {
    let digits = number.to_string();
    let mut shown = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            shown.push(',');
        }
        shown.push(digit);
    }
    shown
}

/// A share in percent, with as many digits as tell something.
pub fn percent(share: f64) -> String {
    let percent = share * 100.0;
    match percent {
        _ if percent == 0.0 || percent >= 99.95 => format!("{percent:.0}\u{a0}%"),
        _ if percent < 0.01 => "<\u{a0}0.01\u{a0}%".to_owned(),
        _ if percent < 1.0 => format!("{percent:.2}\u{a0}%"),
        _ => format!("{percent:.1}\u{a0}%"),
    }
}

/// A rate in lines a minute.
pub fn rate(rate: f64) -> String {
    let shown = match rate {
        _ if rate >= 100.0 => number(rate as u64),
        _ if rate >= 1.0 => format!("{rate:.1}"),
        _ if rate > 0.0 && rate < 0.01 => "< 0.01".to_owned(),
        _ => format!("{rate:.2}"),
    };
    format!("{shown}\u{a0}/\u{a0}min")
}

/// A count of things: `1 row`, `2 rows`.
pub fn count(n: u64, one: &str, many: &str) -> String {
    format!("{}\u{a0}{}", number(n), if n == 1 { one } else { many })
}

/// A column of a table that can be sorted.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    /// Its head; empty where there is nothing to sort by that another column does not have.
    pub name: &'static str,
    /// Whether it holds numbers: set to the right, largest first when sorted.
    pub is_number: bool,
}

/// A column of words.
pub const fn words(name: &'static str) -> Column {
    Column { name, is_number: false }
}

/// A column of numbers.
pub const fn numbers(name: &'static str) -> Column {
    Column { name, is_number: true }
}

/// A table that can be sorted by each column, with the rows that `body` is.
pub fn table(class: &str, columns: &[Column], body: &Markup) -> Markup {
    html! {
        div.scroll tabindex="0" {
            table class={ "sortable " (class) } {
                thead { tr {
                    @for column in columns {
                        th scope="col" class=[column.is_number.then_some("number")] data-first=[column.is_number.then_some("descending")] {
                            @if !column.name.is_empty() { button type="button" { (column.name) } }
                        }
                    }
                } }
                tbody { (body) }
            }
        }
    }
}

/// A bar of a share of its full width, from its left edge.
pub fn bar(class: &str, share: f64) -> Markup {
    let width = (share.clamp(0.0, 1.0) * 1000.0).round().max(4.0);
    html! {
        svg class={ "bar " (class) } viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.ground x="0" y="0" width="1000" height="10" {}
            rect x="0" y="0" width=(width) height="10" {}
        }
    }
}

/// A bar from the middle, to the right where `share` is positive, to the left where it is negative.
pub fn signed_bar(share: f64) -> Markup {
    let width = (share.abs().min(1.0) * 500.0).round().max(2.0);
    let (class, from) = if share < 0.0 { ("ordinary", 500.0 - width) } else { ("strange", 500.0) };
    html! {
        svg class={ "bar signed " (class) } viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true" {
            rect.ground x="0" y="0" width="1000" height="10" {}
            rect x=(from) y="0" width=(width) height="10" {}
        }
    }
}

/// What a place says that has nothing to show.
pub fn empty(what: &str, next: &Markup) -> Markup {
    html! { div.empty { p.what { (what) } (next) } }
}

/// SQL to copy.
pub fn sql(statement: &dyn Render) -> Markup {
    html! { pre.sql { code { (*statement) } } }
}

/// That a list was cut.
pub fn more(shown: usize, all: u64, what: &str) -> Markup {
    let left = all.saturating_sub(shown as u64);
    html! { @if left > 0 { p.more { "\u{2026} and " (number(left)) " more " (what) } } }
}

/// Names, parted by commas; `None` where there are none.
pub fn names(names: &[Text]) -> Option<Markup> {
    let shown = &names[..names.len().min(crate::limits::NAMES)];
    (!names.is_empty()).then(|| {
        html! {
            @for (at, name) in shown.iter().enumerate() { @if at > 0 { ", " } (name) }
            @if shown.len() < names.len() { " and " (names.len() - shown.len()) " more" }
        }
    })
}

/// A chart of anomalies with its title and what its colours mean.
pub fn figure(chart: &AnomalyChart) -> Markup {
    let total: u64 = chart.buckets.iter().flat_map(|bucket| bucket.counts).sum();
    let label = format!(
        "{} anomalies, {} to {}",
        number(total),
        chart.from.utc().format("%F %T"),
        chart.until.utc().format("%F %T")
    );
    html! {
        figure {
            figcaption { (chart.title) span.muted { ", each bar " (length(chart.bucket)) } }
            ul.legend { li.high { "in an incident of severity HIGH" } li.medium { "MEDIUM" } li.low { "LOW" } li.alone { "in no incident" } }
            (chart::anomalies(chart, &label))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_at_a_glance() {
        assert_eq!([0, 999, 1000, 1_234_567].map(number), ["0", "999", "1,000", "1,234,567"]);
        assert_eq!(
            [0.0, 0.00001, 0.0042, 0.5, 1.0].map(percent),
            ["0 %", "< 0.01 %", "0.42 %", "50.0 %", "100 %"].map(|text| text.replace(' ', "\u{a0}"))
        );
        assert_eq!(rate(1234.5), "1,234\u{a0}/\u{a0}min");
    }
}
