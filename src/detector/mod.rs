//! Detectors: what is registered, and who may touch it.
use std::rc::Rc;

use logintel_core::baseline::Trainer;
use logintel_core::config::DetectorOptions;
use logintel_core::detect::{Detector as Model, Scratch};
use logintel_core::options::Masks;
use pgrx::PgRelation;
use pgrx::Uuid;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::control::Session;
use crate::error::{OrRaise, fail};
use crate::security::{self, RunAs};
use crate::spi::{Connection, text_arg};
use crate::text::Jsonb;
use crate::text::Text;

mod alter;
pub mod cache;
pub mod columns;
mod compare;
pub mod drift;
mod extract;
mod feed;
mod feedback;
mod fill;
mod history;
mod judge;
mod kept;
mod lines;
mod manage;
mod once;
pub mod rates;
pub mod record;
mod resolve;
pub mod retrain;
mod sessions;
mod snapshot;
pub mod train;
mod trigger;
mod usual;
mod watch;

use columns::{Columns, Part, Path};
use extract::Readings;
pub use judge::explain;

/// A row of the table `detectors`.
#[derive(Debug, Clone)]
pub struct Detector {
    pub name: String,
    pub relation: pg_sys::Oid,
    pub owner: pg_sys::Oid,
    parts: [Option<String>; PARTS.len()],
    readings: Readings,
    pub json: serde_json::Value,
    pub options: DetectorOptions,
    pub enabled: bool,
    pub active: Option<Active>,
    /// State of its marked templates; `None` while there are none.
    pub marks_id: Option<Uuid>,
}

/// The active model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Active {
    pub version: i32,
    pub model_id: Uuid,
}

const PARTS: [Part; 7] =
    [Part::Message, Part::Ts, Part::Level, Part::Component, Part::Source, Part::Session, Part::Template];

impl Detector {
    /// The detector of that name, read under the statement's snapshot; an error if there is none.
    pub fn get(name: &str) -> Self {
        Self::find(name).unwrap_or_else(|| {
            fail(
                PgSqlErrorCode::ERRCODE_UNDEFINED_OBJECT,
                format!("detector \"{name}\" does not exist"),
                "SELECT name FROM logintel.detectors lists what there is; logintel.create_detector makes one.",
            )
        })
    }

    /// The detector of that name, if there is one.
    pub fn find(name: &str) -> Option<Self> {
        let _owner = RunAs::extension_owner();
        let spi = Connection::open();
        let rows = spi.read(
            "SELECT d.relation::oid, d.owner::oid, d.message, d.ts, d.level, d.component, d.source, d.session, d.template, \
                    d.options, d.enabled, m.version, m.model_id, d.marks_id \
             FROM logintel.detectors AS d LEFT JOIN logintel.model_versions AS m \
               ON m.detector = d.name AND m.version = d.active_version \
             WHERE d.name = $1",
            &[text_arg(name)],
        );
        if rows.len() == 0 {
            return None;
        }
        let json = rows.must::<Jsonb>(0, 10).0;
        let parts = std::array::from_fn(|part| rows.text(0, 3 + part as i32));
        let active = rows.get(0, 12).map(|version| Active { version, model_id: rows.must(0, 13) });
        let mut detector = Detector {
            name: name.to_owned(),
            relation: rows.must(0, 1),
            owner: rows.must(0, 2),
            readings: Readings::of(&parts),
            parts,
            options: parse_options(&json),
            json,
            enabled: rows.must(0, 11),
            active,
            marks_id: rows.get(0, 14),
        };
        let has_masks = detector.json.pointer("/vectorizer/masks").is_some();
        if detector.part(Part::Template).is_some() && !has_masks {
            // A template of the user's is meant as it is.
            detector.options.vectorizer.masks = Masks::None;
        }
        Some(detector)
    }

    /// The text that names a part.
    fn part(&self, part: Part) -> Option<&str> {
        text_of(&self.parts, part)
    }

    /// The part's path in its relation, where it has one.
    fn path(&self, columns: &Columns, part: Part) -> Option<Path> {
        self.part(part).map(|text| columns.parse(part, text))
    }

