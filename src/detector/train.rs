//! Training: history becomes a model.
use logintel_core::artifact;
use logintel_core::baseline::{Baseline, MAX_MESSAGES, Trainer};
use logintel_core::config::Preset;
use logintel_core::control::Control;
use logintel_core::line::Line;
use logintel_core::profile::Profile;
use pgrx::PgRelation;
use pgrx::prelude::*;

use super::columns::{Columns, Part};
use super::{Detector, required};
use crate::control::Session;
use crate::error::{OrRaise, fail, notice, warn};
use crate::progress::Progress;
use crate::range::{range_args, range_sql, require_range};
use crate::security::{self, RunAs};
use crate::spi::{Connection, arg, text_arg};
use crate::subtransaction::attempt;
use crate::suppression::Exclusions;
use crate::text::{Jsonb, Text, from_c_string, relation_name};
use crate::time::{finite_micros, zone};
use crate::views::mark_views_stale;

/// Versions kept for each detector, the active one beside them.
const KEPT_VERSIONS: i64 = 10;

/// Learns what is ordinary from the rows of a time range, and where the detector has a session column, which sessions
/// are; stores it as a new version and activates it.
#[pg_extern(requires = ["detector"])]
fn train(
    detector: Option<Text>,
    since: default!(Option<TimestampWithTimeZone>, "NULL"),
    until: default!(Option<TimestampWithTimeZone>, "NULL"),
    activate: default!(Option<bool>, true),
) -> i32 {
    let detector = Detector::get(&required(detector));
    security::require_owner(&detector.name, detector.owner);
    require_range(since, until);
    let _progress = Progress::begin("train");
    let baseline = learn(&detector, since, until);
    warn_of_little(&detector, &baseline);
    warn_of_overflow(&detector, &baseline);
    store(&detector, &baseline, since, until, activate.unwrap_or(true))
}

/// Says that history is too short for the rates that are asked for.
fn warn_of_little(detector: &Detector, baseline: &Baseline) {
    let options = &baseline.options;
    if options.preset == Preset::Seed {
        return;
    }
    let warn_if = |seen: u64, what: &str, rate: f64, name: &str, until: &str| {
        if (seen as f64) * rate < 1.0 {
            let too_few = format!("learnt from {seen} ordinary {what}, too few for a {name} of {rate}");
            warn(format!("detector \"{}\" {too_few}", detector.name), until);
        }
    };
    warn_if(
        baseline.summary.calibration_rows,
        "rows",
        options.false_alarm_rate,
        "false alarm rate",
        "Until it is trained on more history, every template that it never saw is flagged.",
    );
    if let Some(sessions) = &baseline.sessions {
        warn_if(
            sessions.calibration.rows(),
            "sessions",
            options.session_false_alarm_rate,
            "session false alarm rate",
            "Until it is trained on more history, every session is flagged that differs from all others by more than what one in 50 has.",
        );
    }
}

/// Says that rows have no template.
fn warn_of_overflow(detector: &Detector, baseline: &Baseline) {
    let rows = baseline.summary.overflow_rows;
    if rows > 0 {
        warn(
            format!(
                "detector \"{}\" has no templates for {rows} rows, for there are more than {MAX_MESSAGES} different messages",
                detector.name
            ),
            "logintel.log_template on some of them says which structure has most; a mask for what differs in it helps.",
        );
    }
}

