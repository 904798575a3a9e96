//! Which values of lines with one frame are variables.
//!
//! The lines of a frame are a table: a row for each distinct line, a column for each value. A column is a variable
//! where rows that are otherwise equal differ in it often enough for what it is:
//!
//! - what has the look of a variable (a mask within it, a dotted name, a path, a long hexadecimal word) at two values;
//! - a word in a place where values stand (after `=`, `:`, a bracket, a quote, or a word such as *for* or *user*) at
//!   [`AT_SLOT`], any other at [`BETWEEN_WORDS`];
//! - names of states (`LOOKING`, `true`) at [`STATES`], the first word of a line at [`FIRST_WORD`], for a first word
//!   tells what the line is about;
//! - any word at two values where the place before it has already shown to hold these very values in another frame
//!   ([`Merger::again`]): who logged in will log out.
//!
//! Columns of values that look like variables, and those after `=` and `:`, are taken together, for they vary together;
//! other columns one at a time, the widest first, all groups of rows at once, until nothing changes. Where two words or
//! more vary freely, no two rows agree on all but one; of many rows that are left, those that agree on what is frequent
//! among them are taken together, and what is frequent nowhere varies ([`Merger::freely`]). No step depends on the order
//! of rows.

use std::hash::BuildHasher;

use hashbrown::{HashMap, HashSet, HashTable};

use super::parse::{self, VARIABLE};
use crate::control::{Control, Steps};
use crate::error::Result;
use crate::table::HASHER;

/// Distinct words that make a variable where values stand.
const AT_SLOT: usize = 4;
/// Distinct words that make a variable between other words.
const BETWEEN_WORDS: usize = 6;
/// Distinct names of states that make a variable.
const STATES: usize = 10;
/// Distinct words that make a variable of the first word.
const FIRST_WORD: usize = 12;
/// Rows in which words may vary freely.
const FREELY: usize = 20;
/// One in so many rows has what is frequent.
const FREQUENT: usize = 10;
/// Rounds over one frame; each changes at least one column.
const MAX_ROUNDS: usize = 200;

/// The number of the variable among the words.
pub(super) const VARIABLE_WORD: u32 = 0;
/// Any value, in the keys of groups.
const ANY: u32 = u32::MAX;

/// What a value looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Look {
    /// A variable as a whole.
    Variable,
    /// Like something that varies.
    Soft,
    /// One of a few names.
    State,
    Word,
}

/// Words by number.
#[derive(Debug)]
pub(super) struct Words {
    numbers: Numbers,
    looks: Vec<Look>,
    /// Whether a value is expected after it.
    leads: Vec<bool>,
}

impl Words {
    pub fn new() -> Self {
        let mut words = Words { numbers: Numbers::default(), looks: Vec::new(), leads: Vec::new() };
        words.number(VARIABLE.encode_utf8(&mut [0; 4]));
        words
    }

    pub fn text(&self, word: u32) -> &str {
        self.numbers.text(word)
    }

    /// Whether it tells lines apart, being made of letters.
    fn is_constant(&self, word: u32) -> bool {
        self.text(word).chars().any(char::is_alphabetic)
    }

    /// The number of a word.
    pub fn number(&mut self, text: &str) -> u32 {
        let number = self.numbers.number(text);
        if number as usize == self.looks.len() {
            self.looks.push(look(text));
            self.leads.push(leads(text));
        }
        number
    }
}

/// Texts by number, from 0 in the order in which they came.
#[derive(Debug, Default)]
pub(super) struct Numbers {
    text: String,
    ends: Vec<usize>,
    /// Numbers with the hashes of their texts: to look through the texts again whenever the table grows takes longer.
    table: HashTable<(u64, u32)>,
}

impl Numbers {
    pub fn text(&self, number: u32) -> &str {
        text_at(&self.text, &self.ends, number)
    }

    /// The number of a text that is there.
    pub fn find(&self, text: &str) -> Option<u32> {
        self.find_hashed(HASHER.hash_one(text), text)
    }

    fn find_hashed(&self, hash: u64, text: &str) -> Option<u32> {
        let is_same = |&(held, at): &(u64, u32)| held == hash && self.text(at) == text;
        self.table.find(hash, is_same).map(|&(_, number)| number)
    }

