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
