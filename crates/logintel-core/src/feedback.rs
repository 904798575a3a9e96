//! What people say about judgements, laid over what a model says.
//!
//! A model is frozen; a mark ([`crate::marks`]) holds from the moment it is made. So marks stand beside the model, and are asked
//! about a line only when the model would flag it. The next training learns from them, too
//! ([`crate::baseline::Trainer::mark`]).

use crate::baseline::{marks, masked_head};
use crate::config::DetectorOptions;
use crate::control::Watch;
use crate::detect::{Detector, Judgement, Scratch};
use crate::error::Result;
use crate::marks::Marks;
use crate::reason::Reason;
use crate::tokenize::Tokenizer;

/// The marks of a detector, ready to be asked about lines.
#[derive(Debug)]
pub struct Feedback {
    tokenizer: Tokenizer,
    marks: Marks,
}

impl Feedback {
    /// Marked templates in terms of `options`: those of the model that is overruled, or before the first training the
    /// detector's. `watch` may stop it.
    ///
    /// # Errors
    /// Those of [`Tokenizer::new`], and what the watch returns.
    pub fn new(options: &DetectorOptions, templates: Vec<String>, watch: Watch) -> Result<Self> {
        Ok(Feedback {
            tokenizer: Tokenizer::new(&options.vectorizer, watch)?,
            marks: marks(options, templates, &watch)?,
        })
    }

    /// The marked template that a message is of, if it is of one. `model` is the one that judges, `None` before the
    /// first training.
    ///
    /// # Errors
    /// As [`Detector::judge`].
    pub fn mark_of(
        &self,
        model: Option<&Detector>,
        message: &str,
        scratch: &mut Scratch,
    ) -> Result<Option<&str>> {
        let masked = masked_head(&self.tokenizer, message, scratch.watch())?;
        let known = model.and_then(|model| model.known(&masked, scratch));
        Ok(self.marks.find(&masked, known, scratch.template()))
    }

    /// A judgement after what people have said: who is flagged and of a marked template passes.
    ///
    /// # Errors
    /// As [`Detector::judge`].
    pub fn apply(
        &self,
        judgement: Judgement,
        model: Option<&Detector>,
        message: &str,
        scratch: &mut Scratch,
    ) -> Result<Judgement> {
        if !judgement.is_anomaly || self.mark_of(model, message, scratch)?.is_none() {
            return Ok(judgement);
        }
        let reason = if model.is_some() { Reason::Normal(judgement.distance) } else { Reason::Untrained };
        Ok(Judgement { is_anomaly: false, is_routine: false, score: 0.0, reason, ..judgement })
    }

