//! How long each step from lines to vectors takes: `embedding_timing FILE [PARTS]`, with n-grams of one and two words.
//!
//! FILE holds a message a line. With PARTS the counts are made in as many parts, handed over as bytes and merged, as parallel
//! workers do it.
use std::time::Instant;

use logintel_core::artifact;
use logintel_core::control::{Unattended, Watch};
use logintel_core::counts::TermCounts;
use logintel_core::options::TfidfOptions;
use logintel_core::tfidf::TfidfModel;
use logintel_core::vectorizer::{Scratch, Vectorizer};

fn timed<T>(what: &str, work: impl FnOnce() -> T) -> T {
    let begun = Instant::now();
    let result = work();
    println!("{what:<12} {:>8.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    result
}

fn count(lines: &[&str]) -> TermCounts {
    let options = serde_json::json!({"ngram_range": [1, 2]});
    let options = TfidfOptions::default().merge(&options).expect("valid options");
    let mut counts = TermCounts::new(&options, u64::MAX, Watch::default()).expect("valid options");
    for line in lines {
        counts.add(line).expect("room");
    }
    counts
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let text = std::fs::read_to_string(arguments.next().expect("a file")).expect("text");
    let parts: usize = arguments.next().map_or(1, |parts| parts.parse().expect("a number of parts"));
    let lines: Vec<&str> = text.lines().collect();
    let mut counts: Option<TermCounts> = None;
    for part in lines.chunks(lines.len().div_ceil(parts)) {
        let counted = timed("count", || count(part));
        println!("             {:>8.1} MB", counted.bytes() as f64 / 1e6);
        if parts == 1 {
            counts = Some(counted);
            continue;
        }
        let bytes = timed("to bytes", || counted.to_bytes(&[]).expect("bytes"));
        let read = timed("from bytes", || {
            TermCounts::from_bytes(&bytes, u64::MAX, Watch::default()).expect("counts")
        });
        match &mut counts {
            None => counts = Some(read),
            Some(counts) => timed("merge", || counts.merge(&read).expect("room")),
        }
    }
    let counts = counts.expect("a part");
    let model = timed("finish", || counts.finish().expect("a model"));
    drop(counts);
    let bytes = timed("encode", || artifact::encode(&model, &Unattended).expect("bytes"));
    println!("{} terms, {:.1} MB", model.len(), bytes.len() as f64 / 1e6);
    let model: TfidfModel = timed("decode", || artifact::decode(&bytes, &Unattended).expect("a model"));
    let vectorizer = timed("tables", || Vectorizer::new(model).expect("tables"));
    let mut scratch = Scratch::default();
    let entries: usize = timed("embed", || {
        lines.iter().map(|line| vectorizer.embed(line, &mut scratch).expect("a vector").nnz()).sum()
    });
    println!("{entries} entries");
}
