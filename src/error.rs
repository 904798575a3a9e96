//! The border for errors: each engine error becomes one SQLSTATE, with its message, detail and hint.
use logintel_core::Error;
use pgrx::pg_sys::panic::ErrorReport;
use pgrx::prelude::*;

/// The SQLSTATE of an engine error.
fn sqlstate(error: &Error) -> PgSqlErrorCode {
    use PgSqlErrorCode as S;
    match error {
        Error::VectorSyntax(_) => S::ERRCODE_INVALID_TEXT_REPRESENTATION,
        Error::VectorValueRange(_) | Error::VectorIndexRange(_) | Error::VectorOverflow(_) => {
            S::ERRCODE_NUMERIC_VALUE_OUT_OF_RANGE
        }
        Error::VectorTooDense | Error::Memory { .. } | Error::ModelTooLarge { .. } => {
            S::ERRCODE_PROGRAM_LIMIT_EXCEEDED
        }
        Error::Corrupt { .. } => S::ERRCODE_INVALID_BINARY_REPRESENTATION,
        Error::FormatVersion { .. } => S::ERRCODE_FEATURE_NOT_SUPPORTED,
        Error::UnknownOption { .. } | Error::OptionValue { .. } | Error::DocumentFrequencies => {
            S::ERRCODE_INVALID_PARAMETER_VALUE
        }
        Error::Canceled => S::ERRCODE_QUERY_CANCELED,
        _ => S::ERRCODE_DATA_EXCEPTION,
    }
}

/// Raises an engine error as a PostgreSQL ERROR.
pub fn raise(error: &Error) -> ! {
    let mut report = ErrorReport::new(sqlstate(error), error.to_string(), "logintel");
    if let Some(detail) = error.detail() {
        report = report.set_detail(detail);
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("ereport(ERROR) does not return")
}

/// Unwraps what the engine returned, or raises its error.
pub trait OrRaise<T> {
    /// The value, or a PostgreSQL ERROR.
    fn or_raise(self) -> T;
}

impl<T> OrRaise<T> for logintel_core::Result<T> {
    fn or_raise(self) -> T {
        self.unwrap_or_else(|error| raise(&error))
    }
}

/// Gives a WARNING: message and hint.
pub fn warn(message: impl Into<String>, hint: impl Into<String>) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, message.into(), "logintel")
        .set_hint(hint)
        .report(PgLogLevel::WARNING);
}

/// Raises an ERROR of the surface's own: SQLSTATE, message and hint.
pub fn fail(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) -> ! {
    let mut report = ErrorReport::new(code, message.into(), "logintel");
    if !hint.is_empty() {
        report = report.set_hint(hint);
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("ereport(ERROR) does not return")
}
