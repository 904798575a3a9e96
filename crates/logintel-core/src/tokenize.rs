//! From a message to the words or characters that its terms are made of.
//!
//! The steps are scikit-learn's: (masks,) lowercase, then by analyzer: matches of `token_pattern` without stop
//! words; or runs of characters over text whose runs of white space became one space.

use std::borrow::Cow;
use std::ops::Range;

use hashbrown::HashSet;

use crate::control::{Control, Steps, Watch};
use crate::error::{Result, check_length};
use crate::mask::Masker;
use crate::options::{AnalyzerKind, DEFAULT_TOKEN_PATTERN, StopWords, TfidfOptions, invalid};
use crate::pattern::{Budget, Pattern, is_space, is_word};
use crate::stop_words::ENGLISH;

type Seeded = foldhash::fast::FixedState;

/// Words that are looked at together.
pub const BLOCK: usize = 1024;

/// What [`Tokenizer::words`] works in.
#[derive(Debug, Default)]
pub struct WordBuffer {
    text: String,
    words: Vec<Range<usize>>,
}

/// Cuts messages.
#[derive(Debug)]
pub struct Tokenizer {
    kind: AnalyzerKind,
    lowercase: bool,
    /// `None`: the default pattern, which has a scanner of its own.
    pattern: Option<Pattern>,
    stop_words: HashSet<String, Seeded>,
    ngram_range: (u32, u32),
    masker: Masker,
}

impl Tokenizer {
    /// Compiles the options; `watch` may stop it.
    ///
    /// # Errors
    /// [`crate::Error::OptionValue`] if a pattern cannot be used, or all together are too large, and what `watch` returns.
    pub fn new(options: &TfidfOptions, watch: Watch) -> Result<Self> {
        let mut budget = Budget::new(1 + options.masks.rules().len());
        let default = matches!(options.token_pattern.as_str(), DEFAULT_TOKEN_PATTERN | r"\b\w\w+\b");
        let pattern = if default {
            None
        } else {
            Some(Pattern::within(&mut budget, "token_pattern", &options.token_pattern)?)
        };
        if pattern.as_ref().is_some_and(|pattern| pattern.groups() > 1) {
            return Err(invalid("token_pattern", "it has more than one capturing group"));
        }
        let stop_words = match &options.stop_words {
            StopWords::None => HashSet::default(),
            StopWords::English => ENGLISH.iter().map(|&word| word.to_owned()).collect(),
            StopWords::List(words) => words.iter().cloned().collect(),
        };
        Ok(Tokenizer {
            kind: options.analyzer,
            lowercase: options.lowercase,
            pattern,
            stop_words,
            ngram_range: options.ngram_range,
            masker: Masker::within(&mut budget, &options.masks, watch)?,
        })
    }

    /// Whether n-grams are made by joining tokens with a space, and no token holds a space itself: then an
    /// n-gram is told by its tokens, and no string need be made of it.
    pub fn joins_words(&self) -> bool {
        self.kind == AnalyzerKind::Word && self.pattern.is_none()
    }

