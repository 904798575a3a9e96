//! What is ordinary: learnt from history, kept as one artifact.
//!
//! Training collapses the rows of history into templates ([`crate::template`]), vectorises and clusters them with
//! their multiplicities, and measures how strange *ordinary* rows look to a model that has not seen them. A row is
//! as strange as its cosine distance to the nearest template of training, in the space where a term that
//! training never saw has a dimension of its own: a frozen vocabulary would drop such a term, and a half-new
//! line would look nearer than it is.
//!
//! Calibration is cross-conformal (Vovk 2015): rows fall into [`FOLDS`] folds by a hash of their number; a row
//! whose template occurs in other folds too is not strange at all, any other is measured against a model
//! without its fold. The threshold is the quantile of these measures that lets `false_alarm_rate` of them pass
//! it, as near to flagging exactly what was never seen as history's standard error allows. Each profile has one of its own
//! ([`crate::profile`]).

use std::borrow::Cow;
use std::hash::BuildHasher;

use hashbrown::HashTable;

use crate::artifact::{Artifact, corrupt};
use crate::calibration::{Calibration, share, splitmix};
use crate::config::{Column, DetectorOptions, Preset, SeverityOverride};
use crate::control::{Control, Steps, Watch};
use crate::counts::TermCounts;
use crate::dbscan::{CoreRows, Dbscan};
use crate::distinct::{Distinct, DistinctRows};
use crate::error::{Error, Result};
use crate::line::Line;
use crate::marks::Marks;
use crate::neighbors::{Index, Neighbor, Scratch as NeighborScratch};
use crate::options::Masks;
use crate::profile::{Cell, Choice, ENOUGH_BEYOND, Occurrences, Profile, REST, Tally};
use crate::rates::{RateLog, RateModel, Zone};
use crate::scale::{ColumnScale, StandardScaler, scale};
use crate::session::{MAX_SESSION_TEMPLATES, SessionLog, SessionModel};
use crate::severity::is_error;
use crate::sparse::{CsrMatrix, SparseRef, SparseVec};
use crate::table::HASHER;
use crate::template::{Mined, Miner, Scratch as TemplateScratch, Template as MinedTemplate, Templates};
use crate::tfidf::TfidfModel;
use crate::tokenize::Tokenizer;
use crate::vectorizer::{Coverage, Scratch, Vectorizer};

/// Folds of the calibration.
pub const FOLDS: u32 = 10;
/// Most distinct masked messages that templates are made of; rows of further ones still count for the vocabulary.
pub const MAX_MESSAGES: usize = 100_000;
// While history is gathered, messages stand for the templates of a session.
const _: () = assert!(MAX_MESSAGES <= MAX_SESSION_TEMPLATES);
/// Most bytes of a masked message that are looked at.
pub const MAX_MASKED: usize = 16 << 10;
/// Most bytes of a message that are masked to come to that: masks shorten.
const MAX_UNMASKED: usize = 16 * MAX_MASKED;
/// Most held-back templates that are measured for each fold, evenly spaced.
const MAX_HELD: usize = 1000;
/// Strangeness of a template that training saw once, alone; one never seen has its distance on top of it.
pub(crate) const SEEN_ONCE: f64 = 1.0;

/// What training knows of a template.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Template {
    /// The message with `<*>` for what varies; where nothing is masked, the message.
    pub text: String,
    /// Rows of training.
    pub rows: u64,
    /// Row of the baseline's matrix of distinct vectors.
    pub vector: u32,
}

/// Figures of a training.
#[derive(Debug, Clone, Default, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Summary {
    /// Rows learnt from.
    pub training_rows: u64,
    /// Rows in no cluster.
    pub noise_rows: u64,
    /// Rows whose masked message came after [`MAX_MESSAGES`] others.
    pub overflow_rows: u64,
    /// Clusters.
    pub clusters: u32,
    /// Ordinary rows that the threshold was calibrated on.
    pub calibration_rows: u64,
    /// Share of the training rows that the model itself would flag.
    pub flagged_share: f64,
    /// The same of the rows that their level alone does not flag.
    pub flagged_by_content: f64,
}

