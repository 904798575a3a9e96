//! N-grams without strings: a word has a number, and an n-gram is told by the n-gram before its last word and that
//! word.
//!
//! Logs hold numbers, so a vocabulary has hundreds of thousands of terms that no cache holds, and time goes into
//! waiting for memory. The tables here ([`WordTable`], [`EdgeTable`]) answer a look-up from one cache line: the key
//! lies in the slot itself (of words up to 16 bytes, all of it), beside what is looked for.

use std::hash::BuildHasher;

use crate::error::{Error, Result};

/// Seeded once and for all: no result may depend on the order of a hash table, and none does, but a run must
/// also be repeatable under a debugger.
pub(crate) const HASHER: foldhash::fast::FixedState =
    foldhash::fast::FixedState::with_seed(0x6c6f_6769_6e74_656c);

/// The number of a word or n-gram.
pub type Node = u32;

/// Stands for no node.
pub const NO_NODE: Node = u32::MAX;

/// Factors of the hashes. No UTF-8 text has a byte of all ones, so no word makes a factor zero.
const FACTORS: (u64, u64) = (0xff51_afd7_ed55_8ccd, 0xffb3_4b1b_2a7c_15c5);

#[inline]
fn mix(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    product as u64 ^ (product >> 64) as u64
}

/// A word as slots hold it: words are equal if length and both halves are, and for longer ones the text too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WordKey {
    low: u64,
    high: u64,
    len: u32,
}

/// Bytes of a word that its key holds in full.
const INLINE: usize = 16;

impl WordKey {
    /// The key of a word.
    #[expect(clippy::missing_panics_doc, reason = "the slices are as long as their ranges say")]
    #[inline]
    pub fn new(word: &str) -> Self {
        let bytes = word.as_bytes();
        let len = bytes.len();
        let eight = |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("eight bytes"));
        let four =
            |at: usize| u64::from(u32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes")));
        // Both halves may overlap: with the length they still tell the word.
        let (low, high) = match len {
            0 => (0, 0),
            1..=3 => (u64::from(bytes[0]) | u64::from(bytes[len / 2]) << 8, u64::from(bytes[len - 1])),
            4..=7 => (four(0), four(len - 4)),
            8..=INLINE => (eight(0), eight(len - 8)),
            _ => (HASHER.hash_one(word), eight(len - 8)),
        };
        WordKey { low, high, len: len as u32 }
    }

    #[inline]
    fn hash(self) -> u64 {
        mix(self.low ^ FACTORS.0, self.high ^ FACTORS.1 ^ u64::from(self.len) << 56)
    }
}

/// The slot of a table of `1 << bits` where the search for a hash begins.
#[inline]
fn home(hash: u64, slots: usize) -> usize {
    // The high bits are the best mixed.
    (hash >> 32) as usize & (slots - 1)
}

/// Slots needed to hold as many entries at most two thirds full.
fn slots_for(entries: usize) -> usize {
    (entries + entries / 2 + 1).next_power_of_two().max(16)
}

/// Two to a cache line, and never across two.
#[repr(align(32))]
#[derive(Debug, Clone, Copy)]
struct WordSlot {
    low: u64,
    high: u64,
    len: u32,
    /// Where the text of a word that is not inline begins.
    start: u32,
    /// [`NO_NODE`] in an empty slot.
    node: Node,
    extra: u32,
}

/// From words to nodes.
#[derive(Debug, Clone)]
pub struct WordTable {
    slots: Vec<WordSlot>,
    len: usize,
    /// Words that are not inline, one after the other.
    long: String,
}

impl WordTable {
    const EMPTY: WordSlot = WordSlot { low: 0, high: 0, len: 0, start: 0, node: NO_NODE, extra: 0 };

    /// A table with room for as many words.
    pub fn with_capacity(words: usize) -> Self {
        WordTable { slots: vec![Self::EMPTY; slots_for(words)], len: 0, long: String::new() }
    }

