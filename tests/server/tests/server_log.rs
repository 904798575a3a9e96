//! The server's own log: every line that others write comes once, whatever is rotated, restarted, killed, torn or truncated;
//! none that logintel causes; for administrators only; and incidents of what happens to the server.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, Database, Mode, eventually};
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A cluster whose log is followed into its database `logs`.
fn start(name: &str, destination: &str, settings: &[&str]) -> Cluster {
    let destination = format!("log_destination = '{destination}'");
    let mut all = vec![
        "logging_collector = on",
        &destination,
        "log_directory = 'log'",
        "log_filename = 'pg-%Y%m%d_%H%M%S.log'",
        "checkpoint_timeout = '1h'",
        "logintel.interval = '1s'",
        "logintel.follow_server_log = on",
        "logintel.databases = 'logs'",
    ];
    all.extend(settings);
    Cluster::start(name, &all)
}

/// Lets the server write the lines of these numbers, with all that makes a line hard to read.
fn say(db: &Database, numbers: std::ops::RangeInclusive<i32>) {
    let (from, to) = numbers.into_inner();
    db.client().ask(&format!(
        "DO $do$ BEGIN FOR i IN {from}..{to} LOOP
             RAISE LOG E'number %: \"quoted\", comma\\nsecond line \\\\ \\t''x'' {{\"timestamp\":\"1\"}} %', i, repeat('ä', i % 40);
         END LOOP; END $do$"
    ));
}

/// Waits until the last number has come, and asserts that all have, once each.
fn all_have_come(db: &Database, last: i32) {
    let mut session = db.client();
    let number = "substring(message FROM '^number (\\d+)')::int";
    let has_come = format!("SELECT count(*) FROM logintel.server_log WHERE {number} = {last}");
    eventually("the last line has come", || (session.count(&has_come) > 0).then_some(()));
    let missing = session.ask(&format!(
        "SELECT n, count({number}) FROM generate_series(1, {last}) AS n LEFT JOIN logintel.server_log ON {number} = n
         GROUP BY n HAVING count({number}) <> 1 ORDER BY n LIMIT 20"
    ));
    assert_eq!(missing, "", "lines that did not come once");
    let whole = session.ask(&format!(
        "SELECT count(*) FROM logintel.server_log WHERE {number} > 0
         AND message <> 'number ' || {number} || E': \"quoted\", comma\\nsecond line \\\\ \\t''x'' {{\"timestamp\":\"1\"}} ' || repeat('ä', {number} % 40)"
    ));
    assert_eq!(whole, "0", "lines that are not what was said");
}

/// Waits until the worker has begun and ended some ticks more.
fn wait_for_ticks(session: &mut Client, ticks: usize) {
    let last = "SELECT last_end FROM logintel.worker_state() WHERE database = current_database()";
    for _ in 0..=ticks {
        let before = session.ask(last);
        eventually("a tick", || (session.ask(last) != before).then_some(()));
    }
}

/// The file that the server writes now.
fn present_file(db: &Database, format: &str) -> PathBuf {
    let path = db
        .client()
        .ask(&format!("SELECT current_setting('data_directory') || '/' || pg_current_logfile('{format}')"));
    PathBuf::from(path)
}

fn append(file: &Path, bytes: &[u8]) {
    OpenOptions::new().append(true).open(file).unwrap().write_all(bytes).unwrap();
}

/// Another record of the same kind: a line that the server wrote, with another number.
fn forged(file: &Path, template: i32, number: i32) -> Vec<u8> {
    let is_json = file.extension().is_some_and(|extension| extension == "json");
    let files = fs::read_dir(file.parent().unwrap()).unwrap().map(|entry| entry.unwrap().path());
    let texts =
        files.filter(|other| other.extension() == file.extension()).map(|other| fs::read(other).unwrap());
    let mut texts = texts.map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    let wanted = format!("number {template}:");
    let text = texts.find(|text| text.contains(&wanted)).expect("a line that was said");
    let at = text.find(&wanted).unwrap();
    let start = if is_json { "{\"timestamp\":\"2" } else { "\n2" };
    // The first of a file has no line before it.
    let begin = text[..at].rfind(start).map_or(0, |begin| begin + usize::from(!is_json));
    let end = at
        + text[at..]
            .find(if is_json { "}\n" } else { "\n2" })
            .map_or(text.len() - at, |end| end + 1 + usize::from(is_json));
    // What is said depends on the number modulo 40; the line's own number is another, too.
    assert_eq!((number - template) % 40, 0);
    let record = text[begin..end].replace(&format!("number {template}:"), &format!("number {number}:"));
    let record = if is_json {
        record.replacen("\"line_num\":", "\"line_num\":777", 1)
    } else {
        let mut fields: Vec<_> = record.splitn(8, ',').map(str::to_owned).collect();
        fields[6] = format!("777{}", fields[6]);
        fields.join(",")
    };
    record.into_bytes()
}

