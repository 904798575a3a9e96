//! The judgement of one line against one frozen model.

use std::borrow::Cow;
use std::hash::BuildHasher;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use hashbrown::HashTable;

use crate::baseline::{
    Baseline, SEEN_ONCE, extended_distance, kinds, masked_head, mines, profile_columns, to_cluster_space,
    unseen_part, unseen_squared,
};
use crate::config::{DetectorOptions, Preset, SeverityOverride};
use crate::control::{Control, Steps, Unattended, Watch};
use crate::dbscan::CoreIndex;
use crate::error::Result;
use crate::line::Line;
use crate::neighbors::{Index, Neighbor, Scratch as NeighborScratch, nearest_of_all};
use crate::profile::{Finder, Profile};
use crate::rates::RateModel;
pub use crate::reason::Reason;
use crate::recent::Recent;
use crate::session::SessionDetector;
use crate::severity::is_error;
use crate::sparse::{SparseRef, SparseVec};
use crate::table::HASHER;
use crate::template::{Matcher, Scratch as TemplateScratch, Template as Mined, Templates};
use crate::vectorizer::{Coverage, Scratch as TextScratch, Vectorizer};

/// The judgement of a line.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// Whether it is flagged.
    pub is_anomaly: bool,
    /// Share of held-back ordinary history that is less strange, within `0..=1`: of the rows of the line's profile.
    pub score: f64,
    /// The strongest reason.
    pub reason: Reason,
    /// The cluster that it belongs to.
    pub cluster: Option<u32>,
    /// The line without its variables.
    pub template: String,
    /// Cosine distance to what is ordinary.
    pub distance: f64,
    /// Number of its template, if training saw it.
    pub seen: Option<u32>,
    /// Whether nothing but its level flags it, and it is of a template that is ordinary.
    pub is_routine: bool,
}

/// Which of the two questions is asked. They differ in the seed's preset only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// A row as it comes in.
    Live,
    /// A row that is there already.
    History,
}

/// What the level alone says, when there is no model yet.
pub fn untrained(options: &DetectorOptions, level: Option<&str>, message: &str) -> Judgement {
    let error = level.is_some_and(|level| error_level(options, level));
    Judgement {
        is_anomaly: error,
        score: 0.0,
        reason: if error { Reason::ErrorLevel } else { Reason::Untrained },
        cluster: None,
        template: message.to_owned(),
        distance: 0.0,
        seen: None,
        is_routine: false,
    }
}

/// The seed's preset knows one spelling.
fn error_level(options: &DetectorOptions, level: &str) -> bool {
    options.severity_override != SeverityOverride::Never
        && match options.preset {
            Preset::Seed => level.to_uppercase() == "ERROR",
            Preset::Default => is_error(level),
        }
}

/// A model ready to judge.
#[derive(Debug)]
pub struct Detector {
    /// Tells it from all others of the process.
    number: u64,
    baseline: Baseline,
    vectorizer: Vectorizer,
    /// Templates by text, or by what fits them where they are mined.
    templates: Lookup,
    /// First template of each distinct vector.
    representative: Vec<u32>,
    index: Bought<Index<'static>>,
    core: Bought<CoreIndex>,
    profiles: Finder,
    sessions: Option<SessionDetector>,
    /// Of mined templates, made when somebody asks for one by its text, as few do.
    by_text: OnceLock<HashTable<u32>>,
}

/// An index that is made when it has been asked for often enough to pay. Most lines are of templates that training saw and need
/// none, and whoever opens a connection should not wait for one.
#[derive(Debug)]
struct Bought<T> {
    made: OnceLock<T>,
    asked: AtomicU32,
}

/// How often every row is looked at before they are indexed: making an index takes as long as twenty looks.
const LOOKS: u32 = 20;

impl<T> Default for Bought<T> {
    fn default() -> Self {
        Bought { made: OnceLock::new(), asked: AtomicU32::new(0) }
    }
}

impl<T> Bought<T> {
    /// The index; `None` as long as it does not pay.
    fn get(&self, make: impl FnOnce() -> Result<T>) -> Result<Option<&T>> {
        if self.made.get().is_none() {
            if self.asked.fetch_add(1, Ordering::Relaxed) < LOOKS {
                return Ok(None);
            }
            let index = make()?;
            return Ok(Some(self.made.get_or_init(|| index)));
        }
        Ok(self.made.get())
    }
}

