use std::collections::BTreeMap;

use super::super::{Alarm, Key, Observed, RateLog, RateModel, RateState, RateWatch, Trouble};
use super::*;
use crate::calibration::splitmix;
use crate::control::Unattended;

const SECOND: Micros = 1_000_000;
const DAY: i64 = 86_400;
/// Monday, 2026-01-05 00:00 UTC, seconds.
const MONDAY: i64 = 1_767_571_200;

/// One line: second, template, component.
type Row = (i64, u32, &'static str);

fn learn(zone: &Zone, rows: &[Row]) -> RateModel {
    let mut log = RateLog::new(u64::MAX);
    log.set_zone(zone.clone());
    for &(second, template, component) in rows {
        log.add(Some(second * SECOND), Some(template), Some(component));
    }
    log.learn(3, Some, &Unattended).unwrap().unwrap()
}

fn watch_add(watch: &mut RateWatch<'_>, &(second, template, component): &Row) {
    watch.add(&Observed {
        ts: second * SECOND,
        seen: Some(template),
        template: "",
        component: Some(component),
        is_told: false,
    });
}

fn alarms(model: &RateModel, rows: &[Row]) -> Vec<Alarm> {
    let mut watch = RateWatch::new(model, None);
    for row in rows {
        watch_add(&mut watch, row);
    }
    watch.take_alarms()
}

/// Whether a row of a second is there, where each hour has so many on average.
fn happens(seed: u64, second: i64, per_hour: f64) -> bool {
    (splitmix(seed ^ splitmix(second as u64)) as f64) < per_hour / 3600.0 * u64::MAX as f64
}

/// Lines of an hour on average: many by day, few at night, less on weekends.
fn rhythm(second: i64) -> f64 {
    let hour = second.rem_euclid(DAY) as f64 / 3600.0;
    let by_day = 300.0 - 250.0 * (hour / 24.0 * std::f64::consts::TAU).cos();
    let weekday = (second - MONDAY).div_euclid(DAY).rem_euclid(7);
    if weekday < 5 { by_day } else { 0.7 * by_day }
}

/// Days of a shop: `web` with the rhythm, `mail` now and then, and a batch of 600 lines in the 10 minutes from 02:00 on.
fn shop(seed: u64, days: std::ops::Range<i64>) -> Vec<Row> {
    let mut rows = Vec::new();
    for second in MONDAY + days.start * DAY..MONDAY + days.end * DAY {
        if happens(seed, second, rhythm(second)) {
            rows.push((second, 0, "web"));
        }
        if happens(seed + 1, second, 1.5) {
            rows.push((second, 1, "mail"));
        }
        if (7200..7800).contains(&(second.rem_euclid(DAY))) {
            rows.push((second, 2, "batch"));
        }
    }
    rows
}

/// Moves the batch of a day.
fn moved(mut rows: Vec<Row>, day: i64, by: i64) -> Vec<Row> {
    for row in &mut rows {
        if row.2 == "batch" && (row.0 - MONDAY).div_euclid(DAY) == day {
            row.0 += by;
        }
    }
    rows.sort_by_key(|row| row.0);
    rows
}

fn berlin() -> Zone {
    // Summer time of 2026 begins on March 29 at 01:00 UTC and ends on October 25 at 01:00 UTC.
    let hours = |hours: i64| hours * HOUR;
    Zone::new(vec![(0, hours(1)), (1_774_746_000 * SECOND, hours(2)), (1_792_890_000 * SECOND, hours(1))])
}

#[test]
fn hours_are_those_that_clocks_show() {
    let of_day = |zone: &Zone, second: i64| zone.hour(second * SECOND).of_day;
    assert_eq!(of_day(&Zone::default(), MONDAY + 7199), 1);
    assert_eq!(of_day(&Zone::default(), -1), 23);
    let zone = berlin();
    let at_change = |change: i64| -> Vec<u8> { (-2..2).map(|i| of_day(&zone, change + i * 3600)).collect() };
    assert_eq!(at_change(1_774_746_000), [0, 1, 3, 4]);
    assert_eq!(at_change(1_792_890_000), [1, 2, 2, 3]);
    // No hour is counted twice or left out.
    let numbers: Vec<i64> =
        (0..5000).map(|i| zone.hour((1_774_000_000 + i * 3600) * SECOND).number).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1));
    let kolkata = Zone::new(vec![(0, 11 * HOUR / 2)]);
    let hour = kolkata.hour((MONDAY + 1799) * SECOND);
    assert_eq!((hour.of_day, hour.start), (5, (MONDAY - 1800) * SECOND));
    assert_eq!(kolkata.hour((MONDAY + 1800) * SECOND).of_day, 6);
}