    /// The template of a message alone: what is marked where no model has said what it is.
    ///
    /// # Errors
    /// As [`Detector::judge`].
    pub fn template_of(&self, message: &str, scratch: &mut Scratch) -> Result<String> {
        let masked = masked_head(&self.tokenizer, message, scratch.watch())?;
        Ok(self.marks.alone(&masked, scratch.template()).into_owned())
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> usize {
        self.marks.bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::baseline::{Baseline, Trainer};
    use crate::control::Unattended;
    use crate::detect::{Mode, untrained};
    use crate::line::Line;

    /// Ordinary lines, one of a kind of its own, and two errors.
    fn history() -> Vec<(String, &'static str)> {
        let kinds = ["order <n> received", "payment of order <n> accepted", "cache hit for user <n>"];
        let mut lines: Vec<_> =
            (0..300).map(|n| (kinds[n % 3].replace("<n>", &n.to_string()), "INFO")).collect();
        lines.insert(100, ("disk 7 was replaced by hand".into(), "INFO"));
        lines.insert(200, ("backup 3 skipped".into(), "ERROR"));
        lines.insert(250, ("backup 4 skipped".into(), "ERROR"));
        lines
    }

    fn train(lines: &[(String, &str)], marked: &[&str], options: &DetectorOptions) -> Baseline {
        let mut trainer = Trainer::new(options, u64::MAX, Watch::default()).unwrap();
        trainer.mark(owned(marked));
        for (message, level) in lines {
            trainer.add(&Line::new(message, Some(level))).unwrap();
        }
        trainer.finish(&Unattended).unwrap()
    }

    fn owned(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|&text| text.to_owned()).collect()
    }

    fn options(json: &serde_json::Value) -> DetectorOptions {
        DetectorOptions::parse(json, &|_| None).unwrap()
    }

    struct Judge {
        model: Detector,
        feedback: Feedback,
        scratch: Scratch,
    }

    impl Judge {
        fn new(baseline: Baseline, marked: &[&str]) -> Self {
            let model = Detector::new(baseline, Watch::default()).unwrap();
            let feedback = Feedback::new(model.options(), owned(marked), Watch::default()).unwrap();
            Judge { model, feedback, scratch: Scratch::new(Watch::default()) }
        }

        fn judge(&mut self, message: &str, level: &str, mode: Mode) -> Judgement {
            let Judge { model, feedback, scratch } = self;
            let judgement = model.judge(&Line::new(message, Some(level)), mode, scratch).unwrap();
            feedback.apply(judgement, Some(model), message, scratch).unwrap()
        }

        fn reason(&mut self, message: &str, level: &str) -> String {
            self.judge(message, level, Mode::Live).reason.to_string()
        }

        fn flagged(&mut self, lines: &[(String, &str)]) -> usize {
            let flagged =
                |(message, level): &&(String, &str)| self.judge(message, level, Mode::History).is_anomaly;
            lines.iter().filter(flagged).count()
        }
    }

    /// Rows that a training expects to be flagged.
    fn expected(baseline: &Baseline) -> usize {
        (baseline.summary.flagged_share * baseline.summary.training_rows as f64).round() as usize
    }

    #[test]
    fn what_is_marked_passes_and_nothing_else_does() {
        let baseline = train(&history(), &[], &options(&serde_json::json!({"false_alarm_rate": 0.005})));
        let mut before = Judge::new(baseline.clone(), &[]);
        let mut after = Judge::new(baseline, &["door <*> is open", "backup <*> skipped"]);
        let new = before.judge("door 7 is open", "INFO", Mode::Live);
        assert_eq!((new.is_anomaly, new.reason, new.score > 0.9), (true, Reason::UnseenTemplate, true));
        for level in ["INFO", "ERROR"] {
            let marked = after.judge("door 8 is open", level, Mode::Live);
            assert_eq!(
                marked,
                Judgement {
                    is_anomaly: false,
                    score: 0.0,
                    reason: Reason::Normal(new.distance),
                    ..new.clone()
                }
            );
            assert_eq!(after.reason("backup 9 skipped", level), "normal_distance=0.000");
        }
        for (message, level) in [
            ("door 8 is shut", "INFO"),
            ("order 4 received", "ERROR"),
            ("order 4 received", "INFO"),
            ("disk 9 was replaced by hand", "INFO"),
        ] {
            assert_eq!(
                after.judge(message, level, Mode::Live),
                before.judge(message, level, Mode::Live),
                "{message}"
            );
        }
    }

    #[test]
    fn a_mark_made_before_the_first_training_holds() {
        let options = DetectorOptions::default();
        let mut scratch = Scratch::new(Watch::default());
        let none = Feedback::new(&options, Vec::new(), Watch::default()).unwrap();
        let template = none.template_of("backup 3 of 10.0.0.7 skipped", &mut scratch).unwrap();
        assert_eq!(template, "backup <*> of <*> skipped");
        let feedback = Feedback::new(&options, vec![template], Watch::default()).unwrap();
        for (message, reason) in
            [("backup 4 of 10.0.0.9 skipped", Reason::Untrained), ("backup 4 failed", Reason::ErrorLevel)]
        {
            let judgement = untrained(&options, Some("ERROR"), message);
            let judgement = feedback.apply(judgement, None, message, &mut scratch).unwrap();
            assert_eq!((judgement.reason, judgement.is_anomaly), (reason, reason == Reason::ErrorLevel));
        }
    }

    #[test]
    fn training_expects_what_is_flagged_after_marks() {
        let marked = ["disk <*> was replaced by hand", "backup <*> skipped"];
        let raw = ["disk 7 was replaced by hand", "backup 3 skipped"];
        for (json, marked, flagged) in [
            (serde_json::json!({}), marked, [3, 2, 0]),
            (serde_json::json!({"vectorizer": {"masks": false}}), raw, [2, 2, 1]),
            (serde_json::json!({"preset": "seed"}), raw, [3, 2, 1]),
        ] {
            let (options, lines) = (options(&json), history());
            for (marked, flagged) in [&[][..], &marked[..1], &marked[..]].into_iter().zip(flagged) {
                let baseline = train(&lines, marked, &options);
                assert_eq!(expected(&baseline), flagged, "{marked:?} {options:?}");
                assert_eq!(Judge::new(baseline, marked).flagged(&lines), flagged, "{marked:?} {options:?}");
            }
        }
    }

    #[test]
    fn what_is_marked_does_not_raise_the_threshold() {
        let options = options(&serde_json::json!({"false_alarm_rate": 0.01}));
        // Of 313 rows twelve are of kinds of their own: more than the rate lets pass.
        let own: Vec<String> = ('a'..='l').map(|c| format!("x{c}x {c}y{c} zz{c}")).collect();
        let mut lines = history();
        lines.retain(|(_, level)| *level == "INFO");
        lines.extend(own.iter().map(|text| (text.clone(), "INFO")));
        let own: Vec<&str> = own.iter().map(String::as_str).collect();
        let plain = train(&lines, &[], &options);
        let marked = train(&lines, &own, &options);
        assert!(
            plain.threshold() > 1.0 && marked.threshold() <= 1.0,
            "{} {}",
            plain.threshold(),
            marked.threshold()
        );
        assert_eq!(plain.summary.calibration_rows, marked.summary.calibration_rows);
        assert_eq!(Judge::new(marked, &own).reason("nu xi omicron", "INFO"), "unseen_template");
    }

    #[test]
    fn a_mark_outlives_a_wider_template() {
        let mut lines = history();
        for (n, user) in ["ann", "bob", "eve", "joe", "kim", "lea"].iter().cycle().take(60).enumerate() {
            lines.insert(4 * n, (format!("login of user {user} failed"), "ERROR"));
        }
        let marked = ["login of user ann failed"];
        let baseline = train(&lines, &marked, &DetectorOptions::default());
        assert!(baseline.templates.iter().any(|template| template.text == "login of user <*> failed"));
        let expected = expected(&baseline);
        let mut judge = Judge::new(baseline, &marked);
        // Of sixty logins ten are ann's; two other lines and one that is rare are flagged, too.
        assert_eq!((expected, judge.flagged(&lines)), (53, 53));
        assert_eq!(judge.reason("login of user ann failed", "ERROR"), "normal_distance=0.000");
        assert_eq!(judge.reason("login of user bob failed", "ERROR"), "ERROR_level");
    }

    #[test]
    fn a_training_keeps_the_text_that_was_marked() {
        // One value only: alone it would be taken for a constant.
        let lines: Vec<_> = (0..50).map(|n| (format!("job {n} of nightly done"), "INFO")).collect();
        let options = DetectorOptions::default();
        let text = |marked: &[&str]| train(&lines, marked, &options).templates[0].text.clone();
        assert_eq!(text(&[]), "job <*> of nightly done");
        assert_eq!(text(&["job <*> of <*> done"]), "job <*> of <*> done");
    }
}
