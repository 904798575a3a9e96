//! What has come since the last time.
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use logintel_core::server_log::echo::{Origin, origin};
use logintel_core::server_log::{Format, Item, Reader, Record, Source};
use pgrx::prelude::*;

use super::files::{Found, Problem, Setup};
use super::store::{self, Known};
use crate::error::fail;

/// Records that one transaction takes in.
const BATCH_RECORDS: usize = 2000;
/// Bytes of the file that one transaction takes in, unless a single record is longer.
const BATCH_BYTES: u64 = 4 << 20;
/// The same for one tick.
const TICK_RECORDS: usize = 50_000;
const TICK_BYTES: u64 = 32 << 20;
/// Where a log is followed for the first time, so much of the present file is read.
const FIRST_BYTES: u64 = 16 << 20;
/// Bytes by which a file is known again: its first records hold times and processes.
const HEAD: u64 = 4096;

/// A file of the log, read where it is asked to.
struct LogFile(File);

impl Source for LogFile {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        pgrx::check_for_interrupts!();
        self.0.read_at(buffer, offset)
    }
}

/// Takes in what has come, a batch in each call of [`Follower::step`].
pub struct Follower {
    files: std::vec::IntoIter<Found>,
    file: Option<Found>,
    records: usize,
    bytes: u64,
    is_stored: bool,
    problem: Option<Problem>,
    /// Whether others have written so much that lines of the checkpointer are no news of our own writes.
    is_busy: bool,
}

/// What a batch has taken in.
#[derive(Default)]
struct Batch {
    kept: Vec<Record>,
    own: u64,
    broken: u64,
    has_news: bool,
    is_at_end: bool,
}

impl Follower {
    /// Looks which files there are. In a transaction.
    ///
    /// # Errors
    /// What keeps the log from being followed.
    pub fn begin(is_busy: bool) -> Result<Self, Problem> {
        let known = store::known();
        // All but the present file have been finished.
        let followed = known.iter().find(|known| !known.is_finished).map(|known| Format::of(&known.path));
        let setup = Setup::read(followed)?;
        let files = setup.list(known.iter().map(|known| known.path.clone()))?;
        let is_first = known.is_empty();
        let there: HashSet<&str> = files.iter().map(|file| file.path.as_str()).collect();
        known.iter().filter(|known| !there.contains(known.path.as_str())).for_each(store::forget);
        if is_first {
            files.iter().for_each(begin_at_end);
        }
        // However many old files there are, they cost no transaction.
        let known: HashMap<&str, &Known> = known.iter().map(|known| (known.path.as_str(), known)).collect();
        let is_read = |file: &Found| known.get(file.path.as_str()).is_some_and(|known| is_read(file, known));
        let files = files.into_iter().filter(|file| !is_read(file)).collect::<Vec<_>>().into_iter();
        Ok(Follower { files, file: None, records: 0, bytes: 0, is_stored: false, problem: None, is_busy })
    }

    /// Whether anything was stored, and which file could not be read.
    pub fn end(self) -> (bool, Option<Problem>) {
        (self.is_stored, self.problem)
    }

    /// Takes in the next batch, in a transaction; false when all is read, or enough for one tick. A file that cannot be read
    /// keeps no other from being read.
    pub fn step(&mut self) -> bool {
        if self.records >= TICK_RECORDS || self.bytes >= TICK_BYTES {
            return false;
        }
        let Some(file) = self.file.take().or_else(|| self.files.next()) else { return false };
        match self.read(&file) {
            Ok(true) => {}
            Ok(false) => self.file = Some(file),
            Err(error) => self.problem = Some(Problem::of_file(&file.path, &error)),
        }
        true
    }

