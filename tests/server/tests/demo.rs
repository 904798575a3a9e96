//! The demo takes lines of usual formats apart.
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use logintel_server_tests::{Ask, Cluster};

/// (a line, its time in UTC, level, component, message)
const LINES: &[(&str, &str, &str, &str, &str)] = &[
    (
        r#"{"time": "2026-01-02T09:00:01Z", "level": "error", "logger": "shop", "msg": "payment refused"}"#,
        "2026-01-02 09:00:01",
        "ERROR",
        "shop",
        "payment refused",
    ),
    (
        r#"{"@timestamp": "2026-01-02T10:00:01+01:00", "severity": "warn", "message": "slow", "service": "web"}"#,
        "2026-01-02 09:00:01",
        "WARN",
        "web",
        "slow",
    ),
    (r#"{"ts": 1767344401.5, "msg": "epoch"}"#, "2026-01-02 09:00:01.5", "-", "-", "epoch"),
    (r#"{"broken":"#, "-", "-", "-", r#"{"broken":"#),
    ("{not json}", "-", "-", "-", "{not json}"),
    (
        "<34>1 2026-01-02T09:00:01.5Z web-1 sshd 811 - - Failed password",
        "2026-01-02 09:00:01.5",
        "-",
        "sshd",
        "Failed password",
    ),
    (
        r#"<34>1 2026-01-02T09:00:01Z web-1 app - ID1 [a@1 b="c"][d@2] it burns"#,
        "2026-01-02 09:00:01",
        "-",
        "app",
        "it burns",
    ),
    (
        "2026-01-02T09:00:01.123456+00:00 web-1 sshd[811]: Failed password",
        "2026-01-02 09:00:01.123456",
        "-",
        "sshd",
        "Failed password",
    ),
    (
        "2026-01-02 09:00:01,123 INFO  org.example.Thing: started",
        "2026-01-02 09:00:01.123",
        "INFO",
        "org.example.Thing",
        "started",
    ),
    (
        "2026-01-02T09:00:01+00:00 ERROR org.example.Thing: failed",
        "2026-01-02 09:00:01",
        "ERROR",
        "org.example.Thing",
        "failed",
    ),
    (
        "2026/01/02 09:00:01 [error] 12#12: *7 connect() failed",
        "2026-01-02 09:00:01",
        "ERROR",
        "-",
        "12#12: *7 connect() failed",
    ),
    (
        "[Sun Jan 04 04:47:44 2026] [notice] workerEnv.init() ok",
        "2026-01-04 04:47:44",
        "NOTICE",
        "-",
        "workerEnv.init() ok",
    ),
    (
        r#"10.0.0.9 - - [02/Jan/2026:10:00:01 +0100] "GET / HTTP/1.1" 200 7"#,
        "2026-01-02 09:00:01",
        "-",
        "-",
        r#""GET / HTTP/1.1" 200 7"#,
    ),
    (
        r#"2026-01-02 09:00:01.123 UTC,"shop","shop",811,"[local]",695791a0.32b,1,"SELECT",2026-01-02 08:59:58 UTC,3/7,0,ERROR,42P01,"relation ""orders"" does not exist, it seems",,,,,,"SELECT * FROM orders, items",15,,"psql","client backend",,0"#,
        "2026-01-02 09:00:01.123",
        "ERROR",
        "client backend",
        r#"relation "orders" does not exist, it seems"#,
    ),
    // As version 12 and earlier write it, of a process without user, in a zone that no server knows.
    (
        r#"2026-01-02 09:00:01.123 XYZT,,,811,,695791a0.32b,1,,2026-01-02 08:59:58 UTC,,0,LOG,00000,"checkpoint starting: time",,,,,,,,,"""#,
        "2026-01-02 09:00:01.123",
        "LOG",
        "-",
        "checkpoint starting: time",
    ),
    ("2026-01-02 09:00:01.123 UTC,not,a,record", "2026-01-02 09:00:01.123", "-", "-", ",not,a,record"),
    ("no time at all", "-", "-", "-", "no time at all"),
    ("2026-13-45 09:00:01 odd", "-", "-", "-", "odd"),
];

fn sql(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools").join(name)
}

#[test]
fn lines_of_usual_formats_are_taken_apart() {
    let db = Cluster::shared().database("demo");
    db.execute(&fs::read_to_string(sql("demo-lines.sql")).expect("SQL of the demo"));
    let mut session = db.client();
    for &(line, ts, level, component, message) in LINES {
        let found = session.ask(&format!(
            "SELECT coalesce((ts AT TIME ZONE 'UTC')::text, '-'), coalesce(level, '-'), coalesce(component, '-'), message FROM parse_line('{}')",
            line.replace('\'', "''")
        ));
        assert_eq!(found, [ts, level, component, message].join("|"), "{line}");
    }
}

/// A line of syslog is of its day whatever day it is now, over New Year, and of 29 February; that of tomorrow may be of a clock that
/// is ahead.
#[test]
fn a_year_that_syslog_does_not_name_is_the_last_that_fits() {
    let db = Cluster::shared().database("demo_syslog");
    db.execute(&fs::read_to_string(sql("demo-lines.sql")).expect("SQL of the demo"));
    let wrong = db.client().ask(
        "SELECT t, found FROM generate_series(date_trunc('second', now()) - interval '363 days', now(), '1 day') AS t,
                as_syslog_time(to_char(t, 'Mon DD HH24:MI:SS')) AS found WHERE found IS DISTINCT FROM t",
    );
    assert_eq!(wrong, "");
    assert!(
        db.client().ask(
            "SELECT as_syslog_time('Feb 29 01:02:03') IS NOT NULL, as_syslog_time('Feb 30 01:02:03') IS NULL"
        ) == "t|t"
    );
}

/// Records of csvlog become lines, wherever the file begins or breaks off; other lines stay as they are.
#[test]
fn records_of_csvlog_become_lines() {
    let joined = |text: &str| {
        let mut awk = Command::new("awk")
            .arg("-f")
            .arg(sql("demo-records.awk"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("awk");
        awk.stdin.take().expect("stdin").write_all(text.as_bytes()).expect("a pipe");
        let output = awk.wait_with_output().expect("the output of awk");
        String::from_utf8(output.stdout).expect("UTF-8")
    };
    let time = "2026-01-02 09:00:00.123 UTC";
    let cases = [
        ("Jan  2 \"odd\nx \"y\" z\n".to_owned(), "Jan  2 \"odd\nx \"y\" z\n".to_owned()),
        (
            format!(
                "end of a record\",,\n{time},,,1,\"one\"\n{time},\"a\",\"two\"\" of\n\nlines\",7\n{time},,,1,\"cut\n{time},,,1,\"off\n"
            ),
            format!(
                "end of a record\",,\n{time},,,1,\"one\"\n{time},\"a\",\"two\"\" of  lines\",7\n{time},,,1,\"cut\n{time},,,1,\"off\n"
            ),
        ),
    ];
    for (text, expected) in cases {
        assert_eq!(joined(&text), expected);
    }
}
