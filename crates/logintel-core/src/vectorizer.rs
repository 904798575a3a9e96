//! From messages to vectors, with a fitted model.

use std::collections::HashMap;
use std::ops::Range;

use crate::control::{Steps, Watch};
use crate::error::{Error, Result};
use crate::limits::MAX_NNZ;
use crate::lookup::{Found, Lookup};
use crate::ngram::{NO_NODE, Node, edge_key, touch_edges};
use crate::options::Norm;
use crate::sort::sort_watched;
use crate::sparse::{SparseRef, SparseVec};
use crate::table::{KeyTable, WordKey, WordTable};
use crate::tfidf::TfidfModel;
use crate::tokenize::{Tokenizer, WordBuffer};

/// A model ready to use. The nodes of terms are their indices; other nodes (words known without being terms, and what
/// longer terms begin with) come after them. The extra value of a term's slot says which of `idfs` is its weight, so
/// that no look-up is needed beside that of the node.
#[derive(Debug)]
pub struct Vectorizer {
    model: TfidfModel,
    tokenizer: Tokenizer,
    words: WordTable,
    edges: KeyTable,
    /// Weights of the document frequencies that occur.
    idfs: Vec<f64>,
}

/// Buffers that a caller keeps between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    lookup: Lookup,
    /// Each occurrence of a term: its index, and below it which of the weights is its own.
    terms: Vec<u64>,
    /// Weights of the vector made last, before they are narrowed.
    weights: Vec<f64>,
    vector: SparseVec,
    /// Who may stop the work on a long message.
    watch: Watch,
}

impl Scratch {
    /// Buffers for work that may be stopped.
    pub fn watched(watch: Watch) -> Self {
        Scratch { watch, ..Scratch::default() }
    }

    /// Who may stop the work.
    pub(crate) fn watch(&self) -> &Watch {
        &self.watch
    }
}

/// What was found of a message so far.
struct Seen<'a> {
    of: &'a Vectorizer,
    terms: &'a mut Vec<u64>,
    coverage: Coverage,
}

impl Seen<'_> {
    #[inline]
    fn word(&mut self, key: WordKey, word: &str) -> Node {
        let found = self.of.words.find(key, word);
        self.coverage.words += 1;
        self.coverage.unseen_words += u32::from(found.is_none());
        self.keep(found)
    }

    #[inline]
    fn ngram(&mut self, path: Node, word: Node) -> Node {
        self.keep(self.of.edges.find(edge_key(path, word)))
    }

    #[inline]
    fn keep(&mut self, found: Option<(Node, u32)>) -> Node {
        let Some((node, extra)) = found else { return NO_NODE };
        if (node as usize) < self.of.model.len() {
            self.terms.push(u64::from(node) << 32 | u64::from(extra));
        }
        node
    }
}

/// What became of a message's terms.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Coverage {
    /// Words (or n-grams, for analyzers that do not cut words).
    pub words: u32,
    /// Those that training never saw.
    pub unseen_words: u32,
    /// Terms, n-grams counted, that training never saw; only the words among them where the vocabulary was
    /// pruned, because then a missing n-gram may be a pruned one.
    pub unseen_terms: u32,
    /// Squared length of the known part before normalising.
    pub known_squared: f64,
}

impl Coverage {
    /// Share of the words that training never saw, within `0..=1`.
    pub fn unseen_share(&self) -> f64 {
        if self.words == 0 { 0.0 } else { f64::from(self.unseen_words) / f64::from(self.words) }
    }
}

impl Vectorizer {
    /// Builds the look-up tables.
    ///
    /// # Errors
    /// [`Error::OptionValue`] if the model's patterns cannot be compiled here.
    pub fn new(model: TfidfModel) -> Result<Self> {
        Self::with_known_words(model, &[], Watch::default())
    }