/// What each hour of the day had at most and at least, counted by looking at all hours; UTC.
fn by_hand(rows: &[Row], component: &str) -> ([u32; 24], [u32; 24]) {
    let (begin, end) = (rows[0].0.div_euclid(3600), rows[rows.len() - 1].0.div_euclid(3600));
    let mut counts: BTreeMap<i64, u32> = (begin..=end).map(|hour| (hour, 0)).collect();
    for row in rows.iter().filter(|row| row.2 == component) {
        *counts.entry(row.0.div_euclid(3600)).or_default() += 1;
    }
    let (mut most, mut least) = ([0; 24], [u32::MAX; 24]);
    for &hour in counts.keys() {
        let around = || (hour - 1..=hour + 1).filter_map(|near| counts.get(&near).copied());
        let of_day = hour.rem_euclid(24) as usize;
        most[of_day] = around().max().unwrap().max(most[of_day]);
        // The first and the last hour are not known whole.
        if hour - 1 > begin && hour + 1 < end {
            least[of_day] = around().min().unwrap().min(least[of_day]);
        }
    }
    (most, least)
}

#[test]
fn a_timetable_is_that_of_counting_by_hand() {
    for seed in 0..3 {
        let mut rows = shop(seed, 0..28);
        rows.drain(..1000 * seed as usize);
        let model = learn(&Zone::default(), &rows);
        let table = |name: &str| {
            let at = model.component(name).unwrap() as usize;
            model.components[at].1.rate.hours.clone().unwrap()
        };
        for component in ["web", "batch"] {
            let (most, least) = by_hand(&rows, component);
            assert_eq!(table(component).most, most, "{component}");
            assert_eq!(table(component).least, least, "{component}");
        }
        assert_eq!(model.templates[0].hours, Some(table("web")));
        assert_eq!(model.templates[2].hours, Some(table("batch")));
    }
}

#[test]
fn a_batch_is_news_at_another_hour_only() {
    let model = learn(&Zone::default(), &shop(7, 0..28));
    // As ever, earlier, and half of it in the next hour.
    for by in [0, -1800, 3300] {
        assert_eq!(alarms(&model, &moved(shop(8, 28..31), 29, by)), [], "moved by {by}");
    }
    let found = alarms(&model, &moved(shop(8, 28..31), 29, 12 * 3600));
    let start = (MONDAY + 29 * DAY + 14 * 3600) * SECOND;
    let keys: Vec<(Key, bool)> = found.iter().map(|alarm| (alarm.key, alarm.is_spike())).collect();
    let batch = Key::Component(model.component("batch").unwrap());
    assert_eq!(keys, [(Key::Template(2), true)], "{found:?}");
    assert!(found.iter().all(|alarm| (start..start + 10 * SECOND).contains(&alarm.ts)));
    assert_eq!(
        Alarm { key: batch, ..found[0] }.describe(&model),
        "5 lines of component batch since 14:00, at most 0 in an hour at that time of day in history"
    );
}

/// Only a model that tells hours apart finds it: as often as at night is not too often in all.
#[test]
fn two_weeks_of_history_are_needed() {
    for (days, told) in [(13, 0), (15, 1)] {
        let model = learn(&Zone::default(), &shop(7, 0..days));
        let found = alarms(&model, &moved(shop(8, 28..31), 29, 12 * 3600));
        assert_eq!(found.len(), told, "after {days} days: {found:?}");
    }
}

#[test]
fn hours_are_those_of_the_zone() {
    // The batch comes at two in Berlin; history is of winter, and then it is summer.
    let shift = |rows: Vec<Row>, to: i64, by: i64| -> Vec<Row> {
        rows.into_iter().map(|(second, t, c)| (second + to * DAY - by * 3600, t, c)).collect()
    };
    let model = learn(&berlin(), &shift(shop(7, 0..28), 0, 1));
    let summer = shift(shop(8, 0..3), 91, 3);
    assert_eq!(alarms(&model, &summer), [], "at one in Berlin");
    let model = learn(&Zone::default(), &shift(shop(7, 0..28), 0, 1));
    assert_ne!(alarms(&model, &summer), [], "two hours earlier by clocks that show UTC");
}

/// Leaves out three of four lines of a component.
fn thinned(rows: Vec<Row>, component: &str, span: std::ops::Range<i64>) -> Vec<Row> {
    let mut count = 0;
    rows.into_iter()
        .filter(|row| {
            let is_thinned = row.2 == component && span.contains(&row.0);
            count += i32::from(is_thinned);
            !is_thinned || count % 4 == 0
        })
        .collect()
}

