//! Log lines: cut into words, mined for templates, learnt from and judged, and read from the server's own log.
use std::io;

use logintel_core::artifact;
use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::{Clustering, DetectorOptions};
use logintel_core::control::{Unattended, Watch};
use logintel_core::detect::{Detector, Mode, Scratch};
use logintel_core::line::Line;
use logintel_core::mask::Masker;
use logintel_core::options::{AnalyzerKind, DocumentFrequency, Masks, StopWords, TfidfOptions};
use logintel_core::server_log::{Format, Item, Reader, Source};
use logintel_core::template::{Miner, Scratch as TemplateScratch};
use logintel_core::tokenize::{Tokenizer, WordBuffer};

/// Options that a byte chooses.
fn chosen(byte: u8) -> TfidfOptions {
    let bit = |at: u8| byte >> at & 1 == 1;
    TfidfOptions {
        analyzer: [AnalyzerKind::Word, AnalyzerKind::Char, AnalyzerKind::CharWb, AnalyzerKind::Word]
            [usize::from(byte & 3)],
        lowercase: bit(2),
        stop_words: if bit(3) { StopWords::English } else { StopWords::None },
        ngram_range: (1, if bit(4) { 3 } else { 1 }),
        masks: if bit(5) { Masks::BuiltIn } else { Masks::None },
        token_pattern: if bit(6) {
            r"\b[^\d\W]+\b|\d$".to_owned()
        } else {
            TfidfOptions::default().token_pattern
        },
        min_df: DocumentFrequency::Count(1),
        ..TfidfOptions::default()
    }
}

/// A byte for the options, and a message.
pub(crate) fn tokenizer(input: &[u8]) {
    let Some((&byte, message)) = input.split_first() else { return };
    let (message, watch) = (crate::text(message), Watch::default());
    let tokenizer = Tokenizer::new(&chosen(byte), watch).expect("options of ours");
    let masked = tokenizer.mask(&message, &watch).expect("a short message");
    let mut ngrams = Vec::new();
    let cut = tokenizer.ngrams(&masked, &watch, |gram| {
        ngrams.push(gram.to_owned());
        Ok(())
    });
    cut.expect("a short message");
    if tokenizer.joins_words() {
        // The words by their places are the n-grams of one word.
        let mut words = Vec::new();
        let found = tokenizer.words(&masked, &mut WordBuffer::default(), &watch, |text, ranges| {
            words.extend(ranges.iter().map(|range| text[range.clone()].to_owned()));
            Ok(())
        });
        found.expect("a short message");
        assert!(words.len() <= ngrams.len() && words.iter().zip(&ngrams).all(|(word, gram)| word == gram));
    }
}

/// Lines, as they are and masked: each that was mined has the template that is found for it, whatever the order of lines.
pub(crate) fn templates(input: &[u8]) {
    let text = crate::text(input);
    let masker = Masker::new(&Masks::BuiltIn).expect("masks of ours");
    let without_values =
        |line: &str| masker.mask(line, &Watch::default()).expect("a short line").into_owned();
    for lines in
        [text.lines().map(str::to_owned).collect::<Vec<_>>(), text.lines().map(without_values).collect()]
    {
        let mine = |lines: &mut dyn Iterator<Item = &String>| {
            let mut miner = Miner::new(Vec::new(), u64::MAX);
            let numbers: Vec<_> =
                lines.map(|line| miner.add(line, 1, &Unattended).expect("nobody stops it")).collect();
            (numbers, miner.finish(&Unattended).expect("nobody stops it"))
        };
        let (numbers, mined) = mine(&mut lines.iter());
        let matcher = mined.templates.matcher(&Unattended).expect("nobody stops it");
        let mut scratch = TemplateScratch::default();
        for (line, number) in lines.iter().zip(numbers) {
            let of = mined.of[number.expect("there is room") as usize];
            assert_eq!(matcher.find(line, &mut scratch), of, "{line:?}");
            assert!(of.is_some(), "{line:?}");
        }
        let (_, backwards) = mine(&mut lines.iter().rev());
        assert_eq!(backwards.templates.list, mined.templates.list);
    }
}

/// A byte for the options, and lines: learnt, kept, read again and judged.
pub(crate) fn training(input: &[u8]) {
    let Some((&byte, lines)) = input.split_first() else { return };
    let text = crate::text(lines);
    let options = DetectorOptions {
        vectorizer: chosen(byte),
        clustering: Clustering { eps: 0.5, min_points: 2, standardize: byte >> 7 == 1 },
        false_alarm_rate: 0.2,
        ..DetectorOptions::default()
    };
    let line = |at: usize, message| Line {
        ts: Some(at as i64 * 60_000_000),
        component: Some(["app", "web"][at % 2]),
        ..Line::new(message, Some(["INFO", "WARN", "ERROR"][at % 3]))
    };
    let mut trainer = Trainer::new(&options, 1 << 30, Watch::default()).expect("options of ours");
    for (at, message) in text.lines().enumerate() {
        trainer.add(&line(at, message)).expect("memory enough");
    }
    let Ok(baseline) = trainer.finish(&Unattended) else { return };
    let bytes = artifact::encode(&baseline, &Unattended).expect("a small model");
    let kept: Baseline = artifact::decode(&bytes, &Unattended).expect("a model of ours");
    let judges =
        [baseline, kept].map(|baseline| Detector::new(baseline, Watch::default()).expect("a model of ours"));
    let mut scratch = Scratch::new(Watch::default());
    for (at, message) in text.lines().chain(["what nobody has seen"]).enumerate() {
        let [one, other] = judges.each_ref().map(|detector| {
            let judgement =
                detector.judge(&line(at, message), Mode::Live, &mut scratch).expect("a short line");
            assert!((0.0..=1.0).contains(&judgement.score), "{}", judgement.score);
            format!("{judgement:?}")
        });
        assert_eq!(one, other);
    }
}

/// A file that is in memory.
struct Bytes<'a>(&'a [u8]);

impl Source for Bytes<'_> {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        let length = rest.len().min(buffer.len());
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// A file of PostgreSQL's log: it is read to its end, each byte once.
pub(crate) fn server_log(input: &[u8]) {
    for format in [Format::Csv, Format::Json] {
        let mut reader = Reader::new(Bytes(input), format, 0);
        reader.synchronize().expect("no file fails");
        let mut position = reader.position();
        while let Some(item) = reader.next_item().expect("no file fails") {
            assert!(reader.position() > position, "it stands still at {position}");
            if let Item::Broken(skipped) = item {
                assert_eq!(reader.position() - position, skipped);
            }
            position = reader.position();
        }
        reader.pass_over_rest().expect("no file fails");
        assert_eq!(reader.position(), input.len() as u64);
    }
}
