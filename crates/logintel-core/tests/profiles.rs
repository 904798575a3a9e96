//! Profiles on lines from a known generator: the rate that is asked for holds in each, whatever the others do.
use logintel_core::artifact;
use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::{Column, DetectorOptions};
use logintel_core::control::{Unattended, Watch};
use logintel_core::detect::{Detector, Judgement, Mode, Scratch};
use logintel_core::line::Line;
use logintel_core::options::Masks;

/// Numbers that look random, the same in every run (`SplitMix64`).
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }

    fn words(&mut self, count: u64) -> String {
        let words: Vec<String> = (0..count).map(|_| format!("w{}", self.below(300))).collect();
        words.join(" ")
    }
}

/// Component, level and message.
type Row = (&'static str, &'static str, String);

fn line((component, level, message): &Row) -> Line<'_> {
    Line { component: Some(component), ..Line::new(message, Some(level)) }
}

/// One row in twenty of `chatty` and of `odd` is as nobody wrote it before, and so is one in 500 of `quiet` and `mixed`. Each
/// has six messages of its own else, `odd` one; the warnings of `mixed`, one in 50 of its rows, are those of `quiet`.
fn row(random: &mut Random) -> Row {
    let known = random.below(6);
    let message = match known {
        0 => "connection from client accepted",
        1 => "connection to client closed",
        2 => "cache filled",
        3 => "cache emptied after use",
        4 => "heartbeat",
        _ => "configuration read again on request of the administrator",
    };
    let new = |random: &mut Random, rate: u64| {
        let length = 3 + random.below(8);
        (random.below(rate) == 0).then(|| random.words(length))
    };
    match random.below(8) {
        0..=2 => {
            ("chatty", "INFO", new(random, 20).unwrap_or_else(|| format!("{message} by the chatty one")))
        }
        3 => ("odd", "DEBUG", new(random, 20).unwrap_or_else(|| "odd".to_owned())),
        4 | 5 => ("quiet", "INFO", new(random, 500).unwrap_or_else(|| message.to_owned())),
        _ if random.below(50) == 0 => ("mixed", "WARN", message.to_owned()),
        _ => ("mixed", "INFO", new(random, 500).unwrap_or_else(|| format!("{message} by the mixed one"))),
    }
}

fn rows(seed: u64, count: usize) -> Vec<Row> {
    let mut random = Random(seed);
    (0..count).map(|_| row(&mut random)).collect()
}

/// A message is a template as it is.
fn options(profiles: &[Column]) -> DetectorOptions {
    let mut options = DetectorOptions { profiles: profiles.to_vec(), ..DetectorOptions::default() };
    options.vectorizer.masks = Masks::None;
    options
}

fn trained(rows: &[Row], profiles: &[Column]) -> Baseline {
    let mut trainer = Trainer::new(&options(profiles), u64::MAX, Watch::default()).unwrap();
    for row in rows {
        trainer.add(&line(row)).unwrap();
    }
    trainer.finish(&Unattended).unwrap()
}

fn judge(detector: &Detector, row: &Row) -> Judgement {
    detector.judge(&line(row), Mode::Live, &mut Scratch::new(Watch::default())).unwrap()
}

/// Shares of the rows of each component that are flagged, and that score above 0.99, over several histories and what came after each.
fn shares<const N: usize>(components: [&str; N], profiles: &[Column]) -> [(f64, f64); N] {
    let mut counts = [(0, 0, 0); N];
    for seed in 0..6 {
        let baseline = trained(&rows(2 * seed, 40_000), profiles);
        let detector = Detector::new(baseline, Watch::default()).unwrap();
        let mut scratch = Scratch::new(Watch::default());
        for row in rows(2 * seed + 1, 40_000) {
            let Some(at) = components.iter().position(|&component| component == row.0) else { continue };
            let found = detector.judge(&line(&row), Mode::Live, &mut scratch).unwrap();
            counts[at].0 += u32::from(found.is_anomaly);
            counts[at].1 += u32::from(found.score > 0.99);
            counts[at].2 += 1;
        }
    }
    counts.map(|(flagged, high, rows)| {
        (f64::from(flagged) / f64::from(rows), f64::from(high) / f64::from(rows))
    })
}

const BOTH: [Column; 2] = [Column::Component, Column::Level];

