//! TF-IDF, with the numbers of scikit-learn's `TfidfVectorizer`.
//!
//! [`TermCounts`] counts documents (and merges with the counts of other documents, for parallel aggregation);
//! [`TermCounts::finish`] prunes, sorts and weighs, and gives a [`TfidfModel`], the value that is kept;
//! [`Vectorizer`] is that model ready to turn messages into vectors. A weight is
//! `tf · (ln((1 + n) / (1 + df)) + 1)` with `smooth_idf`, `tf · (ln(n / df) + 1)` without, then normalised.

use std::ops::Range;
use std::sync::Arc;

use crate::artifact::{Artifact, decode_within};
use crate::control::Watch;
use crate::error::{Error, Result};
use crate::limits::MAX_NNZ;
use crate::ngram::{EdgeTable, NO_NODE, NgramTrie, Node, WordKey, WordTable};
use crate::options::{Norm, TfidfOptions};
use crate::sparse::SparseVec;
use crate::tokenize::{Tokenizer, WordBuffer};

/// How often a term occurred.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Count {
    /// Documents that hold it.
    df: u64,
    /// Occurrences; equal to `df` where the option `binary` is set.
    tf: u64,
    /// The document counted last, so that `df` grows once for each.
    last: u64,
}

/// Counts of all terms over documents.
#[derive(Debug)]
pub struct TermCounts {
    options: TfidfOptions,
    tokenizer: Arc<Tokenizer>,
    documents: u64,
    trie: NgramTrie,
    counts: Vec<Count>,
    /// Buffers for the document at hand.
    lookup: Lookup,
    /// Who may stop the work on a long document.
    pub watch: Watch,
}

/// What the words of a message are looked up with: block by block and step by step, so that look-ups wait for memory
/// side by side.
#[derive(Debug, Default)]
struct Lookup {
    text: WordBuffer,
    found: Found,
}

#[derive(Debug, Default)]
struct Found {
    keys: Vec<WordKey>,
    words: Vec<Node>,
    paths: Vec<Node>,
}

impl Found {
    /// Makes the keys of a block of words and reads their slots.
    #[inline]
    fn keys(&mut self, table: &WordTable, text: &str, words: &[Range<usize>]) {
        self.keys.clear();
        self.keys.extend(words.iter().map(|word| WordKey::new(&text[word.clone()])));
        table.touch(&self.keys);
    }

    /// Calls `step` for each n-gram of two words or more that begins in a block of words: the shorter n-gram and the
    /// next word give the longer one, or [`NO_NODE`]. What the next block still needs stays in `words`.
    ///
    /// # Errors
    /// What `watch` and `step` return.
    #[inline]
    fn for_each_ngram<T>(
        &mut self,
        watch: &mut Watch,
        tables: &mut T,
        longest: u32,
        is_end: bool,
        edges: impl Fn(&T) -> &EdgeTable,
        mut step: impl FnMut(&mut T, u32, Node, Node) -> Result<Node>,
    ) -> Result<()> {
        let Found { words, paths, .. } = self;
        let starts = begun(words.len(), longest, is_end);
        paths.clear();
        paths.extend_from_slice(&words[..starts]);
        for n in 2..=longest {
            let next = words.get(n as usize - 1..).unwrap_or_default();
            watch.tick(next.len())?;
            edges(tables).touch(paths, next);
            for (path, &word) in paths.iter_mut().zip(next) {
                let known = *path != NO_NODE && word != NO_NODE;
                *path = if known { step(tables, n, *path, word)? } else { NO_NODE };
            }
        }
        words.drain(..starts);
        Ok(())
    }
}

/// How many n-grams begin in a block of as many words; near the end of one that is not the last, they begin in the next.
#[inline]
fn begun(words: usize, longest: u32, is_end: bool) -> usize {
    if is_end { words } else { words.saturating_sub(longest as usize - 1) }
}

