//! Options of a vectoriser, with scikit-learn's names, defaults and meaning.

use serde_json::{Map, Value};

use crate::error::{Error, Result};

/// What a term is cut from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum AnalyzerKind {
    /// Matches of `token_pattern`.
    Word,
    /// Runs of characters.
    Char,
    /// Runs of characters inside words, which are padded with a space on both sides.
    CharWb,
}

/// Words that are left out.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum StopWords {
    /// None.
    None,
    /// The built-in English list.
    English,
    /// These.
    List(Vec<String>),
}

/// A bound on document frequency: JSON `1` is a count, `1.0` a share of the documents.
#[derive(Debug, Clone, Copy, PartialEq, bincode::Encode, bincode::Decode)]
pub enum DocumentFrequency {
    /// So many documents.
    Count(u64),
    /// This share of them, within `0..=1`.
    Share(f64),
}

impl DocumentFrequency {
    /// The bound in documents, when there are `documents` of them.
    pub fn documents(self, documents: u64) -> f64 {
        match self {
            DocumentFrequency::Count(count) => count as f64,
            DocumentFrequency::Share(share) => share * documents as f64,
        }
    }
}

/// Length that a vector is brought to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Norm {
    /// Sum of absolute values 1.
    L1,
    /// Euclidean length 1.
    L2,
}

/// A pattern of the user's whose matches become `<name>`.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub struct MaskRule {
    /// What it is replaced by, between angle brackets.
    pub name: String,
    /// A regular expression in Python's syntax.
    pub pattern: String,
}

/// What is replaced in a message before it is cut into terms.
#[derive(Debug, Clone, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Masks {
    /// Nothing.
    None,
    /// The built-in set.
    BuiltIn,
    /// These, in this order, instead of the built-in set.
    List(Vec<MaskRule>),
    /// These, in this order, then the built-in set.
    ListThenBuiltIn(Vec<MaskRule>),
}

impl Masks {
    /// The user's.
    pub fn rules(&self) -> &[MaskRule] {
        match self {
            Masks::None | Masks::BuiltIn => &[],
            Masks::List(rules) | Masks::ListThenBuiltIn(rules) => rules,
        }
    }

    /// Reads the options of `log_template`, of which this is the only one.
    ///
    /// # Errors
    /// [`Error::UnknownOption`] and [`Error::OptionValue`].
    pub fn of_template_options(json: &Value) -> Result<Self> {
        let mut given = Masks::BuiltIn;
        for (name, value) in object("options", json)? {
            match name.as_str() {
                "masks" => given = masks(name, value)?,
                _ => return Err(unknown(name, &["masks"])),
            }
        }
        Ok(given)
    }

    fn to_json(&self) -> Value {
        let rules = self.rules().iter();
        let rules = rules.map(|rule| serde_json::json!({"name": rule.name, "pattern": rule.pattern}));
        match self {
            Masks::None => Value::Bool(false),
            Masks::BuiltIn => Value::Bool(true),
            Masks::List(_) => rules.collect(),
            Masks::ListThenBuiltIn(_) => rules.chain([Value::Bool(true)]).collect(),
        }
    }
}

/// Options of `tfidf_fit`.
#[expect(clippy::struct_excessive_bools, reason = "scikit-learn's options")]
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct TfidfOptions {
    /// What a term is cut from.
    pub analyzer: AnalyzerKind,
    /// Whether text is lowercased first.
    pub lowercase: bool,
    /// What a word is, for [`AnalyzerKind::Word`]; at most one group.
    pub token_pattern: String,
    /// Words left out, for [`AnalyzerKind::Word`].
    pub stop_words: StopWords,
    /// Shortest and longest n-gram.
    pub ngram_range: (u32, u32),
    /// Terms of fewer documents are pruned.
    pub min_df: DocumentFrequency,
    /// Terms of more documents are pruned.
    pub max_df: DocumentFrequency,
    /// Most terms kept, by their count over all documents; ties at the cut alphabetical.
    pub max_features: Option<u64>,
    /// Whether a term counts once in a document.
    pub binary: bool,
    /// Length that a vector is brought to.
    pub norm: Option<Norm>,
    /// Whether rare terms weigh more.
    pub use_idf: bool,
    /// Whether document frequencies count one document more that holds every term.
    pub smooth_idf: bool,
    /// Whether a term's count `tf` becomes `1 + ln(tf)`.
    pub sublinear_tf: bool,
    /// What is replaced first.
    pub masks: Masks,
}

