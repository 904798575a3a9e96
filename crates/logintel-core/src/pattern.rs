//! Python's regular expressions on Rust's engine: what `token_pattern` and user masks are written in.
//!
//! `\w`, `\d`, `\s` and `\b` mean what they mean in Python's `re` on `str`: `\w` is a letter, a number of any
//! kind or the underscore, and no combining mark (Rust's own `\w` has marks and joiners too). Patterns run in
//! linear time, so what needs backtracking is refused by name.
//!
//! A word boundary by Python's definition is a look-around, which the linear engine lacks. On ASCII text both
//! definitions agree and the linear engine is used; for other text, and for `$` (which in Python also matches
//! before a final newline), `fancy_regex` runs the one fixed look-around that we write ourselves, bounded in steps.

use std::sync::LazyLock;

use crate::error::{Error, Result};

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str =
    r"\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}";
/// Compiled size of one pattern, bytes.
const SIZE_LIMIT: usize = 4 << 20;
/// Longest pattern text, bytes.
const MAX_PATTERN: usize = 8192;

/// Ranges of the word characters beyond ASCII, ascending.
static WORD_RANGES: LazyLock<Vec<(char, char)>> = LazyLock::new(|| {
    let hir = regex_syntax::parse(r"[\p{L}\p{N}]").expect("a constant pattern");
    match hir.into_kind() {
        regex_syntax::hir::HirKind::Class(regex_syntax::hir::Class::Unicode(class)) => {
            class.iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => unreachable!("a constant class"),
    }
});

/// Whether Python's `\w` matches `c`.
pub fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    let after = WORD_RANGES.partition_point(|&(start, _)| start <= c);
    after > 0 && c <= WORD_RANGES[after - 1].1
}

/// Whether Python's `str.isspace` holds for `c`.
pub fn is_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | '\x1c'..='\x20' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    source: String,
    /// `None` where the pattern has a `$`, which only the exact form expresses.
    linear: Option<regex::Regex>,
    /// Only for patterns with `\b`, `\B` or `$`.
    exact: Option<fancy_regex::Regex>,
    groups: usize,
}

impl Pattern {
    /// Compiles a pattern of Python's `re`. `option` names it in errors.
    ///
    /// # Errors
    /// [`Error::OptionValue`], naming the construct that cannot be expressed or the mistake.
    pub fn new(option: &str, source: &str) -> Result<Self> {
        let refuse = |why: String| Error::OptionValue { name: option.to_owned(), why };
        if source.len() > MAX_PATTERN {
            return Err(refuse(format!("the pattern is longer than {MAX_PATTERN} bytes")));
        }
        let translated = Translator::new(source).run().map_err(refuse)?;
        let linear_form = regex::RegexBuilder::new(&translated.linear).size_limit(SIZE_LIMIT).build();
        let linear = linear_form.map_err(|error| refuse(last_line(&error.to_string())))?;
        let properties =
            regex_syntax::parse(&translated.linear).map_err(|e| refuse(last_line(&e.to_string())))?;
        if properties.properties().minimum_len() == Some(0) {
            return Err(refuse("the pattern matches the empty string".into()));
        }
        let exact = if translated.boundary || translated.end {
            let built = fancy_regex::RegexBuilder::new(&translated.exact)
                .delegate_size_limit(SIZE_LIMIT)
                .build()
                .map_err(|error| refuse(last_line(&error.to_string())))?;
            Some(built)
        } else {
            None
        };
        let groups = linear.captures_len() - 1;
        let linear = (!translated.end).then_some(linear);
        Ok(Pattern { source: source.to_owned(), linear, exact, groups })
    }

    /// The pattern as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many groups it captures.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Calls `found` with the byte range of each match, from left to right; of its one group where it has one
    /// (an unmatched group is an empty range), as Python's `findall` does.
    ///
    /// # Errors
    /// [`Error::PatternSteps`] if the text makes the pattern too slow.
    pub fn find_all(&self, text: &str, mut found: impl FnMut(std::ops::Range<usize>)) -> Result<()> {
        match (&self.linear, &self.exact) {
            (Some(linear), None) => self.find_linear(linear, text, &mut found),
            (Some(linear), Some(_)) if text.is_ascii() => self.find_linear(linear, text, &mut found),
            (_, Some(exact)) => {
                let steps = |_| Error::PatternSteps(self.source.clone());
                for captures in exact.captures_iter(text) {
                    let captures = captures.map_err(steps)?;
                    found(captures.get(self.groups.min(1)).map_or(0..0, |m| m.range()));
                }
            }
            (None, None) => unreachable!("one form is always there"),
        }
        Ok(())
    }