/// How the template of a masked message is found.
#[derive(Debug)]
enum Lookup {
    ByText(HashTable<u32>),
    Mined(Box<Matcher>),
}

/// Buffers that a caller keeps between calls.
#[derive(Debug)]
pub struct Scratch {
    text: TextScratch,
    template: TemplateScratch,
    recent: Recent,
    neighbors: NeighborScratch,
    core: NeighborScratch,
}

impl Scratch {
    /// Buffers for work that `watch` may stop.
    pub fn new(watch: Watch) -> Self {
        Scratch {
            text: TextScratch::watched(watch),
            template: TemplateScratch::default(),
            recent: Recent::default(),
            neighbors: NeighborScratch::default(),
            core: NeighborScratch::default(),
        }
    }

    pub(crate) fn watch(&self) -> &Watch {
        self.text.watch()
    }

    pub(crate) fn template(&mut self) -> &mut TemplateScratch {
        &mut self.template
    }
}

/// A line against the templates of training.
struct Measure {
    vector: SparseVec,
    coverage: Coverage,
    /// Row of the nearest distinct vector.
    nearest: Option<u32>,
    distance: f64,
    cluster: Option<u32>,
}

/// What is known of a line whose template training saw.
struct Known {
    cluster: Option<u32>,
    strange: f64,
    is_rare: bool,
    is_error: bool,
}

impl Known {
    fn is_anomaly(&self) -> bool {
        self.is_error || self.is_rare
    }
}

/// The numbers of templates by their texts.
fn by_text(templates: &[crate::baseline::Template], control: &dyn Control) -> Result<HashTable<u32>> {
    let mut table = HashTable::with_capacity(templates.len());
    let hash = |&at: &u32| HASHER.hash_one(templates[at as usize].text.as_str());
    let mut steps = Steps::new(control);
    for (at, template) in (0..).zip(templates) {
        steps.pass(1 + template.text.len())?;
        table.insert_unique(hash(&at), at, hash);
    }
    Ok(table)
}

impl Lookup {
    fn new(baseline: &Baseline, control: &dyn Control) -> Result<Self> {
        if mines(&baseline.options) {
            let texts = baseline.templates.iter().map(|template| template.text.as_str());
            return Ok(Lookup::Mined(Box::new(Matcher::new(kinds(&baseline.options), texts, control)?)));
        }
        by_text(&baseline.templates, control).map(Lookup::ByText)
    }
}

/// Number of the next detector.
static NEXT: AtomicU64 = AtomicU64::new(1);

impl Detector {
    /// Builds the look-up tables; `watch` may stop it.
    ///
    /// # Errors
    /// Those of [`Vectorizer::with_known_words`].
    pub fn new(mut baseline: Baseline, watch: Watch) -> Result<Self> {
        let vectorizer =
            Vectorizer::with_known_words(std::mem::take(&mut baseline.model), &baseline.pruned_words, watch)?;
        let templates = Lookup::new(&baseline, &watch)?;
        let mut representative = vec![u32::MAX; baseline.labels.len()];
        for (at, template) in baseline.templates.iter().enumerate() {
            let first = &mut representative[template.vector as usize];
            *first = (*first).min(at as u32);
        }
        let profiles = Finder::new(profile_columns(&baseline.options), &baseline.profiles);
        let sessions = baseline.sessions.take();
        let sessions = sessions.map(|model| SessionDetector::new(model, &watch)).transpose()?;
        Ok(Detector {
            number: NEXT.fetch_add(1, Ordering::Relaxed),
            baseline,
            vectorizer,
            templates,
            representative,
            index: Bought::default(),
            core: Bought::default(),
            profiles,
            sessions,
            by_text: OnceLock::new(),
        })
    }

    /// The templates, for a later training to keep; none where they were not mined.
    pub fn templates(&self) -> Templates {
        let mined = |template: &crate::baseline::Template| Mined { text: template.text.clone(), rows: 0 };
        let mut templates = Templates { kinds: kinds(&self.baseline.options), ..Templates::default() };
        if mines(&self.baseline.options) {
            templates.list = self.baseline.templates.iter().map(mined).collect();
        }
        templates
    }

