//! Work on one line, and building a model, can be stopped: counted in polls.
use std::cell::Cell;

use logintel_core::artifact;
use logintel_core::baseline::{Baseline, Trainer};
use logintel_core::config::DetectorOptions;
use logintel_core::control::{Control, Unattended, Watch};
use logintel_core::detect::{Detector, Mode, Scratch};
use logintel_core::line::Line;
use logintel_core::options::Masks;
use logintel_core::{Error, Result};

thread_local! {
    static POLLS: Cell<usize> = const { Cell::new(0) };
}

fn watch() -> Watch {
    Watch::new(|| {
        POLLS.set(POLLS.get() + 1);
        Ok(())
    })
}

fn polls<T>(work: impl FnOnce() -> T) -> (T, usize) {
    POLLS.set(0);
    let result = work();
    (result, POLLS.get())
}

/// A line of as many words that differ from those of other seeds.
fn line(seed: usize, words: usize) -> String {
    let letter = |digit: u8| char::from(digit - b'0' + b'a');
    let word =
        |at: usize| format!("{:06}", seed * 10_000 + at).bytes().map(letter).chain([' ']).collect::<String>();
    (0..words).map(word).collect()
}

fn trained(masks: Masks, lines: usize, words: usize) -> Trainer {
    let mut options = DetectorOptions::default();
    options.vectorizer.masks = masks;
    let mut trainer = Trainer::new(&options, u64::MAX, watch()).unwrap();
    for seed in 0..lines {
        trainer.add(&Line::new(&line(seed % 90, words), None)).unwrap();
    }
    trainer
}

#[test]
fn a_long_line_is_watched_in_training_and_in_judging() {
    let long = "a1 ".repeat(200_000);
    let mut trainer = trained(Masks::BuiltIn, 20, 4);
    assert!(polls(|| trainer.add(&Line::new(&long, None)).unwrap()).1 >= 4);
    let (baseline, during) = polls(|| trainer.finish(&Unattended).unwrap());
    assert!(during > 0, "finishing");
    let detector = Detector::new(baseline, watch()).unwrap();
    let many = trained(Masks::BuiltIn, 90, 1000).finish(&Unattended).unwrap();
    assert!(polls(|| Detector::new(many, watch()).unwrap()).1 > 0, "a detector of many words");
    let mut scratch = Scratch::new(watch());
    assert!(polls(|| detector.judge(&Line::new(&long, None), Mode::Live, &mut scratch).unwrap()).1 >= 4);
    assert!(polls(|| detector.explain(&Line::new(&long, None), &mut scratch).unwrap()).1 >= 4);
}

#[test]
fn writing_and_reading_a_model_can_be_stopped() {
    let baseline = trained(Masks::None, 90, 2_000).finish(&Unattended).unwrap();
    let (bytes, during) = polls(|| artifact::encode(&baseline, &watch()).unwrap());
    assert!(during >= bytes.len() >> 17, "{during} polls in writing {} bytes", bytes.len());
    let (read, during) = polls(|| artifact::decode::<Baseline>(&bytes, &watch()).unwrap());
    assert!(read == baseline);
    assert!(during >= bytes.len() >> 17, "{during} polls in reading {} bytes", bytes.len());
    let stopped = Watch::new(|| Err(Error::Canceled));
    assert_eq!(artifact::encode(&baseline, &stopped), Err(Error::Canceled));
    assert_eq!(artifact::decode::<Baseline>(&bytes, &stopped), Err(Error::Canceled));
}

/// Polls in each phase.
#[derive(Default)]
struct Phases {
    now: Cell<&'static str>,
    vocabulary: Cell<usize>,
    vectors: Cell<usize>,
}

impl Control for Phases {
    fn poll(&self) -> Result<()> {
        match self.now.get() {
            "vocabulary" => self.vocabulary.set(self.vocabulary.get() + 1),
            "vectors" => self.vectors.set(self.vectors.get() + 1),
            _ => (),
        }
        Ok(())
    }

    fn progress(&self, phase: &'static str, _: u64, _: u64) {
        self.now.set(phase);
    }
}

#[test]
fn templates_are_polled_for_by_their_length() {
    let control = Phases::default();
    // 90 templates of 14 kB: without masks a line is one, whole.
    trained(Masks::None, 90, 2000).finish(&control).unwrap();
    assert!(control.vocabulary.get() >= 40 && control.vectors.get() >= 40);
}