/// A shop and a stock, which has as many lines.
fn with_stock(seed: u64, days: std::ops::Range<i64>) -> Vec<Row> {
    let mut rows = shop(seed, days.clone());
    let stock = shop(seed + 100, days).into_iter().filter(|row| row.2 == "web");
    rows.extend(stock.map(|(second, _, _)| (second, 1, "stock")));
    rows.sort_by_key(|row| row.0);
    rows
}

#[test]
fn less_than_half_of_the_least_is_told_once() {
    let model = learn(&Zone::default(), &with_stock(7, 0..28));
    let noon = MONDAY + 29 * DAY + 12 * 3600;
    let rows = thinned(with_stock(8, 28..31), "web", noon..noon + 4 * 3600);
    let found = alarms(&model, &rows);
    let web = model.component("web").unwrap();
    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!((found[0].key, found[0].ts), (Key::Component(web), noon * SECOND));
    let in_hour = rows.iter().filter(|row| row.2 == "web" && (noon..noon + 3600).contains(&row.0)).count();
    let least = model.components[web as usize].1.rate.hours.as_ref().unwrap().least[12];
    assert_eq!(
        found[0].describe(&model),
        format!(
            "{in_hour} lines of component web between 12:00 and 13:00, at least {least} in an hour at that time of day in history"
        )
    );
    // An hour that is not over, or whose beginning was not seen, says nothing.
    let within = |span: std::ops::Range<i64>| -> Vec<Row> {
        rows.iter().filter(|row| span.contains(&row.0)).copied().collect()
    };
    assert_eq!(alarms(&model, &within(MONDAY..noon + 3600)), []);
    assert_eq!(alarms(&model, &within(noon + 10..noon + 3700)), []);
    assert_eq!(alarms(&model, &within(noon - 10..noon + 3700)).len(), 1);
}

#[test]
fn where_several_have_less_it_is_the_whole_log() {
    let model = learn(&Zone::default(), &with_stock(7, 0..28));
    let noon = MONDAY + 29 * DAY + 12 * 3600;
    let span = noon..noon + 2 * 3600;
    let rows = thinned(thinned(with_stock(8, 28..31), "web", span.clone()), "stock", span);
    let found = alarms(&model, &rows);
    assert!(matches!(found[..], [Alarm { key: Key::Log, trouble: Trouble::Quiet { .. }, .. }]), "{found:?}");
}

/// A template that gives way to others, while its component has as many lines as ever.
#[test]
fn a_template_has_less_where_its_component_has_not() {
    let spread = |rows: Vec<Row>, share: u64, span: std::ops::Range<i64>| -> Vec<Row> {
        let other = |second: i64| span.contains(&second) && splitmix(second as u64 + 5) % 100 < share;
        rows.into_iter()
            .map(|(second, t, c)| (second, if c == "web" && other(second) { 1 } else { t }, c))
            .collect()
    };
    let all = i64::MIN..i64::MAX;
    let model = learn(&Zone::default(), &spread(shop(7, 0..28), 30, all.clone()));
    assert_eq!(alarms(&model, &spread(shop(8, 28..31), 30, all)), []);
    let noon = MONDAY + 29 * DAY + 12 * 3600;
    let rows = spread(spread(shop(8, 28..31), 30, i64::MIN..noon), 85, noon..i64::MAX);
    let found = alarms(&model, &rows);
    let drops: Vec<Key> = found.iter().filter(|alarm| !alarm.is_spike()).map(|alarm| alarm.key).collect();
    assert_eq!(drops, [Key::Template(0)], "{found:?}");
}

/// Where the log is silent every night, no silence by day is longer than ever; its empty hours tell, to who reads history as to who waits.
#[test]
fn empty_hours_are_hours_with_too_few() {
    let by_day = |days: std::ops::Range<i64>| -> Vec<Row> {
        let seconds = (MONDAY + days.start * DAY..MONDAY + days.end * DAY).step_by(12);
        seconds
            .filter(|second| (8..20).contains(&(second.rem_euclid(DAY) / 3600)))
            .map(|second| (second, 0, "web"))
            .collect()
    };
    let model = learn(&Zone::default(), &by_day(0..28));
    let noon = MONDAY + 29 * DAY + 12 * 3600;
    let hole = noon + 2400..noon + 5 * 3600 + 600;
    let rows: Vec<Row> = by_day(28..31).into_iter().filter(|row| !hole.contains(&row.0)).collect();
    let found = alarms(&model, &rows);
    assert!(
        matches!(found[..], [Alarm { trouble: Trouble::Quiet { count: 0, of_day: 13, .. }, ts, .. }] if ts == (noon + 3600) * SECOND),
        "{found:?}"
    );
    let mut watch = RateWatch::new(&model, None);
    let mut waited = Vec::new();
    for row in rows {
        watch_add(&mut watch, &row);
        if row.0 == hole.start - 12 {
            (hole.start..hole.end).step_by(60).for_each(|second| watch.nothing_until(second * SECOND));
            waited = watch.take_alarms();
        }
    }
    assert_eq!((waited, watch.take_alarms()), (found, vec![]));
}