/// Reads history with the owner's rights.
pub(super) fn learn(
    detector: &Detector,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
) -> Baseline {
    let mut trainer = Trainer::new(&detector.options, Session.memory(), Session::watch()).or_raise();
    // A model that cannot be read is one more reason to train.
    if let Some(model) = attempt(|| detector.model()).ok().flatten() {
        trainer.know(model.templates());
    }
    trainer.mark(detector.marked_templates());
    trainer.set_zone(zone(&detector.options.timezone));
    if let Some(since) = since {
        trainer.sessions().begin(since.into());
    }
    let (mut exclusions, mut read) = (Exclusions::of(detector), 0u64);
    {
        let relation = detector.open_relation();
        let columns = Columns::of(&relation);
        let text = |part| detector.text_sql(&columns, part);
        let (judged, level, session) = (text(detector.judged()), text(Part::Level), text(Part::Session));
        let (component, source) = (text(Part::Component), text(Part::Source));
        let has_sessions = detector.part(Part::Session).is_some();
        // The order decides how clusters are numbered and which rows are held back together: it must not depend on the plan.
        let sql = format!(
            "SELECT m, v, s, t, c, h, shown \
             FROM (SELECT {judged} AS m, {level} AS v, {session} AS s, {} AS t, {component} AS c, {source} AS h, \
                          {} AS shown \
                   FROM {} AS l) AS r \
             WHERE m IS NOT NULL AND {} \
             ORDER BY t, m COLLATE \"C\", v COLLATE \"C\", c COLLATE \"C\", h COLLATE \"C\"",
            detector.time_sql(&columns),
            // Only rules ask for what is shown in the place of what is judged.
            if exclusions.is_some() { text(Part::Message) } else { "NULL::pg_catalog.text".into() },
            qualified(&relation),
            range_sql("t"),
        );
        let args = range_args(since, until);
        detector.read(|spi| {
            spi.for_each_shown("reading", &sql, &args, |rows, row| {
                read += 1;
                let message = rows.text(row, 1).unwrap_or_default();
                let level = detector.readings.level(rows.text(row, 2));
                let ts = rows.get::<TimestampWithTimeZone>(row, 4);
                let component = detector.readings.component(rows.text(row, 5));
                let source = rows.text(row, 6);
                let line = Line {
                    message: &message,
                    ts: ts.and_then(finite_micros),
                    level: level.as_deref(),
                    component: component.as_deref(),
                    source: source.as_deref(),
                };
                if exclusions
                    .as_mut()
                    .is_some_and(|rules| rules.excludes(&line, rows.text(row, 7).as_deref()))
                {
                    return;
                }
                let number = trainer.add(&line).or_raise();
                if has_sessions {
                    // OpenTelemetry's lines outside of all traces have an empty one: that is no session.
                    let session = rows.text(row, 3).filter(|session| !session.is_empty());
                    trainer.sessions().add(session.as_deref(), number, ts.map(Into::into)).or_raise();
                }
            });
        });
    }
    let excluded = exclusions.map_or(0, |rules| rules.excluded());
    if excluded > 0 {
        notice(format!(
            "detector \"{}\" did not learn from {excluded} of {read} rows, which suppressions exclude from training",
            detector.name
        ));
    }
    if trainer.rows() == 0 {
        fail(
            PgSqlErrorCode::ERRCODE_NO_DATA_FOUND,
            format!("detector \"{}\" found no rows to learn from", detector.name),
            if excluded > 0 {
                "Suppressions exclude all of them: see exclude_from_training in logintel.suppressions."
            } else {
                "Is its relation empty, or the range of time the wrong one? Rows whose message is NULL do not count."
            },
        );
    }
    trainer.finish(&Session).or_raise()
}

/// The relation's name as SQL.
pub fn qualified(relation: &PgRelation) -> String {
    use super::columns::quote_identifier;
    // SAFETY: the relation is open; its schema has a name.
    let schema = unsafe { from_c_string(pgrx::pg_sys::get_namespace_name((*relation.rd_rel).relnamespace)) };
    format!("{}.{}", quote_identifier(&schema), quote_identifier(&relation_name(relation)))
}

impl Detector {
    /// What is judged: the user's templates, where there are some, in the message's place.
    pub(super) fn judged(&self) -> Part {
        if self.part(Part::Template).is_some() { Part::Template } else { Part::Message }
    }

    /// SQL for the text of a part of a row `l`; NULL where the detector has no such part.
    pub(super) fn text_sql(&self, columns: &Columns, part: Part) -> String {
        self.path(columns, part).map_or_else(|| "NULL::pg_catalog.text".into(), |path| path.text_sql())
    }

    /// SQL for the time of a row `l`.
    pub(super) fn time_sql(&self, columns: &Columns) -> String {
        let path = self.path(columns, Part::Ts);
        path.map_or_else(
            || "NULL::pg_catalog.timestamptz".into(),
            |path| path.time_sql(&self.options.timezone),
        )
    }
}