    /// Takes in a batch of a file; whether that is all of it.
    fn read(&mut self, file: &Found) -> io::Result<bool> {
        let known = store::find(&file.path);
        if is_read(file, &known) {
            return Ok(true);
        }
        let opened = match File::open(&file.path) {
            // Removed since it was listed.
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(true),
            opened => opened?,
        };
        // The server may write a file of the same name anew (log_truncate_on_rotation).
        let is_same = opened.metadata()?.len() >= known.position
            && head(&opened, known.head_length)? == known.head_checksum;
        let position = if is_same { known.position } else { 0 };
        let mut reader = Reader::new(LogFile(opened), file.format, position);
        let mut batch = read_batch(&mut reader)?;
        self.records += batch.kept.len() + batch.own as usize;
        self.bytes += reader.position() - position;
        let is_news = batch.has_news || self.is_busy && !batch.kept.is_empty();
        if batch.is_at_end && file.is_current && !is_news {
            // Nothing but what logintel has caused: it waits for other lines, and is read again.
            return Ok(true);
        }
        let is_finished = batch.is_at_end && !file.is_current;
        if is_finished {
            batch.broken += reader.pass_over_rest()?;
        }
        let (position, opened) = (reader.position(), &reader.source().0);
        let head_length = position.min(HEAD);
        let next = Known {
            path: file.path.clone(),
            position,
            head_length,
            head_checksum: head(opened, head_length)?,
            is_finished,
        };
        let stored = store::insert(&batch.kept);
        let left_out = batch.own + (batch.kept.len() as u64 - stored);
        if !store::advance(&known, &next, stored, left_out, batch.broken) {
            fail(
                PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
                format!("another process reads \"{}\"", file.path),
                "This one tries again at its next tick.",
            );
        }
        self.is_stored |= stored > 0;
        Ok(batch.is_at_end)
    }
}

/// Whether nothing has come to a file since it was read.
fn is_read(file: &Found, known: &Known) -> bool {
    known.position == file.size && (known.is_finished || file.is_current)
}

/// Reads as much as one transaction takes.
fn read_batch(reader: &mut Reader<LogFile>) -> io::Result<Batch> {
    let mut batch = Batch::default();
    let begin = reader.position();
    while batch.kept.len() + (batch.own as usize) < BATCH_RECORDS && reader.position() - begin < BATCH_BYTES {
        match reader.next_item()? {
            None => {
                batch.is_at_end = true;
                break;
            }
            Some(Item::Broken(bytes)) => {
                batch.broken += bytes;
                batch.has_news = true;
            }
            Some(Item::Record(record)) => match origin(&record) {
                Origin::Own => batch.own += 1,
                origin => {
                    batch.has_news |= origin == Origin::Other;
                    batch.kept.push(*record);
                }
            },
        }
    }
    Ok(batch)
}

/// Begins to follow: older files are passed over, and so is all but the end of the present one.
fn begin_at_end(file: &Found) {
    let passed = Known { position: file.size, is_finished: true, ..Known::new(&file.path) };
    let begin = if file.is_current { near_end(file) } else { Ok(passed) };
    // One that cannot be read is tried again, and told of, by `read`.
    if let Ok(begin) = begin {
        store::advance(&Known::new(&file.path), &begin, 0, 0, 0);
    }
}

/// The beginning of a record not far before a file's end.
fn near_end(file: &Found) -> io::Result<Known> {
    let from = file.size.saturating_sub(FIRST_BYTES);
    let mut reader = Reader::new(LogFile(File::open(&file.path)?), file.format, from);
    if from > 0 {
        reader.synchronize()?;
    }
    let position = reader.position();
    let head_length = position.min(HEAD);
    let head_checksum = head(&reader.source().0, head_length)?;
    Ok(Known { position, head_length, head_checksum, ..Known::new(&file.path) })
}

/// The checksum of a file's first bytes.
fn head(file: &File, length: u64) -> io::Result<u32> {
    let mut bytes = vec![0; length as usize];
    match file.read_exact_at(&mut bytes, 0) {
        // Truncated since.
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(0),
        result => result.map(|()| logintel_core::server_log::checksum(&bytes)),
    }
}
