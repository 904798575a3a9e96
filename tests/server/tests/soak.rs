//! Mixed load with random faults: nothing committed is lost or counted twice, no error but those that the faults bring about, and memory
//! stays.
//!
//! `LOGINTEL_SOAK_SECONDS` says how long (`make soak`: 30 minutes). In the first third processes are killed, too, which ends every session;
//! afterwards one session and the launcher live to the end, and their memory is compared.
use logintel_server_tests::chance::{seed, size};
use logintel_server_tests::postgres::{Client, Error};
use logintel_server_tests::{Ask, Chance, Cluster, Database, eventually, fill, integrity, memory};
use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread::{self, sleep};
use std::time::{Duration, Instant};

/// Seconds of the short form.
const SECONDS: u64 = 15;
/// Rows of one COPY, and which of them are faults.
const ROWS: usize = 1000;
const FAULTY: usize = 50;
/// Rows that the user keeps in his tables.
const KEPT: u32 = 60_000;

/// Errors that faults bring about: a cancel, a termination, a server that shuts down, crashes or starts, a lock that was not to be had.
const EXPECTED: [&str; 6] = ["57014", "57P01", "57P02", "57P03", "55P03", "connection"];
/// Errors of the operator's: an incident or anomaly that is gone, one that is resolved already, another of its kind that is open.
const EXPECTED_OF_OPERATOR: [&str; 3] = ["42704", "55000", "23505"];

/// What all threads share.
struct Load<'a> {
    db: &'a Database<'a>,
    /// Whether the load ends.
    is_over: AtomicBool,
    /// Whether processes are killed.
    is_rough: AtomicBool,
    /// The number of the next batch.
    next: AtomicU64,
    /// Batches whose commit the server has confirmed, and their rows.
    confirmed: Mutex<Vec<(u64, usize)>>,
    /// Errors by who met them and SQLSTATE: how many, and what the first said.
    errors: Mutex<BTreeMap<(String, String), (u64, String)>>,
    /// How often what was done.
    done: Mutex<BTreeMap<String, u64>>,
    /// How long INSERTs of one row took.
    latencies: Mutex<Vec<Duration>>,
}

impl<'a> Load<'a> {
    fn new(db: &'a Database<'a>) -> Self {
        Load {
            db,
            is_over: AtomicBool::new(false),
            is_rough: AtomicBool::new(true),
            next: AtomicU64::new(1),
            confirmed: Mutex::default(),
            errors: Mutex::default(),
            done: Mutex::default(),
            latencies: Mutex::default(),
        }
    }

    /// Does something again and again until the load ends, with a pause in between; in a new session where the old one has broken.
    fn repeat(
        &self,
        who: &str,
        pause: Duration,
        mut work: impl FnMut(&mut Client) -> Result<&'static str, Error>,
    ) {
        let mut session = None;
        while !self.is_over.load(Relaxed) {
            let Some(client) = &mut session else {
                session = self.connect(who);
                continue;
            };
            match work(client) {
                Ok(what) => *self.done.lock().unwrap().entry(format!("{who}: {what}")).or_default() += 1,
                Err(error) => {
                    self.note(who, &error);
                    if client.is_closed() {
                        session = None;
                    }
                }
            }
            sleep(pause);
        }
    }

    fn connect(&self, who: &str) -> Option<Client> {
        let result = self.db.cluster().try_connect(self.db.name(), "postgres");
        if let Err(error) = &result {
            self.note(who, error);
            sleep(Duration::from_millis(100));
        }
        result.ok()
    }

    fn note(&self, who: &str, error: &Error) {
        let (code, message) = error.as_db_error().map_or_else(
            || ("connection".to_owned(), error.to_string()),
            |db| (db.code().code().to_owned(), db.message().to_owned()),
        );
        let mut errors = self.errors.lock().unwrap();
        errors.entry((who.to_owned(), code)).or_insert((0, message)).0 += 1;
    }

    /// Writes one batch and remembers it once it is confirmed.
    fn write(&self, rows: usize, work: impl FnOnce(u64) -> Result<(), Error>) -> Result<(), Error> {
        let batch = self.next.fetch_add(1, Relaxed);
        work(batch)?;
        self.confirmed.lock().unwrap().push((batch, rows));
        Ok(())
    }

