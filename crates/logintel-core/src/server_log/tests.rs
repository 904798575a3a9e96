use std::fmt::Write as _;
use std::io;

use proptest::prelude::*;

use super::echo::{Origin, origin};
use super::frame::MAX_FIELD;
use super::{Format, Item, LogTime, Reader, Record, Source};

/// The part of a file that is there.
struct Part<'a>(&'a [u8]);

impl Source for Part<'_> {
    fn read_at(&mut self, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        let rest = self.0.get(offset as usize..).unwrap_or_default();
        // Short reads are allowed anywhere.
        let length = rest.len().min(buffer.len()).min(1000);
        buffer[..length].copy_from_slice(&rest[..length]);
        Ok(length)
    }
}

/// What a test says in a line.
#[derive(Debug, Clone)]
struct Line {
    user: Option<String>,
    message: String,
    query: Option<String>,
    backend_type: &'static str,
}

/// As PostgreSQL writes it.
fn csv(number: usize, line: &Line) -> String {
    let quoted = |text: &str| format!("\"{}\"", text.replace('"', "\"\""));
    let field = |text: Option<&str>| text.map(quoted).unwrap_or_default();
    let user = field(line.user.as_deref());
    let message = quoted(&line.message);
    let query = field(line.query.as_deref());
    let kind = quoted(line.backend_type);
    format!(
        "2026-11-23 03:35:09.{:03} UTC,{user},{user},12,\"[local]\",6541c2f0.1a,{number},\"idle\",2026-11-23 03:35:09 UTC,3/0,0,LOG,\
         00000,{message},,,,,,{query},7,,\"psql\",{kind},,0\n",
        number % 1000
    )
}

fn json(number: usize, line: &Line) -> String {
    let text = |text: &str| serde_json::to_string(text).unwrap();
    let mut object = format!("{{\"timestamp\":\"2026-11-23 03:35:09.{:03} UTC\"", number % 1000);
    if let Some(user) = &line.user {
        write!(object, ",\"user\":{0},\"dbname\":{0}", text(user)).unwrap();
    }
    write!(
        object,
        ",\"pid\":12,\"remote_host\":\"[local]\",\"session_id\":\"6541c2f0.1a\",\"line_num\":{number},\"ps\":\"idle\",\
         \"txid\":0,\"error_severity\":\"LOG\",\"message\":{}",
        text(&line.message)
    )
    .unwrap();
    if let Some(query) = &line.query {
        write!(object, ",\"statement\":{},\"cursor_position\":7", text(query)).unwrap();
    }
    format!(
        "{object},\"application_name\":\"psql\",\"backend_type\":\"{}\",\"query_id\":0}}\n",
        line.backend_type
    )
}

fn written(format: Format, number: usize, line: &Line) -> String {
    match format {
        Format::Csv => csv(number, line),
        Format::Json => json(number, line),
    }
}

/// Reads a file that grows from cut to cut, each time with a new reader. Records, and bytes that are none.
fn follow(format: Format, file: &[u8], cuts: &[usize]) -> (Vec<Record>, u64) {
    let (mut records, mut broken, mut position) = (Vec::new(), 0, 0);
    for &end in cuts {
        let mut reader = Reader::new(Part(&file[..end.min(file.len())]), format, position);
        while let Some(item) = reader.next_item().unwrap() {
            match item {
                Item::Record(record) => records.push(*record),
                Item::Broken(bytes) => broken += bytes,
            }
        }
        position = reader.position();
    }
    let mut reader = Reader::new(Part(file), format, position);
    broken += reader.pass_over_rest().unwrap();
    assert_eq!(reader.position(), file.len() as u64);
    (records, broken)
}

fn numbers(records: &[Record]) -> Vec<i64> {
    records.iter().map(|record| record.session_line_num).collect()
}