/// scikit-learn's default `token_pattern`.
pub const DEFAULT_TOKEN_PATTERN: &str = r"(?u)\b\w\w+\b";
/// Longest n-gram.
const MAX_NGRAM: u64 = 32;
/// Most stop words in a list.
const MAX_STOP_WORDS: usize = 100_000;
/// Most masks in a list: each goes over the whole text.
const MAX_MASKS: usize = 256;

impl Default for TfidfOptions {
    fn default() -> Self {
        TfidfOptions {
            analyzer: AnalyzerKind::Word,
            lowercase: true,
            token_pattern: DEFAULT_TOKEN_PATTERN.into(),
            stop_words: StopWords::None,
            ngram_range: (1, 1),
            min_df: DocumentFrequency::Count(1),
            max_df: DocumentFrequency::Share(1.0),
            max_features: None,
            binary: false,
            norm: Some(Norm::L2),
            use_idf: true,
            smooth_idf: true,
            sublinear_tf: false,
            masks: Masks::None,
        }
    }
}

impl TfidfOptions {
    /// Overwrites what the JSON object names. `null` as a whole changes nothing.
    ///
    /// # Errors
    /// [`Error::UnknownOption`] and [`Error::OptionValue`].
    pub fn merge(mut self, json: &Value) -> Result<Self> {
        for (name, value) in object("options", json)? {
            match name.as_str() {
                "analyzer" => {
                    self.analyzer = one_of(
                        name,
                        value,
                        &[
                            ("word", AnalyzerKind::Word),
                            ("char", AnalyzerKind::Char),
                            ("char_wb", AnalyzerKind::CharWb),
                        ],
                    )?;
                }
                "lowercase" => self.lowercase = boolean(name, value)?,
                "token_pattern" => string(name, value)?.clone_into(&mut self.token_pattern),
                "stop_words" => self.stop_words = stop_words(name, value)?,
                "ngram_range" => self.ngram_range = ngram_range(name, value)?,
                "min_df" => self.min_df = document_frequency(name, value)?,
                "max_df" => self.max_df = document_frequency(name, value)?,
                "max_features" if value.is_null() => self.max_features = None,
                "max_features" => self.max_features = Some(integer(name, value, 1, u64::MAX)?),
                "binary" => self.binary = boolean(name, value)?,
                "norm" if value.is_null() => self.norm = None,
                "norm" => self.norm = Some(one_of(name, value, &[("l1", Norm::L1), ("l2", Norm::L2)])?),
                "use_idf" => self.use_idf = boolean(name, value)?,
                "smooth_idf" => self.smooth_idf = boolean(name, value)?,
                "sublinear_tf" => self.sublinear_tf = boolean(name, value)?,
                "masks" => self.masks = masks(name, value)?,
                _ => {
                    return Err(unknown(
                        name,
                        &[
                            "analyzer",
                            "lowercase",
                            "token_pattern",
                            "stop_words",
                            "ngram_range",
                            "min_df",
                            "max_df",
                            "max_features",
                            "binary",
                            "norm",
                            "use_idf",
                            "smooth_idf",
                            "sublinear_tf",
                            "masks",
                        ],
                    ));
                }
            }
        }
        Ok(self)
    }
}

impl TfidfOptions {
    /// Whether every value is one that [`Self::merge`] takes: options may come from bytes too.
    pub fn is_valid(&self) -> bool {
        TfidfOptions::default().merge(&self.to_json()).as_ref() == Ok(self)
    }

    /// Every text in them.
    pub(crate) fn texts(&self) -> impl Iterator<Item = &str> {
        let stop_words = match &self.stop_words {
            StopWords::List(words) => words.as_slice(),
            _ => &[],
        };
        let masks = self.masks.rules().iter().flat_map(|rule| [&rule.name, &rule.pattern]);
        std::iter::once(&self.token_pattern).chain(stop_words).chain(masks).map(String::as_str)
    }

