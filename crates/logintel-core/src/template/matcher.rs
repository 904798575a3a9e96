//! Which template a line has.

use std::hash::{BuildHasher, Hash, Hasher};

use hashbrown::{HashMap, HashTable};

use super::merge::{Numbers, VARIABLE_WORD};
use super::parse::{Line, VARIABLE, text};
use crate::control::{Control, Steps};
use crate::error::Result;
use crate::table::HASHER;

/// Shapes of one frame, a shape being which values vary; further templates are not matched.
pub(super) const MAX_SHAPES: usize = 256;
/// A word that no template has.
const UNKNOWN: u32 = u32::MAX;

/// Buffers of a caller's.
#[derive(Debug, Default)]
pub struct Scratch {
    line: Line,
    row: Vec<u32>,
}

/// Templates made ready to be found.
#[derive(Debug)]
pub struct Matcher {
    kinds: Vec<String>,
    words: Numbers,
    frames: HashMap<String, Frame, foldhash::fast::FixedState>,
}

#[derive(Debug, Default)]
struct Frame {
    /// From the least to the most variables.
    shapes: Vec<Shape>,
}

/// Templates in which the same values vary.
#[derive(Debug)]
struct Shape {
    /// Columns that vary.
    varying: Box<[u16]>,
    /// Templates by the hash of what does not vary.
    table: HashTable<Entry>,
}

#[derive(Debug)]
struct Entry {
    /// Kept, for a table that grows asks for it.
    hash: u64,
    row: Box<[u32]>,
    template: u32,
}

impl Matcher {
    /// Makes templates ready, which are known by their place; `kinds` are the names of the user's masks.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn new<'a>(
        kinds: Vec<String>,
        templates: impl Iterator<Item = &'a str>,
        control: &dyn Control,
    ) -> Result<Self> {
        let mut matcher =
            Matcher { kinds, words: Numbers::default(), frames: HashMap::with_hasher(HASHER.clone()) };
        let variable = matcher.words.number(VARIABLE.encode_utf8(&mut [0; 4]));
        debug_assert_eq!(variable, VARIABLE_WORD);
        let (mut line, mut steps) = (Line::default(), Steps::over_bytes(control));
        for (at, template) in templates.enumerate() {
            steps.pass(1 + template.len())?;
            line.read(template);
            let row = line.values().map(|value| matcher.words.number(value)).collect();
            matcher.insert(&line.frame, row, at as u32);
        }
        matcher.frames.values_mut().for_each(Frame::sort);
        Ok(matcher)
    }

    /// A masked message as the template of itself alone: with `<*>` for what the masks took out.
    pub fn alone(&self, masked: &str, scratch: &mut Scratch) -> String {
        let Scratch { line, .. } = scratch;
        line.parse(masked, &self.kinds);
        text(&line.frame, line.values())
    }

    fn insert(&mut self, frame: &str, row: Box<[u32]>, template: u32) {
        let frame = self.frames.entry_ref(frame).or_default();
        let varying: Box<[u16]> = columns(&row);
        let shape = match frame.shapes.iter().position(|shape| shape.varying == varying) {
            Some(shape) => shape,
            None if frame.shapes.len() >= MAX_SHAPES => return,
            None => {
                frame.shapes.push(Shape { varying, table: HashTable::new() });
                frame.shapes.len() - 1
            }
        };
        let hash = hash(row.iter().copied());
        let table = &mut frame.shapes[shape].table;
        if table.find(hash, |other| other.hash == hash && other.row == row).is_none() {
            table.insert_unique(hash, Entry { hash, row, template }, |entry| entry.hash);
        }
    }

    /// Every template that fits a masked message, once each, from the least to the most variables. Of templates that are the
    /// same but for how they are written, the first.
    pub fn fitting(&self, masked: &str, scratch: &mut Scratch, found: &mut Vec<u32>) {
        scratch.line.parse(masked, &self.kinds);
        self.all(scratch, found);
    }

    /// The same for a template: those that fit every message which it fits, itself among them.
    pub fn covering(&self, template: &str, scratch: &mut Scratch, found: &mut Vec<u32>) {
        scratch.line.read(template);
        self.all(scratch, found);
    }

    fn all(&self, scratch: &mut Scratch, found: &mut Vec<u32>) {
        if let Some(frame) = self.frame(scratch) {
            found.extend(frame.shapes.iter().filter_map(|shape| shape.find(&scratch.row)));
        }
    }

    /// The frame of a line that was taken apart, whose words are then in the row.
    fn frame(&self, scratch: &mut Scratch) -> Option<&Frame> {
        let Scratch { line, row } = scratch;
        let frame = self.frames.get(line.frame.as_str())?;
        row.clear();
        row.extend(line.values().map(|value| self.words.find(value).unwrap_or(UNKNOWN)));
        Some(frame)
    }

    /// The template of a masked message: of those that fit, the one with the fewest variables, and of these the one
    /// whose first variable comes latest. `None` where none fits.
    pub fn find(&self, masked: &str, scratch: &mut Scratch) -> Option<u32> {
        scratch.line.parse(masked, &self.kinds);
        self.frame(scratch)?.find(&scratch.row)
    }
}

impl Frame {
    fn sort(&mut self) {
        self.shapes.sort_by(|a, b| (a.varying.len(), &b.varying).cmp(&(b.varying.len(), &a.varying)));
    }

    fn find(&self, row: &[u32]) -> Option<u32> {
        self.shapes.iter().find_map(|shape| shape.find(row))
    }
}

impl Shape {
    fn find(&self, row: &[u32]) -> Option<u32> {
        let mut varying = self.varying.iter().map(|&column| column as usize).peekable();
        let constant = |(column, &word): (usize, &u32)| {
            if varying.next_if_eq(&column).is_some() { VARIABLE_WORD } else { word }
        };
        let hash = hash(row.iter().enumerate().map(constant));
        let fits = |entry: &Entry| {
            let mut both = entry.row.iter().zip(row);
            entry.hash == hash && both.all(|(&wanted, &word)| wanted == VARIABLE_WORD || wanted == word)
        };
        self.table.find(hash, fits).map(|entry| entry.template)
    }
}

fn columns(row: &[u32]) -> Box<[u16]> {
    (0u16..).zip(row).filter(|&(_, &word)| word == VARIABLE_WORD).map(|(column, _)| column).collect()
}

fn hash(row: impl Iterator<Item = u32>) -> u64 {
    let mut hasher = HASHER.build_hasher();
    row.for_each(|word| word.hash(&mut hasher));
    hasher.finish()
}
