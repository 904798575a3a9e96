//! How much the page shows. What is beyond a bound is counted, and the page says so; what reads the data needs no more rows.

/// Largest page, in bytes: everything at its bound, each character the longest that a page writes.
pub const PAGE_BYTES: usize = 24 << 20;

/// Findings about logintel itself.
pub const FINDINGS: usize = 20;
/// Incidents on the timeline.
pub const INCIDENTS: usize = 100;
/// Incidents that are told at length.
pub const DETAILS: usize = 10;
/// Sample messages of an incident.
pub const MESSAGES: usize = 5;
/// Templates of an incident.
pub const TEMPLATES: usize = 20;
/// Reasons, components, sources, levels and events of an incident, each.
pub const NAMES: usize = 10;
/// Rows of an explanation of each kind.
pub const TERMS: usize = 12;
/// Components.
pub const COMPONENTS: usize = 20;
/// Detectors.
pub const DETECTORS: usize = 20;
/// Clusters of a model.
pub const CLUSTERS: usize = 12;
/// Buckets of a chart.
pub const BUCKETS: usize = 400;
/// Charts of anomalies.
pub const CHARTS: usize = 2;

/// Characters of a name, a title, a template or a sentence.
pub const LINE: usize = 400;
/// Characters of a message.
pub const BLOCK: usize = 2000;