    /// The options as JSON: what [`Self::merge`] would take to make them.
    pub fn to_json(&self) -> Value {
        let frequency = |bound| match bound {
            DocumentFrequency::Count(count) => Value::from(count),
            DocumentFrequency::Share(share) => Value::from(share),
        };
        serde_json::json!({
            "analyzer": match self.analyzer {
                AnalyzerKind::Word => "word",
                AnalyzerKind::Char => "char",
                AnalyzerKind::CharWb => "char_wb",
            },
            "lowercase": self.lowercase,
            "token_pattern": self.token_pattern,
            "stop_words": match &self.stop_words {
                StopWords::None => Value::Null,
                StopWords::English => Value::from("english"),
                StopWords::List(words) => Value::from(words.clone()),
            },
            "ngram_range": [self.ngram_range.0, self.ngram_range.1],
            "min_df": frequency(self.min_df),
            "max_df": frequency(self.max_df),
            "max_features": self.max_features,
            "binary": self.binary,
            "norm": match self.norm {
                None => Value::Null,
                Some(Norm::L1) => Value::from("l1"),
                Some(Norm::L2) => Value::from("l2"),
            },
            "use_idf": self.use_idf,
            "smooth_idf": self.smooth_idf,
            "sublinear_tf": self.sublinear_tf,
            "masks": self.masks.to_json(),
        })
    }
}

/// An [`Error::UnknownOption`] that lists what is known.
pub fn unknown(name: &str, known: &[&str]) -> Error {
    Error::UnknownOption { name: name.to_owned(), known: known.join(", ") }
}

/// An [`Error::OptionValue`].
pub fn invalid(name: &str, why: impl Into<String>) -> Error {
    Error::OptionValue { name: name.to_owned(), why: why.into() }
}

/// The members of a JSON object; none for `null`.
///
/// # Errors
/// [`Error::OptionValue`] if it is anything else.
pub fn object<'a>(name: &str, json: &'a Value) -> Result<impl Iterator<Item = (&'a String, &'a Value)>> {
    static EMPTY: std::sync::LazyLock<Map<String, Value>> = std::sync::LazyLock::new(Map::new);
    match json {
        Value::Object(members) => Ok(members.iter()),
        Value::Null => Ok(EMPTY.iter()),
        _ => Err(invalid(name, "it must be a JSON object")),
    }
}

/// A JSON boolean.
///
/// # Errors
/// [`Error::OptionValue`] if it is anything else.
pub fn boolean(name: &str, value: &Value) -> Result<bool> {
    value.as_bool().ok_or_else(|| invalid(name, "it must be true or false"))
}

/// A JSON string.
///
/// # Errors
/// [`Error::OptionValue`] if it is anything else.
pub fn string<'a>(name: &str, value: &'a Value) -> Result<&'a str> {
    value.as_str().ok_or_else(|| invalid(name, "it must be a string"))
}

/// A JSON integer within bounds.
///
/// # Errors
/// [`Error::OptionValue`] if it is anything else.
pub fn integer(name: &str, value: &Value, min: u64, max: u64) -> Result<u64> {
    let bounds =
        || if max == u64::MAX { format!("of at least {min}") } else { format!("from {min} to {max}") };
    let number = value.as_u64().filter(|n| (min..=max).contains(n));
    number.ok_or_else(|| invalid(name, format!("it must be an integer {}", bounds())))
}

/// A JSON number within bounds, both included.
///
/// # Errors
/// [`Error::OptionValue`] if it is anything else.
pub fn number(name: &str, value: &Value, min: f64, max: f64) -> Result<f64> {
    let number = value.as_f64().filter(|n| (min..=max).contains(n));
    number.ok_or_else(|| invalid(name, format!("it must be a number from {min} to {max}")))
}

/// One of some words.
///
/// # Errors
/// [`Error::OptionValue`], which lists them.
pub fn one_of<T: Copy>(name: &str, value: &Value, choices: &[(&str, T)]) -> Result<T> {
    let found = value.as_str().and_then(|word| choices.iter().find(|(choice, _)| *choice == word));
    found.map(|&(_, choice)| choice).ok_or_else(|| {
        let words: Vec<_> = choices.iter().map(|(word, _)| format!("\"{word}\"")).collect();
        invalid(name, format!("it must be one of {}", words.join(", ")))
    })
}

