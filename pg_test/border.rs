// The border to PostgreSQL, from inside a backend: what SQL alone cannot see. Included by src/lib.rs into the schema
// that pgrx looks for tests in.

use pgrx::prelude::*;

use crate::progress::{Progress, Total};
use crate::security::RunAs;
use crate::spi::{Connection, arg};
use crate::subtransaction::attempt;

#[pg_test]
fn a_failed_attempt_is_undone_and_told() {
    Connection::open().write("CREATE TEMP TABLE attempted (a int)", &[]);
    let failure = attempt(|| {
        let spi = Connection::open();
        spi.write("INSERT INTO attempted VALUES (1)", &[]);
        spi.write("SELECT 1 / 0", &[]).len()
    });
    let failure = failure.unwrap_err();
    assert_eq!((failure.sqlstate.as_str(), failure.message.as_str()), ("22012", "division by zero"));
    let spi = Connection::open();
    assert_eq!(spi.write("SELECT * FROM attempted", &[]).len(), 0);
}

#[pg_test]
fn a_panic_inside_an_attempt_is_a_failure_like_any_other() {
    let failure = attempt(|| panic!("as a bug would")).unwrap_err();
    assert_eq!((failure.sqlstate.as_str(), failure.message.as_str()), ("XX000", "as a bug would"));
    assert_eq!(attempt(|| 7).unwrap(), 7);
}

#[pg_test(error = "stop now")]
fn a_cancel_is_never_swallowed() {
    let _ = attempt(|| {
        Connection::open().write("DO $$ BEGIN RAISE EXCEPTION 'stop now' USING ERRCODE = 'query_canceled'; END $$", &[]).len()
    });
    panic!("the attempt has swallowed a cancel");
}

#[pg_test(error = "could not serialize")]
fn what_dooms_the_transaction_is_never_swallowed() {
    let _ = attempt(|| {
        let raise = "DO $$ BEGIN RAISE EXCEPTION 'could not serialize' USING ERRCODE = 'serialization_failure'; END $$";
        Connection::open().write(raise, &[]).len()
    });
    panic!("the attempt has swallowed it");
}

fn who_and_where() -> (String, String) {
    let spi = Connection::open();
    let rows = spi.write("SELECT current_user::text, current_setting('search_path')", &[]);
    (rows.must(0, 1), rows.must(0, 2))
}

#[pg_test]
fn another_role_holds_until_dropped_also_after_an_error() {
    Connection::open().write("CREATE ROLE tests_owner", &[]);
    let spi = Connection::open();
    let rows = spi.write("SELECT oid FROM pg_roles WHERE rolname = 'tests_owner'", &[]);
    let owner = rows.must(0, 1);
    let before = who_and_where();
    {
        let _owner = RunAs::reader(owner, pgrx::pg_sys::Oid::INVALID, "UTC");
        assert_eq!(who_and_where(), ("tests_owner".into(), "pg_catalog, pg_temp".into()));
    }
    assert_eq!(who_and_where(), before);
    let failure = attempt(|| {
        let _owner = RunAs::reader(owner, pgrx::pg_sys::Oid::INVALID, "UTC");
        Connection::open().write("SELECT 1 / 0", &[]).len()
    });
    assert_eq!(failure.unwrap_err().sqlstate, "22012");
    assert_eq!(who_and_where(), before);
}

#[pg_test]
fn a_restricted_role_cannot_change_the_session() {
    let failure = attempt(|| {
        let _owner = RunAs::extension_owner();
        Connection::open().write("CREATE TEMP TABLE smuggled (a int)", &[]).len()
    });
    assert_eq!(failure.unwrap_err().sqlstate, "42501");
}

#[pg_test]
fn a_cursor_gives_every_row_once_and_in_order() {
    let (mut sum, mut last) = (0i64, 0i64);
    let spi = Connection::open();
    spi.for_each("SELECT g FROM generate_series(1, $1) AS g", &[arg(2500i64)], |rows, row| {
        let number: i64 = rows.must(row, 1);
        assert_eq!(number, last + 1);
        (sum, last) = (sum + number, number);
    });
    assert_eq!((sum, last), (2500 * 2501 / 2, 2500));
}

#[pg_test]
fn bytes_that_are_no_text_become_replacement_characters() {
    let bytes: &[u8] = b"disk \xff\xfe failure";
    let datum = bytes.into_datum().unwrap();
    let text = unsafe { crate::text::with_text(datum, str::to_owned) };
    assert_eq!(text, "disk \u{fffd}\u{fffd} failure");
}

#[pg_test]
fn memory_and_threads_of_the_engine_follow_the_settings() {
    use logintel_core::control::Control;
    let spi = Connection::open();
    spi.write("SELECT set_config('logintel.maintenance_mem', '64MB', true), set_config('logintel.max_parallel_threads', '3', true)", &[]);
    assert_eq!((crate::control::Session.memory(), crate::control::Session.threads()), (64 << 20, 3));
}

