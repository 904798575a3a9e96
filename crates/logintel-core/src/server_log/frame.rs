//! Where a record ends: a machine that takes bytes as they come, in pieces of any size.
//!
//! It is stricter than readers of CSV and JSON are. PostgreSQL writes a quote only around a whole field, doubles those inside,
//! and leaves nothing between a closing quote and the comma; so where a crash has cut a record and the next one follows,
//! the first quote that comes shows it. Quotes inside a message are doubled (or escaped), so that no message can
//! look like a record.
//!
//! Long fields are cut as they pass, so that a statement of a gigabyte costs no memory.

/// Most bytes of a field that are kept, as they are written.
pub const MAX_FIELD: usize = 8192;
/// Fields of csvlog since PostgreSQL 14, and as many as a later version may have.
const FIELDS: std::ops::RangeInclusive<usize> = 26..=32;
/// Longest field without quotes: numbers, times, a level.
const MAX_BARE: usize = 128;
/// Most bytes kept of a record; what has more is none.
const MAX_RECORD: usize = 64 * MAX_FIELD;

/// How the server writes its log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Comma-separated values; a field may span lines.
    Csv,
    /// An object in each line.
    Json,
}

impl Format {
    /// That of a file, by its name.
    pub fn of(file_name: &str) -> Format {
        if file_name.strip_suffix(".json").is_some() { Format::Json } else { Format::Csv }
    }
}

/// What became of the bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framed {
    /// They are, so far, the beginning of a record.
    More,
    /// They end a record.
    Record,
    /// They are no record, whatever comes.
    Broken,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first byte of a field, or of the object.
    Start,
    /// Outside quotes.
    Bare,
    /// Inside quotes.
    Quoted,
    /// After a quote inside quotes: the end of the field, or the first of two.
    Quote,
    /// After a backslash in a JSON string.
    Escape,
    /// So many hexadecimal digits of an escape are missing.
    Digits(u8),
}

/// One record, as far as it has come.
#[derive(Debug)]
pub struct Framer {
    format: Format,
    state: State,
    kept: Vec<u8>,
    /// Bytes kept of the field at hand.
    field: usize,
    /// Whether what belongs together is being left out as a whole.
    is_cut: bool,
    /// Fields begun.
    fields: usize,
    length: u64,
}

impl Framer {
    /// At the beginning of a record.
    pub fn new(format: Format) -> Self {
        Framer {
            format,
            state: State::Start,
            kept: Vec::new(),
            field: 0,
            is_cut: false,
            fields: 1,
            length: 0,
        }
    }

    /// Begins another record.
    pub fn reset(&mut self) {
        self.kept.clear();
        (self.state, self.field, self.is_cut, self.fields, self.length) = (State::Start, 0, false, 1, 0);
    }

    /// Bytes taken since the beginning, the line's end included.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// The record with its long fields cut, as it is written.
    pub fn kept(&self) -> &[u8] {
        &self.kept
    }

    /// Takes bytes up to the end of the record.
    pub fn push(&mut self, bytes: &[u8]) -> Framed {
        for &byte in bytes {
            self.length += 1;
            let framed = match self.format {
                Format::Csv => self.csv(byte),
                Format::Json => self.json(byte),
            };
            if framed != Framed::More {
                return framed;
            }
            if self.kept.len() > MAX_RECORD {
                return Framed::Broken;
            }
        }
        Framed::More
    }

    fn csv(&mut self, byte: u8) -> Framed {
        match (self.state, byte) {
            (State::Start | State::Bare | State::Quote, b',') => {
                self.kept.push(byte);
                (self.state, self.field) = (State::Start, 0);
                self.fields += 1;
                if self.fields > *FIELDS.end() {
                    return Framed::Broken;
                }
            }
            (State::Start | State::Bare | State::Quote, b'\n') => {
                self.kept.push(byte);
                return if FIELDS.contains(&self.fields) { Framed::Record } else { Framed::Broken };
            }
            (State::Start, b'"') => {
                self.kept.push(byte);
                self.state = State::Quoted;
            }
            (State::Start | State::Bare, _) if byte != b'"' && self.field < MAX_BARE => {
                self.state = State::Bare;
                self.keep(byte);
            }
            (State::Quoted, b'"') => {
                // Kept for the end of the field; where it is the first of two, both go or both stay.
                self.is_cut = self.field >= MAX_FIELD;
                self.kept.push(byte);
                self.state = State::Quote;
            }
            (State::Quote, b'"') => {
                if self.is_cut {
                    self.kept.pop();
                } else {
                    self.field += 2;
                    self.kept.push(byte);
                }
                self.state = State::Quoted;
            }
            (State::Quoted, _) => {
                if self.field < MAX_FIELD {
                    self.keep(byte);
                }
            }
            _ => return Framed::Broken,
        }
        Framed::More
    }

    fn json(&mut self, byte: u8) -> Framed {
        match (self.state, byte) {
            (State::Start, b'{') => {
                self.keep(byte);
                self.state = State::Bare;
            }
            (State::Bare, b'\n') => {
                self.kept.push(byte);
                return Framed::Record;
            }
            (State::Bare, _) if self.field < MAX_BARE => {
                self.keep(byte);
                if byte == b'"' {
                    (self.state, self.field) = (State::Quoted, 0);
                }
            }
            (State::Quoted, b'"') => {
                self.kept.push(byte);
                (self.state, self.field) = (State::Bare, 0);
            }
            (State::Quoted | State::Escape | State::Digits(_), b'\n') => return Framed::Broken,
            (State::Quoted, b'\\') => {
                // An escape goes or stays as a whole.
                self.is_cut = self.field >= MAX_FIELD;
                self.keep_escape(byte);
                self.state = State::Escape;
            }
            (State::Quoted, _) => {
                if self.field < MAX_FIELD {
                    self.keep(byte);
                }
            }
            (State::Escape, _) => {
                self.keep_escape(byte);
                self.state = if byte == b'u' { State::Digits(4) } else { State::Quoted };
            }
            (State::Digits(missing), _) if byte.is_ascii_hexdigit() => {
                self.keep_escape(byte);
                self.state = if missing == 1 { State::Quoted } else { State::Digits(missing - 1) };
            }
            _ => return Framed::Broken,
        }
        Framed::More
    }

    fn keep(&mut self, byte: u8) {
        self.field += 1;
        self.kept.push(byte);
    }

    fn keep_escape(&mut self, byte: u8) {
        if !self.is_cut {
            self.keep(byte);
        }
    }
}
