//! Options of a detector.

use serde_json::Value;

use crate::error::Result;
use crate::options::{
    DocumentFrequency, Masks, TfidfOptions, boolean, integer, invalid, number, object, one_of, string,
    unknown,
};

/// Microseconds.
pub type Micros = i64;

/// How the rows of training are grouped.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct Clustering {
    /// Largest cosine distance between neighbours.
    pub eps: f64,
    /// Rows, the row itself counted, that make a neighbourhood dense.
    pub min_points: u32,
    /// Whether vectors are divided by their components' standard deviations first.
    pub standardize: bool,
}

/// When a level alone makes a row an anomaly.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum SeverityOverride {
    /// ERROR and above always.
    Always,
    /// ERROR and above, unless the line is of an ordinary template.
    Novel,
    /// Never.
    Never,
}

/// A column of logs whose values may get a baseline of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Column {
    /// The part of the system that wrote the line.
    Component,
    /// How grave its writer thinks it is.
    Level,
    /// Where the part runs.
    Source,
}

impl std::fmt::Display for Column {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Column::Component => "component",
            Column::Level => "level",
            Column::Source => "source",
        })
    }
}

/// Which system's rules hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Preset {
    /// Ours.
    Default,
    /// Those of the prototype that this grew from, to the row.
    Seed,
}

/// How incidents close.
#[derive(Debug, Clone, Copy, PartialEq, Eq, bincode::Encode, bincode::Decode)]
pub enum Window {
    /// A quiet time of this length ends an incident.
    Session(Micros),
    /// Time is cut into pieces of this length, counted from the epoch.
    Tumbling(Micros),
}

/// All options of a detector.
#[derive(Debug, Clone, PartialEq, bincode::Encode, bincode::Decode)]
pub struct DetectorOptions {
    /// Which system's rules hold.
    pub preset: Preset,
    /// How messages become vectors.
    pub vectorizer: TfidfOptions,
    /// How the rows of training are grouped.
    pub clustering: Clustering,
    /// Share of ordinary rows that may be flagged.
    pub false_alarm_rate: f64,
    /// The same for sessions.
    pub session_false_alarm_rate: f64,
    /// When a level alone makes a row an anomaly.
    pub severity_override: SeverityOverride,
    /// Columns whose values get a baseline of their own, each once.
    pub profiles: Vec<Column>,
    /// Whether too many lines, or too few, are anomalies too.
    pub rates: bool,
    /// How incidents close.
    pub window: Window,
    /// How late a row may come and still count as on time.
    pub lateness: Micros,
    /// Anomalies that make an incident.
    pub min_events: u32,
    /// Quiet that resolves an incident.
    pub resolve_after: Micros,
    /// Whether notifications carry what was copied from the log.
    pub notify_messages: bool,
    /// Quiet that completes a session.
    pub session_gap: Micros,
    /// How long anomalies and incidents are kept, from when they were written.
    pub retention: Micros,
    /// How often maintenance trains it again; `None` for never.
    pub retrain: Option<Micros>,
    /// How far back such a training reads.
    pub history: Micros,
    /// For `timestamp` without zone.
    pub timezone: String,
}

/// A minute.
pub const MINUTE: Micros = 60_000_000;
const DAY: Micros = 24 * 60 * MINUTE;

impl Default for DetectorOptions {
    fn default() -> Self {
        DetectorOptions {
            preset: Preset::Default,
            vectorizer: TfidfOptions { ngram_range: (1, 2), masks: Masks::BuiltIn, ..Default::default() },
            clustering: Clustering { eps: 0.5, min_points: 5, standardize: false },
            false_alarm_rate: 0.01,
            session_false_alarm_rate: 0.001,
            severity_override: SeverityOverride::Always,
            profiles: vec![Column::Component, Column::Level],
            rates: true,
            window: Window::Session(10 * MINUTE),
            lateness: MINUTE,
            min_events: 2,
            resolve_after: 60 * MINUTE,
            notify_messages: false,
            session_gap: 10 * MINUTE,
            retention: 90 * DAY,
            retrain: None,
            history: 30 * DAY,
            timezone: "UTC".into(),
        }
    }
}