/// What is ordinary.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Baseline {
    /// How it was trained.
    pub options: DetectorOptions,
    /// How messages become vectors.
    pub model: TfidfModel,
    /// Words of training that the vocabulary was pruned of.
    pub pruned_words: Vec<String>,
    /// In order of first occurrence.
    pub templates: Vec<Template>,
    /// Distinct vectors of the templates.
    pub vectors: CsrMatrix,
    /// Cluster of each distinct vector; noise is `None`.
    pub labels: Vec<Option<u32>>,
    /// Core rows of the clusters, in the space that was clustered.
    pub core: CoreRows,
    /// Standard deviations of that space.
    pub scales: Vec<ColumnScale>,
    /// Mean of the vectors of all rows that are not noise, for the seed's preset.
    pub centroid: Option<(Vec<u32>, Vec<f32>)>,
    /// How strange held-back ordinary rows are, and what else is ordinary for some lines alone. The first is that of all
    /// lines that no other decides.
    pub profiles: Vec<Profile>,
    /// Figures.
    pub summary: Summary,
    /// Whole sessions; `None` where history had none.
    pub sessions: Option<SessionModel>,
    /// How often things happen; `None` where history had no times.
    pub rates: Option<RateModel>,
}

impl Artifact for Baseline {
    const WHAT: &'static str = "detector model";
    const LETTER: u8 = b'D';
    const VERSION: u16 = 1;

    fn accept(&mut self, control: &dyn Control) -> Result<()> {
        self.model.accept(control)?;
        let distinct = self.labels.len();
        if !self.vectors.is_valid()
            || self.vectors.rows() != distinct
            || self.vectors.dim as usize != self.model.len()
        {
            return Err(corrupt::<Self>("vectors and labels differ in number"));
        }
        if self.templates.iter().any(|template| template.vector as usize >= distinct) {
            return Err(corrupt::<Self>("a template without vector"));
        }
        let mut has_template = vec![false; distinct];
        self.templates.iter().for_each(|template| has_template[template.vector as usize] = true);
        if !has_template.iter().all(|&has| has) {
            return Err(corrupt::<Self>("a vector without template"));
        }
        if self.summary.clusters as usize > distinct
            || self.labels.iter().flatten().any(|&label| label >= self.summary.clusters)
        {
            return Err(corrupt::<Self>("labels and clusters differ"));
        }
        self.core.check(self.vectors.dim)?;
        if self.profiles.first().is_none_or(|first| !first.is_rest())
            || self.profiles[1..].iter().any(Profile::is_rest)
            || !self.profiles.iter().all(|profile| profile.is_valid(self.templates.len()))
        {
            return Err(corrupt::<Self>("the profiles are out of order"));
        }
        if let Some(sessions) = &self.sessions {
            sessions.check().map_err(corrupt::<Self>)?;
        }
        if let Some(rates) = &self.rates {
            rates.check(self.templates.len()).map_err(corrupt::<Self>)?;
        }
        match &self.centroid {
            Some((indices, values))
                if indices.len() != values.len() || indices.iter().any(|&i| i >= self.vectors.dim) =>
            {
                Err(corrupt::<Self>("the centroid is out of range"))
            }
            _ => Ok(()),
        }
    }
}

/// The part of a message that is looked at, masked.
///
/// # Errors
/// [`Error::PatternSteps`], and what the watch returns.
pub fn masked_head<'a>(tokenizer: &Tokenizer, message: &'a str, watch: &Watch) -> Result<Cow<'a, str>> {
    let message = &message[..message.floor_char_boundary(MAX_UNMASKED)];
    Ok(match tokenizer.mask(message, watch)? {
        Cow::Borrowed(masked) => Cow::Borrowed(&masked[..masked.floor_char_boundary(MAX_MASKED)]),
        Cow::Owned(mut masked) => {
            masked.truncate(masked.floor_char_boundary(MAX_MASKED));
            Cow::Owned(masked)
        }
    })
}

