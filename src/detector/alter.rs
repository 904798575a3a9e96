//! Changing detectors.
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::manage::{check_timezone, open_readable, valid_name};
use super::{Detector, PARTS, check_options, required, usual};
use crate::error::{fail, notice};
use crate::lock::lock_detector;
use crate::reg::RegRole;
use crate::security::{self, RunAs};
use crate::spi::{Connection, arg, text_arg};
use crate::text::{Jsonb, Text};
use crate::views::mark_views_stale;

/// Changes what is given of a detector, its options all of them at once; NULL leaves what is, `''` takes a part away.
#[pg_extern(requires = ["detector"])]
#[allow(clippy::too_many_arguments, reason = "everything that create_detector takes")]
fn alter_detector(
    name: Option<Text>,
    options: default!(Option<Jsonb>, "NULL"),
    new_name: default!(Option<Text>, "NULL"),
    enabled: default!(Option<bool>, "NULL"),
    owner: default!(Option<RegRole>, "NULL"),
    message: default!(Option<Text>, "NULL"),
    ts: default!(Option<Text>, "NULL"),
    level: default!(Option<Text>, "NULL"),
    component: default!(Option<Text>, "NULL"),
    source: default!(Option<Text>, "NULL"),
    session: default!(Option<Text>, "NULL"),
    template: default!(Option<Text>, "NULL"),
) {
    let name = &*required(name);
    let detector = Detector::get(name);
    security::require_owner(name, detector.owner);
    let json = options.map_or_else(|| detector.json.clone(), |options| options.0);
    check_timezone(&check_options(&json).timezone);
    let new_name = checked_name(&detector, new_name.as_deref());
    let place = Place {
        owner: owner.map(|role| role.0),
        parts: [message, ts, level, component, source, session, template],
    };
    let place = place.checked(&detector);
    if new_name != name || place.owner != detector.owner {
        // Maintenance goes by the name, and by what it has read of the detector when it began.
        lock_detector(name);
    }
    let mut args = vec![
        text_arg(name),
        text_arg(new_name),
        arg(Jsonb(json.clone())),
        arg(enabled.unwrap_or(detector.enabled)),
        arg(place.owner),
    ];
    args.extend(place.parts.map(|part| (pg_sys::TEXTOID, part.and_then(IntoDatum::into_datum))));
    let _owner = RunAs::extension_owner();
    let spi = Connection::open();
    spi.write(
        "UPDATE logintel.detectors \
         SET name = $2, options = $3, enabled = $4, owner = $5, \
             message = $6, ts = $7, level = $8, component = $9, source = $10, session = $11, template = $12 \
         WHERE name = $1",
        &args,
    );
    mark_views_stale(&spi);
    let reset = not_named(&detector.json, &json);
    if !reset.is_empty() {
        notice(format!(
            "options of detector \"{new_name}\" were replaced as a whole; back at their defaults are {}",
            reset.join(", ")
        ));
    }
}

/// The name that it has from now on: a new one that nobody has, while no trigger names the old one.
fn checked_name<'a>(detector: &'a Detector, new_name: Option<&'a str>) -> &'a str {
    let new_name = valid_name(Some(new_name.unwrap_or(&detector.name)));
    if new_name != detector.name {
        if detector.is_watched() {
            fail(
                PgSqlErrorCode::ERRCODE_OBJECT_IN_USE,
                format!("detector \"{}\" is watching its relation, whose trigger names it", detector.name),
                "SELECT logintel.unwatch(name) first, and logintel.watch(new name) afterwards.",
            );
        }
        if Detector::find(new_name).is_some() {
            fail(
                PgSqlErrorCode::ERRCODE_DUPLICATE_OBJECT,
                format!("detector \"{new_name}\" already exists"),
                "Choose another name.",
            );
        }
    }
    new_name
}

/// Who reads its lines, and where in the relation they are, as the caller gave it: `None` for what stays.
struct Place {
    owner: Option<pg_sys::Oid>,
    parts: [Option<Text>; PARTS.len()],
}

/// The same as it will be kept.
struct Checked {
    owner: pg_sys::Oid,
    parts: [Option<String>; PARTS.len()],
}

impl Place {
    /// Refuses what the caller may not give, what one of both may not read, and parts that are not there. Where none of it is given
    /// nothing is looked at, so that the options of a detector whose relation is gone can be changed.
    ///
    /// Whoever says what is read must be a member of who reads it. An administrator who is none gives the detector to himself first.
    fn checked(self, detector: &Detector) -> Checked {
        let owner = self.owner.unwrap_or(detector.owner);
        if self.owner.is_none() && self.parts.iter().all(Option::is_none) {
            return Checked { owner, parts: detector.parts.clone() };
        }
        security::require_membership(owner);
        // Names the detector, where its relation is gone.
        detector.open_relation();
        let relation = open_readable(detector.relation);
        security::require_select(owner, detector.relation);
        let stays = detector.parts.iter().map(|part| part.clone().unwrap_or_default());
        let mut given = self.parts.into_iter().zip(stays).map(|(given, stays)| given.unwrap_or(Text(stays)));
        let parts = usual::resolve(&relation, std::array::from_fn(|_| given.next()));
        Checked { owner, parts }
    }
}

/// The options that the one names and the other does not, those in groups as `group.option`.
fn not_named(before: &serde_json::Value, now: &serde_json::Value) -> Vec<String> {
    let members = before.as_object().into_iter().flatten();
    let of = |(name, before): (&String, &serde_json::Value)| {
        let now = now.get(name);
        match before {
            serde_json::Value::Object(_) => not_named(before, now.unwrap_or(&serde_json::Value::Null))
                .iter()
                .map(|option| format!("{name}.{option}"))
                .collect(),
            _ if now.is_none() => vec![name.clone()],
            _ => Vec::new(),
        }
    };
    members.flat_map(of).collect()
}
