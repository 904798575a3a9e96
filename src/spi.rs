//! SQL from inside a backend.
//!
//! pgrx's own client copies each result into the transaction's context and leaves it there, which a long
//! transaction of many small statements pays for; this one frees results as it goes, and reads with a cursor
//! where there are many rows. What runs for each of many things is planned once for a session.
use std::cell::RefCell;
use std::collections::HashMap;
use std::ffi::CString;
use std::marker::PhantomData;

use pgrx::pg_sys;
use pgrx::prelude::*;

use crate::control::Session;
use crate::progress::Total;
use crate::text::Text;

/// A parameter: its type and value.
pub type Arg = (pg_sys::Oid, Option<pg_sys::Datum>);

/// A parameter of the type that the value has in SQL.
pub fn arg<T: IntoDatum>(value: T) -> Arg {
    (T::type_oid(), value.into_datum())
}

/// A text parameter, in the server's encoding.
pub fn text_arg(value: &str) -> Arg {
    arg(Text(value.to_owned()))
}

/// A connection to the SQL engine, for as long as the value lives. PostgreSQL keeps which one it is, so its methods
/// take `self` for the lifetime alone.
#[derive(Debug)]
pub struct Connection(());

/// The rows of a result, freed when dropped. They live no longer than the connection, in whose memory they are.
#[derive(Debug)]
pub struct Rows<'a> {
    connection: PhantomData<&'a Connection>,
    table: *mut pg_sys::SPITupleTable,
    /// Rows returned, or for a statement without RETURNING, rows touched.
    count: u64,
}

#[expect(clippy::unused_self, reason = "the connection is PostgreSQL's current one")]
impl Connection {
    /// Opens one.
    pub fn open() -> Self {
        // SAFETY: matched by SPI_finish in drop, or by the abort of the (sub)transaction after an error.
        unsafe { pg_sys::SPI_connect() };
        Connection(())
    }

