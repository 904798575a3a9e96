//! The parts of a log line: how they are read, and in a trigger from a tuple without SQL.
use std::borrow::Cow;
use std::cell::RefCell;
use std::rc::Rc;

use logintel_core::reading::Reading;
use pgrx::PgRelation;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::columns::{Columns, Part, Path, last_name};
use super::{Detector, PARTS, kept, text_of};
use crate::text::{Text, from_c_string, is_converted, lend_text, plain_bytes, with_text};
use crate::time::{finite_micros, parse};

/// How a detector's levels and components are read, wherever they come from.
#[derive(Debug, Clone, Copy)]
pub struct Readings {
    level: Reading,
    component: Reading,
}

impl Readings {
    /// Of a detector with those columns and paths.
    pub fn of(parts: &[Option<String>; PARTS.len()]) -> Self {
        let name = |part| text_of(parts, part).and_then(last_name).unwrap_or_default();
        Readings {
            level: Reading::of_level(&name(Part::Level)),
            component: Reading::of_component(&name(Part::Component)),
        }
    }

    /// A level.
    pub fn level<'a>(self, text: Option<impl Into<Cow<'a, str>>>) -> Option<Cow<'a, str>> {
        text.map(|text| self.level.read(text.into()))
    }

    /// A component.
    pub fn component<'a>(self, text: Option<impl Into<Cow<'a, str>>>) -> Option<Cow<'a, str>> {
        text.map(|text| self.component.read(text.into()))
    }
}

/// A log line. In a trigger its texts are lent by the row: copying them takes a quarter of the time that judging them takes.
#[derive(Debug, Clone, Default)]
pub struct Line<'a> {
    /// What is judged in the message's place, where the detector has a column for it.
    pub template: Option<Cow<'a, str>>,
    pub message: Option<Cow<'a, str>>,
    pub ts: Option<TimestampWithTimeZone>,
    pub level: Option<Cow<'a, str>>,
    pub component: Option<Cow<'a, str>>,
    pub source: Option<Cow<'a, str>>,
}

impl Line<'_> {
    /// A line that somebody asks a detector about.
    pub fn asked(detector: &Detector, [message, level, component, source]: [Option<String>; 4]) -> Self {
        let (level, component) = (detector.readings.level(level), detector.readings.component(component));
        let (message, source) = (message.map(Cow::Owned), source.map(Cow::Owned));
        Line { message, level, component, source, ..Default::default() }
    }

    /// What is judged; `None` without message.
    pub fn judged(&self) -> Option<&str> {
        self.template.as_deref().or(self.message.as_deref())
    }

    /// As the engine takes it; `None` without message.
    pub fn as_judged(&self) -> Option<logintel_core::line::Line<'_>> {
        Some(logintel_core::line::Line {
            message: self.judged()?,
            ts: self.ts.and_then(finite_micros),
            level: self.level.as_deref(),
            component: self.component.as_deref(),
            source: self.source.as_deref(),
        })
    }
}

/// Where the parts are in one relation.
#[derive(Debug)]
pub struct Extractor {
    message: Option<Field>,
    template: Option<Field>,
    ts: Option<Field>,
    level: Option<Field>,
    component: Option<Field>,
    source: Option<Field>,
    readings: Readings,
    timezone: String,
    /// Whether all that is judged is text, in an encoding that is not converted, and the time is none that must be parsed.
    is_plain: bool,
}

/// A part's column and how it becomes text.
#[derive(Debug)]
struct Field {
    attribute: i32,
    /// The last attribute of all parts: a row is deformed once for all of them.
    last: i32,
    oid: pg_sys::Oid,
    /// Makes the text that `::text` makes in a scan, where the type has a cast of PostgreSQL's own; else what it makes is
    /// the type's output. A cast of somebody's own is not run in somebody else's INSERT.
    cast: Option<pg_sys::Oid>,
    output: pg_sys::Oid,
    /// Keys into json; empty for a whole column.
    json_path: Vec<String>,
}

impl Field {
    fn new(path: &Path, last: i32) -> Self {
        let mut output = pg_sys::Oid::INVALID;
        let mut is_varlena = false;
        // SAFETY: catalog look-up.
        unsafe { pg_sys::getTypeOutputInfo(path.column_type(), &raw mut output, &raw mut is_varlena) };
        Field {
            attribute: path.attribute().into(),
            last,
            oid: path.column_type(),
            cast: cast_to_text(path.column_type()),
            output,
            json_path: path.json_path(),
        }
    }

    fn is_text(&self) -> bool {
        matches!(self.oid, pg_sys::TEXTOID | pg_sys::VARCHAROID)
    }