    /// The message with what varies replaced.
    ///
    /// # Errors
    /// [`Error::PatternSteps`], [`Error::MessageTooLong`], and what the watch returns.
    pub fn mask<'a>(&self, message: &'a str, watch: &Watch) -> Result<Cow<'a, str>> {
        check_length(message)?;
        self.masker.mask(message, watch)
    }

    /// Calls `found` with blocks of the words of a masked message, in order: a text and where in it they are;
    /// [`Self::joins_words`] only. `buffer` is one that the caller keeps between calls.
    ///
    /// # Errors
    /// What `found` and the watch return.
    pub fn words(
        &self,
        masked: &str,
        buffer: &mut WordBuffer,
        watch: &Watch,
        mut found: impl FnMut(&str, &[Range<usize>]) -> Result<()>,
    ) -> Result<()> {
        check_length(masked)?;
        let WordBuffer { text, words } = buffer;
        let text = self.lowered(masked, text);
        words.clear();
        let mut pace = Steps::over_bytes(watch);
        scan_words(text, |word| {
            pace.pass(word.len())?;
            if self.stop_words.is_empty() || !self.stop_words.contains(&text[word.clone()]) {
                words.push(word);
                if words.len() == BLOCK {
                    found(text, words)?;
                    words.clear();
                }
            }
            Ok(())
        })?;
        found(text, words)
    }

    /// Calls `found` with each n-gram of a masked message as text; any analyzer.
    ///
    /// # Errors
    /// [`crate::Error::PatternSteps`], and what `found` and the watch return.
    pub fn ngrams(
        &self,
        masked: &str,
        watch: &Watch,
        mut found: impl FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        check_length(masked)?;
        let mut buffer = String::new();
        let text = self.lowered(masked, &mut buffer);
        match self.kind {
            AnalyzerKind::Word => self.word_ngrams(text, watch, &mut found),
            AnalyzerKind::Char => self.char_ngrams(&collapse_space(text), &mut found),
            AnalyzerKind::CharWb => self.char_wb_ngrams(text, &mut found),
        }
    }

    fn lowered<'a>(&self, text: &'a str, buffer: &'a mut String) -> &'a str {
        if !self.lowercase {
            return text;
        }
        if text.is_ascii() {
            // A copy into a kept buffer and a change in place: both many bytes at a time, and no allocation.
            buffer.clear();
            buffer.push_str(text);
            buffer.make_ascii_lowercase();
        } else {
            *buffer = text.to_lowercase();
        }
        buffer
    }

    fn word_ngrams(
        &self,
        text: &str,
        watch: &Watch,
        found: &mut dyn FnMut(&str) -> Result<()>,
    ) -> Result<()> {
        let mut tokens: Vec<&str> = Vec::new();
        let mut pace = Steps::over_bytes(watch);
        let mut push = |range: Range<usize>| {
            let token = &text[range];
            pace.pass(token.len() + 1)?;
            if !self.stop_words.contains(token) {
                tokens.push(token);
            }
            Ok(())
        };
        match &self.pattern {
            None => scan_words(text, push)?,
            // To find even a short match the engine may look at all that follows.
            Some(pattern) => pattern.find_all(text, |range| watch.poll().and_then(|()| push(range)))?,
        }
        let (min, max) = (self.ngram_range.0 as usize, self.ngram_range.1 as usize);
        let mut joined = String::new();
        for n in min..=max.min(tokens.len()) {
            for window in tokens.windows(n) {
                joined.clear();
                for (i, token) in window.iter().enumerate() {
                    if i > 0 {
                        joined.push(' ');
                    }
                    joined.push_str(token);
                }
                found(&joined)?;
            }
        }
        Ok(())
    }

    fn char_ngrams(&self, text: &str, found: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let starts = char_starts(text);
        let chars = starts.len() - 1;
        let (min, max) = (self.ngram_range.0 as usize, self.ngram_range.1 as usize);
        for n in min..=max.min(chars) {
            for first in 0..=chars - n {
                found(&text[starts[first]..starts[first + n]])?;
            }
        }
        Ok(())
    }

    /// Each word padded with a space on both sides; a padded word shorter than `n` counts once, for the
    /// shortest such `n` only.
    fn char_wb_ngrams(&self, text: &str, found: &mut dyn FnMut(&str) -> Result<()>) -> Result<()> {
        let (min, max) = (self.ngram_range.0 as usize, self.ngram_range.1 as usize);
        let mut padded = String::new();
        for word in text.split(is_space).filter(|word| !word.is_empty()) {
            padded.clear();
            padded.push(' ');
            padded.push_str(word);
            padded.push(' ');
            let starts = char_starts(&padded);
            let chars = starts.len() - 1;
            for n in min..=max {
                if n >= chars {
                    found(&padded)?;
                    break;
                }
                for first in 0..=chars - n {
                    found(&padded[starts[first]..starts[first + n]])?;
                }
            }
        }
        Ok(())
    }
}

/// Matches of `(?u)\b\w\w+\b`: runs of two word characters or more.
#[inline]
fn scan_words(text: &str, found: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
    if text.is_ascii() { scan_ascii_words(text, found) } else { scan_any_words(text, found) }
}

/// Words begin and end where the kind of byte changes. The kinds of 64 bytes are one number, whose changes are found
/// by counting zeros: a loop over bytes would guess wrong, and lose some 15 cycles, at both ends of every word.
#[inline]
fn scan_ascii_words(text: &str, mut found: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
    let (mut start, mut inside, mut last) = (0, false, 0);
    let mut change = |at: usize| {
        if inside && at - start >= 2 {
            found(start..at)?;
        }
        inside = !inside;
        start = at;
        Ok(())
    };
    for (block, bytes) in text.as_bytes().chunks(64).enumerate() {
        let kinds = if let Ok(whole) = bytes.try_into() {
            word_bytes(whole)
        } else {
            let mut padded = [0; 64];
            padded[..bytes.len()].copy_from_slice(bytes);
            word_bytes(&padded)
        };
        let mut changes = kinds ^ (kinds << 1 | last);
        last = kinds >> 63;
        while changes != 0 {
            change(block * 64 + changes.trailing_zeros() as usize)?;
            changes &= changes - 1;
        }
    }
    if last == 1 { change(text.len()) } else { Ok(()) }
}

