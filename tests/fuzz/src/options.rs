//! Options and regular expressions: what is refused says why, what is taken can be written down, and does its work in time.
use logintel_core::config::{DetectorOptions, Micros};
use logintel_core::control::Watch;
use logintel_core::mask::Masker;
use logintel_core::options::{Masks, TfidfOptions};
use logintel_core::pattern::{Finder, Pattern};
use logintel_core::suppression::{Ready, Rule, Rules};
use logintel_core::tokenize::Tokenizer;
use serde_json::Value;

/// A first line, and what follows it.
fn head(input: &[u8]) -> (&[u8], &[u8]) {
    let end = input.iter().position(|&byte| byte == b'\n').unwrap_or(input.len());
    (&input[..end], input.get(end + 1..).unwrap_or_default())
}

/// Stands for PostgreSQL, which reads `1 hour`.
fn interval(text: &str) -> Option<Micros> {
    let (number, unit) = text.split_once(' ')?;
    let unit = match unit {
        "second" => 1_000_000,
        "hour" => 3_600_000_000,
        _ => return None,
    };
    number.parse::<Micros>().ok()?.checked_mul(unit)
}

/// A line of JSON, and a message.
pub(crate) fn options(input: &[u8]) {
    let (json, message) = head(input);
    let Ok(json) = serde_json::from_slice::<Value>(json) else { return };
    let message = crate::text(message);
    if let Ok(options) = TfidfOptions::default().merge(&json) {
        assert!(options.is_valid(), "{options:?}");
        cut(&options, &message);
    }
    if let Ok(masks) = Masks::of_template_options(&json)
        && let Ok(masker) = Masker::new(&masks)
    {
        let _ = masker.mask(&message, &Watch::default());
    }
    if let Ok(options) = DetectorOptions::parse(&json, &interval) {
        cut(&options.vectorizer, &message);
        let rule = Rule { message_pattern: Some("x".to_owned()), ..Rule::default() };
        let _ = Ready::new(rule).and_then(|rule| Rules::new(vec![rule], &options, Watch::default()));
    }
}

fn cut(options: &TfidfOptions, message: &str) {
    let Ok(tokenizer) = Tokenizer::new(options, Watch::default()) else { return };
    if let Ok(masked) = tokenizer.mask(message, &Watch::default()) {
        let _ = tokenizer.ngrams(&masked, &Watch::default(), |_| Ok(()));
    }
}

/// A line that is a pattern, and a text.
pub(crate) fn pattern(input: &[u8]) {
    let (source, text) = head(input);
    let (source, text) = (crate::text(source), crate::text(text));
    if let Ok(pattern) = Pattern::new("pattern", &source) {
        let mut end = 0;
        let _ = pattern.find_whole(&text, |found| {
            assert!(found.start >= end && text.get(found.clone()).is_some(), "{found:?} of {text:?}");
            end = found.end;
            Ok(())
        });
        let _ = pattern.find_all(&text, |found| {
            assert!(text.get(found.clone()).is_some(), "{found:?} of {text:?}");
            Ok(())
        });
    }
    if let Ok(finder) = Finder::new(&source) {
        let _ = finder.is_found(&text);
    }
}