    /// The vector that a line is compared by: that of its template.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn embed<'s>(&self, message: &str, scratch: &'s mut Scratch) -> Result<SparseRef<'s>> {
        self.read(message, scratch).map(|(_, vector, _)| vector)
    }

    /// Number of the template of training that a message is of, if it is of one, and how many of its words training
    /// saw.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn coverage(&self, message: &str, scratch: &mut Scratch) -> Result<(Option<u32>, Coverage)> {
        self.read(message, scratch).map(|(known, _, coverage)| (known, coverage))
    }

    fn read<'s>(
        &self,
        message: &str,
        scratch: &'s mut Scratch,
    ) -> Result<(Option<u32>, SparseRef<'s>, Coverage)> {
        let masked = masked_head(self.vectorizer.tokenizer(), message, scratch.text.watch())?;
        let known = self.find(&masked, scratch);
        let text = self.text(known, &masked, scratch);
        let (vector, coverage) = self.vectorizer.embed_masked(&text, &mut scratch.text)?;
        Ok((known, vector, coverage))
    }

    /// Estimated bytes in use.
    pub fn bytes(&self) -> usize {
        // The text, and what its look-up table keeps of it.
        let text: usize = self.baseline.templates.iter().map(|template| 3 * template.text.len() + 128).sum();
        let sessions = self.sessions.as_ref().map_or(0, SessionDetector::bytes);
        let profiles: usize = self.baseline.profiles.iter().map(Profile::bytes).sum();
        self.vectorizer.bytes() + text + profiles + self.baseline.vectors.indices.len() * 40 + sessions
    }

    /// How often things happen in history; `None` where it had no times.
    pub fn rates(&self) -> Option<&RateModel> {
        self.baseline.rates.as_ref()
    }

    /// The text of a template of training.
    pub fn template(&self, number: u32) -> Option<&str> {
        self.baseline.templates.get(number as usize).map(|template| template.text.as_str())
    }

    /// Rows of training of a template, by its text; 0 of one that training did not see.
    pub fn template_rows(&self, text: &str) -> u64 {
        let templates = &self.baseline.templates;
        let table = match &self.templates {
            Lookup::ByText(table) => table,
            // Nobody stops it: it is made once, and quickly.
            Lookup::Mined(_) => {
                self.by_text.get_or_init(|| by_text(templates, &Unattended).unwrap_or_default())
            }
        };
        let found = table.find(HASHER.hash_one(text), |&at| templates[at as usize].text == text);
        found.map_or(0, |&at| templates[at as usize].rows)
    }

    /// How it was trained.
    pub fn options(&self) -> &DetectorOptions {
        &self.baseline.options
    }

    /// What judges whole sessions; `None` where training saw none.
    pub fn sessions(&self) -> Option<&SessionDetector> {
        self.sessions.as_ref()
    }

    /// Number of the template of training that a message is of, if it is of one.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn template_of(&self, message: &str, scratch: &mut Scratch) -> Result<Option<u32>> {
        let masked = masked_head(self.vectorizer.tokenizer(), message, scratch.text.watch())?;
        Ok(self.find(&masked, scratch))
    }

    /// Judges a line.
    ///
    /// # Errors
    /// [`crate::Error::PatternSteps`] if one of the user's patterns takes too long on it, and what the watch of
    /// `scratch` returns.
    pub fn judge(&self, line: &Line<'_>, mode: Mode, scratch: &mut Scratch) -> Result<Judgement> {
        let masked = masked_head(self.vectorizer.tokenizer(), line.message, scratch.text.watch())?;
        let level = line.level;
        match self.baseline.options.preset {
            Preset::Seed => self.judge_as_seed(&masked, level, mode, scratch),
            Preset::Default => match self.find(&masked, scratch) {
                Some(at) => {
                    let profile = self.profile(line);
                    Ok(self.judge_known(at, &self.weigh(at, level, profile), profile))
                }
                None => self.judge_unknown(&self.alone(&masked, scratch), level, self.profile(line), scratch),
            },
        }
    }

    /// The judgement of a line that is flagged; `None` for the others, of which no more is made up than that.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn anomaly(&self, line: &Line<'_>, mode: Mode, scratch: &mut Scratch) -> Result<Option<Judgement>> {
        let judgement = match self.baseline.options.preset {
            Preset::Seed => self.judge(line, mode, scratch)?,
            Preset::Default => {
                let masked = masked_head(self.vectorizer.tokenizer(), line.message, scratch.text.watch())?;
                let profile = self.profile(line);
                match self.find(&masked, scratch) {
                    Some(at) => {
                        let known = self.weigh(at, line.level, profile);
                        if !known.is_anomaly() {
                            return Ok(None);
                        }
                        self.judge_known(at, &known, profile)
                    }
                    None => {
                        self.judge_unknown(&self.alone(&masked, scratch), line.level, profile, scratch)?
                    }
                }
            }
        };
        Ok(Some(judgement).filter(|judgement| judgement.is_anomaly))
    }

    /// The profile that decides a line.
    fn profile(&self, line: &Line<'_>) -> &Profile {
        &self.baseline.profiles[self.profiles.find(&self.baseline.profiles, line) as usize]
    }

    /// A line whose template training did not see.
    fn judge_unknown(
        &self,
        text: &str,
        level: Option<&str>,
        profile: &Profile,
        scratch: &mut Scratch,
    ) -> Result<Judgement> {
        let measure = self.measure(text, scratch)?;
        let strange = SEEN_ONCE + measure.distance;
        let threshold = profile.calibration.threshold;
        let error = self.error_applies(level, measure.cluster.is_some() && strange <= threshold);
        let unusual = strange > threshold && measure.distance > 0.0;
        let reason = if error {
            Reason::ErrorLevel
        } else if !unusual {
            Reason::Normal(measure.distance)
        } else if measure.distance > self.baseline.options.clustering.eps {
            Reason::UnseenTemplate
        } else if measure.coverage.unseen_words > 0 {
            Reason::UnseenTerms(measure.coverage.unseen_share())
        } else {
            Reason::SemanticDistance(measure.distance)
        };
        Ok(Judgement {
            is_anomaly: error || unusual,
            score: if measure.distance > 0.0 { profile.calibration.score(strange) } else { 0.0 },
            reason,
            cluster: measure.cluster,
            template: text.to_owned(),
            distance: measure.distance,
            seen: None,
            is_routine: false,
        })
    }

    /// What flags a line whose template training saw.
    fn weigh(&self, at: u32, level: Option<&str>, profile: &Profile) -> Known {
        let template = &self.baseline.templates[at as usize];
        let cluster = self.baseline.labels[template.vector as usize];
        let strange = profile.strangeness_of(at).max(self.baseline.strangeness_of(at));
        let is_rare = strange > profile.calibration.threshold;
        let is_error = self.error_applies(level, cluster.is_some() && !is_rare);
        Known { cluster, strange, is_rare, is_error }
    }

    /// A line whose template training saw.
    fn judge_known(&self, at: u32, known: &Known, profile: &Profile) -> Judgement {
        let reason = match (known.is_error, known.is_rare) {
            (true, _) => Reason::ErrorLevel,
            (false, true) => Reason::RareTemplate,
            (false, false) => Reason::Normal(0.0),
        };
        Judgement {
            is_anomaly: known.is_anomaly(),
            score: profile.calibration.score(known.strange),
            reason,
            cluster: known.cluster,
            template: self.baseline.templates[at as usize].text.clone(),
            distance: 0.0,
            seen: Some(at),
            is_routine: known.is_error && known.strange == 0.0,
        }
    }

    fn judge_as_seed(
        &self,
        masked: &str,
        level: Option<&str>,
        mode: Mode,
        scratch: &mut Scratch,
    ) -> Result<Judgement> {
        let watch = *scratch.watch();
        let (vector, _) = self.vectorizer.embed_masked(masked, &mut scratch.text)?;
        let cluster = self.predict(vector, &mut scratch.core, &watch)?;
        let distance = self.to_centroid(vector)?;
        let error = mode == Mode::Live && self.error_applies(level, cluster.is_some());
        let (strange, score) = match mode {
            Mode::Live => (distance > SEED_LIMIT, distance.clamp(0.0, 1.0)),
            Mode::History => (cluster.is_none(), if cluster.is_none() { 1.0 } else { 0.0 }),
        };
        let reason = match (error, strange, mode) {
            (true, _, _) => Reason::ErrorLevel,
            (false, true, Mode::Live) => Reason::SemanticDistance(distance),
            (false, true, Mode::History) => Reason::RareTemplate,
            (false, false, _) => Reason::Normal(distance),
        };
        Ok(Judgement {
            is_anomaly: error || strange,
            score,
            reason,
            cluster,
            template: masked.to_owned(),
            distance,
            seen: None,
            is_routine: false,
        })
    }

    /// Whether the level alone flags a line, which may be of an ordinary template.
    fn error_applies(&self, level: Option<&str>, ordinary: bool) -> bool {
        let options = &self.baseline.options;
        let spared = options.severity_override == SeverityOverride::Novel && ordinary;
        !spared && level.is_some_and(|level| error_level(options, level))
    }

    /// Number of the template of a masked message, if training saw it.
    fn find(&self, masked: &str, scratch: &mut Scratch) -> Option<u32> {
        match &self.templates {
            Lookup::ByText(table) => {
                let same = |&at: &u32| self.baseline.templates[at as usize].text == masked;
                table.find(HASHER.hash_one(masked), same).copied()
            }
            Lookup::Mined(matcher) => {
                let Scratch { recent, template, .. } = scratch;
                recent.find(self.number, masked, || matcher.find(masked, template))
            }
        }
    }

    /// The template of a masked message, if training saw it.
    pub(crate) fn known(&self, masked: &str, scratch: &mut Scratch) -> Option<&str> {
        self.find(masked, scratch).map(|at| self.baseline.templates[at as usize].text.as_str())
    }

    /// What is vectorised of a masked message.
    fn text<'a>(&'a self, known: Option<u32>, masked: &'a str, scratch: &mut Scratch) -> Cow<'a, str> {
        match known {
            Some(at) => Cow::Borrowed(&self.baseline.templates[at as usize].text),
            None => self.alone(masked, scratch),
        }
    }

    /// A masked message as the template of itself alone.
    fn alone<'a>(&self, masked: &'a str, scratch: &mut Scratch) -> Cow<'a, str> {
        match &self.templates {
            Lookup::ByText(_) => Cow::Borrowed(masked),
            Lookup::Mined(matcher) => Cow::Owned(matcher.alone(masked, &mut scratch.template)),
        }
    }

    /// Compares a template with every one of training.
    fn measure(&self, text: &str, scratch: &mut Scratch) -> Result<Measure> {
        let watch = *scratch.watch();
        let (vector, coverage) = self.vectorizer.embed_masked(text, &mut scratch.text)?;
        let nearest = self.nearest(vector, &mut scratch.neighbors, &watch)?;
        let unseen = unseen_part(self.vectorizer.model(), coverage);
        let near = nearest.map_or(1.0, |neighbor| neighbor.distance);
        let distance = extended_distance(near, coverage.known_squared, unseen);
        let cluster = if distance <= self.baseline.options.clustering.eps {
            self.predict(vector, &mut scratch.core, &watch)?
        } else {
            None
        };
        let nearest = nearest.filter(|neighbor| neighbor.distance < 1.0).map(|neighbor| neighbor.row);
        Ok(Measure { vector: vector.to_vec(), coverage, nearest, distance, cluster })
    }

    /// The row of the nearest template.
    fn nearest(
        &self,
        vector: SparseRef<'_>,
        scratch: &mut NeighborScratch,
        watch: &Watch,
    ) -> Result<Option<Neighbor>> {
        let vectors = &self.baseline.vectors;
        match self.index.get(|| Index::new(Cow::Owned(vectors.clone()), watch))? {
            Some(index) => index.nearest(vector, scratch),
            None => nearest_of_all(vectors, vector, watch),
        }
    }

    fn predict(
        &self,
        vector: SparseRef<'_>,
        scratch: &mut NeighborScratch,
        watch: &Watch,
    ) -> Result<Option<u32>> {
        let scaled = to_cluster_space(&self.baseline, vector)?;
        let vector = scaled.as_ref().map_or(vector, SparseVec::as_ref);
        match self.core.get(|| CoreIndex::new(self.baseline.core.clone(), watch))? {
            Some(index) => index.predict(vector, scratch),
            None => self.baseline.core.predict(vector, watch),
        }
    }

    fn centroid(&self) -> SparseRef<'_> {
        let (indices, values) =
            self.baseline.centroid.as_ref().map_or((&[][..], &[][..]), |(i, v)| (&i[..], &v[..]));
        SparseRef { dim: self.vectorizer.model().len() as u32, indices, values }
    }

    fn to_centroid(&self, vector: SparseRef<'_>) -> Result<f64> {
        vector.cosine_distance(self.centroid())
    }
}