    /// # Safety
    /// The slot holds a row of the relation that the field was made for.
    unsafe fn datum(&self, slot: *mut pg_sys::TupleTableSlot) -> Option<pg_sys::Datum> {
        // SAFETY: attributes up to this one are deformed before the arrays are read.
        unsafe {
            if i32::from((*slot).tts_nvalid) < self.attribute {
                pg_sys::slot_getsomeattrs_int(slot, self.last);
            }
            let at = (self.attribute - 1) as usize;
            (!*(*slot).tts_isnull.add(at)).then(|| *(*slot).tts_values.add(at))
        }
    }

    /// # Safety
    /// As [`Self::datum`], and the slot holds that row for `'a`.
    unsafe fn text<'a>(&self, slot: *mut pg_sys::TupleTableSlot) -> Option<Cow<'a, str>> {
        // SAFETY: the datum is of the field's type; the output function's result is a C string of its own.
        unsafe {
            let datum = self.datum(slot)?;
            if matches!(self.oid, pg_sys::JSONOID | pg_sys::JSONBOID) {
                return json_text(self.oid, datum, &self.json_path).map(Cow::Owned);
            }
            if self.is_text() {
                return Some(lend_text(datum));
            }
            if let Some(cast) = self.cast {
                let text = pg_sys::OidFunctionCall1Coll(cast, pg_sys::DEFAULT_COLLATION_OID, datum);
                return Some(Cow::Owned(with_text(text, str::to_owned)));
            }
            let text = pg_sys::OidOutputFunctionCall(self.output, datum);
            let owned = from_c_string(text);
            pg_sys::pfree(text.cast());
            Some(Cow::Owned(owned))
        }
    }
}

/// PostgreSQL's own function that casts a type to text: of addresses, truth values, padded text, …
fn cast_to_text(oid: pg_sys::Oid) -> Option<pg_sys::Oid> {
    if matches!(oid, pg_sys::TEXTOID | pg_sys::VARCHAROID | pg_sys::JSONOID | pg_sys::JSONBOID) {
        return None;
    }
    let mut function = pg_sys::Oid::INVALID;
    // SAFETY: catalog look-ups.
    let path = unsafe {
        pg_sys::find_coercion_pathway(
            pg_sys::TEXTOID,
            pg_sys::getBaseType(oid),
            pg_sys::CoercionContext::COERCION_EXPLICIT,
            &raw mut function,
        )
    };
    let is_function = path == pg_sys::CoercionPathType::COERCION_PATH_FUNC;
    (is_function && function.to_u32() < pg_sys::FirstNormalObjectId).then_some(function)
}

/// What `#>>` gives.
///
/// # Safety
/// The datum is of type json or jsonb.
unsafe fn json_text(oid: pg_sys::Oid, datum: pg_sys::Datum, path: &[String]) -> Option<String> {
    let keys = path.iter().map(|key| Text(key.clone())).collect::<Vec<_>>().into_datum();
    // SAFETY: both functions take the document and a text array.
    unsafe {
        if oid == pg_sys::JSONBOID {
            pgrx::direct_function_call::<Text>(pg_sys::jsonb_extract_path_text, &[Some(datum), keys])
        } else {
            pgrx::direct_function_call::<Text>(pg_sys::json_extract_path_text, &[Some(datum), keys])
        }
        .map(|text| text.0)
    }
}

/// Most extractors that are kept.
const KEPT: usize = 32;

/// An extractor, and what it was made of.
struct Kept {
    detector: Rc<Detector>,
    relation: pg_sys::Oid,
    /// [`kept::relations`] of then.
    relations: u64,
    extractor: Rc<Extractor>,
}

thread_local! {
    static EXTRACTORS: RefCell<Vec<Kept>> = const { RefCell::new(Vec::new()) };
}

impl Extractor {
    /// That of a detector and a relation, kept as long as neither changes: making it takes as long as judging a line, and each row
    /// is a call of its own in a row trigger.
    pub fn of(detector: &Rc<Detector>, relation: &PgRelation) -> Rc<Self> {
        let relations = kept::relations();
        Self::known(detector, relation).unwrap_or_else(|| {
            let extractor = Rc::new(Self::new(detector, relation));
            let detector = Rc::clone(detector);
            let kept =
                Kept { detector, relation: relation.oid(), relations, extractor: Rc::clone(&extractor) };
            EXTRACTORS.with_borrow_mut(|all| {
                all.retain(|kept| kept.relations == relations);
                if all.len() == KEPT {
                    all.remove(0);
                }
                all.push(kept);
            });
            extractor
        })
    }

