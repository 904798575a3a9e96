//! The text form of a sparse vector: pgvector's `sparsevec` literal, `{1:0.5,7:0.25}/126`.
//!
//! Indices are 1-based. Reading is as lenient as pgvector about white space, order and signs, and stricter in two
//! things that can only be mistakes: an explicit zero must have an index of its own within the dimensions, and
//! hexadecimal floats are no numbers. Writing gives the shortest text that reads back as the same float4, in the
//! notation of PostgreSQL's `float4out`, so that any text of ours is a `sparsevec` and a `real`.

use std::fmt::Write as _;

use crate::error::{Error, Result};
use crate::limits::{MAX_DIM, MAX_NNZ};
use crate::sparse::{SparseRef, SparseVec, check_finite};

/// How much of a wrong token a message repeats, in bytes.
const QUOTED: usize = 40;

impl std::str::FromStr for SparseVec {
    type Err = Error;

    /// Reads the literal.
    ///
    /// # Errors
    /// One variant for each mistake: [`Error::VectorSyntax`], [`Error::VectorIndexRange`], [`Error::VectorValueRange`],
    /// [`Error::VectorNotFinite`], [`Error::VectorTooDense`], [`Error::VectorDimensions`], [`Error::VectorIndex`] or
    /// [`Error::VectorDuplicate`].
    fn from_str(text: &str) -> Result<Self> {
        let mut scanner = Scanner { text, at: 0 };
        scanner.byte(b'{', "\"{\"")?;
        let mut entries = Vec::new();
        if scanner.peek() != Some(b'}') {
            loop {
                if entries.len() == MAX_NNZ {
                    return Err(Error::VectorTooDense);
                }
                let index = scanner.index()?;
                scanner.byte(b':', "\":\" after the index")?;
                entries.push((index, scanner.value()?));
                if scanner.peek() != Some(b',') {
                    break;
                }
                scanner.at += 1;
            }
        }
        scanner.byte(b'}', "\",\" or \"}\"")?;
        scanner.byte(b'/', "\"/\" and the dimensions")?;
        let dim = scanner.dimensions()?;
        if scanner.peek().is_some() {
            return Err(scanner.expected("nothing after the dimensions"));
        }
        SparseVec::from_entries(dim, entries)
    }
}

impl std::fmt::Display for SparseRef<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_char('{')?;
        let mut digits = String::with_capacity(16);
        for (k, (&index, &value)) in self.indices.iter().zip(self.values).enumerate() {
            if k > 0 {
                f.write_char(',')?;
            }
            digits.clear();
            write_f32(&mut digits, value);
            write!(f, "{}:{digits}", index + 1)?;
        }
        write!(f, "}}/{}", self.dim)
    }
}

impl SparseRef<'_> {
    /// The vector as a JSON object: `{"dim":126,"indices":[1,7],"values":[0.5,0.25]}`, indices 1-based.
    pub fn to_json(&self) -> String {
        let mut out = format!("{{\"dim\":{},\"indices\":[", self.dim);
        for (k, &index) in self.indices.iter().enumerate() {
            let comma = if k > 0 { "," } else { "" };
            let _ = write!(out, "{comma}{}", index + 1);
        }
        out.push_str("],\"values\":[");
        for (k, &value) in self.values.iter().enumerate() {
            if k > 0 {
                out.push(',');
            }
            write_f32(&mut out, value);
        }
        out.push_str("]}");
        out
    }
}