#[test]
fn the_rate_holds_in_each_profile() {
    // 1 % is asked for, and somewhat less comes: the model that judges has seen a fold more than those that calibrate it.
    // Of the rarest of these 300 rows are expected, give or take 17, and the limits differ by a standard error of 17 again.
    for (component, (flagged, high)) in ["chatty", "odd"].iter().zip(shares(["chatty", "odd"], &BOTH)) {
        println!("{component}: {flagged:.4} flagged, {high:.4} above 0.99");
        assert!((0.0075..=0.0115).contains(&flagged), "{component}: {flagged}");
        assert!((0.0065..=0.0115).contains(&high), "{component}: {high}");
    }
    // Here 0.2 % are strange at all, and all of those are flagged.
    for (component, (flagged, high)) in ["quiet", "mixed"].iter().zip(shares(["quiet", "mixed"], &BOTH)) {
        println!("{component}: {flagged:.4} flagged, {high:.4} above 0.99");
        assert!((0.0015..=0.0025).contains(&flagged), "{component}: {flagged}");
        assert!(high <= flagged, "{component}: {high}");
    }
    // One baseline for all lets the chatty ones decide: they are flagged too often, and new lines of the quiet ones too rarely.
    let [chatty, quiet] = shares(["chatty", "quiet"], &[]);
    println!("without profiles: chatty {chatty:?}, quiet {quiet:?}");
    assert!(chatty.0 > 0.0125 && quiet.0 < 0.0012, "{chatty:?}, {quiet:?}");
}

#[test]
fn what_only_others_write_is_strange() {
    let baseline = trained(&rows(3, 40_000), &BOTH);
    let names: Vec<String> = baseline.profiles.iter().map(ToString::to_string).collect();
    assert_eq!(names[0], "");
    assert!(names.contains(&"component=quiet, level=INFO".to_owned()), "{names:?}");
    let detector = Detector::new(baseline, Watch::default()).unwrap();
    let heartbeat = |component, level| -> Row { (component, level, "heartbeat".to_owned()) };
    assert!(!judge(&detector, &heartbeat("quiet", "INFO")).is_anomaly);
    let found = judge(&detector, &heartbeat("mixed", "INFO"));
    assert_eq!((found.is_anomaly, found.reason.to_string().as_str()), (true, "rare_template"));
    assert!((0.99..1.0).contains(&found.score), "less strange than what nobody wrote: {}", found.score);
    // Of a component that writes something new all the time it is nothing, and neither is it of one that nobody knows.
    assert!(!judge(&detector, &heartbeat("chatty", "INFO")).is_anomaly);
    assert!(!judge(&detector, &heartbeat("stranger", "TRACE")).is_anomaly);
    // Its own messages and level are not enough together, its component is.
    assert!(!judge(&detector, &heartbeat("mixed", "WARN")).is_anomaly);
    let row = heartbeat("mixed", "INFO");
    let explained = detector.explain(&line(&row), &mut Scratch::new(Watch::default())).unwrap();
    let detail = |kind: &str| &explained.iter().find(|row| row.kind == kind).unwrap().detail;
    assert!(
        detail("rule").ends_with("times, but never with component=mixed, level=INFO"),
        "{}",
        detail("rule")
    );
    assert_eq!(detail("threshold"), "the distance is 0.000, the limit 0.000 of component=mixed, level=INFO");
}

#[test]
fn with_too_few_rows_the_rest_decides() {
    let history = |count| -> Vec<Row> {
        let quiet = std::iter::repeat_n(("quiet", "INFO", "heartbeat".to_owned()), count);
        let others = (0..500).map(|number| ("other", "INFO", format!("message {}", number % 7)));
        quiet.chain(others).collect()
    };
    let named = |count| {
        let baseline = trained(&history(count), &[Column::Component]);
        baseline.profiles.iter().map(|profile| (profile.to_string(), profile.rows)).collect::<Vec<_>>()
    };
    assert_eq!(named(999), [(String::new(), 1499)]);
    assert_eq!(named(1000), [(String::new(), 500), ("component=quiet".to_owned(), 1000)]);
    // Where nothing is left of the rest, or too little, all of history stands for it.
    let baseline = trained(&history(2000)[..2050], &[Column::Component]);
    let rest = &baseline.profiles[0];
    assert_eq!((rest.rows, rest.calibration.rows()), (50, 2050));
}

#[test]
fn the_same_rows_make_the_same_model() {
    let history = rows(4, 10_000);
    let bytes = || artifact::encode(&trained(&history, &BOTH), &Unattended).unwrap();
    let first = bytes();
    assert!(first == bytes());
    let read: Baseline = artifact::decode(&first, &Unattended).unwrap();
    assert_eq!(read, trained(&history, &BOTH));
    assert!(read.profiles.len() > 2);
}

#[test]
fn damaged_profiles_are_refused() {
    let baseline = trained(&rows(5, 10_000), &BOTH);
    let refused = |damage: &dyn Fn(&mut Baseline)| {
        let mut damaged = baseline.clone();
        damage(&mut damaged);
        let bytes = artifact::encode(&damaged, &Unattended).unwrap();
        let error = artifact::decode::<Baseline>(&bytes, &Unattended).unwrap_err();
        assert!(error.to_string().contains("profile"), "{error}");
    };
    refused(&|damaged| damaged.profiles.clear());
    refused(&|damaged| damaged.profiles.reverse());
    refused(&|damaged| damaged.profiles[1].key.clear());
    refused(&|damaged| damaged.profiles[1].calibration.threshold = f64::NAN);
    refused(&|damaged| damaged.profiles[1].templates.reverse());
    refused(&|damaged| damaged.profiles[1].templates.push(u32::MAX));
}