/// Gathers history.
#[derive(Debug)]
pub struct Trainer {
    options: DetectorOptions,
    counts: TermCounts,
    /// Distinct masked messages in order of first occurrence, until [`Self::mine`] makes templates of them.
    templates: Vec<Template>,
    /// Where and how often each occurs.
    tally: Tally,
    table: HashTable<u32>,
    /// Templates of an earlier training.
    known: Option<Templates>,
    /// Templates that a person has marked.
    marked: Vec<String>,
    text_bytes: u64,
    max_bytes: u64,
    rows: u64,
    overflow_rows: u64,
    error_rows: u64,
    sessions: SessionLog,
    rates: RateLog,
}

impl Trainer {
    /// No rows yet; at most `max_bytes` are used. `watch` may stop the work on one row, however long.
    ///
    /// # Errors
    /// [`Error::OptionValue`] if a pattern cannot be used.
    pub fn new(options: &DetectorOptions, max_bytes: u64, watch: Watch) -> Result<Self> {
        Ok(Trainer {
            options: options.clone(),
            counts: TermCounts::new(&options.vectorizer, max_bytes, watch)?,
            templates: Vec::new(),
            tally: Tally::new(profile_columns(options)),
            table: HashTable::new(),
            known: None,
            marked: Vec::new(),
            text_bytes: 0,
            max_bytes,
            rows: 0,
            overflow_rows: 0,
            error_rows: 0,
            sessions: SessionLog::new(max_bytes),
            rates: RateLog::new(max_bytes),
        })
    }

    /// Rows taken in.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Lets lines keep the templates of an earlier training, where they still fit.
    pub fn know(&mut self, templates: Templates) {
        self.known = Some(templates);
    }

    /// Lets the rows of templates that a person has marked count as ordinary, and their templates keep their texts.
    pub fn mark(&mut self, templates: Vec<String>) {
        self.marked = templates;
    }

    /// Tells what clocks show where the rows come from, before the first of them; else it is UTC.
    pub fn set_zone(&mut self, zone: Zone) {
        self.rates.set_zone(zone);
    }

    /// Where the sessions of the rows are told.
    pub fn sessions(&mut self) -> &mut SessionLog {
        &mut self.sessions
    }

    /// Takes in a row; returns the number of its masked message, if it is one of those that are kept.
    ///
    /// # Errors
    /// [`Error::Memory`] at the bound, [`Error::PatternSteps`], and what the watch returns.
    pub fn add(&mut self, line: &Line<'_>) -> Result<Option<u32>> {
        let tokenizer = self.counts.tokenizer();
        let masked = masked_head(&tokenizer, line.message, &self.counts.watch())?;
        let number = self.count(&masked, line)?;
        if self.options.rates && self.options.preset == Preset::Default {
            self.rates.add(line.ts, number, line.component);
        }
        Ok(number)
    }

    fn count(&mut self, masked: &str, line: &Line<'_>) -> Result<Option<u32>> {
        let error = line.level.is_some_and(|level| overrides(&self.options, level));
        let fold = (splitmix(self.rows) % u64::from(FOLDS)) as u32;
        self.rows += 1;
        self.error_rows += u64::from(error);
        let hash = HASHER.hash_one(masked);
        let found =
            self.table.find(hash, |&i| self.templates[i as usize].text == masked).map(|&i| i as usize);
        let Some(at) = found.map_or_else(|| self.insert(masked, hash), |at| Ok(Some(at)))? else {
            self.overflow_rows += 1;
            self.counts.add_masked(masked, 1)?;
            return Ok(None);
        };
        self.templates[at].rows += 1;
        self.tally.add(at as u32, line, fold, error);
        self.check_memory()?;
        Ok(Some(at as u32))
    }

    fn insert(&mut self, masked: &str, hash: u64) -> Result<Option<usize>> {
        let at = self.templates.len();
        if at >= MAX_MESSAGES {
            return Ok(None);
        }
        self.text_bytes += masked.len() as u64 + 64;
        self.check_memory()?;
        self.templates.push(Template { text: masked.to_owned(), rows: 0, vector: 0 });
        let templates = &self.templates;
        self.table.insert_unique(hash, at as u32, |&i| HASHER.hash_one(templates[i as usize].text.as_str()));
        Ok(Some(at))
    }

