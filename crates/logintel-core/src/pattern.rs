//! Python's regular expressions on Rust's engine: what `token_pattern` and user masks are written in.
//!
//! `\w`, `\d`, `\s` and `\b` mean what they mean in Python's `re` on `str`: `\w` is a letter, a number of any
//! kind or the underscore, and no combining mark (Rust's own `\w` has marks and joiners too). Patterns run in
//! linear time, so what needs backtracking is refused by name.
//!
//! Three things of Python's the linear engine lacks: its word boundary where the two definitions of a word character
//! differ, a `$` that also matches before a final newline, and the empty match that may follow another match. Only
//! where the text makes one of them matter does `fancy_regex` run look-arounds that we write ourselves, bounded in
//! steps.

use std::iter::Peekable;
use std::ops::Range;
use std::str::Chars;
use std::sync::LazyLock;

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, Hir, HirKind};

use crate::error::{Error, Result};

const WORD: &str = r"\p{L}\p{N}_";
const SPACE: &str =
    r"\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}";
const DIGIT: &str = r"\p{Nd}";
/// Compiled size of one pattern, bytes: the least of these within which it can be compiled is what it counts as.
const SIZES: [usize; 5] = [16 << 10, 64 << 10, 256 << 10, 1 << 20, 4 << 20];
/// Compiled size of all patterns that are used together, bytes.
pub const MAX_COMPILED: usize = 64 << 20;
/// What a word boundary, and an end, adds to a pattern that runs look-arounds, and each byte of its text; bytes, measured.
const BOUNDARY: usize = 64 << 10;
const END: usize = 8 << 10;
const BYTE: usize = 256;
/// Memory of one pattern's lazy automaton in each direction, bytes: between these, by how many patterns share it.
const CACHE: [usize; 2] = [256 << 10, 2 << 20];
/// Longest pattern text, bytes.
const MAX_PATTERN: usize = 8192;
/// Steps that one match may take where look-arounds are needed: under 100 ms.
const MAX_STEPS: usize = 4_000_000;
/// Most bytes of text times bytes of compiled pattern in one search. At worst the linear engine goes through all of the pattern
/// for each byte of text, and nobody can stop it on the way: seconds then.
const MAX_SEARCH: usize = 1 << 39;

/// Compiled size of a [`Finder`], and memory of its lazy automaton in each direction; bytes.
const FINDER: usize = 256 << 10;

/// Ranges of the word characters beyond ASCII, ascending.
static WORD_RANGES: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"[\p{L}\p{N}]"));
/// Ranges of the characters that are word characters for Rust's `\b` or for Python's, and not for both.
static UNLIKE_RANGES: LazyLock<Vec<(char, char)>> = LazyLock::new(|| ranges(r"[\w~~[\p{L}\p{N}_]]"));

fn ranges(class: &str) -> Vec<(char, char)> {
    match regex_syntax::parse(class).expect("a constant pattern").into_kind() {
        HirKind::Class(Class::Unicode(class)) => {
            class.iter().map(|range| (range.start(), range.end())).collect()
        }
        _ => unreachable!("a constant class"),
    }
}

fn is_in(ranges: &[(char, char)], c: char) -> bool {
    let after = ranges.partition_point(|&(start, _)| start <= c);
    after > 0 && c <= ranges[after - 1].1
}

/// Whether Python's `\w` matches `c`.
pub fn is_word(c: char) -> bool {
    if c.is_ascii() {
        return c.is_ascii_alphanumeric() || c == '_';
    }
    is_in(&WORD_RANGES, c)
}

