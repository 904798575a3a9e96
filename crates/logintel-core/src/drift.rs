//! How far what comes in has moved from what training saw, and whether a newer model may take over.
//!
//! A frozen model does not follow a system that changes: after a deployment that words its lines anew, it flags all of
//! them for ever. So what comes in is measured ([`Drift`]): what share is flagged, what share is of templates and of words
//! that training never saw. A model that was trained on newer rows takes over only if a [`Trial`] raises no objection.
//! Rows that their level alone flags say nothing about a model, and are left out of what is flagged. What a person has
//! marked passes here as it does when it comes in.

use crate::calibration::share;
use crate::detect::{Detector, Mode, Scratch};
use crate::error::Result;
use crate::feedback::Feedback;
use crate::line::Line;
use crate::reason::Reason;

/// Fewest rows that a share is believed of.
pub const ENOUGH_ROWS: u64 = 100;

/// What a model says of some rows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Drift {
    /// Rows looked at.
    pub rows: u64,
    /// Those that their level alone flags.
    pub by_level: u64,
    /// Those of the others that are flagged.
    pub flagged: u64,
    /// Rows of templates that training never saw.
    pub unseen_templates: u64,
    /// Words of all rows (or n-grams, for analyzers that do not cut words).
    pub words: u64,
    /// Those that training never saw.
    pub unseen_words: u64,
}

impl Drift {
    /// Takes in a row; `feedback` is what people have said about it.
    ///
    /// # Errors
    /// Those of [`Detector::judge`].
    pub fn add(
        &mut self,
        model: &Detector,
        feedback: Option<&Feedback>,
        line: &Line<'_>,
        scratch: &mut Scratch,
    ) -> Result<()> {
        let mut judgement = model.judge(line, Mode::Live, scratch)?;
        if let Some(feedback) = feedback {
            judgement = feedback.apply(judgement, Some(model), line.message, scratch)?;
        }
        let (template, coverage) = model.coverage(line.message, scratch)?;
        let by_level = judgement.reason == Reason::ErrorLevel;
        self.rows += 1;
        self.by_level += u64::from(by_level);
        self.flagged += u64::from(judgement.is_anomaly && !by_level);
        self.unseen_templates += u64::from(template.is_none());
        self.words += u64::from(coverage.words);
        self.unseen_words += u64::from(coverage.unseen_words);
        Ok(())
    }

    /// Rows that their level alone does not flag.
    pub fn judged(&self) -> u64 {
        self.rows - self.by_level
    }

    /// Share of these that are flagged; `None` where there is none.
    pub fn flagged_share(&self) -> Option<f64> {
        known_share(self.flagged, self.judged())
    }

    /// Share of the rows that are of templates that training never saw.
    pub fn unseen_template_share(&self) -> Option<f64> {
        known_share(self.unseen_templates, self.rows)
    }

    /// Share of the words that training never saw.
    pub fn unseen_term_share(&self) -> Option<f64> {
        known_share(self.unseen_words, self.words)
    }

    /// Whether more than half of enough rows are flagged: then the system has changed, or the model does not fit it.
    pub fn is_level_shift(&self) -> bool {
        self.judged() >= ENOUGH_ROWS && 2 * self.flagged > self.judged()
    }
}

fn known_share(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| share(part, whole))
}

/// How many of the newest of so many rows a candidate is tried on, and does not learn from.
pub fn held_back(rows: u64) -> u64 {
    (rows / 20).clamp(20, 1000)
}

/// Largest share of rows that a candidate may flag.
fn limit(false_alarm_rate: f64) -> f64 {
    (5.0 * false_alarm_rate).max(0.05)
}

/// A newly trained model on trial.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// Rows that it learnt from.
    pub training_rows: u64,
    /// Share of them that it would flag for what they say.
    pub flagged_by_content: f64,
    /// What it says of the newest rows, which it did not learn from.
    pub held_back: Drift,
    /// The rows that the model in use learnt from, and what it says of the same rows.
    pub active: Option<(u64, Drift)>,
}

impl Trial {
    /// Why the candidate should not take over; `None` if it may.
    pub fn objection(&self, false_alarm_rate: f64) -> Option<String> {
        let limit = limit(false_alarm_rate);
        let at_most = format!("at most {} may be", percent(limit));
        if let Some((rows, _)) = self.active
            && self.training_rows < rows / 10
        {
            return Some(format!(
                "it learnt from {} rows, less than a tenth of the {rows} of the version in use",
                self.training_rows
            ));
        }
        if self.flagged_by_content > limit {
            let flagged = percent(self.flagged_by_content);
            return Some(format!("of the rows that it learnt from it flags {flagged}; {at_most}"));
        }
        let rows = self.held_back.judged();
        let Some(flagged) = self.held_back.flagged_share() else {
            return Some("there are no newer rows to try it on but those that their level flags".into());
        };
        if flagged <= limit {
            return None;
        }
        let active = self.active.and_then(|(_, drift)| drift.flagged_share());
        let active = active.map(|share| format!(", the version in use {}", percent(share)));
        let (active, flagged) = (active.unwrap_or_default(), percent(flagged));
        Some(format!(
            "of the {rows} newest rows, which it did not learn from, it flags {flagged}{active}; {at_most}"
        ))
    }
}