    /// Builds the look-up tables; `known` are words that are no terms and yet not unseen
    /// ([`crate::counts::TermCounts::pruned_words`]). `watch` may stop it: a model of millions of terms takes a second.
    ///
    /// # Errors
    /// As [`Self::new`], [`Error::Memory`], and what `watch` returns.
    pub fn with_known_words(model: TfidfModel, known: &[String], watch: Watch) -> Result<Self> {
        let tokenizer = Tokenizer::new(&model.options, watch)?;
        let vocabulary = model.vocabulary();
        let all_words = || vocabulary.words().chain(known.iter().map(String::as_str));
        let short = all_words().filter(|word| WordTable::is_short(word)).count();
        let longer = vocabulary.level_len(0) + known.len() - short;
        let ngrams = (1..vocabulary.levels()).map(|level| vocabulary.level_len(level)).sum();
        // The tables' size is bounded by that of the model, which was.
        let mut words = WordTable::with_capacity(short, longer);
        let mut edges = KeyTable::with_capacity(ngrams);
        // N-grams that are no terms are numbered after those that are.
        let mut next = model.len() as Node;
        let mut value = |place| {
            model.index_at(place).unwrap_or_else(|| {
                next += 1;
                (next - 1, 0)
            })
        };
        let mut steps = Steps::new(&watch);
        // Block by block, so that the insertions of a block wait for memory side by side.
        let mut word_nodes = Vec::with_capacity(vocabulary.level_len(0));
        let mut keys = Vec::with_capacity(BLOCK);
        for block in blocks(vocabulary.level_len(0)) {
            steps.pass(block.len())?;
            keys.clear();
            keys.extend(block.clone().map(|at| WordKey::of(vocabulary.word(at))));
            words.touch(&keys);
            for (at, &key) in block.zip(&keys) {
                let value = value((0, at));
                words.find_or_insert(key, vocabulary.word(at), value, |_| Ok(()))?;
                word_nodes.push(value.0);
            }
        }
        let mut parents = word_nodes.clone();
        for level in 1..vocabulary.levels() {
            let all = vocabulary.edges(level);
            let mut nodes = Vec::with_capacity(all.len());
            let (mut starts, mut ends) = (Vec::with_capacity(BLOCK), Vec::with_capacity(BLOCK));
            for block in blocks(all.len()) {
                steps.pass(block.len())?;
                starts.clear();
                starts.extend(all[block.clone()].iter().map(|&[parent, _]| parents[parent as usize]));
                ends.clear();
                ends.extend(all[block.clone()].iter().map(|&[_, word]| word_nodes[word as usize]));
                touch_edges(&edges, &starts, &ends);
                for (at, (&start, &end)) in block.zip(starts.iter().zip(&ends)) {
                    let value = value((level, at));
                    edges.find_or_insert(edge_key(start, end), value, |_| Ok(()))?;
                    nodes.push(value.0);
                }
            }
            parents = nodes;
        }
        for word in known {
            words.find_or_insert(WordKey::of(word), word, (next, 0), |_| Ok(()))?;
            next += 1;
        }
        let idfs = model.idfs();
        Ok(Vectorizer { model, tokenizer, words, edges, idfs })
    }

    /// Bytes that the tables of a model and what it holds itself take.
    pub fn bytes_needed(model: &TfidfModel) -> u64 {
        let vocabulary = model.vocabulary();
        let ngrams: usize = (1..vocabulary.levels()).map(|level| vocabulary.level_len(level)).sum();
        // Slots of 16 bytes for n-grams and of up to 32 for words, two thirds of them full, and nodes while they are filled.
        model.bytes()
            + ngrams as u64 * (24 + 4)
            + vocabulary.level_len(0) as u64 * (48 + 8)
            + vocabulary.bytes()
    }

    /// The model.
    pub fn model(&self) -> &TfidfModel {
        &self.model
    }

