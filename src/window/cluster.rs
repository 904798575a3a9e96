//! `dbscan_cluster` and `hdbscan_cluster`, declared in `sql/window.sql`.
use logintel_core::dbscan::{Dbscan, Labels};
use logintel_core::distinct::{Distinct, DistinctRows};
use logintel_core::hdbscan::Hdbscan;
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
    cluster(&partition, "dbscan_cluster", || {
        let dbscan = Dbscan { eps: eps(&partition), min_points: count(&partition, 2, "min_points", 1) };
        move |rows: &DistinctRows| dbscan.fit(&rows.rows, &rows.weights, &Session)
    })
}

/// The HDBSCAN* cluster of each row by cosine distance; noise and NULL vectors are NULL.
#[pg_extern(sql = false)]
fn hdbscan_cluster(fcinfo: pg_sys::FunctionCallInfo) -> Option<i32> {
    // SAFETY: fcinfo is that of this call.
    let (partition, arguments) = unsafe { (WindowPartition::of_call(fcinfo), (*fcinfo).nargs) };
    cluster(&partition, "hdbscan_cluster", || {
        let min_cluster_size = count(&partition, 1, "min_cluster_size", 2);
        let min_samples =
            if arguments > 2 { count(&partition, 2, "min_samples", 1) } else { min_cluster_size };
        let hdbscan = Hdbscan { min_cluster_size, min_samples };
        move |rows: &DistinctRows| hdbscan.fit(&rows.rows, &rows.row_of, &Session)
    })
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

/// An integer argument of at least `least`.
fn count(partition: &WindowPartition, argument: i32, name: &str, least: i32) -> u32 {
    // SAFETY: the argument is an int4.
    match unsafe { partition.current::<i32>(argument) } {
        Some(count) if count >= least => count.cast_unsigned(),
        count => {
            let given = count.map_or("NULL".to_owned(), |count| count.to_string());
            invalid(&format!("{name} must be at least {least}, not {given}"))
        }
    }
}

fn invalid(message: &str) -> ! {
    let hint = "It is constant over the partition; eps is a cosine distance, and counts of points count the point itself.";
    fail(PgSqlErrorCode::ERRCODE_INVALID_PARAMETER_VALUE, message, hint)
}

/// The cluster of the current row; at the first row of the partition, `prepare` reads the arguments and gives what
/// labels the distinct vectors.
fn cluster<F>(partition: &WindowPartition, name: &str, prepare: impl FnOnce() -> F) -> Option<i32>
where
    F: FnOnce(&DistinctRows) -> logintel_core::Result<Labels>,
{
    let clusters = partition.once::<i32>(|| {
        let fit = prepare();
        let _progress = Progress::begin(name);
        label_rows(partition, fit)
    });
    clusters.get(partition.position()).copied().filter(|&cluster| cluster != NOISE)
}

/// One cluster for each row of the partition, from what `fit` says of each distinct vector.
fn label_rows(
    partition: &WindowPartition,
    fit: impl FnOnce(&DistinctRows) -> logintel_core::Result<Labels>,
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
            distinct.get_or_insert_with(|| Distinct::new(row.dim)).push(row, &Session).or_raise();
        });
    }
    let Some(distinct) = distinct.map(Distinct::finish) else { return vec![NOISE; rows] };
    let labels = fit(&distinct).or_raise().labels;
    let mut row_of = distinct.row_of.iter();
    let mut cluster = |is_null: bool| {
        let row = if is_null { None } else { row_of.next() };
        row.and_then(|&row| labels[row as usize]).map_or(NOISE, |label| label as i32)
    };
    is_null.into_iter().map(&mut cluster).collect()
}
