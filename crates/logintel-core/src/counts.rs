//! Counting: which terms occur in how many documents.
//!
//! [`TermCounts`] counts documents, and merges with the counts of other documents (for parallel aggregation). Then
//! [`TermCounts::finish`] prunes and gives a [`TfidfModel`].

use std::cmp::Reverse;
use std::sync::Arc;

use bincode::de::read::SliceReader;
use bytemuck::{cast_slice, pod_collect_to_vec};

use crate::artifact::decode_within;
use crate::control::{Control, Steps, Watch};
use crate::error::{Error, Result};
use crate::limits::MAX_STATE_BYTES;
use crate::lookup::{Found, Lookup, begun};
use crate::ngram::{NgramTrie, Node};
use crate::options::TfidfOptions;
use crate::table::WordKey;
use crate::tfidf::TfidfModel;
use crate::tokenize::Tokenizer;
use crate::vocabulary::Vocabulary;

/// How often a term occurred.
#[derive(Debug, Clone, Copy, Default)]
struct Count {
    /// Documents that hold it.
    df: u64,
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
    /// Occurrences of each term, where [`needs_occurrences`] says so, else empty.
    occurrences: Vec<u64>,
    /// What other counts gave, beside `trie`; shared rather than copied.
    merged: Option<Arc<SortedCounts>>,
    /// Buffers for the document at hand.
    lookup: Lookup,
    max_bytes: u64,
    /// Who may stop the work.
    watch: Watch,
}

/// Whether more than the number of documents decides which terms stay: `max_features` keeps those that occur most often,
/// and with `binary` they occur once in a document.
fn needs_occurrences(options: &TfidfOptions) -> bool {
    options.max_features.is_some() && !options.binary
}

/// Bytes that go with each n-gram beside what the trie holds of it: its counts, and its part of what putting all in order and
/// writing them down takes; measured on millions of n-grams by the largest resident size.
fn bytes_beside(options: &TfidfOptions) -> usize {
    // Choosing the most frequent needs their frequencies and ranks on top.
    64 + if options.max_features.is_some() { 48 } else { 0 }
}

impl TermCounts {
    /// No documents yet. The vocabulary refuses to grow past `max_bytes`; `watch` may stop the work.
    ///
    /// # Errors
    /// [`Error::OptionValue`] if a pattern cannot be used, and what `watch` returns.
    pub fn new(options: &TfidfOptions, max_bytes: u64, watch: Watch) -> Result<Self> {
        Ok(TermCounts {
            options: options.clone(),
            tokenizer: Arc::new(Tokenizer::new(options, watch)?),
            documents: 0,
            trie: NgramTrie::new(max_bytes, bytes_beside(options)),
            counts: Vec::new(),
            occurrences: Vec::new(),
            merged: None,
            lookup: Lookup::default(),
            max_bytes,
            watch,
        })
    }

    /// The options.
    pub fn options(&self) -> &TfidfOptions {
        &self.options
    }

    /// Who may stop the work.
    pub fn watch(&self) -> Watch {
        self.watch
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
        self.trie.bytes() + self.merged.as_ref().map_or(0, |merged| merged.bytes())
    }

    /// Counts a message, masked first.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound, [`Error::PatternSteps`].
    pub fn add(&mut self, message: &str) -> Result<()> {
        let tokenizer = self.tokenizer();
        self.add_masked(&tokenizer.mask(message, &self.watch)?, 1)
    }

