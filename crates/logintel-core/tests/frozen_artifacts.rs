//! Artifacts of every released format version are read and answer as they did.
//!
//! `cargo test --test frozen_artifacts -- --ignored` writes those of the current version, once, where they are missing.
mod common;

use std::path::PathBuf;

use logintel_core::artifact;
use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::DetectorOptions;
use logintel_core::control::{Unattended, Watch};
use logintel_core::counts::TermCounts;
use logintel_core::detect::{Detector, Mode, Scratch};
use logintel_core::line::Line;
use logintel_core::options::TfidfOptions;
use logintel_core::tfidf::TfidfModel;
use logintel_core::vectorizer::{Scratch as TextScratch, Vectorizer};
use serde_json::{Value, json};

const LINES: [&str; 8] = [
    "Receiving block blk_-160899 src: /10.250.19.102:54106 dest: /10.250.19.102:50010",
    "PacketResponder 1 for block blk_38865 terminating",
    "PacketResponder 2 for block blk_77 terminating",
    "authentication failure; logname= uid=0 rhost=218.188.2.4  user=root",
    "session opened for user größe by (uid=0)",
    "session closed for user größe",
    "Verification succeeded for blk_4980916519894289629",
    "Σίσυφος ΣΑΣ 日本語 ² e\u{301}",
];
const STRANGERS: [&str; 3] =
    ["Disk failure detected on DataNode", "", "PacketResponder 9 for block blk_1 interrupted"];

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

fn tfidf_answers(model: TfidfModel) -> Value {
    let terms: Vec<_> = (0..model.len()).map(|i| json!([model.term(i), model.df(i), model.idf(i)])).collect();
    let (options, documents, pruned) = (model.options.to_json(), model.documents, model.pruned);
    let (vectorizer, mut scratch) = (Vectorizer::new(model).unwrap(), TextScratch::default());
    let mut embed = |line: &&str| {
        let vector = vectorizer.embed(line, &mut scratch).unwrap();
        json!([vector.indices, vector.values])
    };
    let vectors: Vec<_> = LINES.iter().chain(&STRANGERS).map(&mut embed).collect();
    json!({"options": options, "documents": documents, "pruned": pruned, "terms": terms, "vectors": vectors})
}

fn detector_answers(baseline: Baseline) -> Value {
    let threshold = baseline.threshold();
    let (detector, mut scratch) =
        (Detector::new(baseline, Watch::default()).unwrap(), Scratch::new(Watch::default()));
    let mut judge = |line: &&str| {
        let found = detector.judge(&Line::new(line, Some("INFO")), Mode::Live, &mut scratch).unwrap();
        json!([
            found.is_anomaly,
            found.score,
            found.reason.to_string(),
            found.cluster,
            found.template,
            found.distance
        ])
    };
    let judgements: Vec<_> = LINES.iter().chain(&STRANGERS).map(&mut judge).collect();
    json!({"threshold": threshold, "judgements": judgements})
}

/// Equal, numbers within the last bits of float4.
fn alike(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            (a - b).abs() <= 1e-6 * b.abs()
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|b| alike(value, b)))
        }
        _ => a == b,
    }
}

fn assert_frozen(name: &str, answers: impl Fn(&[u8]) -> Value) {
    let bytes = std::fs::read(fixture(&format!("{name}.bin"))).unwrap();
    let kept = std::fs::read_to_string(fixture(&format!("{name}.json"))).unwrap();
    let (kept, ours): (Value, Value) = (serde_json::from_str(&kept).unwrap(), answers(&bytes));
    assert!(alike(&ours, &kept), "{name}: {ours:#}\ninstead of {kept:#}");
}

#[test]
fn tfidf_model_of_version_1() {
    assert_frozen("tfidf_model_v1", |bytes| tfidf_answers(artifact::decode(bytes, &Unattended).unwrap()));
}

#[test]
fn detector_model_of_version_1() {
    assert_frozen("detector_v1", |bytes| detector_answers(artifact::decode(bytes, &Unattended).unwrap()));
}

fn freeze(name: &str, bytes: &[u8], answers: &Value) {
    let path = fixture(&format!("{name}.bin"));
    if !path.exists() {
        std::fs::write(path, bytes).unwrap();
        std::fs::write(fixture(&format!("{name}.json")), format!("{answers}\n")).unwrap();
    }
}

#[test]
#[ignore = "writes the fixtures"]
fn freeze_the_current_version() {
    let options = json!({
        "ngram_range": [1, 2], "min_df": 1, "max_df": 0.7, "max_features": 30, "sublinear_tf": true,
        "stop_words": ["for", "by"], "masks": [{"name": "n", "pattern": "[0-9]+"}],
    });
    let mut counts =
        TermCounts::new(&TfidfOptions::default().merge(&options).unwrap(), u64::MAX, Watch::default())
            .unwrap();
    for line in LINES {
        counts.add(line).unwrap();
    }
    let model = counts.finish().unwrap();
    freeze("tfidf_model_v1", &artifact::encode(&model, &Unattended).unwrap(), &tfidf_answers(model));

    // At this rate so few rows make a profile.
    let options = DetectorOptions { false_alarm_rate: 0.1, ..DetectorOptions::default() };
    let mut trainer = Trainer::new(&options, u64::MAX, Watch::default()).unwrap();
    for (at, line) in LINES.iter().cycle().take(160).enumerate() {
        // One line is rare.
        if at % 8 != 7 || at == 7 {
            trainer.add(&Line::new(line, Some("INFO"))).unwrap();
        }
    }
    let baseline = trainer.finish(&Unattended).unwrap();
    assert_eq!(baseline.profiles.len(), 2);
    freeze("detector_v1", &artifact::encode(&baseline, &Unattended).unwrap(), &detector_answers(baseline));
}
