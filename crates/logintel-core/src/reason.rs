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