    /// One row in an INSERT of its own, now in this and now in that table.
    fn insert(&self, session: &mut Client, chance: &mut Chance) -> Result<(), Error> {
        let table = *chance.one_of(&TABLES);
        let (level, message) = match chance.below(50) {
            0 => ("ERROR", *chance.one_of(&KINDS)),
            1 => ("INFO", *chance.one_of(&["lamp 1 is out of order", "fan is silent", "unheard of"])),
            _ => ("INFO", "user 7 logged in"),
        };
        self.write(1, |batch| {
            let sql = format!(
                "INSERT INTO {table} (ts, level, component, source, message, batch)
                 VALUES (clock_timestamp(), '{level}', 'c{}', 's{}', '{message}' || CASE WHEN '{level}' = 'ERROR' THEN ' {batch}' ELSE '' END, {batch})",
                batch % 5,
                batch % 3
            );
            let begun = Instant::now();
            session.send(&sql)?;
            self.latencies.lock().unwrap().push(begun.elapsed());
            Ok(())
        })
    }

    /// A batch by COPY: rows of one quarter of an hour, far from those of other batches, so that each makes an incident of its own.
    fn copy(&self, session: &mut Client, chance: &mut Chance) -> Result<(), Error> {
        let (table, kind) = (*chance.one_of(&TABLES), *chance.one_of(&KINDS));
        self.write(ROWS, |batch| {
            let time = session.ask_kindly(&format!(
                "SELECT timestamptz '2026-01-02 00:00Z' + {batch} % 20000 * interval '1 hour'"
            ))?;
            let mut lines = Vec::new();
            for i in 0..ROWS {
                let (level, message) = if i % FAULTY == 0 {
                    ("ERROR", format!("{kind} {batch} {i}"))
                } else {
                    ("INFO", format!("user {i} logged in"))
                };
                writeln!(lines, "{time}\t{level}\tc{}\ts{}\t{message}\t{batch}", i % 5, i % 3)
                    .expect("memory");
            }
            let sql = format!("COPY {table} (ts, level, component, source, message, batch) FROM STDIN");
            let mut writer = session.copy_in(&sql)?;
            // What is broken here, the end says as the server's error.
            let _ = writer.write_all(&lines);
            writer.finish().map(drop)
        })
    }
}

/// A question whose answer is one value, and that may fail.
trait AskKindly {
    fn ask_kindly(&mut self, sql: &str) -> Result<String, Error>;
}

impl AskKindly for Client {
    fn ask_kindly(&mut self, sql: &str) -> Result<String, Error> {
        let row = self.query_one(&format!("SELECT ({sql})::text"), &[])?;
        Ok(row.get::<_, Option<String>>(0).unwrap_or_default())
    }
}

/// `app_log` is watched by statement, `web_log` by row.
const TABLES: [&str; 2] = ["app_log", "web_log"];

/// Both tables; where the rows of level ERROR go that the user deletes, and how many rows of each batch he has deleted.
fn database(cluster: &Cluster) -> Database<'_> {
    let db = cluster.database("soak");
    let table = |name: &str| {
        format!(
            "CREATE TABLE {name} (ts timestamptz, level text, component text, source text, message text, batch bigint,
                                  arrived timestamptz DEFAULT clock_timestamp());
             CREATE INDEX ON {name} (arrived); {}; ",
            fill(name, 3000)
        )
    };
    db.execute(&format!(
        "{}{}
         CREATE TABLE deleted (relation text, message text, ts timestamptz);
         CREATE TABLE deleted_rows (batch bigint, rows bigint);
         SELECT logintel.create_detector('app', 'app_log', options => '{{\"retrain\": \"1 hour\"}}'),
                -- Whole batches lie far from each other: to rates that is silence, which joins what is between to one incident.
                logintel.create_detector('web', 'web_log', options => '{{\"rates\": false}}'),
                logintel.create_detector('brief', 'app_log', options => '{{\"retention\": \"1 hour\"}}');
         SELECT logintel.train('app'), logintel.train('web'), logintel.train('brief');
         SELECT logintel.watch('app'), logintel.watch('web', 'row')",
        table("app_log"),
        table("web_log"),
    ));
    db
}

/// Beginnings of what is flagged whatever the model.
const KINDS: [&str; 5] =
    ["disk failed", "queue is full", "timeout", "no route to host", "checksum differs in block"];

