//! A masked message as a frame and its values.
//!
//! The frame is what punctuation and white space make of the message, with a hole for each value: the frame of
//! `user=root (uid=<num>)` is `□=□ (□=□)`, its values are `user`, `root`, `uid` and a variable. Only messages of
//! one frame can become one template, so that what is in the frame need not be compared again.
//!
//! Some differences mean nothing anywhere and go on the way: which kind a mask has, the sign of a number, what stands
//! between the first and the last mask of a chunk (`job_<num>_m_<num>`), a unit after a number, how long a leader of
//! dots is, and of how many like variables a list is made. A template, which is what comes of it written out again
//! ([`text`]), is read as it stands ([`Line::read`]), and so is known by its text alone.

use std::ops::Range;

/// Stands for a variable inside values.
pub(super) const VARIABLE: char = '\u{1}';
const VARIABLE_BYTE: u8 = 1;
/// Stands for a value inside frames.
pub(super) const HOLE: char = '\0';
/// How a variable is written in a template.
pub const WILDCARD: &str = "<*>";
/// Values of a line that are told apart; what comes after is one variable, or nothing where it is the rest of a chunk.
const MAX_VALUES: usize = 256;
/// Longest quoted text that is one value.
const MAX_QUOTED: usize = 64;
/// Kinds of masks that the built-in set writes.
const KINDS: [&str; 9] = ["num", "ip", "hex", "time", "path", "host", "uuid", "url", "email"];
/// Units that may stand apart from their number.
const UNITS: [&str; 20] = [
    "ns", "us", "µs", "ms", "sec", "secs", "B", "KB", "kB", "KiB", "MB", "MiB", "GB", "GiB", "TB", "TiB",
    "Hz", "kHz", "MHz", "GHz",
];

/// A parsed message; reused from line to line.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub(super) struct Line {
    /// Punctuation, with [`HOLE`] for each value.
    pub frame: String,
    /// The values, one after the other.
    text: String,
    ends: Vec<usize>,
    /// Bytes of the frame up to the last hole and past it.
    after_hole: usize,
    plain: String,
    /// Whether differences that mean nothing are left out.
    is_message: bool,
    /// Whether a quote closes: every second one does, wherever it stands.
    is_quoted: bool,
}

impl Line {
    /// Number of values.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// The values in order.
    pub fn values(&self) -> impl Iterator<Item = &str> {
        (0..self.len()).map(|at| &self.text[self.range(at)])
    }

    fn range(&self, at: usize) -> Range<usize> {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        start..self.ends[at]
    }

    /// Takes a masked message apart; `kinds` are further names of masks.
    pub fn parse(&mut self, masked: &str, kinds: &[String]) {
        self.is_message = true;
        self.take_apart(masked, kinds);
    }

    /// Takes a template apart.
    pub fn read(&mut self, template: &str) {
        self.is_message = false;
        self.take_apart(template, &[]);
    }

    fn take_apart(&mut self, masked: &str, kinds: &[String]) {
        self.frame.clear();
        self.text.clear();
        self.ends.clear();
        self.after_hole = 0;
        self.is_quoted = false;
        let masked = masked.trim();
        if special(masked).is_none() {
            self.cut(masked);
            return;
        }
        let mut plain = std::mem::take(&mut self.plain);
        plain.clear();
        simplify(masked, kinds, &mut plain);
        self.cut(&plain);
        self.plain = plain;
    }

