//! PostgreSQL's memory contexts as an allocator for the engine's collections.
//!
//! What lives here is seen by `work_mem` accounting (a hash aggregate spills instead of growing without bound), goes
//! away with its context, and fails as an error rather than by aborting the process.
use std::alloc::Layout;
use std::ptr::NonNull;

use allocator_api2::alloc::{AllocError, Allocator};
use pgrx::pg_sys;

/// Allocates in one memory context.
#[derive(Debug, Clone, Copy)]
pub struct ContextMemory(pg_sys::MemoryContext);

/// Before each allocation stands the address that PostgreSQL gave, because palloc aligns to no more than eight bytes.
const ORIGIN: usize = size_of::<usize>();

impl ContextMemory {
    /// # Safety
    /// The context outlives every use of what is allocated here; only the main thread allocates.
    pub unsafe fn new(context: pg_sys::MemoryContext) -> Self {
        ContextMemory(context)
    }

    /// Moves a value into the context. Its destructor never runs: it may own nothing but memory of this context.
    pub fn leak<T>(self, value: T) -> NonNull<T> {
        const { assert!(align_of::<T>() <= 8) };
        // SAFETY: the context is valid; MemoryContextAlloc returns enough bytes, aligned to eight, or raises an ERROR.
        unsafe {
            let place =
                NonNull::new_unchecked(pg_sys::MemoryContextAlloc(self.0, size_of::<T>()).cast::<T>());
            place.write(value);
            place
        }
    }
}

// SAFETY: an allocation stays valid until it is released or its context goes away, which the maker of the
// ContextMemory has promised not to outlive; copies allocate in the same context.
unsafe impl Allocator for ContextMemory {
    fn allocate(&self, layout: Layout) -> Result<NonNull<[u8]>, AllocError> {
        let size = layout.size().checked_add(ORIGIN + layout.align()).ok_or(AllocError)?;
        if size > MAX_ALLOC_SIZE {
            return Err(AllocError);
        }
        // SAFETY: the context is valid and the size allowed; with NO_OOM a failure is a null pointer.
        unsafe {
            let flags = pg_sys::MCXT_ALLOC_NO_OOM as i32;
            let origin = pg_sys::MemoryContextAllocExtended(self.0, size, flags).cast::<u8>();
            if origin.is_null() {
                return Err(AllocError);
            }
            let start = origin.add(ORIGIN);
            let start = start.add(start.align_offset(layout.align()));
            start.sub(ORIGIN).cast::<[u8; ORIGIN]>().write(origin.expose_provenance().to_ne_bytes());
            Ok(NonNull::slice_from_raw_parts(NonNull::new_unchecked(start), layout.size()))
        }
    }

    unsafe fn deallocate(&self, start: NonNull<u8>, _layout: Layout) {
        // SAFETY: `allocate` wrote the origin before the start.
        unsafe {
            let origin = usize::from_ne_bytes(start.sub(ORIGIN).cast::<[u8; ORIGIN]>().read());
            pg_sys::pfree(std::ptr::with_exposed_provenance_mut(origin));
        }
    }
}

/// Most bytes of one palloc (`MaxAllocSize`).
pub const MAX_ALLOC_SIZE: usize = 0x3fff_ffff;
