//! The aggregates `sum(logvec)` and `avg(logvec)`, declared in `sql/logvec.sql`.
//!
//! The state is the engine's running sum, in the memory context of the aggregate.
use logintel_core::accumulate::VectorSum;
use pgrx::prelude::*;
use pgrx::{Internal, pg_sys};

use super::LogVec;
use crate::error::{OrRaise, fail};
use crate::memory::ContextMemory;

type State = VectorSum<ContextMemory>;

/// The memory that lives as long as the group.
fn group_memory(fcinfo: pg_sys::FunctionCallInfo) -> ContextMemory {
    let mut context = std::ptr::null_mut();
    // SAFETY: fcinfo is that of the running call; the context outlives the state in it.
    unsafe {
        if pg_sys::AggCheckCallContext(fcinfo, &raw mut context) == 0 {
            let message = "this function works only as part of an aggregate";
            fail(PgSqlErrorCode::ERRCODE_OBJECT_NOT_IN_PREREQUISITE_STATE, message, "Call sum() or avg().");
        }
        ContextMemory::new(context)
    }
}

/// The state, made if there is none yet.
fn state_in(internal: &mut Internal, memory: ContextMemory) -> &mut State {
    if !internal.initialized() {
        *internal = Internal::from(Some(memory.leak(State::new_in(memory)).as_ptr().into()));
    }
    // SAFETY: SQL cannot pass an `internal`, so it is a state of this aggregate.
    unsafe { internal.get_mut() }.expect("the state was just made")
}

fn state(internal: &Internal) -> Option<&State> {
    // SAFETY: as above.
    unsafe { internal.get() }
}

#[pg_extern(sql = false)]
fn logvec_accum(mut sum: Internal, vec: Option<LogVec<'_>>, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    let memory = group_memory(fcinfo);
    if let Some(vec) = vec {
        state_in(&mut sum, memory).add(vec.as_ref()).or_raise();
    }
    sum
}

#[pg_extern(sql = false)]
fn logvec_combine(mut sum: Internal, other: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    let memory = group_memory(fcinfo);
    if let Some(other) = state(&other) {
        state_in(&mut sum, memory).merge(other).or_raise();
    }
    sum
}

#[pg_extern(sql = false)]
fn logvec_serialize(sum: Internal) -> Option<Vec<u8>> {
    state(&sum).map(State::to_bytes)
}

#[pg_extern(sql = false)]
fn logvec_deserialize(bytes: &[u8], _state: Internal, fcinfo: pg_sys::FunctionCallInfo) -> Internal {
    group_memory(fcinfo);
    // SAFETY: what is read here is combined at once, so it may live and go with the current context.
    let memory = unsafe { ContextMemory::new(pg_sys::CurrentMemoryContext) };
    let sum = State::from_bytes_in(bytes, memory).or_raise();
    Internal::from(Some(memory.leak(sum).as_ptr().into()))
}

#[pg_extern(sql = false)]
fn logvec_sum(sum: Internal) -> Option<LogVec<'static>> {
    state(&sum)?.sum().or_raise().map(LogVec::from)
}

#[pg_extern(sql = false)]
fn logvec_avg(sum: Internal) -> Option<LogVec<'static>> {
    state(&sum)?.mean().or_raise().map(LogVec::from)
}