/// Texts that look like pieces of a log.
fn text() -> impl Strategy<Value = String> {
    let piece = prop_oneof![
        "[ -~\n\r\täöü]{0,12}",
        Just("\"".to_owned()),
        Just("\",\"".to_owned()),
        Just("\n2026-11-23 03:35:09.000 UTC,".to_owned()),
        Just("2026-11-23 03:35:09.000 UTC,\"a\",\"b\",1,".to_owned()),
        Just("{\"timestamp\":\"2026-11-23".to_owned()),
        Just("\\\"}\n".to_owned()),
        Just("\0".to_owned()),
        (1usize..3).prop_map(|n| "long \"quoted\" text\n".repeat(n * 450)),
    ];
    prop::collection::vec(piece, 0..5).prop_map(|pieces| pieces.concat())
}

fn line() -> impl Strategy<Value = Line> {
    (
        prop::option::of(text().prop_map(|text| if text.is_empty() { "user".into() } else { text })),
        text(),
        prop::option::of(text()),
    )
        .prop_map(|(user, message, query)| Line { user, message, query, backend_type: "client backend" })
}

fn format() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::Csv), Just(Format::Json)]
}

fn cuts() -> impl Strategy<Value = Vec<prop::sample::Index>> {
    prop::collection::vec(any::<prop::sample::Index>(), 0..12)
}

fn places(cuts: &[prop::sample::Index], length: usize) -> Vec<usize> {
    let mut places: Vec<_> = cuts.iter().map(|cut| cut.index(length + 1)).collect();
    places.push(length);
    places.sort_unstable();
    places
}

/// The beginning of a text, as far as it is kept.
fn kept(text: &str) -> String {
    text.chars().map(|c| if c == '\0' { '\u{fffd}' } else { c }).take(MAX_FIELD / 8).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn every_record_is_read_once_wherever_the_file_is_cut(
        format in format(), lines in prop::collection::vec(line(), 1..8), cuts in cuts()
    ) {
        let file: String = lines.iter().enumerate().map(|(i, line)| written(format, i + 1, line)).collect();
        let (records, broken) = follow(format, file.as_bytes(), &places(&cuts, file.len()));
        prop_assert_eq!(broken, 0);
        prop_assert_eq!(numbers(&records), (1..=lines.len() as i64).collect::<Vec<_>>());
        for (record, line) in records.iter().zip(&lines) {
            prop_assert!(record.message.starts_with(&kept(&line.message)), "{:?}", record.message);
            prop_assert!(record.message.len() <= 3 * MAX_FIELD);
            let query = line.query.as_deref().filter(|query| !query.is_empty());
            prop_assert_eq!(record.query.is_some(), query.is_some());
            prop_assert!(record.query.as_deref().unwrap_or_default().starts_with(&kept(query.unwrap_or_default())));
            prop_assert_eq!(record.backend_type.as_deref(), Some("client backend"));
            prop_assert_eq!(record.sql_state_code.as_deref(), Some("00000"));
        }
    }

    /// A crash cuts records anywhere, leaves zeros or garbage, and the next record may follow without a line end.
    #[test]
    fn what_a_crash_has_torn_takes_nothing_else_with_it(
        format in format(),
        lines in prop::collection::vec((line(), prop::option::of(any::<prop::sample::Index>()), "[ -~\n]{0,20}|\0{1,300}"), 1..8),
        cuts in cuts()
    ) {
        let (mut file, mut whole) = (Vec::new(), Vec::new());
        for (i, (line, tear, garbage)) in lines.iter().enumerate() {
            let record = written(format, i + 1, line);
            match tear {
                None => {
                    whole.push(i as i64 + 1);
                    file.extend(record.as_bytes());
                }
                // Not only its line end, without which it may be whole.
                Some(tear) => {
                    file.extend(&record.as_bytes()[..tear.index(record.len() - 2)]);
                    file.extend(garbage.as_bytes());
                }
            }
        }
        let places = places(&cuts, file.len());
        let (records, broken) = follow(format, &file, &places);
        prop_assert_eq!(numbers(&records), whole);
        prop_assert_eq!((records, broken), follow(format, &file, &[file.len()]));
    }

    #[test]
    fn any_bytes_are_consumed_and_cuts_change_nothing(
        format in format(), file in prop::collection::vec(any::<u8>(), 0..400), cuts in cuts()
    ) {
        prop_assert_eq!(follow(format, &file, &places(&cuts, file.len())), follow(format, &file, &[file.len()]));
    }

    #[test]
    fn from_the_middle_of_a_file_the_next_record_is_found(
        format in format(), lines in prop::collection::vec(line(), 1..8), from in any::<prop::sample::Index>()
    ) {
        let (mut file, mut ends) = (String::new(), Vec::new());
        for (i, line) in lines.iter().enumerate() {
            ends.push(file.len());
            file += &written(format, i + 1, line);
        }
        let from = from.index(file.len());
        let mut reader = Reader::new(Part(file.as_bytes()), format, from as u64);
        reader.synchronize().unwrap();
        let next = ends.iter().copied().find(|&begin| begin >= from);
        // The end of a record, where the beginning of another might be cut off, is looked at again when there is more.
        let mut found = reader.next_item().unwrap();
        while matches!(found, Some(Item::Broken(_))) {
            found = reader.next_item().unwrap();
        }
        if let Some(next) = next {
                let number = ends.iter().position(|&begin| begin == next).unwrap() as i64 + 1;
                prop_assert!(matches!(found, Some(Item::Record(record)) if record.session_line_num == number));
        } else {
            prop_assert_eq!(found, None);
        }
    }
}

