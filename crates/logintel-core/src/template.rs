//! Templates: which lines were written by one statement of a program.
//!
//! `Failed password for root from <ip> port <num> ssh2`, and the same for forty other users, become
//! `Failed password for <*> from <*> port <*> ssh<*>`. Masks ([`crate::mask`]) take out what has the look of a
//! variable; the miner finds the variables that look like words, from how lines differ. There is nothing to set for a
//! log source.
//!
//! Mining is a batch over *distinct* masked messages, of which there are few, so it need not decide line by line:
//!
//! 1. **Frames.** A message is taken apart into its punctuation, with holes, and the values in the holes. Messages of one
//!    frame have as many values, in the same arrangement; only these can share a template.
//! 2. **Columns.** Within a frame, rows that agree on all values but one (or but those after `=` and `:`) show what
//!    stands in that place. Whether it is a variable depends on how many values there are and how they look: two file names are
//!    enough, two verbs are not, and names of states never are while they are few. A value learnt as a variable's in one
//!    place is believed in others.
//! 3. **Matching.** A template is its text. A line has the template that fits with the fewest variables: a look-up of the
//!    frame and one for each set of places that vary there. Training assigns its own lines the same way.
//!
//! Where it comes from: that lines of one template agree in length and punctuation, and that a column's
//! cardinality tells constants from variables, is `IPLoM` (Makanju et al., KDD 2009) and AEL (Jiang et al., QSIC 2008);
//! that what is frequent among lines is constant, Brain (Yu et al., TSC 2023); that first words are
//! constants, Drain (He et al., ICWS 2017). What differs: values are judged by their look and place, known variables
//! help unknown ones, and everything happens on distinct lines at once, so that no result depends on the order of lines.
//!
//! Identity. A template is its text, so that what was seen in the same ways before has the same template again. Where a
//! training sees one value only of what an earlier one knew as a variable, handing in the earlier templates
//! ([`Miner::know`]) keeps it one. A word becomes a variable when enough values of it have come, and then its text changes.
//!
//! Bounds. At most [`MAX_DISTINCT`] messages are kept, within the bytes given; at most [`MAX_TEMPLATES`] templates, those
//! with most rows. Further messages are matched against the templates so far. Rows that no template fits are counted as
//! overflow, and [`Cause`] says which structure has most messages, and which of its values differs most. Only from there
//! on does the order of lines matter.

mod matcher;
mod merge;
mod parse;

use std::hash::BuildHasher;

use hashbrown::{HashMap, HashTable};

use crate::control::{Control, Steps};
use crate::error::Result;
use crate::table::HASHER;
pub use matcher::{Matcher, Scratch};
use merge::{Merger, Table, Words};
use parse::Line;
pub use parse::WILDCARD;

/// Most templates.
pub const MAX_TEMPLATES: usize = 100_000;
/// Most distinct masked messages that are mined.
pub const MAX_DISTINCT: usize = 200_000;

/// What the lines of one statement have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    /// The line, with `<*>` for what varies.
    pub text: String,
    /// Rows of training.
    pub rows: u64,
}

/// Rows without a template, and why there are any.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overflow {
    /// Rows that no template fits.
    pub rows: u64,
    /// What most distinct messages have in common.
    pub cause: Option<Cause>,
}

/// A structure that fills the room for distinct messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Cause {
    /// One of its messages, masked.
    pub example: String,
    /// Distinct messages of this structure.
    pub messages: u64,
    /// Which of its values has most different ones, from 1; 0 where it has no values.
    pub position: u32,
    /// How many different ones.
    pub values: u64,
}

/// What was mined.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Templates {
    /// In alphabetical order.
    pub list: Vec<Template>,
    /// Names of the user's masks, which are variables in messages.
    pub kinds: Vec<String>,
    /// Rows without template.
    pub overflow: Overflow,
}

impl Templates {
    /// Makes them ready to be found.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn matcher(&self, control: &dyn Control) -> Result<Matcher> {
        let texts = self.list.iter().map(|template| template.text.as_str());
        Matcher::new(self.kinds.clone(), texts, control)
    }
}

/// Templates, and which of the messages has which.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mined {
    /// The templates.
    pub templates: Templates,
    /// The template of each number that [`Miner::add`] gave.
    pub of: Vec<Option<u32>>,
}

/// Gathers masked messages.
#[derive(Debug)]
pub struct Miner {
    kinds: Vec<String>,
    /// Distinct masked messages with their rows.
    messages: Vec<(Box<str>, u64)>,
    table: HashTable<u32>,
    /// Templates of an earlier training.
    known: Option<(Matcher, Templates)>,
    /// Once there is no more room: templates so far, and a message of each.
    full: Option<(Matcher, Vec<u32>)>,
    bytes: u64,
    max_bytes: u64,
    max_messages: usize,
    overflow_rows: u64,
    scratch: Scratch,
}