    /// The number of a text, which comes to the end where it is new.
    pub fn number(&mut self, text: &str) -> u32 {
        let hash = HASHER.hash_one(text);
        if let Some(number) = self.find_hashed(hash, text) {
            return number;
        }
        let number = self.ends.len() as u32;
        self.text.push_str(text);
        self.ends.push(self.text.len());
        self.table.insert_unique(hash, (hash, number), |&(hash, _)| hash);
        number
    }
}

/// One of texts that stand one after the other.
fn text_at<'a>(text: &'a str, ends: &[usize], number: u32) -> &'a str {
    let at = number as usize;
    let start = if at == 0 { 0 } else { ends[at - 1] };
    &text[start..ends[at]]
}

fn look(text: &str) -> Look {
    let slashes = text.split(['/', '\\']).count() - 1;
    if text.chars().eq([VARIABLE]) {
        Look::Variable
    } else if text.contains(VARIABLE)
        || is_dotted(text)
        || is_hex(text.as_bytes())
        || slashes > usize::from(!text.contains('.'))
    {
        Look::Soft
    } else if is_state(text) {
        Look::State
    } else {
        Look::Word
    }
}

/// `a.b`, a name with its parts.
fn is_dotted(text: &str) -> bool {
    text.contains('.')
        && text.split('.').all(|part| {
            !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '-' | '$'))
        })
}

/// A hexadecimal number that happens to have no digits.
fn is_hex(bytes: &[u8]) -> bool {
    bytes.len() >= 8 && bytes.iter().all(u8::is_ascii_hexdigit)
}

/// Capitals, or a word for yes, no and nothing.
fn is_state(text: &str) -> bool {
    const WORDS: [&str; 10] = ["true", "false", "null", "nil", "none", "yes", "no", "on", "off", "unknown"];
    text.len() >= 2 && text.bytes().all(|b| b.is_ascii_uppercase() || matches!(b, b'_' | b'-'))
        || WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Words that a value follows.
fn leads(text: &str) -> bool {
    const WORDS: [&str; 21] = [
        "for", "from", "by", "at", "to", "in", "on", "of", "with", "as", "into", "via", "user", "host",
        "file", "name", "id", "uid", "pid", "path", "device",
    ];
    WORDS.iter().any(|word| word.eq_ignore_ascii_case(text))
}

/// Where a value stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before `=`: it names what follows.
    Key,
    /// The first word.
    First,
    Between,
    /// Where values stand.
    Slot,
    /// After `=` or `:`.
    Assigned,
}

/// The lines of one frame.
#[derive(Debug)]
pub(super) struct Table {
    /// Distinct rows of word numbers.
    pub rows: Vec<Box<[u32]>>,
    /// Place of each column by the frame alone.
    places: Vec<Place>,
    /// A number for the gap before each column.
    gaps: Vec<u32>,
    /// The first message.
    pub example: u32,
    /// Messages.
    pub messages: u64,
    /// The column with most different values, from 1, and how many it has.
    pub widest: (u32, u64),
}

impl Table {
    /// No rows yet; `example` is the number of a message.
    pub fn new(frame: &str, example: u32, words: &mut Words) -> Self {
        let gaps: Vec<&str> = parse::gaps(frame).collect();
        let places = (1..gaps.len()).map(|at| place(gaps[at - 1], gaps[at], at == 1)).collect();
        let gaps = gaps[..gaps.len() - 1].iter().map(|gap| words.number(gap)).collect();
        Table { rows: Vec::new(), places, gaps, example, messages: 0, widest: (0, 0) }
    }

    /// Counts the rows, and keeps those that differ.
    pub fn count(&mut self) {
        self.messages = self.rows.len() as u64;
        dedup(&mut self.rows);
        for column in (0..self.places.len()).rev() {
            let values = distinct(self.rows.iter().map(|row| row[column])).len() as u64;
            if values >= self.widest.1 {
                self.widest = (column as u32 + 1, values);
            }
        }
    }

    /// Where a column's value stands, given the row around it.
    fn place(&self, row: &[u32], column: usize, words: &Words) -> Place {
        match self.places[column] {
            Place::Between if row[column - 1] != ANY && words.leads[row[column - 1] as usize] => Place::Slot,
            place => place,
        }
    }
}

