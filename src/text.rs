//! Text in the server's encoding, and UTF-8 here.
//!
//! Log lines come as they are: bytes that are no text in the server's encoding become U+FFFD instead of an error.
use std::borrow::Cow;
use std::cmp::Ordering;
use std::ffi::{CStr, CString};

use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::datum::UnboxDatum;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::{FromDatum, IntoDatum, PgSqlErrorCode};

use crate::error::fail;

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

// SAFETY: a datum of a text type becomes a value of its own.
unsafe impl UnboxDatum for Text {
    type As<'src> = Text;

    unsafe fn unbox<'src>(datum: pgrx::datum::Datum<'src>) -> Self::As<'src>
    where
        Self: 'src,
    {
        // SAFETY: the caller gives a datum of a text type.
        unsafe { with_text(datum.sans_lifetime(), |text| Text(text.to_owned())) }
    }
}

// SAFETY: reads a text argument.
unsafe impl<'fcx> ArgAbi<'fcx> for Text {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        let index = arg.index();
        // SAFETY: the caller gives a text argument.
        unsafe { arg.unbox_arg_using_from_datum() }
            .unwrap_or_else(|| panic!("argument {index} must not be null"))
    }
}

// SAFETY: the datum is a text in the caller's memory context.
unsafe impl BoxRet for Text {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: as above.
        unsafe { fcinfo.return_raw_datum(to_datum(&self.0)) }
    }
}

// SAFETY: it is the SQL type text.
unsafe impl SqlTranslatable for Text {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Text);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("text"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("text")));
}

impl From<Cow<'_, str>> for Text {
    fn from(text: Cow<'_, str>) -> Self {
        Text(text.into_owned())
    }
}

impl std::ops::Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        &self.0
    }
}

/// Lends the text of a datum without copying it where the server's encoding is UTF-8.
///
/// # Safety
/// The datum is a non-NULL value of a text type, or a varlena whose bytes are text.
pub unsafe fn with_text<T>(datum: pg_sys::Datum, use_it: impl FnOnce(&str) -> T) -> T {
    // SAFETY: detoasting gives a varlena whose bytes live until it is freed below.
    unsafe {
        if let Some(bytes) = plain_bytes(datum) {
            return use_it(&to_utf8(bytes));
        }
        let plain = pg_sys::pg_detoast_datum_packed(datum.cast_mut_ptr());
        let result = use_it(&to_utf8(pgrx::varlena_to_byte_slice(plain)));
        pg_sys::pfree(plain.cast());
        result
    }
}

/// The text of a datum, lent where it is stored as UTF-8 and neither compressed nor elsewhere.
///
/// # Safety
/// As [`with_text`], and what the datum points to lives and stays as it is for `'a`.
pub unsafe fn lend_text<'a>(datum: pg_sys::Datum) -> Cow<'a, str> {
    // SAFETY: the caller's.
    unsafe { plain_bytes(datum).map_or_else(|| Cow::Owned(with_text(datum, str::to_owned)), to_utf8) }
}

/// The bytes of a varlena that needs no detoasting, which most are in no need of: nothing of PostgreSQL's is called.
///
/// # Safety
/// The datum is a varlena that lives for `'a`.
pub unsafe fn plain_bytes<'a>(datum: pg_sys::Datum) -> Option<&'a [u8]> {
    // SAFETY: the header says which kind it is.
    unsafe {
        let stored: *const pg_sys::varlena = datum.cast_mut_ptr();
        let is_short = pgrx::varatt_is_1b(stored) && !pgrx::varatt_is_1b_e(stored);
        (is_short || pgrx::varatt_is_4b_u(stored)).then(|| pgrx::varlena_to_byte_slice(stored))
    }
}

fn encoding() -> i32 {
    // SAFETY: reads a global.
    unsafe { pg_sys::GetDatabaseEncoding() }
}

/// Whether the server's text is in another encoding than UTF-8; where nobody says which it is, it is taken for that.
pub fn is_converted() -> bool {
    let same = [pg_sys::pg_enc::PG_UTF8, pg_sys::pg_enc::PG_SQL_ASCII];
    !same.contains(&(encoding() as pg_sys::pg_enc::Type))
}

