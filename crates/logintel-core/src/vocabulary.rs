//! A vocabulary: words in order, and n-grams in order as numbers.
//!
//! An n-gram of two words or more is an edge: the place of the n-gram without its last word, and that of the word. Texts
//! of n-grams are words joined by a space, and no word of an n-gram holds a character up to the space, so the order of
//! texts is that of sequences of words, and sequences compare by their places. So two vocabularies merge by walking
//! along both, a model of a million n-grams is as many pairs of numbers, and no n-gram's text is made unless somebody
//! asks for it.

use bincode::Decode;
use bincode::de::Decoder;
use bincode::error::DecodeError;

use crate::artifact;
use crate::control::{Control, Steps};
use crate::error::{Error, Result};

/// A level and a place in it.
pub type Place = (usize, usize);

/// Words and n-grams in code point order of their texts, level by level: words first, then n-grams of two, of three…
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode)]
pub struct Vocabulary {
    /// All words, one after the other.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u32>,
    /// For n-grams of two words and more: the place in the level before, and the place of the last word.
    levels: Vec<Vec<[u32; 2]>>,
}

impl<Context> Decode<Context> for Vocabulary {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> std::result::Result<Self, DecodeError> {
        Ok(Vocabulary {
            text: Decode::decode(decoder)?,
            ends: artifact::numbers(decoder)?,
            levels: artifact::levels(decoder)?,
        })
    }
}

bincode::impl_borrow_decode!(Vocabulary);

impl Vocabulary {
    /// Adds a word that is greater than all before.
    pub fn push_word(&mut self, word: &str) {
        self.text.push_str(word);
        self.ends.push(self.text.len() as u32);
    }

    /// Words one after the other, and where each ends. What comes from outside is to be validated.
    pub(crate) fn of_words(text: String, ends: Vec<u32>) -> Self {
        Vocabulary { text, ends, levels: Vec::new() }
    }

    /// What [`Self::of_words`] takes.
    pub(crate) fn text_and_ends(&self) -> (&str, &[u32]) {
        (&self.text, &self.ends)
    }

    /// Adds words that are greater than all before, each written by `write`.
    pub(crate) fn push_words<W>(&mut self, words: impl Iterator<Item = W>, write: impl Fn(W, &mut Vec<u8>)) {
        let mut text = std::mem::take(&mut self.text).into_bytes();
        for word in words {
            write(word, &mut text);
            self.ends.push(text.len() as u32);
        }
        self.text = String::from_utf8(text).expect("words are text, and so are they one after the other");
    }

    /// Adds n-grams that are one word longer than those of the last level.
    pub fn push_level(&mut self, edges: Vec<[u32; 2]>) {
        self.levels.push(edges);
    }

    /// Number of levels, the length of the longest n-gram; at least 1.
    pub fn levels(&self) -> usize {
        self.levels.len() + 1
    }

    /// Number of n-grams of a level.
    pub fn level_len(&self, level: usize) -> usize {
        if level == 0 { self.ends.len() } else { self.levels[level - 1].len() }
    }

    /// The numbers of n-grams, level by level.
    fn lens(&self) -> impl Iterator<Item = usize> {
        (0..self.levels()).map(|level| self.level_len(level))
    }

    /// The n-grams of a level above 0: the place in the level before, and the place of the last word.
    pub fn edges(&self, level: usize) -> &[[u32; 2]] {
        &self.levels[level - 1]
    }