/// Deletes what the user does not keep of a table, and writes down what it was.
fn delete(table: &str) -> String {
    format!(
        "WITH gone AS (
             DELETE FROM {table} WHERE ctid = ANY (ARRAY (
                 SELECT ctid FROM {table} ORDER BY arrived LIMIT greatest(0, (SELECT count(*) FROM {table}) - {KEPT})))
             RETURNING batch, level, message, ts),
         faults AS (INSERT INTO deleted SELECT '{table}', message, ts FROM gone WHERE level = 'ERROR')
         INSERT INTO deleted_rows SELECT batch, count(*) FROM gone WHERE batch IS NOT NULL GROUP BY 1"
    )
}

/// What people and their programs look at.
const LOOKS: [&str; 8] = [
    "SELECT * FROM logintel.incident_summary_v",
    "SELECT * FROM logintel.incident_timeline_v ORDER BY time DESC LIMIT 100",
    "SELECT * FROM logintel.component_health_v",
    "SELECT * FROM logintel.live_status",
    "SELECT * FROM logintel.status",
    "SELECT * FROM logintel.worker_stats",
    "SELECT * FROM logintel.anomalies ORDER BY anomaly_id DESC LIMIT 100",
    "SELECT * FROM logintel.incidents WHERE status <> 'resolved' ORDER BY updated_at DESC LIMIT 100",
];

/// What the operator does.
const MOVES: [&str; 5] = [
    "SELECT logintel.acknowledge_incident(incident_id, 'seen') FROM logintel.incidents WHERE status = 'open' ORDER BY random() LIMIT 3",
    "SELECT logintel.resolve_incident(incident_id, 'over') FROM logintel.incidents WHERE status = 'acknowledged' ORDER BY random() LIMIT 2",
    "SELECT logintel.reopen_incident(incident_id, 'again') FROM logintel.incidents WHERE status = 'resolved' ORDER BY random() LIMIT 1",
    "SELECT logintel.mark_normal(anomaly_id) FROM logintel.anomalies WHERE level = 'INFO' AND message LIKE 'lamp%' AND NOT starts_with(reason, 'rate_') LIMIT 1",
    "INSERT INTO logintel.suppressions (name, detector, component, since, until, expires_at)
     SELECT 'maintenance', 'app', 'c4', now() - interval '1 minute', now() + interval '5 seconds', now() + interval '1 minute'
     WHERE (SELECT count(*) FROM logintel.suppressions WHERE expires_at > now()) < 20",
];

/// What goes wrong. The first two end every session.
const FAULTS: [&str; 7] = [
    "backend killed",
    "worker killed",
    "backend terminated",
    "worker terminated",
    "statement canceled",
    "table locked",
    "settings read anew",
];
const ROUGH: usize = 2;

/// Kills one of these processes, if there is one, and waits until the server has noticed, which ends this session, too.
fn kill(session: &mut Client, of: &str) -> Result<(), Error> {
    let Ok(pid) = session.ask_kindly(&format!("SELECT pid FROM {of} AS p"))?.parse::<i32>() else {
        return Ok(());
    };
    // It may have ended meanwhile.
    let _ = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).output();
    let begun = Instant::now();
    while session.send("SELECT").is_ok() && begun.elapsed() < Duration::from_secs(5) {
        sleep(Duration::from_millis(50));
    }
    Ok(())
}

/// Lets something go wrong; what, if it could.
fn break_something(load: &Load, session: &mut Client, chance: &mut Chance) -> Result<&'static str, Error> {
    let first = if load.is_rough.load(Relaxed) { 0 } else { ROUGH };
    let fault = FAULTS[first + chance.below(FAULTS.len() - first)];
    // Not ourselves, and not the session whose memory is measured.
    let backend = "(SELECT pid FROM pg_stat_activity WHERE datname = 'soak' AND application_name = 'server test'
                    AND query NOT LIKE '%/* stays */%' AND pid <> pg_backend_pid() ORDER BY random() LIMIT 1)";
    let worker = "(SELECT pid FROM pg_stat_activity WHERE backend_type = 'logintel worker' LIMIT 1)";
    let mut signal =
        |function: &str, to: &str| session.send(&format!("SELECT {function}(pid) FROM {to} AS p")).map(drop);
    match fault {
        "backend killed" => kill(session, backend)?,
        "worker killed" => kill(session, worker)?,
        "backend terminated" => signal("pg_terminate_backend", backend)?,
        "worker terminated" => signal("pg_terminate_backend", worker)?,
        "statement canceled" => signal("pg_cancel_backend", backend)?,
        "table locked" => {
            let mode = chance.one_of(&["ACCESS EXCLUSIVE", "SHARE ROW EXCLUSIVE", "EXCLUSIVE"]);
            let (table, seconds) = (chance.one_of(&TABLES), chance.share() * 2.0);
            let lock = format!("LOCK TABLE {table} IN {mode} MODE; SELECT pg_sleep({seconds})");
            let result = session.send(&format!("BEGIN; SET LOCAL lock_timeout = '10s'; {lock}; COMMIT"));
            if result.is_err() {
                session.send("ROLLBACK")?;
            }
            result?;
        }
        _ => {
            let interval = chance.one_of(&["1s", "2s", "3s"]);
            session.send(&format!("ALTER SYSTEM SET logintel.interval = '{interval}'"))?;
            session.send("SELECT pg_reload_conf()")?;
        }
    }
    Ok(fault)
}

