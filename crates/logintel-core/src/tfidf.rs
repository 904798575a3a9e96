//! TF-IDF, with the numbers of scikit-learn's `TfidfVectorizer`: the model, a value that is kept.
//!
//! [`crate::counts`] makes it, [`crate::vectorizer`] uses it. A weight is `tf · (ln((1 + n) / (1 + df)) + 1)` with
//! `smooth_idf`, `tf · (ln(n / df) + 1)` without, then normalised.

use bincode::de::Decoder;
use bincode::enc::Encoder;
use bincode::error::{DecodeError, EncodeError};
use bincode::{Decode, Encode};

use crate::artifact::{self, Artifact, corrupt};
use crate::control::Control;
use crate::error::Result;
use crate::options::TfidfOptions;
use crate::vocabulary::{Place, Vocabulary};

/// A fitted vectoriser as a value.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TfidfModel {
    /// How it was fitted.
    pub options: TfidfOptions,
    /// Documents it was fitted on.
    pub documents: u64,
    /// Terms that `min_df`, `max_df` and `max_features` left out.
    pub pruned: u64,
    /// The terms, and what they are made of.
    vocabulary: Vocabulary,
    /// The document frequencies that occur, ascending: far fewer than terms.
    frequencies: Vec<u64>,
    /// For each n-gram, level by level, 0 if it is no term, else one more than the place of its document frequency.
    classes: Vec<Vec<u32>>,
    order: Order,
}

/// What follows from the rest, and is not kept.
#[derive(Debug, Clone, PartialEq, Default)]
struct Order {
    /// For each n-gram, level by level, how many terms come before it: its index, if it is one.
    ranks: Vec<Vec<u32>>,
    /// For each term, by index, the place of its document frequency.
    classes: Vec<u32>,
}

impl Encode for TfidfModel {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> std::result::Result<(), EncodeError> {
        let TfidfModel { options, documents, pruned, vocabulary, frequencies, classes, order: _ } = self;
        options.encode(encoder)?;
        documents.encode(encoder)?;
        pruned.encode(encoder)?;
        vocabulary.encode(encoder)?;
        frequencies.encode(encoder)?;
        classes.encode(encoder)
    }
}

impl<Context> Decode<Context> for TfidfModel {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> std::result::Result<Self, DecodeError> {
        Ok(TfidfModel {
            options: Decode::decode(decoder)?,
            documents: Decode::decode(decoder)?,
            pruned: Decode::decode(decoder)?,
            vocabulary: Decode::decode(decoder)?,
            frequencies: Decode::decode(decoder)?,
            classes: artifact::levels(decoder)?,
            order: Order::default(),
        })
    }
}

bincode::impl_borrow_decode!(TfidfModel);

impl Artifact for TfidfModel {
    const WHAT: &'static str = "tfidf_model";
    const LETTER: u8 = b'T';
    const VERSION: u16 = 1;

    fn accept(&mut self, control: &dyn Control) -> Result<()> {
        if !self.options.is_valid() {
            return Err(corrupt::<Self>("an option is out of range"));
        }
        // A term is as deep as it is long.
        if self.vocabulary.levels() > self.options.ngram_range.1 as usize {
            return Err(corrupt::<Self>("an n-gram is too long"));
        }
        self.vocabulary.validate(control)?.map_err(corrupt::<Self>)?;
        // No text of PostgreSQL's holds a zero byte.
        if self.options.texts().chain(self.vocabulary.words()).any(|text| text.contains('\0')) {
            return Err(corrupt::<Self>("there is a zero byte in a text"));
        }
        if !self.frequencies.is_sorted_by(|a, b| a < b)
            || self.frequencies.iter().any(|&df| df == 0 || df > self.documents)
        {
            return Err(corrupt::<Self>("a document frequency is out of range"));
        }
        let lens = (0..self.vocabulary.levels()).map(|level| self.vocabulary.level_len(level));
        if !lens.eq(self.classes.iter().map(Vec::len)) {
            return Err(corrupt::<Self>("terms and frequencies differ in number"));
        }
        if self.classes.iter().flatten().any(|&class| class as usize > self.frequencies.len()) {
            return Err(corrupt::<Self>("a document frequency is missing"));
        }
        self.put_in_order(control)?;
        if self.is_empty() {
            return Err(corrupt::<Self>("there is no term"));
        }
        Ok(())
    }
}