/// The seed's limit on the distance to its one centroid.
const SEED_LIMIT: f64 = 0.35;

/// One row of an explanation.
#[derive(Debug, Clone, PartialEq)]
pub struct Explanation {
    /// `rule`, `term`, `template` or `threshold`.
    pub kind: &'static str,
    /// The term, template or reason.
    pub term: String,
    /// The term's weight in the normalised line.
    pub weight: Option<f64>,
    /// Its part of the distance; the parts of all terms add up to it.
    pub contribution: Option<f64>,
    /// Whether training saw it.
    pub seen: Option<bool>,
    /// For people.
    pub detail: String,
}

impl Detector {
    /// Why a line is judged as it is: all rules that hold, the nearest template, the limit, and every term with
    /// its part of the distance, largest first.
    ///
    /// # Errors
    /// As [`Self::judge`].
    pub fn explain(&self, line: &Line<'_>, scratch: &mut Scratch) -> Result<Vec<Explanation>> {
        let masked = masked_head(self.vectorizer.tokenizer(), line.message, scratch.text.watch())?;
        let judgement = self.judge(line, Mode::Live, scratch)?;
        let known = self.find(&masked, scratch);
        let text = self.text(known, &masked, scratch);
        let measure = self.measure(&text, scratch)?;
        let seed = self.baseline.options.preset == Preset::Seed;
        let profile = self.profile(line);
        let mut rows = self.rules(&judgement, &measure, known, line.level, profile);
        let (distance, nearest) = if seed {
            (judgement.distance, None)
        } else {
            (measure.distance, measure.nearest.map(|row| self.representative[row as usize]))
        };
        rows.push(self.limit(distance, profile));
        if let Some(at) = nearest {
            let template = &self.baseline.templates[at as usize];
            rows.push(Explanation {
                kind: "template",
                term: template.text.clone(),
                weight: None,
                contribution: None,
                seen: Some(true),
                detail: format!("the nearest template, {} rows of training", template.rows),
            });
        }
        let reference = match (seed, measure.nearest) {
            (true, _) => Some(self.centroid()),
            (false, nearest) => nearest.map(|row| self.baseline.vectors.row(row as usize)),
        };
        rows.extend(self.terms(&text, &measure, reference, scratch.text.watch())?);
        Ok(rows)
    }

