//! Masks: what differs from line to line without meaning anything is replaced by its kind.
//!
//! `Received block blk_38865 of size 67108864 from /10.251.42.84` becomes
//! `Received block blk_<num> of size <num> from /<ip>`: lines of one kind become equal, so that they share
//! their terms and their place among the clusters.
//!
//! The built-in set is one pass over the text, without a setting for any log source. The text is cut into
//! chunks at white space and at `,;()[]{}<>"'=|`; a chunk is replaced as a whole when it is an address, a UUID,
//! a URL, an e-mail address, a path, a time, a number (with or without its unit), a hexadecimal string or a
//! host's name with digits in it; of any other chunk, the runs of digits. Names of days and months beside a
//! number or a time belong to it. Masking what is masked changes nothing.

use std::borrow::Cow;

use crate::control::{BYTES_BETWEEN_POLLS, Control, Steps, Watch};
use crate::error::{Result, check_length};
use crate::options::{MaskRule, Masks, invalid};
use crate::pattern::{Budget, Pattern};

/// Ready to mask.
#[derive(Debug)]
pub struct Masker {
    kind: Kind,
}

#[derive(Debug)]
enum Kind {
    None,
    BuiltIn,
    List(Vec<Rule>),
    ListThenBuiltIn(Vec<Rule>),
}

/// A pattern of the user's.
#[derive(Debug)]
struct Rule {
    pattern: Pattern,
    replacement: String,
}

impl Rule {
    fn new(rule: &MaskRule, budget: &mut Budget, is_read_again: bool) -> Result<Self> {
        if rule.name.is_empty() || !rule.name.chars().all(crate::pattern::is_word) {
            return Err(invalid("masks.name", "it must be made of letters, digits and underscores"));
        }
        if is_read_again && rule.name.chars().any(|c| c.is_ascii_digit()) {
            return Err(invalid("masks.name", "it must hold no digits, for the built-in set masks those"));
        }
        let pattern = Pattern::within(budget, "masks.pattern", &rule.pattern)?;
        if pattern.matches_empty() {
            return Err(invalid("masks.pattern", "the pattern matches the empty string"));
        }
        Ok(Rule { pattern, replacement: format!("<{}>", rule.name) })
    }
}

impl Masker {
    /// Compiles the masks.
    ///
    /// # Errors
    /// [`crate::Error::OptionValue`] if a pattern cannot be used or a name is not made of letters, digits and
    /// underscores.
    pub fn new(masks: &Masks) -> Result<Self> {
        Self::within(&mut Budget::new(masks.rules().len()), masks, Watch::default())
    }

    /// Compiles the masks within a budget; `watch` may stop it.
    ///
    /// # Errors
    /// As [`Self::new`], and what `watch` returns.
    pub(crate) fn within(budget: &mut Budget, masks: &Masks, watch: Watch) -> Result<Self> {
        let is_read_again = matches!(masks, Masks::ListThenBuiltIn(_));
        let mut rules = Vec::with_capacity(masks.rules().len());
        for rule in masks.rules() {
            watch.poll()?;
            rules.push(Rule::new(rule, budget, is_read_again)?);
        }
        let kind = match masks {
            Masks::None => Kind::None,
            Masks::BuiltIn => Kind::BuiltIn,
            Masks::List(_) => Kind::List(rules),
            Masks::ListThenBuiltIn(_) => Kind::ListThenBuiltIn(rules),
        };
        Ok(Masker { kind })
    }

    /// The message with what varies replaced.
    ///
    /// # Errors
    /// [`crate::Error::PatternSteps`] if one of the user's patterns takes too long on it,
    /// [`crate::Error::MessageTooLong`] if they lengthen it too much, and what the watch returns.
    pub fn mask<'a>(&self, message: &'a str, watch: &Watch) -> Result<Cow<'a, str>> {
        match &self.kind {
            Kind::None => Ok(Cow::Borrowed(message)),
            Kind::BuiltIn => built_in(message, watch),
            Kind::List(rules) => replace_all(rules, message, watch),
            Kind::ListThenBuiltIn(rules) => match replace_all(rules, message, watch)? {
                Cow::Borrowed(message) => built_in(message, watch),
                Cow::Owned(replaced) => Ok(Cow::Owned(built_in(&replaced, watch)?.into_owned())),
            },
        }
    }
}