    /// Number of words.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        (self.slots.len() * size_of::<WordSlot>() + self.long.capacity()) as u64
    }

    /// Bytes in use while one more word is inserted.
    pub fn bytes_to_insert(&self, word: &str) -> u64 {
        let growth = if self.is_full() { self.slots.len() * 2 * size_of::<WordSlot>() } else { 0 };
        self.bytes() + (growth + self.long.len() + word.len()) as u64
    }

    fn is_full(&self) -> bool {
        self.len * 3 >= self.slots.len() * 2
    }

    /// The node and extra value of a word, or the slot where it would be.
    #[inline]
    fn look(&self, key: WordKey, word: &str) -> std::result::Result<(Node, u32), usize> {
        let mask = self.slots.len() - 1;
        let mut at = home(key.hash(), self.slots.len());
        loop {
            let slot = &self.slots[at];
            if slot.node == NO_NODE {
                return Err(at);
            }
            let same = slot.low == key.low && slot.high == key.high && slot.len == key.len;
            if same && (word.len() <= INLINE || self.long[slot.start as usize..].starts_with(word)) {
                return Ok((slot.node, slot.extra));
            }
            at = (at + 1) & mask;
        }
    }

    /// Reads the slots of some words, one after the other without a decision between them: the processor waits for all
    /// of them at once, and what looks the words up afterwards waits no more.
    #[inline]
    pub fn touch(&self, keys: &[WordKey]) {
        let nodes = keys.iter().map(|key| self.slots[home(key.hash(), self.slots.len())].node);
        std::hint::black_box(nodes.fold(0, std::ops::BitXor::bitxor));
    }

    /// The node and extra value of a word, if known.
    #[inline]
    pub fn find(&self, key: WordKey, word: &str) -> Option<(Node, u32)> {
        self.look(key, word).ok()
    }

    /// The node of a word, which is `node` (with `extra`) if it was not known.
    ///
    /// # Errors
    /// [`Error::Memory`] if `check` says so or the text would pass 4 GB.
    #[inline]
    pub fn find_or_insert(
        &mut self,
        key: WordKey,
        word: &str,
        (node, extra): (Node, u32),
        check: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Node> {
        match self.look(key, word) {
            Ok((node, _)) => Ok(node),
            Err(at) => {
                check(self)?;
                self.insert(at, key, word, node, extra)?;
                Ok(node)
            }
        }
    }

    fn insert(&mut self, at: usize, key: WordKey, word: &str, node: Node, extra: u32) -> Result<()> {
        let start = u32::try_from(self.long.len() + word.len()).map_err(|_| Error::Memory {
            what: "the vocabulary's long words",
            needed: self.long.len() as u64,
            allowed: u64::from(u32::MAX),
        })? - word.len() as u32;
        if word.len() > INLINE {
            self.long.push_str(word);
        }
        self.slots[at] = WordSlot { low: key.low, high: key.high, len: key.len, start, node, extra };
        self.len += 1;
        if self.is_full() {
            let grown = vec![Self::EMPTY; self.slots.len() * 2];
            let mask = grown.len() - 1;
            for slot in std::mem::replace(&mut self.slots, grown) {
                if slot.node != NO_NODE {
                    let key = WordKey { low: slot.low, high: slot.high, len: slot.len };
                    let mut at = home(key.hash(), mask + 1);
                    while self.slots[at].node != NO_NODE {
                        at = (at + 1) & mask;
                    }
                    self.slots[at] = slot;
                }
            }
        }
        Ok(())
    }
}

/// Four to a cache line, and never across two.
#[repr(align(16))]
#[derive(Debug, Clone, Copy)]
struct EdgeSlot {
    parent: Node,
    word: Node,
    /// [`NO_NODE`] in an empty slot.
    node: Node,
    extra: u32,
}

