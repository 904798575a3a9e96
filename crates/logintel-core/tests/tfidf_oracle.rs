//! Characters, patterns, vocabularies and weights against Python and scikit-learn.
mod common;

use std::ops::Range;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::LazyLock;

use logintel_core::control::{Unattended, Watch};
use logintel_core::counts::TermCounts;
use logintel_core::options::TfidfOptions;
use logintel_core::pattern::{Pattern, is_space, is_word};
use logintel_core::tfidf::TfidfModel;
use logintel_core::vectorizer::{Scratch, Vectorizer};
use logintel_core::{Error, artifact};

#[derive(serde::Deserialize)]
struct Expected {
    corpora: HashMap<String, Vec<String>>,
    cases: Vec<Case>,
    characters: Characters,
    patterns: Vec<Findall>,
}

#[derive(serde::Deserialize)]
struct Case {
    corpus: String,
    options: serde_json::Value,
    /// How many lines of the corpus were fitted.
    fitted: usize,
    /// Which were transformed.
    held: Vec<usize>,
    error: Option<String>,
    #[serde(default)]
    terms: Vec<String>,
    idf: Option<Vec<f64>>,
    #[serde(default)]
    rows: Vec<(Vec<u32>, Vec<f64>)>,
}

/// What Python holds of each character.
#[derive(serde::Deserialize)]
struct Characters {
    unicode: String,
    assigned: Vec<(u32, u32)>,
    word: Vec<(u32, u32)>,
    digit: Vec<(u32, u32)>,
    space: Vec<(u32, u32)>,
    lower: HashMap<char, String>,
    cased: String,
    alike: BTreeMap<char, String>,
}

#[derive(serde::Deserialize)]
struct Findall {
    pattern: String,
    error: Option<String>,
    #[serde(default)]
    texts: Vec<String>,
    #[serde(default)]
    found: Vec<Vec<String>>,
}

static EXPECTED: LazyLock<Expected> = LazyLock::new(|| common::oracle::cases("tfidf"));

fn near(ours: f64, theirs: f64) -> bool {
    (ours - theirs).abs() <= theirs.abs() * 1e-6
}

fn fit(lines: &[String], options: &TfidfOptions) -> Result<TfidfModel, Error> {
    let mut counts = TermCounts::new(options, 1 << 30, Watch::default())?;
    for line in lines {
        counts.add(line)?;
    }
    counts.finish()
}

fn check(case: &Case, lines: &[String]) {
    let at = format!("{} {} fitted on {}", case.corpus, case.options, case.fitted);
    let options = TfidfOptions::default().merge(&case.options).unwrap();
    let model = match (fit(&lines[..case.fitted], &options), &case.error) {
        (Ok(model), None) => model,
        (Err(error), Some(theirs)) => {
            let theirs = theirs.as_str();
            return match error {
                Error::EmptyVocabulary => assert!(theirs.starts_with("empty vocabulary"), "{at}: {theirs}"),
                Error::AllTermsPruned(_) => assert!(theirs.starts_with("After pruning"), "{at}: {theirs}"),
                Error::DocumentFrequencies => {
                    assert!(theirs.starts_with("max_df corresponds"), "{at}: {theirs}");
                }
                other => panic!("{at}: {other}"),
            };
        }
        (Ok(_), Some(theirs)) => panic!("{at}: scikit-learn refuses it: {theirs}"),
        (Err(error), None) => panic!("{at}: {error}"),
    };
    let terms: Vec<String> = (0..model.len()).map(|i| model.term(i)).collect();
    if terms != case.terms {
        let (ours, theirs): (HashSet<&str>, HashSet<&str>) =
            (terms.iter().map(String::as_str).collect(), case.terms.iter().map(String::as_str).collect());
        let some = |a: &HashSet<&str>, b: &HashSet<&str>| -> Vec<String> {
            a.difference(b).take(5).map(|&term| term.to_owned()).collect()
        };
        panic!("{at}: terms, ours only {:?}, theirs only {:?}", some(&ours, &theirs), some(&theirs, &ours));
    }
    for i in 0..model.len() {
        assert!(
            near(model.idf(i), case.idf.as_ref().map_or(1.0, |idf| idf[i])),
            "{at}: idf {:?}",
            model.term(i)
        );
    }
    // Through the artifact, as it is kept.
    let model = artifact::decode(&artifact::encode(&model, &Unattended).unwrap(), &Unattended).unwrap();
    let (vectorizer, mut scratch) = (Vectorizer::new(model).unwrap(), Scratch::default());
    for (&line, (indices, values)) in case.held.iter().zip(&case.rows) {
        let vector = vectorizer.embed(&lines[line], &mut scratch).unwrap();
        assert_eq!(&vector.indices, indices, "{at}: line {line}");
        for (&ours, &theirs) in vector.values.iter().zip(values) {
            assert!(near(f64::from(ours), theirs), "{at}: line {line}: {ours} {theirs}");
        }
    }
}