impl DetectorOptions {
    /// The prototype's.
    fn seed() -> Self {
        DetectorOptions {
            preset: Preset::Seed,
            vectorizer: TfidfOptions {
                ngram_range: (1, 2),
                min_df: DocumentFrequency::Count(5),
                max_df: DocumentFrequency::Share(0.9),
                max_features: Some(5000),
                ..Default::default()
            },
            clustering: Clustering { eps: 0.7, min_points: 10, standardize: true },
            window: Window::Tumbling(10 * MINUTE),
            ..Default::default()
        }
    }

    /// Reads the options of a JSON object; `interval` reads PostgreSQL's spelling of a length of time.
    ///
    /// # Errors
    /// [`crate::Error::UnknownOption`] and [`crate::Error::OptionValue`].
    pub fn parse(json: &Value, interval: &dyn Fn(&str) -> Option<Micros>) -> Result<Self> {
        let mut options = match json.get("preset") {
            None | Some(Value::Null) => Self::default(),
            Some(value) => one_of("preset", value, &[("seed", Preset::Seed)]).map(|_| Self::seed())?,
        };
        for (name, value) in object("options", json)? {
            let span = |min| duration(name, value, min, interval);
            match name.as_str() {
                "preset" => {}
                "vectorizer" => {
                    let merged = options.vectorizer.clone().merge(value);
                    options.vectorizer = merged.map_err(|error| error.within(name))?;
                }
                "clustering" => options.clustering.merge(value)?,
                "false_alarm_rate" => options.false_alarm_rate = rate(name, value)?,
                "session_false_alarm_rate" => options.session_false_alarm_rate = rate(name, value)?,
                "severity_override" => {
                    options.severity_override = one_of(
                        name,
                        value,
                        &[
                            ("always", SeverityOverride::Always),
                            ("novel", SeverityOverride::Novel),
                            ("never", SeverityOverride::Never),
                        ],
                    )?;
                }
                "profiles" => options.profiles = profiles(name, value)?,
                "rates" => options.rates = boolean(name, value)?,
                "window" => {
                    let length = span(1_000_000)?;
                    options.window = match options.window {
                        Window::Session(_) => Window::Session(length),
                        Window::Tumbling(_) => Window::Tumbling(length),
                    };
                }
                "lateness" => options.lateness = span(0)?,
                "min_events" => options.min_events = integer(name, value, 1, 1_000_000)? as u32,
                "resolve_after" => options.resolve_after = span(1_000_000)?,
                "notify_messages" => options.notify_messages = boolean(name, value)?,
                "session_gap" => options.session_gap = span(1_000_000)?,
                "retention" => options.retention = span(1_000_000)?,
                "retrain" if value.is_null() => options.retrain = None,
                "retrain" => options.retrain = Some(span(MINUTE)?),
                "history" => options.history = span(MINUTE)?,
                "timezone" => string(name, value)?.clone_into(&mut options.timezone),
                _ => {
                    return Err(unknown(
                        name,
                        &[
                            "preset",
                            "vectorizer",
                            "clustering",
                            "false_alarm_rate",
                            "session_false_alarm_rate",
                            "severity_override",
                            "profiles",
                            "rates",
                            "window",
                            "lateness",
                            "min_events",
                            "resolve_after",
                            "notify_messages",
                            "session_gap",
                            "retention",
                            "retrain",
                            "history",
                            "timezone",
                        ],
                    ));
                }
            }
        }
        Ok(options)
    }
}

impl Clustering {
    fn merge(&mut self, json: &Value) -> Result<()> {
        for (name, value) in object("clustering", json)? {
            match name.as_str() {
                "method" => one_of("clustering.method", value, &[("dbscan", ())])?,
                "eps" => self.eps = number("clustering.eps", value, 0.0, 2.0)?,
                "min_points" => {
                    self.min_points = integer("clustering.min_points", value, 1, 1_000_000_000)? as u32;
                }
                "standardize" => self.standardize = boolean("clustering.standardize", value)?,
                _ => {
                    return Err(unknown(
                        &format!("clustering.{name}"),
                        &["method", "eps", "min_points", "standardize"],
                    ));
                }
            }
        }
        Ok(())
    }
}