/// A log of numbered lines that many things happen to.
struct Told<'a> {
    cluster: &'a Cluster,
    db: Database<'a>,
    format: &'a str,
    /// The last number that was said.
    last: i32,
}

impl Told<'_> {
    fn say(&mut self, more: i32) {
        say(&self.db, self.last + 1..=self.last + more);
        self.last += more;
    }

    fn all_have_come(&self) {
        all_have_come(&self.db, self.last);
    }

    fn present_file(&self) -> PathBuf {
        present_file(&self.db, self.format)
    }

    /// Restarts, with and without warning, in the middle of it.
    fn restart(&mut self) {
        for mode in [Mode::Fast, Mode::Immediate, Mode::Immediate] {
            self.say(200);
            self.cluster.stop(mode);
            self.cluster.start_again();
        }
        self.all_have_come();
    }

    /// The worker is killed while it reads, however far it has come: the server drops all sessions and recovers.
    fn kill(&mut self) {
        for _ in 0..4 {
            self.say(2000);
            let mut looks = 0;
            let pid: i32 = eventually("a worker", || {
                looks += 1;
                // Where it has read all before it was seen, it is killed in whatever it does.
                let what = if looks < 100 { "following%" } else { "%" };
                let sql = "SELECT pid FROM pg_stat_activity WHERE backend_type = 'logintel worker' AND query LIKE $1";
                self.cluster.wait_until_up().query_opt(sql, &[&what]).ok().flatten().map(|row| row.get(0))
            });
            // It may have ended by itself meanwhile: then no session is dropped.
            let mut witness = self.db.client();
            let killed = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).output().unwrap();
            let mut looks = if killed.status.success() { 100 } else { 0 };
            while looks > 0 && witness.send("SELECT pg_sleep(0.05)").is_ok() {
                looks -= 1;
            }
            eventually("the database is back", || self.cluster.try_connect("logs", "postgres").ok());
        }
        self.all_have_come();
    }

    /// A line comes in two parts; a torn one and garbage take nothing with them.
    fn tear(&mut self) {
        let mut session = self.db.client();
        self.say(1);
        self.all_have_come();
        let file = self.present_file();
        let forged_number = self.last + 40;
        let record = forged(&file, self.last, forged_number);
        let (first, second) = record.split_at(record.len() / 2);
        let come =
            format!("SELECT count(*) FROM logintel.server_log WHERE message LIKE 'number {forged_number}:%'");
        append(&file, first);
        wait_for_ticks(&mut session, 3);
        assert_eq!(session.count(&come), 0);
        append(&file, second);
        eventually("its second part has been read", || (session.count(&come) == 1).then_some(()));
        self.say(39);
        self.last = forged_number;
        append(&file, first);
        self.say(10);
        append(&self.present_file(), b"\0\0\0\xff\xfe garbage\n \",\"\n,,,\n{}\n");
        self.say(10);
        self.all_have_come();
        assert!(session.count("SELECT sum(broken_bytes) FROM logintel.server_log_files") > 0);
    }

    /// A copy of a file brings nothing twice, and is forgotten when it is removed.
    fn copy(&mut self) {
        let mut session = self.db.client();
        let file = self.present_file();
        let copy = file.with_file_name("pg-20200101_000000").with_extension(file.extension().unwrap());
        fs::copy(&file, &copy).unwrap();
        let status = Command::new("chown").arg("--reference").args([&file, &copy]).status();
        assert!(status.unwrap().success());
        let known = "SELECT is_finished, lines FROM logintel.server_log_files WHERE file_name ~ '20200101'"
            .to_owned();
        eventually("it is read", || (session.ask(&known) == "t|0").then_some(()));
        self.say(10);
        self.all_have_come();
        fs::remove_file(copy).unwrap();
        eventually("it is forgotten", || session.ask(&known).is_empty().then_some(()));
    }

    /// The server writes the same file anew, or somebody truncates it: shorter, and longer, than it was.
    fn truncate(&mut self) {
        for more in [10, 150] {
            OpenOptions::new().write(true).open(self.present_file()).unwrap().set_len(0).unwrap();
            self.say(more);
            self.all_have_come();
        }
    }
}