/// Walks over a literal. Every token may have white space before it.
struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next byte that is not white space; stays before it.
    fn peek(&mut self) -> Option<u8> {
        let rest = &self.text.as_bytes()[self.at..];
        self.at +=
            rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r' | 0x0b | 0x0c)).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Passes `byte`.
    fn byte(&mut self, byte: u8, name: &str) -> Result<()> {
        if self.peek() != Some(byte) {
            return Err(self.expected(name));
        }
        self.at += 1;
        Ok(())
    }

    fn expected(&self, name: &str) -> Error {
        let found = match self.text[self.at..].chars().next() {
            // Escaped where it is not ASCII: the message must be valid in any server encoding.
            Some(c) if c.is_ascii() => format!("\"{c}\""),
            Some(c) => format!("\"{}\"", c.escape_default()),
            None => "the end".to_owned(),
        };
        Error::VectorSyntax(format!("expected {name}, found {found} at byte {}", self.at + 1))
    }

    /// Passes as many ASCII digits as there are, and tells how many.
    fn digits(&mut self) -> usize {
        let count = self.text.as_bytes()[self.at..].iter().take_while(|b| b.is_ascii_digit()).count();
        self.at += count;
        count
    }

    fn sign(&mut self) {
        if matches!(self.text.as_bytes().get(self.at), Some(b'+' | b'-')) {
            self.at += 1;
        }
    }

    /// Passes an optional sign and digits, and gives their text.
    fn integer(&mut self, name: &str) -> Result<&'a str> {
        self.peek();
        let start = self.at;
        self.sign();
        if self.digits() == 0 {
            self.at = start;
            return Err(self.expected(name));
        }
        Ok(&self.text[start..self.at])
    }

    /// A 1-based index, given 0-based.
    fn index(&mut self) -> Result<u32> {
        let token = self.integer("an index")?;
        match token.parse::<u32>() {
            Ok(index @ 1..=MAX_DIM) => Ok(index - 1),
            _ => Err(Error::VectorIndexRange(quoted(token))),
        }
    }

    fn dimensions(&mut self) -> Result<i64> {
        let token = self.integer("the dimensions")?;
        token.parse().map_err(|_| Error::VectorValueRange(quoted(token)))
    }

    /// A float4 in decimal notation.
    fn value(&mut self) -> Result<f32> {
        self.peek();
        let start = self.at;
        self.sign();
        self.refuse_not_finite()?;
        let whole = self.digits();
        let mut fraction = 0;
        if self.text.as_bytes().get(self.at) == Some(&b'.') {
            self.at += 1;
            fraction = self.digits();
        }
        if whole + fraction == 0 {
            self.at = start;
            return Err(self.expected("a value"));
        }
        let mantissa = start..self.at;
        if matches!(self.text.as_bytes().get(self.at), Some(b'e' | b'E')) {
            let before = self.at;
            self.at += 1;
            self.sign();
            if self.digits() == 0 {
                self.at = before;
            }
        }
        let token = &self.text[start..self.at];
        let value = token.parse::<f32>().map_err(|_| Error::VectorValueRange(quoted(token)))?;
        let is_zero = !self.text[mantissa].bytes().any(|b| (b'1'..=b'9').contains(&b));
        if value.is_infinite() || (value == 0.0 && !is_zero) {
            return Err(Error::VectorValueRange(quoted(token)));
        }
        Ok(value)
    }

    /// The names that stand for no finite number.
    fn refuse_not_finite(&self) -> Result<()> {
        let begins = |name: &str| {
            let bytes = self.text.as_bytes()[self.at..].get(..name.len());
            bytes.is_some_and(|bytes| bytes.eq_ignore_ascii_case(name.as_bytes()))
        };
        if begins("nan") {
            return check_finite(f32::NAN);
        }
        if begins("inf") {
            return check_finite(f32::INFINITY);
        }
        Ok(())
    }
}

/// A token for a message; tokens are ASCII.
fn quoted(token: &str) -> String {
    if token.len() <= QUOTED { token.to_owned() } else { format!("{}...", &token[..QUOTED]) }
}

