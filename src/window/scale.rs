//! `standard_scale`, declared in `sql/window.sql`.
use logintel_core::Error;
use logintel_core::control::Control;
use logintel_core::scale::{ColumnScale, StandardScaler, scale};
use logintel_core::sparse::CsrMatrix;
use pgrx::pg_sys;
use pgrx::prelude::*;

use super::WindowPartition;
use crate::control::Session;
use crate::error::{OrRaise, raise};
use crate::logvec::LogVec;
use crate::progress::Progress;

/// Each component divided by its population standard deviation over the partition.
#[pg_extern(sql = false)]
fn standard_scale(fcinfo: pg_sys::FunctionCallInfo) -> Option<LogVec<'static>> {
    // SAFETY: fcinfo is that of this call.
    let partition = unsafe { WindowPartition::of_call(fcinfo) };
    let columns = partition.once::<ColumnScale>(|| {
        let _progress = Progress::begin("standard_scale");
        let Some(vectors) = vectors(&partition, &Session) else { return Vec::new() };
        StandardScaler::fit(&vectors, &Session).or_raise().columns().to_vec()
    });
    // SAFETY: argument 0 is a logvec.
    let vec = unsafe { partition.current::<LogVec<'_>>(0) }?;
    Some(scale(columns, vec.as_ref()).or_raise().into())
}

/// The vectors of the partition that are not NULL, if there are any.
fn vectors(partition: &WindowPartition, control: &dyn Control) -> Option<CsrMatrix> {
    let mut matrix = None::<CsrMatrix>;
    let allowed = control.memory();
    // SAFETY: argument 0 is a logvec; its entries are copied.
    unsafe {
        partition.for_each::<LogVec<'_>>(0, |vec| {
            let Some(vec) = vec else { return };
            let row = vec.as_ref();
            let matrix = matrix.get_or_insert_with(|| CsrMatrix::new(row.dim));
            // A vector that grows holds its old and its doubled room at once.
            let needed = (matrix.bytes() + row.nnz() as u64 * 8) * 3;
            if needed > allowed {
                raise(&Error::Memory { what: "the partition", needed, allowed });
            }
            matrix.push(row).or_raise();
        });
    }
    matrix
}
