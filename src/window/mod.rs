//! Window functions: a safe hold on the partition, and the functions of the toolbox that need one.
//!
//! Each computes its whole partition at the first row and stores one plain value for each row, or for each column,
//! in memory that PostgreSQL keeps with the partition; the other rows look theirs up. Only the first argument is read
//! for every row; the others must be constant over the partition and are read at its first row.
use std::ptr::NonNull;

use logintel_core::Error;
use logintel_core::control::Control;
use logintel_core::scale::ColumnScale;
use pgrx::prelude::*;
use pgrx::{FromDatum, PgMemoryContexts, pg_sys};

use crate::control::Session;
use crate::error::{fail, raise};
use crate::memory::MAX_ALLOC_SIZE;

mod cluster;
mod scale;
mod template;

type WindowObject = *mut pg_sys::WindowObjectData;

// PostgreSQL's windowapi.h, for which pgrx has no bindings.
unsafe extern "C-unwind" {
    fn WinGetPartitionLocalMemory(window: WindowObject, size: usize) -> *mut u8;
    fn WinGetCurrentPosition(window: WindowObject) -> i64;
    fn WinGetPartitionRowCount(window: WindowObject) -> i64;
    fn WinGetFuncArgInPartition(
        window: WindowObject,
        argument: i32,
        position: i32,
        seek: i32,
        set_mark: bool,
        is_null: *mut bool,
        is_out: *mut bool,
    ) -> pg_sys::Datum;
    fn WinGetFuncArgCurrent(window: WindowObject, argument: i32, is_null: *mut bool) -> pg_sys::Datum;
}

/// Rows from one report of progress to the next.
const ROWS_BETWEEN_REPORTS: i32 = 1024;
/// Positions count from the first row of the partition.
const WINDOW_SEEK_HEAD: i32 = 1;

/// The partition that a window function is called for.
pub struct WindowPartition {
    window: WindowObject,
}

/// Values that may lie in partition-local memory: no destructor, and any bytes are valid.
///
/// # Safety
/// All bit patterns are values, the alignment is at most eight, and nothing is lost when the memory goes away.
pub unsafe trait Plain: Copy {}
// SAFETY: numbers.
unsafe impl Plain for u8 {}
// SAFETY: numbers.
unsafe impl Plain for i32 {}
// SAFETY: numbers.
unsafe impl Plain for u32 {}
// SAFETY: numbers, without padding.
unsafe impl Plain for ColumnScale {}

impl WindowPartition {
    /// The partition of the running call.
    ///
    /// # Safety
    /// `fcinfo` is that of the running call, and outlives the result.
    pub unsafe fn of_call(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: the context of a call is null or a node.
        unsafe {
            let window = (*fcinfo).context;
            if window.is_null() || (*window).type_ != pg_sys::NodeTag::T_WindowObjectData {
                let message = "this function works only as a window function";
                fail(PgSqlErrorCode::ERRCODE_WINDOWING_ERROR, message, "Call it with OVER (...).");
            }
            WindowPartition { window: window.cast() }
        }
    }

    /// Rows of the partition.
    pub fn rows(&self) -> usize {
        // SAFETY: `of_call` checked the window object.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| WinGetPartitionRowCount(self.window)) as usize }
    }

    /// 0-based position of the current row.
    pub fn position(&self) -> usize {
        // SAFETY: as above.
        unsafe { pg_sys::ffi::pg_guard_ffi_boundary(|| WinGetCurrentPosition(self.window)) as usize }
    }

