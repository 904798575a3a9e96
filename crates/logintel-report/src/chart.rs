//! Charts: what has axes. Drawn by plotters as SVG, whose text the browser sets.
//!
//! Each chart is drawn twice, wide and narrow, for text must not shrink with the screen; the style shows the one that fits.
//! Colours are names: the style replaces each by one of the light or the dark page (see `style.css`). plotters is given
//! numbers and times only, never text of a log.
use std::ops::Range;

use chrono::{DateTime, NaiveTime, Utc};
use maud::{Markup, PreEscaped, html};
use plotters::chart::{ChartBuilder, ChartContext};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::{
    Cartesian2d, DrawingArea, IntoDrawingArea, LabelAreaPosition, RangedDateTime, Rectangle, SVGBackend,
};
use plotters::series::LineSeries;
use plotters::style::{Color, IntoFont, RGBColor, ShapeStyle, TextStyle};

use crate::limits;
use crate::report::{AnomalyChart, Drift};
use crate::time::{DAY, SECOND, Time};

/// Names of colours: severities as in [`crate::report::Bucket::counts`].
const SEVERITIES: [RGBColor; 4] =
    [RGBColor(1, 0, 0), RGBColor(2, 0, 0), RGBColor(3, 0, 0), RGBColor(4, 0, 0)];
const GRID: RGBColor = RGBColor(5, 0, 0);
const INK: RGBColor = RGBColor(6, 0, 0);
const FLAGGED: RGBColor = RGBColor(7, 0, 0);
const UNSEEN: RGBColor = RGBColor(8, 0, 0);

/// Widths and heights of the two drawings, and how many times fit below them.
const WIDE: Size = Size { width: 1000, height: 220, times: 10 };
const NARROW: Size = Size { width: 340, height: 190, times: 4 };

#[derive(Debug, Clone, Copy)]
struct Size {
    width: u32,
    height: u32,
    times: usize,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> =
    ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedDateTime<DateTime<Utc>>, RangedCoordf64>>;

/// Anomalies over time as stacked bars; `label` says what is drawn to who does not see it.
pub fn anomalies(chart: &AnomalyChart, label: &str) -> Markup {
    let highest = chart.buckets.iter().map(|bucket| bucket.counts.iter().sum::<u64>()).max().unwrap_or(0);
    let range = chart.from.utc()..later(chart.from, chart.until).utc();
    both(label, |area, size| {
        let top = round_up(highest as f64);
        let mut drawn = axes(area, size, &range, top, |count| format!("{count:.0}"));
        for bucket in chart.buckets.iter().take(limits::BUCKETS) {
            // A gap between bars, where there is room for one.
            let inset = chart.bucket / 12;
            let left = Time(bucket.start.0.saturating_add(inset)).utc();
            let right = Time(bucket.start.0.saturating_add(chart.bucket - inset)).utc();
            let mut below = 0.0;
            let bars = bucket.counts.iter().zip(SEVERITIES).filter(|(count, _)| **count > 0);
            let bars = bars.map(|(count, colour)| {
                let above = below + *count as f64;
                let bar = Rectangle::new([(left, below), (right, above)], colour.filled());
                below = above;
                bar
            });
            drawn.draw_series(bars.collect::<Vec<_>>()).expect(INFALLIBLE);
        }
    })
}

/// Drift as two lines, in percent.
pub fn drift(hours: &[Drift], label: &str) -> Markup {
    let hours = &hours[hours.len().saturating_sub(limits::BUCKETS)..];
    let (Some(first), Some(last)) = (hours.first(), hours.last()) else { return html! {} };
    let range = first.time.utc()..later(first.time, last.time).utc();
    let highest = hours.iter().map(|hour| share(hour.flagged.max(hour.unseen))).fold(0.0, f64::max);
    both(label, |area, size| {
        let mut drawn =
            axes(area, size, &range, round_up((highest * 100.0).max(1.0)).min(100.0), |percent| {
                format!("{percent:.0}%")
            });
        let mut line = |colour: RGBColor, part: fn(&Drift) -> f64| {
            let points = hours.iter().map(|hour| (hour.time.utc(), share(part(hour)) * 100.0));
            drawn.draw_series(LineSeries::new(points, stroke(colour, 2))).expect(INFALLIBLE);
        };
        line(UNSEEN, |hour| hour.unseen);
        line(FLAGGED, |hour| hour.flagged);
    })
}

/// Drawing into a string cannot fail.
const INFALLIBLE: &str = "a string takes what is drawn";

/// A number as the share that it should be.
fn share(number: f64) -> f64 {
    if number.is_nan() { 0.0 } else { number.clamp(0.0, 1.0) }
}

/// Draws into both sizes.
fn both(label: &str, draw: impl Fn(&Area, Size)) -> Markup {
    let drawn = |size: Size| {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, (size.width, size.height)).into_drawing_area();
            draw(&area, size);
            area.present().expect(INFALLIBLE);
        }
        PreEscaped(svg)
    };
    html! {
        div.chart role="img" aria-label=(label) {
            div.wide { (drawn(WIDE)) }
            div.narrow { (drawn(NARROW)) }
        }
    }
}

