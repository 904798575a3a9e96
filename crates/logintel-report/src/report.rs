//! What the page tells, as values. Lists are in the order in which they are shown.
use crate::text::Text;
use crate::time::Time;

/// All that the page tells.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// Name of the database.
    pub database: Text,
    /// Version of logintel.
    pub version: Text,
    /// When the data was read.
    pub generated_at: Time,
    /// The one detector that was asked for; `None` for all that may be read.
    pub asked: Option<Text>,
    /// How it is at worst, findings and open incidents together; `None` where all is well.
    pub state: Option<Grade>,
    /// What is wrong, the worst first; incidents are told apart from it.
    pub findings: Vec<Finding>,
    /// Figures of the head.
    pub counts: Counts,
    /// Anomalies over time.
    pub charts: Vec<AnomalyChart>,
    /// Incidents on the timeline: those that are not resolved first, then the newest.
    pub incidents: Vec<Incident>,
    /// The incidents that matter most, at length.
    pub details: Vec<Details>,
    /// Components by their anomalies.
    pub components: Vec<Component>,
    /// Detectors by number.
    pub detectors: Vec<Detector>,
}

/// How much something matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Grade {
    /// It should be looked at.
    Attention,
    /// Something does not work.
    Trouble,
}

/// What is wrong, and what to do.
#[derive(Debug, Clone)]
pub struct Finding {
    /// How much it matters.
    pub grade: Grade,
    /// The detector; empty for what concerns all.
    pub detector: Text,
    /// What is wrong.
    pub what: Text,
    /// What to do: a sentence, or a statement with its semicolon.
    pub hint: Text,
}

/// Figures of the head.
#[derive(Debug, Clone, Copy, Default)]
pub struct Counts {
    /// Incidents that are neither resolved nor suppressed, by severity: HIGH, MEDIUM, LOW.
    pub open: [u64; 3],
    /// Of these, those that nobody has acknowledged.
    pub unacknowledged: u64,
    /// All incidents that are not suppressed.
    pub incidents: u64,
    /// Those that a rule hides.
    pub suppressed: u64,
    /// Anomalies of the last 24 hours.
    pub anomalies_last_day: u64,
    /// When the newest anomaly happened.
    pub newest_anomaly: Option<Time>,
    /// Detectors that may be read.
    pub detectors: u64,
    /// Of these, those with a model.
    pub trained: u64,
}

/// Severity of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// From a score of 10 on.
    High,
    /// From a score of 5 on.
    Medium,
    /// Less.
    Low,
}

/// Where an incident is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Status {
    /// Nobody looks after it.
    Open,
    /// Somebody does.
    Acknowledged,
    /// It is over.
    Resolved,
}

/// Anomalies over a range of time.
#[derive(Debug, Clone)]
pub struct AnomalyChart {
    /// Of which time.
    pub title: Text,
    /// Beginning of the first bucket.
    pub from: Time,
    /// End of the last.
    pub until: Time,
    /// Length of a bucket in microseconds.
    pub bucket: i64,
    /// Buckets that hold anomalies, in the order of time.
    pub buckets: Vec<Bucket>,
}

/// Anomalies of a bucket.
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    /// Its beginning.
    pub start: Time,
    /// Anomalies by the severity of their incident: HIGH, MEDIUM, LOW, and those in none.
    pub counts: [u64; 4],
}

/// An incident in one line.
#[derive(Debug, Clone)]
pub struct Incident {
    /// Its number.
    pub id: i64,
    /// The detector that found it.
    pub detector: Text,
    /// One line for people.
    pub title: Text,
    /// Its severity.
    pub severity: Severity,
    /// Its status.
    pub status: Status,
    /// Whether it came back so often that it stays open for longer.
    pub is_held: bool,
    /// Time of its first event.
    pub start: Time,
    /// Time of its last.
    pub end: Time,
    /// How many events.
    pub events: u64,
}