    fn check_memory(&self) -> Result<()> {
        let needed = (self.text_bytes + self.tally.bytes()) * 4;
        if needed > self.max_bytes {
            return Err(Error::Memory { what: "the templates", needed, allowed: self.max_bytes });
        }
        Ok(())
    }

    /// Learns what is ordinary.
    ///
    /// # Errors
    /// Those of [`TermCounts::finish`], [`Error::Memory`], and what `control` and the watch return.
    pub fn finish(mut self, control: &dyn Control) -> Result<Baseline> {
        let marks = marks(&self.options, std::mem::take(&mut self.marked), control)?;
        let template_of = self.mine(&marks, control)?;
        self.tally.renumber(&template_of, control)?;
        let template_of = |message: u32| template_of.get(message as usize).copied();
        let sessions = std::mem::take(&mut self.sessions).learn(&self.options, template_of, control)?;
        let rates = std::mem::replace(&mut self.rates, RateLog::new(0));
        let rates = rates.learn(self.templates.len(), template_of, control)?;
        let model = self.fit(control)?;
        let pruned_words = self.counts.pruned_words(&model)?;
        let vectorizer = Vectorizer::with_known_words(model, &pruned_words, self.counts.watch())?;
        let DistinctRows { rows: vectors, weights, row_of } = self.vectorize(&vectorizer, control)?;
        for (template, &row) in self.templates.iter_mut().zip(&row_of) {
            template.vector = row;
        }
        let clustering = &self.options.clustering;
        let (space, scales) = if clustering.standardize {
            let scaler = StandardScaler::fit_weighted(&vectors, &weights, control)?;
            (Cow::Owned(scaler.transform(&vectors, control)?), scaler.columns().to_vec())
        } else {
            (Cow::Borrowed(&vectors), Vec::new())
        };
        let dbscan = Dbscan { eps: clustering.eps, min_points: clustering.min_points };
        let fit = dbscan.fit(&space, &weights, control)?;
        let core = CoreRows::new(&dbscan, &space, &fit, control)?;
        drop(space);
        let noise = fit.labels.iter().zip(&weights).filter(|(label, _)| label.is_none());
        let summary = Summary {
            training_rows: self.rows,
            noise_rows: noise.map(|(_, weight)| weight).sum(),
            overflow_rows: self.overflow_rows,
            clusters: fit.clusters,
            ..Default::default()
        };
        let centroid = (self.options.preset == Preset::Seed)
            .then(|| mean(&vectors, &weights, &fit.labels, control))
            .transpose()?;
        let mut baseline = Baseline {
            options: self.options.clone(),
            model: vectorizer.model().clone(),
            pruned_words,
            templates: std::mem::take(&mut self.templates),
            vectors,
            labels: fit.labels,
            core,
            scales,
            centroid,
            profiles: Vec::new(),
            summary,
            sessions,
            rates,
        };
        match self.options.preset {
            Preset::Default => self.calibrate(&mut baseline, control)?,
            Preset::Seed => {
                let noise = baseline.summary.noise_rows - self.marked_noise(&baseline);
                let flagged_share = share(noise, self.rows);
                (baseline.summary.flagged_share, baseline.summary.flagged_by_content) =
                    (flagged_share, flagged_share);
                baseline.profiles.push(Profile { rows: self.rows, flagged_share, ..Profile::default() });
            }
        }
        Ok(baseline)
    }

