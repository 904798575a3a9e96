//! N-grams counted without strings: a word has a number, and an n-gram is told by the n-gram before its last word
//! and that word.

use crate::control::Watch;
use crate::error::{Error, Result};
use crate::sort::sort_watched;
use crate::table::{KeyTable, Touched, WordKey, WordTable};
use crate::vocabulary::Vocabulary;

/// The number of a word or n-gram.
pub type Node = u32;

/// Stands for no node.
pub const NO_NODE: Node = u32::MAX;

/// What an n-gram is found by: the n-gram without its last word, and the node of that word. Never zero.
#[inline]
pub fn edge_key(parent: Node, word: Node) -> u64 {
    (u64::from(parent) + 1) << 32 | u64::from(word)
}

/// Reads the slots of n-grams ahead, as [`WordTable::touch`] does those of words.
#[inline]
pub fn touch_edges(edges: &KeyTable, parents: &[Node], words: &[Node]) {
    let mut touched = Touched::default();
    for (&parent, &word) in parents.iter().zip(words) {
        edges.touch(edge_key(parent, word), &mut touched);
    }
}

/// Words and n-grams, numbered in order of their first occurrence.
#[derive(Debug)]
pub struct NgramTrie {
    words: WordTable,
    edges: KeyTable,
    nodes: Vec<NodeKey>,
    /// All words, one after the other.
    text: String,
    /// Where each word ends in `text`.
    ends: Vec<u32>,
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
    ///
    /// # Errors
    /// [`Error::Memory`].
    pub fn new(max_bytes: u64) -> Result<Self> {
        Ok(NgramTrie {
            words: WordTable::with_capacity(0, 0)?,
            edges: KeyTable::with_capacity(0)?,
            nodes: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            max_bytes,
        })
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
    pub fn insert_word(&mut self, key: WordKey, word: &str) -> Result<Node> {
        let NgramTrie { words, edges, nodes, text, ends, max_bytes } = self;
        let next = nodes.len() as Node;
        let (node, _) = words.find_or_insert(key, word, (next, 0), |words| {
            let others = edges.bytes() + plain_bytes(text, ends, nodes);
            room(next, words.bytes_to_insert(word) + others, *max_bytes)?;
            // Where words end are 32-bit numbers.
            room(next, (text.len() + word.len()) as u64, u64::from(u32::MAX))
        })?;
        if node == next {
            text.push_str(word);
            nodes.push(NodeKey { parent: NO_NODE, word: ends.len() as u32 });
            ends.push(text.len() as u32);
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
        let (node, _) = edges.find_or_insert(edge_key(parent, word), (next, 0), |edges| {
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
    pub fn edge_table(&self) -> &KeyTable {
        &self.edges
    }

    /// The text of the `at`-th single word.
    #[inline]
    fn word_text(&self, at: u32) -> &str {
        let at = at as usize;
        let start = if at == 0 { 0 } else { self.ends[at - 1] as usize };
        &self.text[start..self.ends[at] as usize]
    }

    /// The same n-grams in order, and for each level the node of each n-gram.
    ///
    /// # Errors
    /// What `watch` returns.
    pub fn sorted(&self, watch: Watch) -> Result<(Vocabulary, Vec<Vec<Node>>)> {
        let words = self.sorted_words(watch)?;
        // The place of each node among those of its length.
        let mut places: Vec<u32> = vec![0; self.nodes.len()];
        let mut vocabulary = Vocabulary::default();
        for (place, &node) in words.iter().enumerate() {
            places[node as usize] = place as u32;
            vocabulary.push_word(self.word_text(self.nodes[node as usize].word));
        }
        let mut levels = vec![words];
        let key = |&([parent, word], _): &([u32; 2], Node)| u64::from(parent) << 32 | u64::from(word);
        for nodes in self.by_length().into_iter().skip(1) {
            // N-grams in order are those of their places: numbers, where words were texts.
            let mut level: Vec<([u32; 2], Node)> = nodes
                .into_iter()
                .map(|node| {
                    let NodeKey { parent, word } = self.nodes[node as usize];
                    ([places[parent as usize], places[word as usize]], node)
                })
                .collect();
            sort_watched(&mut level, |a, b| key(a).cmp(&key(b)), watch)?;
            for (place, &(_, node)) in level.iter().enumerate() {
                places[node as usize] = place as u32;
            }
            vocabulary.push_level(level.iter().map(|&(edge, _)| edge).collect());
            levels.push(level.into_iter().map(|(_, node)| node).collect());
        }
        Ok((vocabulary, levels))
    }

    fn sorted_words(&self, watch: Watch) -> Result<Vec<Node>> {
        // Most words differ in their first eight bytes, and numbers compare without a visit to the text.
        let head = |text: &str| {
            let mut bytes = [0; 8];
            let len = text.len().min(8);
            bytes[..len].copy_from_slice(&text.as_bytes()[..len]);
            u64::from_be_bytes(bytes)
        };
        let nodes = (0..self.nodes.len() as Node).zip(&self.nodes);
        let mut words: Vec<(u64, Node)> = nodes
            .filter(|(_, key)| key.parent == NO_NODE)
            .map(|(node, key)| (head(self.word_text(key.word)), node))
            .collect();
        let text = |node: Node| self.word_text(self.nodes[node as usize].word);
        sort_watched(&mut words, |a, b| a.0.cmp(&b.0).then_with(|| text(a.1).cmp(text(b.1))), watch)?;
        Ok(words.into_iter().map(|(_, node)| node).collect())
    }

    /// All nodes by the length of their n-grams, from 1.
    fn by_length(&self) -> Vec<Vec<Node>> {
        let mut lengths: Vec<u32> = vec![0; self.nodes.len()];
        let mut by_length: Vec<Vec<Node>> = vec![Vec::new()];
        for (node, key) in self.nodes.iter().enumerate() {
            if key.parent != NO_NODE {
                // A parent is numbered before its children.
                lengths[node] = lengths[key.parent as usize] + 1;
            }
            let length = lengths[node] as usize;
            if by_length.len() <= length {
                by_length.push(Vec::new());
            }
            by_length[length].push(node as Node);
        }
        by_length
    }
}

/// Bytes of a trie beside its tables.
fn plain_bytes(text: &String, ends: &Vec<u32>, nodes: &Vec<NodeKey>) -> u64 {
    (text.capacity() + ends.capacity() * size_of::<u32>() + nodes.capacity() * size_of::<NodeKey>()) as u64
}

fn room(nodes: u32, needed: u64, allowed: u64) -> Result<()> {
    if needed > allowed || nodes >= NO_NODE - 1 {
        return Err(Error::Memory { what: "the vocabulary", needed, allowed });
    }
    Ok(())
}