    /// Word `at`.
    #[inline]
    pub fn word(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    /// The words.
    pub fn words(&self) -> impl Iterator<Item = &str> {
        (0..self.ends.len()).map(|at| self.word(at))
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        let edges: usize = self.levels.iter().map(Vec::len).sum();
        (self.text.len() + self.ends.len() * size_of::<u32>() + edges * size_of::<[u32; 2]>()) as u64
    }

    /// The text of an n-gram.
    pub fn term(&self, (level, at): Place) -> String {
        if level == 0 {
            return self.word(at).to_owned();
        }
        let [parent, word] = self.edges(level)[at];
        let mut text = self.term((level - 1, parent as usize));
        text.push(' ');
        text.push_str(self.word(word as usize));
        text
    }

    /// Where a text stands.
    pub fn find(&self, term: &str) -> Option<Place> {
        // A word may hold a space itself, where n-grams are not made of words.
        self.find_word(term).map(|at| (0, at)).or_else(|| {
            let mut words = term.split(' ');
            let mut path = self.find_word(words.next()?)?;
            let mut level = 0;
            for word in words {
                let edge = [path as u32, self.find_word(word)? as u32];
                level += 1;
                path = self.levels.get(level - 1)?.binary_search(&edge).ok()?;
            }
            Some((level, path))
        })
    }

    fn find_word(&self, word: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.ends.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.word(middle).cmp(word) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Checks what the rest relies on, of values that come from outside.
    ///
    /// # Errors
    /// What `control` returns; inside, what does not hold.
    pub fn validate(&self, control: &dyn Control) -> Result<std::result::Result<(), &'static str>> {
        let mut steps = Steps::new(control);
        let (mut start, mut last) = (0, None);
        for &end in &self.ends {
            steps.pass(1)?;
            let word = self.text.get(start..end as usize);
            let Some(word) = word else { return Ok(Err("a word ends where it should not")) };
            if last.is_some_and(|last| last >= word) {
                return Ok(Err("the words are not in order"));
            }
            (start, last) = (end as usize, Some(word));
        }
        if start != self.text.len() {
            return Ok(Err("there is text after the last word"));
        }
        for level in 1..self.levels() {
            control.poll()?;
            let (parents, words) = (self.level_len(level - 1) as u32, self.ends.len() as u32);
            if self.edges(level).iter().any(|&[parent, word]| parent >= parents || word >= words) {
                return Ok(Err("an n-gram is made of what is not there"));
            }
            if !self.edges(level).is_sorted_by(|a, b| a < b) {
                return Ok(Err("the n-grams are not in order"));
            }
        }
        Ok(Ok(()))
    }

    /// All n-grams of two vocabularies. `found` is told of each, level by level and in order, its level and where it stood in
    /// either.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn merge(
        &self,
        other: &Vocabulary,
        control: &dyn Control,
        mut found: impl FnMut(usize, [Option<usize>; 2]),
    ) -> Result<Vocabulary> {
        let sides = [self, other];
        let text = sides.map(|side| side.text.len()).iter().sum();
        if text > u32::MAX as usize {
            // Where words end are 32-bit numbers.
            return Err(Error::TooMany { what: "bytes of different words", max: u64::from(u32::MAX) });
        }
        let mut merged = Vocabulary { text: String::with_capacity(text), ..Vocabulary::default() };
        merged.ends.reserve_exact(self.ends.len() + other.ends.len());
        let words = merge_sorted(
            sides.map(|side| side.ends.len()),
            |a, b| self.word(a).cmp(other.word(b)),
            control,
            |places| {
                found(0, places);
                merged.push_word(match places {
                    [Some(at), _] => self.word(at),
                    [_, at] => other.word(at.unwrap_or_default()),
                });
            },
        )?;
        let mut parents = words.clone();
        for level in 1..sides.map(Vocabulary::levels).into_iter().max().unwrap_or(1) {
            let edges = sides.map(|side| side.levels.get(level - 1).map_or(&[][..], Vec::as_slice));
            let edge = |side: usize, at: usize| {
                let [parent, word] = edges[side][at];
                [parents[side][parent as usize], words[side][word as usize]]
            };
            let mut union = Vec::with_capacity(edges[0].len() + edges[1].len());
            let places = merge_sorted(
                edges.map(<[_]>::len),
                |a, b| edge(0, a).cmp(&edge(1, b)),
                control,
                |places| {
                    found(level, places);
                    union.push(match places {
                        [Some(at), _] => edge(0, at),
                        [_, at] => edge(1, at.unwrap_or_default()),
                    });
                },
            )?;
            merged.levels.push(union);
            parents = places;
        }
        Ok(merged)
    }