impl TermCounts {
    /// No documents yet. The vocabulary refuses to grow past `max_bytes`.
    ///
    /// # Errors
    /// [`Error::OptionValue`] if a pattern cannot be used.
    pub fn new(options: &TfidfOptions, max_bytes: u64) -> Result<Self> {
        Ok(TermCounts {
            options: options.clone(),
            tokenizer: Arc::new(Tokenizer::new(options)?),
            documents: 0,
            trie: NgramTrie::new(max_bytes),
            counts: Vec::new(),
            lookup: Lookup::default(),
            watch: Watch::default(),
        })
    }

    /// The options.
    pub fn options(&self) -> &TfidfOptions {
        &self.options
    }

    /// The tokenizer, shared.
    pub fn tokenizer(&self) -> Arc<Tokenizer> {
        Arc::clone(&self.tokenizer)
    }

    /// Documents counted.
    pub fn documents(&self) -> u64 {
        self.documents
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> u64 {
        self.trie.bytes() + self.counts.capacity() as u64 * size_of::<Count>() as u64
    }

    /// Counts a message, masked first.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound, [`Error::PatternSteps`].
    pub fn add(&mut self, message: &str) -> Result<()> {
        let tokenizer = self.tokenizer();
        self.add_masked(&tokenizer.mask(message)?, 1)
    }

    /// Counts a masked message as `times` documents.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_masked(&mut self, masked: &str, times: u64) -> Result<()> {
        let tokenizer = self.tokenizer();
        self.documents += times;
        let (document, (min, max)) = (self.documents, self.options.ngram_range);
        let TermCounts { trie, counts, lookup: Lookup { text, found }, watch, .. } = self;
        watch.start();
        let binary = self.options.binary;
        let mut count = |node: Node| {
            if counts.len() <= node as usize {
                counts.resize(node as usize + 1, Count::default());
            }
            let count = &mut counts[node as usize];
            let first = count.last != document;
            count.last = document;
            count.df += if first { times } else { 0 };
            count.tf += if first || !binary { times } else { 0 };
        };
        if !tokenizer.joins_words() {
            return tokenizer.ngrams(masked, |gram| {
                watch.tick(1)?;
                count(trie.insert_word(gram)?);
                Ok(())
            });
        }
        found.words.clear();
        let mut extend = |trie: &mut NgramTrie, found: &mut Found, watch: &mut Watch, is_end| {
            if min == 1 {
                let begun = begun(found.words.len(), max, is_end);
                found.words[..begun].iter().copied().for_each(&mut count);
            }
            found.for_each_ngram(watch, trie, max, is_end, NgramTrie::edge_table, |trie, n, path, word| {
                let node = trie.insert_child(path, word)?;
                if n >= min {
                    count(node);
                }
                Ok(node)
            })
        };
        tokenizer.words(masked, text, |text, ranges| {
            watch.tick(ranges.len())?;
            found.keys(trie.word_table(), text, ranges);
            for (&key, range) in found.keys.iter().zip(ranges) {
                found.words.push(trie.insert_key(key, &text[range.clone()])?);
            }
            extend(trie, found, watch, false)
        })?;
        extend(trie, found, watch, true)
    }

    /// Adds the counts of other documents.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound.
    pub fn merge(&mut self, other: &TermCounts) -> Result<()> {
        let mut mapped: Vec<Node> = Vec::with_capacity(other.trie.len());
        for node in 0..other.trie.len() as Node {
            // A parent and the words of an n-gram are numbered before it.
            let mine = other.copy_node(node, &mapped, &mut self.trie)?;
            mapped.push(mine);
            let count = other.counts.get(node as usize).copied().unwrap_or_default();
            self.add_count(mine, count.df, count.tf);
        }
        self.documents += other.documents;
        Ok(())
    }

    fn copy_node(&self, node: Node, mapped: &[Node], into: &mut NgramTrie) -> Result<Node> {
        match self.trie.parent(node) {
            None => into.insert_word(self.trie.word_text(node)),
            Some((parent, word)) => into.insert_child(mapped[parent as usize], mapped[word as usize]),
        }
    }