impl EdgeSlot {
    #[inline]
    fn hash(parent: Node, word: Node) -> u64 {
        mix((u64::from(parent) << 32 | u64::from(word)) ^ FACTORS.0, FACTORS.1)
    }
}

/// From an n-gram and one more word to the longer n-gram.
#[derive(Debug, Clone)]
pub struct EdgeTable {
    slots: Vec<EdgeSlot>,
    len: usize,
}

impl EdgeTable {
    const EMPTY: EdgeSlot = EdgeSlot { parent: 0, word: 0, node: NO_NODE, extra: 0 };

    /// A table with room for as many n-grams.
    pub fn with_capacity(edges: usize) -> Self {
        EdgeTable { slots: vec![Self::EMPTY; slots_for(edges)], len: 0 }
    }

    /// Number of n-grams.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        (self.slots.len() * size_of::<EdgeSlot>()) as u64
    }

    /// Bytes in use while one more n-gram is inserted.
    pub fn bytes_to_insert(&self) -> u64 {
        self.bytes() * if self.is_full() { 3 } else { 1 }
    }

    fn is_full(&self) -> bool {
        self.len * 3 >= self.slots.len() * 2
    }

    #[inline]
    fn look(&self, parent: Node, word: Node) -> std::result::Result<(Node, u32), usize> {
        let mask = self.slots.len() - 1;
        let mut at = home(EdgeSlot::hash(parent, word), self.slots.len());
        loop {
            let slot = &self.slots[at];
            if slot.node == NO_NODE {
                return Err(at);
            }
            if slot.parent == parent && slot.word == word {
                return Ok((slot.node, slot.extra));
            }
            at = (at + 1) & mask;
        }
    }

    /// Reads the slots of some n-grams, as [`WordTable::touch`] does.
    #[inline]
    pub fn touch(&self, parents: &[Node], words: &[Node]) {
        let slot = |(&parent, &word)| home(EdgeSlot::hash(parent, word), self.slots.len());
        let nodes = parents.iter().zip(words).map(|pair| self.slots[slot(pair)].node);
        std::hint::black_box(nodes.fold(0, std::ops::BitXor::bitxor));
    }

    /// The node and extra value of an n-gram, if known.
    #[inline]
    pub fn find(&self, parent: Node, word: Node) -> Option<(Node, u32)> {
        self.look(parent, word).ok()
    }

    /// The node of an n-gram, which is `node` (with `extra`) if it was not known.
    ///
    /// # Errors
    /// What `check` returns.
    #[inline]
    pub fn find_or_insert(
        &mut self,
        (parent, word): (Node, Node),
        (node, extra): (Node, u32),
        check: impl FnOnce(&Self) -> Result<()>,
    ) -> Result<Node> {
        match self.look(parent, word) {
            Ok((node, _)) => Ok(node),
            Err(at) => {
                check(self)?;
                self.slots[at] = EdgeSlot { parent, word, node, extra };
                self.len += 1;
                if self.is_full() {
                    self.grow();
                }
                Ok(node)
            }
        }
    }

    fn grow(&mut self) {
        let grown = vec![Self::EMPTY; self.slots.len() * 2];
        let mask = grown.len() - 1;
        for slot in std::mem::replace(&mut self.slots, grown) {
            if slot.node != NO_NODE {
                let mut at = home(EdgeSlot::hash(slot.parent, slot.word), mask + 1);
                while self.slots[at].node != NO_NODE {
                    at = (at + 1) & mask;
                }
                self.slots[at] = slot;
            }
        }
    }
}