fn place(before: &str, after: &str, is_first: bool) -> Place {
    let opening = before.trim_end();
    if after.trim_start().starts_with('=') {
        Place::Key
    } else if opening.ends_with(['=', ':']) {
        Place::Assigned
    } else if before.ends_with(['"', '\'', '(', '[', '{', '<']) {
        Place::Slot
    } else if is_first {
        Place::First
    } else {
        Place::Between
    }
}

/// Merges rows, and remembers which values variables took.
#[derive(Debug, Default)]
pub(super) struct Merger {
    /// Values that variables took, by what stands before them.
    seen: HashSet<(u32, u32, u32), foldhash::fast::FixedState>,
    /// Those of the passes before this one: what a pass finds must not depend on the order of its tables.
    known: HashSet<(u32, u32, u32), foldhash::fast::FixedState>,
}

impl Merger {
    /// From now on, values that other variables took make a variable of their place.
    pub fn again(&mut self) {
        self.known.extend(self.seen.drain());
    }

    /// Merges the rows of a table.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn merge(&mut self, table: &mut Table, words: &Words, control: &dyn Control) -> Result<()> {
        let mut steps = Steps::new(control);
        for _ in 0..MAX_ROUNDS {
            let mut changed = self.together(table, words, false, &mut steps)?;
            changed |= self.together(table, words, true, &mut steps)?;
            changed |= self.one(table, words, &mut steps)?;
            changed = changed || self.freely(table, words, &mut steps)?;
            if !changed || table.rows.len() == 1 {
                break;
            }
        }
        Ok(())
    }

    /// Takes the columns together whose values look like variables, or, `assigned`, stand after `=` or `:`.
    fn together(
        &mut self,
        table: &mut Table,
        words: &Words,
        assigned: bool,
        steps: &mut Steps<'_>,
    ) -> Result<bool> {
        let key_of = |row: &[u32]| -> Box<[u32]> {
            let any = |column: usize| {
                let look = words.looks[row[column] as usize];
                let open = matches!(look, Look::Variable | Look::Soft);
                match table.places[column] {
                    Place::Key => false,
                    Place::First => open && words.text(row[column]).contains(VARIABLE),
                    Place::Assigned => open || assigned && look == Look::Word,
                    Place::Slot | Place::Between => open,
                }
            };
            (0..row.len()).map(|column| if any(column) { ANY } else { row[column] }).collect()
        };
        let mut groups: HashMap<Box<[u32]>, Vec<u32>, _> = HashMap::with_hasher(HASHER.clone());
        for (at, row) in table.rows.iter().enumerate() {
            steps.pass(row.len() + 1)?;
            groups.entry(key_of(row)).or_default().push(at as u32);
        }
        let mut changed = false;
        for (key, members) in groups.iter().filter(|(_, members)| members.len() > 1) {
            for column in (0..key.len()).filter(|&column| key[column] == ANY) {
                steps.pass(members.len())?;
                let place = table.place(key, column, words);
                let values = distinct(members.iter().map(|&row| table.rows[row as usize][column]));
                if !self.varies(&values, place, key, column, table, words) {
                    continue;
                }
                self.remember(table, column.checked_sub(1).map(|before| key[before]), column, &values);
                for &row in members {
                    table.rows[row as usize][column] = VARIABLE_WORD;
                }
                changed = true;
            }
        }
        if changed {
            dedup(&mut table.rows);
        }
        Ok(changed)
    }

    /// Takes the column with the largest group of rows that differ in it alone, and all such groups of it.
    fn one(&mut self, table: &mut Table, words: &Words, steps: &mut Steps<'_>) -> Result<bool> {
        let columns = table.places.len();
        let sums = sums(&table.rows, steps)?;
        let mut best: (usize, Vec<(u32, Vec<u32>)>) = (0, Vec::new());
        let mut best_column = 0;
        for column in 0..columns {
            if table.places[column] == Place::Key {
                continue;
            }
            let mut widest = 0;
            let mut groups = Vec::new();
            for members in equal_but(&table.rows, &sums, column, steps)? {
                let row = &table.rows[members[0] as usize];
                let place = table.place(row, column, words);
                let values: Vec<u32> = members.iter().map(|&row| table.rows[row as usize][column]).collect();
                if self.varies(&values, place, row, column, table, words) {
                    widest = widest.max(members.len());
                    groups.push((members[0], members));
                }
            }
            if widest > best.0 {
                (best, best_column) = ((widest, groups), column);
            }
        }
        for (first, members) in &best.1 {
            let values: Vec<u32> = members.iter().map(|&row| table.rows[row as usize][best_column]).collect();
            let key = table.rows[*first as usize].clone();
            self.remember(table, best_column.checked_sub(1).map(|before| key[before]), best_column, &values);
            for &row in members {
                table.rows[row as usize][best_column] = VARIABLE_WORD;
            }
        }
        if best.0 > 0 {
            dedup(&mut table.rows);
        }
        Ok(best.0 > 0)
    }

    /// Takes rows together that agree on a first word, on names before `=`, and on what is frequent among them.
    fn freely(&mut self, table: &mut Table, words: &Words, steps: &mut Steps<'_>) -> Result<bool> {
        if table.rows.len() < FREELY {
            return Ok(false);
        }
        let columns = table.places.len();
        let fixed: Vec<bool> =
            (0..columns).map(|column| column == 0 || table.places[column] == Place::Key).collect();
        let mut parts: HashMap<Box<[u32]>, Vec<u32>, _> = HashMap::with_hasher(HASHER.clone());
        for (at, row) in table.rows.iter().enumerate() {
            steps.pass(columns)?;
            let key = (0..columns).filter(|&column| fixed[column]).map(|column| row[column]).collect();
            parts.entry(key).or_default().push(at as u32);
        }
        let mut parts: Vec<(Vec<u32>, Vec<bool>)> =
            parts.into_values().map(|rows| (rows, fixed.clone())).collect();
        let mut changed = false;
        while let Some((rows, mut fixed)) = parts.pop() {
            if rows.len() < FREELY {
                continue;
            }
            let Some((count, column, word)) = most_frequent(table, &rows, &mut fixed, words, steps)? else {
                continue;
            };
            if count > (rows.len() / FREQUENT).max(2) {
                let has = |&row: &u32| table.rows[row as usize][column] == word;
                let (with, without): (Vec<u32>, Vec<u32>) = rows.into_iter().partition(has);
                parts.push((without, fixed.clone()));
                fixed[column] = true;
                parts.push((with, fixed));
                continue;
            }
            let row = table.rows[rows[0] as usize].clone();
            let constants = (0..columns).filter(|&at| fixed[at] && words.is_constant(row[at])).count();
            let free: Vec<usize> = (0..columns).filter(|&column| !fixed[column]).collect();
            if free.len() > constants {
                continue;
            }
            for &column in &free {
                let values = distinct(rows.iter().map(|&row| table.rows[row as usize][column]));
                let before = column.checked_sub(1).filter(|&before| fixed[before]).map(|before| row[before]);
                self.remember(table, before, column, &values);
            }
            for &at in &rows {
                for &column in &free {
                    table.rows[at as usize][column] = VARIABLE_WORD;
                }
            }
            changed = true;
        }
        if changed {
            dedup(&mut table.rows);
        }
        Ok(changed)
    }

    /// Whether distinct values of a column, in rows that agree on `row` but where it has [`ANY`], make it a variable.
    fn varies(
        &self,
        values: &[u32],
        place: Place,
        row: &[u32],
        column: usize,
        table: &Table,
        words: &Words,
    ) -> bool {
        if values.len() < 2 || place == Place::Key {
            return false;
        }
        let others = (0..row.len()).filter(|&at| at != column && row[at] != ANY && row[at] != VARIABLE_WORD);
        let constants = others.filter(|&at| words.text(row[at]).chars().any(char::is_alphabetic)).count();
        let count = |look: Look| values.iter().filter(|&&value| words.looks[value as usize] == look).count();
        let (variable, soft, states) = (count(Look::Variable), count(Look::Soft), count(Look::State));
        if place == Place::First {
            let masked = values.iter().filter(|&&value| words.text(value).contains(VARIABLE)).count();
            return masked == values.len() || constants >= 2 && values.len() >= FIRST_WORD;
        }
        if variable + soft == values.len() {
            return true;
        }
        if constants == 0 {
            return false;
        }
        if states > 0 && states + variable + soft == values.len() {
            return states >= STATES;
        }
        let at_slot = matches!(place, Place::Slot | Place::Assigned);
        if variable > 0 && (at_slot || values.len() >= 3) {
            return true;
        }
        if values.iter().all(|&value| self.known.contains(&context(table, row, column, value))) {
            return true;
        }
        values.len() >= if at_slot { AT_SLOT } else { BETWEEN_WORDS }
    }

    /// Keeps the values of a variable that stands after the word `before`.
    fn remember(&mut self, table: &Table, before: Option<u32>, column: usize, values: &[u32]) {
        if let Some(before) = before.filter(|&before| before != ANY && before != VARIABLE_WORD) {
            self.seen.extend(values.iter().map(|&value| (before, table.gaps[column], value)));
        }
    }
}

