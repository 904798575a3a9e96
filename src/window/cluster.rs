//! `dbscan_cluster`, declared in `sql/window.sql`.
use logintel_core::control::Control;
use logintel_core::dbscan::Dbscan;
use logintel_core::distinct::Distinct;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::WindowPartition;
use crate::control::Session;
use crate::error::{OrRaise, fail};
use crate::logvec::LogVec;
use crate::progress::Progress;

/// Stored for a row that is in no cluster.
const NOISE: i32 = -1;

/// The DBSCAN cluster of each row by cosine distance; noise and NULL vectors are NULL.
#[pg_extern(sql = false)]
fn dbscan_cluster(fcinfo: pg_sys::FunctionCallInfo) -> Option<i32> {
    // SAFETY: fcinfo is that of this call.
    let partition = unsafe { WindowPartition::of_call(fcinfo) };
    let clusters = partition.once::<i32>(|| {
        let dbscan = Dbscan { eps: eps(&partition), min_points: min_points(&partition) };
        let _progress = Progress::begin("dbscan_cluster");
        cluster(&partition, &Session, |rows| {
            let labels = dbscan.fit(&rows.rows, &rows.weights, &Session).or_raise();
            labels.labels.iter().map(|label| label.map_or(NOISE, |cluster| cluster as i32)).collect()
        })
    });
    clusters.get(partition.position()).copied().filter(|&cluster| cluster != NOISE)
}

/// Argument 1.
fn eps(partition: &WindowPartition) -> f64 {
    // SAFETY: the argument is a float8.
    match unsafe { partition.current::<f64>(1) } {
        Some(eps) if eps.is_finite() && eps >= 0.0 => eps,
        eps => {
            let given = eps.map_or("NULL".to_owned(), |eps| eps.to_string());
            invalid(&format!("eps must be a finite number of at least 0, not {given}"))
        }
    }
}

/// Argument 2.
fn min_points(partition: &WindowPartition) -> u32 {
    // SAFETY: the argument is an int4.
    match unsafe { partition.current::<i32>(2) } {
        Some(count @ 1..) => count.cast_unsigned(),
        count => {
            let given = count.map_or("NULL".to_owned(), |count| count.to_string());
            invalid(&format!("min_points must be at least 1, not {given}"))
        }
    }
}

fn invalid(message: &str) -> ! {
    let hint =
        "eps is a cosine distance, min_points counts the point itself; both are constant over the partition.";
    fail(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, hint)
}

/// One cluster for each row of the partition, from what `label` says of each distinct vector.
fn cluster(
    partition: &WindowPartition,
    control: &dyn Control,
    label: impl FnOnce(&logintel_core::distinct::DistinctRows) -> Vec<i32>,
) -> Vec<i32> {
    let rows = partition.rows();
    WindowPartition::check_room::<i32>(rows);
    let mut distinct = None::<Distinct>;
    let mut is_null = Vec::with_capacity(rows);
    // SAFETY: argument 0 is a logvec; its entries are copied.
    unsafe {
        partition.for_each::<LogVec<'_>>(0, |vec| {
            is_null.push(vec.is_none());
            let Some(vec) = vec else { return };
            let row = vec.as_ref();
            distinct.get_or_insert_with(|| Distinct::new(row.dim)).push(row, control).or_raise();
        });
    }
    let Some(distinct) = distinct.map(Distinct::finish) else { return vec![NOISE; rows] };
    let labels = label(&distinct);
    let mut row_of = distinct.row_of.iter();
    let mut cluster = |is_null: bool| {
        if is_null { NOISE } else { row_of.next().map_or(NOISE, |&row| labels[row as usize]) }
    };
    is_null.into_iter().map(&mut cluster).collect()
}
