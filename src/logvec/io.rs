//! `logvec` in and out: text, binary and the type modifier. Declared in `sql/logvec_type.sql`.
use std::ffi::{CStr, CString};

use logintel_core::limits::MAX_DIM;
use logintel_core::{Error, wire};
use pgrx::prelude::*;
use pgrx::{Internal, pg_sys};

use super::LogVec;
use crate::error::{OrRaise, fail, raise};

/// That a vector has the dimensions its column or cast asks for; a negative modifier asks for none.
fn check_typmod(dim: u32, typmod: i32) {
    if let Ok(expected) = u32::try_from(typmod)
        && expected != dim
    {
        raise(&Error::VectorExpected { expected, found: dim });
    }
}

#[pg_extern(sql = false)]
fn logvec_in(literal: &CStr, _element: pg_sys::Oid, typmod: i32) -> LogVec<'static> {
    let vector: logintel_core::sparse::SparseVec = literal.to_string_lossy().parse().or_raise();
    check_typmod(vector.dim, typmod);
    vector.into()
}

#[pg_extern(sql = false)]
fn logvec_out(vector: LogVec<'_>) -> CString {
    CString::new(vector.as_ref().to_string()).expect("a literal has no zero byte")
}

#[pg_extern(sql = false)]
fn logvec_recv(mut message: Internal, _element: pg_sys::Oid, typmod: i32) -> LogVec<'static> {
    // SAFETY: PostgreSQL calls a receive function with a StringInfo.
    let Some(message) = (unsafe { message.get_mut::<pg_sys::StringInfoData>() }) else {
        raise(&super::corrupt("there is no message"));
    };
    // SAFETY: the cursor is within the message, and the rest of it belongs to this value.
    let bytes = unsafe {
        std::slice::from_raw_parts(
            message.data.cast::<u8>().add(message.cursor as usize),
            (message.len - message.cursor) as usize,
        )
    };
    let vector = wire::decode(bytes).or_raise();
    message.cursor = message.len;
    check_typmod(vector.dim, typmod);
    vector.into()
}

#[pg_extern(sql = false)]
fn logvec_send(vector: LogVec<'_>) -> Vec<u8> {
    wire::encode(vector.as_ref())
}

#[pg_extern(sql = false)]
fn logvec_typmod_in(modifiers: Array<'_, &CStr>) -> i32 {
    let invalid = |message: String| -> ! {
        let hint = "Write logvec, or logvec(n) with the number of dimensions.";
        fail(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, hint)
    };
    let mut modifiers = modifiers.iter().flatten();
    let (Some(modifier), None) = (modifiers.next(), modifiers.next()) else {
        invalid("type logvec takes one modifier, its dimensions".to_owned());
    };
    let modifier = modifier.to_string_lossy();
    match modifier.parse::<u32>() {
        Ok(dim @ 1..=MAX_DIM) => dim as i32,
        _ => invalid(format!("dimensions for type logvec must be between 1 and {MAX_DIM}, not {modifier}")),
    }
}

/// The length coercion: without it a modifier would not be enforced on assignment.
#[pg_extern(sql = false)]
fn logvec_enforce_typmod(vector: LogVec<'_>, typmod: i32, _explicit: bool) -> LogVec<'_> {
    check_typmod(vector.as_ref().dim, typmod);
    vector
}
