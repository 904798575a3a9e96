//! Hash tables for look-ups that wait for memory.
//!
//! Logs hold numbers, so a vocabulary has millions of terms that no cache holds, and time goes into waiting. Two things
//! are done about it. A look-up is answered from one cache line: the key lies in the slot itself (of words up to 16 bytes,
//! all of it), beside what is looked for. And slots can be touched ahead ([`KeyTable::touch`]), so that the look-ups of a
//! message wait side by side.

use std::hash::BuildHasher;
use std::sync::LazyLock;

use bytemuck::Pod;
use foldhash::fast::FixedState;

use crate::error::{Error, Result};

/// Hashes texts. Seeded anew in each process: whoever writes log lines must not be able to choose words that meet in one
/// slot. No result depends on the order of a hash table.
pub(crate) static HASHER: LazyLock<FixedState> = LazyLock::new(|| FixedState::with_seed(random()));

/// A number that nobody can foresee.
fn random() -> u64 {
    std::hash::RandomState::new().hash_one(0)
}

/// What makes the hashes of one table; see [`HASHER`].
#[derive(Debug, Clone, Copy)]
struct Factors(u64, u64);

impl Factors {
    fn new() -> Self {
        // An odd factor loses no bit.
        Factors(random(), random() | 1)
    }
}

#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// Zeroed slots. Their number need be no power of two: pages that hold nothing need not be asked for.
///
/// Large pages (`madvise`) were measured and left out: they make look-ups that wait for each other faster by a third,
/// those that were touched ahead by a tenth, and where the machine is a virtual one that gives free memory back to its
/// host, the first touch of each page costs more than that.
#[derive(Debug)]
struct Slots<T> {
    slots: Vec<T>,
}

impl<T: Pod> Slots<T> {
    /// Slots for as many entries, at most two thirds full.
    fn for_entries(entries: usize) -> Self {
        Slots { slots: vec![T::zeroed(); (entries + entries / 2 + 2).max(16)] }
    }

    fn bytes(&self) -> u64 {
        (self.slots.len() * size_of::<T>()) as u64
    }

    /// Where the search for a hash begins: its high bits, which are the best mixed, as a share of the slots.
    #[inline]
    fn home(&self, hash: u64) -> usize {
        home(hash, self.slots.len())
    }

    /// The slot after another.
    #[inline]
    fn next(&self, at: usize) -> usize {
        next(at, self.slots.len())
    }

    /// Whether one more entry would fill them by more than two thirds.
    #[inline]
    fn is_full(&self, entries: usize) -> bool {
        (entries + 1) * 3 > self.slots.len() * 2
    }

    /// Puts all entries into twice as many slots.
    fn grow(&mut self, is_empty: impl Fn(&T) -> bool, hash: impl Fn(&T) -> u64) {
        let len = self.slots.len() * 2;
        let mut grown = vec![T::zeroed(); len];
        for slot in self.slots.iter().filter(|slot| !is_empty(slot)) {
            let mut at = home(hash(slot), len);
            while !is_empty(&grown[at]) {
                at = next(at, len);
            }
            grown[at] = *slot;
        }
        self.slots = grown;
    }
}

#[inline]
fn home(hash: u64, len: usize) -> usize {
    ((u128::from(hash) * len as u128) >> 64) as usize
}

#[inline]
fn next(at: usize, len: usize) -> usize {
    if at + 1 == len { 0 } else { at + 1 }
}

/// What is kept for a key.
pub type Value = (u32, u32);

#[inline]
fn packed((first, second): Value) -> u64 {
    u64::from(first) | u64::from(second) << 32
}

#[inline]
fn unpacked(value: u64) -> Value {
    (value as u32, (value >> 32) as u32)
}

/// From numbers other than zero to values. A slot is a key and its value: four to a cache line, none across two.
#[derive(Debug)]
pub struct KeyTable {
    slots: Slots<[u64; 2]>,
    len: usize,
    factors: Factors,
}

impl KeyTable {
    /// A table with room for as many keys.
    pub fn with_capacity(keys: usize) -> Self {
        KeyTable { slots: Slots::for_entries(keys), len: 0, factors: Factors::new() }
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.slots.bytes()
    }

    /// Bytes in use while one more key is inserted.
    pub fn bytes_to_insert(&self) -> u64 {
        self.bytes() * if self.slots.is_full(self.len) { 3 } else { 1 }
    }

    #[inline]
    fn hash(key: u64, factors: Factors) -> u64 {
        mix(key ^ factors.0, factors.1)
    }

    #[inline]
    fn home(&self, key: u64) -> usize {
        self.slots.home(Self::hash(key, self.factors))
    }

    /// Reads the slot where the search for a key begins; see [`Touched`].
    #[inline]
    pub fn touch(&self, key: u64, touched: &mut Touched) {
        touched.0 ^= self.slots.slots[self.home(key)][0];
    }

