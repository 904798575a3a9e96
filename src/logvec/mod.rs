//! The type `logvec`: an engine's sparse vector as a PostgreSQL datum.
//!
//! On disk, after detoasting, in the byte order of the machine:
//!
//! | bytes | meaning |
//! |---|---|
//! | 4 | varlena header |
//! | 2 | format version, 1 |
//! | 2 | flags, 0 |
//! | 4 | dimensions |
//! | 4 × n | indices, 0-based, ascending |
//! | 4 × n | values, finite, non-zero |
//!
//! The length tells n. Equal vectors have equal bytes.
use std::marker::PhantomData;
use std::ptr::NonNull;

use logintel_core::Error;
use logintel_core::sparse::{SparseRef, SparseVec};
use pgrx::callconv::{Arg, ArgAbi, BoxRet, FcInfo};
use pgrx::pgrx_sql_entity_graph::metadata::{
    ArgumentError, ReturnsError, ReturnsRef, SqlMappingRef, SqlTranslatable, TypeOrigin,
};
use pgrx::prelude::*;
use pgrx::{datum::UnboxDatum, pg_sys};

use crate::error::raise;

pub mod aggregate;
pub mod cast;
pub mod io;
pub mod ops;

const VERSION: u16 = 1;

#[repr(C)]
struct Header {
    varlena: u32,
    version: u16,
    flags: u16,
    dim: u32,
}

/// Bytes of one non-zero: its index and its value.
const ELEMENT: usize = 8;

/// A `logvec`, as an argument (borrowed from PostgreSQL, detoasted where needed) or as a result.
///
/// Take it as an argument and read it with [`LogVec::as_ref`]; return `SparseVec::into()`. A detoasted copy is
/// released when it goes out of scope, a result is handed over to PostgreSQL.
pub struct LogVec<'a> {
    header: NonNull<Header>,
    /// The memory is ours to release: a detoasted copy, or a result that nobody has taken yet.
    owned: bool,
    source: PhantomData<&'a ()>,
}

impl LogVec<'_> {
    /// The vector.
    pub fn as_ref(&self) -> SparseRef<'_> {
        let nnz = (self.size() - size_of::<Header>()) / ELEMENT;
        // SAFETY: `from_datum` and `from` make sure that the header is followed by nnz indices and nnz values, all
        // initialised; every field is four bytes wide, and PostgreSQL aligns the type to four bytes.
        unsafe {
            let indices = self.header.add(1).cast::<u32>();
            let values = indices.add(nnz).cast::<f32>();
            SparseRef {
                dim: self.header.as_ref().dim,
                indices: std::slice::from_raw_parts(indices.as_ptr(), nnz),
                values: std::slice::from_raw_parts(values.as_ptr(), nnz),
            }
        }
    }

    /// The bytes after the varlena header. Equal vectors have equal bytes.
    fn payload(&self) -> &[u8] {
        let start = size_of::<u32>();
        // SAFETY: the datum is `size` bytes long, all initialised.
        unsafe {
            std::slice::from_raw_parts(self.header.as_ptr().cast::<u8>().add(start), self.size() - start)
        }
    }

    /// Bytes of the whole datum.
    fn size(&self) -> usize {
        // SAFETY: the header is that of an uncompressed, four-byte varlena.
        unsafe { pgrx::varsize_4b(self.header.as_ptr().cast()) }
    }

    /// Reads a datum, which may be toasted.
    ///
    /// # Safety
    /// The datum is a non-NULL `logvec`, and lives as long as the result.
    unsafe fn detoast(datum: pg_sys::Datum) -> Self {
        let stored: *mut pg_sys::varlena = datum.cast_mut_ptr();
        // SAFETY: the caller gives a varlena datum.
        let plain = unsafe { pg_sys::pg_detoast_datum(stored) };
        let Some(header) = NonNull::new(plain).map(NonNull::cast::<Header>) else {
            raise(&corrupt("it is a null pointer"))
        };
        let vector = LogVec { header, owned: plain != stored, source: PhantomData };
        vector.check();
        vector
    }

    /// That the header is one of ours. The elements were checked when they came in.
    fn check(&self) {
        let size = self.size();
        if size < size_of::<Header>() || !(size - size_of::<Header>()).is_multiple_of(ELEMENT) {
            raise(&corrupt("its length is not that of its elements"));
        }
        // SAFETY: the datum is long enough for a header.
        let header = unsafe { self.header.as_ref() };
        if header.version != VERSION {
            raise(&Error::FormatVersion { what: "logvec", found: header.version, known: VERSION });
        }
        if header.flags != 0 {
            raise(&corrupt("it has flags that are not known here"));
        }
    }

    fn into_raw(self) -> pg_sys::Datum {
        std::mem::ManuallyDrop::new(self).header.as_ptr().into()
    }
}