    /// Runs a query that only reads, under the snapshot of the statement at hand.
    pub fn read(&self, sql: &str, args: &[Arg]) -> Rows<'_> {
        self.run(sql, args, true)
    }

    /// Runs a statement that may write, or must see what the transaction has just written.
    pub fn write(&self, sql: &str, args: &[Arg]) -> Rows<'_> {
        self.run(sql, args, false)
    }

    /// [`Connection::write`] for a statement that runs again and again, always with parameters of the same types: it is
    /// planned once for a session, which keeps one plan for each text: there must be few. PostgreSQL plans it anew where something that it needs has changed.
    pub fn repeat(&self, sql: &str, args: &[Arg]) -> Rows<'_> {
        thread_local! {
            static PLANS: RefCell<HashMap<String, pg_sys::SPIPlanPtr>> = RefCell::default();
        }
        let (mut types, mut values, nulls) = split(args);
        let known = PLANS.with_borrow(|plans| plans.get(sql).copied());
        let plan = known.unwrap_or_else(|| {
            // SAFETY: as many types as the count says; a plan that is kept lives as long as the session.
            let plan = unsafe {
                let plan = pg_sys::SPI_prepare(c_string(sql).as_ptr(), args.len() as i32, types.as_mut_ptr());
                if plan.is_null() || pg_sys::SPI_keepplan(plan) != 0 {
                    pgrx::error!("an internal statement cannot be prepared: {sql}");
                }
                plan
            };
            PLANS.with_borrow_mut(|plans| plans.insert(sql.to_owned(), plan));
            plan
        });
        // SAFETY: the arrays are as long as the plan's list of types.
        let code = unsafe { pg_sys::SPI_execute_plan(plan, values.as_mut_ptr(), nulls.as_ptr(), false, 0) };
        self.result(code)
    }

    fn run(&self, sql: &str, args: &[Arg], read_only: bool) -> Rows<'_> {
        let sql = c_string(sql);
        let (mut types, mut values, nulls) = split(args);
        // SAFETY: the arrays are as long as the count says.
        let code = unsafe {
            pg_sys::SPI_execute_with_args(
                sql.as_ptr(),
                args.len() as i32,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr(),
                read_only,
                0,
            )
        };
        self.result(code)
    }

    /// What the call that returned `code` has given.
    fn result(&self, code: i32) -> Rows<'_> {
        if code < 0 {
            pgrx::error!("SPI returned {code}");
        }
        // SAFETY: the globals hold the result of the call just made; the Rows take the table over.
        unsafe {
            let table = pg_sys::SPI_tuptable;
            pg_sys::SPI_tuptable = std::ptr::null_mut();
            Rows { connection: PhantomData, table, count: pg_sys::SPI_processed }
        }
    }

    /// Runs a query through a cursor and calls `each` with every row; interrupts are answered between batches.
    pub fn for_each(&self, sql: &str, args: &[Arg], each: impl FnMut(&Rows<'_>, u64)) {
        self.run_cursor(sql, args, |_, _| (), each);
    }

    /// [`Connection::for_each`], which tells how far it has come: first that it queries, which may be a long sort, and from the
    /// first row on, in the phase `phase`, how many of the rows that the planner expects are done.
    pub fn for_each_shown(
        &self,
        phase: &'static str,
        sql: &str,
        args: &[Arg],
        each: impl FnMut(&Rows<'_>, u64),
    ) {
        let show = |done: Option<u64>, expected| {
            Session::show(
                if done.is_some() { phase } else { "querying" },
                done.unwrap_or(0),
                Total::Estimated(expected),
            );
        };
        self.run_cursor(sql, args, show, each);
    }

    /// Calls `show` with how many rows are done, `None` before the first, and how many the planner expects; `each` with every row.
    fn run_cursor(
        &self,
        sql: &str,
        args: &[Arg],
        show: impl Fn(Option<u64>, u64),
        mut each: impl FnMut(&Rows<'_>, u64),
    ) {
        const BATCH: std::ffi::c_long = 1000;
        let sql = c_string(sql);
        let (mut types, mut values, nulls) = split(args);
        // SAFETY: the arrays are as long as the count says; the portal is closed below, or by the abort.
        let portal = unsafe {
            pg_sys::SPI_cursor_open_with_args(
                std::ptr::null(),
                sql.as_ptr(),
                args.len() as i32,
                types.as_mut_ptr(),
                values.as_mut_ptr(),
                nulls.as_ptr(),
                true,
                0,
            )
        };
        // SAFETY: the portal is open, and has been planned.
        let expected = unsafe { expected_rows(portal) };
        show(None, expected);
        let mut done = 0;
        loop {
            pgrx::check_for_interrupts!();
            // SAFETY: the portal is open.
            let rows = unsafe {
                pg_sys::SPI_cursor_fetch(portal, true, BATCH);
                let table = pg_sys::SPI_tuptable;
                pg_sys::SPI_tuptable = std::ptr::null_mut();
                Rows { connection: PhantomData, table, count: pg_sys::SPI_processed }
            };
            if rows.len() == 0 {
                break;
            }
            if done == 0 {
                show(Some(0), expected);
            }
            (0..rows.len()).for_each(|row| each(&rows, row));
            done += rows.len();
            show(Some(done), expected);
        }
        // SAFETY: opened above.
        unsafe { pg_sys::SPI_cursor_close(portal) };
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // After an error the abort of the (sub)transaction closes it.
        if !std::thread::panicking() {
            // SAFETY: opened by `open`.
            unsafe { pg_sys::SPI_finish() };
        }
    }
}

impl Rows<'_> {
    /// Number of rows.
    pub fn len(&self) -> u64 {
        self.count
    }

    /// A value, `None` for NULL; columns count from 1.
    pub fn get<T: FromDatum>(&self, row: u64, column: i32) -> Option<T> {
        assert!(row < self.count && !self.table.is_null(), "a result has that row");
        // SAFETY: row and column exist; text and bytes are copied by FromDatum of owned types.
        unsafe {
            let mut is_null = false;
            let tuple = *(*self.table).vals.add(row as usize);
            let datum = pg_sys::SPI_getbinval(tuple, (*self.table).tupdesc, column, &raw mut is_null);
            T::from_datum(datum, is_null)
        }
    }

    /// Lends the bytes of a bytea, without the copy that an owned value is.
    pub fn with_bytes<T>(&self, row: u64, column: i32, use_it: impl FnOnce(&[u8]) -> T) -> Option<T> {
        let datum = self.get::<pg_sys::Datum>(row, column)?;
        // SAFETY: the column is a bytea; detoasting gives a varlena whose bytes live until it is freed below.
        unsafe {
            let stored: *mut pg_sys::varlena = datum.cast_mut_ptr();
            let plain = pg_sys::pg_detoast_datum_packed(stored);
            let result = use_it(pgrx::varlena_to_byte_slice(plain));
            if plain != stored {
                pg_sys::pfree(plain.cast());
            }
            Some(result)
        }
    }

    /// Lends a text, whatever the server's encoding, without the copy that an owned value is.
    pub fn with_text<T>(&self, row: u64, column: i32, use_it: impl FnOnce(&str) -> T) -> Option<T> {
        let datum = self.get::<pg_sys::Datum>(row, column)?;
        // SAFETY: the column is a text.
        Some(unsafe { crate::text::with_text(datum, use_it) })
    }

    /// A text, whatever the server's encoding.
    pub fn text(&self, row: u64, column: i32) -> Option<String> {
        self.get::<Text>(row, column).map(|text| text.0)
    }

    /// A value that is never NULL.
    pub fn must<T: FromDatum>(&self, row: u64, column: i32) -> T {
        self.get(row, column).unwrap_or_else(|| pgrx::error!("column {column} of an internal query is NULL"))
    }
}

impl Drop for Rows<'_> {
    fn drop(&mut self) {
        if !self.table.is_null() && !std::thread::panicking() {
            // SAFETY: the table is ours, and of the current connection.
            unsafe { pg_sys::SPI_freetuptable(self.table) };
        }
    }
}