/// Words and n-grams, numbered in order of their first occurrence.
#[derive(Debug, Clone)]
pub struct NgramTrie {
    words: WordTable,
    edges: EdgeTable,
    nodes: Vec<NodeKey>,
    /// All words, one after the other.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u64>,
    max_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct NodeKey {
    /// The n-gram without its last word; [`NO_NODE`] for a single word.
    parent: Node,
    /// The node of the last word; of a single word, its place in `ends`.
    word: u32,
}

impl NgramTrie {
    /// An empty trie that refuses to grow past `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        NgramTrie {
            words: WordTable::with_capacity(0),
            edges: EdgeTable::with_capacity(0),
            nodes: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            max_bytes,
        }
    }

    /// Bytes in use.
    pub fn bytes(&self) -> u64 {
        self.words.bytes() + self.edges.bytes() + plain_bytes(&self.text, &self.ends, &self.nodes)
    }

    /// Number of n-grams, single words included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node of a single word, new if need be.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound.
    #[inline]
    pub fn insert_word(&mut self, word: &str) -> Result<Node> {
        self.insert_key(WordKey::new(word), word)
    }

    /// [`Self::insert_word`] of a word whose key is known.
    ///
    /// # Errors
    /// As it.
    #[inline]
    pub fn insert_key(&mut self, key: WordKey, word: &str) -> Result<Node> {
        let NgramTrie { words, edges, nodes, text, ends, max_bytes } = self;
        let next = nodes.len() as Node;
        let node = words.find_or_insert(key, word, (next, 0), |words| {
            let others = edges.bytes() + plain_bytes(text, ends, nodes);
            room(next, words.bytes_to_insert(word) + others, *max_bytes)
        })?;
        if node == next {
            text.push_str(word);
            nodes.push(NodeKey { parent: NO_NODE, word: ends.len() as u32 });
            ends.push(text.len() as u64);
        }
        Ok(node)
    }

    /// The node of an n-gram followed by one more word, new if need be; the word is given by its own node.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound.
    #[inline]
    pub fn insert_child(&mut self, parent: Node, word: Node) -> Result<Node> {
        let NgramTrie { words, edges, nodes, text, ends, max_bytes } = self;
        let next = nodes.len() as Node;
        let node = edges.find_or_insert((parent, word), (next, 0), |edges| {
            let others = words.bytes() + plain_bytes(text, ends, nodes);
            room(next, edges.bytes_to_insert() + others, *max_bytes)
        })?;
        if node == next {
            nodes.push(NodeKey { parent, word });
        }
        Ok(node)
    }

    /// Where words are found.
    pub fn word_table(&self) -> &WordTable {
        &self.words
    }

    /// Where n-grams are found.
    pub fn edge_table(&self) -> &EdgeTable {
        &self.edges
    }

    /// The n-gram without its last word, and the node of that word; `None` for a single word.
    #[inline]
    pub fn parent(&self, node: Node) -> Option<(Node, Node)> {
        let NodeKey { parent, word } = self.nodes[node as usize];
        (parent != NO_NODE).then_some((parent, word))
    }

    /// The text of a single word's node.
    pub fn word_text(&self, node: Node) -> &str {
        let at = self.nodes[node as usize].word as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    /// Calls `found` with each node for which `keep` holds and its text, in code point order of the texts.
    ///
    /// Texts are words joined by spaces, and no word of an n-gram has a character up to the space, so the order of
    /// texts is that of sequences of words: words are sorted once, n-grams by numbers.
    pub fn for_each_in_order(&self, keep: impl Fn(Node) -> bool, mut found: impl FnMut(Node, &str)) {
        // Beside the nodes to keep, their words and what they begin with.
        let mut needed: Vec<bool> = (0..self.len() as Node).map(&keep).collect();
        let mut depths = vec![0_u8; self.len()];
        for node in 0..self.len() {
            if let Some((parent, _)) = self.parent(node as Node) {
                depths[node] = depths[parent as usize] + 1;
            }
        }
        for node in (0..self.len()).rev() {
            if let Some((parent, word)) = self.parent(node as Node).filter(|_| needed[node]) {
                (needed[parent as usize], needed[word as usize]) = (true, true);
            }
        }
        let deepest = depths.iter().max().copied().unwrap_or(0);
        // The place of each node among those of its length.
        let mut places: Vec<u32> = vec![0; self.len()];
        let mut levels: Vec<Vec<Node>> = Vec::new();
        for depth in 0..=deepest {
            let nodes = (0..self.len() as Node)
                .filter(|&node| needed[node as usize] && depths[node as usize] == depth);
            let level = if depth == 0 { self.sorted_words(nodes) } else { self.sorted_edges(nodes, &places) };
            for (place, &node) in level.iter().enumerate() {
                places[node as usize] = place as u32;
            }
            levels.push(level);
        }
        let mut walk =
            Walk { trie: self, levels, next: vec![0; usize::from(deepest) + 1], text: String::new() };
        while let Some(node) = walk.take(0, NO_NODE) {
            walk.emit(0, node, &keep, &mut found);
        }
    }

    fn sorted_words(&self, nodes: impl Iterator<Item = Node>) -> Vec<Node> {
        // Most words differ in their first eight bytes, and numbers compare without a visit to the text.
        let head = |text: &str| {
            let mut bytes = [0; 8];
            let len = text.len().min(8);
            bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
            u64::from_be_bytes(bytes)
        };
        let mut words: Vec<(u64, Node)> = nodes.map(|node| (head(self.word_text(node)), node)).collect();
        words.sort_unstable_by(|a, b| {
            a.0.cmp(&b.0).then_with(|| self.word_text(a.1).cmp(self.word_text(b.1)))
        });
        words.into_iter().map(|(_, node)| node).collect()
    }

    fn sorted_edges(&self, nodes: impl Iterator<Item = Node>, places: &[u32]) -> Vec<Node> {
        let place = |node: Node| u64::from(places[node as usize]);
        let key = |node: Node| {
            let NodeKey { parent, word } = self.nodes[node as usize];
            (place(parent) << 32 | place(word), node)
        };
        let mut edges: Vec<(u64, Node)> = nodes.map(key).collect();
        edges.sort_unstable();
        edges.into_iter().map(|(_, node)| node).collect()
    }
}