/// Writes a finite float4 as PostgreSQL does: the shortest digits that read back, in fixed notation from 1e-4 up to
/// (not including) 1e6, and otherwise as `d.ddde+XX` with at least two digits of exponent.
fn write_f32(out: &mut String, value: f32) {
    if value == 0.0 {
        out.push('0');
        return;
    }
    let text = shortest(value.abs());
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    let exponent = exponent.parse::<i32>().unwrap_or(0);
    let digits: String = mantissa.chars().filter(|&c| c != '.').collect();
    let digits = digits.trim_end_matches('0');
    if value < 0.0 {
        out.push('-');
    }
    if !(-4..6).contains(&exponent) {
        out.push_str(&digits[..1]);
        if digits.len() > 1 {
            out.push('.');
            out.push_str(&digits[1..]);
        }
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(out, "e{sign}{:02}", exponent.abs());
    } else if exponent < 0 {
        out.push_str("0.");
        out.extend(std::iter::repeat_n('0', (-exponent - 1) as usize));
        out.push_str(digits);
    } else {
        let whole = exponent as usize + 1;
        if digits.len() <= whole {
            out.push_str(digits);
            out.extend(std::iter::repeat_n('0', whole - digits.len()));
        } else {
            let _ = write!(out, "{}.{}", &digits[..whole], &digits[whole..]);
        }
    }
}

/// The shortest digits of a positive float4 that lie strictly between the midpoints to its neighbours, in Rust's `{:e}`.
///
/// Rust's own shortest form also takes a midpoint where reading would round to even, and of two equally near texts the
/// larger one; PostgreSQL takes none of the former and the even one of the latter.
fn shortest(value: f32) -> String {
    let text = format!("{value:e}");
    let digits = text.bytes().take_while(|&b| b != b'e').filter(u8::is_ascii_digit).count();
    let rounded = |precision: usize| format!("{value:.precision$e}");
    // At a power of two the neighbour below is nearer, so that the rounded text may be no reading of the value while
    // another one of the same length is.
    let candidates = [rounded(digits.max(1) - 1), text];
    candidates
        .into_iter()
        .chain((digits..9).map(rounded))
        .find(|text| is_inside(value, text))
        .unwrap_or_else(|| rounded(8))
}

