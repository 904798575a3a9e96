use super::*;
use crate::calibration::splitmix;
use crate::control::Unattended;

const SECOND: Micros = 1_000_000;

/// History of `hours` in which `disk` writes template 0 every `pace` seconds, and 1 now and then.
fn history(hours: i64, pace: i64) -> RateModel {
    let mut log = RateLog::new(u64::MAX);
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
    Observed { ts, seen: Some(template), template: "", component: Some(component), is_told: false }
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
    let mut log = RateLog::new(u64::MAX);
    for &ts in &times {
        log.add(Some(ts), Some(0), Some("disk"));
    }
    let model = log.learn(1, Some, &Unattended).unwrap().unwrap();
    let even: Vec<Micros> = times.iter().map(|ts| ts.div_euclid(2 * SECOND) * 2 * SECOND).collect();
    let silence = even.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    for speaker in [&model.log, &model.components[0].1] {
        assert_eq!((speaker.rows, speaker.longest_silence), (300, silence));
    }
    for rate in [&model.log.rate, &model.components[0].1.rate, &model.templates[0]] {
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
        watch.add(&Observed {
            ts,
            seen: None,
            template: &second.to_string(),
            component: Some("web"),
            is_told: false,
        });
    }
    assert_eq!(watch.take_alarms(), []);
}