    /// Its relation, opened; an error if it is gone.
    fn open_relation(&self) -> PgRelation {
        open_relation(self.relation).unwrap_or_else(|| {
            fail(
                PgSqlErrorCode::ERRCODE_UNDEFINED_TABLE,
                format!("the relation of detector \"{}\" is gone", self.name),
                "logintel.drop_detector deletes the detector with its models, anomalies and incidents; create_detector makes one for another relation.",
            )
        })
    }

    /// The model in use, from the backend's cache; `None` before the first training.
    pub fn model(&self) -> Option<Rc<Model>> {
        self.active.map(|active| cache::model(&self.name, active))
    }

    /// Runs as who reads its relation until dropped.
    pub(super) fn run_as_reader(&self) -> RunAs {
        RunAs::reader(self.owner, self.relation, &self.options.timezone)
    }

    /// Refuses who may not read what the detector reads.
    pub fn require_reader(&self) {
        let user = security::current_user();
        if security::may_read(user, self.owner, self.relation) {
            return;
        }
        fail(
            PgSqlErrorCode::ERRCODE_INSUFFICIENT_PRIVILEGE,
            format!("permission denied for detector \"{}\"", self.name),
            "Its judgements tell about its logs: SELECT on its relation is needed.",
        );
    }
}

/// The text of a part among those of all.
fn text_of(parts: &[Option<String>; PARTS.len()], part: Part) -> Option<&str> {
    let at = PARTS.iter().position(|&known| known == part)?;
    parts[at].as_deref()
}

/// The name that a caller gave; NULL is an error.
pub fn required(name: Option<Text>) -> Text {
    name.unwrap_or_else(|| {
        fail(
            PgSqlErrorCode::ERRCODE_NULL_VALUE_NOT_ALLOWED,
            "the detector's name must not be NULL",
            "SELECT name FROM logintel.detectors lists what there is.",
        )
    })
}

/// A relation, opened and locked to the end of the transaction; `None` if it is gone.
fn open_relation(oid: pg_sys::Oid) -> Option<PgRelation> {
    // SAFETY: try_relation_open returns NULL for a relation that is gone.
    unsafe {
        let relation = pg_sys::try_relation_open(oid, pg_sys::AccessShareLock as i32);
        (!relation.is_null()).then(|| PgRelation::from_pg_owned(relation))
    }
}

/// Reads options as they were given; an error names what is wrong with them.
fn check_options(json: &serde_json::Value) -> DetectorOptions {
    let interval = |text: &str| crate::subtransaction::attempt(|| interval_micros(text)).ok().flatten();
    let options = DetectorOptions::parse(json, &interval).or_raise();
    // Compiles the patterns, so that training does not have to refuse them.
    Trainer::new(&options, u64::MAX, Session::watch()).or_raise();
    options
}

/// Reads options that were checked before they were stored: without subtransaction, which a parallel plan may not
/// start.
fn parse_options(json: &serde_json::Value) -> DetectorOptions {
    DetectorOptions::parse(json, &interval_micros).or_raise()
}

/// Reads an interval in PostgreSQL's spelling, months counted as 30 days.
fn interval_micros(text: &str) -> Option<i64> {
    let text = std::ffi::CString::new(text).unwrap_or_default();
    // SAFETY: interval_in takes a C string, a type and a typmod.
    let interval = unsafe {
        pgrx::direct_function_call::<Interval>(
            pg_sys::interval_in,
            &[text.as_c_str().into_datum(), pg_sys::Oid::INVALID.into_datum(), (-1i32).into_datum()],
        )
    }?;
    let days = i64::from(interval.months()) * 30 + i64::from(interval.days());
    days.checked_mul(86_400_000_000)?.checked_add(interval.micros())
}

/// The vector of a message in a detector's active model.
pub fn embed(detector: &str, message: &str) -> logintel_core::sparse::SparseVec {
    let resolved = resolve::resolve(detector, Detector::require_reader);
    let Some(model) = &resolved.model else {
        fail(
            PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE,
            format!("detector \"{detector}\" is not trained yet"),
            &format!("SELECT logintel.train({}) first.", columns::quote_literal(detector)),
        )
    };
    let mut scratch = Scratch::new(Session::watch());
    model.embed(message, &mut scratch).or_raise().to_vec()
}
