//! Where an incident most likely began: what came first, and of what came at once, what is rarest.
//!
//! A fault shows in many components within seconds, and clocks of several machines are no better than that. So of all
//! that came in the first [`FIRST`] the order does not count, but how rare its component was in training, then its template: what
//! always has something to say is seldom the cause.

use crate::config::Micros;

/// What comes so soon after the first anomaly came at the same time, microseconds.
pub const FIRST: Micros = 5_000_000;

/// An anomaly among the first of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect<'a> {
    /// Where it happened.
    pub component: Option<&'a str>,
    /// Its template.
    pub template: &'a str,
    /// When it happened.
    pub ts: Micros,
    /// The caller's number for it.
    pub id: i64,
    /// Rows of its component in training.
    pub component_rows: u64,
    /// Rows of its template in training.
    pub template_rows: u64,
}

/// The anomaly that an incident most likely began with. One without component tells of no place, and is it only where all are
/// so. Ties go to the first in time, then by component and template, so that numbers decide nothing but between equals.
pub fn origin<'s, 'a>(suspects: &'s [Suspect<'a>]) -> Option<&'s Suspect<'a>> {
    let first = suspects.iter().map(|suspect| suspect.ts).min()?;
    let at_once = suspects.iter().filter(|suspect| suspect.ts.saturating_sub(first) <= FIRST);
    at_once.min_by_key(|suspect| {
        let place = (suspect.component.is_none(), suspect.component_rows, suspect.template_rows);
        (place, suspect.ts, suspect.component, suspect.template, suspect.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn suspect(component: &str, ts: Micros, component_rows: u64, template_rows: u64) -> Suspect<'_> {
        Suspect { component: Some(component), template: "t", ts, id: 1, component_rows, template_rows }
    }

    #[test]
    fn the_rarest_of_what_came_first() {
        let chatty = suspect("web", 0, 1_000_000, 0);
        let disk = suspect("disk", FIRST, 10, 3);
        let later = suspect("raid", FIRST + 1, 0, 0);
        assert_eq!(origin(&[chatty, disk, later]), Some(&disk));
        assert_eq!(origin(&[chatty, later]), Some(&chatty), "rarer, but too late");
        let rarer = Suspect { template: "u", ts: 4, template_rows: 2, ..disk };
        assert_eq!(origin(&[disk, rarer, chatty]), Some(&rarer), "its rarest template");
        let nowhere = Suspect { component: None, component_rows: 0, ..chatty };
        assert_eq!(origin(&[nowhere, disk]), Some(&disk));
        assert_eq!(origin(&[nowhere]), Some(&nowhere));
        assert_eq!(origin(&[]), None);
    }

    #[test]
    fn neither_order_nor_numbers_decide() {
        let (a, b) = (suspect("a", 7, 5, 5), suspect("b", 7, 5, 5));
        assert_eq!(origin(&[a, b]), origin(&[b, Suspect { id: 9, ..a }]).map(|_| &a));
        assert_eq!(origin(&[b, a]), Some(&a));
        assert_eq!(origin(&[suspect("b", 6, 5, 5), a]).unwrap().component, Some("b"));
    }
}