    /// Makes templates of the masked messages, in order of first occurrence; gives the template of each message.
    fn mine(&mut self, marks: &Marks, control: &dyn Control) -> Result<Vec<u32>> {
        let (mut scratch, mut steps) = (TemplateScratch::default(), Steps::over_bytes(control));
        if !mines(&self.options) {
            let mut marked = Vec::with_capacity(self.templates.len());
            for message in &self.templates {
                steps.pass(1 + message.text.len())?;
                marked.push(marks.find(&message.text, None, &mut scratch).is_some());
            }
            self.tally.mark(&marked);
            return Ok((0..self.templates.len() as u32).collect());
        }
        let mut miner = Miner::new(kinds(&self.options), self.max_bytes);
        if self.known.is_some() || !marks.texts().is_empty() {
            let nothing = || Templates { kinds: kinds(&self.options), ..Templates::default() };
            let mut known = self.known.take().unwrap_or_else(nothing);
            known.list.extend(marks.texts().iter().map(|text| MinedTemplate { text: text.clone(), rows: 0 }));
            miner = miner.know(known, control)?;
        }
        let messages = std::mem::take(&mut self.templates);
        let mut numbers = Vec::with_capacity(messages.len());
        for message in &messages {
            numbers.push(miner.add(&message.text, message.rows, control)?);
        }
        let Mined { templates, of: found } = miner.finish(control)?;
        let mut place = vec![u32::MAX; templates.list.len()];
        let mut of = Vec::with_capacity(messages.len());
        let mut marked = Vec::with_capacity(messages.len());
        for (message, number) in messages.into_iter().zip(numbers) {
            steps.pass(1 + message.text.len())?;
            let template = number.and_then(|number| found[number as usize]);
            // A message that nothing fits is a template of itself.
            let mut own = u32::MAX;
            let at = template.map_or(&mut own, |template| &mut place[template as usize]);
            if *at == u32::MAX {
                *at = self.templates.len() as u32;
                let text = template.map(|template| templates.list[template as usize].text.clone());
                let text = text.unwrap_or_else(|| message.text.clone());
                self.templates.push(Template { text, rows: 0, vector: 0 });
            }
            of.push(*at);
            let at = *at as usize;
            let known = template.map(|_| self.templates[at].text.as_str());
            marked.push(marks.find(&message.text, known, &mut scratch).is_some());
            self.templates[at].rows += message.rows;
        }
        self.tally.mark(&marked);
        Ok(of)
    }

    /// Rows in no cluster that pass because a person has marked them.
    fn marked_noise(&self, baseline: &Baseline) -> u64 {
        let is_noise = |cell: &&Cell| {
            baseline.labels[baseline.templates[cell.message as usize].vector as usize].is_none()
        };
        self.tally.cells().iter().filter(is_noise).map(|cell| cell.marked_rows).sum()
    }

    /// Counts every template as often as it occurred.
    fn fit(&mut self, control: &dyn Control) -> Result<TfidfModel> {
        let total = self.templates.len() as u64;
        let mut steps = Steps::new(control);
        for (done, template) in self.templates.iter().enumerate() {
            if done % 256 == 0 {
                control.progress("vocabulary", done as u64, total);
            }
            steps.pass(1 + template.text.len())?;
            self.counts.add_masked(&template.text, template.rows)?;
        }
        self.counts.finish()
    }

    fn vectorize(&self, vectorizer: &Vectorizer, control: &dyn Control) -> Result<DistinctRows> {
        let mut distinct = Distinct::new(vectorizer.model().len() as u32);
        let mut scratch = Scratch::watched(self.counts.watch());
        let mut steps = Steps::new(control);
        let mut weights = Vec::with_capacity(self.templates.len());
        for (done, template) in self.templates.iter().enumerate() {
            if done % 256 == 0 {
                control.progress("vectors", done as u64, self.templates.len() as u64);
            }
            steps.pass(1 + template.text.len())?;
            let (vector, _) = vectorizer.embed_masked(&template.text, &mut scratch)?;
            let row = distinct.push(vector, control)? as usize;
            if weights.len() <= row {
                weights.resize(row + 1, 0);
            }
            weights[row] += template.rows;
        }
        let mut rows = distinct.finish();
        rows.weights = weights;
        Ok(rows)
    }

