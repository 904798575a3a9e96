//! What holds of any documents and options: counts merge, what is written is read back, damage is an error.
mod common;

use logintel_core::Error;
use logintel_core::artifact;
use logintel_core::control::{Unattended, Watch};
use logintel_core::counts::TermCounts;
use logintel_core::options::TfidfOptions;
use logintel_core::tfidf::TfidfModel;
use logintel_core::vectorizer::{Scratch, Vectorizer};
use proptest::prelude::*;
use serde_json::{Value, json};

use common::memory;

const MAX_BYTES: u64 = 1 << 30;

fn documents() -> impl Strategy<Value = Vec<String>> {
    let piece = prop_oneof![
        6 => "[abcAB_]{1,3}",
        2 => "[0-9]{1,4}",
        2 => prop::sample::select(vec!["é", "Σ", "İ", "ß", "²", "日本", "e\u{301}", "שלום", "\u{1c}", "\u{a0}", "the", "😀"])
            .prop_map(str::to_owned),
        // PostgreSQL's texts hold no zero byte.
        1 => any::<char>().prop_filter("no zero", |&c| c != '\0').prop_map(|c| c.to_string()),
    ];
    let document = prop::collection::vec((piece, prop::sample::select(vec![" ", " ", "-", "  ", ""])), 0..8)
        .prop_map(|pieces| pieces.into_iter().map(|(text, gap)| text + gap).collect());
    prop::collection::vec(document, 1..12)
}

fn any_of(values: Vec<Value>) -> impl Strategy<Value = Value> {
    prop::sample::select(values)
}

/// Valid options, each of them set.
fn options() -> impl Strategy<Value = Value> {
    let cut = (
        any_of(vec![json!("word"), json!("word"), json!("char"), json!("char_wb")]),
        any::<bool>(),
        any_of(vec![
            json!(r"(?u)\b\w\w+\b"),
            json!(r"\S+"),
            json!(r"(\w+)-"),
            json!(r"\w*"),
            json!(r"(?i)\b[a-z]\w*\b"),
        ]),
        any_of(vec![json!(null), json!("english"), json!([]), json!(["ab", "é"])]),
        any_of(vec![json!([1, 1]), json!([1, 2]), json!([2, 2]), json!([2, 4]), json!([3, 3])]),
        any_of(vec![
            json!(false),
            json!(true),
            json!([]),
            json!([{"name": "n", "pattern": r"\d+"}, {"name": "x_1", "pattern": "a(b)?"}]),
        ]),
    );
    let weigh = (
        any_of(vec![json!(1), json!(2), json!(0.0), json!(0.25)]),
        any_of(vec![json!(1.0), json!(0.75), json!(3)]),
        any_of(vec![json!(null), json!(1), json!(5), json!(u64::MAX)]),
        any::<bool>(),
        any_of(vec![json!(null), json!("l1"), json!("l2")]),
        any::<[bool; 3]>(),
    );
    (cut, weigh).prop_map(|(cut, weigh)| {
        json!({
            "analyzer": cut.0, "lowercase": cut.1, "token_pattern": cut.2, "stop_words": cut.3, "ngram_range": cut.4,
            "masks": cut.5, "min_df": weigh.0, "max_df": weigh.1, "max_features": weigh.2, "binary": weigh.3,
            "norm": weigh.4, "use_idf": weigh.5[0], "smooth_idf": weigh.5[1], "sublinear_tf": weigh.5[2],
        })
    })
}

fn parsed(json: &Value) -> TfidfOptions {
    TfidfOptions::default().merge(json).unwrap()
}

fn count(options: &TfidfOptions, documents: &[String]) -> TermCounts {
    let mut counts = TermCounts::new(options, MAX_BYTES, Watch::default()).unwrap();
    for document in documents {
        counts.add(document).unwrap();
    }
    counts
}

fn length(model: &TfidfModel, values: &[f32]) -> f64 {
    let values = values.iter().map(|&v| f64::from(v));
    match model.options.to_json()["norm"].as_str() {
        Some("l1") => values.map(f64::abs).sum(),
        _ => values.map(|v| v * v).sum::<f64>().sqrt(),
    }
}