fn comes_once(format: &str) {
    let cluster = start(format, format, &["log_rotation_size = '64kB'"]);
    let db = cluster.database("logs");
    cluster.reload();
    // What was rotated away before the worker first looked is passed over.
    let known = "SELECT count(*) FROM logintel.server_log_files";
    eventually("it is followed", || (db.client().count(known) > 0).then_some(()));
    let mut told = Told { cluster: &cluster, db, format, last: 0 };
    told.say(500);
    told.db.client().ask("SELECT pg_rotate_logfile()");
    told.say(500);
    told.all_have_come();
    told.restart();
    told.kill();
    told.tear();
    told.copy();
    told.truncate();
    let mut session = told.db.client();
    let files = session.count("SELECT count(*) FROM logintel.server_log_files WHERE is_finished");
    assert!(files > 5, "{files} files were rotated");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.server_log WHERE backend_type ~ '^logintel'"), "0");
    assert_eq!(
        session.ask(&format!(
            "SELECT DISTINCT error_severity, sql_state_code, user_name, database_name, backend_type, application_name, connection_from,
                    context ~ 'inline_code_block', log_time BETWEEN now() - interval '1 hour' AND now()
             FROM logintel.server_log WHERE message LIKE 'number {}:%'",
            told.last
        )),
        "LOG|00000|postgres|logs|client backend|server test|[local]|t|t"
    );
}

#[test]
fn every_line_of_csvlog_comes_once() {
    comes_once("csvlog");
}

#[test]
fn every_line_of_jsonlog_comes_once() {
    comes_once("jsonlog");
}

#[test]
fn what_logintel_writes_itself_feeds_nothing() {
    let cluster = start(
        "feedback",
        "csvlog",
        &[
            "autovacuum = off",
            "log_statement = 'all'",
            "log_min_duration_statement = 0",
            "log_min_messages = 'debug1'",
            "log_connections = on",
            "log_disconnections = on",
            "log_checkpoints = on",
        ],
    );
    let db = cluster.database("logs");
    cluster.reload();
    let mut session = db.client();
    session.ask("SET log_statement = 'none'");
    session.ask("SET log_min_messages = 'fatal'");
    session.ask("SET log_min_duration_statement = -1");
    let count = "SELECT count(*) FROM logintel.server_log";
    let rest = |session: &mut Client| {
        eventually("nothing more comes", || {
            let before = session.count(count);
            wait_for_ticks(session, 3);
            (before > 0 && session.count(count) == before).then_some(before)
        })
    };
    let before = rest(&mut session);
    wait_for_ticks(&mut session, 5);
    assert_eq!(session.count(count), before);
    // The checkpoint that storing lines brings about, too, is logged: its lines wait for others.
    session.ask("CHECKPOINT");
    wait_for_ticks(&mut session, 5);
    assert_eq!(session.count(count), before);
    let of_checkpointer = "SELECT count(*) FROM logintel.server_log WHERE backend_type = 'checkpointer' AND message ~ 'force wait'";
    assert_eq!(session.count(of_checkpointer), 0);
    say(&db, 1..=1);
    all_have_come(&db, 1);
    assert_eq!(session.count(of_checkpointer), 1);
    rest(&mut session);
    // There was something to leave out.
    let log = fs::read_to_string(present_file(&db, "csvlog")).unwrap();
    assert!(log.matches("\"logintel worker\"").count() > 20);
    assert_eq!(
        session.ask("SELECT count(*) FROM logintel.server_log WHERE message ~ 'logintel worker' OR backend_type ~ 'logintel'"),
        "0"
    );
    assert!(session.count("SELECT sum(left_out) FROM logintel.server_log_files") > 0);
}