    /// Cuts simplified text into frame and values.
    fn cut(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            if self.len() >= MAX_VALUES {
                // One space, one variable, and nothing else, so that it reads the same again.
                self.frame.push(' ');
                self.push(VARIABLE_STR);
                return;
            }
            let byte = bytes[at];
            let before = if at == 0 { b' ' } else { bytes[at - 1] };
            if byte == b'.' && bytes.get(at + 1) == Some(&b'.') {
                self.frame.push_str("...");
                at += bytes[at..].iter().take_while(|&&byte| byte == b'.').count();
            } else if is_delimiter(byte) {
                at += self.delimiter(text, at, before);
            } else {
                let plain = at + bytes[at..].iter().take_while(|byte| byte.is_ascii_alphanumeric()).count();
                let ends = |end: usize| match bytes[end] {
                    b'.' => bytes.get(end + 1) == Some(&b'.'),
                    byte => is_delimiter(byte),
                };
                let end = (plain..bytes.len()).find(|&end| ends(end)).unwrap_or(bytes.len());
                let chunk = &text[at..end];
                at = end;
                if end == plain {
                    // Most are words, which need no second look.
                    self.add(chunk);
                } else {
                    self.chunk(chunk);
                    let is_number = self.is_message && chunk == VARIABLE_STR;
                    at += if is_number { units(&text[end..]) } else { 0 };
                }
            }
        }
    }

    /// A delimiter and what belongs to it; returns the bytes taken.
    fn delimiter(&mut self, text: &str, at: usize, before: u8) -> usize {
        let bytes = text.as_bytes();
        let (byte, next) = (bytes[at], bytes.get(at + 1).copied().unwrap_or(b' '));
        let is_value = matches!(before, b' ' | b'=' | b':');
        let is_less = byte == b'<' && next == VARIABLE_BYTE && bytes.get(at + 2) != Some(&b'>');
        if self.is_message && is_less && is_delimiter(before) {
            // Less than a number: no bracket.
            return 1;
        }
        let is_pair = matches!((byte, next), (b'(', b')') | (b'[', b']'))
            || (byte, next) == (b'"', b'"') && !self.is_quoted;
        if self.is_message && is_value && is_pair {
            // A value that is empty today.
            self.frame.push(byte as char);
            self.push(VARIABLE_STR);
            self.frame.push(next as char);
            return 2;
        }
        if byte == b'"' {
            self.is_quoted = !self.is_quoted;
        }
        if byte == b'"' && self.is_quoted {
            let inside = &bytes[at + 1..];
            let length = inside
                .iter()
                .take(MAX_QUOTED)
                .take_while(|&&byte| byte != VARIABLE_BYTE && (byte == b' ' || !is_delimiter(byte)))
                .count();
            let quoted = inside.get(length) == Some(&b'"') && length > 0;
            if quoted && inside[0] != b' ' && inside[length - 1] != b' ' {
                self.frame.push('"');
                self.push(&text[at + 1..=at + length]);
                self.frame.push('"');
                self.is_quoted = false;
                return length + 2;
            }
        }
        self.frame.push(byte as char);
        1
    }

    /// A piece of text without delimiters.
    fn chunk(&mut self, chunk: &str) {
        if !self.is_message || !chunk.contains(VARIABLE) {
            self.pieces(chunk);
        } else if is_octets(chunk) {
            self.push(VARIABLE_STR);
        } else {
            let (first, last) = (chunk.find(VARIABLE).unwrap_or(0), chunk.rfind(VARIABLE).unwrap_or(0));
            let mut before = &chunk[..first];
            while let Some(rest) = before.strip_suffix(['-', '+', '/', '#', '$', '@', ':'])
                && !rest.ends_with(char::is_alphanumeric)
            {
                before = rest;
            }
            if before.is_empty() && last + 1 == chunk.len() {
                self.push(VARIABLE_STR);
            } else {
                let whole = [before, VARIABLE_STR, &chunk[last + 1..]].concat();
                self.pieces(&whole);
            }
        }
    }

    /// Values between colons, without the punctuation around them.
    fn pieces(&mut self, chunk: &str) {
        let body = chunk.trim_start_matches([':', '.', '!', '?', '*', '#', '@', '$', '/']);
        self.frame.push_str(&chunk[..chunk.len() - body.len()]);
        let inner = body.trim_end_matches([':', '.', '!', '?', '*']);
        for (at, piece) in inner.split(':').enumerate() {
            if self.len() >= MAX_VALUES {
                return;
            }
            if at > 0 {
                self.frame.push(':');
            }
            if !piece.is_empty() {
                self.push(piece);
            }
        }
        self.frame.push_str(&body[inner.len()..]);
    }

    /// A value; one that repeats the variable before it, as in a list, is not told.
    fn push(&mut self, value: &str) {
        let repeats = self.is_message
            && value.contains(VARIABLE)
            && !self.ends.is_empty()
            && self.text[self.range(self.len() - 1)] == *value
            && matches!(&self.frame[self.after_hole..], " " | "," | ", " | ";" | "; " | "|" | " | ");
        if repeats {
            self.frame.truncate(self.after_hole);
            return;
        }
        self.add(value);
    }

    fn add(&mut self, value: &str) {
        self.text.push_str(value);
        self.ends.push(self.text.len());
        self.frame.push(HOLE);
        self.after_hole = self.frame.len();
    }
}

