//! Rows as PostgreSQL wants them: a composite for each call, or a set that spills to disk.
use pgrx::pg_sys;
use pgrx::prelude::*;

/// A value of the composite type that the function returns. The type is looked up at the first call of a call site.
///
/// # Safety
/// `fcinfo` is that of the running call; there are as many values as attributes, of their types.
pub unsafe fn form_composite(
    fcinfo: pg_sys::FunctionCallInfo,
    values: &[Option<pg_sys::Datum>],
) -> pg_sys::Datum {
    // SAFETY: the description is made in the call site's memory and lives as long as it.
    unsafe {
        let site = (*fcinfo).flinfo;
        if (*site).fn_extra.is_null() {
            let context = pg_sys::MemoryContextSwitchTo((*site).fn_mcxt);
            let mut description = std::ptr::null_mut();
            let class = pg_sys::get_call_result_type(fcinfo, std::ptr::null_mut(), &raw mut description);
            assert!(
                class == pg_sys::TypeFuncClass::TYPEFUNC_COMPOSITE,
                "the function returns a composite type"
            );
            (*site).fn_extra = pg_sys::BlessTupleDesc(pg_sys::CreateTupleDescCopy(description)).cast();
            pg_sys::MemoryContextSwitchTo(context);
        }
        let description: pg_sys::TupleDesc = (*site).fn_extra.cast();
        let (mut datums, mut nulls) = split(values);
        let tuple = pg_sys::heap_form_tuple(description, datums.as_mut_ptr(), nulls.as_mut_ptr());
        pg_sys::HeapTupleHeaderGetDatum((*tuple).t_data)
    }
}

fn split(values: &[Option<pg_sys::Datum>]) -> (Vec<pg_sys::Datum>, Vec<bool>) {
    let datums = values.iter().map(|value| value.unwrap_or(pg_sys::Datum::null())).collect();
    (datums, values.iter().map(Option::is_none).collect())
}

/// A set that a function returns as a whole; PostgreSQL keeps it in `work_mem`, and on disk beyond that.
pub struct ResultSet {
    store: *mut pg_sys::Tuplestorestate,
    description: pg_sys::TupleDesc,
    /// Emptied after each row.
    row: pg_sys::MemoryContext,
}

impl ResultSet {
    /// The set of the running call.
    ///
    /// # Safety
    /// `fcinfo` is that of the running call.
    pub unsafe fn of_call(fcinfo: pg_sys::FunctionCallInfo) -> Self {
        // SAFETY: InitMaterializedSRF's way: store and description live in the query's memory.
        unsafe {
            let result = (*fcinfo).resultinfo.cast::<pg_sys::ReturnSetInfo>();
            if result.is_null() || (*result).type_ != pg_sys::NodeTag::T_ReturnSetInfo {
                crate::error::fail(
                    PgSqlErrorCode::ERRCODE_FEATURE_NOT_SUPPORTED,
                    "this function returns a set, which this context cannot take",
                    "Call it in FROM.",
                );
            }
            let context = pg_sys::MemoryContextSwitchTo((*(*result).econtext).ecxt_per_query_memory);
            let mut description = std::ptr::null_mut();
            pg_sys::get_call_result_type(fcinfo, std::ptr::null_mut(), &raw mut description);
            let description = pg_sys::CreateTupleDescCopy(description);
            let random =
                (*result).allowedModes & pg_sys::SetFunctionReturnMode::SFRM_Materialize_Random as i32 != 0;
            let store = pg_sys::tuplestore_begin_heap(random, false, pg_sys::work_mem);
            (*result).returnMode = pg_sys::SetFunctionReturnMode::SFRM_Materialize;
            (*result).setResult = store;
            (*result).setDesc = description;
            let row = pg_sys::AllocSetContextCreateInternal(
                pg_sys::CurrentMemoryContext,
                c"logintel row".as_ptr(),
                pg_sys::ALLOCSET_SMALL_MINSIZE as usize,
                pg_sys::ALLOCSET_SMALL_INITSIZE as usize,
                pg_sys::ALLOCSET_SMALL_MAXSIZE as usize,
            );
            pg_sys::MemoryContextSwitchTo(context);
            ResultSet { store, description, row }
        }
    }

    /// Adds the row that `values` makes.
    pub fn push(&mut self, values: impl FnOnce() -> Vec<Option<pg_sys::Datum>>) {
        // SAFETY: the values are copied into the store before their memory is emptied.
        unsafe {
            let context = pg_sys::MemoryContextSwitchTo(self.row);
            let (mut datums, mut nulls) = split(&values());
            assert!(datums.len() == (*self.description).natts as usize, "a row has a value for each column");
            pg_sys::tuplestore_putvalues(
                self.store,
                self.description,
                datums.as_mut_ptr(),
                nulls.as_mut_ptr(),
            );
            pg_sys::MemoryContextSwitchTo(context);
            pg_sys::MemoryContextReset(self.row);
        }
    }
}
