//! Time to make a model ready: decoding its artifact and building the tables that lines are judged with.
//!
//! `cargo run --release -p logintel-core --example model_timing [TERMS]`: a log of messages of seven words each, drawn by Zipf's
//! law, until words and pairs of words are that many.
use std::collections::HashSet;
use std::time::Instant;

use logintel_core::artifact::{decode, encode};
use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::DetectorOptions;
use logintel_core::control::{Unattended, Watch};
use logintel_core::detect::{Detector, Mode, Scratch};
use logintel_core::line::Line;

const RUNS: usize = 9;

/// splitmix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

fn messages(terms: usize) -> Vec<String> {
    let mut random = Random(1);
    let words: Vec<String> = (0..terms / 10)
        .map(|_| (0..4 + random.next() % 6).map(|_| char::from(b'a' + (random.next() % 26) as u8)).collect())
        .collect();
    // The r-th word is drawn 1/r times as often as the first.
    let sums: Vec<f64> = (1..=words.len())
        .scan(0.0, |sum, rank| {
            *sum += 1.0 / rank as f64;
            Some(*sum)
        })
        .collect();
    let total = sums[sums.len() - 1];
    let (mut found, mut messages) = (HashSet::new(), Vec::new());
    while found.len() < terms {
        let chosen: Vec<usize> = (0..7)
            .map(|_| {
                let at = random.share() * total;
                sums.partition_point(|&sum| sum <= at)
            })
            .collect();
        found.extend(chosen.iter().map(|&word| (word, usize::MAX)));
        found.extend(chosen.windows(2).map(|pair| (pair[0], pair[1])));
        messages.push(chosen.iter().map(|&word| words[word].as_str()).collect::<Vec<_>>().join(" "));
    }
    messages
}

fn main() {
    let terms = std::env::args().nth(1).map_or(100_000, |text| text.parse().expect("a number"));
    let messages = messages(terms);
    let mut trainer = Trainer::new(&DetectorOptions::default(), u64::MAX, Watch::default()).expect("options");
    for message in messages.iter().chain(&messages) {
        let line = Line { message, level: Some("INFO"), component: Some("generated"), ..Line::default() };
        trainer.add(&line).expect("a row");
    }
    let baseline = trainer.finish(&Unattended).expect("a baseline");
    let bytes = encode(&baseline, &Unattended).expect("an artifact");
    println!("{} terms, {} templates, {} bytes", baseline.model.len(), baseline.templates.len(), bytes.len());
    let (mut decoding, mut building, mut known, mut unknown) =
        (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..RUNS {
        let begun = Instant::now();
        let baseline: Baseline = decode(&bytes, &Unattended).expect("what was encoded");
        decoding.push(begun.elapsed());
        let begun = Instant::now();
        let detector = Detector::new(baseline, Watch::default()).expect("a detector");
        building.push(begun.elapsed());
        let mut scratch = Scratch::new(Watch::default());
        for (message, times) in
            [(messages[0].as_str(), &mut known), ("a line that training never saw", &mut unknown)]
        {
            let begun = Instant::now();
            detector
                .judge(&Line { message, ..Line::default() }, Mode::Live, &mut scratch)
                .expect("a judgement");
            times.push(begun.elapsed());
        }
    }
    for (what, mut times) in [
        ("decode", decoding),
        ("build", building),
        ("first known line", known),
        ("first other line", unknown),
    ] {
        times.sort();
        println!("{what}: {:.2} ms", times[RUNS / 2].as_secs_f64() * 1e3);
    }
}
