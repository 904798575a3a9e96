//! The columns that scoring fills in a row of its own table, before it is stored: `is_anomaly`, `anomaly_score`,
//! `anomaly_reason` and `cluster_id`, of the types that can hold them.
//!
//! What is filled must be what the column could be given: a `varchar(5)` gets five characters, a domain's CHECK is asked, and a
//! column that may not be NULL keeps what the row has where there is nothing to say.
use std::ffi::CStr;

use logintel_core::detect::Judgement;
use pgrx::PgTupleDesc;
use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::text::{from_name, to_c_string};

/// What a column is filled with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Part {
    IsAnomaly,
    Score,
    Reason,
    Cluster,
}

impl Part {
    /// By the name of its column, which is looked at for each row: without copying it.
    fn of_column(attribute: &pg_sys::FormData_pg_attribute) -> Option<Self> {
        const PARTS: [(&CStr, Part); 4] = [
            (c"is_anomaly", Part::IsAnomaly),
            (c"anomaly_score", Part::Score),
            (c"anomaly_reason", Part::Reason),
            (c"cluster_id", Part::Cluster),
        ];
        // SAFETY: a name ends in a zero byte.
        let name = unsafe { CStr::from_ptr(attribute.attname.data.as_ptr()) };
        PARTS.iter().find(|(known, _)| *known == name).map(|&(_, part)| part)
    }

    /// Whether a type, without its domains, can hold it.
    fn fits(self, base: pg_sys::Oid) -> bool {
        match self {
            Part::IsAnomaly => base == pg_sys::BOOLOID,
            Part::Score => [pg_sys::FLOAT8OID, pg_sys::FLOAT4OID, pg_sys::NUMERICOID].contains(&base),
            Part::Reason => {
                [pg_sys::TEXTOID, pg_sys::VARCHAROID, pg_sys::BPCHAROID, pg_sys::NAMEOID].contains(&base)
            }
            Part::Cluster => {
                [pg_sys::INT4OID, pg_sys::INT8OID, pg_sys::INT2OID, pg_sys::NUMERICOID].contains(&base)
            }
        }
    }
}

/// A column that is filled.
struct Column {
    number: i32,
    part: Part,
    type_oid: pg_sys::Oid,
    typmod: i32,
    base: pg_sys::Oid,
    base_typmod: i32,
    may_be_null: bool,
}

/// The columns that are filled, and the names of those that would be if their type could hold it.
fn columns(description: &PgTupleDesc<'_>) -> (Vec<Column>, Vec<String>) {
    let (mut filled, mut unfit) = (Vec::new(), Vec::new());
    for attribute in description.iter().filter(|attribute| !attribute.is_dropped()) {
        let Some(part) = Part::of_column(attribute) else { continue };
        let mut base_typmod = attribute.atttypmod;
        // SAFETY: looks a type up that a column has.
        let base = unsafe { pg_sys::getBaseTypeAndTypmod(attribute.atttypid, &raw mut base_typmod) };
        // What a generated column holds is its table's business.
        if !part.fits(base) || attribute.attgenerated != 0 {
            unfit.push(from_name(&attribute.attname));
            continue;
        }
        filled.push(Column {
            number: i32::from(attribute.attnum),
            part,
            type_oid: attribute.atttypid,
            typmod: attribute.atttypmod,
            base,
            base_typmod,
            // Whether a domain may be NULL, only its CHECKs know.
            may_be_null: !attribute.attnotnull && base == attribute.atttypid,
        });
    }
    (filled, unfit)
}

/// Whether a table has a column that is filled, and the names of those that look like it and are not.
pub fn look_at(description: &PgTupleDesc<'_>) -> (bool, Vec<String>) {
    let (filled, unfit) = columns(description);
    (!filled.is_empty(), unfit)
}

/// The row with its columns filled. There is no score before the first training.
///
/// # Safety
/// `tuple` is of this description.
pub unsafe fn filled(
    tuple: pg_sys::HeapTuple,
    description: &PgTupleDesc<'_>,
    judgement: &Judgement,
    score: Option<f64>,
) -> pg_sys::HeapTuple {
    let (mut numbers, mut values, mut nulls) = (Vec::new(), Vec::new(), Vec::new());
    for column in columns(description).0 {
        let value = value(&column, judgement, score);
        if value.is_none() && !column.may_be_null {
            continue;
        }
        numbers.push(column.number);
        values.push(value.unwrap_or(pg_sys::Datum::null()));
        nulls.push(value.is_none());
    }
    if numbers.is_empty() {
        return tuple;
    }
    // SAFETY: the arrays are as long as the number of columns to fill; the row is the caller's.
    unsafe {
        pg_sys::heap_modify_tuple_by_cols(
            tuple,
            description.as_ptr(),
            numbers.len() as i32,
            numbers.as_mut_ptr(),
            values.as_mut_ptr(),
            nulls.as_mut_ptr(),
        )
    }
}

fn value(column: &Column, judgement: &Judgement, score: Option<f64>) -> Option<pg_sys::Datum> {
    // The usual types, as they are.
    if column.type_oid == column.base {
        match (column.part, column.base) {
            (Part::IsAnomaly, _) => return judgement.is_anomaly.into_datum(),
            (Part::Score, pg_sys::FLOAT8OID) => return score.into_datum(),
            (Part::Score, pg_sys::FLOAT4OID) => return score.map(|score| score as f32).into_datum(),
            (Part::Reason, pg_sys::TEXTOID) => return judgement.reason.to_string().into_datum(),
            (Part::Cluster, pg_sys::INT4OID) => {
                return judgement.cluster.map(|number| number as i32).into_datum();
            }
            (Part::Cluster, pg_sys::INT8OID) => return judgement.cluster.map(i64::from).into_datum(),
            _ => {}
        }
    }
    let text = match column.part {
        Part::IsAnomaly => judgement.is_anomaly.to_string(),
        Part::Score => score?.to_string(),
        Part::Reason => shortened(judgement.reason.to_string(), column),
        Part::Cluster => judgement.cluster?.to_string(),
    };
    let text = to_c_string(&text)?;
    let (mut input, mut parameter) = (pg_sys::Oid::INVALID, pg_sys::Oid::INVALID);
    // SAFETY: as PostgreSQL reads a literal of the column's type; what the type refuses is an ERROR, which the caller guards.
    unsafe {
        pg_sys::getTypeInputInfo(column.type_oid, &raw mut input, &raw mut parameter);
        Some(pg_sys::OidInputFunctionCall(input, text.as_ptr().cast_mut(), parameter, column.typmod))
    }
}

/// A reason, which is ASCII, cut to what the column takes.
fn shortened(mut reason: String, column: &Column) -> String {
    let is_bounded = [pg_sys::VARCHAROID, pg_sys::BPCHAROID].contains(&column.base);
    if is_bounded && column.base_typmod >= pg_sys::VARHDRSZ as i32 {
        reason.truncate(column.base_typmod as usize - pg_sys::VARHDRSZ);
    }
    reason
}
