#![allow(clippy::float_cmp, reason = "these values are exact")]

use proptest::prelude::*;

use super::*;
use crate::artifact::{Artifact, corrupt, decode, encode};
use crate::control::Unattended;

/// A model on its own, as an artifact.
#[derive(Debug, bincode::Encode, bincode::Decode)]
struct Kept(SessionModel);

impl Artifact for Kept {
    const WHAT: &'static str = "session model";
    const LETTER: u8 = b'S';
    const VERSION: u16 = 1;

    fn accept(&mut self, _: &dyn Control) -> Result<()> {
        self.0.check().map_err(corrupt::<Self>)
    }
}

fn bytes(model: &SessionModel) -> Vec<u8> {
    encode(&Kept(model.clone()), &Unattended).unwrap()
}

fn train(sessions: &[SessionCounts], rate: f64) -> SessionModel {
    let options = DetectorOptions { session_false_alarm_rate: rate, ..Default::default() };
    let mut trainer = SessionTrainer::new(&options);
    for session in sessions {
        trainer.add(session, &Unattended).unwrap();
    }
    trainer.finish(&Unattended).unwrap()
}

fn judge(model: &SessionModel, templates: &[u32], origin: Origin) -> SessionJudgement {
    let session = templates.iter().copied().collect();
    let detector = SessionDetector::new(model.clone(), &Unattended).unwrap();
    detector.judge(&session, origin, &mut SessionScratch::default(), &Unattended).unwrap()
}

/// `number` times the same.
fn many(number: usize, templates: &[u32]) -> Vec<SessionCounts> {
    vec![templates.iter().copied().collect(); number]
}

/// Requests of a service: begun and ended always, a query now and then, some many.
fn requests() -> Vec<SessionCounts> {
    [
        many(500, &[0, 1]),
        many(300, &[0, 1, 2]),
        many(100, &[0, 1, 2, 2]),
        many(60, &[0, 1, 2, 2, 2, 2]),
        many(40, &[0, 1, 2, 2, 2, 2, 2, 2, 2]),
    ]
    .concat()
}

#[test]
fn each_reason_has_its_session() {
    let model = train(&requests(), 0.001);
    let flagged = |templates: &[u32]| {
        let judgement = judge(&model, templates, Origin::New);
        assert!((0.0..=1.0).contains(&judgement.score) && (0.0..=1.0).contains(&judgement.distance));
        (judgement.is_anomaly, judgement.reason)
    };
    assert_eq!(flagged(&[0, 1, 2]), (false, Reason::Normal(0.0)));
    assert!(!flagged(&[0, 1, 2, 2, 2, 2, 2]).0, "a count between those that are usual");
    assert_eq!(flagged(&[0, 1, 7]), (true, Reason::UnseenTemplate));
    assert_eq!(flagged(&[0, 1, UNKNOWN_TEMPLATE]), (true, Reason::UnseenTemplate));
    assert_eq!(flagged(&[0, 1, 1, 1, 1]), (true, Reason::RateSpike));
    assert_eq!(flagged(&[0, 2]), (true, Reason::RateDrop));
    assert_eq!(judge(&model, &[0, 1], Origin::New).score, 0.0, "the most ordinary session of all");
    assert_eq!(judge(&model, &[0, 1, 7], Origin::New).score, 1.0);
}

#[test]
fn what_lies_apart_is_set_aside_where_it_is_more_than_chance() {
    let with = |number: usize| train(&[requests(), many(number, &[0, 1, 9])].concat(), 0.001);
    let model = with(18);
    assert_eq!(model.summary.set_aside_sessions, 18);
    let judgement = judge(&model, &[0, 1, 9], Origin::Training);
    assert!(judgement.is_anomaly);
    assert_eq!(judgement.reason, Reason::RareTemplate, "training saw the template");
    assert!((model.summary.flagged_share - 18.0 / 1018.0).abs() < 1e-9);
    // As many as history may hold, and a kind of session of its own.
    for number in [8, 200] {
        let model = with(number);
        assert_eq!(model.summary.set_aside_sessions, 0);
        assert!(!judge(&model, &[0, 1, 9], Origin::Training).is_anomaly);
    }
}

