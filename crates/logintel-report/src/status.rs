//! Is all well, in one sentence: from the incidents that are open, and from how it is at worst.
use crate::report::{Counts, Grade, Report};

/// The sentence at the head of the page.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Headline {
    /// How much it matters; `None` where all is well.
    pub grade: Option<Grade>,
    /// The sentence.
    pub text: String,
}

/// The sentence for a report. What is not resolved, and what is not set up, is worth a look at least, whatever the state.
pub fn headline(report: &Report) -> Headline {
    let Counts { open: [high, medium, low], unacknowledged, detectors, trained, .. } = report.counts;
    let open = high + medium + low;
    let text = if open > 0 {
        let severities = [(high, "HIGH"), (medium, "MEDIUM"), (low, "LOW")];
        let grades: Vec<_> =
            severities.iter().filter(|(n, _)| *n > 0).map(|(n, name)| format!("{n} {name}")).collect();
        let are = if open == 1 { "incident is" } else { "incidents are" };
        let cared_for = match (unacknowledged, open) {
            (0, 1) => ", acknowledged",
            (0, _) => ", all acknowledged",
            _ => "",
        };
        format!("{open} {are} open: {}{cared_for}", grades.join(", "))
    } else if detectors == 0 {
        "There is no detector yet".to_owned()
    } else if trained == 0 {
        "No detector is trained yet".to_owned()
    } else if report.state.is_none() {
        "All is well: no incident is open".to_owned()
    } else {
        "No incident is open, but logintel needs attention".to_owned()
    };
    let least = (open > 0 || detectors == 0 || trained == 0).then_some(Grade::Attention);
    Headline { grade: report.state.max(least), text }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(open: [u64; 3], unacknowledged: u64, state: Option<Grade>) -> (Option<Grade>, String) {
        let counts = Counts { open, unacknowledged, detectors: 2, trained: 1, ..Counts::default() };
        let Headline { grade, text } = headline(&Report { state, counts, ..Report::default() });
        (grade, text)
    }

    #[test]
    fn the_worst_decides() {
        use Grade::{Attention, Trouble};
        assert_eq!(of([0; 3], 0, None), (None, "All is well: no incident is open".into()));
        let but = "No incident is open, but logintel needs attention";
        assert_eq!(of([0; 3], 0, Some(Attention)), (Some(Attention), but.into()));
        assert_eq!(
            of([0, 1, 0], 1, Some(Attention)),
            (Some(Attention), "1 incident is open: 1 MEDIUM".into())
        );
        assert_eq!(
            of([2, 0, 1], 1, Some(Trouble)),
            (Some(Trouble), "3 incidents are open: 2 HIGH, 1 LOW".into())
        );
        assert_eq!(
            of([1, 0, 0], 0, None),
            (Some(Attention), "1 incident is open: 1 HIGH, acknowledged".into())
        );
        let cared_for = "2 incidents are open: 2 LOW, all acknowledged";
        assert_eq!(of([0, 0, 2], 0, Some(Trouble)), (Some(Trouble), cared_for.into()));
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
