//! Everything that can go wrong in the engine, as one enum.
//!
//! The surface maps each variant to one SQLSTATE; the words here become the message, [`Error::detail`] and
//! [`Error::hint`] the rest. A variant carries what the reader of the message needs to find the cause.

use crate::limits::MAX_MESSAGE_BYTES;

/// The engine's result.
pub type Result<T> = std::result::Result<T, Error>;

/// What went wrong.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The text is not a vector literal.
    #[error("invalid input syntax for type logvec: {0}")]
    VectorSyntax(String),
    /// An index lies outside `1..=dim`.
    #[error("logvec index {index} is out of range for {dim} dimensions")]
    VectorIndex {
        /// 1-based, as in the literal.
        index: i64,
        /// Dimensions of the vector.
        dim: u32,
    },
    /// An index is no index at all.
    #[error("index \"{0}\" is out of range for type logvec")]
    VectorIndexRange(String),
    /// An index occurs twice.
    #[error("logvec index {0} occurs more than once")]
    VectorDuplicate(u32),
    /// A value is NaN or infinite.
    #[error("{0} is not allowed in logvec")]
    VectorNotFinite(&'static str),
    /// A value does not fit float4.
    #[error("\"{0}\" is out of range for type logvec")]
    VectorValueRange(String),
    /// Zero, negative or too many dimensions.
    #[error("logvec must have between 1 and {max} dimensions, not {0}", max = crate::limits::MAX_DIM)]
    VectorDimensions(i64),
    /// Too many non-zeros.
    #[error("logvec cannot have more than {max} non-zero elements", max = crate::limits::MAX_NNZ)]
    VectorTooDense,
    /// A vector has not the dimensions that its column or cast asks for.
    #[error("expected {expected} dimensions, not {found}")]
    VectorExpected {
        /// What the type modifier says.
        expected: u32,
        /// What the vector has.
        found: u32,
    },
    /// A computed element does not fit float4.
    #[error("element {0} of the resulting logvec is out of range: overflow")]
    VectorOverflow(u32),
    /// Two vectors that must have the same dimensions have not.
    #[error("different logvec dimensions {0} and {1}")]
    VectorMismatch(u32, u32),
    /// The bytes are not what we wrote.
    #[error("invalid {what} bytes: {why}")]
    Corrupt {
        /// Which kind of value was read.
        what: &'static str,
        /// What is wrong with it.
        why: String,
    },
    /// The bytes were written by a newer version.
    #[error("{what} has format version {found}, this logintel reads up to {known}")]
    FormatVersion {
        /// Which kind of value was read.
        what: &'static str,
        /// The version found.
        found: u16,
        /// The newest version known here.
        known: u16,
    },
    /// An option's name is unknown.
    #[error("unknown option \"{name}\"")]
    UnknownOption {
        /// As given.
        name: String,
        /// The names known here.
        known: String,
    },
    /// An option's value is not acceptable.
    #[error("invalid value for option \"{name}\": {why}")]
    OptionValue {
        /// The option.
        name: String,
        /// What is wrong and what would be right.
        why: String,
    },
    /// There is not one document.
    #[error("no documents to learn from")]
    NoDocuments,
    /// The analyzer found no term in any document.
    #[error("empty vocabulary: no document contains a term")]
    EmptyVocabulary,
    /// Every term was pruned by `min_df` and `max_df`.
    #[error("no terms remain after pruning {0} terms")]
    AllTermsPruned(usize),
    /// `max_df` corresponds to fewer documents than `min_df`.
    #[error("max_df corresponds to fewer documents than min_df")]
    DocumentFrequencies,
    /// The work would not fit the memory it may use.
    #[error("{what} needs about {needed} bytes of memory, more than the {allowed} allowed")]
    Memory {
        /// The work.
        what: &'static str,
        /// Estimated bytes.
        needed: u64,
        /// The bound.
        allowed: u64,
    },
    /// There are more of something than its numbers reach.
    #[error("too many {what}: at most {max} are possible")]
    TooMany {
        /// Of what, in the plural.
        what: &'static str,
        /// The bound, which is none of memory.
        max: u64,
    },
    /// A model is larger than one may be.
    #[error("{what} is larger than the {max} bytes that one may have")]
    ModelTooLarge {
        /// Which kind of value.
        what: &'static str,
        /// The bound.
        max: usize,
    },
    /// A pattern needs more steps than a line may cost.
    #[error("pattern \"{0}\" takes too many steps on this text")]
    PatternSteps(String),
    /// A message has more bytes than [`crate::limits::MAX_MESSAGE_BYTES`] or n-grams than [`crate::limits::MAX_NGRAMS`].
    #[error(
        "a message has more than {} bytes or {} n-grams",
        crate::limits::MAX_MESSAGE_BYTES,
        crate::limits::MAX_NGRAMS
    )]
    MessageTooLong,
    /// A suppression's pattern cannot be used.
    #[error("invalid message_pattern of a suppression: {0}")]
    SuppressionPattern(String),
    /// The caller asked to stop.
    #[error("canceled")]
    Canceled,
}

impl Error {
    /// The same, when the option belongs to a group of options: `group.name`.
    #[must_use]
    pub fn within(self, group: &str) -> Self {
        let path =
            |name: String| if name == "options" { group.to_owned() } else { format!("{group}.{name}") };
        match self {
            Error::UnknownOption { name, known } => Error::UnknownOption { name: path(name), known },
            Error::OptionValue { name, why } => Error::OptionValue { name: path(name), why },
            other => other,
        }
    }

    /// What a reader may need beside the message.
    pub fn detail(&self) -> Option<String> {
        match self {
            Error::UnknownOption { known, .. } => Some(format!("Known options are {known}.")),
            _ => None,
        }
    }

    /// The way out, where there is one.
    pub fn hint(&self) -> Option<&'static str> {
        Some(match self {
            Error::VectorSyntax(_) => {
                "A logvec looks like {1:0.5,7:0.25}/126: index:value pairs, then the dimensions."
            }
            Error::SuppressionPattern(_) => {
                "It is a regular expression as Python writes them, looked for anywhere in the message: such as '^backup of \\S+ skipped'."
            }
            Error::EmptyVocabulary => {
                "Look at token_pattern and stop_words, or at what the messages contain."
            }
            Error::AllTermsPruned(_) => "Try a lower min_df or a higher max_df.",
            Error::DocumentFrequencies => "Give min_df a lower or max_df a higher value.",
            Error::NoDocuments => "NULL messages are skipped; is the range of rows the right one?",
            Error::PatternSteps(_) => {
                "Give a simpler pattern, or the beginning of the message: left(message, 100000)."
            }
            Error::MessageTooLong => "Give its beginning: left(message, 100000).",
            Error::TooMany { .. } => "Work on fewer rows.",
            Error::Memory { .. } => "Raise logintel.maintenance_mem, or work on fewer rows.",
            Error::ModelTooLarge { .. } => {
                "Lower max_features or the upper end of ngram_range, or raise min_df."
            }
            Error::FormatVersion { .. } => "Install the logintel version that wrote it, or a newer one.",
            Error::Corrupt { .. } => "Restore it from a backup, or make it again.",
            _ => return None,
        })
    }
}

/// Refuses a message, masked or not, whose tokens would need several times its length of memory, and that is much already.
pub(crate) fn check_length(message: &str) -> Result<()> {
    if message.len() > MAX_MESSAGE_BYTES { Err(Error::MessageTooLong) } else { Ok(()) }
}