/// The word that most of the rows have in a column that is not fixed, how many, and where; columns in which all
/// rows agree become fixed. `None` where no other is left. Of equals the first in the order of the line and the alphabet.
fn most_frequent(
    table: &Table,
    rows: &[u32],
    fixed: &mut [bool],
    words: &Words,
    steps: &mut Steps<'_>,
) -> Result<Option<(usize, usize, u32)>> {
    let mut best: Option<(usize, usize, u32)> = None;
    for (column, fixed) in fixed.iter_mut().enumerate().filter(|(_, fixed)| !**fixed) {
        steps.pass(rows.len())?;
        let mut values: Vec<u32> = rows.iter().map(|&row| table.rows[row as usize][column]).collect();
        values.sort_unstable();
        let runs = values.chunk_by(|a, b| a == b).map(|run| (run.len(), run[0]));
        let order = |a: &(usize, u32), b: &(usize, u32)| {
            a.0.cmp(&b.0).then_with(|| words.text(b.1).cmp(words.text(a.1)))
        };
        let Some((count, word)) = runs.max_by(order) else { continue };
        if count == rows.len() {
            *fixed = true;
        } else if best.is_none_or(|best| count > best.0) {
            best = Some((count, column, word));
        }
    }
    Ok(best)
}

/// A value and what stands before it.
fn context(table: &Table, row: &[u32], column: usize, value: u32) -> (u32, u32, u32) {
    (if column == 0 { ANY } else { row[column - 1] }, table.gaps[column], value)
}

