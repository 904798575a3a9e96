//! Models as bytes. Their checksum tells damage; here it is made to fit, as one who means harm would: a `tfidf_model` can be
//! written by anybody.
use std::sync::LazyLock;

use logintel_core::artifact::{self, Artifact};
use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::{DetectorOptions, Micros};
use logintel_core::control::{Unattended, Watch};
use logintel_core::detect::{Detector, Mode, Scratch};
use logintel_core::line::Line;
use logintel_core::rates::{Observed, RateModel, RateState, RateWatch};
use logintel_core::tfidf::TfidfModel;
use logintel_core::vectorizer::{Scratch as TextScratch, Vectorizer};

/// What is asked of every model that is accepted.
const MESSAGES: [&str; 5] = [
    "",
    "PacketResponder 1 for block blk_38865 terminating",
    "Disk failure detected on DataNode größe ²",
    "user 7 logged in from 10.0.0.1",
    "<*>",
];
const SECOND: Micros = 1_000_000;
/// Bytes before an artifact's body.
const HEADER: usize = 18;

/// The body in an envelope that fits.
pub fn sealed<T: Artifact>(body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![b'L', b'G', b'I', T::LETTER];
    bytes.extend(T::VERSION.to_le_bytes());
    bytes.extend((body.len() as u64).to_le_bytes());
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes);
    hasher.update(body);
    bytes.extend(hasher.finalize().to_le_bytes());
    bytes.extend(body);
    bytes
}

/// The body of an artifact's bytes.
pub fn body(bytes: &[u8]) -> &[u8] {
    &bytes[HEADER..]
}

/// The value of a body, of which the same bytes are made again.
fn accepted<T: Artifact>(body: &[u8]) -> Option<T> {
    let bytes = sealed::<T>(body);
    let value = artifact::decode::<T>(&bytes, &Unattended).ok()?;
    assert_eq!(artifact::encode(&value, &Unattended), Ok(bytes));
    Some(value)
}

pub(crate) fn tfidf_model(input: &[u8]) {
    let Some(model) = accepted::<TfidfModel>(input) else { return };
    for index in 0..model.len().min(64) {
        let term = model.term(index);
        assert_eq!(model.find(&term), Some(index), "{term}");
        assert!((1..=model.documents).contains(&model.df(index)));
    }
    let dimensions = model.len();
    let Ok(vectorizer) = Vectorizer::new(model) else { return };
    let mut scratch = TextScratch::default();
    for message in MESSAGES {
        if let Ok(vector) = vectorizer.embed(message, &mut scratch) {
            assert_eq!(vector.dim as usize, dimensions);
            assert!(vector.indices.iter().all(|&index| (index as usize) < dimensions));
        }
    }
}

pub(crate) fn detector_model(input: &[u8]) {
    let Some(baseline) = accepted::<Baseline>(input) else { return };
    let _ = baseline.threshold();
    let _ = baseline.clusters();
    let Ok(detector) = Detector::new(baseline, Watch::default()) else { return };
    let mut scratch = Scratch::new(Watch::default());
    let _ = detector.templates().matcher(&Unattended);
    let known: Vec<String> = (0..8).filter_map(|at| detector.template(at)).map(str::to_owned).collect();
    for message in MESSAGES.into_iter().chain(known.iter().map(String::as_str)) {
        let line = Line {
            component: Some("app"),
            source: Some("host"),
            ts: Some(0),
            ..Line::new(message, Some("INFO"))
        };
        for mode in [Mode::Live, Mode::History] {
            let _ = detector.judge(&line, mode, &mut scratch);
        }
        let _ = detector.explain(&line, &mut scratch);
        let _ = detector.coverage(message, &mut scratch);
        let _ = detector.template_rows(message);
    }
    if let Some(rates) = detector.rates() {
        let mut watch = RateWatch::new(rates, None);
        watch_rows(&mut watch);
    }
}

/// A model that knows rates and sessions.
///
/// # Panics
/// Never.
pub fn small_baseline() -> Baseline {
    let options = DetectorOptions { false_alarm_rate: 0.1, ..DetectorOptions::default() };
    let mut trainer = Trainer::new(&options, u64::MAX, Watch::default()).expect("options of ours");
    for at in 0..400_i64 {
        let number = at as usize;
        let message = format!("{} {}", ["user logged in", "job done", "cache hit"][number % 3], at % 7);
        let line = Line {
            ts: Some(at * 20 * SECOND),
            component: Some(["app", "web"][number % 2]),
            ..Line::new(&message, Some("INFO"))
        };
        let message = trainer.add(&line).expect("memory enough");
        trainer
            .sessions()
            .add(Some(["one", "two", "three"][number % 3]), message, line.ts)
            .expect("memory enough");
    }
    trainer.finish(&Unattended).expect("a model")
}

/// What a watch of that model knows after some rows.
///
/// # Panics
/// Never.
pub fn small_state() -> RateState {
    let mut watch = RateWatch::new(small_rates(), None);
    watch_rows(&mut watch);
    watch.into_state().expect("a row has come")
}

fn small_rates() -> &'static RateModel {
    static MODEL: LazyLock<Baseline> = LazyLock::new(small_baseline);
    MODEL.rates.as_ref().expect("history had times")
}

pub(crate) fn rate_state(input: &[u8]) {
    let Some(state) = accepted::<RateState>(input) else { return };
    let mut watch = RateWatch::new(small_rates(), Some(state));
    watch_rows(&mut watch);
    let state = watch.into_state().expect("a row has come");
    assert!(
        artifact::decode::<RateState>(&artifact::encode(&state, &Unattended).unwrap(), &Unattended).is_ok()
    );
}

fn watch_rows(watch: &mut RateWatch<'_>) {
    // Times of any order: rows come as they come.
    for (at, ts) in [0, 5 * SECOND, 3600 * SECOND, SECOND, 90_000 * SECOND].into_iter().enumerate() {
        let row = Observed {
            ts,
            seen: (at % 2 == 0).then_some(at as u32),
            template: "job done <*>",
            component: Some("app"),
            is_told: false,
        };
        watch.add(&row);
    }
    watch.nothing_until(Micros::MAX);
    let _ = (watch.take_alarms(), watch.take_growing(), watch.take_grown());
}
