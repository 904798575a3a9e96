//! Text in the server's encoding, and UTF-8 here.
//!
//! Log lines come as they are: bytes that are no text in the server's encoding become U+FFFD instead of an error.
use std::borrow::Cow;

use pgrx::pg_sys;
use pgrx::{FromDatum, IntoDatum};

/// A text value, in either direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(pub String);

impl FromDatum for Text {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the caller gives a datum of a text type.
        (!is_null).then(|| unsafe { with_text(datum, |text| Text(text.to_owned())) })
    }
}

impl IntoDatum for Text {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(to_datum(&self.0))
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::TEXTOID
    }
}

/// Lends the text of a datum without copying it where the server's encoding is UTF-8.
///
/// # Safety
/// The datum is a non-NULL value of a text type, or a varlena whose bytes are text.
pub unsafe fn with_text<T>(datum: pg_sys::Datum, use_it: impl FnOnce(&str) -> T) -> T {
    // SAFETY: detoasting gives a varlena whose bytes live until it is freed below.
    unsafe {
        let stored: *mut pg_sys::varlena = datum.cast_mut_ptr();
        let plain = pg_sys::pg_detoast_datum_packed(stored);
        let bytes = pgrx::varlena_to_byte_slice(plain);
        let result = use_it(&to_utf8(bytes));
        if plain != stored {
            pg_sys::pfree(plain.cast());
        }
        result
    }
}

fn encoding() -> i32 {
    // SAFETY: reads a global.
    unsafe { pg_sys::GetDatabaseEncoding() }
}

/// Text of the server as UTF-8.
fn to_utf8(bytes: &[u8]) -> Cow<'_, str> {
    let (utf8, ascii) = (pg_sys::pg_enc::PG_UTF8 as i32, pg_sys::pg_enc::PG_SQL_ASCII as i32);
    if bytes.is_ascii() || encoding() == utf8 || encoding() == ascii {
        return String::from_utf8_lossy(bytes);
    }
    let plain = || bytes.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '\u{fffd}' }).collect();
    Cow::Owned(
        convert(bytes, encoding(), utf8)
            .map_or_else(plain, |bytes| String::from_utf8_lossy(&bytes).into_owned()),
    )
}

/// Converts between encodings without raising an ERROR; `None` where a character has no counterpart.
fn convert(bytes: &[u8], from: i32, to: i32) -> Option<Vec<u8>> {
    let length = i32::try_from(bytes.len()).ok()?;
    // PostgreSQL's own bound on how much text grows, and the zero byte.
    let room = bytes.len().checked_mul(pg_sys::MAX_CONVERSION_GROWTH as usize)? + 1;
    let mut out = Vec::new();
    out.try_reserve_exact(room).ok()?;
    out.resize(room, 0u8);
    // SAFETY: source and destination are as long as is said; with noError the function stops at what it cannot convert.
    let converted = unsafe {
        let conversion = pg_sys::FindDefaultConversionProc(from, to);
        if conversion == pg_sys::Oid::INVALID {
            return None;
        }
        let source = bytes.as_ptr().cast_mut();
        pg_sys::pg_do_encoding_conversion_buf(
            conversion,
            from,
            to,
            source,
            length,
            out.as_mut_ptr(),
            room as i32,
            true,
        )
    };
    out.truncate(out.iter().position(|&byte| byte == 0).unwrap_or(room));
    (converted == length).then_some(out)
}

/// UTF-8 as a text datum of the server; characters that its encoding lacks become question marks.
pub fn to_datum(text: &str) -> pg_sys::Datum {
    let (utf8, ascii) = (pg_sys::pg_enc::PG_UTF8 as i32, pg_sys::pg_enc::PG_SQL_ASCII as i32);
    let bytes = if text.is_ascii() || encoding() == utf8 || encoding() == ascii {
        Cow::Borrowed(text.as_bytes())
    } else {
        let plain = || text.chars().map(|c| if c.is_ascii() { c as u8 } else { b'?' }).collect();
        Cow::Owned(convert(text.as_bytes(), utf8, encoding()).unwrap_or_else(plain))
    };
    // SAFETY: copies as many bytes as there are.
    unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32).into() }
}