/// A share for people.
pub fn percent(share: f64) -> String {
    format!("{:.1} %", 100.0 * share)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::Trainer;
    use crate::config::DetectorOptions;
    use crate::control::{Unattended, Watch};

    fn model(lines: &[(&str, &str)]) -> Detector {
        let mut trainer = Trainer::new(&DetectorOptions::default(), u64::MAX, Watch::default()).unwrap();
        for (message, level) in lines {
            trainer.add(&Line::new(message, Some(level))).unwrap();
        }
        Detector::new(trainer.finish(&Unattended).unwrap(), Watch::default()).unwrap()
    }

    fn drift(model: &Detector, lines: &[(&str, &str)]) -> Drift {
        drift_beside(model, None, lines)
    }

    fn drift_beside(model: &Detector, feedback: Option<&Feedback>, lines: &[(&str, &str)]) -> Drift {
        let (mut drift, mut scratch) = (Drift::default(), Scratch::new(Watch::default()));
        for (message, level) in lines {
            drift.add(model, feedback, &Line::new(message, Some(level)), &mut scratch).unwrap();
        }
        drift
    }

    const SEEN: (&str, &str) = ("user 7 logged in", "INFO");

    #[test]
    fn what_training_saw_is_no_drift() {
        let model = model(&[SEEN; 200]);
        let found = drift(&model, &[SEEN; 120]);
        assert_eq!(found, Drift { rows: 120, words: 360, ..Drift::default() });
        assert_eq!((found.flagged_share(), found.unseen_term_share()), (Some(0.0), Some(0.0)));
        assert!(!found.is_level_shift());
    }

    #[test]
    fn what_it_did_not_see_is_counted_and_levels_are_left_out() {
        let model = model(&[SEEN; 200]);
        let lines = [SEEN, ("user 7 went away", "INFO"), ("disk is full", "ERROR"), ("disk is full", "INFO")];
        let found = drift(&model, &lines);
        // Words: <num> counts where it stands; `went away` and twice `disk is full` are new.
        let rows = Drift { rows: 4, by_level: 1, flagged: 2, unseen_templates: 3, ..found };
        assert_eq!(found, rows);
        assert_eq!(found.unseen_words, 8);
        assert_eq!(found.flagged_share(), Some(2.0 / 3.0));
        assert_eq!(found.unseen_template_share(), Some(0.75));
        assert_eq!(Drift::default().flagged_share(), None);
    }

    #[test]
    fn what_is_marked_is_not_flagged_whatever_its_level() {
        let model = model(&[SEEN; 200]);
        let lines = [SEEN, ("disk is full", "ERROR"), ("disk is full", "INFO"), ("fan is loud", "INFO")];
        let marks = vec!["disk is full".to_owned()];
        let feedback = Feedback::new(model.options(), marks, Watch::default()).unwrap();
        let (plain, marked) = (drift(&model, &lines), drift_beside(&model, Some(&feedback), &lines));
        assert_eq!((plain.by_level, plain.flagged), (1, 2));
        assert_eq!(marked, Drift { by_level: 0, flagged: 1, ..plain });
    }

    #[test]
    fn of_training_too_what_its_level_flags_is_left_out() {
        let mut trainer = Trainer::new(&DetectorOptions::default(), u64::MAX, Watch::default()).unwrap();
        for row in 0..200 {
            // One row is like no other, and not an error.
            let message = if row == 7 { "disk is full" } else { SEEN.0 };
            let level = if row % 4 == 0 { "ERROR" } else { "INFO" };
            trainer.add(&Line::new(message, Some(level))).unwrap();
        }
        let baseline = trainer.finish(&Unattended).unwrap();
        let model = Detector::new(baseline.clone(), Watch::default()).unwrap();
        let flagged = u64::from(drift(&model, &[("disk is full", "INFO")]).flagged == 1);
        let rows = |share: f64, of: f64| (share * of).round() as u64;
        let summary = baseline.summary;
        assert_eq!(rows(summary.flagged_share, 200.0), 50 + flagged);
        assert_eq!(rows(summary.flagged_by_content, 150.0), flagged);
    }

    #[test]
    fn more_than_half_of_enough_rows_is_a_level_shift() {
        let of = |rows, by_level, flagged| Drift { rows, by_level, flagged, ..Drift::default() };
        assert!(of(100, 0, 51).is_level_shift());
        assert!(!of(100, 0, 50).is_level_shift());
        assert!(!of(99, 0, 99).is_level_shift());
        assert!(!of(150, 51, 99).is_level_shift());
    }

    #[test]
    fn a_candidate_is_tried() {
        let held = |flagged| Drift { rows: 200, flagged, ..Drift::default() };
        let trial = |training_rows, flagged_by_content, flagged| Trial {
            training_rows,
            flagged_by_content,
            held_back: held(flagged),
            active: Some((1000, held(180))),
        };
        assert_eq!(trial(100, 0.05, 10).objection(0.01), None);
        assert_eq!(Trial { active: None, ..trial(1, 0.0, 0) }.objection(0.01), None);
        // A higher rate allows more.
        assert_eq!(trial(1000, 0.0, 40).objection(0.04), None);
        for (trial, words) in [
            (trial(99, 0.0, 0), "99 rows, less than a tenth of the 1000"),
            (trial(1000, 0.051, 0), "learnt from it flags 5.1 %; at most 5.0 % may be"),
            (
                trial(1000, 0.0, 11),
                "of the 200 newest rows, which it did not learn from, it flags 5.5 %, the version in use 90.0 %; at most",
            ),
            (Trial { held_back: Drift::default(), ..trial(1000, 0.0, 0) }, "no newer rows"),
        ] {
            let objection = trial.objection(0.01).unwrap();
            assert!(objection.contains(words), "{objection}");
        }
    }

    #[test]
    fn some_rows_are_always_held_back() {
        assert_eq!([0, 100, 400, 1000, 20_000, 1 << 40].map(held_back), [20, 20, 20, 50, 1000, 1000]);
    }
}