#[pg_test]
fn calls_that_do_not_end_in_turn_leave_nothing_behind() {
    let shown = || {
        let spi = Connection::open();
        let rows = spi.write(
            "SELECT coalesce(string_agg(command || ' ' || done, ', ' ORDER BY command), '') \
             FROM logintel.progress_info() WHERE pid = pg_backend_pid()",
            &[],
        );
        rows.must::<String>(0, 1)
    };
    let cursor = Progress::begin_alone("tfidf_fit").unwrap();
    assert!(Progress::begin_alone("tfidf_fit").is_none());
    let train = Progress::begin("train");
    drop(cursor);
    crate::progress::report("reading", 5, Total::Unknown);
    assert_eq!(shown(), "train 5");
    drop(train);
    assert_eq!(shown(), "");
    // The place of the one that ended first is nobody's.
    let alone = Progress::begin_alone("tfidf_fit");
    assert!(alone.is_some());
    crate::progress::report("reading", 7, Total::Unknown);
    assert_eq!(shown(), "tfidf_fit 7");
}

#[pg_test]
fn the_time_left_follows_from_the_pace_of_the_phase() {
    use crate::progress::{known_total, time_left};
    // 300 of 1000 in 6 s; the same where 100 were done when the phase was first told of.
    assert_eq!(time_left(6_000_000, 0, 300, Some(1000)), Some(14_000_000));
    assert_eq!(time_left(6_000_000, 100, 400, Some(1000)), Some(12_000_000));
    assert_eq!(time_left(6_000_000, 0, 1000, Some(1000)), Some(0));
    // No pace, no total, a clock that was set back.
    assert_eq!(time_left(6_000_000, 300, 300, Some(1000)), None);
    assert_eq!(time_left(6_000_000, 0, 300, None), None);
    assert_eq!(time_left(-5, 0, 300, Some(1000)), Some(0));
    // An estimate that was too low says nothing any more.
    assert_eq!(known_total(1000, Total::Estimated(1000)), Some((1000, true)));
    assert_eq!(known_total(1001, Total::Estimated(1000)), None);
    assert_eq!(known_total(5, Total::Counted(1000)), Some((1000, false)));
    assert_eq!(known_total(5, Total::Unknown), None);
}

#[pg_test]
fn each_phase_has_a_pace_of_its_own() {
    let shown = || {
        let spi = Connection::open();
        let rows = spi.write(
            "SELECT concat_ws(' ', phase, done, total, total_is_estimate, time_left IS NOT NULL, phase_started >= started) \
             FROM logintel.progress WHERE pid = pg_backend_pid()",
            &[],
        );
        rows.must::<String>(0, 1)
    };
    let _progress = Progress::begin("train");
    assert_eq!(shown(), "starting 0 f t");
    crate::progress::report("reading", 0, Total::Estimated(100));
    assert_eq!(shown(), "reading 0 100 t f t");
    crate::progress::report("reading", 40, Total::Estimated(100));
    assert_eq!(shown(), "reading 40 100 t t t");
    crate::progress::report("reading", 101, Total::Estimated(100));
    assert_eq!(shown(), "reading 101 f t");
    // One of many parts, the first that is told of.
    crate::progress::report("calibration", 3, Total::Counted(10));
    assert_eq!(shown(), "calibration 3 10 f f t");
    crate::progress::report("calibration", 4, Total::Counted(10));
    assert_eq!(shown(), "calibration 4 10 f t t");
    // The same phase again.
    crate::progress::report("calibration", 0, Total::Counted(10));
    assert_eq!(shown(), "calibration 0 10 f f t");
}

#[pg_test]
fn shared_memory_of_another_layout_has_another_name() {
    let name = crate::progress::segment_name();
    // PostgreSQL keeps 63 bytes of it.
    assert!(name.as_bytes().len() < 64 && name.to_string_lossy().starts_with("logintel progress "));
    assert!(name.to_string_lossy().contains(&format!(" {} ", size_of::<[[u64; 8]; 256]>())));
}

#[pg_test]
fn what_takes_too_long_is_ended_and_what_comes_after_it_is_not() {
    use crate::deadline::attempt_within;
    use std::time::Duration;
    let endless = "SELECT count(*) FROM (SELECT generate_series(1, 1000000000000)) AS endless";
    let failure = attempt_within(Duration::from_millis(20), || Connection::open().write(endless, &[]).len());
    let failure = failure.unwrap_err();
    assert_eq!((failure.sqlstate.as_str(), failure.message.as_str()), ("57014", "it took more than 0 s"));
    let spi = Connection::open();
    assert_eq!(spi.write("SELECT pg_sleep(0.05)", &[]).len(), 1);
    assert_eq!(attempt_within(Duration::from_mins(1), || 7).unwrap(), 7);
    let failure = attempt_within(Duration::from_mins(1), || spi.write("SELECT 1 / 0", &[]).len()).unwrap_err();
    assert_eq!(failure.message, "division by zero");
}

#[pg_test(error = "canceling statement due to user request")]
fn a_cancel_within_the_time_is_a_cancel() {
    let work = || Connection::open().write("SELECT pg_cancel_backend(pg_backend_pid()), pg_sleep(60)", &[]).len();
    let _ = crate::deadline::attempt_within(std::time::Duration::from_hours(1), work);
}