/// Stores a model as the newest version; returns its number.
pub(super) fn store(
    detector: &Detector,
    baseline: &Baseline,
    since: Option<TimestampWithTimeZone>,
    until: Option<TimestampWithTimeZone>,
    activate: bool,
) -> i32 {
    let bytes = artifact::encode(baseline, &Session).or_raise();
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    // Trainings that end at the same time take their numbers one after the other; rows that refer to the detector
    // can still be written.
    spi.write(
        "SELECT FROM logintel.detectors WHERE name = $1 FOR NO KEY UPDATE",
        &[text_arg(&detector.name)],
    );
    let summary = &baseline.summary;
    let sessions = baseline.sessions.as_ref();
    let [since, until] = range_args(since, until);
    let rows = spi.write(
        "INSERT INTO logintel.model_versions (detector, version, since, until, training_rows, calibration_rows, vocabulary_size, \
             templates, clusters, noise_rows, threshold, flagged_share, training_sessions, calibration_sessions, \
             session_threshold, session_flagged_share, options, artifact) \
         SELECT $1, coalesce(max(version), 0) + 1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17 \
         FROM logintel.model_versions WHERE detector = $1 RETURNING version",
        &[
            text_arg(&detector.name),
            since,
            until,
            arg(summary.training_rows as i64),
            arg(summary.calibration_rows as i64),
            arg(baseline.model.len() as i32),
            arg(baseline.templates.len() as i32),
            arg(summary.clusters as i32),
            arg(summary.noise_rows as i64),
            arg(baseline.threshold()),
            arg(summary.flagged_share),
            arg(sessions.map(|sessions| sessions.summary.training_sessions as i64)),
            arg(sessions.map(|sessions| sessions.calibration.rows() as i64)),
            arg(sessions.map(|sessions| sessions.calibration.threshold)),
            arg(sessions.map(|sessions| sessions.summary.flagged_share)),
            arg(Jsonb(detector.json.clone())),
            arg(bytes),
        ],
    );
    let version: i32 = rows.must(0, 1);
    store_clusters(&spi, detector, version, baseline);
    store_profiles(&spi, detector, version, baseline);
    if activate {
        spi.write(
            "UPDATE logintel.detectors SET active_version = $2 WHERE name = $1",
            &[text_arg(&detector.name), arg(version)],
        );
    }
    // Of those that were kept aside (see `retrain`) only a newest one stays: else they would push out what was in use.
    spi.write(
        "DELETE FROM logintel.model_versions AS m USING logintel.detectors AS d \
         WHERE m.detector = $1 AND d.name = $1 AND m.version < $2 AND m.version IS DISTINCT FROM d.active_version \
           AND (m.kept_aside IS NOT NULL OR m.version <= ( \
                SELECT o.version FROM logintel.model_versions AS o WHERE o.detector = $1 AND o.kept_aside IS NULL \
                ORDER BY o.version DESC OFFSET $3 LIMIT 1))",
        &[text_arg(&detector.name), arg(version), arg(KEPT_VERSIONS)],
    );
    mark_views_stale(&spi);
    version
}

/// What each cluster holds, for the views.
fn store_clusters(spi: &Connection, detector: &Detector, version: i32, baseline: &Baseline) {
    let clusters = baseline.clusters();
    spi.write(
        "INSERT INTO logintel.model_clusters (detector, version, cluster_id, rows, templates, template) \
         SELECT $1, $2, * FROM unnest($3, $4, $5, $6)",
        &[
            text_arg(&detector.name),
            arg(version),
            arg(clusters.iter().map(|cluster| cluster.id as i32).collect::<Vec<_>>()),
            arg(clusters.iter().map(|cluster| cluster.rows as i64).collect::<Vec<_>>()),
            arg(clusters.iter().map(|cluster| cluster.templates as i32).collect::<Vec<_>>()),
            arg(clusters.iter().map(|cluster| Text(cluster.template.to_owned())).collect::<Vec<_>>()),
        ],
    );
}

/// What each profile decides, for people.
fn store_profiles(spi: &Connection, detector: &Detector, version: i32, baseline: &Baseline) {
    let profiles = &baseline.profiles;
    let values = |profile: &Profile| {
        let pairs = profile.key.iter().map(|(column, value)| (column.to_string(), value.as_str().into()));
        Jsonb(serde_json::Value::Object(pairs.collect()))
    };
    spi.write(
        "INSERT INTO logintel.model_profiles \
             (detector, version, profile_id, profile, rows, calibration_rows, threshold, flagged_share) \
         SELECT $1, $2, number - 1, profile, rows, calibration_rows, threshold, flagged_share \
         FROM unnest($3, $4, $5, $6, $7) \
             WITH ORDINALITY AS p (profile, rows, calibration_rows, threshold, flagged_share, number)",
        &[
            text_arg(&detector.name),
            arg(version),
            arg(profiles.iter().map(values).collect::<Vec<_>>()),
            arg(profiles.iter().map(|profile| profile.rows as i64).collect::<Vec<_>>()),
            arg(profiles.iter().map(|profile| profile.calibration.rows() as i64).collect::<Vec<_>>()),
            arg(profiles.iter().map(|profile| profile.calibration.threshold).collect::<Vec<_>>()),
            arg(profiles.iter().map(|profile| profile.flagged_share).collect::<Vec<_>>()),
        ],
    );
}
