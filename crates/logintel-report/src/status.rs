//! Is all well, in one sentence: from the incidents that are open and from what is wrong with logintel itself.
use crate::report::{Counts, Grade, Report};

/// The sentence at the head of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// How much it matters; `None` where all is well.
    pub grade: Option<Grade>,
    /// The sentence.
    pub text: String,
}

/// The sentence for a report.
pub fn headline(report: &Report) -> Headline {
    let Counts { open: [high, medium, low], unacknowledged, detectors, trained, .. } = report.counts;
    let open = high + medium + low;
    let worst = report.findings.iter().map(|finding| finding.grade).max();
    // What somebody looks after wakes nobody.
    let of_incidents = match (open, high) {
        (0, _) => None,
        (_, 0) => Some(Grade::Attention),
        _ if unacknowledged == 0 => Some(Grade::Attention),
        _ => Some(Grade::Trouble),
    };
    let text = if open > 0 {
        let severities = [(high, "HIGH"), (medium, "MEDIUM"), (low, "LOW")];
        let grades: Vec<_> =
            severities.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
        let are = if open == 1 { "incident is" } else { "incidents are" };
        let cared_for = if unacknowledged == 0 { "; somebody looks after each" } else { "" };
        format!("{open} {are} open: {}{cared_for}", grades.join(", "))
    } else if detectors == 0 {
        "There is no detector yet".to_owned()
    } else if trained == 0 {
        "No detector is trained yet".to_owned()
    } else {
        match worst {
            None => "All is well: no incident is open".to_owned(),
            Some(_) => "No incident is open, but logintel needs attention".to_owned(),
        }
    };
    let unready = (detectors == 0 || trained == 0).then_some(Grade::Attention);
    Headline { grade: worst.max(of_incidents).max(unready), text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Finding;
    use crate::text::Text;

    fn of(open: [u64; 3], unacknowledged: u64, findings: &[Grade]) -> (Option<Grade>, String) {
        let finding = |&grade: &Grade| Finding { grade, what: Text::default(), hint: Text::default() };
        let findings = findings.iter().map(finding).collect();
        let counts = Counts { open, unacknowledged, detectors: 2, trained: 1, ..Counts::default() };
        let Headline { grade, text } = headline(&Report { findings, counts, ..Report::default() });
        (grade, text)
    }

    #[test]
    fn the_worst_decides() {
        use Grade::{Attention, Trouble};
        assert_eq!(of([0; 3], 0, &[]), (None, "All is well: no incident is open".into()));
        assert_eq!(of([0; 3], 0, &[Attention]).0, Some(Attention));
        assert_eq!(of([0, 1, 0], 1, &[]), (Some(Attention), "1 incident is open: 1 MEDIUM".into()));
        assert_eq!(of([0, 1, 0], 1, &[Attention, Trouble]).0, Some(Trouble));
        assert_eq!(of([2, 0, 1], 1, &[]), (Some(Trouble), "3 incidents are open: 2 HIGH, 1 LOW".into()));
        let cared_for = "1 incident is open: 1 HIGH; somebody looks after each";
        assert_eq!(of([1, 0, 0], 0, &[]), (Some(Attention), cared_for.into()));
    }

    #[test]
    fn what_is_not_set_up_is_told() {
        let of = |detectors, trained| {
            let counts = Counts { detectors, trained, ..Counts::default() };
            headline(&Report { counts, ..Report::default() })
        };
        assert_eq!(of(0, 0).text, "There is no detector yet");
        assert_eq!(of(1, 0).text, "No detector is trained yet");
        assert_eq!(of(1, 0).grade, Some(Grade::Attention));
    }
}