    /// Argument `argument` of the current row; `None` for NULL.
    ///
    /// # Safety
    /// The argument has the SQL type of `T`.
    pub unsafe fn current<T: FromDatum>(&self, argument: i32) -> Option<T> {
        let mut is_null = false;
        // SAFETY: as above, and the caller knows the type.
        unsafe {
            let datum = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                WinGetFuncArgCurrent(self.window, argument, &raw mut is_null)
            });
            T::from_datum(datum, is_null)
        }
    }

    /// Calls `visit` with argument `argument` of every row in order, `None` for NULL. What a row needs of PostgreSQL's
    /// memory is released before the next.
    ///
    /// # Safety
    /// The argument has the SQL type of `T`, and `visit` keeps nothing of it.
    pub unsafe fn for_each<T: FromDatum>(&self, argument: i32, mut visit: impl FnMut(Option<T>)) {
        let rows = self.rows();
        // Relative positions of the window API are int.
        let Ok(rows) = i32::try_from(rows) else {
            let message = format!("a partition of {rows} rows is too large for a window function");
            fail(PgSqlErrorCode::ERRCODE_PROGRAM_LIMIT_EXCEEDED, message, "Divide it with PARTITION BY.");
        };
        let mut row_memory = PgMemoryContexts::new("logintel window row");
        for row in 0..rows {
            pgrx::check_for_interrupts!();
            if row % ROWS_BETWEEN_REPORTS == 0 {
                Session.progress("reading", row as u64, rows as u64);
            }
            // SAFETY: the value is dropped before its memory is reset; the caller knows the type.
            unsafe {
                row_memory.switch_to(|_| visit(self.argument_at(argument, row)));
                row_memory.reset();
            }
        }
    }

    /// # Safety
    /// The argument has the SQL type of `T`.
    unsafe fn argument_at<T: FromDatum>(&self, argument: i32, row: i32) -> Option<T> {
        let (mut is_null, mut is_out) = (false, false);
        let (null, out) = (&raw mut is_null, &raw mut is_out);
        // SAFETY: `of_call` checked the window object; without a mark, no row of the partition is forgotten.
        unsafe {
            let datum = pg_sys::ffi::pg_guard_ffi_boundary(|| {
                WinGetFuncArgInPartition(self.window, argument, row, WINDOW_SEEK_HEAD, false, null, out)
            });
            T::from_datum(datum, is_null || is_out)
        }
    }

    /// What `compute` returns at the first row of the partition, kept for the others.
    pub fn once<T: Plain>(&self, compute: impl FnOnce() -> Vec<T>) -> &[T] {
        if self.position() == 0 {
            self.store(&compute());
        }
        self.stored()
    }

    /// That `count` results can be kept with the partition; asked before they are computed.
    pub fn check_room<T: Plain>(count: usize) {
        let needed = (STORED_HEADER + count * size_of::<T>()) as u64;
        let allowed = MAX_ALLOC_SIZE as u64;
        if needed > allowed {
            raise(&Error::Memory { what: "the results of the partition", needed, allowed });
        }
    }

    fn store<T: Plain>(&self, values: &[T]) {
        Self::check_room::<T>(values.len());
        let size = STORED_HEADER + size_of_val(values);
        let start = self.local_memory(size);
        // SAFETY: the memory is `size` bytes, aligned to eight.
        unsafe {
            start.cast::<u64>().write(values.len() as u64);
            start
                .add(STORED_HEADER)
                .cast::<T>()
                .copy_from_nonoverlapping(NonNull::from(values).cast(), values.len());
        }
    }

    fn stored<T: Plain>(&self) -> &[T] {
        let start = self.local_memory(STORED_HEADER);
        // SAFETY: fresh memory is zeroed, so it holds no values; otherwise `store` wrote their number and them.
        unsafe {
            let count = start.cast::<u64>().read() as usize;
            std::slice::from_raw_parts(start.add(STORED_HEADER).cast::<T>().as_ptr(), count)
        }
    }

    /// The partition's memory for this call: made with `size` zeroed bytes by the first request, the same after that.
    fn local_memory(&self, size: usize) -> NonNull<u8> {
        // SAFETY: as above; PostgreSQL returns the memory or raises an ERROR.
        unsafe {
            NonNull::new_unchecked(pg_sys::ffi::pg_guard_ffi_boundary(|| {
                WinGetPartitionLocalMemory(self.window, size)
            }))
        }
    }
}

/// The number of values stands before them.
const STORED_HEADER: usize = size_of::<u64>();