/// Memory in kB of what lives from the end of the rough time to the end.
#[derive(Debug, Default)]
struct Memory {
    /// Of the session that stays, and of the launcher: at the beginning and at the end.
    backend: Vec<u64>,
    launcher: Vec<u64>,
    /// The most that a worker had, in each tenth of the time.
    workers: [u64; 10],
}

/// A session that does a little of everything, and reports what memory it has.
fn stay(load: &Load, lasts: Duration) -> Memory {
    while load.is_rough.load(Relaxed) {
        sleep(Duration::from_millis(100));
    }
    let mut session = eventually("a session", || load.connect("resident"));
    let pid = session.count("SELECT pg_backend_pid() /* stays */") as i32;
    let launcher = eventually("the launcher", || {
        session.ask("SELECT pid FROM pg_stat_activity WHERE backend_type = 'logintel launcher'").parse().ok()
    });
    let mut memory_of = Memory::default();
    let begun = Instant::now();
    // Caches fill first.
    let warm = lasts / 10;
    while !load.is_over.load(Relaxed) {
        let result = session.send(
            "INSERT INTO app_log (ts, level, message) VALUES (clock_timestamp(), 'INFO', 'user 9 logged in') /* stays */;
             INSERT INTO web_log (ts, level, message) VALUES (clock_timestamp(), 'INFO', 'user 9 logged in') /* stays */;
             SELECT logintel.detect('app', 'user ' || i || ' logged in') FROM generate_series(1, 100) AS i /* stays */;
             SELECT count(*) FROM logintel.live_status /* stays */",
        );
        if let Err(error) = result {
            load.note("resident", &error);
        }
        // Both are there as long as they live, which is asserted at the end.
        if memory_of.backend.is_empty() && begun.elapsed() > warm {
            memory_of.backend.extend(memory(pid));
            memory_of.launcher.extend(memory(launcher));
        }
        let workers = session.ask_kindly(
            "SELECT max(pid) FROM pg_stat_activity WHERE backend_type = 'logintel worker' /* stays */",
        );
        if let Some(kb) = workers.ok().and_then(|pid| memory(pid.parse().ok()?)) {
            let tenth = (begun.elapsed().as_secs_f64() / lasts.as_secs_f64() * 10.0) as usize;
            let most = &mut memory_of.workers[tenth.min(9)];
            *most = kb.max(*most);
        }
        sleep(Duration::from_millis(20));
    }
    memory_of.backend.extend(memory(pid));
    memory_of.launcher.extend(memory(launcher));
    memory_of
}

