use super::*;
use crate::calibration::splitmix;
use crate::control::Unattended;

const SECOND: Micros = 1_000_000;

/// History of `hours` in which `disk` writes template 0 every `pace` seconds, and 1 now and then.
fn history(hours: i64, pace: i64) -> RateModel {
    let mut log = RateLog::default();
    for second in 0..hours * 3600 {
        let chance = splitmix(second as u64);
        if second % pace == 0 {
            log.add(Some(second * SECOND), Some(0), Some("disk"));
        }
        if chance.is_multiple_of(1800) {
            log.add(Some(second * SECOND), Some(1), Some("mail"));
        }
        log.add(Some(second * SECOND), None, Some("web"));
    }
    log.learn(2, Some, &Unattended).unwrap().unwrap()
}

fn row(ts: Micros, template: u32, component: &str) -> Observed<'_> {
    Observed { ts, seen: Some(template), template: "", component: Some(component) }
}

/// The most events within a window, counted by looking at all of them.
fn busiest(times: &[Micros], window: Micros) -> u32 {
    let part = window / PARTS as i64;
    let ends = times.iter().map(|ts| ts.div_euclid(part));
    let holds = |end: i64| {
        times.iter().filter(move |ts| (end - PARTS as i64 + 1..=end).contains(&ts.div_euclid(part)))
    };
    ends.map(|end| holds(end).count() as u32).max().unwrap_or(0)
}

#[test]
fn records_are_those_of_counting_by_hand() {
    let times: Vec<Micros> = {
        let chance = |i: u64| (splitmix(i) % 7_200) as i64 - 3_600;
        let mut times: Vec<_> = (0..300).map(|i| chance(i) * SECOND).collect();
        times.sort_unstable();
        times
    };
    let mut log = RateLog::default();
    for &ts in &times {
        log.add(Some(ts), Some(0), Some("disk"));
    }
    let model = log.learn(1, Some, &Unattended).unwrap().unwrap();
    let even: Vec<Micros> = times.iter().map(|ts| ts.div_euclid(2 * SECOND) * 2 * SECOND).collect();
    let silence = even.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    for rate in [model.log, model.components[0].1, model.templates[0]] {
        assert_eq!(rate.rows, 300);
        assert_eq!(rate.longest_silence, silence);
        for (peak, window) in rate.peaks.into_iter().zip(WINDOWS) {
            assert_eq!(peak, busiest(&even, window), "in {window}");
        }
    }
}

#[test]
fn what_is_as_history_was_is_no_news() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    for second in 0..10 * 3600i64 {
        let ts = (second + 90_000) * SECOND;
        if second % 30 == 0 {
            watch.add(&row(ts, 0, "disk"));
        }
        if splitmix(second as u64 + 7).is_multiple_of(1800) {
            watch.add(&row(ts, 1, "mail"));
        }
        watch.add(&Observed { ts, seen: None, template: &second.to_string(), component: Some("web") });
    }
    assert_eq!(watch.take_alarms(), []);
}

/// Whoever trains on the first minutes of a log sees no burst in the hours that are like them.
#[test]
fn a_short_history_is_no_record_for_long_windows() {
    for minutes in [1, 8, 50, 100] {
        let mut log = RateLog::default();
        for second in (0..minutes * 60).step_by(4) {
            log.add(Some(second * SECOND), Some(0), Some("shop"));
        }
        let model = log.learn(1, Some, &Unattended).unwrap().unwrap();
        let mut watch = RateWatch::new(&model, None);
        for second in (0..4 * 3600).step_by(4) {
            watch.add(&row((minutes * 60 + second) * SECOND, 0, "shop"));
        }
        assert_eq!(watch.take_alarms(), [], "{minutes} minutes of history");
        let burst = (4 * 3600 + minutes * 60) * SECOND;
        (0..20).for_each(|i| watch.add(&row(burst + i * SECOND / 4, 0, "shop")));
        assert_eq!(
            watch.take_alarms().len(),
            2,
            "a burst of seconds is seen after {minutes} minutes of history"
        );
    }
}

/// Templates without end take the room of the unseen ones; what is over for an hour makes room.
#[test]
fn unseen_templates_without_end_are_not_all_kept() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    let name = |i: u32| format!("unseen {i}");
    for i in 0..3 * watch::MAX_UNSEEN as u32 {
        watch.add(&Observed {
            ts: i64::from(i) * SECOND / 10,
            seen: None,
            template: &name(i),
            component: None,
        });
    }
    assert!(!watch.take_alarms().iter().any(Alarm::is_spike));
    for i in 0..8 {
        watch.add(&Observed {
            ts: (4000 + i) * SECOND,
            seen: None,
            template: "kernel panic",
            component: None,
        });
    }
    let alarms = watch.take_alarms();
    let spikes: Vec<&Alarm> = alarms.iter().filter(|alarm| alarm.is_spike()).collect();
    assert!(matches!(spikes[..], [Alarm { key: Key::Unseen(_), .. }]), "there is room again: {spikes:?}");
}

