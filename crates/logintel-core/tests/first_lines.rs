//! The first lines that a model judges are looked up without an index, later ones with it: the answers are the same.
use logintel_core::baseline::Trainer;
use logintel_core::config::{DetectorOptions, Preset};
use logintel_core::control::{Unattended, Watch};
use logintel_core::detect::{Detector, Explanation, Judgement, Mode, Scratch};
use logintel_core::line::Line;

const PARTS: [&str; 4] = ["order", "payment", "stock", "invoice"];
const DOES: [&str; 5] = ["accepted", "refused", "sent to the customer", "is late", "was changed"];

/// Messages whose words training knows, in orders that it does not, and with words of their own.
fn strange(number: usize) -> String {
    let (part, other) = (PARTS[number % 4], PARTS[number / 4 % 4]);
    let more = PARTS[..number % 3].join(" and ");
    format!("{} {part} and {other} {more} again in shop{}", DOES[number % 5], "x".repeat(number % 7))
}

fn judged(detector: &Detector, number: usize, mode: Mode) -> (Judgement, Vec<Explanation>) {
    let message = strange(number);
    let line = Line { message: &message, level: Some("INFO"), ..Line::default() };
    let mut scratch = Scratch::new(Watch::default());
    let judgement = detector.judge(&line, mode, &mut scratch).unwrap();
    (judgement, detector.explain(&line, &mut scratch).unwrap())
}

#[test]
fn judgements_do_not_depend_on_how_many_came_before() {
    for preset in [Preset::Default, Preset::Seed] {
        let options = match preset {
            Preset::Default => DetectorOptions::default(),
            Preset::Seed => {
                DetectorOptions::parse(&serde_json::json!({"preset": "seed"}), &|_| None).unwrap()
            }
        };
        let mut trainer = Trainer::new(&options, u64::MAX, Watch::default()).unwrap();
        for number in 0..2000 {
            let message = format!("{} {number} {}", PARTS[number % 4], DOES[number / 4 % 5]);
            trainer.add(&Line { message: &message, level: Some("INFO"), ..Line::default() }).unwrap();
        }
        let baseline = trainer.finish(&Unattended).unwrap();
        let used = Detector::new(baseline.clone(), Watch::default()).unwrap();
        for number in 0..200 {
            judged(&used, number, Mode::Live);
        }
        let mut distances = std::collections::BTreeSet::new();
        for number in 0..200 {
            let new = Detector::new(baseline.clone(), Watch::default()).unwrap();
            for mode in [Mode::Live, Mode::History] {
                let (first, later) = (judged(&new, number, mode), judged(&used, number, mode));
                assert_eq!(first, later, "{}", strange(number));
                distances.insert(first.0.distance.to_bits());
            }
        }
        assert!(distances.len() > 5, "the lines differ in how strange they are: {}", distances.len());
    }
}
