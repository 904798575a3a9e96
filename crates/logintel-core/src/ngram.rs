//! N-grams without strings: a trie whose edges are words.
//!
//! Words are interned once; an n-gram is a path of word numbers, so counting `disk failure` again costs two
//! hash look-ups of eight bytes and no allocation. Analyzers whose n-grams are not words joined by spaces
//! store each n-gram as one word.

use hashbrown::HashTable;
use std::hash::BuildHasher;

use crate::error::{Error, Result};

/// Seeded once and for all: no result may depend on the order of a hash table, and none does, but a run must
/// also be repeatable under a debugger.
pub(crate) const HASHER: foldhash::fast::FixedState =
    foldhash::fast::FixedState::with_seed(0x6c6f_6769_6e74_656c);

/// The number of an n-gram.
pub type Node = u32;

/// Words and n-grams, numbered in order of their first occurrence.
#[derive(Debug, Clone)]
pub struct NgramTrie {
    /// All words, one after the other.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<usize>,
    /// Node of each word.
    word_nodes: Vec<Node>,
    words: HashTable<u32>,
    nodes: Vec<NodeKey>,
    edges: HashTable<Node>,
    max_bytes: u64,
}

#[derive(Debug, Clone, Copy)]
struct NodeKey {
    /// The n-gram without its last word; [`ROOT`] for a single word.
    parent: Node,
    word: u32,
}

const ROOT: Node = u32::MAX;
/// Bytes of a node and its table entry, for the memory bound.
const NODE_BYTES: u64 = 24;

impl NgramTrie {
    /// An empty trie that refuses to grow past `max_bytes`.
    pub fn new(max_bytes: u64) -> Self {
        NgramTrie {
            text: String::new(),
            ends: Vec::new(),
            word_nodes: Vec::new(),
            words: HashTable::new(),
            nodes: Vec::new(),
            edges: HashTable::new(),
            max_bytes,
        }
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> u64 {
        self.text.capacity() as u64 + self.ends.len() as u64 * 32 + self.nodes.len() as u64 * NODE_BYTES
    }

    /// Number of n-grams, single words included.
    pub fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty()
    }

    /// The node of a single word, if known.
    #[inline]
    pub fn find_word(&self, word: &str) -> Option<Node> {
        let hash = HASHER.hash_one(word);
        let id = self.words.find(hash, |&id| self.word(id) == word)?;
        Some(self.word_nodes[*id as usize])
    }

    /// The node of an n-gram followed by one more word, if known; the word is given by its own node.
    #[inline]
    pub fn find_child(&self, parent: Node, word: Node) -> Option<Node> {
        let key = (parent, self.nodes[word as usize].word);
        self.edges.find(edge_hash(key), |&node| self.key(node) == key).copied()
    }

    /// The node of a single word, new if need be.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound.
    #[inline]
    pub fn insert_word(&mut self, word: &str) -> Result<Node> {
        let hash = HASHER.hash_one(word);
        if let Some(id) = self.words.find(hash, |&id| self.word(id) == word) {
            return Ok(self.word_nodes[*id as usize]);
        }
        self.check_room(word.len())?;
        let id = self.ends.len() as u32;
        self.text.push_str(word);
        self.ends.push(self.text.len());
        let node = self.nodes.len() as Node;
        self.nodes.push(NodeKey { parent: ROOT, word: id });
        self.word_nodes.push(node);
        let (text, ends) = (&self.text, &self.ends);
        self.words.insert_unique(hash, id, |&id| HASHER.hash_one(word_of(text, ends, id)));
        Ok(node)
    }

    /// The node of an n-gram followed by one more word, new if need be.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound.
    #[inline]
    pub fn insert_child(&mut self, parent: Node, word: Node) -> Result<Node> {
        let word = self.nodes[word as usize].word;
        let key = (parent, word);
        let nodes = &self.nodes;
        let hash = edge_hash(key);
        if let Some(&node) = self.edges.find(hash, |&node| key_of(nodes, node) == key) {
            return Ok(node);
        }
        self.check_room(0)?;
        let node = self.nodes.len() as Node;
        self.nodes.push(NodeKey { parent, word });
        let nodes = &self.nodes;
        self.edges.insert_unique(hash, node, |&node| edge_hash(key_of(nodes, node)));
        Ok(node)
    }

    /// The n-gram without its last word, and the node of that word; `None` for a single word.
    pub fn parent(&self, node: Node) -> Option<(Node, Node)> {
        let NodeKey { parent, word } = self.nodes[node as usize];
        (parent != ROOT).then(|| (parent, self.word_nodes[word as usize]))
    }

    /// The n-gram's words, first to last, as nodes.
    pub fn words_of(&self, mut node: Node) -> Vec<Node> {
        let mut words = Vec::new();
        loop {
            let NodeKey { parent, word } = self.nodes[node as usize];
            words.push(self.word_nodes[word as usize]);
            if parent == ROOT {
                words.reverse();
                return words;
            }
            node = parent;
        }
    }

    /// The text of a single word's node.
    pub fn word_text(&self, node: Node) -> &str {
        self.word(self.nodes[node as usize].word)
    }

    /// The n-gram's text: its words joined by spaces.
    pub fn term(&self, node: Node) -> String {
        let words: Vec<_> = self.words_of(node).into_iter().map(|word| self.word_text(word)).collect();
        words.join(" ")
    }

    fn word(&self, id: u32) -> &str {
        word_of(&self.text, &self.ends, id)
    }

    fn key(&self, node: Node) -> (Node, u32) {
        key_of(&self.nodes, node)
    }

    fn check_room(&self, more: usize) -> Result<()> {
        let needed = self.bytes() + more as u64 + NODE_BYTES + 32;
        if needed > self.max_bytes || self.nodes.len() >= ROOT as usize - 1 {
            return Err(Error::Memory { what: "the vocabulary", needed, allowed: self.max_bytes });
        }
        Ok(())
    }
}

fn word_of<'a>(text: &'a str, ends: &[usize], id: u32) -> &'a str {
    let id = id as usize;
    let start = if id == 0 { 0 } else { ends[id - 1] };
    &text[start..ends[id]]
}

fn key_of(nodes: &[NodeKey], node: Node) -> (Node, u32) {
    let NodeKey { parent, word } = nodes[node as usize];
    (parent, word)
}

#[inline]
fn edge_hash((parent, word): (Node, u32)) -> u64 {
    HASHER.hash_one(u64::from(parent) << 32 | u64::from(word))
}