/// One rule after the other.
fn replace_all<'a>(rules: &[Rule], message: &'a str, watch: &Watch) -> Result<Cow<'a, str>> {
    let mut text = Cow::Borrowed(message);
    for Rule { pattern, replacement } in rules {
        watch.poll()?;
        if let Some(replaced) = replace(pattern, replacement, &text, watch)? {
            text = Cow::Owned(replaced);
        }
    }
    Ok(text)
}

fn replace(pattern: &Pattern, replacement: &str, text: &str, watch: &Watch) -> Result<Option<String>> {
    let (mut out, mut end) = (String::new(), 0);
    pattern.find_whole(text, |found| {
        // To find even a short match the engine may have looked at all that follows.
        watch.poll()?;
        out.push_str(&text[end..found.start]);
        out.push_str(replacement);
        end = found.end;
        check_length(&out)
    })?;
    if end == 0 {
        return Ok(None);
    }
    out.push_str(&text[end..]);
    Ok(Some(out))
}

/// Ends a chunk.
const DELIMITER: u8 = 1;
const DIGIT: u8 = 1 << 1;
/// `/` or `\`.
const SLASH: u8 = 1 << 2;
const AT: u8 = 1 << 3;
const DOT: u8 = 1 << 4;
const COLON: u8 = 1 << 5;
/// Stands between the parts of a chunk.
const SEPARATOR: u8 = 1 << 6;
/// Any other byte: so a text whose classes are `DIGIT` alone has nothing but digits.
const OTHER: u8 = 1 << 7;
/// Every mask needs a digit, but a path needs a slash or backslash, an address an `@`.
const TELLS: u8 = DIGIT | SLASH | AT;

/// What each byte is, so that a chunk is looked at once for all of it.
static CLASS: [u8; 256] = {
    let mut class = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        class[byte] = match byte as u8 {
            b'0'..=b'9' => DIGIT,
            b'/' | b'\\' => SLASH | SEPARATOR,
            b'@' => AT | SEPARATOR,
            b'.' => DOT | SEPARATOR,
            b':' => COLON | SEPARATOR,
            b'_' | b'-' | b'$' | b'+' | b'%' | b'&' | b'#' => SEPARATOR,
            b',' | b';' | b'(' | b')' | b'[' | b']' | b'{' | b'}' | b'<' | b'>' | b'"' | b'\'' | b'='
            | b'|' | b'`' => DELIMITER,
            byte if byte.is_ascii_whitespace() => DELIMITER,
            _ => OTHER,
        };
        byte += 1;
    }
    class
};

#[inline]
fn class(byte: u8) -> u8 {
    CLASS[byte as usize]
}

/// Where a chunk ends.
#[inline]
fn is_delimiter(byte: u8) -> bool {
    class(byte) & DELIMITER != 0
}

/// Where a URL ends.
fn is_url_end(byte: u8) -> bool {
    byte.is_ascii_whitespace() || matches!(byte, b'"' | b'\'' | b'<' | b'>' | b')' | b']' | b'`')
}