/// Whoever trains on the first minutes of a log sees no burst in the hours that are like them.
#[test]
fn a_short_history_is_no_record_for_long_windows() {
    for minutes in [1, 8, 50, 100, 200] {
        let mut log = RateLog::new(u64::MAX);
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
        let seen = usize::from(minutes >= 17);
        assert_eq!(watch.take_alarms().len(), seen, "a burst of seconds, after {minutes} minutes of history");
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
            is_told: false,
        });
    }
    assert!(!watch.take_alarms().iter().any(Alarm::is_spike));
    for i in 0..8 {
        watch.add(&Observed {
            ts: (4000 + i) * SECOND,
            seen: None,
            template: "kernel panic",
            component: None,
            is_told: false,
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
    let keys: Vec<Key> = alarms.iter().filter(|alarm| alarm.is_spike()).map(|alarm| alarm.key).collect();
    assert_eq!(keys, [Key::Template(1)], "not its component, which has nothing else: {alarms:?}");
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
        watch.add(&Observed {
            ts: i * SECOND,
            seen: None,
            template: "kernel panic",
            component: None,
            is_told: false,
        });
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
        watch.add(&Observed {
            ts,
            seen: None,
            template: &second.to_string(),
            component: Some("web"),
            is_told: false,
        });
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
    let web = |ts| Observed { ts, seen: None, template: "x", component: Some("web"), is_told: false };
    watch.add(&web(0));
    watch.nothing_until(5 * SECOND);
    assert_eq!(watch.take_alarms(), []);
    watch.nothing_until(3600 * SECOND);
    watch.nothing_until(3700 * SECOND);
    watch.add(&web(4000 * SECOND));
    let alarms = watch.take_alarms();
    assert!(matches!(alarms[..], [Alarm { key: Key::Log, ts: 0, .. }]), "{alarms:?}");
    // What is found when it is over is the log's, too.
    (4001..4010).for_each(|second| watch.add(&web(second * SECOND)));
    watch.add(&web(9000 * SECOND));
    assert_eq!(drops(&mut watch), [(Key::Log, 4009 * SECOND)]);
}

#[test]
fn while_nothing_speaks_nobody_is_blamed() {
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    // Nothing speaks for 40 seconds, and disk for 75: more than twice its 30, though not while others spoke.
    for second in (0..=100).chain(140..180) {
        if [0, 30, 60, 90, 165].contains(&second) {
            watch.add(&row(second * SECOND, 0, "disk"));
        }
        watch.add(&Observed {
            ts: second * SECOND,
            seen: None,
            template: "x",
            component: Some("web"),
            is_told: false,
        });
    }
    assert_eq!(drops(&mut watch), [(Key::Log, 100 * SECOND)]);
}

#[test]
fn times_may_be_the_first_and_the_last_there_are() {
    let times = [i64::MIN, i64::MIN + 1, 0, i64::MAX - 1, i64::MAX, i64::MAX];
    let mut log = RateLog::new(u64::MAX);
    for ts in times {
        log.add(Some(ts), Some(0), Some("disk"));
    }
    let whole = log.learn(1, Some, &Unattended).unwrap().unwrap();
    assert_eq!((whole.components[0].1.rows, whole.history), (6, i64::MAX));
    let model = history(20, 30);
    let mut watch = RateWatch::new(&model, None);
    for ts in times {
        watch.add(&row(ts, 0, "disk"));
    }
    watch.nothing_until(i64::MAX);
    let mut watch = RateWatch::new(&model, watch.into_state());
    watch.add(&row(i64::MAX, 0, "web"));
    assert_eq!(watch.take_alarms(), []);
    assert_eq!(watch.take_growing(), []);
}

#[test]
fn where_there_is_no_room_the_older_half_of_history_is_forgotten() {
    let entries = 1024;
    let mut log = RateLog::new(entries * MEMORY_SHARE * size_of::<Entry>() as u64);
    for i in 0..50 {
        log.add(Some(i), Some(0), Some("disk"));
    }
    let times: Vec<Micros> = (1..2000).map(|i| i * 10 * SECOND).collect();
    for &ts in &times {
        log.add(Some(ts), Some(1), Some("disk"));
    }
    let kept = log.entries.len();
    let model = log.learn(2, Some, &Unattended).unwrap().unwrap();
    assert_eq!(model.templates[0].peaks, [0; WINDOWS.len()]);
    assert!((512..=1024).contains(&kept), "{kept}");
    let kept = &times[times.len() - kept..];
    assert_eq!(model.templates[1].peaks, WINDOWS.map(|window| busiest(kept, window)));
    assert_eq!((model.components[0].1.rows, model.components[0].1.rate.peaks[0]), (2049, 50));
}

#[test]
fn what_stands_for_a_template_says_what_it_is() {
    let model = history(20, 30);
    let drop = Trouble::Drop { silence: 1, record: 1 };
    let spike = Trouble::Spike { count: 9, window: MINUTE, record: 1 };
    for (key, trouble, subject) in [
        (Key::Log, drop, Some("silence of the whole log")),
        (Key::Component(0), drop, Some("silence of component disk")),
        (Key::Component(1), spike, Some("burst of component mail")),
        (
            Key::Component(1),
            Trouble::Busy { count: 9, of_day: 23, record: 1 },
            Some("burst of component mail"),
        ),
        (Key::Log, Trouble::Quiet { count: 9, of_day: 23, record: 100 }, Some("lull of the whole log")),
        (Key::Template(0), spike, None),
    ] {
        let found = Alarm { key, ts: 0, since: 0, trouble }.subject(&model);
        assert_eq!(found.as_deref(), subject);
        let rows = match key {
            Key::Log => Some(model.log.rows),
            Key::Component(at) => Some(model.components[at as usize].1.rows),
            _ => None,
        };
        assert_eq!(found.and_then(|subject| model.subject_rows(&subject)), rows);
    }
}

/// Where few others speak, a component is looked at again later: then, too, a stored watch tells the same.
#[test]
fn a_stored_watch_looks_when_the_whole_one_does() {
    let mut log = RateLog::new(u64::MAX);
    for second in 0..20 * 3600 {
        for (every, component) in [(10, "web"), (50, "disk"), (70, "mail"), (90, "net")] {
            if second % every == 0 {
                log.add(Some(second * SECOND), None, Some(component));
            }
        }
    }
    let model = log.learn(0, Some, &Unattended).unwrap().unwrap();
    let mut ts = 0;
    let rows: Vec<(Micros, &str)> = (0..4000)
        .map(|i| {
            let chance = splitmix(i);
            ts += (chance % 13) as i64 * SECOND;
            let component = match chance >> 32 & 31 {
                0 => "disk",
                1 => "mail",
                2 => "net",
                _ => "web",
            };
            (ts, component)
        })
        .collect();
    let observed = |&(ts, component)| Observed {
        ts,
        seen: None,
        template: "x",
        component: Some(component),
        is_told: false,
    };
    let mut whole = RateWatch::new(&model, None);
    let (mut state, mut pieces) = (None, Vec::new());
    for row in &rows {
        whole.add(&observed(row));
        let mut piece = RateWatch::new(&model, state);
        piece.add(&observed(row));
        pieces.extend(piece.take_alarms());
        state = piece.into_state();
    }
    let whole = whole.take_alarms();
    assert!(whole.iter().filter(|alarm| !alarm.is_spike()).count() > 20);
    assert_eq!(whole, pieces);
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

/// Three days in which the components speak in turn, one each `pace` seconds.
fn in_turn(pace: i64, components: &[&str]) -> RateModel {
    let mut log = RateLog::new(u64::MAX);
    for (second, component) in (0..3 * 86_400).step_by(pace as usize).zip(components.iter().cycle()) {
        log.add(Some(second * SECOND), Some(0), Some(component));
    }
    log.learn(1, Some, &Unattended).unwrap().unwrap()
}

fn drops(watch: &mut RateWatch<'_>) -> Vec<(Key, Micros)> {
    let alarms = watch.take_alarms().into_iter();
    alarms.filter(|alarm| !alarm.is_spike()).map(|alarm| (alarm.key, alarm.ts)).collect()
}

/// Where components speak in turn, the log itself has longer gaps once one of them is gone: that excuses nobody.
#[test]
fn who_falls_silent_in_turn_is_told() {
    for (pace, components, left) in [
        (30, &["web", "db"][..], 1),
        (10, &["web", "db"], 1),
        (10, &["web", "db", "mail"], 2),
        (10, &["web", "db", "mail"], 1),
    ] {
        let model = in_turn(pace, components);
        let mut watch = RateWatch::new(&model, None);
        let mut gone = Vec::new();
        for (i, at) in (0..1200).zip((0..components.len()).cycle()) {
            let ts = i * pace * SECOND;
            if i < 60 || at < left {
                watch.add(&row(ts, 0, components[at]));
            }
            if i == 60 + 40 * components.len() as i64 {
                gone = drops(&mut watch);
            }
        }
        let told: Vec<Key> = gone.iter().map(|&(key, _)| key).collect();
        for name in &components[left..] {
            let key = Key::Component(model.component(name).unwrap());
            assert!(told.contains(&key), "{pace} s, {name} of {components:?}: {gone:?}");
        }
        let name = components[0];
        assert!(!told.contains(&Key::Component(model.component(name).unwrap())), "{gone:?}");
        // Where the gaps are longer than twice the longest, that is told once.
        assert_eq!(
            gone.iter().filter(|(key, _)| *key == Key::Log).count(),
            usize::from(components.len() - left > 1)
        );
        assert_eq!(drops(&mut watch), [], "once");
    }
}

/// What reads history finds the hole when the log goes on.
#[test]
fn a_hole_of_the_whole_log_is_told_when_it_is_over() {
    let model = in_turn(60, &["web"]);
    let hole = 200..500;
    let mut watch = RateWatch::new(&model, None);
    for minute in (0..1000).filter(|minute| !hole.contains(minute)) {
        watch.add(&row(minute * MINUTE, 0, "web"));
    }
    let alarms = watch.take_alarms();
    assert!(
        matches!(alarms[..], [Alarm { key: Key::Log, trouble: Trouble::Drop { silence, .. }, ts, .. }]
            if ts == 199 * MINUTE && silence == 301 * MINUTE),
        "{alarms:?}"
    );
    // A row every hour is not the log as it was, and no news; a longer hole is.
    for hour in 17..30 {
        watch.add(&row(hour * 60 * MINUTE, 0, "web"));
    }
    assert_eq!(drops(&mut watch), [(Key::Log, 999 * MINUTE), (Key::Log, 17 * 60 * MINUTE)]);
}

/// Rows that have no component tell as much of the whole log.
#[test]
fn a_log_without_components_has_holes_too() {
    let mut log = RateLog::new(u64::MAX);
    (0..3 * 1440).for_each(|minute| log.add(Some(minute * MINUTE), Some(0), None));
    let model = log.learn(1, Some, &Unattended).unwrap().unwrap();
    let mut watch = RateWatch::new(&model, None);
    for minute in (0..600).filter(|minute| !(200..500).contains(minute)) {
        watch.add(&Observed {
            ts: minute * MINUTE,
            seen: Some(0),
            template: "",
            component: None,
            is_told: false,
        });
    }
    assert_eq!(drops(&mut watch), [(Key::Log, 199 * MINUTE)]);
}

/// What became of each burst: key, time of its alarm, when it ended, how many events; those that go on at the end, too.
fn bursts(model: &RateModel, rows: &[Observed<'_>], is_stored: bool) -> Vec<(Key, Micros, Micros, u32)> {
    let mut watch = RateWatch::new(model, None);
    let mut told: HashMap<(Key, Micros), (Micros, u32)> = HashMap::new();
    for row in rows {
        watch.add(row);
        if is_stored {
            let growing = watch.take_growing();
            assert!(growing.len() <= 2);
            told.extend(growing.into_iter().map(|one| ((one.key, one.ts), (one.until, one.events))));
        }
        let alarms = watch.take_alarms().into_iter().filter(Alarm::is_spike);
        told.extend(alarms.map(|one| ((one.key, one.ts), (one.ts, one.events()))));
        told.extend(watch.take_grown().into_iter().map(|one| ((one.key, one.ts), (one.until, one.events))));
        if is_stored {
            watch = RateWatch::new(model, watch.into_state());
        }
    }
    told.extend(watch.take_growing().into_iter().map(|one| ((one.key, one.ts), (one.until, one.events))));
    assert_eq!(watch.take_growing(), [], "told");
    let mut all: Vec<_> =
        told.into_iter().map(|((key, ts), (until, events))| (key, ts, until, events)).collect();
    all.sort_unstable();
    all
}

/// Six lines a minute, and in ten minutes of it six hundred: that is what is told, whether the watch is stored meanwhile or not.
#[test]
fn a_burst_is_as_long_and_as_large_as_it_was() {
    let model = in_turn(10, &["web"]);
    let mut rows: Vec<Observed<'_>> = (0..1000).map(|i| row(i * 10 * SECOND, 0, "web")).collect();
    let start = 3000 * SECOND;
    rows.extend((1..6000).map(|i| row(start + i * SECOND / 10, 0, "web")));
    rows.sort_by_key(|row| row.ts);
    let whole = bursts(&model, &rows, false);
    let [(Key::Template(0), ts, until, events)] = whole[..] else { panic!("{whole:?}") };
    assert!((start..start + SECOND).contains(&ts));
    // The last window of ten seconds is full for as long.
    assert!((start + 600 * SECOND..start + 612 * SECOND).contains(&until), "{}", (until - start) / SECOND);
    assert!((6050..6070).contains(&events), "{events}");
    let few: Vec<Observed<'_>> = rows.iter().copied().filter(|row| row.ts % (SECOND / 2) == 0).collect();
    assert_eq!(bursts(&model, &few, false), bursts(&model, &few, true));
    assert_eq!(bursts(&model, &few, false).len(), 1);
}

/// What comes more slowly than a burst began is of it as long as it breaks a record by itself.
#[test]
fn a_burst_may_slow_down() {
    let model = in_turn(60, &["web"]);
    let fast = (0..20).map(|i| i * SECOND / 2);
    let slow = (0..120).map(|i| (20 + i * 10) * SECOND);
    let rows: Vec<Observed<'_>> = fast.chain(slow).map(|ts| row(ts, 0, "web")).collect();
    let told = bursts(&model, &rows, false);
    assert!(
        matches!(told[..], [(Key::Template(0), _, until, 135..=140)] if until > 1150 * SECOND),
        "{told:?}"
    );
}

/// A line that is told of by itself breaks records with the others, and is not counted twice.
#[test]
fn what_is_told_of_is_not_of_the_burst() {
    let model = in_turn(60, &["web"]);
    let rows: Vec<Observed<'_>> =
        (0..100).map(|i| Observed { is_told: i >= 10, ..row(i * SECOND / 2, 0, "web") }).collect();
    let told = bursts(&model, &rows, false);
    assert!(matches!(told[..], [(Key::Template(0), _, _, 10)]), "{told:?}");
}

/// A component bursts where none of its templates does alone.
#[test]
fn a_component_bursts_with_many_templates() {
    let model = in_turn(60, &["web"]);
    let names: Vec<String> = (0..40).map(|i| format!("unseen {}", i % 20)).collect();
    let rows: Vec<Observed<'_>> = (0..)
        .zip(&names)
        .map(|(i, template)| Observed { seen: None, template, ..row(i * SECOND, 0, "web") })
        .collect();
    let told = bursts(&model, &rows, false);
    assert!(matches!(told[..], [(Key::Component(0), _, until, 40)] if until == 39 * SECOND), "{told:?}");
}