#[test]
fn vocabularies_and_weights_are_scikit_learns() {
    for case in &EXPECTED.cases {
        check(case, &EXPECTED.corpora[&case.corpus]);
    }
    let fitted = EXPECTED.cases.iter().filter(|case| case.error.is_none()).count();
    println!("{fitted} of {} cases have a vocabulary", EXPECTED.cases.len());
    assert!(fitted >= 6, "{fitted} cases");
}

fn characters(ranges: &[(u32, u32)]) -> HashSet<char> {
    ranges.iter().flat_map(|&(first, last)| first..=last).filter_map(char::from_u32).collect()
}

/// Python's Unicode is older than Rust's. Of the characters that Python knows, these few have changed since, and
/// nothing else may differ.
const CHANGED: usize = 20;

#[test]
fn characters_are_pythons() {
    let theirs = &EXPECTED.characters;
    let [assigned, word, digit, space] =
        [&theirs.assigned, &theirs.word, &theirs.digit, &theirs.space].map(|ranges| characters(ranges));
    let all: String = (0..=u32::from(char::MAX)).filter_map(char::from_u32).collect();
    let mut digits = HashSet::new();
    let decimal = Pattern::new("token_pattern", r"\d").unwrap();
    let extend = |range: Range<usize>| {
        digits.extend(all[range].chars());
        Ok(())
    };
    decimal.find_all(&all, extend).unwrap();
    let (mut changed, mut newer) = (Vec::new(), 0);
    for c in all.chars() {
        let lower = theirs.lower.get(&c).cloned().unwrap_or_else(|| c.to_string());
        let same = is_word(c) == word.contains(&c)
            && is_space(c) == space.contains(&c)
            && digits.contains(&c) == digit.contains(&c)
            && c.to_string().to_lowercase() == lower;
        if !same && assigned.contains(&c) {
            changed.push(c);
        }
        newer += usize::from(!same && !assigned.contains(&c));
    }
    println!("Unicode {}: {changed:?} have changed since, {newer} are newer", theirs.unicode);
    assert!(changed.len() <= CHANGED, "{changed:?}");
}

#[test]
fn characters_match_in_any_case_as_in_python() {
    let theirs = &EXPECTED.characters;
    let mut unlike = Vec::new();
    for (&c, alike) in &theirs.alike {
        let escape = if c.is_ascii_alphanumeric() { "" } else { "\\" };
        for form in [format!("(?i){escape}{c}"), format!("(?i)[{escape}{c}]")] {
            let pattern = Pattern::new("token_pattern", &form).unwrap();
            let mut ours = String::new();
            let push = |range: Range<usize>| {
                ours.push_str(&theirs.cased[range]);
                Ok(())
            };
            pattern.find_all(&theirs.cased, push).unwrap();
            if &ours != alike {
                unlike.push((form, ours, alike));
            }
        }
    }
    println!("{} of {} differ: {unlike:?}", unlike.len(), theirs.alike.len() * 2);
    assert!(unlike.len() <= CHANGED, "{unlike:?}");
}

#[test]
fn patterns_find_what_pythons_findall_finds() {
    let (mut compared, mut refused, mut unlike) = (0, Vec::new(), Vec::new());
    for case in &EXPECTED.patterns {
        let pattern = match (Pattern::new("token_pattern", &case.pattern), &case.error) {
            (Ok(pattern), None) => pattern,
            (Err(_), Some(_)) => continue,
            (Ok(_), Some(error)) => {
                unlike.push(format!("{:?}: Python refuses it: {error}", case.pattern));
                continue;
            }
            (Err(error), None) => {
                // The one construct that the oracle writes and Rust's engines cannot take over.
                let error = error.to_string();
                let named = error.contains("a group that captures") || error.contains("repeat operator");
                assert!(named, "{:?}: {error}", case.pattern);
                refused.push(&case.pattern);
                continue;
            }
        };
        for (text, found) in case.texts.iter().zip(&case.found) {
            let mut ours = Vec::new();
            let push = |range: Range<usize>| {
                ours.push(text[range].to_owned());
                Ok(())
            };
            pattern.find_all(text, push).unwrap();
            if &ours != found {
                unlike.push(format!("{:?} in {text:?}: {ours:?} instead of {found:?}", case.pattern));
            }
            compared += 1;
        }
    }
    println!("{compared} texts; {} patterns refused: {refused:?}", refused.len());
    assert!(unlike.is_empty(), "{} differ:\n{}", unlike.len(), unlike[..unlike.len().min(20)].join("\n"));
    assert!(compared >= 100 && refused.len() * 50 <= EXPECTED.patterns.len(), "{compared} {refused:?}");
}