    /// Counts a masked message as `times` documents.
    ///
    /// # Errors
    /// As [`Self::add`].
    pub fn add_masked(&mut self, masked: &str, times: u64) -> Result<()> {
        let tokenizer = self.tokenizer();
        self.documents += times;
        let (document, (min, max)) = (self.documents, self.options.ngram_range);
        let needs_occurrences = needs_occurrences(&self.options);
        let TermCounts { trie, counts, occurrences, lookup: Lookup { text, found }, watch, .. } = self;
        watch.start();
        let mut count = |node: Node| {
            let node = node as usize;
            if counts.len() <= node {
                counts.resize(node + 1, Count::default());
            }
            let count = &mut counts[node];
            count.df += if count.last == document { 0 } else { times };
            count.last = document;
            if needs_occurrences {
                if occurrences.len() <= node {
                    occurrences.resize(node + 1, 0);
                }
                occurrences[node] += times;
            }
        };
        if !tokenizer.joins_words() {
            let whole = *watch;
            let mut pace = Steps::over_bytes(&whole);
            return tokenizer.ngrams(masked, &whole, |gram| {
                watch.tick(1)?;
                pace.pass(gram.len())?;
                count(trie.insert_word(WordKey::of(gram), gram)?);
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
        tokenizer.words(masked, text, &watch.clone(), |text, ranges| {
            watch.tick(ranges.len())?;
            found.touch_words(trie.word_table(), text, ranges);
            for (&key, range) in found.keys.iter().zip(ranges) {
                found.words.push(trie.insert_word(key, &text[range.clone()])?);
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
        let theirs = other.sorted()?;
        self.merged = Some(match self.merged.take() {
            None => theirs,
            Some(ours) => Arc::new(ours.merge(&theirs, self.max_bytes, &self.watch)?),
        });
        self.documents += other.documents;
        Ok(())
    }

    /// All counts in order.
    fn sorted(&self) -> Result<Arc<SortedCounts>> {
        let of_trie = || -> Result<SortedCounts> {
            // Frequencies that four bytes hold, which are nearly all, make less to move.
            let df = |node: Node| self.counts.get(node as usize).map_or(0, |count| count.df);
            let short = |node: Node| u32::try_from(df(node)).unwrap_or(u32::MAX);
            let (vocabulary, nodes) = self.trie.sorted(short, &self.watch)?;
            let df =
                |&(node, short): &(Node, u32)| if short == u32::MAX { df(node) } else { u64::from(short) };
            let occurrences =
                |&(node, _): &(Node, u32)| self.occurrences.get(node as usize).copied().unwrap_or(0);
            let mut counts = SortedCounts { vocabulary, ..SortedCounts::default() };
            for level in &nodes {
                counts.df.push(level.iter().map(df).collect());
                if needs_occurrences(&self.options) {
                    counts.occurrences.push(level.iter().map(occurrences).collect());
                }
            }
            Ok(counts)
        };
        match &self.merged {
            Some(merged) if self.trie.is_empty() => Ok(Arc::clone(merged)),
            Some(merged) => Ok(Arc::new(merged.merge(&of_trie()?, self.max_bytes, &self.watch)?)),
            None => Ok(Arc::new(of_trie()?)),
        }
    }

    /// The counts as bytes, for a parallel worker to hand over, after `head`.
    ///
    /// # Errors
    /// [`Error::Memory`] if they are larger than a value may be.
    pub fn to_bytes(&self, head: &[u8]) -> Result<Vec<u8>> {
        let counts = self.sorted()?;
        let header = StateHeader {
            options: self.options.clone(),
            documents: self.documents,
            levels: counts.df.len() as u32,
            has_occurrences: !counts.occurrences.is_empty(),
        };
        let header = bincode::encode_to_vec(&header, bincode::config::standard()).unwrap_or_default();
        // A little more than the parts, each of which has its length before it.
        let capacity = (head.len() + counts.bytes() as usize + header.len() + 4096).min(MAX_STATE_BYTES);
        let mut writer = Writer { bytes: Vec::with_capacity(capacity), most: MAX_STATE_BYTES };
        writer.bytes.extend_from_slice(head);
        writer.put(&header)?;
        counts.write(&mut writer)?;
        Ok(writer.bytes)
    }

    /// The counts that [`Self::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Corrupt`], [`Error::Memory`].
    pub fn from_bytes(bytes: &[u8], max_bytes: u64, watch: Watch) -> Result<Self> {
        let mut reader = Reader { bytes };
        let header = reader.take::<u8>()?;
        let mut slice = SliceReader::new(&header);
        let header: StateHeader =
            decode_within!(&mut slice, header.len(), bincode::config::standard(), MAX_STATE_BYTES)
                .map_err(|_| corrupt("its header cannot be decoded"))?;
        let mut counts = TermCounts::new(&header.options, max_bytes, watch)?;
        counts.documents = header.documents;
        let needed = 2 * bytes.len() as u64;
        if needed > max_bytes {
            return Err(Error::Memory { what: "the vocabulary", needed, allowed: max_bytes });
        }
        if header.has_occurrences != needs_occurrences(&header.options) {
            return Err(corrupt("it counts what its options do not need"));
        }
        counts.merged = Some(Arc::new(SortedCounts::read(&mut reader, &header, &watch)?));
        Ok(counts)
    }

    /// Prunes and weighs.
    ///
    /// # Errors
    /// [`Error::NoDocuments`], [`Error::EmptyVocabulary`], [`Error::DocumentFrequencies`],
    /// [`Error::AllTermsPruned`].
    pub fn finish(&self) -> Result<TfidfModel> {
        if self.documents == 0 {
            return Err(Error::NoDocuments);
        }
        let counts = self.sorted()?;
        let counted = counts.df.iter().flatten().filter(|&&df| df > 0).count();
        if counted == 0 {
            return Err(Error::EmptyVocabulary);
        }
        let min = self.options.min_df.documents(self.documents);
        let max = self.options.max_df.documents(self.documents);
        if max < min {
            return Err(Error::DocumentFrequencies);
        }
        let within = |&df: &u64| df > 0 && (min..=max).contains(&(df as f64));
        let mut is_term: Vec<Vec<bool>> =
            counts.df.iter().map(|level| level.iter().map(within).collect()).collect();
        let terms = is_term.iter().flatten().filter(|mark| **mark).count();
        if terms == 0 {
            return Err(Error::AllTermsPruned(counted));
        }
        if let Some(limit) = self.options.max_features.filter(|&limit| limit < terms as u64) {
            keep_most_frequent(&counts, &mut is_term, limit as usize, &self.watch)?;
        }
        self.watch.poll()?;
        let options = self.options.clone();
        TfidfModel::new(options, self.documents, &counts.vocabulary, &counts.df, &is_term, &self.watch)
    }

    /// The words that were counted and yet are no terms of the model: pruned, not unseen.
    ///
    /// # Errors
    /// As [`Self::merge`].
    pub fn pruned_words(&self, model: &TfidfModel) -> Result<Vec<String>> {
        if model.pruned == 0 {
            return Ok(Vec::new());
        }
        let (counts, mut steps) = (self.sorted()?, Steps::new(&self.watch));
        let mut pruned = Vec::new();
        for word in counts.vocabulary.words() {
            steps.pass(1)?;
            if model.find(word).is_none() {
                pruned.push(word.to_owned());
            }
        }
        Ok(pruned)
    }
}

/// Leaves the marks of as many terms, those with the highest frequencies; of equal ones the first.
fn keep_most_frequent(
    counts: &SortedCounts,
    is_term: &mut [Vec<bool>],
    most: usize,
    control: &dyn Control,
) -> Result<()> {
    let ranks = counts.vocabulary.ranks(|(level, at)| is_term[level][at], control)?;
    let frequencies = if counts.occurrences.is_empty() { &counts.df } else { &counts.occurrences };
    let count = is_term.iter().flatten().filter(|mark| **mark).count();
    let mut terms: Vec<(Reverse<u64>, u32)> = Vec::with_capacity(count);
    let marks = |level: usize| is_term[level].iter().enumerate().filter(|(_, mark)| **mark);
    for level in 0..is_term.len() {
        terms.extend(marks(level).map(|(at, _)| (Reverse(frequencies[level][at]), ranks[level][at])));
    }
    terms.select_nth_unstable(most - 1);
    let mut is_kept = vec![false; count];
    terms[..most].iter().for_each(|&(_, rank)| is_kept[rank as usize] = true);
    for (marks, ranks) in is_term.iter_mut().zip(&ranks) {
        for (mark, &rank) in marks.iter_mut().zip(ranks) {
            *mark = *mark && is_kept[rank as usize];
        }
    }
    Ok(())
}

/// Counts by place in a vocabulary.
#[derive(Debug, Default)]
struct SortedCounts {
    vocabulary: Vocabulary,
    /// Documents that hold each n-gram, level by level; 0 for one that is only part of a longer one.
    df: Vec<Vec<u64>>,
    /// As [`TermCounts::occurrences`].
    occurrences: Vec<Vec<u64>>,
}

impl SortedCounts {
    fn bytes(&self) -> u64 {
        let counts = |counts: &Vec<Vec<u64>>| counts.iter().map(|level| level.len() as u64 * 8).sum::<u64>();
        self.vocabulary.bytes() + counts(&self.df) + counts(&self.occurrences)
    }

    fn merge(&self, other: &SortedCounts, max_bytes: u64, control: &dyn Control) -> Result<SortedCounts> {
        // Both, at most as much again for the union, and where each n-gram stands there.
        let needed = (self.bytes() + other.bytes()) * 5 / 2;
        if needed > max_bytes {
            return Err(Error::Memory { what: "the vocabulary", needed, allowed: max_bytes });
        }
        let sides = [self, other];
        let levels = self.df.len().max(other.df.len());
        let mut merged = SortedCounts::default();
        let room = |counts: [&Vec<Vec<u64>>; 2], level: usize| {
            Vec::with_capacity(counts.iter().filter_map(|counts| counts.get(level)).map(Vec::len).sum())
        };
        merged.df = (0..levels).map(|level| room(sides.map(|side| &side.df), level)).collect();
        if !(self.occurrences.is_empty() && other.occurrences.is_empty()) {
            merged.occurrences =
                (0..levels).map(|level| room(sides.map(|side| &side.occurrences), level)).collect();
        }
        let SortedCounts { df, occurrences, .. } = &mut merged;
        let vocabulary = self.vocabulary.merge(&other.vocabulary, control, |level, places| {
            let sum = |counts: [&Vec<Vec<u64>>; 2]| -> u64 {
                let of = |counts: &Vec<Vec<u64>>, at: Option<usize>| {
                    at.map_or(0, |at| counts.get(level).map_or(0, |level| level[at]))
                };
                of(counts[0], places[0]) + of(counts[1], places[1])
            };
            df[level].push(sum([&self.df, &other.df]));
            if let Some(level) = occurrences.get_mut(level) {
                level.push(sum([&self.occurrences, &other.occurrences]));
            }
        })?;
        Ok(SortedCounts { vocabulary, ..merged })
    }

    fn write(&self, writer: &mut Writer) -> Result<()> {
        let (text, ends) = self.vocabulary.text_and_ends();
        writer.put(text.as_bytes())?;
        writer.put(cast_slice(ends))?;
        for level in 1..self.vocabulary.levels() {
            writer.put(cast_slice(self.vocabulary.edges(level)))?;
        }
        for counts in self.df.iter().chain(&self.occurrences) {
            writer.put(cast_slice(counts))?;
        }
        Ok(())
    }

    fn read(reader: &mut Reader<'_>, header: &StateHeader, control: &dyn Control) -> Result<SortedCounts> {
        let text = String::from_utf8(reader.take()?).map_err(|_| corrupt("a word is no text"))?;
        let mut counts = SortedCounts {
            vocabulary: Vocabulary::of_words(text, reader.take()?),
            ..SortedCounts::default()
        };
        for _ in 1..header.levels {
            counts.vocabulary.push_level(reader.take()?);
        }
        counts.vocabulary.validate(control)?.map_err(corrupt)?;
        for level in 0..header.levels as usize {
            counts.df.push(reader.take_as_many(counts.vocabulary.level_len(level))?);
        }
        for level in (0..header.levels as usize).filter(|_| header.has_occurrences) {
            counts.occurrences.push(reader.take_as_many(counts.vocabulary.level_len(level))?);
        }
        Ok(counts)
    }
}

/// What stands at the head of the bytes that a parallel worker hands over. What follows are sequences of numbers as they
/// lie in memory, each after its length in bytes: the reader is the same program on the same machine.
#[derive(bincode::Encode, bincode::Decode)]
struct StateHeader {
    options: TfidfOptions,
    documents: u64,
    levels: u32,
    has_occurrences: bool,
}

struct Writer {
    bytes: Vec<u8>,
    most: usize,
}

impl Writer {
    fn put(&mut self, part: &[u8]) -> Result<()> {
        let needed = self.bytes.len() + 8 + part.len();
        if needed > self.most {
            let what = "handing the vocabulary over between parallel workers";
            return Err(Error::Memory { what, needed: needed as u64, allowed: self.most as u64 });
        }
        self.bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
        self.bytes.extend_from_slice(part);
        Ok(())
    }
}

struct Reader<'a> {
    bytes: &'a [u8],
}

impl Reader<'_> {
    fn take<T: bytemuck::Pod>(&mut self) -> Result<Vec<T>> {
        let (length, rest) = self.bytes.split_first_chunk().ok_or_else(|| corrupt("it is too short"))?;
        let length = usize::try_from(u64::from_le_bytes(*length)).ok();
        let part = length.and_then(|length| rest.split_at_checked(length));
        let (part, rest) = part.ok_or_else(|| corrupt("it is too short"))?;
        if part.len() % size_of::<T>() != 0 {
            return Err(corrupt("a number is cut"));
        }
        self.bytes = rest;
        Ok(pod_collect_to_vec(part))
    }

    fn take_as_many(&mut self, count: usize) -> Result<Vec<u64>> {
        let counts = self.take()?;
        if counts.len() == count { Ok(counts) } else { Err(corrupt("counts and n-grams differ in number")) }
    }
}

fn corrupt(why: &str) -> Error {
    Error::Corrupt { what: "tfidf_fit state", why: why.to_owned() }
}
