//! N-grams counted without strings: a word has a number, and an n-gram is told by the n-gram before its last word
//! and that word.

use std::cmp::Ordering;

use crate::control::Control;
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
    bytes_beside: usize,
}

#[derive(Debug, Clone, Copy)]
struct NodeKey {
    /// The n-gram without its last word; [`NO_NODE`] for a single word.
    parent: Node,
    /// The node of the last word; of a single word, its place in `ends`.
    word: u32,
}

impl NgramTrie {
    /// An empty trie that refuses to grow past `max_bytes`, `bytes_beside` of the caller's for each n-gram included.
    pub fn new(max_bytes: u64, bytes_beside: usize) -> Self {
        NgramTrie {
            words: WordTable::with_capacity(0, 0),
            edges: KeyTable::with_capacity(0),
            nodes: Vec::new(),
            text: String::new(),
            ends: Vec::new(),
            max_bytes,
            bytes_beside,
        }
    }

    /// Bytes in use, and that will be until all n-grams are a model.
    pub fn bytes(&self) -> u64 {
        self.words.bytes()
            + self.edges.bytes()
            + plain_bytes(&self.text, &self.ends, &self.nodes, self.bytes_beside)
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
        let NgramTrie { words, edges, nodes, text, ends, max_bytes, bytes_beside } = self;
        let next = nodes.len() as Node;
        let (node, _) = words.find_or_insert(key, word, (next, 0), |words| {
            let others = edges.bytes() + plain_bytes(text, ends, nodes, *bytes_beside);
            if text.len() + word.len() > u32::MAX as usize {
                // Where words end are 32-bit numbers.
                return Err(Error::TooMany { what: "bytes of different words", max: u64::from(u32::MAX) });
            }
            room(next, words.bytes_to_insert(word) + others, *max_bytes)
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
        let NgramTrie { words, edges, nodes, text, ends, max_bytes, bytes_beside } = self;
        let next = nodes.len() as Node;
        let (node, _) = edges.find_or_insert(edge_key(parent, word), (next, 0), |edges| {
            let others = words.bytes() + plain_bytes(text, ends, nodes, *bytes_beside);
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

    /// The same n-grams in order, and for each level the node of each n-gram and what `count` says of it. Counts are asked for
    /// in order of the nodes, which are as they lie in memory, and go along while nodes are sorted.
    ///
    /// # Errors
    /// What `control` returns.
    pub fn sorted<C: Copy>(
        &self,
        count: impl Fn(Node) -> C,
        control: &dyn Control,
    ) -> Result<(Vocabulary, Vec<Counted<C>>)> {
        let (mut vocabulary, words) = self.sorted_words(&count, control)?;
        // The place of each node among those of its length.
        let mut places: Vec<u32> = vec![0; self.nodes.len()];
        for (place, &(node, _)) in words.iter().enumerate() {
            places[node as usize] = place as u32;
        }
        let mut levels = vec![words];
        for nodes in self.by_length().into_iter().skip(1) {
            // N-grams in order are those of their places: numbers, where words were texts.
            let mut level: Vec<(u64, (Node, C))> = nodes
                .into_iter()
                .map(|node| {
                    let NodeKey { parent, word } = self.nodes[node as usize];
                    let places = [parent, word].map(|node| u64::from(places[node as usize]));
                    (places[0] << 32 | places[1], (node, count(node)))
                })
                .collect();
            sort_watched(&mut level, |a, b| a.0.cmp(&b.0), control)?;
            for (place, &(_, (node, _))) in level.iter().enumerate() {
                places[node as usize] = place as u32;
            }
            vocabulary
                .push_level(level.iter().map(|&(edge, _)| [(edge >> 32) as u32, edge as u32]).collect());
            levels.push(level.into_iter().map(|(_, counted)| counted).collect());
        }
        Ok((vocabulary, levels))
    }

    /// The words in order, as a vocabulary, with their nodes and counts.
    fn sorted_words<C: Copy>(
        &self,
        count: impl Fn(Node) -> C,
        control: &dyn Control,
    ) -> Result<(Vocabulary, Counted<C>)> {
        let nodes = (0..self.nodes.len() as Node).zip(&self.nodes);
        let mut words: Vec<(Spelling, (Node, C))> = nodes
            .filter(|(_, key)| key.parent == NO_NODE)
            .map(|(node, key)| (self.spelling(key.word as usize), (node, count(node))))
            .collect();
        let text = self.text.as_bytes();
        sort_watched(&mut words, |(a, _), (b, _)| a.cmp(b, text), control)?;
        let mut sorted = Vocabulary::default();
        sorted.push_words(words.iter().map(|(word, _)| word), |word, sorted| word.write(text, sorted));
        Ok((sorted, words.into_iter().map(|(_, counted)| counted).collect()))
    }

    /// How the `at`-th single word is spelled.
    fn spelling(&self, at: usize) -> Spelling {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        let len = self.ends[at] - start;
        let mut head = [0; HEAD];
        let shown = HEAD.min(len as usize);
        head[..shown].copy_from_slice(&self.text.as_bytes()[start as usize..][..shown]);
        Spelling { head: u64::from_be_bytes(head), start, len }
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

/// Nodes with what was counted of them.
type Counted<C> = Vec<(Node, C)>;

/// Bytes of a word that lie beside it while words are sorted. Most words differ there, and many end there: they are
/// compared, and written in their new order, without a visit to the text.
const HEAD: usize = size_of::<u64>();

/// A word while words are sorted.
#[derive(Debug, Clone, Copy)]
struct Spelling {
    /// Its first bytes, the first of them the highest.
    head: u64,
    /// Where it stands in the text.
    start: u32,
    len: u32,
}

impl Spelling {
    fn text(self, text: &[u8]) -> &[u8] {
        &text[self.start as usize..][..self.len as usize]
    }

    /// Code point order, which is that of UTF-8's bytes.
    #[inline]
    fn cmp(&self, other: &Spelling, text: &[u8]) -> Ordering {
        self.head.cmp(&other.head).then_with(|| self.text(text).cmp(other.text(text)))
    }

    fn write(self, text: &[u8], into: &mut Vec<u8>) {
        if self.len as usize <= HEAD {
            into.extend_from_slice(&self.head.to_be_bytes()[..self.len as usize]);
        } else {
            into.extend_from_slice(self.text(text));
        }
    }
}

/// Bytes of a trie beside its tables.
fn plain_bytes(text: &String, ends: &Vec<u32>, nodes: &Vec<NodeKey>, beside: usize) -> u64 {
    let plain = ends.capacity() * size_of::<u32>() + nodes.capacity() * size_of::<NodeKey>();
    // The text is written twice more: into the model, and as its bytes.
    (text.capacity() + 2 * text.len() + plain + nodes.len() * beside) as u64
}

fn room(nodes: u32, needed: u64, allowed: u64) -> Result<()> {
    if needed > allowed {
        return Err(Error::Memory { what: "the vocabulary", needed, allowed });
    }
    if nodes >= NO_NODE - 1 {
        return Err(Error::TooMany { what: "different terms", max: u64::from(NO_NODE - 1) });
    }
    Ok(())
}
