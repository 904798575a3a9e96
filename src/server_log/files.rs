//! What the server writes, and where.
use std::ffi::{CStr, c_char};
use std::fs;
use std::io;
use std::time::SystemTime;

use logintel_core::server_log::Format;
use logintel_core::server_log::name::{self, Pattern};
use pgrx::pg_sys;

/// What keeps the log from being followed, and the way out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong.
    pub what: String,
    /// What to do.
    pub hint: String,
}

impl Problem {
    fn new(what: impl Into<String>, hint: impl Into<String>) -> Self {
        Problem { what: what.into(), hint: hint.into() }
    }

    pub(super) fn of_file(path: &str, error: &io::Error) -> Self {
        Problem::new(
            format!("cannot read \"{path}\": {error}"),
            "The server's user must be able to read the files that it writes.",
        )
    }
}

/// A file of the log.
#[derive(Debug, Clone)]
pub struct Found {
    /// Path from the data directory, as the server names it.
    pub path: String,
    /// Its length, bytes.
    pub size: u64,
    /// How it is written.
    pub format: Format,
    /// Whether the server may still write it.
    pub is_current: bool,
    modified: SystemTime,
}

/// How the server writes its log at the moment.
#[derive(Debug)]
pub struct Setup {
    directory: String,
    pattern: Pattern,
    current: Option<String>,
}

impl Setup {
    /// What the server's settings say. Where both formats are written, it is the one that has been followed, or csvlog.
    ///
    /// # Errors
    /// What is missing, as a [`Problem`].
    pub fn read(followed: Option<Format>) -> Result<Self, Problem> {
        // SAFETY: settings of the server, which this process only reads.
        let (collector, destination, directory, filename) = unsafe {
            (
                pg_sys::Logging_collector,
                pg_sys::Log_destination.cast_unsigned(),
                setting(pg_sys::Log_directory),
                setting(pg_sys::Log_filename),
            )
        };
        if !collector {
            return Err(Problem::new(
                "logging_collector is off",
                "Set logging_collector = on and log_destination = 'csvlog', and restart the server.",
            ));
        }
        let is_written = |&format: &Format| match format {
            Format::Csv => destination & pg_sys::LOG_DESTINATION_CSVLOG != 0,
            Format::Json => destination & pg_sys::LOG_DESTINATION_JSONLOG != 0,
        };
        let Some(format) = followed.into_iter().chain([Format::Csv, Format::Json]).find(is_written) else {
            return Err(Problem::new(
                "log_destination has neither csvlog nor jsonlog",
                "Set log_destination = 'csvlog', or add it to what is there, and reload the settings.",
            ));
        };
        // Read before the directory: a file that is not the present one by now is not written any more.
        let current = match fs::read("current_logfiles") {
            Ok(bytes) => name::current(&String::from_utf8_lossy(&bytes), format).map(str::to_owned),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(Problem::of_file("current_logfiles", &error)),
        };
        Ok(Setup { pattern: Pattern::new(&filename, format), directory, current })
    }

    /// The files that are there, in the order in which they were written: those that the settings name, and those known before.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn list(&self, known: impl Iterator<Item = String>) -> Result<Vec<Found>, Problem> {
        let entries =
            fs::read_dir(&self.directory).map_err(|error| Problem::of_file(&self.directory, &error))?;
        let named = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
        let named =
            named.filter(|name| self.pattern.matches(name)).map(|name| format!("{}/{name}", self.directory));
        let mut paths: Vec<String> = named.chain(known).chain(self.current.clone()).collect();
        paths.sort_unstable();
        paths.dedup();
        let mut found: Vec<Found> = paths.into_iter().filter_map(|path| self.find(path)).collect();
        found.sort_by(|a, b| (a.is_current, a.modified, &a.path).cmp(&(b.is_current, b.modified, &b.path)));
        Ok(found)
    }

    fn find(&self, path: String) -> Option<Found> {
        let data = fs::metadata(&path).ok().filter(fs::Metadata::is_file)?;
        let is_current = self.current.as_ref() == Some(&path);
        let modified = data.modified().unwrap_or(SystemTime::UNIX_EPOCH);
        Some(Found { size: data.len(), format: Format::of(&path), is_current, modified, path })
    }
}

/// # Safety
/// The pointer is NULL or to a C string.
unsafe fn setting(value: *const c_char) -> String {
    if value.is_null() {
        return String::new();
    }
    // SAFETY: the caller's.
    unsafe { CStr::from_ptr(value) }.to_string_lossy().into_owned()
}
