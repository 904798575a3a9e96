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
        Error::VectorTooDense
        | Error::Memory { .. }
        | Error::TooMany { .. }
        | Error::ModelTooLarge { .. }
        | Error::MessageTooLong => S::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
        Error::Corrupt { .. } => S::ERRCODE_INVALID_BINARY_REPRESENTATION,
        Error::FormatVersion { .. } => S::ERRCODE_FEATURE_NOT_SUPPORTED,
        Error::UnknownOption { .. } | Error::OptionValue { .. } | Error::DocumentFrequencies => {
            S::ERRCODE_INVALID_PARAMETER_VALUE
        }
        Error::SuppressionPattern(_) => S::ERRCODE_INVALID_REGULAR_EXPRESSION,
        Error::Canceled => S::ERRCODE_QUERY_CANCELED,
        _ => S::ERRCODE_DATA_EXCEPTION,
    }
}

/// A message in characters that every server encoding has: PostgreSQL takes it for text in its own.
fn plain(text: impl Into<String>) -> String {
    let text = text.into();
    // SAFETY: reads a global.
    let is_utf8 = unsafe { pgrx::pg_sys::GetDatabaseEncoding() == pgrx::pg_sys::pg_enc::PG_UTF8 as i32 };
    if is_utf8 || text.is_ascii() {
        return text;
    }
    text.chars().map(|c| if c.is_ascii() { c } else { '?' }).collect()
}

/// Raises an engine error as a PostgreSQL ERROR.
pub fn raise(error: &Error) -> ! {
    let mut report = ErrorReport::new(sqlstate(error), plain(error.to_string()), "logintel");
    if let Some(detail) = error.detail() {
        report = report.set_detail(plain(detail));
    }
    if let Some(hint) = error.hint() {
        report = report.set_hint(plain(hint));
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
    ErrorReport::new(PgSqlErrorCode::ERRCODE_WARNING, plain(message), "logintel")
        .set_hint(plain(hint))
        .report(PgLogLevel::WARNING);
}

/// Gives a NOTICE.
pub fn notice(message: impl Into<String>) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, plain(message), "logintel")
        .report(PgLogLevel::NOTICE);
}

/// Gives a NOTICE with a hint.
pub fn advise(message: impl Into<String>, hint: &str) {
    ErrorReport::new(PgSqlErrorCode::ERRCODE_SUCCESSFUL_COMPLETION, plain(message), "logintel")
        .set_hint(plain(hint))
        .report(PgLogLevel::NOTICE);
}

/// Raises an ERROR of the surface's own: SQLSTATE, message and hint.
pub fn fail(code: PgSqlErrorCode, message: impl Into<String>, hint: &str) -> ! {
    fail_in_detail(code, message, "", hint)
}

/// The same with a detail between message and hint.
pub fn fail_in_detail(code: PgSqlErrorCode, message: impl Into<String>, detail: &str, hint: &str) -> ! {
    let mut report = ErrorReport::new(code, plain(message), "logintel");
    if !detail.is_empty() {
        report = report.set_detail(plain(detail));
    }
    if !hint.is_empty() {
        report = report.set_hint(plain(hint));
    }
    report.report(PgLogLevel::ERROR);
    unreachable!("ereport(ERROR) does not return")
}