impl TfidfModel {
    /// A model of the n-grams marked in `is_term`; `df` and `is_term` go by level and place in the vocabulary.
    ///
    /// # Errors
    /// What `control` returns.
    pub(crate) fn new(
        options: TfidfOptions,
        documents: u64,
        vocabulary: &Vocabulary,
        df: &[Vec<u64>],
        is_term: &[Vec<bool>],
        control: &dyn Control,
    ) -> Result<Self> {
        let counted = df.iter().flatten().filter(|&&df| df > 0).count();
        let (vocabulary, stood) = vocabulary.retain(is_term);
        control.poll()?;
        let at = |level: usize| {
            stood[level].iter().map(move |&at| (df[level][at as usize], is_term[level][at as usize]))
        };
        let terms = || (0..stood.len()).flat_map(at).filter(|(_, is_term)| *is_term).map(|(df, _)| df);
        let mut frequencies: Vec<u64> = terms().collect();
        let pruned = (counted - frequencies.len()) as u64;
        frequencies.sort_unstable();
        frequencies.dedup();
        control.poll()?;
        // Most terms are rare, and the places of low frequencies are looked up rather than searched for.
        let search = |df| frequencies.binary_search(&df).map_or(0, |place| place as u32 + 1);
        let low: Vec<u32> = (0..1024).map(search).collect();
        let class = |(df, is_term): (u64, bool)| match low.get(df as usize) {
            _ if !is_term => 0,
            Some(&class) => class,
            None => search(df),
        };
        let classes = (0..stood.len()).map(|level| at(level).map(class).collect()).collect();
        let mut model = TfidfModel {
            options,
            documents,
            pruned,
            vocabulary,
            frequencies,
            classes,
            order: Order::default(),
        };
        model.put_in_order(control)?;
        Ok(model)
    }

    fn put_in_order(&mut self, control: &dyn Control) -> Result<()> {
        let ranks = self.vocabulary.ranks(|(level, at)| self.classes[level][at] > 0, control)?;
        let terms = self.classes.iter().flatten().filter(|&&class| class > 0).count();
        let mut classes = vec![0; terms];
        for (level, ranks) in ranks.iter().enumerate() {
            control.poll()?;
            for (&rank, &class) in ranks.iter().zip(&self.classes[level]).filter(|(_, class)| **class > 0) {
                classes[rank as usize] = class - 1;
            }
        }
        self.order = Order { ranks, classes };
        Ok(())
    }

    /// Number of terms, the dimensions of its vectors.
    pub fn len(&self) -> usize {
        self.order.classes.len()
    }

    /// Never true: an empty vocabulary is an error when fitting.
    pub fn is_empty(&self) -> bool {
        self.order.classes.is_empty()
    }

    /// The terms, and what they are made of.
    pub fn vocabulary(&self) -> &Vocabulary {
        &self.vocabulary
    }

    /// The index of the term at a place, and the place of its document frequency.
    #[inline]
    pub(crate) fn index_at(&self, (level, at): Place) -> Option<(u32, u32)> {
        let class = self.classes[level][at];
        (class > 0).then(|| (self.order.ranks[level][at], class - 1))
    }

    /// Term `index`, 0-based.
    pub fn term(&self, index: usize) -> String {
        let at = |level: usize| {
            // The last of those with as many terms before them: the others begin no term.
            let after = self.order.ranks[level].partition_point(|&rank| rank as usize <= index);
            let place = (level, after.checked_sub(1)?);
            self.index_at(place).filter(|found| found.0 as usize == index).map(|_| place)
        };
        let place = (0..self.vocabulary.levels()).find_map(at);
        place.map(|place| self.vocabulary.term(place)).unwrap_or_default()
    }

    /// The index of a term, 0-based.
    pub fn find(&self, term: &str) -> Option<usize> {
        let place = self.vocabulary.find(term)?;
        self.index_at(place).map(|(index, _)| index as usize)
    }

    /// Documents that hold term `index`.
    pub fn df(&self, index: usize) -> u64 {
        self.frequencies[self.order.classes[index] as usize]
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
        self.idf_of(self.df(index))
    }

    /// Weights of the document frequencies that occur, by their place.
    pub(crate) fn idfs(&self) -> Vec<f64> {
        self.frequencies.iter().map(|&df| self.idf_of(df)).collect()
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> u64 {
        let nodes: usize = self.classes.iter().map(Vec::len).sum();
        self.vocabulary.bytes() + (nodes * 8 + self.len() * 4 + self.frequencies.len() * 8) as u64
    }
}