fn plain(message: &str) -> Line {
    Line { user: None, message: message.into(), query: None, backend_type: "client backend" }
}

#[test]
fn a_record_of_many_megabytes_costs_little_memory_and_is_consumed() {
    for format in [Format::Csv, Format::Json] {
        let long = plain(&"\"x\"\n".repeat(5_000_000));
        let file = written(format, 1, &long) + &written(format, 2, &plain("after"));
        let (records, broken) = follow(format, file.as_bytes(), &[file.len()]);
        assert_eq!((numbers(&records), broken), (vec![1, 2], 0));
        assert!(records[0].message.len() <= MAX_FIELD && records[0].message.len() > MAX_FIELD / 3);
    }
}

#[test]
fn fields_are_those_of_the_documentation() {
    let line = "2026-01-31 23:59:58.007 CET,\"ann\",\"shop\",4711,\"10.0.0.7:5433\",6541c2f0.1267,3,\"INSERT\",2026-01-31 23:00:00 CET,\
                3/14,815,ERROR,23505,\"duplicate key\",\"Key (id)=(1) already exists.\",\"a hint\",\"internal\",9,\"a context\",\
                \"INSERT INTO t VALUES (1)\",13,\"_bt_check_unique, nbtinsert.c:664\",\"my app\",\"client backend\",4712,-8153\n";
    let record = Record::parse(Format::Csv, line.as_bytes()).unwrap();
    let text = |text: &str| Some(text.to_owned());
    let expected = Record {
        log_time: LogTime {
            year: 2026,
            month: 1,
            day: 31,
            hour: 23,
            minute: 59,
            second: 58,
            millisecond: 7,
            zone: "CET".into(),
        },
        user_name: text("ann"),
        database_name: text("shop"),
        process_id: 4711,
        connection_from: text("10.0.0.7:5433"),
        session_id: "6541c2f0.1267".into(),
        session_line_num: 3,
        command_tag: text("INSERT"),
        error_severity: "ERROR".into(),
        sql_state_code: text("23505"),
        message: "duplicate key".into(),
        detail: text("Key (id)=(1) already exists."),
        hint: text("a hint"),
        context: text("a context"),
        query: text("INSERT INTO t VALUES (1)"),
        application_name: text("my app"),
        backend_type: text("client backend"),
        leader_pid: Some(4712),
        query_id: Some(-8153),
    };
    assert_eq!(record, expected);
    // The same line in the other format; PostgreSQL 15 quotes the port.
    for port in ["5433", "\"5433\""] {
        let line = format!(
            "{{\"timestamp\":\"2026-01-31 23:59:58.007 CET\",\"user\":\"ann\",\"dbname\":\"shop\",\"pid\":4711,\"remote_host\":\"10.0.0.7\",\
             \"remote_port\":{port},\"session_id\":\"6541c2f0.1267\",\"line_num\":3,\"ps\":\"INSERT\",\"session_start\":\"2026-01-31 23:00:00 CET\",\
             \"vxid\":\"3/14\",\"txid\":815,\"error_severity\":\"ERROR\",\"state_code\":\"23505\",\"message\":\"duplicate key\",\
             \"detail\":\"Key (id)=(1) already exists.\",\"hint\":\"a hint\",\"internal_query\":\"internal\",\"internal_position\":9,\
             \"context\":\"a context\",\"statement\":\"INSERT INTO t VALUES (1)\",\"cursor_position\":13,\"func_name\":\"_bt_check_unique\",\
             \"file_name\":\"nbtinsert.c\",\"file_line_num\":664,\"application_name\":\"my app\",\"backend_type\":\"client backend\",\
             \"leader_pid\":4712,\"query_id\":-8153}}\n"
        );
        assert_eq!(Record::parse(Format::Json, line.as_bytes()), Some(expected.clone()));
    }
}