    /// The same, if it is kept.
    pub fn known(detector: &Rc<Detector>, relation: &PgRelation) -> Option<Rc<Self>> {
        let relations = kept::relations();
        EXTRACTORS.with_borrow(|kept| {
            let same = |kept: &&Kept| {
                kept.relation == relation.oid()
                    && kept.relations == relations
                    && Rc::ptr_eq(&kept.detector, detector)
            };
            kept.iter().find(same).map(|kept| Rc::clone(&kept.extractor))
        })
    }

    /// Looks the detector's columns up in a relation, which in a trigger may be a partition of the detector's.
    fn new(detector: &Detector, relation: &PgRelation) -> Self {
        let columns = Columns::of(relation);
        let path = |part| detector.path(&columns, part);
        let last = PARTS.iter().filter_map(|&part| path(part)).map(|path| path.attribute().into()).max();
        let field = |part| path(part).map(|path| Field::new(&path, last.unwrap_or_default()));
        let mut extractor = Extractor {
            message: field(Part::Message),
            template: field(Part::Template),
            ts: field(Part::Ts),
            level: field(Part::Level),
            component: field(Part::Component),
            source: field(Part::Source),
            readings: detector.readings,
            timezone: detector.options.timezone.clone(),
            is_plain: false,
        };
        let is_time = |field: &Field| matches!(field.oid, pg_sys::TIMESTAMPTZOID | pg_sys::TIMESTAMPOID);
        extractor.is_plain = !is_converted()
            && extractor.judged().all(Field::is_text)
            && extractor.ts.as_ref().is_none_or(is_time);
        extractor
    }

    /// The fields of what is judged.
    fn judged(&self) -> impl Iterator<Item = &Field> {
        [&self.template, &self.message, &self.level, &self.component, &self.source].into_iter().flatten()
    }

    /// Whether [`Self::untimed`] calls nothing that may fail, and [`Self::line`] would not fail either.
    ///
    /// # Safety
    /// As [`Self::line`].
    pub unsafe fn is_plain(&self, slot: *mut pg_sys::TupleTableSlot) -> bool {
        // Far from the ends of the range no time zone leads out of it.
        const FAR: std::ops::Range<i64> = -(1 << 57)..1 << 57;
        // SAFETY: the caller's; the data are of a text type and of a type that is 64 bits wide.
        let is_plain =
            |field: &Field| unsafe { field.datum(slot).is_none_or(|datum| plain_bytes(datum).is_some()) };
        let is_time = |field: &Field| unsafe {
            field.datum(slot).is_none_or(|datum| FAR.contains(&(datum.value() as i64)))
        };
        self.is_plain && self.judged().all(is_plain) && self.ts.as_ref().is_none_or(is_time)
    }

    /// The line of a row.
    ///
    /// # Safety
    /// The slot holds a row of the relation that the extractor was made for, and holds it for `'a`.
    pub unsafe fn line<'a>(&self, slot: *mut pg_sys::TupleTableSlot) -> Line<'a> {
        // SAFETY: the caller's.
        unsafe {
            let line = self.untimed(slot);
            Line { ts: self.ts(slot), ..line }
        }
    }

    /// The line of a row without its time, which the model does not ask for.
    ///
    /// # Safety
    /// As [`Self::line`].
    pub unsafe fn untimed<'a>(&self, slot: *mut pg_sys::TupleTableSlot) -> Line<'a> {
        // SAFETY: the caller's.
        let text = |field: &Option<Field>| field.as_ref().and_then(|field| unsafe { field.text(slot) });
        Line {
            template: text(&self.template),
            message: text(&self.message),
            ts: None,
            level: self.readings.level(text(&self.level)),
            component: self.readings.component(text(&self.component)),
            source: text(&self.source),
        }
    }

    /// # Safety
    /// As [`Self::line`].
    unsafe fn ts(&self, slot: *mut pg_sys::TupleTableSlot) -> Option<TimestampWithTimeZone> {
        let field = self.ts.as_ref()?;
        let zone = || self.timezone.as_str().into_datum();
        // SAFETY: each function takes what it is given.
        unsafe {
            match field.oid {
                pg_sys::TIMESTAMPTZOID => TimestampWithTimeZone::from_datum(field.datum(slot)?, false),
                pg_sys::TIMESTAMPOID => {
                    pgrx::direct_function_call(pg_sys::timestamp_zone, &[zone(), Some(field.datum(slot)?)])
                }
                pg_sys::DATEOID => {
                    let midnight: pgrx::datum::Timestamp =
                        pgrx::direct_function_call(pg_sys::date_timestamp, &[Some(field.datum(slot)?)])?;
                    pgrx::direct_function_call(pg_sys::timestamp_zone, &[zone(), midnight.into_datum()])
                }
                _ => parse(&field.text(slot)?, &self.timezone),
            }
        }
    }
}