/// Text of the server as UTF-8.
pub fn to_utf8(bytes: &[u8]) -> Cow<'_, str> {
    if bytes.is_ascii() {
        // SAFETY: ASCII is UTF-8.
        return Cow::Borrowed(unsafe { std::str::from_utf8_unchecked(bytes) });
    }
    if !is_converted() {
        // The check alone takes many bytes at a time; what replaces characters goes one by one.
        return std::str::from_utf8(bytes).map_or_else(|_| String::from_utf8_lossy(bytes), Cow::Borrowed);
    }
    let plain = || bytes.iter().map(|&b| if b.is_ascii() { char::from(b) } else { '\u{fffd}' }).collect();
    Cow::Owned(
        convert(bytes, encoding(), pg_sys::pg_enc::PG_UTF8 as i32)
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

/// UTF-8 in the server's encoding; characters that it lacks become question marks.
pub fn to_server(text: &str) -> Cow<'_, [u8]> {
    if text.is_ascii() || !is_converted() {
        return Cow::Borrowed(text.as_bytes());
    }
    let utf8 = pg_sys::pg_enc::PG_UTF8 as i32;
    let each = || {
        let one = |c: char| convert(c.encode_utf8(&mut [0; 4]).as_bytes(), utf8, encoding());
        text.chars().flat_map(|c| one(c).unwrap_or_else(|| vec![b'?'])).collect()
    };
    Cow::Owned(convert(text.as_bytes(), utf8, encoding()).unwrap_or_else(each))
}

/// UTF-8 as a text datum of the server.
pub fn to_datum(text: &str) -> pg_sys::Datum {
    let bytes = to_server(text);
    // SAFETY: copies as many bytes as there are.
    unsafe { pg_sys::cstring_to_text_with_len(bytes.as_ptr().cast(), bytes.len() as i32).into() }
}

/// The order of texts in the database's collation, as `ORDER BY` has it.
pub fn by_name(a: &str, b: &str) -> Ordering {
    let (a, b) = (to_server(a), to_server(b));
    let length = |text: &[u8]| i32::try_from(text.len()).unwrap_or(i32::MAX);
    // SAFETY: both are as long as is said.
    let order = unsafe {
        pg_sys::varstr_cmp(
            a.as_ptr().cast(),
            length(&a),
            b.as_ptr().cast(),
            length(&b),
            pg_sys::DEFAULT_COLLATION_OID,
        )
    };
    order.cmp(&0)
}

/// UTF-8 as a C string of the server; `None` where it holds a zero byte.
pub fn to_c_string(text: &str) -> Option<CString> {
    CString::new(to_server(text)).ok()
}

/// A C string of the server.
///
/// # Safety
/// The pointer is to a C string.
pub unsafe fn from_c_string(text: *const std::ffi::c_char) -> String {
    // SAFETY: the caller's.
    to_utf8(unsafe { CStr::from_ptr(text) }.to_bytes()).into_owned()
}

/// A name from the catalogs.
pub fn from_name(name: &pg_sys::NameData) -> String {
    // SAFETY: a name ends in a zero byte.
    unsafe { from_c_string(name.data.as_ptr()) }
}

/// The name of a relation.
pub fn relation_name(relation: &pgrx::PgRelation) -> String {
    // SAFETY: the relation is open.
    unsafe { from_name(&(*relation.rd_rel).relname) }
}

/// A jsonb, whose text is in the server's encoding.
#[derive(Debug)]
pub struct Jsonb(pub serde_json::Value);

impl FromDatum for Jsonb {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        if is_null {
            return None;
        }
        // SAFETY: jsonb_out takes a jsonb and gives a C string.
        unsafe {
            let (mut output, mut is_varlena) = (pg_sys::Oid::INVALID, false);
            pg_sys::getTypeOutputInfo(pg_sys::JSONBOID, &raw mut output, &raw mut is_varlena);
            let text = pg_sys::OidOutputFunctionCall(output, datum);
            let json = serde_json::from_str(&from_c_string(text));
            pg_sys::pfree(text.cast());
            Some(Jsonb(json.unwrap_or_else(|error| {
                // A number that no float64 holds is the one thing that jsonb has and JSON here has not.
                fail(
                    PgSqlErrorCode::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE,
                    format!("jsonb cannot be read: {error}"),
                    "Its numbers must fit double precision.",
                )
            })))
        }
    }
}

impl IntoDatum for Jsonb {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        let text = to_c_string(&self.0.to_string())?;
        // SAFETY: jsonb_in takes a C string.
        unsafe {
            let (mut input, mut parameter) = (pg_sys::Oid::INVALID, pg_sys::Oid::INVALID);
            pg_sys::getTypeInputInfo(pg_sys::JSONBOID, &raw mut input, &raw mut parameter);
            Some(pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, -1))
        }
    }

    fn type_oid() -> pg_sys::Oid {
        pg_sys::JSONBOID
    }
}

// SAFETY: reads a jsonb argument.
unsafe impl<'fcx> ArgAbi<'fcx> for Jsonb {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        let index = arg.index();
        // SAFETY: the caller gives a jsonb argument.
        unsafe { arg.unbox_arg_using_from_datum() }
            .unwrap_or_else(|| panic!("argument {index} must not be null"))
    }
}

// SAFETY: it is the SQL type jsonb.
unsafe impl SqlTranslatable for Jsonb {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Jsonb);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}