/// A snapshot that what only reads looks through, until dropped. After an error the abort of the subtransaction pops it.
#[derive(Debug)]
pub struct ActiveSnapshot(());

impl ActiveSnapshot {
    /// One of this moment; in a repeatable-read transaction, the transaction's.
    pub fn push() -> Self {
        // SAFETY: popped in drop, or by the abort.
        unsafe { pg_sys::PushActiveSnapshot(pg_sys::GetTransactionSnapshot()) };
        ActiveSnapshot(())
    }
}

impl Drop for ActiveSnapshot {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            // SAFETY: pushed by `push`.
            unsafe { pg_sys::PopActiveSnapshot() };
        }
    }
}

/// How many rows the planner expects of a query, at least 1.
///
/// # Safety
/// The portal is one of a single planned query.
unsafe fn expected_rows(portal: pg_sys::Portal) -> u64 {
    // SAFETY: the list holds the query's plan.
    unsafe {
        let plan = pgrx::PgList::<pg_sys::PlannedStmt>::from_pg((*portal).stmts).get_ptr(0);
        plan.map_or(1, |plan| (*(*plan).planTree).plan_rows.max(1.0) as u64)
    }
}

fn c_string(sql: &str) -> CString {
    crate::text::to_c_string(sql).unwrap_or_else(|| pgrx::error!("a query holds a NUL byte"))
}

fn split(args: &[Arg]) -> (Vec<pg_sys::Oid>, Vec<pg_sys::Datum>, Vec<std::ffi::c_char>) {
    let types = args.iter().map(|(oid, _)| *oid).collect();
    let values = args.iter().map(|(_, value)| value.unwrap_or(pg_sys::Datum::null())).collect();
    let nulls =
        args.iter().map(|(_, value)| if value.is_none() { b'n' } else { b' ' } as std::ffi::c_char).collect();
    (types, values, nulls)
}