/// Uses a model as far as a caller can.
fn use_it(model: TfidfModel) {
    if let Ok(vectorizer) = Vectorizer::new(model) {
        let mut scratch = Scratch::default();
        for text in ["", "ab cd ab é 12", "Disk failure <num>"] {
            if let Ok(vector) = vectorizer.embed(text, &mut scratch) {
                assert!(vector.indices.is_sorted_by(|a, b| a < b));
            }
        }
    }
}

proptest! {
    #[test]
    fn options_survive_json(json in options()) {
        let options = parsed(&json);
        prop_assert_eq!(&options.to_json(), &json);
        prop_assert_eq!(TfidfOptions::default().merge(&options.to_json()), Ok(options));
    }

    #[test]
    fn counting_in_parts_is_counting_together(json in options(), documents in documents(), cuts in any::<[prop::sample::Index; 2]>()) {
        let options = parsed(&json);
        let whole = count(&options, &documents);
        let [a, b] = cuts.map(|cut| cut.index(documents.len() + 1));
        let (a, b) = (a.min(b), a.max(b));
        let mut parts = count(&options, &documents[..a]);
        // As parallel workers do it: through bytes, in any order.
        for part in [&documents[b..], &documents[a..b]] {
            let bytes = count(&options, part).to_bytes(&[]).unwrap();
            parts.merge(&TermCounts::from_bytes(&bytes, MAX_BYTES, Watch::default()).unwrap()).unwrap();
        }
        prop_assert_eq!(parts.documents(), whole.documents());
        prop_assert_eq!(parts.finish(), whole.finish());
        // What is counted after a merge is added too.
        for document in &documents {
            parts.add(document).unwrap();
        }
        let twice = count(&options, &[&documents[..], &documents[..]].concat());
        prop_assert_eq!(parts.finish(), twice.finish());
    }

    #[test]
    fn a_document_counted_twice_is_two_documents(json in options(), documents in documents()) {
        let options = parsed(&json);
        let tokenizer = count(&options, &[]).tokenizer();
        let (mut once, mut twice) = (count(&options, &[]), count(&options, &[]));
        for document in &documents {
            let masked = tokenizer.mask(document, &Watch::default()).unwrap();
            once.add_masked(&masked, 2).unwrap();
            twice.add_masked(&masked, 1).unwrap();
            twice.add_masked(&masked, 1).unwrap();
        }
        prop_assert_eq!(once.finish(), twice.finish());
    }

    #[test]
    fn a_model_is_read_back_and_gives_unit_vectors(json in options(), documents in documents()) {
        let Ok(model) = count(&parsed(&json), &documents).finish() else { return Ok(()) };
        let bytes = artifact::encode(&model, &Unattended).unwrap();
        let read: TfidfModel = artifact::decode(&bytes, &Unattended).unwrap();
        prop_assert_eq!(&read, &model);
        for index in 0..model.len() {
            prop_assert_eq!(model.find(&model.term(index)), Some(index));
        }
        let (vectorizer, mut scratch) = (Vectorizer::new(read).unwrap(), Scratch::default());
        for document in &documents {
            let vector = vectorizer.embed(document, &mut scratch).unwrap();
            let terms_kept = !vector.indices.is_empty();
            if json["norm"] != json!(null) {
                let expected = if terms_kept { 1.0 } else { 0.0 };
                prop_assert!((length(&model, vector.values) - expected).abs() < 1e-6);
            }
            // Every term of a training document is known where none was pruned.
            if model.pruned == 0 {
                let masked = vectorizer.tokenizer().mask(document, &Watch::default()).unwrap().into_owned();
                let (_, coverage) = vectorizer.embed_masked(&masked, &mut scratch).unwrap();
                prop_assert_eq!(coverage.unseen_terms, 0);
                // Without unigrams a word that stood alone leaves no trace.
                prop_assert!(coverage.unseen_words == 0 || json["ngram_range"][0] != json!(1));
            }
        }
    }

}