#[test]
fn a_session_is_not_its_own_excuse() {
    let sessions = [requests(), many(1, &[0, 1, 1, 1, 5, 5])].concat();
    let model = train(&sessions, 0.01);
    assert!(judge(&model, &[0, 1, 1, 1, 5, 5], Origin::Training).is_anomaly);
    assert_eq!(judge(&model, &[0, 1, 1, 1, 5, 5], Origin::New).distance, 0.0);
}

#[test]
fn nothing_is_judged_by_nothing() {
    let model = train(&[], 0.001);
    assert_eq!(judge(&model, &[1], Origin::New).reason, Reason::Untrained);
    let model = train(&many(1, &[1]), 0.001);
    assert_eq!(judge(&model, &[], Origin::New).reason, Reason::Normal(0.0));
    for origin in [Origin::New, Origin::Training] {
        assert!(judge(&model, &[1], origin).strangeness.is_finite());
        assert!(judge(&model, &[2], origin).strangeness.is_finite());
    }
}

#[test]
fn sizes_are_bounded() {
    let mut long = SessionCounts::default();
    for template in 0..2 * MAX_SESSION_TEMPLATES as u32 {
        long.add(template);
    }
    assert_eq!(long.counts.len(), MAX_SESSION_TEMPLATES);
    assert_eq!(long.events(), 2 * MAX_SESSION_TEMPLATES as u64);
    let sessions: Vec<SessionCounts> =
        (0..3 * MAX_KINDS as u32).map(|n| [0, 1 + n % 97, 100 + n / 97].into_iter().collect()).collect();
    let model = train(&sessions, 0.01);
    assert_eq!(model.summary.kinds, 3 * MAX_KINDS as u64);
    assert_eq!(model.kinds.rows(), MAX_KINDS);
    assert_eq!(model.calibration.rows(), 3 * MAX_KINDS as u64);
    let wide: Vec<SessionCounts> = (0..200)
        .map(|n| (n..MAX_SESSION_TEMPLATES as u32).chain(std::iter::once(20_000 + n)).collect())
        .collect();
    assert!(train(&wide, 0.01).kinds.indices.len() <= MAX_ENTRIES + MAX_SESSION_TEMPLATES + 1);
}

/// Lets so many polls pass, and so many bytes.
struct Limited {
    polls: std::cell::Cell<u32>,
    memory: u64,
}

impl Control for Limited {
    fn poll(&self) -> Result<()> {
        let left = self.polls.get();
        self.polls.set(left.saturating_sub(1));
        if left == 0 { Err(Error::Canceled) } else { Ok(()) }
    }

    fn memory(&self) -> u64 {
        self.memory
    }
}

#[test]
fn training_can_be_stopped_and_refused() {
    let sessions: Vec<SessionCounts> =
        (0..3000).map(|n| [0, 1 + n % 97, 100 + n / 97].into_iter().collect()).collect();
    let attempt = |polls: u32, memory: u64| {
        let control = Limited { polls: polls.into(), memory };
        let mut trainer = SessionTrainer::new(&DetectorOptions::default());
        for session in &sessions {
            trainer.add(session, &control)?;
        }
        trainer.finish(&control).map(|_| u32::MAX - control.polls.get())
    };
    let polls = attempt(u32::MAX, u64::MAX).unwrap();
    assert!(polls > 100, "{polls}");
    for stop in [0, 1, polls / 2, polls - 1] {
        assert_eq!(attempt(stop, u64::MAX), Err(Error::Canceled));
    }
    assert!(matches!(attempt(u32::MAX, 20_000), Err(Error::Memory { .. })));
    assert!(matches!(attempt(u32::MAX, 400_000), Err(Error::Memory { what: "learning sessions", .. })));
}

#[test]
fn damaged_models_are_refused() {
    let model = train(&requests(), 0.001);
    let refused = |damage: &dyn Fn(&mut SessionModel)| {
        let mut damaged = model.clone();
        damage(&mut damaged);
        let decoded = decode::<Kept>(&bytes(&damaged), &Unattended);
        assert!(matches!(decoded, Err(Error::Corrupt { .. })), "{decoded:?}");
    };
    refused(&|model| model.weights.push(1));
    refused(&|model| model.weights[0] = 0);
    refused(&|model| model.kinds.values[0] = 3.5e5);
    refused(&|model| model.kinds.values[0] = -1.0);
    refused(&|model| model.kinds.dim = 7);
    refused(&|model| model.calibration.threshold = f64::NAN);
    refused(&|model| model.set_aside = vec![3, 3]);
    refused(&|model| model.table = CountTable::default());
}