/// Whether the text lies strictly within the values that round to `value`.
fn is_inside(value: f32, text: &str) -> bool {
    let midpoint = |neighbour: f32| f64::midpoint(f64::from(value), f64::from(neighbour));
    // The upper neighbour of the largest float4 would be 2^128, which f64 holds.
    let upper = if value < f32::MAX { f64::from(value.next_up()) } else { 2_f64.powi(128) };
    let upper = f64::midpoint(f64::from(value), upper);
    text.parse::<f64>().is_ok_and(|read| midpoint(value.next_down()) < read && read < upper)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn read(text: &str) -> Result<SparseVec> {
        text.parse()
    }

    fn written(text: &str) -> String {
        read(text).unwrap().as_ref().to_string()
    }

    #[test]
    fn reads_what_pgvector_reads() {
        for (text, canonical) in [
            ("{}/1", "{}/1"),
            (" { } / 5 ", "{}/5"),
            ("{1:1.5,3:3.5}/5", "{1:1.5,3:3.5}/5"),
            ("\t{\n3 :\r3.5\x0b, 1: 1.5\x0c} / 5\n", "{1:1.5,3:3.5}/5"),
            ("{5:-0,4:0.0,3:0e9,2:-1}/5", "{2:-1}/5"),
            ("{+1:+1}/+2", "{1:1}/2"),
            ("{001:.5,2:5.}/02", "{1:0.5,2:5}/2"),
            (
                "{1:1e5,2:1E-5,3:1e6,4:123456.7,5:0.0001}/5",
                "{1:100000,2:1e-05,3:1e+06,4:123456.7,5:0.0001}/5",
            ),
            ("{1000000000:3.4028235e38}/1000000000", "{1000000000:3.4028235e+38}/1000000000"),
            ("{1:1e-45,2:1.17549435e-38}/2", "{1:1e-45,2:1.1754944e-38}/2"),
        ] {
            assert_eq!(written(text), canonical, "{text}");
        }
    }

    #[test]
    fn each_mistake_has_its_error() {
        let syntax = |why: &str| Error::VectorSyntax(why.to_owned());
        let index = |text: &str| Error::VectorIndexRange(text.to_owned());
        let value = |text: &str| Error::VectorValueRange(text.to_owned());
        for (text, error) in [
            ("", syntax("expected \"{\", found the end at byte 1")),
            ("1:1}/2", syntax("expected \"{\", found \"1\" at byte 1")),
            ("[1,2,3]", syntax("expected \"{\", found \"[\" at byte 1")),
            ("{", syntax("expected an index, found the end at byte 2")),
            ("{1", syntax("expected \":\" after the index, found the end at byte 3")),
            ("{1:", syntax("expected a value, found the end at byte 4")),
            ("{1:1", syntax("expected \",\" or \"}\", found the end at byte 5")),
            ("{1:1}", syntax("expected \"/\" and the dimensions, found the end at byte 6")),
            ("{1:1}/", syntax("expected the dimensions, found the end at byte 7")),
            ("{1:1}/2x", syntax("expected nothing after the dimensions, found \"x\" at byte 8")),
            ("{1:1}/2.5", syntax("expected nothing after the dimensions, found \".\" at byte 8")),
            ("{1:1,}/2", syntax("expected an index, found \"}\" at byte 6")),
            ("{,1:1}/2", syntax("expected an index, found \",\" at byte 2")),
            ("{1:1 2:1}/2", syntax("expected \",\" or \"}\", found \"2\" at byte 6")),
            ("{1.5:1}/2", syntax("expected \":\" after the index, found \".\" at byte 3")),
            ("{a:1}/2", syntax("expected an index, found \"a\" at byte 2")),
            ("{1:a}/2", syntax("expected a value, found \"a\" at byte 4")),
            ("{1:.}/2", syntax("expected a value, found \".\" at byte 4")),
            ("{1:--1}/2", syntax("expected a value, found \"-\" at byte 4")),
            ("{1:1e}/2", syntax("expected \",\" or \"}\", found \"e\" at byte 5")),
            ("{1:0x10}/2", syntax("expected \",\" or \"}\", found \"x\" at byte 5")),
            ("{1:1\u{e9}}/2", syntax("expected \",\" or \"}\", found \"\\u{e9}\" at byte 5")),
            ("{\u{a0}1:1}/2", syntax("expected an index, found \"\\u{a0}\" at byte 2")),
            ("{0:1}/2", index("0")),
            ("{-1:1}/2", index("-1")),
            ("{1000000001:1}/2", index("1000000001")),
            ("{2147483648:1}/2", index("2147483648")),
            ("{9223372036854775808:1}/2", index("9223372036854775808")),
            ("{1:nan}/2", Error::VectorNotFinite("NaN")),
            ("{1:-NaN}/2", Error::VectorNotFinite("NaN")),
            ("{1:Infinity}/2", Error::VectorNotFinite("infinite value")),
            ("{1:-inf}/2", Error::VectorNotFinite("infinite value")),
            ("{1:4e38}/2", value("4e38")),
            ("{1:-4e38}/2", value("-4e38")),
            ("{1:1e-46}/2", value("1e-46")),
            ("{1:1e9999999999}/2", value("1e9999999999")),
            ("{1:1}/0", Error::VectorDimensions(0)),
            ("{}/0", Error::VectorDimensions(0)),
            ("{}/-1", Error::VectorDimensions(-1)),
            ("{}/1000000001", Error::VectorDimensions(1_000_000_001)),
            ("{}/2147483648", Error::VectorDimensions(2_147_483_648)),
            ("{}/9223372036854775808", value("9223372036854775808")),
            ("{3:1}/2", Error::VectorIndex { index: 3, dim: 2 }),
            ("{3:0}/2", Error::VectorIndex { index: 3, dim: 2 }),
            ("{1:1,1:2}/2", Error::VectorDuplicate(1)),
            ("{2:1,1:1,2:0}/2", Error::VectorDuplicate(2)),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
    }

    #[test]
    fn a_long_wrong_token_is_cut_in_the_message() {
        let text = format!("{{1:1{}}}/2", "0".repeat(100));
        assert_eq!(read(&text), Err(Error::VectorValueRange(format!("1{}...", "0".repeat(39)))));
    }

    #[test]
    fn more_entries_than_allowed_are_refused() {
        let entries = |n: usize| (1..=n).map(|i| format!("{i}:1")).collect::<Vec<_>>().join(",");
        let literal = |n| format!("{{{}}}/{MAX_DIM}", entries(n));
        assert_eq!(read(&literal(MAX_NNZ)).unwrap().indices.len(), MAX_NNZ);
        assert_eq!(read(&literal(MAX_NNZ + 1)), Err(Error::VectorTooDense));
    }

    #[test]
    fn json_has_the_three_keys() {
        let vector = read("{1:0.5,7:1e-05}/126").unwrap();
        assert_eq!(vector.as_ref().to_json(), r#"{"dim":126,"indices":[1,7],"values":[0.5,1e-05]}"#);
        assert_eq!(read("{}/3").unwrap().as_ref().to_json(), r#"{"dim":3,"indices":[],"values":[]}"#);
    }

    #[test]
    fn floats_have_postgresql_notation() {
        // Printed by PostgreSQL 15: SELECT float4 '...'.
        for (value, text) in [
            (0.1_f32, "0.1"),
            (1e-4, "0.0001"),
            (9.999e-5, "9.999e-05"),
            (999_999.0, "999999"),
            (999_999.9, "999999.9"),
            (1e6, "1e+06"),
            (16_777_216.0, "1.6777216e+07"),
            (33_554_432.0, "3.3554432e+07"),
            (8_388_608.0, "8.388608e+06"),
            (1.0 / 3.0, "0.33333334"),
            (1_210_377.0 / 8.0, "151297.12"),
            (2_f32.powi(-12), "0.00024414062"),
            (2_f32.powi(-96), "1.2621775e-29"),
            (-2.5e10, "-2.5e+10"),
            (f32::MIN_POSITIVE, "1.1754944e-38"),
            (f32::from_bits(1), "1e-45"),
            (f32::MAX, "3.4028235e+38"),
        ] {
            let mut out = String::new();
            write_f32(&mut out, value);
            assert_eq!(out, text);
        }
    }

    proptest! {
        #[test]
        fn text_reads_back(bits in proptest::collection::btree_map(0_u32..5000, any::<u32>(), 0..40)) {
            let entries = bits.into_iter().map(|(i, b)| (i, f32::from_bits(b))).filter(|e| e.1.is_finite()).collect();
            let vector = SparseVec::from_entries(5000, entries).unwrap();
            prop_assert_eq!(vector.as_ref().to_string().parse(), Ok(vector));
        }

        #[test]
        fn a_float_is_no_longer_than_nine_digits(bits in any::<u32>()) {
            let value = f32::from_bits(bits);
            prop_assume!(value.is_finite());
            let mut out = String::new();
            write_f32(&mut out, value);
            prop_assert!(out.len() <= 15, "{}", out);
            prop_assert_eq!(out.parse(), Ok(value));
        }

        #[test]
        fn damage_never_panics(text in "\\PC*", at in 0_usize..30, with in "[-+{}:,/.0-9a-zA-Z \\PC]{0,3}") {
            let _ = read(&text);
            let mut literal = "{1:0.5,7:-2.5e-10,12:1}/126".to_owned();
            let at = at.min(literal.len());
            literal.replace_range(at..(at + with.len() / 2).min(literal.len()), &with);
            if let Ok(vector) = read(&literal) {
                prop_assert_eq!(vector.as_ref().to_string().parse(), Ok(vector));
            }
        }
    }
}
