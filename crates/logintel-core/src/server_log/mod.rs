//! The log that PostgreSQL writes about itself, in its two formats for programs: csvlog and jsonlog.
//!
//! What a quoted field or a JSON string means is read by packages made for it. What is ours is to follow a file that is
//! still being written, and that a crash may have torn: which bytes are a whole record, where the next one begins
//! after what is none, and how far the file has been read. The records found do not depend on how much of the file was there
//! at which look (tested by cutting it anywhere).
//!
//! | module | question it answers |
//! |---|---|
//! | [`frame`] | where does a record end, and could this be one |
//! | [`record`] | what does a record say |
//! | [`read`] | which records follow a position of a file |
//! | [`name`] | which files are there to read |
//! | [`echo`] | did logintel itself cause a record |

pub mod echo;
pub mod frame;
pub mod name;
pub mod read;
pub mod record;

pub use frame::Format;
pub use read::{Item, Reader, Source};
pub use record::{LogTime, Record};

/// The checksum by which the beginning of a file is known again (CRC-32).
pub fn checksum(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes)
}

#[cfg(test)]
mod tests;