fn rate(name: &str, value: &Value) -> Result<f64> {
    number(name, value, 0.000_001, 0.5)
}

fn profiles(name: &str, value: &Value) -> Result<Vec<Column>> {
    let known = [("component", Column::Component), ("level", Column::Level), ("source", Column::Source)];
    let given = value
        .as_array()
        .ok_or_else(|| invalid(name, "it must be a list of \"component\", \"level\", \"source\""))?;
    let mut columns = Vec::new();
    for column in given {
        let column = one_of(name, column, &known)?;
        if !columns.contains(&column) {
            columns.push(column);
        }
    }
    Ok(columns)
}

fn duration(
    name: &str,
    value: &Value,
    min: Micros,
    interval: &dyn Fn(&str) -> Option<Micros>,
) -> Result<Micros> {
    let length =
        value.as_str().and_then(interval).filter(|&length| (min..=1000 * 366 * DAY).contains(&length));
    let least = if min == MINUTE { " of at least a minute" } else { "" };
    length.ok_or_else(|| {
        invalid(name, format!("it must be a length of time{least} in quotes, such as \"10 minutes\""))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(json: &Value) -> Result<DetectorOptions> {
        DetectorOptions::parse(json, &|text| {
            text.strip_suffix(" min").and_then(|n| n.parse::<i64>().ok()).map(|n| n * MINUTE)
        })
    }

    #[test]
    fn a_preset_is_overwritten_by_what_stands_beside_it() {
        let options =
            parse(&json!({"window": "5 min", "preset": "seed", "vectorizer": {"min_df": 2}})).unwrap();
        assert_eq!(options.window, Window::Tumbling(5 * MINUTE));
        assert_eq!(options.vectorizer.min_df, DocumentFrequency::Count(2));
        assert_eq!(options.vectorizer.max_features, Some(5000));
    }

    #[test]
    fn training_again_is_asked_for() {
        let options = parse(&json!({})).unwrap();
        assert_eq!((options.retrain, options.history), (None, 30 * DAY));
        let options = parse(&json!({"retrain": "1 min", "history": "90 min"})).unwrap();
        assert_eq!((options.retrain, options.history), (Some(MINUTE), 90 * MINUTE));
        assert_eq!(parse(&json!({"retrain": null})).unwrap().retrain, None);
    }

    #[test]
    fn columns_of_profiles_are_listed_once_in_their_order() {
        assert_eq!(parse(&json!({})).unwrap().profiles, [Column::Component, Column::Level]);
        let given = json!({"profiles": ["source", "level", "source"]});
        assert_eq!(parse(&given).unwrap().profiles, [Column::Source, Column::Level]);
        assert_eq!(parse(&json!({"profiles": []})).unwrap().profiles, []);
    }

    #[test]
    fn mistakes_are_named() {
        for (json, words) in [
            (json!({"windoww": 1}), "unknown option \"windoww\""),
            (json!({"clustering": {"epsilon": 1}}), "unknown option \"clustering.epsilon\""),
            (json!({"window": "soon"}), "\"window\""),
            (json!({"retrain": "0 min"}), "\"retrain\": it must be a length of time of at least a minute"),
            (json!({"retrain": true}), "\"retrain\""),
            (json!({"history": "0 min"}), "\"history\""),
            (json!({"history": null}), "\"history\""),
            (
                json!({"resolve_after": 5}),
                "\"resolve_after\": it must be a length of time in quotes, such as \"10 minutes\"",
            ),
            (json!({"notify_messages": "yes"}), "\"notify_messages\""),
            (json!({"false_alarm_rate": 0}), "\"false_alarm_rate\""),
            (json!({"preset": "seeds"}), "\"preset\""),
            (json!({"vectorizer": {"min_df": -1}}), "\"vectorizer.min_df\""),
            (json!({"vectorizer": {"min_dff": 1}}), "unknown option \"vectorizer.min_dff\""),
            (json!({"vectorizer": 1}), "\"vectorizer\""),
            (json!({"profiles": "level"}), "\"profiles\""),
            (json!({"profiles": ["message"]}), "\"profiles\""),
            (json!([1]), "JSON object"),
        ] {
            assert!(parse(&json).unwrap_err().to_string().contains(words), "{json}");
        }
    }
}