#[test]
fn mixed_load_with_faults_loses_and_doubles_nothing() {
    let seconds = size("LOGINTEL_SOAK_SECONDS", SECONDS);
    let lasts = Duration::from_secs(seconds);
    let mut chance = Chance::new(seed(1));
    let cluster = Cluster::start(
        "soak",
        &["logintel.interval = '1s'", "logintel.databases = 'soak'", "max_wal_size = 4GB"],
    );
    let db = database(&cluster);
    cluster.reload();
    let load = &Load::new(&db);
    let memory_of = thread::scope(|scope| {
        for number in 0..2 {
            let mut chance = chance.fork();
            scope.spawn(move || {
                load.repeat(&format!("writer {number}"), Duration::from_millis(4), |session| {
                    load.insert(session, &mut chance).map(|()| "INSERT")
                });
            });
        }
        let mut of_copy = chance.fork();
        scope.spawn(move || {
            load.repeat("copy", Duration::from_millis(500), |session| {
                load.copy(session, &mut of_copy).map(|()| "COPY")
            });
        });
        scope.spawn(|| {
            load.repeat("retention", Duration::from_secs(1), |session| {
                TABLES.iter().try_for_each(|table| session.send(&delete(table)).map(drop)).map(|()| "DELETE")
            });
        });
        let mut of_looks = chance.fork();
        scope.spawn(move || {
            load.repeat("viewer", Duration::from_millis(50), |session| {
                session.send(of_looks.one_of::<&str>(&LOOKS)).map(|_| "SELECT")
            });
        });
        scope.spawn(|| {
            load.repeat("report", Duration::from_secs(3), |session| {
                session.send("SELECT logintel.report_html()").map(|_| "report_html")
            });
        });
        let mut of_moves = chance.fork();
        scope.spawn(move || {
            load.repeat("operator", Duration::from_millis(300), |session| {
                session.send(of_moves.one_of::<&str>(&MOVES)).map(|_| "a move")
            });
        });
        let mut of_training = chance.fork();
        scope.spawn(move || {
            load.repeat("trainer", Duration::from_secs(4), |session| {
                let detector = of_training.one_of(&["app", "web"]);
                session.send(&format!(
                    "SELECT logintel.train('{detector}');
                     SELECT logintel.activate_model('{detector}', min(version)) FROM logintel.models WHERE detector = '{detector}';
                     SELECT logintel.activate_model('{detector}', max(version)) FROM logintel.models WHERE detector = '{detector}'"
                ))
                .map(|_| "train, activate")
            });
        });
        scope.spawn(|| {
            load.repeat("ticker", Duration::from_secs(3), |session| {
                session.send("CALL logintel.run_maintenance()").map(|_| "CALL")
            });
        });
        let mut of_faults = chance.fork();
        scope.spawn(move || {
            let mut pause = of_faults.fork();
            load.repeat("fault", Duration::ZERO, |session| {
                // Rarer in a long run.
                sleep(Duration::from_secs_f64((0.2 + pause.share()) * if seconds > 120 { 6.0 } else { 1.0 }));
                break_something(load, session, &mut of_faults)
            });
        });
        let staying = scope.spawn(|| stay(load, lasts * 2 / 3));
        sleep(lasts / 3);
        load.is_rough.store(false, Relaxed);
        sleep(lasts * 2 / 3);
        load.is_over.store(true, Relaxed);
        staying.join().expect("the session that stays")
    });
    eventually("the worker has done what is left", || {
        let left = "SELECT count(*) FROM logintel.anomalies WHERE NOT is_grouped AND detector <> 'brief'";
        (db.client().ask(left) == "0").then_some(())
    });
    summary(load, &memory_of);
    check(load, &memory_of);
}

/// Says what was done, and what went wrong.
fn summary(load: &Load, memory_of: &Memory) {
    let mut session = load.db.client();
    let mut number = |sql: &str| session.ask(sql);
    let rows: usize = load.confirmed.lock().unwrap().iter().map(|(_, rows)| rows).sum();
    eprintln!("rows confirmed by the server: {rows}");
    for table in ["anomalies", "incidents", "alerts", "model_versions"] {
        eprintln!(
            "{table}: {}",
            number(&format!(
                "SELECT string_agg(detector || ' ' || n, ', ') FROM (SELECT detector, count(*) AS n FROM logintel.{table} GROUP BY 1 ORDER BY 1) AS t"
            ))
        );
    }
    for (what, times) in &*load.done.lock().unwrap() {
        eprintln!("{what}: {times}");
    }
    for ((who, code), (times, first)) in &*load.errors.lock().unwrap() {
        eprintln!("error {code}, {who}: {times}, the first: {first}");
    }
    let mut latencies = load.latencies.lock().unwrap();
    latencies.sort_unstable();
    let at = |share: f64| latencies[((latencies.len() - 1) as f64 * share) as usize];
    eprintln!(
        "INSERT of one row, {} times: median {:?}, 95 % {:?}, 99 % {:?}, most {:?}",
        latencies.len(),
        at(0.5),
        at(0.95),
        at(0.99),
        at(1.0)
    );
    eprintln!("memory in kB, {memory_of:?}");
    eprintln!(
        "worker: {}",
        number(
            "SELECT string_agg(step || ' ' || runs || ' runs, ' || errors || ' errors', '; ') FROM (SELECT step, sum(runs) AS runs, sum(errors) AS errors FROM logintel.worker_stats GROUP BY 1 ORDER BY 1) AS s"
        )
    );
}