    fn rules(
        &self,
        judgement: &Judgement,
        measure: &Measure,
        known: Option<u32>,
        level: Option<&str>,
        profile: &Profile,
    ) -> Vec<Explanation> {
        let rule = |reason: Reason, detail: String| Explanation {
            kind: "rule",
            term: reason.to_string(),
            weight: None,
            contribution: None,
            seen: None,
            detail,
        };
        let mut rules = Vec::new();
        if judgement.reason == Reason::ErrorLevel {
            rules.push(rule(Reason::ErrorLevel, format!("the level is {}", level.unwrap_or_default())));
        }
        if self.baseline.options.preset == Preset::Seed {
            if judgement.distance > SEED_LIMIT {
                rules.push(rule(
                    Reason::SemanticDistance(judgement.distance),
                    "too far from the mean of ordinary rows".into(),
                ));
            }
        } else if let Some(at) = known {
            let known = self.judge_known(at, &self.weigh(at, None, profile), profile);
            let rows = self.baseline.templates[at as usize].rows;
            if known.is_anomaly && profile.strangeness_of(at) == 0.0 {
                rules.push(rule(known.reason, "training saw it once, and nothing like it".into()));
            } else if known.is_anomaly {
                let times = if rows == 1 { "once".to_owned() } else { format!("{rows} times") };
                rules.push(rule(known.reason, format!("training saw it {times}, but never with {profile}")));
            }
        } else if SEEN_ONCE + measure.distance > profile.calibration.threshold && measure.distance > 0.0 {
            if measure.distance > self.baseline.options.clustering.eps {
                rules.push(rule(Reason::UnseenTemplate, "no template of training is like it".into()));
            }
            if measure.coverage.unseen_words > 0 {
                let detail = format!("{} of {} words", measure.coverage.unseen_words, measure.coverage.words);
                rules.push(rule(Reason::UnseenTerms(measure.coverage.unseen_share()), detail));
            }
            rules.push(rule(
                Reason::SemanticDistance(measure.distance),
                "further than ordinary rows are".into(),
            ));
        }
        if rules.is_empty() {
            rules.push(rule(judgement.reason, "nothing is unusual".into()));
        }
        rules
    }