/// Distinct numbers, ascending.
fn distinct(values: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut values: Vec<u32> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

fn dedup(rows: &mut Vec<Box<[u32]>>) {
    rows.sort_unstable();
    rows.dedup();
}

/// A sum over the values of each row: without one value it tells the rest.
fn sums(rows: &[Box<[u32]>], steps: &mut Steps<'_>) -> Result<Vec<u64>> {
    let mut sums = Vec::with_capacity(rows.len());
    for row in rows {
        steps.pass(row.len() + 1)?;
        let terms = row.iter().enumerate().map(|(column, &word)| term(column, word));
        sums.push(terms.fold(0, u64::wrapping_add));
    }
    Ok(sums)
}

fn term(column: usize, word: u32) -> u64 {
    HASHER.hash_one((column as u32, word))
}

/// Groups of at least two rows that are equal but for one column. Rows are distinct, so their values there are too.
fn equal_but(
    rows: &[Box<[u32]>],
    sums: &[u64],
    column: usize,
    steps: &mut Steps<'_>,
) -> Result<Vec<Vec<u32>>> {
    let hash = |at: u32| sums[at as usize].wrapping_sub(term(column, rows[at as usize][column]));
    let equal = |a: &[u32], b: &[u32]| a[..column] == b[..column] && a[column + 1..] == b[column + 1..];
    let mut table: HashTable<(u32, Vec<u32>)> = HashTable::with_capacity(rows.len());
    for at in 0..rows.len() as u32 {
        steps.pass(1)?;
        let hash_of_rest = hash(at);
        match table.find_mut(hash_of_rest, |&(first, _)| equal(&rows[first as usize], &rows[at as usize])) {
            Some((_, others)) => {
                steps.pass(rows[at as usize].len())?;
                others.push(at);
            }
            None => {
                table.insert_unique(hash_of_rest, (at, Vec::new()), |&(first, _)| hash(first));
            }
        }
    }
    let groups = table.into_iter().filter(|(_, others)| !others.is_empty());
    Ok(groups.map(|(first, others)| [vec![first], others].concat()).collect())
}