/// An incident at length.
#[derive(Debug, Clone)]
pub struct Details {
    /// Its line.
    pub incident: Incident,
    /// The component where it most likely began.
    pub origin: Option<Text>,
    /// Components of its events.
    pub components: Vec<Text>,
    /// Sources of its events.
    pub sources: Vec<Text>,
    /// Levels of its events.
    pub levels: Vec<Text>,
    /// Lines a minute that it stands for.
    pub rate: Option<f64>,
    /// Lines a minute of the same templates in training.
    pub baseline_rate: Option<f64>,
    /// Reasons of its events, with counts.
    pub reasons: Vec<(Text, u64)>,
    /// The events that the reasons were counted of, where these are fewer than all.
    pub reasons_of: Option<u64>,
    /// Sample messages.
    pub messages: Vec<Text>,
    /// Templates of its events.
    pub templates: Vec<Template>,
    /// Why one of its lines is strange.
    pub explanation: Option<Explanation>,
    /// What happened to it, the last first.
    pub history: Vec<Event>,
}

/// A template in an incident.
#[derive(Debug, Clone)]
pub struct Template {
    /// The template.
    pub template: Text,
    /// Events of it.
    pub count: u64,
    /// Lines of it each minute in training; `None` where training had no times.
    pub baseline_rate: Option<f64>,
}

/// Why a line is judged as it is.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The line.
    pub message: Text,
    /// The version that judged it, if that is not the active one, by which it is explained.
    pub judged_by: Option<i32>,
    /// Rules that hold: reason and what it means here.
    pub rules: Vec<(Text, Text)>,
    /// The nearest template of training, and how often it was there.
    pub nearest: Option<(Text, Text)>,
    /// The limit.
    pub limit: Option<Text>,
    /// Terms with their parts of the distance, largest first.
    pub terms: Vec<Term>,
}

/// A term's part of the distance.
#[derive(Debug, Clone)]
pub struct Term {
    /// The term.
    pub term: Text,
    /// Its part: positive parts make the line stranger, negative ones more ordinary.
    pub contribution: f64,
    /// For people.
    pub detail: Text,
}

/// What happened to an incident.
#[derive(Debug, Clone)]
pub struct Event {
    /// When.
    pub at: Time,
    /// Who did it.
    pub actor: Text,
    /// What.
    pub event: Text,
    /// What was said about it.
    pub note: Option<Text>,
}

/// A component and how it is.
#[derive(Debug, Clone)]
pub struct Component {
    /// Its detector.
    pub detector: Text,
    /// Its name; empty where rows have none.
    pub component: Text,
    /// Anomalies kept.
    pub anomalies: u64,
    /// Of these, those recorded in the last day.
    pub anomalies_last_day: u64,
    /// Incidents that are open.
    pub open_incidents: u64,
    /// Time of the last anomaly.
    pub last: Option<Time>,
}

/// A detector.
#[derive(Debug, Clone)]
pub struct Detector {
    /// Its name.
    pub name: Text,
    /// The table or view that it reads.
    pub relation: Text,
    /// Whether rows are scored.
    pub is_enabled: bool,
    /// Its active model; `None` before the first training.
    pub model: Option<Model>,
    /// What to do next, as SQL, where it has none.
    pub next: Text,
    /// The largest clusters of the model.
    pub clusters: Vec<Cluster>,
    /// Hours of drift, in the order of time.
    pub drift: Vec<Drift>,
    /// What the newest hour of drift warns of.
    pub drift_warning: Option<Text>,
}

/// A model.
#[derive(Debug, Clone)]
pub struct Model {
    /// Its version.
    pub version: i32,
    /// When it was trained.
    pub trained_at: Time,
    /// Rows of its training.
    pub training_rows: u64,
    /// Terms that it knows.
    pub vocabulary: u64,
    /// Templates.
    pub templates: u64,
    /// Clusters.
    pub clusters: u64,
    /// Rows of training in no cluster.
    pub noise_rows: u64,
    /// Strangeness above which a row is flagged.
    pub threshold: f64,
    /// Share of its own training rows that it would flag.
    pub flagged_share: f64,
    /// Versions that are kept.
    pub versions: u64,
}

/// A cluster.
#[derive(Debug, Clone)]
pub struct Cluster {
    /// Its number.
    pub id: i32,
    /// Rows of training.
    pub rows: u64,
    /// Templates.
    pub templates: u64,
    /// Its most frequent template.
    pub template: Text,
}

/// An hour of drift.
#[derive(Debug, Clone, Copy)]
pub struct Drift {
    /// Its beginning.
    pub time: Time,
    /// Share of its rows that the model flags.
    pub flagged: f64,
    /// Share of its rows whose template training never saw.
    pub unseen: f64,
}