    /// The limit in terms of distance, and how far the line is.
    fn limit(&self, distance: f64, profile: &Profile) -> Explanation {
        let limit = match self.baseline.options.preset {
            Preset::Seed => SEED_LIMIT,
            Preset::Default => (profile.calibration.threshold - SEEN_ONCE).max(0.0),
        };
        let of = if profile.is_rest() { String::new() } else { format!(" of {profile}") };
        Explanation {
            kind: "threshold",
            term: "distance".into(),
            weight: Some(limit),
            contribution: None,
            seen: None,
            detail: format!("the distance is {distance:.3}, the limit {limit:.3}{of}"),
        }
    }

    /// Each term's part of `1 - cos`: with unit vectors `q` of the line and `e` of the reference it is
    /// `q_i (q_i - e_i)`, because the squares of `q` add up to 1.
    fn terms(
        &self,
        text: &str,
        measure: &Measure,
        reference: Option<SparseRef<'_>>,
        watch: &Watch,
    ) -> Result<Vec<Explanation>> {
        let model = self.vectorizer.model();
        let seed = self.baseline.options.preset == Preset::Seed;
        let unseen = if seed { 0.0 } else { unseen_part(model, measure.coverage) };
        let whole = measure.coverage.known_squared + unseen;
        if whole == 0.0 {
            return Ok(Vec::new());
        }
        let vector = measure.vector.as_ref();
        let scale = (measure.coverage.known_squared / whole).sqrt() / vector.l2_norm().max(f64::MIN_POSITIVE);
        let length = reference.map_or(0.0, |reference| reference.l2_norm());
        let value_of = |index: u32| {
            let reference = reference.filter(|_| length > 0.0)?;
            let at = reference.indices.binary_search(&index).ok()?;
            Some(f64::from(reference.values[at]) / length)
        };
        let mut rows: Vec<Explanation> = Vec::new();
        for (&index, &value) in vector.indices.iter().zip(vector.values) {
            let weight = f64::from(value) * scale;
            let other = value_of(index);
            rows.push(Explanation {
                kind: "term",
                term: model.term(index as usize),
                weight: Some(weight),
                contribution: Some(weight * (weight - other.unwrap_or(0.0))),
                seen: Some(true),
                detail: if other.is_some() {
                    "shared with what is nearest"
                } else {
                    "not in what is nearest"
                }
                .to_owned(),
            });
        }
        if unseen > 0.0 {
            rows.extend(self.unseen_rows(text, measure.coverage, whole, watch)?);
        }
        rows.sort_by(|a, b| {
            b.contribution.unwrap_or(0.0).total_cmp(&a.contribution.unwrap_or(0.0)).then(a.term.cmp(&b.term))
        });
        Ok(rows)
    }

    /// Words that training never saw, one by one; n-grams that it never saw, together.
    fn unseen_rows(
        &self,
        text: &str,
        coverage: Coverage,
        whole: f64,
        watch: &Watch,
    ) -> Result<Vec<Explanation>> {
        let squared = unseen_squared(self.vectorizer.model()) / whole;
        let row = |term: String, times: f64, detail: &str| Explanation {
            kind: "term",
            term,
            weight: Some((squared * times).sqrt()),
            contribution: Some(squared * times),
            seen: Some(false),
            detail: detail.to_owned(),
        };
        let (mut rows, mut words) = (Vec::new(), 0);
        for (word, times) in self.vectorizer.unseen_words(text, watch)? {
            words += times;
            rows.push(row(word, f64::from(times), "never seen in training"));
        }
        let ngrams = coverage.unseen_terms.saturating_sub(words);
        if ngrams > 0 {
            rows.push(row(
                format!("({ngrams} n-gram{})", if ngrams == 1 { "" } else { "s" }),
                f64::from(ngrams),
                "combinations never seen in training",
            ));
        }
        Ok(rows)
    }
}