/// A chart with its axes: time below, and values from 0 to `top`.
fn axes<'a, 'b>(
    area: &'a Area<'b>,
    size: Size,
    range: &Range<DateTime<Utc>>,
    top: f64,
    value: impl Fn(&f64) -> String,
) -> Chart<'a, 'b> {
    let mut chart = ChartBuilder::on(area)
        .margin_top(10)
        .margin_right(14)
        .set_label_area_size(LabelAreaPosition::Left, 44)
        .set_label_area_size(LabelAreaPosition::Bottom, 26)
        .build_cartesian_2d(RangedDateTime::from(range.clone()), 0.0..top)
        .expect(INFALLIBLE);
    let text: TextStyle = ("sans-serif", 12).into_font().color(&INK);
    let span = range.end - range.start;
    let time = move |time: &DateTime<Utc>| {
        let is_midnight = time.time() == NaiveTime::MIN;
        let format = match span.num_microseconds().unwrap_or(i64::MAX) {
            ..=300_000_000 => "%H:%M:%S",
            span if span <= 2 * DAY => "%-d %b %H:%M",
            span if span > 300 * DAY => "%b %Y",
            _ if is_midnight => "%-d %b",
            _ => "%H:%M",
        };
        time.format(format).to_string()
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(GRID.mix(0.0))
        .bold_line_style(stroke(GRID, 1))
        .axis_style(stroke(GRID, 1))
        .label_style(text)
        .x_labels(size.times)
        .x_label_formatter(&time)
        .y_labels(5)
        .y_label_formatter(&value)
        .draw()
        .expect(INFALLIBLE);
    chart
}

fn stroke(colour: RGBColor, width: u32) -> ShapeStyle {
    ShapeStyle { color: colour.to_rgba(), filled: false, stroke_width: width }
}

/// The end of a range that is none.
fn later(from: Time, until: Time) -> Time {
    until.max(Time(from.0.saturating_add(SECOND)))
}

/// The next number that is 1, 2, 4, 5 or 8 times a power of ten: the top of an axis. At least 4, so that counts have whole steps.
fn round_up(value: f64) -> f64 {
    let value = value.max(4.0);
    let power = 10f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 5.0, 8.0, 10.0];
    steps.iter().map(|step| step * power).find(|&top| top >= value).unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::assets::STYLE;

    #[test]
    fn the_style_has_every_colour() {
        for RGBColor(r, g, b) in SEVERITIES.into_iter().chain([GRID, INK, FLAGGED, UNSEEN]) {
            assert!(STYLE.contains(&format!("\"#{r:02X}{g:02X}{b:02X}\"")), "{r}");
        }
    }

    #[test]
    fn tops_are_round() {
        for (value, top) in
            [(0.0, 4.0), (4.0, 4.0), (9.0, 10.0), (11.0, 20.0), (100.0, 100.0), (433.0, 500.0)]
        {
            assert!((round_up(value) - top).abs() < 1e-9, "{value}");
        }
    }
}