/// Eight weeks of what is as ever, four of them learnt.
#[test]
fn chance_around_a_rhythm_is_no_news() {
    for seed in 0..8 {
        let model = learn(&Zone::default(), &shop(1000 * seed, 0..28));
        let has_hours = |at: usize| model.templates[at].hours.is_some();
        assert!(has_hours(0) && has_hours(2), "web and batch have a rhythm");
        assert_eq!(alarms(&model, &shop(1000 * seed + 500, 28..56)), [], "seed {seed}");
    }
}

/// Bursts at any hour are no rhythm, however many: nothing is told of hours but what chance makes likely.
#[test]
fn bursts_at_any_hour_are_no_rhythm() {
    let bursts = |seed: u64, days: std::ops::Range<i64>, every: u64| -> Vec<Row> {
        let mut rows = Vec::new();
        for minute in days.start * 1440..days.end * 1440 {
            let second = MONDAY + minute * 60;
            rows.push((second, 0, "web"));
            if splitmix(seed ^ splitmix(minute as u64)).is_multiple_of(1440 * every) {
                rows.extend((0..59).map(|i| (second + i, 1, "disk")));
            }
        }
        rows
    };
    let mut told = 0;
    for seed in 0..30 {
        for every in [1, 3, 9] {
            let model = learn(&Zone::default(), &bursts(seed, 0..28, every));
            let found = alarms(&model, &bursts(seed + 1000, 28..56, every));
            let is_of_hour = |alarm: &&Alarm| matches!(alarm.trouble, Trouble::Busy { .. });
            told += usize::from(found.iter().any(|alarm| is_of_hour(&alarm)));
        }
    }
    assert!(told <= 4, "{told} of 90 logs");
}

/// What history had once is not a rhythm of that day either.
#[test]
fn what_history_had_once_leaves_the_hours_untold() {
    let once = moved(shop(7, 0..28), 12, 8 * 3600);
    let model = learn(&Zone::default(), &once);
    let at = model.component("batch").unwrap() as usize;
    assert_eq!(model.components[at].1.rate.hours, None);
    assert!(model.templates[0].hours.is_some(), "that of others stays");
}

/// A watch that is stored now and then and goes on from there tells the same.
#[test]
fn a_stored_watch_goes_on_within_an_hour() {
    let model = learn(&Zone::default(), &with_stock(7, 0..28));
    let noon = MONDAY + 29 * DAY + 12 * 3600;
    let mut rows = moved(with_stock(8, 28..31), 30, 8 * 3600);
    rows = thinned(rows, "stock", noon..noon + 5 * 3600);
    rows = thinned(rows, "web", noon + 7200..noon + 4 * 3600);
    // Nothing at all comes for long.
    rows.retain(|row| !(noon + 9 * 3600 + 600..noon + 11 * 3600).contains(&row.0));
    let whole = alarms(&model, &rows);
    assert!(whole.iter().any(Alarm::is_spike) && whole.iter().any(|alarm| !alarm.is_spike()), "{whole:?}");
    for every in [1, 7, 300] {
        let (mut state, mut pieces) = (None::<RateState>, Vec::new());
        for piece in rows.chunks(every) {
            let mut watch = RateWatch::new(&model, state);
            for row in piece {
                watch_add(&mut watch, row);
            }
            pieces.extend(watch.take_alarms());
            state = watch.into_state();
        }
        assert_eq!(whole, pieces, "stored after every {every} rows");
    }
}

/// Times that cannot be do not make history longer.
#[test]
fn times_far_off_are_no_weeks() {
    let mut rows = shop(7, 0..3);
    rows.insert(0, (-200_000_000_000, 0, "web"));
    rows.push((9_000_000_000_000, 0, "web"));
    let model = learn(&berlin(), &rows);
    assert!(model.components.iter().all(|(_, speaker)| speaker.rate.hours.is_none()));
    assert!(model.templates.iter().all(|rate| rate.hours.is_none()));
}