/// Applies the built-in set.
fn built_in<'a>(message: &'a str, watch: &Watch) -> Result<Cow<'a, str>> {
    let bytes = message.as_bytes();
    let mut pace = Steps::over_bytes(watch);
    let mut untold = bytes.chunks(BYTES_BETWEEN_POLLS);
    loop {
        let Some(part) = untold.next() else { return Ok(Cow::Borrowed(message)) };
        pace.pass(part.len())?;
        if part.iter().any(|&byte| class(byte) & TELLS != 0) {
            break;
        }
    }
    // A replacement is longer than a short number; with room for some of them nothing is moved.
    let mut out = String::with_capacity(message.len() + message.len() / 4 + 16);
    // Bytes in `out`, replaced or as they are: what stays is copied when something after it does not.
    let mut copied = 0;
    let (mut at, mut passed, mut no_date_before) = (0, 0, 0);
    while at < bytes.len() {
        pace.pass(at - passed)?;
        passed = at;
        while at < bytes.len() && is_delimiter(bytes[at]) && replacement_at(&bytes[at..]) == 0 {
            at += 1;
        }
        if at >= no_date_before && begins_chain(&bytes[at..]) {
            let chain = date_chain(&bytes[at..], &mut pace)?;
            if chain.is_date {
                out.push_str(&message[copied..at]);
                out.push_str("<time>");
                at += chain.bytes;
                copied = at;
                continue;
            }
            // What begins within it has no more names and numbers than it has.
            no_date_before = at + chain.bytes;
        }
        let (start, mut masked, mut classes) = (at, false, 0);
        loop {
            // Four at a time: half of all steps go from byte to byte.
            while let Some(four) = bytes[at..].first_chunk::<4>() {
                let four = four.iter().fold(0, |classes, &byte| classes | class(byte));
                if four & DELIMITER != 0 {
                    break;
                }
                classes |= four;
                at += 4;
            }
            while at < bytes.len() && class(bytes[at]) & DELIMITER == 0 {
                classes |= class(bytes[at]);
                at += 1;
            }
            let replacement = replacement_at(&bytes[at..]);
            if replacement == 0 {
                break;
            }
            masked = true;
            at += replacement;
        }
        pace.pass(at - passed)?;
        passed = at;
        if classes & TELLS == 0 {
            continue;
        }
        out.push_str(&message[copied..start]);
        copied = at;
        if masked {
            mask_parts(&message[start..at], &mut out, &mut pace)?;
            continue;
        }
        if classes & (COLON | SLASH) == COLON | SLASH && message[start..at].contains("://") {
            // The query of a URL is part of it.
            let query = bytes[at..].iter().take_while(|&&b| !is_url_end(b));
            for &byte in query {
                classes |= class(byte);
                at += 1;
            }
            copied = at;
        }
        mask_chunk(&message[start..at], classes, &mut out, &mut pace)?;
    }
    out.push_str(&message[copied..]);
    Ok(Cow::Owned(out))
}

/// Bytes of a replacement at the beginning of the text, 0 if there is none. One that stands in the message already is
/// part of its chunk, or masking what is masked would cut at its brackets and see chunks that were not there.
#[inline]
fn replacement_at(text: &[u8]) -> usize {
    if text.first() == Some(&b'<') { replacement_after_bracket(text) } else { 0 }
}

fn replacement_after_bracket(text: &[u8]) -> usize {
    const KINDS: [&[u8]; 9] =
        [b"num>", b"ip>", b"hex>", b"time>", b"path>", b"host>", b"uuid>", b"url>", b"email>"];
    match text.split_first() {
        Some((b'<', rest)) => {
            KINDS.iter().find(|kind| rest.starts_with(kind)).map_or(0, |kind| 1 + kind.len())
        }
        _ => 0,
    }
}

/// Names of days and months, and numbers or times, in any order, joined by single spaces or commas.
struct Chain {
    bytes: usize,
    /// Whether it is a date written in words: a name and at least two numbers or times, such as
    /// `Sun Jul 10 03:55:15 2005`.
    is_date: bool,
}

/// The chain at the beginning of the text, as long as it can be; no bytes where there is none.
fn date_chain(text: &[u8], pace: &mut Steps<'_>) -> Result<Chain> {
    let (mut end, mut names, mut numbers) = (0, 0, 0);
    let mut start = 0;
    loop {
        let rest = &text[start..];
        let chunk = &rest[..rest.iter().position(|&byte| is_delimiter(byte)).unwrap_or(rest.len())];
        pace.pass(chunk.len() + 1)?;
        if is_date_name(chunk) {
            names += 1;
        } else if is_date_number(chunk) {
            numbers += 1;
        } else {
            break;
        }
        end = start + chunk.len();
        let gap = text[end..].iter().take(3).take_while(|byte| matches!(byte, b' ' | b',')).count();
        if gap == 0 || gap > 2 {
            break;
        }
        start = end + gap;
    }
    Ok(Chain { bytes: end, is_date: names >= 1 && numbers >= 2 })
}

/// Whether a chunk of a date may begin the text: a digit, or a name's first letters. Most words begin with the first letter of
/// some name, so that alone would send most of them to [`date_chain`].
#[inline]
fn begins_chain(text: &[u8]) -> bool {
    match *text {
        [first, ..] if first.is_ascii_digit() => true,
        [a, b, c, ..] => rest_of_date_name([a, b, c]).is_some(),
        _ => false,
    }
}

/// A number or time of a date.
fn is_date_number(chunk: &[u8]) -> bool {
    chunk.len() <= 15
        && chunk.first().is_some_and(u8::is_ascii_digit)
        && chunk.iter().all(|b| b.is_ascii_digit() || matches!(b, b':' | b'.'))
}