fn corrupt(why: &str) -> Error {
    Error::Corrupt { what: "logvec", why: why.to_owned() }
}

impl From<SparseRef<'_>> for LogVec<'static> {
    /// A new datum in the current memory context.
    fn from(vector: SparseRef<'_>) -> Self {
        let nnz = vector.nnz();
        let size = size_of::<Header>() + nnz * ELEMENT;
        // SAFETY: palloc returns `size` bytes aligned to eight, or raises an ERROR; every byte is written.
        unsafe {
            let header = NonNull::new_unchecked(pg_sys::palloc(size).cast::<Header>());
            header.write(Header { varlena: 0, version: VERSION, flags: 0, dim: vector.dim });
            pgrx::set_varsize_4b(header.as_ptr().cast(), size as i32);
            let indices = header.add(1).cast::<u32>();
            indices.copy_from_nonoverlapping(slice_start(vector.indices), nnz);
            indices.add(nnz).cast::<f32>().copy_from_nonoverlapping(slice_start(vector.values), nnz);
            LogVec { header, owned: true, source: PhantomData }
        }
    }
}

fn slice_start<T>(slice: &[T]) -> NonNull<T> {
    NonNull::from(slice).cast()
}

impl From<SparseVec> for LogVec<'static> {
    fn from(vector: SparseVec) -> Self {
        vector.as_ref().into()
    }
}

impl Drop for LogVec<'_> {
    fn drop(&mut self) {
        if self.owned {
            // SAFETY: the memory was allocated for this value, and nobody else has it.
            unsafe { pg_sys::pfree(self.header.as_ptr().cast()) }
        }
    }
}

impl FromDatum for LogVec<'_> {
    unsafe fn from_polymorphic_datum(datum: pg_sys::Datum, is_null: bool, _: pg_sys::Oid) -> Option<Self> {
        // SAFETY: the caller gives a `logvec` datum.
        (!is_null).then(|| unsafe { Self::detoast(datum) })
    }
}

impl IntoDatum for LogVec<'_> {
    fn into_datum(self) -> Option<pg_sys::Datum> {
        Some(self.into_raw())
    }

    fn type_oid() -> pg_sys::Oid {
        pgrx::wrappers::regtypein("logintel.logvec")
    }
}

// SAFETY: `detoast` reads what PostgreSQL stores for the type.
unsafe impl UnboxDatum for LogVec<'_> {
    type As<'src>
        = LogVec<'src>
    where
        Self: 'src;

    unsafe fn unbox<'src>(datum: pgrx::datum::Datum<'src>) -> Self::As<'src>
    where
        Self: 'src,
    {
        // SAFETY: the caller gives a non-NULL `logvec` datum.
        unsafe { LogVec::detoast(datum.sans_lifetime()) }
    }
}

// SAFETY: as for `UnboxDatum`.
unsafe impl<'fcx> ArgAbi<'fcx> for LogVec<'fcx> {
    unsafe fn unbox_arg_unchecked(arg: Arg<'_, 'fcx>) -> Self {
        let index = arg.index();
        // SAFETY: the caller gives a `logvec` argument.
        unsafe { arg.unbox_arg_using_from_datum() }
            .unwrap_or_else(|| panic!("argument {index} must not be null"))
    }
}

// SAFETY: the datum is a `logvec` in the caller's memory context, or the argument itself.
unsafe impl BoxRet for LogVec<'_> {
    unsafe fn box_into<'fcx>(self, fcinfo: &mut FcInfo<'fcx>) -> pgrx::datum::Datum<'fcx> {
        // SAFETY: as above.
        unsafe { fcinfo.return_raw_datum(self.into_raw()) }
    }
}

// SAFETY: it is the SQL type that `sql/logvec_type.sql` creates.
unsafe impl SqlTranslatable for LogVec<'_> {
    const TYPE_IDENT: &'static str = pgrx::pgrx_resolved_type!(LogVec);
    const TYPE_ORIGIN: TypeOrigin = TypeOrigin::ThisExtension;
    const ARGUMENT_SQL: Result<SqlMappingRef, ArgumentError> = Ok(SqlMappingRef::literal("logvec"));
    const RETURN_SQL: Result<ReturnsRef, ReturnsError> =
        Ok(ReturnsRef::One(SqlMappingRef::literal("logvec")));
}