/// A walk over sorted levels of a trie, each node followed by what begins with it.
struct Walk<'a> {
    trie: &'a NgramTrie,
    levels: Vec<Vec<Node>>,
    /// The first node of each level that was not visited.
    next: Vec<usize>,
    /// The text of the n-gram at hand.
    text: String,
}

impl Walk<'_> {
    /// The next node of a level if it has this parent.
    fn take(&mut self, level: usize, parent: Node) -> Option<Node> {
        let node = *self.levels.get(level)?.get(self.next[level])?;
        (self.trie.nodes[node as usize].parent == parent).then(|| {
            self.next[level] += 1;
            node
        })
    }

    fn emit(
        &mut self,
        level: usize,
        node: Node,
        keep: &dyn Fn(Node) -> bool,
        found: &mut dyn FnMut(Node, &str),
    ) {
        let before = self.text.len();
        match self.trie.parent(node) {
            None => self.text.push_str(self.trie.word_text(node)),
            Some((_, word)) => {
                self.text.push(' ');
                self.text.push_str(self.trie.word_text(word));
            }
        }
        if keep(node) {
            found(node, &self.text);
        }
        while let Some(child) = self.take(level + 1, node) {
            self.emit(level + 1, child, keep, found);
        }
        self.text.truncate(before);
    }
}

/// Bytes of a trie beside its tables.
fn plain_bytes(text: &String, ends: &Vec<u64>, nodes: &Vec<NodeKey>) -> u64 {
    (text.capacity() + ends.capacity() * size_of::<u64>() + nodes.capacity() * size_of::<NodeKey>()) as u64
}

fn room(nodes: u32, needed: u64, allowed: u64) -> Result<()> {
    if needed > allowed || nodes >= NO_NODE - 1 {
        return Err(Error::Memory { what: "the vocabulary", needed, allowed });
    }
    Ok(())
}