    fn find_linear(&self, linear: &regex::Regex, text: &str, found: &mut dyn FnMut(std::ops::Range<usize>)) {
        if self.groups == 0 {
            linear.find_iter(text).for_each(|m| found(m.range()));
        } else {
            linear.captures_iter(text).for_each(|c| found(c.get(1).map_or(0..0, |m| m.range())));
        }
    }
}

/// The last line of a regex error says what is wrong; the lines before it draw the pattern.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

struct Translated {
    linear: String,
    exact: String,
    boundary: bool,
    end: bool,
}

/// Walks over a Python pattern and writes Rust's.
struct Translator<'a> {
    rest: std::iter::Peekable<std::str::Chars<'a>>,
    out: Translated,
}

impl<'a> Translator<'a> {
    fn new(source: &'a str) -> Self {
        let out = Translated { linear: String::new(), exact: String::new(), boundary: false, end: false };
        Translator { rest: source.chars().peekable(), out }
    }

    fn push(&mut self, text: &str) {
        self.out.linear.push_str(text);
        self.out.exact.push_str(text);
    }

    fn push_char(&mut self, c: char) {
        self.out.linear.push(c);
        self.out.exact.push(c);
    }

    fn run(mut self) -> std::result::Result<Translated, String> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '(' => self.group()?,
                '$' => {
                    self.out.end = true;
                    self.out.linear.push('$');
                    self.out.exact.push_str(r"(?=\n?\z)");
                }
                '*' | '+' | '?' => {
                    self.push_char(c);
                    self.quantifier_end()?;
                }
                '{' => self.braces()?,
                _ => self.push_char(c),
            }
        }
        Ok(self.out)
    }

    /// After a quantifier: `?` makes it lazy, `+` possessive.
    fn quantifier_end(&mut self) -> std::result::Result<(), String> {
        match self.rest.peek() {
            Some('+') => Err("possessive quantifiers are not supported".into()),
            Some('?') => {
                self.rest.next();
                self.push_char('?');
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn braces(&mut self) -> std::result::Result<(), String> {
        let mut body = String::new();
        for c in self.rest.by_ref() {
            if c == '}' {
                let well_formed =
                    body.chars().all(|c| c.is_ascii_digit() || c == ',') && body != "," && !body.is_empty();
                if !well_formed {
                    return Err("a literal { must be written \\{".into());
                }
                let zero = if body.starts_with(',') { "0" } else { "" };
                self.push(&format!("{{{zero}{body}}}"));
                return self.quantifier_end();
            }
            body.push(c);
        }
        Err("a literal { must be written \\{".into())
    }

    fn group(&mut self) -> std::result::Result<(), String> {
        if self.rest.peek() != Some(&'?') {
            self.push_char('(');
            return Ok(());
        }
        self.rest.next();
        match self.rest.next() {
            Some(':') => self.push("(?:"),
            Some('P') => match self.rest.next() {
                Some('<') => self.push("(?P<"),
                _ => return Err("backreferences are not supported".into()),
            },
            Some('=' | '!' | '<') => return Err("look-around is not supported".into()),
            Some('>') => return Err("atomic groups are not supported".into()),
            Some('(') => return Err("conditional groups are not supported".into()),
            Some('#') => return Err("comments are not supported".into()),
            Some(first) => self.flags(first)?,
            None => return Err("the pattern ends in (?".into()),
        }
        Ok(())
    }

    /// `(?u)` is what Python's str patterns always are; of the others `i`, `s` and `m` mean the same here.
    fn flags(&mut self, first: char) -> std::result::Result<(), String> {
        let mut kept = String::new();
        let mut c = Some(first);
        while let Some(flag) = c {
            match flag {
                'u' => {}
                'i' | 's' | '-' => kept.push(flag),
                ')' if kept.is_empty() => return Ok(()),
                ')' | ':' => {
                    self.push(&format!("(?{kept}{flag}"));
                    return Ok(());
                }
                other => return Err(format!("the flag (?{other}) is not supported")),
            }
            c = self.rest.next();
        }
        Err("a group is not closed".into())
    }

    fn class(&mut self) -> std::result::Result<(), String> {
        self.push_char('[');
        if self.rest.peek() == Some(&'^') {
            self.rest.next();
            self.push_char('^');
        }
        if self.rest.peek() == Some(&']') {
            self.rest.next();
            self.push(r"\]");
        }
        let mut previous = '\0';
        while let Some(c) = self.rest.next() {
            match c {
                ']' => {
                    self.push_char(']');
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' | '&' | '~' => self.push(&format!("\\{c}")),
                '-' if previous == '-' => return Err("-- in a class is not supported".into()),
                _ => self.push_char(c),
            }
            previous = c;
        }
        Err("a class is not closed".into())
    }

    fn escape(&mut self, in_class: bool) -> std::result::Result<(), String> {
        let Some(c) = self.rest.next() else { return Err("the pattern ends in a backslash".into()) };
        match c {
            'w' | 's' if in_class => self.push(if c == 'w' { WORD } else { SPACE }),
            'w' => self.push(&format!("[{WORD}]")),
            's' => self.push(&format!("[{SPACE}]")),
            'W' => self.push(&format!("[^{WORD}]")),
            'S' => self.push(&format!("[^{SPACE}]")),
            'd' => self.push(r"\p{Nd}"),
            'D' => self.push(r"\P{Nd}"),
            'b' if in_class => self.push(r"\x08"),
            'b' | 'B' => self.boundary(c == 'b'),
            'A' if !in_class => self.push(r"\A"),
            'Z' if !in_class => self.push(r"\z"),
            'a' | 'f' | 'n' | 'r' | 't' | 'v' | 'x' | 'u' | 'U' => self.push(&format!("\\{c}")),
            '0' => return Err("octal escapes are not supported".into()),
            '1'..='9' => return Err("backreferences are not supported".into()),
            c if c.is_ascii_alphanumeric() => return Err(format!("the escape \\{c} is not supported")),
            c => self.push(&regex::escape(c.encode_utf8(&mut [0; 4]))),
        }
        Ok(())
    }

    fn boundary(&mut self, at: bool) {
        self.out.boundary = true;
        self.out.linear.push_str(if at { r"\b" } else { r"\B" });
        let (w, not) = (format!("(?<=[{WORD}])"), format!("(?<![{WORD}])"));
        let (ahead, none) = (format!("(?=[{WORD}])"), format!("(?![{WORD}])"));
        let (left, right) = if at { (&none, &ahead) } else { (&ahead, &none) };
        for part in ["(?:", &w, left, "|", &not, right, ")"] {
            self.out.exact.push_str(part);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let pattern = Pattern::new("token_pattern", pattern).unwrap();
        pattern.find_all(text, |range| found.push(text[range].to_owned())).unwrap();
        found
    }

    #[test]
    fn word_boundaries_are_pythons() {
        // A combining acute accent is no word character in Python, and is one in Rust.
        assert_eq!(all(r"(?u)\b\w\w+\b", "cafe\u{301}s ab_1 ²x"), ["cafe", "ab_1", "²x"]);
        assert_eq!(all(r"\b\w\w+\b", "a bc d-ef"), ["bc", "ef"]);
        assert_eq!(all(r"[^\W\d]+", "a1é2"), ["a", "é"]);
        assert_eq!(all(r"x$", "x\n"), ["x"]);
    }

    #[test]
    fn what_needs_backtracking_is_refused_by_name() {
        for (pattern, word) in [
            (r"(?=a)b", "look-around"),
            (r"(?<!a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"a*+", "possessive"),
            (r"(?>a)", "atomic"),
            (r"a*", "empty string"),
            (r"(a", "unclosed group"),
            (r"a{", "literal {"),
        ] {
            let error = Pattern::new("token_pattern", pattern).unwrap_err().to_string();
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }
}