    fn add_count(&mut self, node: Node, df: u64, tf: u64) {
        if self.counts.len() <= node as usize {
            self.counts.resize(node as usize + 1, Count::default());
        }
        let count = &mut self.counts[node as usize];
        count.df += df;
        count.tf += tf;
    }

    /// The counts as bytes, for a parallel worker to hand over.
    ///
    /// # Errors
    /// [`Error::Memory`] if they are larger than a value may be.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let mut state =
            CountState { options: self.options.clone(), documents: self.documents, ..Default::default() };
        for node in 0..self.trie.len() as Node {
            match self.trie.parent(node) {
                None => {
                    let word = self.trie.word_text(node);
                    state.text.push_str(word);
                    state.nodes.push((u32::MAX, word.len() as u32));
                }
                Some(key) => state.nodes.push(key),
            }
            let count = self.counts.get(node as usize).copied().unwrap_or_default();
            state.counts.push((count.df, count.tf));
        }
        let bytes = bincode::encode_to_vec(&state, bincode::config::standard());
        bytes.ok().filter(|bytes| bytes.len() < crate::limits::MAX_STATE_BYTES).ok_or(Error::Memory {
            what: "handing the vocabulary over between parallel workers",
            needed: self.bytes(),
            allowed: crate::limits::MAX_STATE_BYTES as u64,
        })
    }

    /// The counts that [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Memory`].
    pub fn from_bytes(bytes: &[u8], max_bytes: u64) -> Result<Self> {
        let corrupt = || Error::Corrupt { what: "tfidf_fit state", why: "it cannot be decoded".into() };
        let (state, _): (CountState, usize) =
            decode_within!(bytes, bincode::config::standard(), crate::limits::MAX_STATE_BYTES)
                .map_err(|_| corrupt())?;
        let mut counts = TermCounts::new(&state.options, max_bytes)?;
        counts.documents = state.documents;
        let mut text = state.text.as_str();
        for (&(parent, word), &(df, tf)) in state.nodes.iter().zip(&state.counts) {
            let node = if parent == u32::MAX {
                let (head, tail) = text.split_at_checked(word as usize).ok_or_else(corrupt)?;
                text = tail;
                counts.trie.insert_word(head)?
            } else if (parent as usize) < counts.trie.len() && (word as usize) < counts.trie.len() {
                counts.trie.insert_child(parent, word)?
            } else {
                return Err(corrupt());
            };
            counts.add_count(node, df, tf);
        }
        Ok(counts)
    }

    /// Prunes, sorts and weighs.
    ///
    /// # Errors
    /// [`Error::NoDocuments`], [`Error::EmptyVocabulary`], [`Error::DocumentFrequencies`],
    /// [`Error::AllTermsPruned`].
    pub fn finish(&self) -> Result<TfidfModel> {
        if self.documents == 0 {
            return Err(Error::NoDocuments);
        }
        let count = |node: Node| self.counts.get(node as usize).copied().unwrap_or_default();
        let counted = (0..self.trie.len() as Node).filter(|&node| count(node).df > 0).count();
        if counted == 0 {
            return Err(Error::EmptyVocabulary);
        }
        let min = self.options.min_df.documents(self.documents);
        let max = self.options.max_df.documents(self.documents);
        if max < min {
            return Err(Error::DocumentFrequencies);
        }
        let within = |node: Node| {
            let df = count(node).df;
            df > 0 && (min..=max).contains(&(df as f64))
        };
        let mut model =
            TfidfModel { options: self.options.clone(), documents: self.documents, ..Default::default() };
        let mut frequencies = Vec::new();
        self.trie.for_each_in_order(within, |node, term| {
            model.text.push_str(term);
            model.ends.push(model.text.len() as u64);
            model.df.push(count(node).df);
            frequencies.push(count(node).tf);
        });
        if model.df.is_empty() {
            return Err(Error::AllTermsPruned(counted));
        }
        if let Some(limit) = self.options.max_features.filter(|&limit| limit < model.df.len() as u64) {
            model.keep(&most_frequent(&frequencies, limit as usize));
        }
        model.pruned = (counted - model.len()) as u64;
        Ok(model)
    }
}