const VARIABLE_STR: &str = "\u{1}";

/// The parts of a frame: before the first value, between two, after the last.
pub(super) fn gaps(frame: &str) -> impl Iterator<Item = &str> {
    frame.split(HOLE)
}

/// A frame with its values, as a template is written.
pub(super) fn text<'a>(frame: &str, values: impl Iterator<Item = &'a str>) -> String {
    let mut values = values;
    let mut text = String::with_capacity(frame.len() * 2);
    for character in frame.chars() {
        if character != HOLE {
            text.push(character);
            continue;
        }
        for character in values.next().unwrap_or_default().chars() {
            match character {
                VARIABLE => text.push_str(WILDCARD),
                other => text.push(other),
            }
        }
    }
    text
}

/// Bytes that part values, as a table: it is asked for every byte of every line.
const DELIMITERS: [bool; 256] = {
    let (mut table, mut at) = ([false; 256], 0);
    let all = b" ,;()[]{}<>\"'=|`";
    while at < all.len() {
        table[all[at] as usize] = true;
        at += 1;
    }
    table
};

fn is_delimiter(byte: u8) -> bool {
    DELIMITERS[usize::from(byte)]
}

/// Masks become variables, white space one space.
fn simplify(masked: &str, kinds: &[String], out: &mut String) {
    let mut rest = masked;
    while let Some(at) = special(rest) {
        out.push_str(&rest[..at]);
        rest = &rest[at..];
        if rest.starts_with('<') {
            let name = mask_name(rest, kinds);
            out.push(if name > 0 { VARIABLE } else { '<' });
            rest = &rest[name.max(1)..];
        } else {
            rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c.is_control());
            if !out.is_empty() && !rest.is_empty() {
                out.push(' ');
            }
        }
    }
    out.push_str(rest);
}

/// Where the text has a `<`, a control character, or white space that is not one space between words. Most of a line is
/// visible ASCII and single spaces, which are passed byte by byte.
fn special(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let is_visible = |byte: u8| byte.is_ascii_graphic();
    let plain = (0..bytes.len()).find(|&at| match bytes[at] {
        b'<' => true,
        b' ' => at == 0 || bytes.get(at + 1).is_none_or(|&next| !is_visible(next)),
        byte => !is_visible(byte),
    })?;
    let rest = text[plain..].find(|c: char| c == '<' || c.is_whitespace() || c.is_control())?;
    Some(plain + rest)
}

/// Bytes of a mask at the beginning of the text, 0 if there is none.
fn mask_name(text: &str, kinds: &[String]) -> usize {
    let Some(end) = text.bytes().take(66).position(|byte| byte == b'>') else { return 0 };
    let name = &text[1..end];
    let known = name == "*" || KINDS.contains(&name) || kinds.iter().any(|kind| kind == name);
    if known { end + 1 } else { 0 }
}

/// Bytes of the units that follow a number, each after one space.
fn units(text: &str) -> usize {
    let mut taken = 0;
    while let Some(after) = text[taken..].strip_prefix(' ') {
        let word = after.split(|c: char| c.is_ascii() && is_delimiter(c as u8)).next().unwrap_or("");
        if !UNITS.contains(&word) {
            break;
        }
        taken += 1 + word.len();
    }
    taken
}

/// Two-digit hexadecimal numbers joined by four colons or hyphens or more.
fn is_octets(chunk: &str) -> bool {
    let joins = chunk.bytes().filter(|byte| matches!(byte, b':' | b'-')).count();
    joins >= 4 && chunk.chars().all(|c| c.is_ascii_hexdigit() || matches!(c, ':' | '-' | VARIABLE))
}