fn server_log(session: &mut Client) -> String {
    session.ask("SELECT database || ': ' || server_log FROM logintel.worker_state() WHERE server_log IS NOT NULL ORDER BY 1")
}

#[test]
fn what_is_missing_is_said_once_and_fails_nothing() {
    let cluster = start("missing", "stderr", &[]);
    let db = cluster.database("logs");
    cluster.reload();
    let mut session = db.client();
    let expected = "logs: log_destination has neither csvlog nor jsonlog. \
                    Set log_destination = 'csvlog', or add it to what is there, and reload the settings.";
    eventually("it is shown", || (server_log(&mut session) == expected).then_some(()));
    wait_for_ticks(&mut session, 3);
    assert_eq!(
        session.ask("SELECT failures, last_error FROM logintel.worker_state() WHERE database = 'logs'"),
        "0|"
    );
    let told = |destination: &str| {
        let file = present_file(&db, destination);
        let text = fs::read_to_string(file).unwrap();
        text.matches(
            "logintel does not follow the server's log: log_destination has neither csvlog nor jsonlog",
        )
        .count()
    };
    assert_eq!(told("stderr"), 1);
    cluster.set(&["log_destination = 'stderr,jsonlog'"]);
    eventually("it is followed", || (server_log(&mut session) == "logs: followed").then_some(()));
    say(&db, 1..=10);
    all_have_come(&db, 10);
    // Where both are written, the one that was followed stays; from one to the other nothing is lost.
    cluster.set(&["log_destination = 'csvlog,jsonlog'"]);
    say(&db, 11..=20);
    all_have_come(&db, 20);
    cluster.set(&["log_destination = 'jsonlog'"]);
    say(&db, 21..=30);
    all_have_come(&db, 30);
    // Switched off, nothing is read; switched on again, what was written meanwhile comes.
    cluster.set(&["logintel.follow_server_log = off"]);
    eventually("it rests", || server_log(&mut session).is_empty().then_some(()));
    say(&db, 31..=40);
    wait_for_ticks(&mut session, 2);
    assert_eq!(session.ask("SELECT count(*) FROM logintel.server_log WHERE message LIKE 'number 4%'"), "1");
    cluster.set(&["logintel.follow_server_log = on"]);
    all_have_come(&db, 40);
    drop(session);
    cluster.execute(&["ALTER SYSTEM SET logging_collector = off"]);
    cluster.stop(Mode::Fast);
    cluster.start_again();
    let mut session = db.client();
    eventually("the collector is missed", || {
        server_log(&mut session)
            .starts_with("logs: logging_collector is off. Set logging_collector = on")
            .then_some(())
    });
}

#[test]
fn one_database_takes_the_log() {
    let cluster = start("place", "csvlog", &[]);
    let (first, second) = (cluster.database("a"), cluster.database("b"));
    let mut session = second.client();
    cluster.set(&["logintel.databases = 'missing, b, a'"]);
    eventually("b takes it", || (server_log(&mut session) == "b: followed").then_some(()));
    cluster.set(&["logintel.databases = '*'"]);
    eventually("the older one takes it", || (server_log(&mut session) == "a: followed").then_some(()));
    say(&first, 1..=10);
    all_have_come(&first, 10);
    assert_eq!(session.ask("SELECT count(*) FROM logintel.server_log WHERE message LIKE 'number%'"), "0");
    // It moves on to the next, which begins with what the present file holds.
    drop(first);
    cluster.reload();
    eventually("it has moved on", || (server_log(&mut session) == "b: followed").then_some(()));
    say(&second, 11..=20);
    all_have_come(&second, 20);
    cluster.execute(&["CREATE EXTENSION logintel"]);
    cluster.reload();
    eventually("postgres takes it", || (server_log(&mut session) == "postgres: followed").then_some(()));
}