impl Miner {
    /// Nothing yet. `kinds` are the names of the user's masks; about `max_bytes` are used.
    pub fn new(kinds: Vec<String>, max_bytes: u64) -> Self {
        Miner {
            kinds,
            messages: Vec::new(),
            table: HashTable::new(),
            known: None,
            full: None,
            bytes: 0,
            max_bytes,
            max_messages: MAX_DISTINCT,
            overflow_rows: 0,
            scratch: Scratch::default(),
        }
    }

    /// Lets lines keep the templates of an earlier training.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn know(mut self, templates: Templates, control: &dyn Control) -> Result<Self> {
        self.known = Some((templates.matcher(control)?, templates));
        Ok(self)
    }

    /// Takes in a masked message that so many rows have, and gives its number for [`Mined::of`]. A very long one is looked
    /// at as a whole, so the caller cuts it to what it can wait for. Beyond the bounds that
    /// is the number of another message that has the template it would have, or `None` where there is no such template.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn add(&mut self, masked: &str, rows: u64, control: &dyn Control) -> Result<Option<u32>> {
        let hash = HASHER.hash_one(masked);
        if let Some(&at) = self.table.find(hash, |&at| &*self.messages[at as usize].0 == masked) {
            self.messages[at as usize].1 += rows;
            return Ok(Some(at));
        }
        // Beside the text: its row of numbers, several times while rows are grouped, and its template.
        let bytes = 16 * masked.len() as u64 + 256;
        if self.messages.len() >= self.max_messages || self.bytes + bytes > self.max_bytes {
            return self.add_to_full(masked, rows, control);
        }
        self.bytes += bytes;
        let at = self.messages.len() as u32;
        self.messages.push((masked.into(), rows));
        let messages = &self.messages;
        self.table.insert_unique(hash, at, |&at| HASHER.hash_one(&*messages[at as usize].0));
        Ok(Some(at))
    }

    #[cold]
    fn add_to_full(&mut self, masked: &str, rows: u64, control: &dyn Control) -> Result<Option<u32>> {
        if self.full.is_none() {
            let mined = self.mine(control)?;
            let mut first = vec![u32::MAX; mined.templates.list.len()];
            for (message, template) in mined.of.iter().enumerate().rev() {
                if let Some(template) = template {
                    first[*template as usize] = message as u32;
                }
            }
            self.full = Some((mined.templates.matcher(control)?, first));
        }
        let like = self.full.as_ref().and_then(|(matcher, first)| {
            matcher.find(masked, &mut self.scratch).map(|template| first[template as usize])
        });
        match like {
            Some(message) => self.messages[message as usize].1 += rows,
            None => self.overflow_rows += rows,
        }
        Ok(like)
    }

    /// Finds the templates.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn finish(mut self, control: &dyn Control) -> Result<Mined> {
        self.full = None;
        self.mine(control)
    }

    fn mine(&self, control: &dyn Control) -> Result<Mined> {
        let mut words = Words::new();
        let mut tables = self.tables(&mut words, control)?;
        let mut merger = Merger::default();
        let total = 2 * tables.len() as u64;
        for pass in 0..2 {
            for (done, (_, table)) in tables.iter_mut().enumerate() {
                control.progress("templates", pass * total / 2 + done as u64, total);
                merger.merge(table, &words, control)?;
            }
            merger.again();
        }
        let mut texts: Vec<String> = Vec::new();
        let mut steps = Steps::over_bytes(control);
        for (frame, table) in &tables {
            for row in &table.rows {
                let text = parse::text(frame, row.iter().map(|&word| words.text(word)));
                steps.pass(1 + text.len())?;
                texts.push(text);
            }
        }
        let cause = cause(&tables);
        drop((tables, words));
        self.assign(texts, cause, control)
    }

    /// The messages by frame.
    fn tables(&self, words: &mut Words, control: &dyn Control) -> Result<Vec<(String, Table)>> {
        let mut frames: HashMap<String, Table, _> = HashMap::with_hasher(HASHER.clone());
        let (mut line, mut scratch) = (Line::default(), Scratch::default());
        let mut steps = Steps::over_bytes(control);
        for (at, (message, _)) in self.messages.iter().enumerate() {
            steps.pass(message.len() + 1)?;
            let known = self.known.as_ref().and_then(|(matcher, templates)| {
                matcher.find(message, &mut scratch).map(|at| &templates.list[at as usize])
            });
            match known {
                Some(template) => line.read(&template.text),
                None => line.parse(message, &self.kinds),
            }
            let row = line.values().map(|value| words.number(value)).collect();
            let table = frames
                .entry_ref(line.frame.as_str())
                .or_insert_with(|| Table::new(&line.frame, at as u32, words));
            table.rows.push(row);
        }
        let mut tables: Vec<(String, Table)> = frames.into_iter().collect();
        tables.sort_unstable_by(|a, b| a.0.cmp(&b.0));
        for (_, table) in &mut tables {
            control.poll()?;
            table.count();
        }
        Ok(tables)
    }

    /// Gives each message its template, and drops what no message has.
    fn assign(
        &self,
        mut texts: Vec<String>,
        cause: Option<(u32, Cause)>,
        control: &dyn Control,
    ) -> Result<Mined> {
        texts.sort_unstable();
        texts.dedup();
        let list = texts.into_iter().map(|text| Template { text, rows: 0 }).collect();
        let mut templates = Templates { list, kinds: self.kinds.clone(), overflow: Overflow::default() };
        let matcher = templates.matcher(control)?;
        let (mut scratch, mut steps) = (Scratch::default(), Steps::over_bytes(control));
        let mut of = Vec::with_capacity(self.messages.len());
        for (message, rows) in &self.messages {
            steps.pass(message.len() + 1)?;
            let found = matcher.find(message, &mut scratch);
            if let Some(at) = found {
                templates.list[at as usize].rows += rows;
            }
            of.push(found);
        }
        let new = keep(&mut templates.list);
        for template in &mut of {
            *template = template.and_then(|at| new[at as usize]);
        }
        let without = self.messages.iter().zip(&of).filter(|(_, template)| template.is_none());
        templates.overflow.rows = self.overflow_rows + without.map(|((_, rows), _)| rows).sum::<u64>();
        templates.overflow.cause = cause
            .filter(|_| templates.overflow.rows > 0)
            .map(|cause| Cause { example: self.messages[cause.0 as usize].0.to_string(), ..cause.1 });
        Ok(Mined { templates, of })
    }
}