    /// What cuts its messages.
    pub fn tokenizer(&self) -> &Tokenizer {
        &self.tokenizer
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> usize {
        (self.model.bytes() + self.words.bytes() + self.edges.bytes()) as usize
    }

    /// The vector of a message, masked first. It lies in `scratch` until the next.
    ///
    /// # Errors
    /// [`Error::PatternSteps`], [`Error::MessageTooLong`], [`Error::VectorTooDense`].
    pub fn embed<'s>(&self, message: &str, scratch: &'s mut Scratch) -> Result<SparseRef<'s>> {
        self.embed_masked(&self.tokenizer.mask(message, &scratch.watch)?, scratch).map(|(vector, _)| vector)
    }

    /// The vector of a masked message, and how many of its words are known.
    ///
    /// # Errors
    /// As [`Self::embed`].
    pub fn embed_masked<'s>(
        &self,
        masked: &str,
        scratch: &'s mut Scratch,
    ) -> Result<(SparseRef<'s>, Coverage)> {
        let mut coverage = self.find_terms(masked, scratch)?;
        let Scratch { terms, weights, vector, watch, .. } = scratch;
        sort_watched(terms, Ord::cmp, watch)?;
        let term = |packed: &u64| (packed >> 32) as u32;
        vector.dim = self.model.len() as u32;
        vector.indices.clear();
        weights.clear();
        for run in terms.chunk_by(|a, b| term(a) == term(b)) {
            vector.indices.push(term(&run[0]));
            weights.push(self.tf(run.len()) * self.idfs[run[0] as u32 as usize]);
        }
        if weights.len() > MAX_NNZ {
            return Err(Error::VectorTooDense);
        }
        coverage.known_squared = weights.iter().map(|weight| weight * weight).sum();
        normalize(self.model.options.norm, weights);
        vector.values.clear();
        vector.values.extend(weights.iter().map(|&weight| weight as f32));
        drop_zeros(vector);
        Ok((vector.as_ref(), coverage))
    }

    fn tf(&self, count: usize) -> f64 {
        match (self.model.options.binary, self.model.options.sublinear_tf) {
            (true, _) => 1.0,
            (false, true) => (count as f64).ln() + 1.0,
            (false, false) => count as f64,
        }
    }

    fn find_terms(&self, masked: &str, scratch: &mut Scratch) -> Result<Coverage> {
        let Scratch { lookup: Lookup { text, found }, terms, watch, .. } = scratch;
        watch.start();
        found.words.clear();
        terms.clear();
        let mut seen = Seen { of: self, terms, coverage: Coverage::default() };
        if !self.tokenizer.joins_words() {
            let whole = *watch;
            let mut pace = Steps::over_bytes(&whole);
            self.tokenizer.ngrams(masked, &whole, |gram| {
                watch.tick(1)?;
                pace.pass(gram.len())?;
                seen.word(WordKey::of(gram), gram);
                Ok(())
            })?;
            seen.coverage.unseen_terms = seen.coverage.unseen_words;
            return Ok(seen.coverage);
        }
        let (min, max) = self.model.options.ngram_range;
        let extend = |seen: &mut Seen<'_>, found: &mut Found, watch: &mut Watch, is_end| {
            let step = |seen: &mut Seen<'_>, _, path, word| Ok(seen.ngram(path, word));
            found.for_each_ngram(watch, seen, max, is_end, |seen| &seen.of.edges, step)
        };
        self.tokenizer.words(masked, text, &watch.clone(), |text, ranges| {
            watch.tick(ranges.len())?;
            found.touch_words(&self.words, text, ranges);
            for (&key, range) in found.keys.iter().zip(ranges) {
                found.words.push(seen.word(key, &text[range.clone()]));
            }
            extend(&mut seen, found, watch, false)
        })?;
        extend(&mut seen, found, watch, true)?;
        let Seen { terms, mut coverage, .. } = seen;
        let ngrams: u32 = (min..=max).map(|n| (coverage.words + 1).saturating_sub(n)).sum();
        coverage.unseen_terms = if self.model.pruned > 0 {
            coverage.unseen_words
        } else {
            ngrams.saturating_sub(terms.len() as u32)
        };
        Ok(coverage)
    }

    /// The words (or n-grams, for analyzers that do not cut words) of a masked message that training never saw,
    /// in order of their first occurrence, with how often each occurs. `watch` may stop it.
    ///
    /// # Errors
    /// [`Error::PatternSteps`], and what the watch returns.
    pub fn unseen_words(&self, masked: &str, watch: &Watch) -> Result<Vec<(String, u32)>> {
        let mut unseen: Vec<(String, u32)> = Vec::new();
        let mut places: HashMap<String, usize> = HashMap::new();
        let mut look = |word: &str| {
            if self.words.find(WordKey::of(word), word).is_none() {
                if let Some(&at) = places.get(word) {
                    unseen[at].1 += 1;
                } else {
                    places.insert(word.to_owned(), unseen.len());
                    unseen.push((word.to_owned(), 1));
                }
            }
            Ok(())
        };
        if self.tokenizer.joins_words() {
            self.tokenizer.words(masked, &mut WordBuffer::default(), watch, |text, words| {
                words.iter().try_for_each(|word| look(&text[word.clone()]))
            })?;
        } else {
            self.tokenizer.ngrams(masked, watch, &mut look)?;
        }
        Ok(unseen)
    }
}

/// Terms that are put into the tables together.
const BLOCK: usize = 256;

/// Ranges of [`BLOCK`] that make up `0..len`.
fn blocks(len: usize) -> impl Iterator<Item = Range<usize>> {
    (0..len).step_by(BLOCK).map(move |start| start..len.min(start + BLOCK))
}

fn normalize(norm: Option<Norm>, weights: &mut [f64]) {
    let length = match norm {
        None => return,
        Some(Norm::L1) => weights.iter().map(|weight| weight.abs()).sum::<f64>(),
        Some(Norm::L2) => weights.iter().map(|weight| weight * weight).sum::<f64>().sqrt(),
    };
    if length > 0.0 {
        for weight in weights {
            *weight /= length;
        }
    }
}

/// A weight can narrow to zero: in a very long document each is a small part of the whole.
fn drop_zeros(vector: &mut SparseVec) {
    if vector.values.contains(&0.0) {
        let mut keep = vector.values.iter().map(|&value| value != 0.0).collect::<Vec<_>>().into_iter();
        vector.indices.retain(|_| keep.next().unwrap_or(false));
        vector.values.retain(|&value| value != 0.0);
    }
}