/// English names of days and months, short or long.
fn is_date_name(word: &[u8]) -> bool {
    let &[a, b, c, ref rest @ ..] = word else { return false };
    rest_of_date_name([a, b, c])
        .is_some_and(|end| rest.is_empty() || rest.eq_ignore_ascii_case(end.as_bytes()))
}

/// What follows in the long name that begins with these letters.
#[inline]
fn rest_of_date_name(letters: [u8; 3]) -> Option<&'static str> {
    Some(match letters.map(|byte| byte.to_ascii_lowercase()) {
        [b'm', b'o', b'n'] | [b's', b'u', b'n'] | [b'f', b'r', b'i'] => "day",
        [b't', b'u', b'e'] => "sday",
        [b'w', b'e', b'd'] => "nesday",
        [b't', b'h', b'u'] => "rsday",
        [b's', b'a', b't'] => "urday",
        [b'j', b'a', b'n'] => "uary",
        [b'f', b'e', b'b'] => "ruary",
        [b'm', b'a', b'r'] => "ch",
        [b'a', b'p', b'r'] => "il",
        [b'm', b'a', b'y'] => "",
        [b'j', b'u', b'n'] => "e",
        [b'j', b'u', b'l'] => "y",
        [b'a', b'u', b'g'] => "ust",
        [b's', b'e', b'p'] => "tember",
        [b'o', b'c', b't'] => "ober",
        [b'n', b'o', b'v'] | [b'd', b'e', b'c'] => "ember",
        _ => return None,
    })
}

/// Masks one chunk of bytes of these classes; punctuation around it stays.
fn mask_chunk(chunk: &str, classes: u8, out: &mut String, pace: &mut Steps<'_>) -> Result<()> {
    let bytes = chunk.as_bytes();
    let is_head = |byte: &u8| matches!(byte, b':' | b'*' | b'#' | b'$' | b'@' | b'!' | b'?');
    let is_tail = |byte: &u8| matches!(byte, b':' | b'.' | b'!' | b'?' | b'*' | b'#');
    let head = bytes.iter().take_while(|&byte| is_head(byte)).count();
    let tail = bytes[head..].iter().rev().take_while(|&byte| is_tail(byte)).count();
    let body = &chunk[head..chunk.len() - tail];
    out.push_str(&chunk[..head]);
    if !body.is_empty() {
        match classify(body, classes) {
            Some(kind) => out.push_str(kind),
            None => mask_parts(body, out, pace)?,
        }
    }
    out.push_str(&chunk[head + body.len()..]);
    Ok(())
}

/// The mask for a chunk that is replaced as a whole. `classes` are at least those of its bytes.
fn classify(body: &str, classes: u8) -> Option<&'static str> {
    let bytes = body.as_bytes();
    if classes == DIGIT {
        return Some("<num>");
    }
    if classes & (COLON | SLASH) == COLON | SLASH && body.contains("://") {
        return Some("<url>");
    }
    let first = bytes[0];
    if classes & DIGIT != 0 {
        let address = if first == b'/' { body.trim_start_matches('/') } else { body };
        if classes & DOT != 0 && is_ipv4(address.as_bytes()) || classes & COLON != 0 && is_ipv6(address) {
            return Some(if first == b'/' { "/<ip>" } else { "<ip>" });
        }
        if is_number(body) {
            return Some("<num>");
        }
        if is_uuid(body) {
            return Some("<uuid>");
        }
        if is_time(body) {
            return Some("<time>");
        }
        if is_hex(body) {
            return Some("<hex>");
        }
        if classes & DOT != 0 && is_host(body) {
            return Some("<host>");
        }
    }
    if classes & SLASH != 0 && is_path(bytes) {
        return Some("<path>");
    }
    (classes & AT != 0 && is_email(body)).then_some("<email>")
}

/// Four numbers of up to three digits, perhaps with a port or a prefix length.
fn is_ipv4(body: &[u8]) -> bool {
    let (mut dots, mut digits) = (0, 0);
    let mut rest = body.iter();
    for byte in rest.by_ref() {
        match byte {
            b'0'..=b'9' if digits < 3 => digits += 1,
            b'.' if digits > 0 => (dots, digits) = (dots + 1, 0),
            b':' | b'/' => break,
            _ => return false,
        }
    }
    dots == 3 && digits > 0 && rest.all(|b| b.is_ascii_digit() || *b == b':')
}