/// Whether Python's `str.isspace` holds for `c`.
pub fn is_space(c: char) -> bool {
    matches!(c, '\t'..='\r' | '\x1c'..='\x20' | '\u{85}' | '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}'
        | '\u{2028}' | '\u{2029}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

/// What patterns that are used together may take.
#[derive(Debug)]
pub struct Budget {
    left: usize,
    cache: usize,
}

impl Budget {
    /// For as many patterns, none of them compiled yet.
    pub fn new(patterns: usize) -> Self {
        let [least, most] = CACHE;
        Budget { left: MAX_COMPILED, cache: (MAX_COMPILED / patterns.max(1)).clamp(least, most) }
    }

    /// Takes so many bytes.
    fn spend(&mut self, bytes: usize) -> Step {
        let left = self.left.checked_sub(bytes);
        self.left = left.ok_or_else(|| {
            format!("with it, all patterns together take more than {MAX_COMPILED} bytes compiled")
        })?;
        Ok(())
    }
}

/// A compiled pattern.
#[derive(Debug)]
pub struct Pattern {
    source: String,
    linear: regex::Regex,
    /// What it counts as compiled, bytes.
    size: usize,
    groups: usize,
    /// Whether it has a `\b` or `\B`.
    boundary: bool,
    /// Whether it has a `$` that is the text's end.
    end: bool,
    /// For patterns with one of these.
    exact: Option<fancy_regex::Regex>,
    /// For patterns that match the empty string: the pattern, not matching it where the search begins.
    advancing: Option<fancy_regex::Regex>,
}

impl Pattern {
    /// Compiles a pattern of Python's `re` that is used alone. `option` names it in errors.
    ///
    /// # Errors
    /// [`Error::OptionValue`], naming the construct that cannot be expressed or the mistake.
    pub fn new(option: &str, source: &str) -> Result<Self> {
        Self::within(&mut Budget::new(1), option, source)
    }

    /// Compiles one of several patterns that are used together.
    ///
    /// # Errors
    /// As [`Self::new`], and if it goes beyond the budget.
    pub fn within(budget: &mut Budget, option: &str, source: &str) -> Result<Self> {
        let refuse = |why: String| Error::OptionValue { name: option.to_owned(), why };
        if source.len() > MAX_PATTERN {
            return Err(refuse(format!("the pattern is longer than {MAX_PATTERN} bytes")));
        }
        let translated = Translator::new(source).run().map_err(refuse)?;
        let (linear, size) = linear(&translated.linear, budget).map_err(refuse)?;
        let syntax =
            regex_syntax::parse(&translated.linear).map_err(|e| refuse(last_line(&e.to_string())))?;
        if repeats_empty_group(&syntax, false) {
            return Err(refuse(
                "a group that captures, in a repetition of what may be empty, is not supported".into(),
            ));
        }
        // Parts of the pattern, compiled one by one, and the look-arounds.
        let looking = size + translated.boundaries * BOUNDARY + translated.ends * END + source.len() * BYTE;
        let mut build = |pattern: &str| {
            budget.spend(looking).map_err(refuse)?;
            fancy_regex::RegexBuilder::new(pattern)
                .delegate_size_limit(SIZES[SIZES.len() - 1])
                .delegate_dfa_size_limit(budget.cache / 16)
                .backtrack_limit(MAX_STEPS)
                .build()
                .map_err(|error| refuse(last_line(&error.to_string())))
        };
        let looks = translated.boundaries + translated.ends > 0;
        let exact = looks.then(|| build(&translated.exact)).transpose()?;
        let empty = syntax.properties().minimum_len() == Some(0);
        let advancing = empty.then(|| build(&format!(r"(?:{})(?!\G)", translated.exact))).transpose()?;
        Ok(Pattern {
            source: source.to_owned(),
            groups: linear.captures_len() - 1,
            linear,
            size,
            boundary: translated.boundaries > 0,
            end: translated.ends > 0,
            exact,
            advancing,
        })
    }

    /// The pattern as it was given.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// How many groups it captures.
    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Whether it matches the empty string.
    pub fn matches_empty(&self) -> bool {
        self.advancing.is_some()
    }

    /// Calls `found` with the byte range of each match, from left to right; of its one group where it has one
    /// (an unmatched group is an empty range), as Python's `findall` does.
    ///
    /// # Errors
    /// [`Error::PatternSteps`] if the text makes the pattern too slow, and what `found` returns.
    pub fn find_all(&self, text: &str, found: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
        self.run(text, self.groups.min(1), found)
    }

    /// Calls `found` with the byte range of each whole match, from left to right.
    ///
    /// # Errors
    /// As [`Self::find_all`].
    pub fn find_whole(&self, text: &str, found: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
        self.run(text, 0, found)
    }

    fn run(&self, text: &str, group: usize, mut found: impl FnMut(Range<usize>) -> Result<()>) -> Result<()> {
        if text.len().saturating_mul(self.size) > MAX_SEARCH {
            return Err(Error::PatternSteps(self.source.clone()));
        }
        let exact = self.exact.as_ref().filter(|_| self.needs_exact(text));
        let steps = |_| Error::PatternSteps(self.source.clone());
        if self.advancing.is_none() {
            match exact {
                None if group == 0 => self.linear.find_iter(text).try_for_each(|m| found(m.range()))?,
                None => self.linear.captures_iter(text).try_for_each(|c| found(range(c.get(group))))?,
                Some(exact) => {
                    for captures in exact.captures_iter(text) {
                        found(captures.map_err(steps)?.get(group).map_or(0..0, |m| m.range()))?;
                    }
                }
            }
            return Ok(());
        }
        // Python goes on where a match ended; only after an empty one must the next not be empty at that place.
        let (mut at, mut advance) = (0, false);
        loop {
            let fancy = if advance { self.advancing.as_ref() } else { exact };
            let ranges = match fancy {
                None => self.linear.captures_at(text, at).map(|c| (range(c.get(0)), range(c.get(group)))),
                Some(fancy) => fancy.captures_from_pos(text, at).map_err(steps)?.map(|c| {
                    let range = |i| c.get(i).map_or(0..0, |m| m.range());
                    (range(0), range(group))
                }),
            };
            let Some((whole, wanted)) = ranges else { return Ok(()) };
            found(wanted)?;
            (at, advance) = (whole.end, whole.is_empty());
        }
    }

    /// Whether the linear engine may find something else in this text than Python.
    fn needs_exact(&self, text: &str) -> bool {
        let unlike = |c: char| !c.is_ascii() && is_in(&UNLIKE_RANGES, c);
        self.end && text.ends_with('\n')
            || self.boundary && (text.is_empty() || !text.is_ascii() && text.chars().any(unlike))
    }
}

/// A pattern that is only looked for: small, and in time linear in the text whatever the text is, for it does without the
/// look-arounds that [`Pattern`] falls back on. Beside a combining mark or a joiner its `\b` is Rust's therefore.
#[derive(Debug)]
pub struct Finder {
    linear: regex::Regex,
    /// Whether it has a `$` that is the text's end.
    end: bool,
}

impl Finder {
    /// Compiles a pattern of Python's `re`.
    ///
    /// # Errors
    /// What is wrong with it, or that it is larger than 256 kB when compiled.
    pub fn new(source: &str) -> std::result::Result<Self, String> {
        let translated = Translator::new(source).run()?;
        let built =
            regex::RegexBuilder::new(&translated.linear).size_limit(FINDER).dfa_size_limit(FINDER).build();
        let linear = built.map_err(|error| last_line(&error.to_string()))?;
        Ok(Finder { linear, end: translated.ends > 0 })
    }

    /// Whether it matches somewhere in a text.
    pub fn is_found(&self, text: &str) -> bool {
        let before_newline = || text.strip_suffix('\n').is_some_and(|text| self.linear.is_match(text));
        self.linear.is_match(text) || self.end && before_newline()
    }
}

/// The pattern for the linear engine, within the budget, and what it counts as.
fn linear(pattern: &str, budget: &mut Budget) -> Step<(regex::Regex, usize)> {
    let mut too_big = String::new();
    for size in SIZES {
        budget.spend(size)?;
        let built = regex::RegexBuilder::new(pattern).size_limit(size).dfa_size_limit(budget.cache).build();
        match built {
            Ok(regex) => return Ok((regex, size)),
            Err(error @ regex::Error::CompiledTooBig(_)) => too_big = last_line(&error.to_string()),
            Err(error) => return Err(last_line(&error.to_string())),
        }
        budget.left += size;
    }
    Err(too_big)
}

/// Whether a group captures inside a repetition whose body may be empty: the engines differ in which turn it keeps.
fn repeats_empty_group(syntax: &Hir, mut repeated: bool) -> bool {
    if let HirKind::Repetition(repetition) = syntax.kind() {
        repeated |= repetition.max != Some(1) && repetition.sub.properties().minimum_len() == Some(0);
    }
    match syntax.kind() {
        HirKind::Capture(_) if repeated => true,
        kind => kind.subs().iter().any(|sub| repeats_empty_group(sub, repeated)),
    }
}

fn range(found: Option<regex::Match<'_>>) -> Range<usize> {
    found.map_or(0..0, |found| found.range())
}

/// The last line of a regex error says what is wrong; the lines before it draw the pattern.
fn last_line(text: &str) -> String {
    text.lines().last().unwrap_or(text).trim_start_matches("error: ").to_owned()
}

type Step<T = ()> = std::result::Result<T, String>;

struct Translated {
    linear: String,
    exact: String,
    /// How many of each it has.
    boundaries: usize,
    ends: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Flags {
    ignore_case: bool,
    multi_line: bool,
    dot_all: bool,
}

/// What a quantifier would repeat.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Last {
    /// Nothing, or a place.
    Nothing,
    Atom,
    Quantified,
}

/// What a backslash means.
enum Escape {
    Char(char),
    /// The inside of a class, and whether it is negated.
    Set(&'static str, bool),
    Boundary(bool),
    Start,
    End,
}

/// Walks over a Python pattern and writes Rust's. Flags are resolved on the way, because Rust's case folding knows
/// one relation less (see [`folded`]) and folds `\w` too.
struct Translator<'a> {
    rest: Peekable<Chars<'a>>,
    out: Translated,
    flags: Flags,
    /// Flags outside each open group.
    groups: Vec<Flags>,
    last: Last,
    begun: bool,
}

impl<'a> Translator<'a> {
    fn new(source: &'a str) -> Self {
        let out = Translated { linear: String::new(), exact: String::new(), boundaries: 0, ends: 0 };
        Translator {
            rest: source.chars().peekable(),
            out,
            flags: Flags::default(),
            groups: Vec::new(),
            last: Last::Nothing,
            begun: false,
        }
    }

    fn push(&mut self, text: &str) {
        self.out.linear.push_str(text);
        self.out.exact.push_str(text);
    }

    fn place(&mut self, linear: &str, exact: &str) {
        self.out.linear.push_str(linear);
        self.out.exact.push_str(exact);
        self.last = Last::Nothing;
    }

    fn atom(&mut self, text: &str) {
        self.push(text);
        self.last = Last::Atom;
    }

    fn run(mut self) -> Step<Translated> {
        while let Some(c) = self.rest.next() {
            match c {
                '\\' => self.escaped()?,
                '[' => self.class()?,
                '(' => self.group()?,
                ')' => {
                    self.flags = self.groups.pop().ok_or("unopened group")?;
                    self.atom(")");
                }
                '|' => self.place("|", "|"),
                '.' => self.atom(if self.flags.dot_all { "(?s:.)" } else { "." }),
                '^' if self.flags.multi_line => self.place("(?m:^)", "(?m:^)"),
                '^' => self.place(r"\A", r"\A"),
                '$' if self.flags.multi_line => self.place("(?m:$)", "(?m:$)"),
                '$' => {
                    self.out.ends += 1;
                    self.place(r"\z", r"(?=\n?\z)");
                }
                '*' | '+' | '?' => self.quantifier(&c.to_string())?,
                '{' => self.braces()?,
                _ => self.literal(c),
            }
            self.begun = true;
        }
        if self.groups.is_empty() { Ok(self.out) } else { Err("unclosed group".into()) }
    }

    fn literal(&mut self, c: char) {
        if self.flags.ignore_case {
            let class = folded(c, c);
            let text = if class.iter().all(|r| r.start() == c && r.end() == c) {
                code(c)
            } else {
                format!("[{}]", class_body(&class))
            };
            self.atom(&text);
        } else {
            self.atom(&regex::escape(c.encode_utf8(&mut [0; 4])));
        }
    }

    /// A quantifier; `?` after it makes it lazy, `+` possessive.
    fn quantifier(&mut self, text: &str) -> Step {
        match self.last {
            Last::Nothing => return Err("nothing to repeat".into()),
            Last::Quantified => return Err("multiple repeat".into()),
            Last::Atom => {}
        }
        self.push(text);
        match self.rest.peek() {
            Some('+') => return Err("possessive quantifiers are not supported".into()),
            Some('?') => {
                self.rest.next();
                self.push("?");
            }
            _ => {}
        }
        self.last = Last::Quantified;
        Ok(())
    }

    /// `{2}`, `{2,}`, `{,3}`, `{2,3}`; any other `{` is itself.
    fn braces(&mut self) -> Step {
        let mut ahead = self.rest.clone();
        let digits = |ahead: &mut Peekable<Chars<'a>>| {
            let mut text = String::new();
            while let Some(digit) = ahead.next_if(char::is_ascii_digit) {
                text.push(digit);
            }
            text
        };
        let low = digits(&mut ahead);
        let high = if ahead.next_if_eq(&',').is_some() { Some(digits(&mut ahead)) } else { None };
        if ahead.next() != Some('}') || (low.is_empty() && high.is_none()) {
            self.literal('{');
            return Ok(());
        }
        self.rest = ahead;
        let low = if low.is_empty() { "0" } else { &low };
        let text = match high {
            None => format!("{{{low}}}"),
            Some(high) => format!("{{{low},{high}}}"),
        };
        self.quantifier(&text)
    }

    fn group(&mut self) -> Step {
        let outside = self.flags;
        if self.rest.next_if_eq(&'?').is_none() {
            self.push("(");
        } else {
            match self.rest.next() {
                Some(':') => self.push("(?:"),
                Some('P') => match self.rest.next() {
                    Some('<') => {
                        let name: String =
                            std::iter::from_fn(|| self.rest.next_if(|c| is_word(*c))).collect();
                        self.push(&format!("(?P<{name}"));
                        match self.rest.next() {
                            Some('>') => self.push(">"),
                            _ => return Err("bad character in group name".into()),
                        }
                    }
                    _ => return Err("backreferences are not supported".into()),
                },
                Some('=' | '!' | '<') => return Err("look-around is not supported".into()),
                Some('>') => return Err("atomic groups are not supported".into()),
                Some('(') => return Err("conditional groups are not supported".into()),
                Some('#') => {
                    return if self.rest.any(|c| c == ')') {
                        Ok(())
                    } else {
                        Err("a comment is not closed".into())
                    };
                }
                Some(first) => {
                    if !self.group_flags(first)? {
                        return Ok(());
                    }
                    self.push("(?:");
                }
                None => return Err("the pattern ends in (?".into()),
            }
        }
        self.groups.push(outside);
        self.last = Last::Nothing;
        Ok(())
    }

    /// `(?flags)` for the whole pattern, or `(?flags-flags:` for a group: whether a group was opened. `u` is what
    /// Python's str patterns always are.
    fn group_flags(&mut self, first: char) -> Step<bool> {
        let (mut on, mut flag) = (true, first);
        loop {
            match flag {
                'u' if on => {}
                'i' => self.flags.ignore_case = on,
                'm' => self.flags.multi_line = on,
                's' => self.flags.dot_all = on,
                '-' if on => on = false,
                ':' => return Ok(true),
                ')' if on && !self.begun => return Ok(false),
                ')' => return Err("global flags not at the start of the expression".into()),
                other => return Err(format!("the flag (?{other}) is not supported")),
            }
            flag = self.rest.next().ok_or("a group is not closed")?;
        }
    }

    fn class(&mut self) -> Step {
        let negated = self.rest.next_if_eq(&'^').is_some();
        let (mut body, mut items) = (String::new(), 0);
        loop {
            let first = match self.rest.next().ok_or("a class is not closed")? {
                ']' if items > 0 => break,
                c => self.class_item(c)?,
            };
            items += 1;
            let before_dash = self.rest.clone();
            if self.rest.next_if_eq(&'-').is_none() {
                self.class_push(&mut body, &first, None)?;
                continue;
            }
            match self.rest.next().ok_or("a class is not closed")? {
                ']' => {
                    // A dash at the end is itself.
                    self.rest = before_dash;
                    self.class_push(&mut body, &first, None)?;
                    self.rest.next();
                    self.class_push(&mut body, &Escape::Char('-'), None)?;
                }
                c => {
                    let last = self.class_item(c)?;
                    self.class_push(&mut body, &first, Some(&last))?;
                }
            }
        }
        self.atom(&format!("[{}{body}]", if negated { "^" } else { "" }));
        Ok(())
    }

    fn class_item(&mut self, c: char) -> Step<Escape> {
        if c == '\\' { self.escape(true) } else { Ok(Escape::Char(c)) }
    }

    fn class_push(&self, body: &mut String, first: &Escape, last: Option<&Escape>) -> Step {
        match (first, last) {
            (Escape::Char(c), None) => body.push_str(&self.class_range(*c, *c)),
            (Escape::Char(low), Some(Escape::Char(high))) if low <= high => {
                body.push_str(&self.class_range(*low, *high));
            }
            (Escape::Set(set, negated), None) => {
                for part in if *negated { ["[^", set, "]"] } else { [set, "", ""] } {
                    body.push_str(part);
                }
            }
            _ => return Err("bad character range".into()),
        }
        Ok(())
    }

    fn class_range(&self, low: char, high: char) -> String {
        if self.flags.ignore_case {
            class_body(&folded(low, high))
        } else {
            format!("{}-{}", code(low), code(high))
        }
    }

    fn escaped(&mut self) -> Step {
        match self.escape(false)? {
            Escape::Char(c) => self.literal(c),
            Escape::Set(set, negated) => {
                self.atom(&format!("[{}{set}]", if negated { "^" } else { "" }));
            }
            Escape::Boundary(at) => self.boundary(at),
            Escape::Start => self.place(r"\A", r"\A"),
            Escape::End => self.place(r"\z", r"\z"),
        }
        Ok(())
    }

    fn escape(&mut self, in_class: bool) -> Step<Escape> {
        let c = self.rest.next().ok_or("the pattern ends in a backslash")?;
        Ok(match c {
            'w' | 'W' => Escape::Set(WORD, c == 'W'),
            's' | 'S' => Escape::Set(SPACE, c == 'S'),
            'd' | 'D' => Escape::Set(DIGIT, c == 'D'),
            'b' if in_class => Escape::Char('\x08'),
            'b' | 'B' if !in_class => Escape::Boundary(c == 'b'),
            'A' if !in_class => Escape::Start,
            'Z' if !in_class => Escape::End,
            'a' => Escape::Char('\x07'),
            'f' => Escape::Char('\x0c'),
            'n' => Escape::Char('\n'),
            'r' => Escape::Char('\r'),
            't' => Escape::Char('\t'),
            'v' => Escape::Char('\x0b'),
            'x' => Escape::Char(self.code_point(c, 2)?),
            'u' => Escape::Char(self.code_point(c, 4)?),
            'U' => Escape::Char(self.code_point(c, 8)?),
            '0' => return Err("octal escapes are not supported".into()),
            '1'..='9' => return Err("backreferences are not supported".into()),
            c if c.is_ascii_alphanumeric() => return Err(format!("the escape \\{c} is not supported")),
            c => Escape::Char(c),
        })
    }

    /// The character that as many hexadecimal digits name.
    fn code_point(&mut self, escape: char, digits: usize) -> Step<char> {
        let text: String = self.rest.by_ref().take(digits).collect();
        let valid = text.len() == digits && text.bytes().all(|b| b.is_ascii_hexdigit());
        let code = valid.then(|| u32::from_str_radix(&text, 16).ok()).flatten();
        code.and_then(char::from_u32).ok_or_else(|| format!("the escape \\{escape}{text} names no character"))
    }

    fn boundary(&mut self, at: bool) {
        self.out.boundaries += 1;
        let (w, not) = (format!("(?<=[{WORD}])"), format!("(?<![{WORD}])"));
        let (ahead, none) = (format!("(?=[{WORD}])"), format!("(?![{WORD}])"));
        // In Python an empty text has no place of either kind.
        let (left, right) = if at { (none, ahead) } else { (ahead, format!(r"{none}(?!\A\z)")) };
        self.place(if at { r"\b" } else { r"\B" }, &format!("(?:{w}{left}|{not}{right})"));
    }
}

/// A character as both engines read it, inside a class and outside.
fn code(c: char) -> String {
    format!("\\x{{{:x}}}", u32::from(c))
}

/// What a range matches in any case: Unicode's simple folding, and with Python the dotted and the dotless i too.
fn folded(low: char, high: char) -> ClassUnicode {
    let mut class = ClassUnicode::new([ClassUnicodeRange::new(low, high)]);
    class.case_fold_simple();
    let is = ['I', 'i', '\u{130}', '\u{131}'];
    if class.iter().any(|range| is.iter().any(|i| (range.start()..=range.end()).contains(i))) {
        class.union(&ClassUnicode::new(is.map(|i| ClassUnicodeRange::new(i, i))));
    }
    class
}

fn class_body(class: &ClassUnicode) -> String {
    let ranges: Vec<String> =
        class.iter().map(|range| format!("{}-{}", code(range.start()), code(range.end()))).collect();
    ranges.concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(pattern: &str, text: &str) -> Vec<String> {
        let mut found = Vec::new();
        let pattern = Pattern::new("token_pattern", pattern).unwrap();
        let push = |range: Range<usize>| {
            found.push(text[range].to_owned());
            Ok(())
        };
        pattern.find_all(text, push).unwrap();
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
    fn a_large_pattern_is_not_let_loose_on_a_long_text() {
        let text = "é".repeat(1 << 17);
        let search =
            |pattern: &str, text: &str| Pattern::new("p", pattern).unwrap().find_all(text, |_| Ok(()));
        let large = r"\b(?:\w?){30}\w{30}!";
        assert_eq!(search(large, &text), Err(Error::PatternSteps(large.to_owned())));
        assert_eq!(search(large, &text[..1000]), Ok(()));
        assert_eq!(search("é+!", &text), Ok(()));
    }

    #[test]
    fn empty_matches_are_where_python_has_them() {
        assert_eq!(all("a*", "baac"), ["", "aa", "", ""]);
        assert_eq!(all("|a", "a"), ["", "a", ""]);
        assert_eq!(all(r"\b", "ab c"), ["", "", "", ""]);
    }

    #[test]
    fn what_needs_backtracking_is_refused_by_name() {
        for (pattern, word) in [
            (r"(?=a)b", "look-around"),
            (r"(?<!a)b", "look-around"),
            (r"(a)\1", "backreferences"),
            (r"(?P<x>a)(?P=x)", "backreferences"),
            (r"a*+", "possessive"),
            (r"a{2}+", "possessive"),
            (r"(?>a)", "atomic"),
            (r"(a)?(?(1)b|c)", "conditional"),
            (r"(?x)a", "flag (?x)"),
            (r"\N{DASH}", "escape \\N"),
            (r"\012", "octal"),
            (r"a**", "multiple repeat"),
            (r"^*", "nothing to repeat"),
            (r"a(?i)b", "global flags"),
            (r"(a", "unclosed group"),
            (r"a)", "unopened group"),
            (r"[a", "class is not closed"),
            (r"[\w-z]", "bad character range"),
            (r"[z-a]", "bad character range"),
            (r"\x4", "names no character"),
            (r"(a*)+b", "group that captures"),
        ] {
            let error = Pattern::new("token_pattern", pattern).unwrap_err().to_string();
            assert!(error.contains(word), "{pattern}: {error}");
        }
    }
}