    /// What remains when only the n-grams marked in `is_term` (level by level) are terms: these, what they begin with
    /// and the words they are made of. Gives where each remaining n-gram stood.
    pub fn retain(&self, is_term: &[Vec<bool>]) -> (Vocabulary, Vec<Vec<u32>>) {
        let mut needed = is_term.to_vec();
        for level in (1..self.levels()).rev() {
            let (before, these) = needed.split_at_mut(level);
            for (&[parent, _], _) in self.edges(level).iter().zip(&these[0]).filter(|(_, needed)| **needed) {
                before[level - 1][parent as usize] = true;
            }
        }
        for level in 1..self.levels() {
            let (words, these) = needed.split_at_mut(1);
            for (&[_, word], _) in
                self.edges(level).iter().zip(&these[level - 1]).filter(|(_, needed)| **needed)
            {
                words[0][word as usize] = true;
            }
        }
        while needed.len() > 1 && needed.last().is_some_and(|level| !level.contains(&true)) {
            needed.pop();
        }
        let keeps_all = needed.len() == self.levels() && needed.iter().all(|level| !level.contains(&false));
        if keeps_all {
            let all = self.lens().map(|len| (0..len as u32).collect()).collect();
            return (self.clone(), all);
        }
        let stood: Vec<Vec<u32>> = needed.iter().map(|level| marked(level)).collect();
        let mut kept = Vocabulary::default();
        for &at in &stood[0] {
            kept.push_word(self.word(at as usize));
        }
        let words = places_of(&needed[0]);
        let mut parents = words.clone();
        for level in 1..needed.len() {
            let edge = |&at: &u32| {
                let [parent, word] = self.edges(level)[at as usize];
                [parents[parent as usize], words[word as usize]]
            };
            let edges = stood[level].iter().map(edge).collect();
            kept.push_level(edges);
            parents = places_of(&needed[level]);
        }
        (kept, stood)
    }

    /// For each n-gram, how many terms come before it in code point order of the texts of all levels; an n-gram comes
    /// before those that begin with it.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn ranks(&self, is_term: impl Fn(Place) -> bool, control: &dyn Control) -> Result<Vec<Vec<u32>>> {
        let one = |place| u32::from(is_term(place));
        // First how many terms each n-gram begins, itself included…
        let mut ranks: Vec<Vec<u32>> = self
            .lens()
            .enumerate()
            .map(|(level, len)| (0..len).map(|at| one((level, at))).collect())
            .collect();
        for level in (1..self.levels()).rev() {
            control.poll()?;
            let (before, these) = ranks.split_at_mut(level);
            for (&[parent, _], begun) in self.edges(level).iter().zip(&these[0]) {
                before[level - 1][parent as usize] += begun;
            }
        }
        // …then how many lie before it: next to its parent those of its elder siblings.
        let mut next = 0;
        for begun in &mut ranks[0] {
            (*begun, next) = (next, next + *begun);
        }
        for level in 1..self.levels() {
            control.poll()?;
            let (before, these) = ranks.split_at_mut(level);
            let (mut last, mut next) = (None, 0);
            for (&[parent, _], begun) in self.edges(level).iter().zip(&mut these[0]) {
                if last != Some(parent) {
                    let place = (level - 1, parent as usize);
                    (last, next) = (Some(parent), before[level - 1][parent as usize] + one(place));
                }
                (*begun, next) = (next, next + *begun);
            }
        }
        Ok(ranks)
    }
}

/// Walks along two sorted sequences; gives where the items of each stand in their union.
///
/// # Errors
/// What `control` returns.
fn merge_sorted(
    lens: [usize; 2],
    order: impl Fn(usize, usize) -> std::cmp::Ordering,
    control: &dyn Control,
    mut found: impl FnMut([Option<usize>; 2]),
) -> Result<[Vec<u32>; 2]> {
    use std::cmp::Ordering::{Equal, Greater, Less};
    let mut places = lens.map(Vec::with_capacity);
    let (mut a, mut b, mut next) = (0, 0, 0);
    let mut steps = Steps::new(control);
    while a < lens[0] || b < lens[1] {
        steps.pass(1)?;
        let first = match (a < lens[0], b < lens[1]) {
            (true, true) => order(a, b),
            (true, false) => Less,
            _ => Greater,
        };
        let both = [(first != Greater).then_some(a), (first != Less).then_some(b)];
        found(both);
        if first != Greater {
            places[0].push(next);
            a += 1;
        }
        if first != Less {
            places[1].push(next);
            b += 1;
        }
        debug_assert!(first == Equal || both.contains(&None));
        next += 1;
    }
    Ok(places)
}

/// The places of what is marked.
fn marked(marks: &[bool]) -> Vec<u32> {
    (0_u32..).zip(marks).filter(|(_, mark)| **mark).map(|(at, _)| at).collect()
}

/// For each place, how many before it are marked.
fn places_of(marks: &[bool]) -> Vec<u32> {
    let mut next = 0;
    let place = |&mark: &bool| {
        let place = next;
        next += u32::from(mark);
        place
    };
    marks.iter().map(place).collect()
}