/// Groups of up to four hexadecimal digits: at least three colons, or two with a `::`.
fn is_ipv6(body: &str) -> bool {
    let colons = body.bytes().filter(|&b| b == b':').count();
    if colons < 2 {
        return false;
    }
    (colons >= 3 || body.contains("::"))
        && colons <= 8
        && body.split(':').all(|part| part.len() <= 4 && part.bytes().all(|b| b.is_ascii_hexdigit()))
        || (colons > 3 && body.rsplit_once(':').is_some_and(|(_, last)| is_ipv4(last.as_bytes())))
}

/// 8-4-4-4-12 hexadecimal digits.
fn is_uuid(body: &str) -> bool {
    let bytes = body.as_bytes();
    bytes.len() == 36
        && bytes
            .iter()
            .enumerate()
            .all(|(i, b)| if matches!(i, 8 | 13 | 18 | 23) { *b == b'-' } else { b.is_ascii_hexdigit() })
}

/// A sign, digits with points, and a unit of up to four letters, or `%`.
fn is_number(body: &str) -> bool {
    let signs = body.bytes().take_while(|b| matches!(b, b'+' | b'-')).count();
    let unsigned = &body[signs..];
    let digits = unsigned.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    if digits == 0 || !unsigned.as_bytes()[0].is_ascii_digit() {
        return false;
    }
    let unit = &unsigned[digits..];
    unit.is_empty()
        || unit == "%"
        || matches!(
            unit,
            "ns" | "us"
                | "µs"
                | "ms"
                | "s"
                | "sec"
                | "secs"
                | "m"
                | "min"
                | "mins"
                | "h"
                | "hr"
                | "d"
                | "B"
                | "b"
                | "k"
                | "K"
                | "kB"
                | "KB"
                | "kb"
                | "Kb"
                | "KiB"
                | "M"
                | "MB"
                | "Mb"
                | "mb"
                | "MiB"
                | "G"
                | "GB"
                | "Gb"
                | "gb"
                | "GiB"
                | "T"
                | "TB"
                | "TiB"
                | "Hz"
                | "kHz"
                | "MHz"
                | "GHz"
                | "bytes"
                | "th"
                | "st"
                | "nd"
                | "rd"
                | "x"
                | "px"
        )
}

/// Digits, joined by what joins dates and times; a `T` or `Z` where ISO 8601 has them.
fn is_time(body: &str) -> bool {
    let (mut joins, mut digits, mut last_join) = (0, 0, true);
    for byte in body.bytes() {
        match byte {
            b'0'..=b'9' => (digits, last_join) = (digits + 1, false),
            b'-' | b':' | b'/' | b'.' | b'+' | b'T' if !last_join => (joins, last_join) = (joins + 1, true),
            b'Z' => {}
            _ => return false,
        }
    }
    joins >= 2 && digits >= 4 && !last_join
}

/// `0x…`, or at least six hexadecimal digits, letters and digits among them.
fn is_hex(body: &str) -> bool {
    let prefixed = body.strip_prefix("0x").or_else(|| body.strip_prefix("0X"));
    let text = prefixed.unwrap_or(body).as_bytes();
    !text.is_empty()
        && text.iter().all(u8::is_ascii_hexdigit)
        && (prefixed.is_some() || text.len() >= 6 && text.iter().any(u8::is_ascii_alphabetic))
}

/// A host's full name with a digit in it, perhaps with a port; without one it tells as much as a word.
fn is_host(body: &str) -> bool {
    let (name, port) = body.split_once(':').unwrap_or((body, "0"));
    let domain = name.rsplit_once('.').map_or("", |(_, domain)| domain);
    (2..=6).contains(&domain.len())
        && domain.bytes().all(|b| b.is_ascii_lowercase())
        && name.split('.').all(|label| !label.is_empty())
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'))
        && port.bytes().all(|b| b.is_ascii_digit())
}

/// `/a/b`, `./a`, `~/a`, `C:\a`.
fn is_path(bytes: &[u8]) -> bool {
    let slashes = bytes.iter().filter(|b| matches!(b, b'/' | b'\\')).count();
    let drive = bytes.len() > 2
        && bytes[0].is_ascii_alphabetic()
        && bytes[1] == b':'
        && matches!(bytes[2], b'\\' | b'/');
    drive
        || bytes.len() > 1 && bytes[0] == b'/' && slashes >= 2
        || slashes >= 1 && (bytes.starts_with(b"./") || bytes.starts_with(b"../") || bytes.starts_with(b"~/"))
}