/// Places of the `most` highest frequencies, of equal ones the first, ascending.
fn most_frequent(frequencies: &[u64], most: usize) -> Vec<usize> {
    let mut places: Vec<usize> = (0..frequencies.len()).collect();
    places.select_nth_unstable_by_key(most - 1, |&place| (std::cmp::Reverse(frequencies[place]), place));
    places.truncate(most);
    places.sort_unstable();
    places
}

impl TermCounts {
    /// The words that were counted and yet are no terms of the model: pruned, not unseen.
    pub fn pruned_words(&self, model: &TfidfModel) -> Vec<String> {
        let mut words = Vec::new();
        if model.pruned > 0 {
            for node in (0..self.trie.len() as Node).filter(|&node| self.trie.parent(node).is_none()) {
                let word = self.trie.word_text(node);
                if model.find(word).is_none() {
                    words.push(word.to_owned());
                }
            }
        }
        words
    }
}

/// What a parallel worker hands over.
#[derive(Default, bincode::Encode, bincode::Decode)]
struct CountState {
    options: TfidfOptions,
    documents: u64,
    text: String,
    /// Parent and word, or `u32::MAX` and the length of a new word.
    nodes: Vec<(u32, u32)>,
    /// `df` and `tf`.
    counts: Vec<(u64, u64)>,
}

/// A fitted vectoriser as a value.
#[derive(Debug, Clone, PartialEq, Default, bincode::Encode, bincode::Decode)]
pub struct TfidfModel {
    /// How it was fitted.
    pub options: TfidfOptions,
    /// Documents it was fitted on.
    pub documents: u64,
    /// Terms that `min_df`, `max_df` and `max_features` left out.
    pub pruned: u64,
    /// All terms in code point order, one after the other.
    text: String,
    /// Where each term ends in `text`.
    ends: Vec<u64>,
    /// Documents that hold each term.
    df: Vec<u64>,
}

impl Artifact for TfidfModel {
    const WHAT: &'static str = "tfidf_model";
    const LETTER: u8 = b'T';
    const VERSION: u16 = 1;

    fn validate(&self) -> std::result::Result<(), String> {
        if !self.options.is_valid() {
            return Err("an option is out of range".into());
        }
        if self.ends.len() != self.df.len() || self.ends.is_empty() {
            return Err("terms and frequencies differ in number".into());
        }
        let (mut start, mut last) = (0, None);
        for &end in &self.ends {
            let term = usize::try_from(end).ok().and_then(|end| self.text.get(start..end));
            let Some(term) = term else { return Err("a term ends where it should not".into()) };
            if last.is_some_and(|last| last >= term) {
                return Err("the terms are not in order".into());
            }
            (start, last) = (end as usize, Some(term));
        }
        if start != self.text.len() || self.df.iter().any(|&df| df == 0 || df > self.documents) {
            return Err("a document frequency is out of range".into());
        }
        Ok(())
    }
}

impl TfidfModel {
    /// Leaves these terms, ascending.
    fn keep(&mut self, indices: &[usize]) {
        let mut kept =
            TfidfModel { options: self.options.clone(), documents: self.documents, ..Default::default() };
        for &index in indices {
            kept.text.push_str(self.term(index));
            kept.ends.push(kept.text.len() as u64);
            kept.df.push(self.df[index]);
        }
        *self = kept;
    }

    /// Number of terms, the dimensions of its vectors.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Never true: an empty vocabulary is an error when fitting.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Term `index`, 0-based.
    pub fn term(&self, index: usize) -> &str {
        let start = if index == 0 { 0 } else { self.ends[index - 1] as usize };
        &self.text[start..self.ends[index] as usize]
    }

