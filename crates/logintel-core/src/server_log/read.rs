//! Which records follow a position of a file that is still being written.
//!
//! A position is the beginning of a record, or of bytes that are none. Whatever is whole is read; the last record waits until all of
//! it is there. Bytes that are no record are passed over up to the next position from which a record can be read,
//! and counted.

use std::io;

use super::frame::{Format, Framed, Framer};
use super::record::{MAX_START, Record, starts};

/// Bytes read at once.
const BLOCK: usize = 64 << 10;

/// Bytes of a file.
pub trait Source {
    /// Reads bytes from an offset; 0 where the file ends.
    ///
    /// # Errors
    /// Those of the file.
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize>;
}

/// What is found at a position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Item {
    /// A record.
    Record(Box<Record>),
    /// So many bytes that are none.
    Broken(u64),
}

/// Reads a file from a position on.
#[derive(Debug)]
pub struct Reader<S> {
    window: Window<S>,
    format: Format,
    framer: Framer,
    position: u64,
}

/// What stands at a position.
enum Attempt {
    Record(Box<Record>, u64),
    /// The beginning of a record, or nothing yet.
    Unfinished,
    Broken,
}

impl<S: Source> Reader<S> {
    /// From a position that another reader has come to; 0 is the beginning.
    pub fn new(source: S, format: Format, position: u64) -> Self {
        let window = Window { source, bytes: Vec::new(), base: 0 };
        Reader { window, format, framer: Framer::new(format), position }
    }

    /// Where it goes on: all before is done with.
    pub fn position(&self) -> u64 {
        self.position
    }

    /// What it reads from.
    pub fn source(&self) -> &S {
        &self.window.source
    }

    /// Goes from anywhere in a file to the next record.
    ///
    /// # Errors
    /// Those of the file.
    pub fn synchronize(&mut self) -> io::Result<()> {
        self.position = self.next_start(self.position)?;
        Ok(())
    }

    /// What comes next; `None` where nothing more is whole.
    ///
    /// # Errors
    /// Those of the file.
    pub fn next_item(&mut self) -> io::Result<Option<Item>> {
        match self.attempt(self.position)? {
            Attempt::Unfinished => Ok(None),
            Attempt::Record(record, length) => {
                self.position += length;
                Ok(Some(Item::Record(record)))
            }
            Attempt::Broken => {
                let next = self.next_start(self.position + 1)?;
                let skipped = next - self.position;
                self.position = next;
                Ok(Some(Item::Broken(skipped)))
            }
        }
    }

    /// Passes over what is left in a file that nobody writes any more: the beginning of a record that has no end. Returns how
    /// many bytes.
    ///
    /// # Errors
    /// Those of the file.
    pub fn pass_over_rest(&mut self) -> io::Result<u64> {
        let end = self.window.end(self.position)?;
        Ok(end - std::mem::replace(&mut self.position, end))
    }

    fn attempt(&mut self, position: u64) -> io::Result<Attempt> {
        self.framer.reset();
        loop {
            let bytes = self.window.at(position + self.framer.length(), 1)?;
            if bytes.is_empty() {
                return Ok(Attempt::Unfinished);
            }
            match self.framer.push(bytes) {
                Framed::More => {}
                Framed::Broken => return Ok(Attempt::Broken),
                Framed::Record => {
                    return Ok(Record::parse(self.format, self.framer.kept())
                        .map_or(Attempt::Broken, |record| {
                            Attempt::Record(Box::new(record), self.framer.length())
                        }));
                }
            }
        }
    }

    /// The first position from `from` on where a record stands or may begin; where there is none, one so near the file's end
    /// that the beginning of one may be cut off there.
    fn next_start(&mut self, mut from: u64) -> io::Result<u64> {
        loop {
            let bytes = self.window.at(from, MAX_START)?;
            if let Some(found) = starts(self.format).find(bytes) {
                from += found.start() as u64;
                if !matches!(self.attempt(from)?, Attempt::Broken) {
                    return Ok(from);
                }
                from += 1;
            } else if bytes.len() < MAX_START {
                return Ok(from);
            } else {
                from += (bytes.len() - (MAX_START - 1)) as u64;
            }
        }
    }
}

/// The part of a file that is in memory.
#[derive(Debug)]
struct Window<S> {
    source: S,
    bytes: Vec<u8>,
    base: u64,
}

impl<S: Source> Window<S> {
    /// Bytes from an offset on; fewer than `least` only where the file ends.
    fn at(&mut self, offset: u64, least: usize) -> io::Result<&[u8]> {
        let skip = offset.checked_sub(self.base).and_then(|skip| usize::try_from(skip).ok());
        if let Some(skip) = skip.filter(|&skip| skip.saturating_add(least) <= self.bytes.len()) {
            return Ok(&self.bytes[skip..]);
        }
        self.base = offset;
        self.bytes.resize(BLOCK, 0);
        let mut filled = 0;
        while filled < BLOCK {
            match self.source.read_at(offset + filled as u64, &mut self.bytes[filled..]) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    self.bytes.clear();
                    return Err(error);
                }
            }
        }
        self.bytes.truncate(filled);
        Ok(&self.bytes)
    }

    /// Where the file ends.
    fn end(&mut self, mut offset: u64) -> io::Result<u64> {
        loop {
            let read = self.at(offset, 1)?.len() as u64;
            if read == 0 {
                return Ok(offset);
            }
            offset += read;
        }
    }
}