    /// The value of a key.
    #[inline]
    pub fn find(&self, key: u64) -> Option<Value> {
        self.look(key).ok()
    }

    /// The value of a key, or the slot where it would be.
    #[inline]
    fn look(&self, key: u64) -> std::result::Result<Value, usize> {
        let mut at = self.home(key);
        loop {
            let [held, value] = self.slots.slots[at];
            if held == key {
                return Ok(unpacked(value));
            }
            if held == 0 {
                return Err(at);
            }
            at = self.slots.next(at);
        }
    }

    /// The value of a key, which is `value` if it was not known.
    ///
    /// # Errors
    /// What `check` returns.
    #[inline]
    pub fn find_or_insert(
        &mut self,
        key: u64,
        value: Value,
        check: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Value> {
        debug_assert_ne!(key, 0);
        match self.look(key) {
            Ok(found) => Ok(found),
            Err(at) => {
                check(self)?;
                self.insert(at, key, value);
                Ok(value)
            }
        }
    }

    #[inline]
    fn insert(&mut self, mut at: usize, key: u64, value: Value) {
        if self.slots.is_full(self.len) {
            let factors = self.factors;
            self.slots.grow(|slot| slot[0] == 0, |slot| Self::hash(slot[0], factors));
            at = self.look(key).err().unwrap_or(at);
        }
        self.slots.slots[at] = [key, packed(value)];
        self.len += 1;
    }
}

/// Collects what was read ahead, so that the compiler leaves the reads where they are. Between them nothing is decided:
/// the processor waits for all of them at once, and what looks the keys up afterwards waits no more.
#[derive(Debug, Default)]
pub struct Touched(u64);

impl Drop for Touched {
    #[inline]
    fn drop(&mut self) {
        std::hint::black_box(self.0);
    }
}

/// A word as slots hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordKey {
    low: u64,
    high: u64,
    len: u32,
}

/// Bytes of a word that fit into one number beside their count.
const SHORT: usize = 7;
/// Bytes of a word that its key holds in full.
const INLINE: usize = 16;

impl WordKey {
    /// The key of `text[start..end]`.
    #[expect(clippy::missing_panics_doc, reason = "the slices are as long as their ranges say")]
    #[inline]
    pub fn new(text: &str, start: usize, end: usize) -> Self {
        let bytes = text.as_bytes();
        let len = end - start;
        let eight = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        if len <= SHORT {
            // One read and a mask, where the text goes on far enough; most words are short.
            let low = if start + 8 <= bytes.len() {
                eight(start) & ((1 << (8 * len)) - 1)
            } else {
                bytes[start..end].iter().rev().fold(0, |low, &byte| low << 8 | u64::from(byte))
            };
            // The count is one too high, so that no key is zero.
            return WordKey { low: low | (len as u64 + 1) << 56, high: 0, len: len as u32 };
        }
        // Both halves may overlap: with the length they still tell the word.
        let low = if len <= INLINE { eight(start) } else { HASHER.hash_one(&text[start..end]) };
        WordKey { low, high: eight(end - 8), len: len as u32 }
    }

    /// The key of a whole text.
    #[inline]
    pub fn of(word: &str) -> Self {
        WordKey::new(word, 0, word.len())
    }

    #[inline]
    fn is_short(self) -> bool {
        self.len as usize <= SHORT
    }

    #[inline]
    fn hash(self, factors: Factors) -> u64 {
        mix(self.low ^ factors.0, self.high ^ factors.1 ^ u64::from(self.len) << 56)
    }
}

/// From words to values.
#[derive(Debug)]
pub struct WordTable {
    short: KeyTable,
    longer: LongerTable,
}

impl WordTable {
    /// A table with room for as many words up to seven bytes, and longer ones.
    pub fn with_capacity(short: usize, longer: usize) -> Self {
        WordTable { short: KeyTable::with_capacity(short), longer: LongerTable::with_capacity(longer) }
    }

    /// Whether a word belongs to the first of [`Self::with_capacity`]'s two numbers.
    pub fn is_short(word: &str) -> bool {
        word.len() <= SHORT
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.short.bytes() + self.longer.bytes()
    }

    /// Bytes in use while one more word is inserted.
    pub fn bytes_to_insert(&self, word: &str) -> u64 {
        if WordTable::is_short(word) {
            self.short.bytes_to_insert() + self.longer.bytes()
        } else {
            self.short.bytes() + self.longer.bytes_to_insert(word)
        }
    }

    /// Reads the slots of words ahead; see [`Touched`].
    #[inline]
    pub fn touch(&self, keys: &[WordKey]) {
        let mut touched = Touched::default();
        for &key in keys {
            if key.is_short() {
                self.short.touch(key.low, &mut touched);
            } else {
                self.longer.touch(key, &mut touched);
            }
        }
    }