    /// The index of a term, 0-based.
    pub fn find(&self, term: &str) -> Option<usize> {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = usize::midpoint(low, high);
            match self.term(middle).cmp(term) {
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
                std::cmp::Ordering::Equal => return Some(middle),
            }
        }
        None
    }

    /// Documents that hold term `index`.
    pub fn df(&self, index: usize) -> u64 {
        self.df[index]
    }

    /// Weight of a term that `df` documents hold; 1 where `use_idf` is off.
    pub fn idf_of(&self, df: u64) -> f64 {
        if !self.options.use_idf {
            return 1.0;
        }
        let smooth = f64::from(u8::from(self.options.smooth_idf));
        ((self.documents as f64 + smooth) / (df as f64 + smooth)).ln() + 1.0
    }

    /// Weight of term `index`.
    pub fn idf(&self, index: usize) -> f64 {
        self.idf_of(self.df[index])
    }
}

/// A model ready to use. The nodes of terms are their indices; other nodes (words known without being terms, and what
/// longer terms begin with) come after them. The extra value of a term's slot says which of `idfs` is its weight, so
/// that no look-up is needed beside that of the node.
#[derive(Debug)]
pub struct Vectorizer {
    model: TfidfModel,
    tokenizer: Tokenizer,
    words: WordTable,
    edges: EdgeTable,
    /// Weights of the document frequencies that occur.
    idfs: Vec<f64>,
}

/// Buffers that a caller keeps between calls.
#[derive(Debug, Default)]
pub struct Scratch {
    lookup: Lookup,
    /// Each occurrence of a term: its index, and which of the weights is its own.
    terms: Vec<(Node, u32)>,
    /// The vector made last, with float64 weights before they are narrowed.
    weights: Vec<f64>,
    /// Who may stop the work on a long message.
    watch: Watch,
}

impl Scratch {
    /// Buffers for work that may be stopped.
    pub fn watched(watch: Watch) -> Self {
        Scratch { watch, ..Scratch::default() }
    }
}