/// What must hold at the end.
fn check(load: &Load, memory_of: &Memory) {
    let (db, cluster) = (load.db, load.db.cluster());
    let mut session = db.client();
    let none = |wrong: String, what: &str| assert_eq!(wrong, "", "{what}");
    // Every confirmed batch is there as a whole, or was; every other as a whole or not at all.
    session.ask("CREATE TABLE confirmed (batch bigint PRIMARY KEY, rows bigint)");
    let mut writer = session.copy_in("COPY confirmed FROM STDIN").expect("COPY");
    for (batch, rows) in &*load.confirmed.lock().unwrap() {
        writeln!(writer, "{batch}\t{rows}").expect("a line");
    }
    writer.finish().expect("COPY");
    none(
        session.ask(&format!(
            "SELECT batch, c.rows, r.rows FROM confirmed AS c FULL JOIN (
                 SELECT batch, sum(rows) AS rows FROM (
                     SELECT batch, count(*) AS rows FROM app_log WHERE batch IS NOT NULL GROUP BY 1 UNION ALL
                     SELECT batch, count(*) FROM web_log WHERE batch IS NOT NULL GROUP BY 1 UNION ALL
                     SELECT batch, rows FROM deleted_rows) AS r GROUP BY 1) AS r USING (batch)
             WHERE c.rows IS DISTINCT FROM r.rows AND (c.rows IS NOT NULL OR r.rows NOT IN (1, {ROWS})) LIMIT 10"
        )),
        "a batch is lost, or there in part",
    );
    none(
        integrity::not_flagged_once(
            &mut session,
            "SELECT 'app' AS detector, message, ts FROM app_log WHERE level = 'ERROR'
             UNION ALL SELECT 'web', message, ts FROM web_log WHERE level = 'ERROR'
             UNION ALL SELECT CASE relation WHEN 'app_log' THEN 'app' ELSE 'web' END, message, ts FROM deleted",
        ),
        "an anomaly is lost or doubled",
    );
    none(integrity::not_summed_up(&mut session, "brief"), "an incident is lost or doubled");
    none(integrity::not_told(&mut session), "an incident is not what was told of it");
    none(integrity::not_whole(&mut session), "a model is not whole");
    none(integrity::not_sound(&mut session), "amcheck");
    none(session.ask("SELECT * FROM logintel.scoring_failures LIMIT 5"), "rows were not scored");
    none(session.ask("SELECT name FROM logintel.detectors WHERE enabled AND relation::regclass::text LIKE '%_log' AND active_version IS NULL AND name IN ('app', 'web')"), "no model");
    assert_eq!(cluster.log_lines(&["deadlock detected"]), 0);
    assert_eq!(cluster.log_lines(&["PANIC:"]) + cluster.log_lines(&["panicked at"]), 0);
    let killed: u64 = load
        .done
        .lock()
        .unwrap()
        .iter()
        .filter(|(what, _)| what.ends_with("killed"))
        .map(|(_, times)| times)
        .sum();
    assert!(cluster.log_lines(&["terminated by signal"]) as u64 <= killed, "a process died by itself");
    // The next tick runs, and finds nothing wrong.
    session.ask("CALL logintel.run_maintenance()");
    none(
        session.ask("SELECT detector, step, last_error FROM logintel.worker_steps WHERE failures > 0"),
        "a step of the last tick failed",
    );
    let [backend, launcher] = [&memory_of.backend, &memory_of.launcher]
        .map(|kb| <[u64; 2]>::try_from(kb.as_slice()).expect("both lived to the end"));
    // A leak of 1 kB in each statement would be more than this in half an hour; caches of models are bounded by a setting.
    assert!(backend[1] < backend[0] + (32 << 10), "a session has grown: {backend:?} kB");
    assert!(launcher[1] < launcher[0] + (2 << 10), "the launcher has grown: {launcher:?} kB");
    let unexpected: Vec<_> = std::mem::take(&mut *load.errors.lock().unwrap())
        .into_iter()
        .filter(|((who, code), _)| {
            let of_operator = if who == "operator" { &EXPECTED_OF_OPERATOR[..] } else { &[] };
            !EXPECTED.iter().chain(of_operator).any(|expected| expected == code)
        })
        .collect();
    assert!(unexpected.is_empty(), "{unexpected:?}");
}