    /// Measures held-back ordinary rows and calibrates the profiles.
    fn calibrate(&self, baseline: &mut Baseline, control: &dyn Control) -> Result<()> {
        let rate = self.options.false_alarm_rate;
        let choice = self.tally.profiles(ENOUGH_BEYOND / rate, control)?;
        let occurrences = Occurrences::new(&self.tally, &choice, control)?;
        let strange = self.measure(baseline, control)?;
        // Of each profile, the rows that it decides, and all that have its values.
        let mut own = vec![Vec::new(); choice.keys.len()];
        let mut all = own.clone();
        let mut steps = Steps::new(control);
        for cell in self.tally.cells() {
            steps.pass(1)?;
            for profile in choice.of(cell) {
                let elsewhere = occurrences.strangeness_of(profile, cell.message);
                // What a person has marked passes, and so is not strange at all.
                let marked = (0.0, cell.marked_rows);
                let measured = (strange[cell.message as usize].max(elsewhere), cell.open_rows());
                all[profile as usize].extend([marked, measured]);
                if profile == choice.deciding(cell) {
                    own[profile as usize].extend([marked, measured]);
                }
            }
        }
        for (at, (own, all)) in own.into_iter().zip(all).enumerate() {
            let all = Calibration::new(all, rate, SEEN_ONCE, control)?;
            if at == REST as usize {
                baseline.summary.calibration_rows = all.rows();
            }
            let own = Calibration::new(own, rate, SEEN_ONCE, control)?;
            let is_enough = |calibration: &Calibration, beyond| calibration.rows() as f64 * rate >= beyond;
            let is_own =
                is_enough(&own, ENOUGH_BEYOND) || is_enough(&own, 1.0) && own.threshold <= all.threshold;
            let mut calibration = if is_own { own } else { all };
            if !is_enough(&calibration, 1.0) {
                // Too few rows tell nothing of the rate: then whatever was never seen is flagged.
                calibration.threshold = SEEN_ONCE;
            }
            let templates = occurrences.templates(at as u32);
            let key = choice.keys[at].clone();
            baseline.profiles.push(Profile { key, calibration, templates, ..Profile::default() });
        }
        self.count_flagged(baseline, &choice, control)
    }

    /// Which of its own rows the model would flag.
    fn count_flagged(&self, baseline: &mut Baseline, choice: &Choice, control: &dyn Control) -> Result<()> {
        let mut flagged = vec![0u64; baseline.profiles.len()];
        let mut by_content = 0;
        let mut steps = Steps::new(control);
        for cell in self.tally.cells() {
            steps.pass(1)?;
            let strange = baseline.strangeness_of(cell.message);
            let at = choice.deciding(cell) as usize;
            let profile = &mut baseline.profiles[at];
            profile.rows += cell.rows;
            let is_beyond = strange > profile.calibration.threshold;
            flagged[at] += if is_beyond { cell.rows - cell.marked_rows } else { cell.error_rows };
            by_content += if is_beyond { cell.open_rows() } else { 0 };
        }
        // Rows whose template was not kept.
        baseline.profiles[REST as usize].rows += self.overflow_rows;
        for (profile, &flagged) in baseline.profiles.iter_mut().zip(&flagged) {
            profile.flagged_share = share(flagged, profile.rows);
        }
        baseline.summary.flagged_share = share(flagged.iter().sum(), self.rows);
        baseline.summary.flagged_by_content = share(by_content, self.rows - self.error_rows);
        Ok(())
    }

    /// How strange the held-back rows of each template are.
    fn measure(&self, baseline: &Baseline, control: &dyn Control) -> Result<Vec<f64>> {
        let mut strange = vec![0.0; baseline.templates.len()];
        let mut seen = vec![Seen::default(); baseline.templates.len()];
        let mut steps = Steps::new(control);
        for cell in self.tally.cells() {
            steps.pass(1)?;
            let seen = &mut seen[cell.message as usize];
            seen.open_rows += cell.open_rows();
            seen.folds |= cell.folds;
        }
        let mut held: Vec<Vec<usize>> = vec![Vec::new(); FOLDS as usize];
        for (at, seen) in seen.iter().enumerate() {
            if seen.folds.is_power_of_two() && seen.open_rows > 0 {
                held[seen.folds.trailing_zeros() as usize].push(at);
            }
        }
        let folds = Folds::new(baseline, &seen, control)?;
        for (fold, held) in held.iter().enumerate() {
            control.progress("calibration", fold as u64, u64::from(FOLDS));
            folds.measure(baseline, fold, held, &mut strange, control)?;
        }
        Ok(strange)
    }
}

/// Where a template occurs.
#[derive(Debug, Clone, Copy, Default)]
struct Seen {
    /// Rows that only a model can judge.
    open_rows: u64,
    folds: u16,
}

