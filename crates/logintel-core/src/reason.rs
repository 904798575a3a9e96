//! Why a line or a whole session is judged as it is: one vocabulary for both.

/// Why a row or a session is, or is not, an anomaly. The order is that of strength.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// Its level is ERROR or above.
    ErrorLevel,
    /// No template of training is like it.
    UnseenTemplate,
    /// It is like a template of training but for this share of its words, which training never saw.
    UnseenTerms(f64),
    /// Something occurs more often than it does in ordinary sessions.
    RateSpike,
    /// Something occurs less often than it does in ordinary sessions, or not at all.
    RateDrop,
    /// It is further from every template of training than ordinary rows are.
    SemanticDistance(f64),
    /// Training saw its template once, and nothing like it.
    RareTemplate,
    /// Ordinary.
    Normal(f64),
    /// There is no model yet.
    Untrained,
}

/// What makes an anomaly, without its figures, as [`Reason`] is written. The order is that of strength.
pub const KINDS: [&str; 7] = [
    "ERROR_level",
    "unseen_template",
    "unseen_terms",
    "rate_spike",
    "rate_drop",
    "semantic_distance",
    "rare_template",
];

/// Kinds of reasons, each once.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Kinds(u8);

impl Kinds {
    /// Takes in the kind of a reason as it is written: what stands before its figure. What is no kind adds nothing.
    pub fn add(&mut self, reason: &str) {
        let kind = reason.split('=').next().unwrap_or_default();
        if let Some(at) = KINDS.iter().position(|known| *known == kind) {
            self.0 |= 1 << at;
        }
    }

    /// Their names, strongest first.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        KINDS.into_iter().enumerate().filter(move |(at, _)| self.0 & (1 << at) != 0).map(|(_, name)| name)
    }
}

impl std::fmt::Display for Reason {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Reason::ErrorLevel => f.write_str("ERROR_level"),
            Reason::UnseenTemplate => f.write_str("unseen_template"),
            Reason::UnseenTerms(share) => write!(f, "unseen_terms={share:.2}"),
            Reason::RateSpike => f.write_str("rate_spike"),
            Reason::RateDrop => f.write_str("rate_drop"),
            Reason::SemanticDistance(distance) => write!(f, "semantic_distance={distance:.3}"),
            Reason::RareTemplate => f.write_str("rare_template"),
            Reason::Normal(distance) => write!(f, "normal_distance={distance:.3}"),
            Reason::Untrained => f.write_str("untrained"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_are_reasons_without_figures() {
        let all = [
            Reason::RareTemplate,
            Reason::SemanticDistance(0.4),
            Reason::RateDrop,
            Reason::RateSpike,
            Reason::UnseenTerms(0.25),
            Reason::UnseenTemplate,
            Reason::ErrorLevel,
        ];
        let mut kinds = Kinds::default();
        for reason in all.into_iter().chain([Reason::Normal(0.1), Reason::Untrained]) {
            kinds.add(&reason.to_string());
        }
        kinds.add("");
        assert!(kinds.names().eq(KINDS), "{kinds:?}");
        assert_eq!(Kinds::default().names().count(), 0);
    }
}
