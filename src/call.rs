//! Functions that PostgreSQL calls with a bare `fcinfo`: where an argument is `internal`, the memory of a call site is
//! used, or a trigger is called, pgrx's conversion of arguments does not reach.
use pgrx::FromDatum;
use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::datum::TimestampWithTimeZone;
use pgrx::pg_sys;
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};

/// A result as a datum of the declared type, `None` for NULL.
#[derive(Debug)]
pub struct Raw(pub Option<pg_sys::Datum>);

// SAFETY: who makes one vouches for the datum.
unsafe impl BoxRet for Raw {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        match self.0 {
            // SAFETY: as above.
            Some(datum) => unsafe { fcinfo.return_raw_datum(datum) },
            None => fcinfo.return_null(),
        }
    }
}

// SAFETY: functions that return it are declared by hand, so that the type's name is never written.
unsafe impl SqlTranslatable for Raw {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(Raw);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("internal"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("internal")));
}

/// An argument of the running call, `None` for NULL.
///
/// # Safety
/// `fcinfo` is that of the running call, which has so many arguments.
pub unsafe fn argument(fcinfo: pg_sys::FunctionCallInfo, number: usize) -> Option<pg_sys::Datum> {
    // SAFETY: the caller's.
    unsafe {
        let argument = &*(*fcinfo).args.as_ptr().add(number);
        (!argument.isnull).then_some(argument.value)
    }
}

/// An argument of a STRICT function.
///
/// # Safety
/// As [`argument`].
pub unsafe fn given(fcinfo: pg_sys::FunctionCallInfo, number: usize) -> pg_sys::Datum {
    // SAFETY: the caller's.
    unsafe { argument(fcinfo, number) }
        .unwrap_or_else(|| panic!("argument {number} of a STRICT function is NULL"))
}

/// A text argument, `None` for NULL.
///
/// # Safety
/// As [`argument`], of a text type.
pub unsafe fn text_argument(fcinfo: pg_sys::FunctionCallInfo, number: usize) -> Option<String> {
    // SAFETY: the caller's.
    unsafe { argument(fcinfo, number).map(|datum| crate::text::with_text(datum, str::to_owned)) }
}

/// A time argument, `None` for NULL.
///
/// # Safety
/// As [`argument`], of type timestamptz.
pub unsafe fn time_argument(
    fcinfo: pg_sys::FunctionCallInfo,
    number: usize,
) -> Option<TimestampWithTimeZone> {
    // SAFETY: the caller's.
    unsafe { TimestampWithTimeZone::from_datum(argument(fcinfo, number)?, false) }
}