#[test]
fn a_burst_is_told_of_once() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    for i in 0..60 {
        watch.add(&row(i * SECOND / 2, 1, "mail"));
    }
    let alarms = watch.take_alarms();
    let is_spike = |alarm: &&Alarm| matches!(alarm.trouble, Trouble::Spike { .. });
    let keys: Vec<Key> = alarms.iter().filter(is_spike).map(|alarm| alarm.key).collect();
    assert_eq!(keys, [Key::Template(1), Key::Component(1)], "{alarms:?}");
    assert!(alarms[0].ts <= 5 * SECOND, "before the tenth line");
    for i in 0..60 {
        watch.add(&row(7200 * SECOND + i * SECOND / 2, 1, "mail"));
    }
    assert!(
        watch.take_alarms().iter().any(|alarm| alarm.key == Key::Template(1)),
        "it is over, and comes again"
    );
}

#[test]
fn three_where_one_was_is_no_news_and_a_foreign_burst_is() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    for i in 0..3 {
        watch.add(&row(i * SECOND, 1, "mail"));
    }
    assert_eq!(watch.take_alarms(), []);
    for i in 0..8 {
        watch.add(&Observed { ts: i * SECOND, seen: None, template: "kernel panic", component: None });
    }
    assert!(matches!(watch.take_alarms()[..], [Alarm { key: Key::Unseen(_), .. }]));
}

#[test]
fn silence_is_told_of_once_and_when_it_began() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    for second in 0..3600 {
        let ts = second * SECOND;
        if second % 30 == 0 && !(600..1800).contains(&second) {
            watch.add(&row(ts, 0, "disk"));
        }
        watch.add(&Observed { ts, seen: None, template: &second.to_string(), component: Some("web") });
    }
    let alarms = watch.take_alarms();
    let drops: Vec<(Key, Micros)> = alarms.iter().map(|alarm| (alarm.key, alarm.ts)).collect();
    assert_eq!(drops, [(Key::Component(0), 570 * SECOND)]);
    assert!(matches!(alarms[0].trouble, Trouble::Drop { silence, .. } if silence < 90 * SECOND));
}

#[test]
fn where_nothing_speaks_that_alone_is_told() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    let web = |ts| Observed { ts, seen: None, template: "x", component: Some("web") };
    watch.add(&web(0));
    watch.nothing_until(5 * SECOND);
    assert_eq!(watch.take_alarms(), []);
    watch.nothing_until(3600 * SECOND);
    watch.nothing_until(3700 * SECOND);
    watch.add(&web(4000 * SECOND));
    let alarms = watch.take_alarms();
    assert!(matches!(alarms[..], [Alarm { key: Key::Log, ts: 0, .. }]), "{alarms:?}");
    // Found when it is over, it is nobody's.
    watch.add(&web(9000 * SECOND));
    assert_eq!(watch.take_alarms(), []);
}

/// A watch that is stored after every row and goes on from there tells the same.
#[test]
fn a_stored_watch_goes_on() {
    let model = history(20, 30);
    let rows: Vec<(Micros, u32)> = (0..3000u64)
        .map(|i| ((i * 10 + splitmix(i) % 10) as i64 * SECOND, u32::from(splitmix(i + 9).is_multiple_of(3))))
        .filter(|&(ts, _)| !(5000 * SECOND..9000 * SECOND).contains(&ts))
        .collect();
    let component = |template: u32| ["disk", "mail"][template as usize];
    let mut whole = RateWatch::new(&model, None);
    let (mut state, mut pieces) = (None, Vec::new());
    for &(ts, template) in &rows {
        whole.add(&row(ts, template, component(template)));
        let mut piece = RateWatch::new(&model, state);
        piece.add(&row(ts, template, component(template)));
        pieces.extend(piece.take_alarms());
        let stored = crate::artifact::encode(&piece.into_state().unwrap(), &Unattended).unwrap();
        state = Some(crate::artifact::decode::<RateState>(&stored, &Unattended).unwrap());
    }
    let whole = whole.take_alarms();
    assert!(!whole.is_empty());
    assert_eq!(whole, pieces);
}