fn stop_words(name: &str, value: &Value) -> Result<StopWords> {
    match value {
        Value::Null => Ok(StopWords::None),
        Value::String(list) if list == "english" => Ok(StopWords::English),
        Value::Array(words) if words.len() <= MAX_STOP_WORDS => {
            let words: Result<Vec<_>> = words.iter().map(|word| Ok(string(name, word)?.to_owned())).collect();
            Ok(StopWords::List(words?))
        }
        _ => Err(invalid(name, "it must be null, \"english\" or a list of strings")),
    }
}

fn ngram_range(name: &str, value: &Value) -> Result<(u32, u32)> {
    let bounds = value.as_array().filter(|pair| pair.len() == 2);
    let bounds = bounds.ok_or_else(|| invalid(name, "it must be a list of two integers, such as [1, 2]"))?;
    let (min, max) = (integer(name, &bounds[0], 1, MAX_NGRAM)?, integer(name, &bounds[1], 1, MAX_NGRAM)?);
    if min > max {
        return Err(invalid(name, "its first number must not be greater than its second"));
    }
    Ok((min as u32, max as u32))
}

fn document_frequency(name: &str, value: &Value) -> Result<DocumentFrequency> {
    if let Some(count) = value.as_u64().filter(|&count| count > 0) {
        return Ok(DocumentFrequency::Count(count));
    }
    let share = value.as_f64().filter(|share| value.is_f64() && (0.0..=1.0).contains(share));
    share.map(DocumentFrequency::Share).ok_or_else(|| {
        invalid(name, "it must be a count (an integer of at least 1) or a share from 0.0 to 1.0")
    })
}

/// What the option `masks` may be.
const MASKS: &str =
    "it must be true, false or a list of {name, pattern}, after the last of which true may stand";

fn masks(name: &str, value: &Value) -> Result<Masks> {
    let rules = match value {
        Value::Bool(false) => return Ok(Masks::None),
        Value::Bool(true) => return Ok(Masks::BuiltIn),
        Value::Array(rules) => rules.as_slice(),
        _ => return Err(invalid(name, MASKS)),
    };
    let (rules, is_built_in) = match rules.split_last() {
        Some((Value::Bool(true), rules)) => (rules, true),
        _ => (rules, false),
    };
    if rules.len() > MAX_MASKS {
        return Err(invalid(name, format!("there are {} of them, more than {MAX_MASKS}", rules.len())));
    }
    if !rules.iter().all(Value::is_object) {
        return Err(invalid(name, MASKS));
    }
    let rules = rules.iter().map(|rule| mask_rule(name, rule)).collect::<Result<_>>()?;
    Ok(if is_built_in { Masks::ListThenBuiltIn(rules) } else { Masks::List(rules) })
}

fn mask_rule(option: &str, value: &Value) -> Result<MaskRule> {
    let (mut rule_name, mut pattern) = (None, None);
    for (key, value) in object(option, value)? {
        match key.as_str() {
            "name" => rule_name = Some(string("masks.name", value)?.to_owned()),
            "pattern" => pattern = Some(string("masks.pattern", value)?.to_owned()),
            _ => return Err(unknown(&format!("{option}.{key}"), &["name", "pattern"])),
        }
    }
    match (rule_name, pattern) {
        (Some(name), Some(pattern)) => Ok(MaskRule { name, pattern }),
        _ => Err(invalid(option, "each mask needs a name and a pattern")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_masks_has_an_end() {
        let rules = |count| serde_json::json!({"masks": vec![serde_json::json!({"name": "a", "pattern": "b"}); count]});
        assert_eq!(TfidfOptions::default().merge(&rules(MAX_MASKS)).unwrap().masks.rules().len(), MAX_MASKS);
        let error = TfidfOptions::default().merge(&rules(MAX_MASKS + 1)).unwrap_err().to_string();
        assert!(error.contains("257 of them, more than 256"), "{error}");
    }
}