#[test]
fn the_log_is_for_administrators() {
    let db = Cluster::shared().database("server_log_rights");
    let mut session = db.client();
    session.ask(
        "DROP ROLE IF EXISTS server_log_reader, server_log_admin; CREATE ROLE server_log_reader LOGIN; CREATE ROLE server_log_admin LOGIN;
         GRANT logintel_writer TO server_log_reader; GRANT logintel_admin TO server_log_admin",
    );
    session.ask(
        "INSERT INTO logintel.server_log (log_time, session_id, session_line_num, error_severity, message, process_id)
         SELECT now(), '1.1', i, 'PANIC', 'the password is secret', 7 FROM generate_series(1, 3) AS i",
    );
    session.ask("CALL logintel.run_maintenance()");
    let seen = "SELECT (SELECT count(*) FROM logintel.anomalies), (SELECT count(*) FROM logintel.incidents),
                       (SELECT sum(anomalies) FROM logintel.component_health_v)";
    assert_eq!(session.ask(seen), "3|1|3");
    let (mut reader, mut admin) = (db.client_as("server_log_reader"), db.client_as("server_log_admin"));
    assert_eq!((reader.ask(seen), admin.ask(seen)), ("0|0|".to_owned(), "3|1|3".to_owned()));
    assert_eq!(admin.ask("SELECT count(*) FROM logintel.server_log"), "3");
    for refused in [
        "SELECT FROM logintel.server_log",
        "SELECT FROM logintel.server_log_files",
        "SELECT logintel.detect('server_log', 'x')",
        "SELECT logintel.train('server_log')",
        "SELECT * FROM logintel.log_timeline('server_log')",
    ] {
        assert_eq!(reader.refused(refused), "42501", "{refused}");
    }
    for refused in ["INSERT INTO logintel.server_log DEFAULT VALUES", "DELETE FROM logintel.server_log"] {
        assert_eq!(admin.refused(refused), "42501", "{refused}");
    }
    drop((db, reader, admin));
    Cluster::shared().execute(&["DROP ROLE server_log_reader, server_log_admin"]);
}

#[test]
fn old_lines_go() {
    let db = Cluster::shared().database("server_log_old");
    let mut session = db.client();
    session.ask(
        "INSERT INTO logintel.server_log (log_time, session_id, session_line_num, error_severity, message, process_id, recorded_at)
         SELECT '2020-01-01', '1.1', i, 'LOG', 'x', 7, now() - i * interval '1 day' FROM generate_series(1, 100) AS i",
    );
    let count = "SELECT count(*) FROM logintel.server_log";
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.count(count), 89);
    session.ask("SELECT logintel.alter_detector('server_log', '{\"retention\": \"10 days\"}')");
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.count(count), 9);
    // Without a detector there is still a bound.
    session.ask("SELECT logintel.drop_detector('server_log')");
    session.ask(
        "UPDATE logintel.server_log SET recorded_at = now() - interval '91 days' WHERE session_line_num > 5",
    );
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.count(count), 5);
}

#[test]
fn a_fault_of_the_server_becomes_an_incident() {
    let cluster = start("fault", "csvlog", &["log_connections = on", "max_worker_processes = 16"]);
    let db = cluster.database("logs");
    cluster.reload();
    let mut session = db.client();
    // Lines enough that the detector is trained by itself.
    let ordinary = "DO $do$ BEGIN FOR i IN 1..600 LOOP
             RAISE LOG 'job % has taken % ms', i, i % 90;
             RAISE LOG 'order % could not be stored', i;
         END LOOP; END $do$";
    session.ask(ordinary);
    let version = "SELECT count(*) FROM logintel.models WHERE detector = 'server_log' AND is_active";
    eventually("it is trained", || (session.count(version) == 1).then_some(()));
    assert_eq!(
        session.ask("SELECT outcome FROM logintel.retrainings WHERE detector = 'server_log'"),
        "activated"
    );
    let incidents = "SELECT count(*) FROM logintel.incidents WHERE detector = 'server_log'";
    assert_eq!(session.count(incidents), 0, "what is routine is no incident");
    for _ in 0..10 {
        assert!(cluster.try_connect("logs", "server_log_nobody").is_err());
    }
    let found = "SELECT event_count >= 10, components, sources, 'FATAL' = ANY (levels) FROM logintel.incidents WHERE detector = 'server_log'";
    eventually("there is an incident", || (session.ask(found).starts_with('t')).then_some(()));
    assert_eq!(session.ask(found), "t|{\"client backend\"}|{logs}|t");
    let messages = session.ask("SELECT messages FROM logintel.incidents WHERE detector = 'server_log'");
    assert!(messages.contains("role \\\"server_log_nobody\\\" does not exist"), "{messages}");
}