/// A bit for each byte that is an ASCII word character; without branches, so that the compiler takes many at a time.
#[expect(clippy::needless_bitwise_bool, reason = "a branch for each byte is what this avoids")]
#[inline]
fn word_bytes(bytes: &[u8; 64]) -> u64 {
    let mut kinds = [0_u8; 64];
    for (kind, &byte) in kinds.iter_mut().zip(bytes) {
        let letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        let digit = byte.wrapping_sub(b'0') < 10;
        *kind = u8::from(letter | digit | (byte == b'_'));
    }
    // Gathers the lowest bits of eight bytes into one.
    let gather = |eight: &[u8]| {
        let eight = u64::from_le_bytes(eight.try_into().expect("eight bytes"));
        eight.wrapping_mul(0x0102_0408_1020_4080) >> 56
    };
    kinds.chunks_exact(8).enumerate().fold(0, |all, (i, eight)| all | gather(eight) << (8 * i))
}

fn scan_any_words(text: &str, mut found: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        let (word, width) = word_at(text, bytes, at);
        if !word {
            at += width;
            continue;
        }
        let (start, mut chars) = (at, 0);
        while at < bytes.len() {
            let (word, width) = word_at(text, bytes, at);
            if !word {
                break;
            }
            at += width;
            chars += 1;
        }
        if chars >= 2 {
            found(start..at)?;
        }
    }
    Ok(())
}

/// Whether the character at a byte is a word character, and its bytes.
#[inline]
fn word_at(text: &str, bytes: &[u8], at: usize) -> (bool, usize) {
    let byte = bytes[at];
    if byte.is_ascii() {
        return (byte.is_ascii_alphanumeric() || byte == b'_', 1);
    }
    let c = text[at..].chars().next().unwrap_or('\0');
    (is_word(c), c.len_utf8())
}

/// Byte offsets of the characters, and the length.
fn char_starts(text: &str) -> Vec<usize> {
    text.char_indices().map(|(at, _)| at).chain([text.len()]).collect()
}

/// Every run of two white-space characters or more becomes one space; a single one stays what it is.
fn collapse_space(text: &str) -> Cow<'_, str> {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if is_space(c) && chars.peek().is_some_and(|&next| is_space(next)) {
            while chars.next_if(|&next| is_space(next)).is_some() {}
            out.push(' ');
        } else {
            out.push(c);
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;
    use crate::limits::MAX_MESSAGE_BYTES;

    fn grams(options: &TfidfOptions, text: &str) -> Vec<String> {
        let mut all = Vec::new();
        let tokenizer = Tokenizer::new(options, Watch::default()).unwrap();
        tokenizer
            .ngrams(text, &Watch::default(), |gram| {
                all.push(gram.to_owned());
                Ok(())
            })
            .unwrap();
        all
    }

    #[test]
    fn words_and_their_ngrams() {
        let options = TfidfOptions { ngram_range: (1, 2), ..Default::default() };
        assert_eq!(
            grams(&options, "The CAT is a cat"),
            ["the", "cat", "is", "cat", "the cat", "cat is", "is cat"]
        );
    }

    #[test]
    fn a_message_is_measured_before_it_is_masked() {
        let rule = crate::options::MaskRule { name: "n".into(), pattern: r"\d+".into() };
        let masks = crate::options::Masks::List(vec![rule]);
        let tokenizer =
            Tokenizer::new(&TfidfOptions { masks, ..Default::default() }, Watch::default()).unwrap();
        let message = "1".repeat(MAX_MESSAGE_BYTES + 1);
        let stopped = Watch::new(|| Err(Error::Canceled));
        assert_eq!(tokenizer.mask(&message, &stopped), Err(Error::MessageTooLong));
        assert_eq!(tokenizer.mask(&message[1..], &stopped), Err(Error::Canceled));
    }

    #[test]
    fn each_match_of_a_pattern_can_be_stopped() {
        let options = TfidfOptions { token_pattern: ".*[^a-z]|[a-z]".into(), ..Default::default() };
        let tokenizer = Tokenizer::new(&options, Watch::default()).unwrap();
        let stopped = Watch::new(|| Err(Error::Canceled));
        assert_eq!(tokenizer.ngrams("word", &stopped, |_| Ok(())), Err(Error::Canceled));
    }

    #[test]
    fn char_wb_counts_a_short_word_once() {
        let options =
            TfidfOptions { analyzer: AnalyzerKind::CharWb, ngram_range: (3, 5), ..Default::default() };
        assert_eq!(grams(&options, "a bcd"), [" a ", " bc", "bcd", "cd ", " bcd", "bcd ", " bcd "]);
    }
}