/// Keeps the templates that have rows, of too many those that have most; returns where each of the others is now.
fn keep(list: &mut Vec<Template>) -> Vec<Option<u32>> {
    let mut order: Vec<usize> = (0..list.len()).filter(|&at| list[at].rows > 0).collect();
    if order.len() > MAX_TEMPLATES {
        order.sort_by_key(|&at| std::cmp::Reverse(list[at].rows));
        order.truncate(MAX_TEMPLATES);
        order.sort_unstable();
    }
    let mut new = vec![None; list.len()];
    for (now, &before) in order.iter().enumerate() {
        new[before] = Some(now as u32);
    }
    let mut at = 0;
    list.retain(|_| {
        at += 1;
        new[at - 1].is_some()
    });
    new
}

/// The structure with most messages, by one of them, and what differs most in it.
fn cause(tables: &[(String, Table)]) -> Option<(u32, Cause)> {
    // The first of those with most, in alphabetical order of the frames.
    let (_, table) = tables.iter().rev().max_by_key(|(_, table)| table.messages)?;
    let (position, values) = table.widest;
    let cause = Cause { example: String::new(), messages: table.messages, position, values };
    Some((table.example, cause))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::control::Unattended;

    fn mine(miner: Miner, lines: &[&str]) -> Mined {
        let mut miner = miner;
        for line in lines {
            miner.add(line, 1, &Unattended).unwrap();
        }
        miner.finish(&Unattended).unwrap()
    }

    fn miner() -> Miner {
        Miner::new(Vec::new(), u64::MAX)
    }

    fn texts(mined: &Mined) -> Vec<(&str, u64)> {
        mined.templates.list.iter().map(|template| (template.text.as_str(), template.rows)).collect()
    }

    #[test]
    fn words_vary_where_values_stand() {
        let lines: Vec<String> =
            ["ann", "bob", "eve", "joe"].map(|user| format!("login of user {user} from <ip>")).into();
        let mined = mine(miner(), &lines.iter().map(String::as_str).collect::<Vec<_>>());
        assert_eq!(texts(&mined), [("login of user <*> from <*>", 4)]);
        // Who logs out is known from who logs in.
        let more = ["login of user ann from <ip>", "session of user ann ended", "session of user bob ended"];
        let lines: Vec<&str> = lines.iter().map(String::as_str).chain(more).collect();
        let mined = mine(miner(), &lines);
        assert_eq!(texts(&mined), [("login of user <*> from <*>", 5), ("session of user <*> ended", 2)]);
    }

    #[test]
    fn verbs_states_and_first_words_stay() {
        let lines = [
            "disk <num> mounted",
            "disk <num> removed",
            "state changed to LEADING",
            "state changed to LOOKING",
            "state changed to FOLLOWING",
            "state changed to OBSERVING",
            "starting worker pool",
            "stopping worker pool",
            "draining worker pool",
            "growing worker pool",
        ];
        assert_eq!(mine(miner(), &lines).templates.list.len(), lines.len());
    }

    #[test]
    fn words_that_vary_freely_are_variables_together() {
        let word = |seed: usize| {
            format!("{}{}", ["ra", "to", "mi", "ke", "su", "lo", "ni"][seed % 7], ["x", "y", "zed"][seed % 3])
        };
        let lines: Vec<String> = (0..60)
            .map(|at| {
                format!(
                    "moved {}{} out of {}q to disk {}w",
                    word(at),
                    word(at + 5),
                    word(at * 11),
                    word(at / 2)
                )
            })
            .collect();
        let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
        assert_eq!(texts(&mine(miner(), &lines)), [("moved <*> out of <*> to disk <*>", 60)]);
    }

    #[test]
    fn what_looks_like_a_variable_is_one_at_two_values() {
        let lines = [
            "loaded com.example.Main in <num> ms",
            "loaded org.example.other.Start in <num> ms",
            "BLOCK* delete blk_<num> blk_-<num> blk_<num>",
            "BLOCK* delete blk_-<num>",
            "closed, lifetime <<num> sec",
            "closed, lifetime <time>",
            "id FF:F<num>:<num>F:<num>:<num> up",
            "id FF:<num>:<num>:<num>D:AB up",
        ];
        let expected = [
            ("BLOCK* delete blk_<*>", 2),
            ("closed, lifetime <*>", 2),
            ("id <*> up", 2),
            ("loaded <*> in <*>", 2),
        ];
        assert_eq!(texts(&mine(miner(), &lines)), expected);
    }

    #[test]
    fn masks_of_the_user_are_variables() {
        let mined =
            mine(Miner::new(vec!["order".into()], u64::MAX), &["got <order>", "got <num>", "got <other>"]);
        assert_eq!(texts(&mined), [("got <*>", 2), ("got <other>", 1)]);
    }

    #[test]
    fn a_known_variable_stays_one_with_a_single_value() {
        let users = ["login for ann", "login for bob", "login for eve", "login for joe"];
        let before = mine(miner(), &users).templates;
        assert_eq!(
            texts(&mine(miner().know(before, &Unattended).unwrap(), &["login for zoe"])),
            [("login for <*>", 1)]
        );
        assert_eq!(texts(&mine(miner(), &["login for zoe"])), [("login for zoe", 1)]);
    }

    #[test]
    fn beyond_the_bounds_rows_are_counted_and_the_cause_is_told() {
        let mut miner = Miner { max_messages: 3, ..miner() };
        for line in [
            "saw cat at door",
            "saw dog at door",
            "saw fox at gate",
            "saw fox at gate",
            "up <num>",
            "saw elk at door",
        ] {
            miner.add(line, 2, &Unattended).unwrap();
        }
        let overflow = miner.finish(&Unattended).unwrap().templates.overflow;
        let cause = Cause { example: "saw cat at door".into(), messages: 3, position: 2, values: 3 };
        assert_eq!(overflow, Overflow { rows: 4, cause: Some(cause) });
    }

    #[test]
    fn beyond_the_bounds_lines_still_find_templates() {
        let mut miner = Miner { max_messages: 4, ..miner() };
        let mut numbers =
            ["login for ann", "login for bob", "login for eve", "login for joe", "login for zoe"]
                .map(|line| miner.add(line, 1, &Unattended).unwrap())
                .to_vec();
        assert_eq!(numbers.pop(), Some(numbers[0]));
        let found = miner.finish(&Unattended).unwrap();
        assert_eq!(texts(&found), [("login for <*>", 5)]);
        assert_eq!(found.templates.overflow, Overflow::default());
    }

    #[test]
    fn of_a_very_long_line_the_beginning_tells() {
        let words = |from: usize| {
            (from..400)
                .map(|at| at.to_string().replace(|_: char| true, "w") + &"x".repeat(at % 7))
                .collect::<Vec<_>>()
        };
        let lines = ["a", "b"].map(|end| [words(0).join(" "), words(0).join("="), end.into()].join(" "));
        let found = mine(miner(), &[lines[0].as_str(), lines[1].as_str()]);
        assert_eq!(found.templates.list.len(), 1);
        assert_eq!((found.templates.list[0].rows, found.of), (2, vec![Some(0); 2]));
        for end in ["", " b", ":", "(c)"] {
            let line = "a:".repeat(70_000) + end;
            assert_eq!(mine(miner(), &[line.as_str()]).of, [Some(0)]);
        }
    }

    #[test]
    fn mining_can_be_stopped() {
        let mut miner = miner();
        miner.add("login for ann", 1, &Unattended).unwrap();
        let stopped = crate::control::Watch::new(|| Err(crate::Error::Canceled));
        assert_eq!(miner.finish(&stopped), Err(crate::Error::Canceled));
    }
}