proptest! {
    // Each case damages every byte.
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn a_damaged_model_is_an_error(json in options(), documents in documents(), flip in 1_u8..=255) {
        let Ok(model) = count(&parsed(&json), &documents).finish() else { return Ok(()) };
        let bytes = artifact::encode(&model, &Unattended).unwrap();
        for at in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[at] ^= flip;
            prop_assert!(artifact::decode::<TfidfModel>(&damaged, &Unattended).is_err(), "byte {}", at);
            prop_assert!(artifact::decode::<TfidfModel>(&bytes[..at], &Unattended).is_err(), "cut at {}", at);
        }
        prop_assert!(artifact::decode::<TfidfModel>(&[&bytes[..], &[0]].concat(), &Unattended).is_err());
    }

    #[test]
    fn a_forged_model_neither_panics_nor_takes_memory(json in options(), documents in documents(), flip in 1_u8..=255) {
        let Ok(model) = count(&parsed(&json), &documents).finish() else { return Ok(()) };
        let bytes = artifact::encode(&model, &Unattended).unwrap();
        for at in HEADER..bytes.len() {
            let mut forged = bytes.clone();
            forged[at] ^= flip;
            let forged = sealed(forged);
            let (decoded, largest) = memory::largest(|| artifact::decode::<TfidfModel>(&forged, &Unattended));
            prop_assert!(largest <= (forged.len() * 16).max(64 << 10), "byte {}: {} bytes", at, largest);
            if let Ok(model) = decoded {
                use_it(model);
            }
        }
    }

}

proptest! {
    #[test]
    fn damaged_counts_never_panic(json in options(), documents in documents(), at in any::<prop::sample::Index>(), flip in 1_u8..=255) {
        let bytes = count(&parsed(&json), &documents).to_bytes(&[]).unwrap();
        let mut damaged = bytes.clone();
        damaged[at.index(bytes.len())] ^= flip;
        for bytes in [&damaged[..], &bytes[..at.index(bytes.len())]] {
            let (read, largest) = memory::largest(|| TermCounts::from_bytes(bytes, MAX_BYTES, Watch::default()));
            prop_assert!(largest <= (bytes.len() * 16).max(1 << 20), "{} bytes", largest);
            if let Ok(counts) = read {
                let _ = counts.finish();
            }
        }
    }
}

/// Bytes before an artifact's body.
const HEADER: usize = 18;

/// The artifact with a checksum that fits, as one who means harm would write it.
fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&bytes[..14]);
    hasher.update(&bytes[HEADER..]);
    bytes[14..HEADER].copy_from_slice(&hasher.finalize().to_le_bytes());
    bytes
}

#[test]
fn a_newer_version_is_told_from_damage() {
    let model = count(&TfidfOptions::default(), &["one two".to_owned()]).finish().unwrap();
    let mut bytes = artifact::encode(&model, &Unattended).unwrap();
    bytes[4] = 2;
    let error = artifact::decode::<TfidfModel>(&sealed(bytes), &Unattended).unwrap_err();
    assert_eq!(error, Error::FormatVersion { what: "tfidf_model", found: 2, known: 1 });
}

#[test]
fn ngrams_that_are_no_terms_are_not_kept() {
    let options = |json: Value| TfidfOptions::default().merge(&json).unwrap();
    let documents = ["aa bb".to_owned(), "bb aa".to_owned()];
    let bytes = |json: Value| {
        let model = count(&options(json), &documents).finish().unwrap();
        assert_eq!((model.len(), model.term(0), model.term(1)), (2, "aa".to_owned(), "bb".to_owned()));
        artifact::encode(&model, &Unattended).unwrap().len()
    };
    assert_eq!(bytes(json!({"ngram_range": [1, 2], "min_df": 2})), bytes(json!({"min_df": 2})));
}

#[test]
fn the_vocabulary_is_bounded() {
    let mut counts = TermCounts::new(&TfidfOptions::default(), 10_000, Watch::default()).unwrap();
    let error = (0..10_000).find_map(|i| counts.add(&format!("word{i}")).err());
    assert!(matches!(error, Some(Error::Memory { allowed: 10_000, .. })), "{error:?}");
}