    /// The value of a word.
    #[inline]
    pub fn find(&self, key: WordKey, word: &str) -> Option<Value> {
        if key.is_short() { self.short.find(key.low) } else { self.longer.look(key, word).ok() }
    }

    /// The value of a word, which is `value` if it was not known.
    ///
    /// # Errors
    /// What `check` returns, and [`Error::Memory`].
    #[inline]
    pub fn find_or_insert(
        &mut self,
        key: WordKey,
        word: &str,
        value: Value,
        check: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Value> {
        if let Some(found) = self.find(key, word) {
            return Ok(found);
        }
        check(self)?;
        if key.is_short() {
            self.short.find_or_insert(key.low, value, |_| Ok(()))
        } else {
            self.longer.insert(key, word, value).map(|()| value)
        }
    }
}

/// From words of more than seven bytes to values. A slot is both halves of the key; the length and, of words that the
/// halves do not hold, where the text begins; and the value. Two to a cache line, none across two.
#[derive(Debug)]
struct LongerTable {
    slots: Slots<[u64; 4]>,
    len: usize,
    /// Words that are not inline, one after the other.
    text: String,
    factors: Factors,
}

impl LongerTable {
    fn with_capacity(words: usize) -> Self {
        LongerTable { slots: Slots::for_entries(words), len: 0, text: String::new(), factors: Factors::new() }
    }

    fn bytes(&self) -> u64 {
        self.slots.bytes() + self.text.capacity() as u64
    }

    fn bytes_to_insert(&self, word: &str) -> u64 {
        let growth = if self.slots.is_full(self.len) { self.slots.bytes() * 2 } else { 0 };
        // A text that is full doubles, and is held twice meanwhile.
        self.bytes() + growth + (2 * self.text.len() + word.len()) as u64
    }

    #[inline]
    fn key(slot: &[u64; 4]) -> WordKey {
        WordKey { low: slot[0], high: slot[1], len: slot[2] as u32 }
    }

    #[inline]
    fn touch(&self, key: WordKey, touched: &mut Touched) {
        touched.0 ^= self.slots.slots[self.slots.home(key.hash(self.factors))][0];
    }

    #[inline]
    fn look(&self, key: WordKey, word: &str) -> std::result::Result<Value, usize> {
        let mut at = self.slots.home(key.hash(self.factors));
        loop {
            let slot = &self.slots.slots[at];
            // No length is zero.
            if slot[2] == 0 {
                return Err(at);
            }
            let is_same = Self::key(slot) == key;
            if is_same && (word.len() <= INLINE || self.text[(slot[2] >> 32) as usize..].starts_with(word)) {
                return Ok(unpacked(slot[3]));
            }
            at = self.slots.next(at);
        }
    }

    fn insert(&mut self, key: WordKey, word: &str, value: Value) -> Result<()> {
        if self.slots.is_full(self.len) {
            let factors = self.factors;
            self.slots.grow(|slot| slot[2] == 0, |slot| Self::key(slot).hash(factors));
        }
        let start = self.text.len() as u64;
        if word.len() > INLINE {
            if start + word.len() as u64 > u64::from(u32::MAX) {
                return Err(Error::TooMany { what: "bytes of long words", max: u64::from(u32::MAX) });
            }
            self.text.push_str(word);
        }
        if let Err(at) = self.look(key, word) {
            self.slots.slots[at] = [key.low, key.high, u64::from(key.len) | start << 32, packed(value)];
            self.len += 1;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_found_as_in_a_hash_map(words in prop::collection::vec("[ab\u{e9}0-3]{1,20}", 0..200), inside in any::<bool>()) {
            let (mut table, mut map) = (WordTable::with_capacity(0, 0), HashMap::new());
            for (number, word) in words.iter().enumerate() {
                let value = (number as u32, 7);
                // The key of a word within a longer text is that of the word alone.
                let text = if inside { format!("..{word}.........") } else { format!("..{word}") };
                let key = WordKey::new(&text, 2, 2 + word.len());
                prop_assert_eq!(key, WordKey::of(word));
                let expected = *map.entry(word.clone()).or_insert(value);
                prop_assert_eq!(table.find_or_insert(key, word, value, |_| Ok(())).unwrap(), expected);
            }
            for word in &words {
                prop_assert_eq!(table.find(WordKey::of(word), word), map.get(word).copied());
                let other = format!("{word}x");
                prop_assert_eq!(table.find(WordKey::of(&other), &other), None);
            }
        }
    }

    #[test]
    fn many_keys_are_found() {
        let mut table = KeyTable::with_capacity(0);
        let keys = || (1..200_000_u64).map(|key| key * key);
        for (number, key) in keys().enumerate() {
            table.find_or_insert(key, (number as u32, 1), |_| Ok(())).unwrap();
        }
        assert!(keys().enumerate().all(|(number, key)| table.find(key) == Some((number as u32, 1))));
        assert_eq!(table.find(2), None);
    }
}