/// What a difference tells, by its definition.
fn naive(rows: &[SparseVec], a: SparseRef<'_>, b: SparseRef<'_>) -> f64 {
    let count = |row: SparseRef<'_>, template: u32| -> u32 {
        counts(row).find(|entry| entry.0 == template).map_or(0, |entry| entry.1)
    };
    let templates: std::collections::BTreeSet<u32> = a.indices.iter().chain(b.indices).copied().collect();
    let mut sum = 0.0;
    for template in templates {
        let (low, high) = {
            let (a, b) = (count(a, template), count(b, template));
            (a.min(b), a.max(b))
        };
        if low == high {
            continue;
        }
        let share = |low: u32, high: u32| {
            let alike = rows.iter().filter(|row| {
                let count = f64::from(count(row.as_ref(), template));
                (f64::from(low) / 1.3..=f64::from(high) * 1.3).contains(&count)
            });
            (alike.count() as f64 + 0.5) / (rows.len() as f64 + 1.0)
        };
        let both = share(low, high).max(share(low, low)).max(share(high, high));
        sum += (both * both / share(low, low) / share(high, high)).ln();
    }
    sum
}

fn session() -> impl Strategy<Value = SessionCounts> {
    let events = prop::collection::vec((0_u32..12, 1_usize..6), 1..8);
    events.prop_map(|runs| runs.into_iter().flat_map(|(t, n)| std::iter::repeat_n(t, n)).collect())
}

proptest! {
    #[test]
    fn comparing_by_postings_is_comparing_one_by_one(sessions in prop::collection::vec(session(), 1..30), other in session()) {
        let rows: Vec<SparseVec> = sessions.iter().map(SessionCounts::row).collect();
        let mut matrix = CsrMatrix::new(MAX_DIM);
        for row in &rows {
            matrix.push(row.as_ref()).unwrap();
        }
        let weights = vec![1; rows.len()];
        let table = CountTable::new(&matrix, &weights, &Unattended).unwrap();
        prop_assert!(table.is_valid());
        let kinds = kinds_of(&table, matrix, weights, &Unattended).unwrap();
        let (mut scratch, mut steps) = (Comparison::default(), Steps::new(&Unattended));
        let other = other.row();
        kinds.compare(&table, other.as_ref(), &mut scratch, &mut steps).unwrap();
        for (row, &difference) in rows.iter().zip(&scratch.differences) {
            let expected = naive(&rows, other.as_ref(), row.as_ref());
            prop_assert!((difference - expected).abs() < 1e-6, "{difference} is not {expected}");
        }
    }

    #[test]
    fn the_order_of_sessions_and_events_does_not_matter(sessions in prop::collection::vec(session(), 0..60), rate in 0.001_f64..0.2) {
        let mut turned = sessions.clone();
        turned.reverse();
        let (model, same) = (train(&sessions, rate), train(&turned, rate));
        prop_assert_eq!(bytes(&model), bytes(&same));
        prop_assert_eq!(&decode::<Kept>(&bytes(&model), &Unattended).unwrap().0, &model);
        let events: Vec<u32> = sessions.iter().flat_map(|s| s.counts.iter().map(|entry| entry.0)).collect();
        let forth: SessionCounts = events.iter().copied().collect();
        let back: SessionCounts = events.iter().rev().copied().collect();
        prop_assert_eq!(forth, back);
    }

    #[test]
    fn judgements_stay_within_bounds(sessions in prop::collection::vec(session(), 1..60), templates in prop::collection::vec(any::<u32>(), 0..20)) {
        let model = train(&sessions, 0.01);
        prop_assert!((0.0..=1.0).contains(&model.summary.flagged_share));
        let detector = SessionDetector::new(model, &Unattended).unwrap();
        let mut scratch = SessionScratch::default();
        for session in sessions.iter().chain(std::iter::once(&templates.into_iter().collect())) {
            for origin in [Origin::New, Origin::Training] {
                let judgement = detector.judge(session, origin, &mut scratch, &Unattended).unwrap();
                prop_assert!((0.0..=1.0).contains(&judgement.score));
                prop_assert!((0.0..=1.0).contains(&judgement.distance));
                prop_assert!(judgement.strangeness >= 0.0 && judgement.strangeness.is_finite());
                prop_assert_eq!(judgement.is_anomaly, !matches!(judgement.reason, Reason::Normal(_)));
            }
        }
    }
}
