//! A shipper for real: lines go from `logger` through rsyslog into its table, become anomalies as they are inserted, and
//! an incident. None is lost, none doubled.
use logintel_server_tests::{Ask, Cluster, Database, eventually};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The table of the module's createDB.sql.
const SYSTEM_EVENTS: &str = "CREATE TABLE SystemEvents (
    ID serial not null primary key, CustomerID bigint, ReceivedAt timestamp without time zone NULL, DeviceReportedTime timestamp without time zone NULL,
    Facility smallint NULL, Priority smallint NULL, FromHost varchar(60) NULL, Message text, NTSeverity int NULL, Importance int NULL, EventSource varchar(60),
    EventUser varchar(60) NULL, EventCategory int NULL, EventID int NULL, EventBinaryData text NULL, MaxAvailable int NULL, CurrUsage int NULL, MinUsage int NULL,
    MaxUsage int NULL, InfoUnitID int NULL, SysLogTag varchar(60), EventLogType varchar(60), GenericFileName VarChar(60), SystemID int NULL)";

fn script() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/rsyslog.sh")
}

/// rsyslogd with a configuration, a socket and a folder of its own; ended when dropped.
struct Rsyslog {
    dir: PathBuf,
    child: Child,
}

impl Rsyslog {
    /// Started, so that it writes into a database, as the role of its name; `None` where there is no rsyslog.
    fn start(db: &Database) -> Option<Self> {
        let found = Command::new(script()).arg("find").status().expect("tools/rsyslog.sh");
        if !found.success() {
            println!("skipped: rsyslog with ompgsql is not there (tools/rsyslog.sh get)");
            return None;
        }
        let dir = std::env::temp_dir().join(format!("rsyslog-{}-{}", std::process::id(), db.name()));
        let _ = fs::remove_dir_all(&dir);
        fs::create_dir_all(&dir).unwrap();
        let (host, port) = db.cluster().address();
        // The module takes names of up to 64 bytes.
        std::os::unix::fs::symlink(host, dir.join("pg")).unwrap();
        let config = format!(
            "global(workDirectory=\"{dir}\")
             module(load=\"imuxsock\" SysSock.Use=\"off\")
             module(load=\"ompgsql\")
             input(type=\"imuxsock\" Socket=\"{dir}/log\" RateLimit.Interval=\"0\")
             action(type=\"ompgsql\" server=\"{dir}/pg\" serverport=\"{port}\" db=\"{name}\" uid=\"{name}\" pwd=\"\"
                    action.resumeRetryCount=\"-1\")\n",
            name = db.name(),
            dir = dir.display(),
        );
        fs::write(dir.join("rsyslog.conf"), config).unwrap();
        let log = fs::File::create(dir.join("output")).unwrap();
        let child = Command::new(script())
            .args(["exec", "-n", "-f"])
            .arg(dir.join("rsyslog.conf"))
            .arg("-i")
            .arg(dir.join("pid"))
            .env("TZ", "UTC")
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("tools/rsyslog.sh");
        let mut rsyslog = Rsyslog { dir, child };
        eventually("rsyslogd listens", || {
            assert!(rsyslog.child.try_wait().unwrap().is_none(), "rsyslogd ended");
            rsyslog.socket().exists().then_some(())
        });
        Some(rsyslog)
    }

    fn socket(&self) -> PathBuf {
        self.dir.join("log")
    }

    /// Has `logger` send lines of a program, one of its processes.
    fn send(&self, program: &str, pid: usize, priority: &str, lines: &[String]) {
        let mut logger = Command::new("logger")
            .arg("-u")
            .arg(self.socket())
            .args(["-t", program, &format!("--id={pid}"), "-p", priority])
            .env("TZ", "UTC")
            .stdin(Stdio::piped())
            .spawn()
            .expect("logger, of bsdutils");
        logger.stdin.take().unwrap().write_all((lines.join("\n") + "\n").as_bytes()).unwrap();
        assert!(logger.wait().unwrap().success(), "logger");
    }
}

impl Drop for Rsyslog {
    fn drop(&mut self) {
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
        if std::thread::panicking() {
            let said = fs::read_to_string(self.dir.join("output")).unwrap_or_default();
            eprintln!("--- rsyslogd said\n{said}");
        }
        let _ = fs::remove_dir_all(&self.dir);
    }
}

/// Ordinary lines, each of them told apart by its number.
fn ordinary(range: std::ops::Range<usize>) -> Vec<String> {
    range
        .map(|i| match i % 4 {
            0 => format!("request {i} served in {} ms", i % 90),
            1 => format!("job {i} finished without complaint"),
            2 => format!("session {i} opened for user app"),
            _ => format!("session {i} closed for user app"),
        })
        .collect()
}

fn lines_become_an_incident(mode: &str) {
    let cluster = Cluster::shared();
    let db = cluster.database(&format!("shipper_{mode}"));
    db.execute(SYSTEM_EVENTS);
    // It may insert, and nothing else.
    db.execute(&format!(
        "CREATE ROLE {name} LOGIN; GRANT INSERT ON SystemEvents TO {name}; GRANT USAGE ON SEQUENCE systemevents_id_seq TO {name}",
        name = db.name()
    ));
    let Some(rsyslog) = Rsyslog::start(&db) else { return };
    let mut session = db.client();
    let arrived = |rows: i64| {
        let mut session = db.client();
        eventually(&format!("{rows} lines arrive"), || {
            let found = session.count("SELECT count(*) FROM systemevents");
            assert!(found <= rows, "{found} rows of {rows} lines");
            (found == rows).then_some(())
        });
    };
    // Every process writes ten lines; there are three programs.
    let programs = ["orders", "payments", "cron"];
    let mut sent = Vec::new();
    for process in 0..120 {
        let lines = ordinary(process * 10..process * 10 + 10);
        rsyslog.send(programs[process % 3], 1000 + process, "daemon.info", &lines);
        sent.extend(lines);
    }
    arrived(1200);
    session.ask(&format!(
        "SELECT logintel.create_detector('syslog', 'systemevents'); SELECT logintel.train('syslog'); SELECT logintel.watch('syslog', '{mode}')"
    ));
    assert_eq!(
        session.ask(
            "SELECT message, ts, level, component, source FROM logintel.detectors WHERE name = 'syslog'"
        ),
        "message|devicereportedtime|priority|syslogtag|fromhost"
    );

    let usual = ordinary(1200..1400);
    rsyslog.send("orders", 5000, "daemon.info", &usual);
    let strange =
        |words: &str, count: usize| (0..count).map(|i| format!("{words} number {i}")).collect::<Vec<_>>();
    let disk = strange("I/O failure on disk sda: sector unreadable,", 6);
    let killed = strange("Out of memory: killed process", 5);
    // What is ordinary, said with a level that is not.
    let grave = ordinary(1400..1404);
    rsyslog.send("kernel", 1, "kern.warning", &disk);
    rsyslog.send("kernel", 1, "kern.crit", &killed);
    rsyslog.send("payments", 5001, "daemon.err", &grave);
    sent.extend([usual, disk, killed, grave].concat());
    let rows = i64::try_from(sent.len()).unwrap();
    arrived(rows);

    // Every line is there once, and says what was sent.
    sent.sort();
    let mut stored: Vec<_> =
        session.ask("SELECT ltrim(message) FROM systemevents").lines().map(str::to_owned).collect();
    stored.sort();
    assert_eq!(stored, sent);
    // So is every anomaly.
    assert_eq!(
        session.ask(
            "SELECT component, level, reason, count(*), count(DISTINCT message), bool_and(source = (SELECT min(fromhost) FROM systemevents))
             FROM logintel.anomalies GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"
        ),
        "kernel|CRIT|ERROR_level|5|5|t\nkernel|WARNING|unseen_template|6|6|t\npayments|ERR|ERROR_level|4|4|t"
    );
    assert_eq!(session.count("SELECT count(*) FROM logintel.scoring_failures"), 0);
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(
        session.ask("SELECT event_count, array_to_string(levels, ','), array_to_string(components, ',') FROM logintel.incidents"),
        "11|CRIT,WARNING|kernel"
    );
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(session.ask("SELECT count(*), sum(event_count) FROM logintel.incidents"), "1|11");
    // What only its level flags founds no incident.
    assert_eq!(
        session
            .ask("SELECT component, count(*) FROM logintel.anomalies WHERE incident_id IS NULL GROUP BY 1"),
        "payments|4"
    );
}

#[test]
fn lines_of_rsyslog_are_scored_by_statement() {
    lines_become_an_incident("statement");
}

#[test]
fn lines_of_rsyslog_are_scored_by_row() {
    lines_become_an_incident("row");
}