/// `name@host.domain`.
fn is_email(body: &str) -> bool {
    body.split_once('@').is_some_and(|(name, host)| {
        !name.is_empty()
            && host.contains('.')
            && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-'))
            && !name.contains(['/', ':'])
    })
}

/// Replaces the digits of a chunk that is not replaced as a whole: a part between `_`, `-`, `.`, `:`, `/`, `@`
/// that is a hexadecimal string as a whole, else each run of digits.
fn mask_parts(body: &str, out: &mut String, pace: &mut Steps<'_>) -> Result<()> {
    let bytes = body.as_bytes();
    let (mut at, mut copied) = (0, 0);
    while at < bytes.len() {
        let (start, mut classes) = (at, 0);
        while at < bytes.len() && class(bytes[at]) & SEPARATOR == 0 {
            classes |= class(bytes[at]);
            at += 1;
        }
        pace.pass(at + 1 - start)?;
        if classes & DIGIT != 0 {
            out.push_str(&body[copied..start]);
            copied = at;
            if classes == DIGIT {
                out.push_str("<num>");
            } else if is_hex(&body[start..at]) {
                out.push_str("<hex>");
            } else {
                mask_digits(&body[start..at], out);
            }
        }
        at += 1;
    }
    out.push_str(&body[copied..]);
    Ok(())
}