/// What was found of a message so far.
struct Seen<'a> {
    of: &'a Vectorizer,
    terms: &'a mut Vec<(Node, u32)>,
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
        self.keep(self.of.edges.find(path, word))
    }

    #[inline]
    fn keep(&mut self, found: Option<(Node, u32)>) -> Node {
        let Some((node, extra)) = found else { return NO_NODE };
        if (node as usize) < self.of.model.len() {
            self.terms.push((node, extra));
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
        Self::with_known_words(model, &[])
    }

    /// Builds the look-up tables; `known` are words that are no terms and yet not unseen
    /// ([`TermCounts::pruned_words`]).
    ///
    /// # Errors
    /// As [`Self::new`].
    pub fn with_known_words(model: TfidfModel, known: &[String]) -> Result<Self> {
        let tokenizer = Tokenizer::new(&model.options)?;
        let mut dfs = model.df.clone();
        dfs.sort_unstable();
        dfs.dedup();
        let idfs = dfs.iter().map(|&df| model.idf_of(df)).collect();
        let extra = |index: usize| dfs.binary_search(&model.df[index]).unwrap_or(0) as u32;
        // The tables' size is bounded by that of the model, which was.
        let is_word = |&index: &usize| !tokenizer.joins_words() || !model.term(index).contains(' ');
        let single = (0..model.len()).filter(is_word).count();
        let mut words = WordTable::with_capacity(single + known.len());
        let mut edges = EdgeTable::with_capacity(model.len() - single);
        for index in (0..model.len()).filter(is_word) {
            let word = model.term(index);
            words.find_or_insert(WordKey::new(word), word, (index as Node, extra(index)), |_| Ok(()))?;
        }
        let mut next = model.len() as Node;
        let new_word = |words: &mut WordTable, next: &mut Node, word: &str| {
            let node = words.find_or_insert(WordKey::new(word), word, (*next, 0), |_| Ok(()))?;
            *next += u32::from(node == *next);
            Ok::<_, Error>(node)
        };
        for index in (0..model.len()).filter(|index| !is_word(index)) {
            let mut path = NO_NODE;
            let mut rest = Some(model.term(index));
            while let Some(text) = rest {
                let (head, tail) =
                    text.split_once(' ').map_or((text, None), |(head, tail)| (head, Some(tail)));
                let word = new_word(&mut words, &mut next, head)?;
                let value = if tail.is_none() { (index as Node, extra(index)) } else { (next, 0) };
                path = if path == NO_NODE {
                    word
                } else {
                    edges.find_or_insert((path, word), value, |_| Ok(()))?
                };
                next += u32::from(path == next);
                rest = tail;
            }
        }
        for word in known {
            new_word(&mut words, &mut next, word)?;
        }
        Ok(Vectorizer { model, tokenizer, words, edges, idfs })
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
        self.model.text.len() + self.model.len() * 16 + (self.words.bytes() + self.edges.bytes()) as usize
    }

    /// The vector of a message, masked first.
    ///
    /// # Errors
    /// [`Error::PatternSteps`].
    pub fn embed(&self, message: &str, scratch: &mut Scratch) -> Result<SparseVec> {
        self.embed_masked(&self.tokenizer.mask(message)?, scratch).map(|(vector, _)| vector)
    }

    /// The vector of a masked message, and how many of its words are known.
    ///
    /// # Errors
    /// [`Error::PatternSteps`].
    pub fn embed_masked(&self, masked: &str, scratch: &mut Scratch) -> Result<(SparseVec, Coverage)> {
        let mut coverage = self.find_terms(masked, scratch)?;
        scratch.terms.sort_unstable();
        let terms = scratch.terms.chunk_by(|a, b| a.0 == b.0);
        let most = scratch.terms.len();
        if most > MAX_NNZ && terms.clone().count() > MAX_NNZ {
            return Err(Error::VectorTooDense);
        }
        let mut vector = SparseVec { dim: self.model.len() as u32, ..Default::default() };
        vector.indices.reserve_exact(most);
        scratch.weights.clear();
        for run in terms {
            vector.indices.push(run[0].0);
            scratch.weights.push(self.tf(run.len()) * self.idfs[run[0].1 as usize]);
        }
        coverage.known_squared = scratch.weights.iter().map(|weight| weight * weight).sum();
        normalize(self.model.options.norm, &mut scratch.weights);
        vector.values.extend(scratch.weights.iter().map(|&weight| weight as f32));
        drop_zeros(&mut vector);
        Ok((vector, coverage))
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
            self.tokenizer.ngrams(masked, |gram| {
                watch.tick(1)?;
                seen.word(WordKey::new(gram), gram);
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
        self.tokenizer.words(masked, text, |text, ranges| {
            watch.tick(ranges.len())?;
            found.keys(&self.words, text, ranges);
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
    /// in order of their first occurrence, with how often each occurs.
    ///
    /// # Errors
    /// [`Error::PatternSteps`].
    pub fn unseen_words(&self, masked: &str) -> Result<Vec<(String, u32)>> {
        let mut unseen: Vec<(String, u32)> = Vec::new();
        let mut look = |word: &str| {
            if self.words.find(WordKey::new(word), word).is_none() {
                match unseen.iter_mut().find(|(seen, _)| seen == word) {
                    Some((_, times)) => *times += 1,
                    None => unseen.push((word.to_owned(), 1)),
                }
            }
            Ok(())
        };
        if self.tokenizer.joins_words() {
            self.tokenizer.words(masked, &mut WordBuffer::default(), |text, words| {
                words.iter().try_for_each(|word| look(&text[word.clone()]))
            })?;
        } else {
            self.tokenizer.ngrams(masked, &mut look)?;
        }
        Ok(unseen)
    }
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

/// A weight can narrow to zero (`use_idf` without `smooth_idf` never does, a very long document may).
fn drop_zeros(vector: &mut SparseVec) {
    if vector.values.contains(&0.0) {
        let mut keep = vector.values.iter().map(|&value| value != 0.0).collect::<Vec<_>>().into_iter();
        vector.indices.retain(|_| keep.next().unwrap_or(false));
        vector.values.retain(|&value| value != 0.0);
    }
}