/// Columns that profiles are made of: the prototype had none.
pub(crate) fn profile_columns(options: &DetectorOptions) -> &[Column] {
    if options.preset == Preset::Seed { &[] } else { &options.profiles }
}

/// Whether lines are told apart by mined templates: the prototype had none, and where nothing is masked a message is
/// meant as it is.
pub(crate) fn mines(options: &DetectorOptions) -> bool {
    options.preset == Preset::Default && options.vectorizer.masks != Masks::None
}

/// Marked templates in terms of a detector's options.
pub(crate) fn marks(
    options: &DetectorOptions,
    templates: Vec<String>,
    control: &dyn Control,
) -> Result<Marks> {
    Marks::new(templates, mines(options).then(|| kinds(options)), control)
}

/// Names of the user's masks.
pub(crate) fn kinds(options: &DetectorOptions) -> Vec<String> {
    options.vectorizer.masks.rules().iter().map(|rule| rule.name.clone()).collect()
}

/// Whether the level alone flags a row of any template.
fn overrides(options: &DetectorOptions, level: &str) -> bool {
    match (options.preset, options.severity_override) {
        (_, SeverityOverride::Never | SeverityOverride::Novel) => false,
        (Preset::Seed, SeverityOverride::Always) => level.to_uppercase() == "ERROR",
        (Preset::Default, SeverityOverride::Always) => is_error(level),
    }
}

/// Weighted mean of the rows that are not noise.
fn mean(
    vectors: &CsrMatrix,
    weights: &[u64],
    labels: &[Option<u32>],
    control: &dyn Control,
) -> Result<(Vec<u32>, Vec<f32>)> {
    let mut steps = Steps::new(control);
    let mut sums = vec![0.0; vectors.dim as usize];
    let mut rows = 0u64;
    for (row, (&weight, _)) in
        weights.iter().zip(labels).enumerate().filter(|(_, (_, label))| label.is_some())
    {
        rows += weight;
        let row = vectors.row(row);
        for (&index, &value) in row.indices.iter().zip(row.values) {
            steps.pass(1)?;
            sums[index as usize] += f64::from(value) * weight as f64;
        }
    }
    let means = sums.iter().enumerate().map(|(index, sum)| (index as u32, (sum / rows as f64) as f32));
    Ok(means.filter(|&(_, mean)| mean != 0.0 && mean.is_finite()).unzip())
}

/// Squared weight of one term that training never saw, in the scale of an unnormalised vector.
pub(crate) fn unseen_squared(model: &TfidfModel) -> f64 {
    let documents =
        if model.options.smooth_idf { model.idf_of(0) } else { model.idf_of(1) + std::f64::consts::LN_2 };
    documents * documents
}

/// Distance to a template whose cosine distance to the known part is `nearest`, when the unknown part has its
/// share of the length.
pub(crate) fn extended_distance(nearest: f64, known_squared: f64, unseen_squared: f64) -> f64 {
    let whole = known_squared + unseen_squared;
    if whole == 0.0 {
        return 1.0;
    }
    let distance = 1.0 - (1.0 - nearest) * (known_squared / whole).sqrt();
    // What is left of equal vectors after rounding is not a distance.
    if distance < 1e-6 { 0.0 } else { distance }
}

/// Squared length of what training never saw of a message.
pub(crate) fn unseen_part(model: &TfidfModel, coverage: Coverage) -> f64 {
    f64::from(coverage.unseen_terms) * unseen_squared(model)
}

/// Which folds vectors and terms occur in.
struct Folds {
    vectors: Vec<u16>,
    terms: Vec<u16>,
}

impl Folds {
    fn new(baseline: &Baseline, seen: &[Seen], control: &dyn Control) -> Result<Self> {
        let mut steps = Steps::new(control);
        let mut folds =
            Folds { vectors: vec![0; baseline.labels.len()], terms: vec![0; baseline.vectors.dim as usize] };
        for (template, seen) in baseline.templates.iter().zip(seen) {
            folds.vectors[template.vector as usize] |= seen.folds;
        }
        for (row, &mask) in folds.vectors.iter().enumerate() {
            for &term in baseline.vectors.row(row).indices {
                steps.pass(1)?;
                folds.terms[term as usize] |= mask;
            }
        }
        Ok(folds)
    }