#[test]
fn times_that_are_none_are_refused() {
    assert!(LogTime::parse("2026-01-31 23:59:58.007 +03").is_some());
    for text in [
        "",
        "2026-13-31 23:59:58.007 UTC",
        "2026-01-31 24:59:58.007 UTC",
        "2026-01-31T23:59:58.007 UTC",
        "2026-01-31 23:59:58.007",
        "2026-01-31 23:59:58.007 ",
        "2026-01-31 23:59:58.00ü UTC",
        "2026-01-3 123:59:58.007 UTC",
    ] {
        assert_eq!(LogTime::parse(text), None, "{text}");
    }
}

#[test]
fn other_encodings_are_read() {
    let file = written(Format::Csv, 1, &plain("caf\u{1}")).into_bytes();
    let file: Vec<u8> = file.into_iter().map(|byte| if byte == 1 { 0xe9 } else { byte }).collect();
    let (records, _) = follow(Format::Csv, &file, &[file.len()]);
    assert_eq!(records[0].message, "caf\u{fffd}");
}

#[test]
fn logintel_knows_what_it_caused() {
    let of = |backend_type: &'static str, severity: &str, message: &str| {
        let line = Line { backend_type, ..plain(message) };
        let mut record = Record::parse(Format::Csv, csv(1, &line).as_bytes()).unwrap();
        record.error_severity = severity.into();
        if severity == "ERROR" {
            record.sql_state_code = Some("58030".into());
        }
        record
    };
    for (backend_type, severity, message, expected) in [
        ("logintel worker", "WARNING", "detector \"x\" was not trained", Origin::Own),
        ("logintel launcher", "LOG", "logintel waits for database \"x\"", Origin::Own),
        ("postmaster", "DEBUG1", "starting background worker process \"logintel worker\"", Origin::Own),
        (
            "postmaster",
            "LOG",
            "background worker \"logintel worker\" (PID 7) exited with exit code 1",
            Origin::Own,
        ),
        ("postmaster", "LOG", "server process (PID 7) was terminated by signal 9: Killed", Origin::Other),
        ("postmaster", "LOG", "background worker \"other\" (PID 7) exited with exit code 1", Origin::Other),
        (
            "autovacuum worker",
            "LOG",
            "automatic vacuum of table \"db.logintel.server_log\": index scans: 1",
            Origin::Own,
        ),
        (
            "autovacuum worker",
            "LOG",
            "automatic vacuum of table \"db.public.t\": index scans: 1\n.logintel.",
            Origin::Other,
        ),
        ("client backend", "LOG", "\"logintel worker\" .logintel.", Origin::Other),
        ("parallel worker", "LOG", "duration: 1 ms", Origin::Other),
        ("checkpointer", "LOG", "checkpoint starting: time", Origin::Aftermath),
        ("checkpointer", "ERROR", "could not fsync file", Origin::Other),
        ("archiver", "DEBUG1", "archived write-ahead log file", Origin::Aftermath),
        ("archiver", "LOG", "archive command failed with exit code 1", Origin::Other),
    ] {
        assert_eq!(origin(&of(backend_type, severity, message)), expected, "{backend_type}: {message}");
    }
    let mut helper = of("parallel worker", "LOG", "duration: 1 ms");
    helper.application_name = Some("logintel worker".into());
    assert_eq!(origin(&helper), Origin::Own);
}