fn mask_digits(word: &str, out: &mut String) {
    let mut rest = word;
    while let Some(digits) = rest.bytes().position(|byte| byte.is_ascii_digit()) {
        out.push_str(&rest[..digits]);
        out.push_str("<num>");
        let run = rest[digits..].bytes().take_while(u8::is_ascii_digit).count();
        rest = &rest[digits + run..];
    }
    out.push_str(rest);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::options::MaskRule;

    #[test]
    fn the_built_in_set_on_lines_of_many_systems() {
        let masker = Masker::new(&Masks::BuiltIn).unwrap();
        for (line, masked) in [
            (
                "PacketResponder 1 for block blk_-38865049 terminating",
                "PacketResponder <num> for block blk_-<num> terminating",
            ),
            ("10.251.73.220:50010 Served block to /10.251.73.220", "<ip> Served block to /<ip>"),
            ("Disk failure detected on DataNode", "Disk failure detected on DataNode"),
            ("rhost=218.188.2.4  user=root", "rhost=<ip>  user=root"),
            ("took 12.5ms, 97% of 3GB", "took <num>, <num> of <num>"),
            ("id 6f3cbf05-8c27-4655-a8ad-724905d6a19b at 2015-10-18T18:01:47.978Z", "id <uuid> at <time>"),
            ("ciod: failed at /p/gb2/stella/RAPTOR/raptor", "ciod: failed at <path>"),
            ("mail from a.b@example.org via https://example.org/x?y=1", "mail from <email> via <url>"),
            ("core.3112 at 0x1fffe8 (unit=0x0b)", "core.<num> at <hex> (unit=<hex>)"),
            ("größe 7 µ", "größe <num> µ"),
            ("fe80::1 up", "<ip> up"),
            (
                "connection from 1.2.3.4 (host81.topspot.net) at Sun Jul 10 03:55:15 2005",
                "connection from <ip> (<host>) at <time>",
            ),
            ("v2.app.Master may 5 fail", "v<num>.app.Master may <num> fail"),
        ] {
            assert_eq!(masker.mask(line, &Watch::default()).unwrap(), masked);
        }
    }

    #[test]
    fn masking_twice_changes_nothing_more() {
        let masker = Masker::new(&Masks::BuiltIn).unwrap();
        let line = "10.1.1.1 blk_12 at 11:12:13 0xff /a/b/c 7a9f3b2 x12y";
        let once = masker.mask(line, &Watch::default()).unwrap().into_owned();
        assert_eq!(masker.mask(&once, &Watch::default()).unwrap(), once);
    }

    thread_local! {
        static POLLS: std::cell::Cell<usize> = const { std::cell::Cell::new(0) };
    }

    fn polls(work: impl FnOnce(&Watch)) -> usize {
        POLLS.set(0);
        work(&Watch::new(|| {
            POLLS.set(POLLS.get() + 1);
            Ok(())
        }));
        POLLS.get()
    }

    fn list(rules: &[(&str, &str)]) -> Masks {
        let rule = |&(name, pattern): &(&str, &str)| MaskRule { name: name.into(), pattern: pattern.into() };
        Masks::List(rules.iter().map(rule).collect())
    }

    #[test]
    fn a_chain_without_a_date_is_looked_at_once() {
        let masker = Masker::new(&Masks::BuiltIn).unwrap();
        for chunk in ["1 ", "may ", "1,", "12:00, "] {
            let line = chunk.repeat(20_000) + "@";
            let polls = polls(|watch| drop(masker.mask(&line, watch).unwrap()));
            // The text is passed a few times; from each chunk to its end it would be thousands.
            let once = line.len() / BYTES_BETWEEN_POLLS + 1;
            assert!((once..=5 * once).contains(&polls), "{chunk:?}: {polls} polls");
        }
    }

    #[test]
    fn within_a_chain_that_is_no_date_there_is_none() {
        let pieces = ["1", "12:00", "may", " ", ",", "x", "<"];
        let watch = Watch::default();
        let mut pace = Steps::over_bytes(&watch);
        let mut chain = |text: &str| date_chain(text.as_bytes(), &mut pace).unwrap();
        for number in 0..pieces.len().pow(6) {
            let digits = (0..6u32).map(|digit| number / pieces.len().pow(digit) % pieces.len());
            let text: String = digits.map(|digit| pieces[digit]).collect();
            let Chain { bytes, is_date } = chain(&text);
            if !is_date {
                let starts = (1..bytes).filter(|&at| is_delimiter(text.as_bytes()[at - 1]));
                starts.for_each(|at| assert!(!chain(&text[at..]).is_date, "{text:?} from {at}"));
            }
        }
    }

    #[test]
    fn each_rule_and_each_match_can_be_stopped() {
        let stopped = Watch::new(|| Err(crate::Error::Canceled));
        let none = Masker::new(&list(&[("a", "order")])).unwrap();
        assert_eq!(none.mask("nothing of it", &stopped), Err(crate::Error::Canceled));
        // Each search goes to the end of the text and comes back.
        let far = Masker::new(&list(&[("a", ".*[^A-Z]|[A-Z]")])).unwrap();
        assert!(polls(|watch| drop(far.mask(&"A".repeat(1000), watch).unwrap())) > 1000);
        let two = Masks::List(vec![MaskRule { name: "a".into(), pattern: "order".into() }; 2]);
        assert!(matches!(Masker::within(&mut Budget::new(2), &two, stopped), Err(crate::Error::Canceled)));
    }

    #[test]
    fn masks_cannot_make_a_message_longer_than_one_may_be() {
        let longer = Masker::new(&list(&[(&"x".repeat(10_000), "a")])).unwrap();
        assert_eq!(longer.mask(&"a".repeat(10_000), &Watch::default()), Err(crate::Error::MessageTooLong));
    }

    #[test]
    fn all_patterns_together_are_bounded() {
        let error = |masks: &Masks| Masker::new(masks).unwrap_err().to_string();
        let heavy = |count| list(&vec![("a", r"\w{66}"); count]);
        assert!(Masker::new(&heavy(10)).is_ok());
        assert!(error(&heavy(20)).contains("67108864 bytes compiled"), "{}", error(&heavy(20)));
        let boundaries = r"\b".repeat(2000);
        assert!(error(&list(&[("a", &boundaries)])).contains("67108864 bytes compiled"));
        let usual: Vec<String> = (0..256).map(|i| format!(r"\bjob{i}-\d+\b")).collect();
        let usual: Vec<_> = usual.iter().map(|pattern| ("job", pattern.as_str())).collect();
        let masker = Masker::new(&list(&usual)).unwrap();
        assert_eq!(masker.mask("job255-17", &Watch::default()).unwrap(), "<job>");
    }

    #[test]
    fn masks_of_the_user_come_in_order() {
        let rule = |name: &str, pattern: &str| MaskRule { name: name.into(), pattern: pattern.into() };
        let masks = Masks::List(vec![rule("order", r"order-\d+"), rule("n", r"\d+")]);
        assert_eq!(
            Masker::new(&masks).unwrap().mask("order-17 of 3", &Watch::default()).unwrap(),
            "<order> of <n>"
        );
        assert!(Masker::new(&Masks::List(vec![rule("a b", "x")])).is_err());
    }
}