    /// Measures templates that occur in one fold only, against all vectors that occur outside it.
    fn measure(
        &self,
        baseline: &Baseline,
        fold: usize,
        held: &[usize],
        strange: &mut [f64],
        control: &dyn Control,
    ) -> Result<()> {
        if held.is_empty() {
            return Ok(());
        }
        let only = 1u16 << fold;
        let mut steps = Steps::new(control);
        let mut others = CsrMatrix::new(baseline.vectors.dim);
        for (row, _) in self.vectors.iter().enumerate().filter(|&(_, &mask)| mask != only) {
            let row = baseline.vectors.row(row);
            steps.pass(1 + row.indices.len())?;
            others.push(row)?;
        }
        let index = Index::new(Cow::Owned(others), control)?;
        let mut scratch = NeighborScratch::default();
        let step = held.len().div_ceil(MAX_HELD);
        for group in held.chunks(step) {
            control.poll()?;
            let template = &baseline.templates[group[0]];
            let (known, known_squared, unseen) =
                self.split(baseline, baseline.vectors.row(template.vector as usize), only);
            let nearest = index
                .nearest(known.as_ref(), &mut scratch)?
                .map_or(1.0, |Neighbor { distance, .. }| distance);
            let distance = extended_distance(nearest, known_squared, unseen);
            for &at in group {
                strange[at] = SEEN_ONCE + distance;
            }
        }
        Ok(())
    }

    /// A vector as a model without the fold would see it: its known part, that part's squared length, and the
    /// squared length of the terms that only the fold has.
    fn split(&self, baseline: &Baseline, vector: SparseRef<'_>, only: u16) -> (SparseVec, f64, f64) {
        let mut known = SparseVec { dim: vector.dim, ..Default::default() };
        let (mut known_squared, mut unseen) = (0.0, 0.0);
        for (&index, &value) in vector.indices.iter().zip(vector.values) {
            let weight = f64::from(value);
            if self.terms[index as usize] == only {
                let raw = weight / baseline.model.idf(index as usize);
                unseen += raw * raw * unseen_squared(&baseline.model);
            } else {
                known_squared += weight * weight;
                known.indices.push(index);
                known.values.push(value);
            }
        }
        (known, known_squared, unseen)
    }
}

/// A vector in the space that was clustered, where that is another.
pub(crate) fn to_cluster_space(baseline: &Baseline, vector: SparseRef<'_>) -> Result<Option<SparseVec>> {
    baseline.options.clustering.standardize.then(|| scale(&baseline.scales, vector)).transpose()
}

/// A cluster of ordinary rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cluster<'a> {
    /// Its number.
    pub id: u32,
    /// Rows of training.
    pub rows: u64,
    /// Templates.
    pub templates: u64,
    /// The most frequent of them, the first among equals.
    pub template: &'a str,
}

impl Baseline {
    /// Strangeness above which a line is flagged that no profile but the first decides.
    pub fn threshold(&self) -> f64 {
        self.profiles.first().map_or(0.0, |rest| rest.calibration.threshold)
    }

    /// Strangeness of a template of training, wherever it occurs.
    pub(crate) fn strangeness_of(&self, template: u32) -> f64 {
        let template = &self.templates[template as usize];
        let is_alone = self.labels[template.vector as usize].is_none() && template.rows <= 1;
        if is_alone { SEEN_ONCE } else { 0.0 }
    }

    /// The clusters, by number.
    pub fn clusters(&self) -> Vec<Cluster<'_>> {
        let mut clusters: Vec<(Cluster<'_>, u64)> = (0..self.summary.clusters)
            .map(|id| (Cluster { id, rows: 0, templates: 0, template: "" }, 0))
            .collect();
        for template in &self.templates {
            let Some(label) = self.labels[template.vector as usize] else { continue };
            let (cluster, most) = &mut clusters[label as usize];
            cluster.rows += template.rows;
            cluster.templates += 1;
            if template.rows > *most {
                (cluster.template, *most) = (&template.text, template.rows);
            }
        }
        clusters.into_iter().map(|(cluster, _)| cluster).collect()
    }
}
