//! `logvec` as other types.
use std::ffi::CString;
use std::ptr::NonNull;

use logintel_core::sparse::SparseRef;
use pgrx::callconv::{BoxRet, FcInfo};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;
use pgrx::{direct_function_call_as_datum, pg_sys};

use super::LogVec;
use crate::error::fail;

/// Most elements of any PostgreSQL array (`MaxArraySize`).
const MAX_ARRAY_SIZE: u32 = 0x3fff_ffff / 8;

/// The dense array of all components.
#[pg_extern(immutable, strict, parallel_safe, cost = 50)]
fn logvec_to_real_array(vec: LogVec<'_>) -> RealArray {
    RealArray::dense(vec.as_ref())
}

/// `{"dim":126,"indices":[1,7],"values":[0.5,0.25]}`.
#[pg_extern(immutable, strict, parallel_safe, cost = 50)]
fn logvec_to_jsonb(vec: LogVec<'_>) -> JsonbText {
    JsonbText(vec.as_ref().to_json())
}

/// A `real[]` that is written in place: a dense vector may be large.
struct RealArray(NonNull<pg_sys::ArrayType>);

impl RealArray {
    fn dense(vector: SparseRef<'_>) -> Self {
        if vector.dim > MAX_ARRAY_SIZE {
            fail(
                PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED,
                format!(
                    "a logvec of {} dimensions does not fit an array of at most {MAX_ARRAY_SIZE}",
                    vector.dim
                ),
                "Cast it to jsonb, which holds the non-zero elements only.",
            );
        }
        let header = size_of::<pg_sys::ArrayType>() + 2 * size_of::<i32>();
        let size = header + vector.dim as usize * size_of::<f32>();
        // SAFETY: palloc0 returns `size` zeroed bytes, below 1 GB, or raises an ERROR. An array of one dimension is
        // its header, its length, its lower bound, and the elements; the engine's indices are below `dim`.
        unsafe {
            let array = NonNull::new_unchecked(pg_sys::palloc0(size).cast::<pg_sys::ArrayType>());
            pgrx::set_varsize_4b(array.as_ptr().cast(), size as i32);
            (*array.as_ptr()).ndim = 1;
            (*array.as_ptr()).elemtype = pg_sys::FLOAT4OID;
            let bounds = array.add(1).cast::<i32>();
            bounds.write(vector.dim as i32);
            bounds.add(1).write(1);
            let elements = bounds.add(2).cast::<f32>();
            for (&index, &value) in vector.indices.iter().zip(vector.values) {
                elements.add(index as usize).write(value);
            }
            RealArray(array)
        }
    }
}

// SAFETY: the datum is a `real[]` in the caller's memory context.
unsafe impl BoxRet for RealArray {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: as above.
        unsafe { fcinfo.return_raw_datum(self.0.as_ptr().into()) }
    }
}

// SAFETY: it is PostgreSQL's `real[]`.
unsafe impl SqlTranslatable for RealArray {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(RealArray);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("real[]"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("real[]")));
}

/// JSON text on its way to a `jsonb`. Unlike pgrx's `JsonB` it keeps the digits of a number as they are written.
struct JsonbText(String);

// SAFETY: the datum is what `jsonb_in` returns.
unsafe impl BoxRet for JsonbText {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        let text = CString::new(self.0).expect("JSON has no zero byte");
        // SAFETY: `jsonb_in` takes a C string.
        unsafe {
            match direct_function_call_as_datum(pg_sys::jsonb_in, &[Some(text.as_ptr().into())]) {
                Some(datum) => fcinfo.return_raw_datum(datum),
                None => fcinfo.return_null(),
            }
        }
    }
}

// SAFETY: it is PostgreSQL's `jsonb`.
unsafe impl SqlTranslatable for JsonbText {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(JsonbText);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::External;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("jsonb"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> = Ok(ReturnsRef::One(SqlMappingRef::literal("jsonb")));
}
