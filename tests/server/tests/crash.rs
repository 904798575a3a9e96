//! A process of the server is killed in the middle of anything, at a point that chance chooses: the server recovers, nothing is lost or
//! counted twice, the catalogs are sound, and the next tick runs.
//!
//! `LOGINTEL_CRASH_ROUNDS` says how often (`make crash`: 200). A round does one piece of [`Work`] and is struck by one [`Blow`]; all pairs
//! come in turn, in an order that depends on the seed.
use logintel_server_tests::chance::{seed, size};
use logintel_server_tests::postgres::{Client, Error};
use logintel_server_tests::{Ask, Chance, Cluster, Database, Mode, children, eventually, fill, integrity};
use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read as _, Write as _};
use std::process::Command;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

/// Rounds of the short form: each work and each blow at least once.
const ROUNDS: u64 = 8;
/// Rows of one batch, every third of them a fault.
const ROWS: u32 = 1500;
/// What the model `flip` has never seen as version 1, and alone has seen as version 2.
const TIGER: &str = "tiger number 3 came through door 1";

/// What is done when the blow comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Work {
    Insert,
    Copy,
    Train,
    Activate,
    ScoreHistory,
    Tick,
    Refresh,
    Life,
}

const WORKS: [Work; 8] = [
    Work::Insert,
    Work::Copy,
    Work::Train,
    Work::Activate,
    Work::ScoreHistory,
    Work::Tick,
    Work::Refresh,
    Work::Life,
];

/// What happens to the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Blow {
    /// kill -9 of the backend that works.
    Backend,
    /// kill -9 of logintel's worker in the middle of a tick.
    Worker,
    /// kill -9 of the postmaster. What it leaves behind ends by itself.
    Postmaster,
    /// `pg_ctl stop -m immediate`.
    Immediate,
}

const BLOWS: [Blow; 4] = [Blow::Backend, Blow::Worker, Blow::Postmaster, Blow::Immediate];

impl Work {
    /// What is needed before it; `batch` is the number of a new batch of rows.
    fn before(self, batch: u32) -> Vec<String> {
        match self {
            // Something to group, something that is old, something to learn from.
            Work::Tick => vec![insert(batch), OLD.to_owned(), DUE.to_owned()],
            Work::Refresh => vec![DUE.to_owned()],
            _ => Vec::new(),
        }
    }

    /// Whether it writes a batch of rows.
    fn writes(self) -> bool {
        matches!(self, Work::Insert | Work::Copy)
    }

    /// Does it in a session.
    fn run(self, session: &mut Client, batch: u32) -> Result<(), Error> {
        let sql = match self {
            Work::Copy => return copy(session, batch),
            Work::Insert => insert(batch),
            Work::Train => "SELECT logintel.train('app', until => '2026-01-02')".into(),
            // Each commits.
            Work::Activate => "DO $$ BEGIN FOR i IN 1 .. 50 LOOP PERFORM logintel.activate_model('flip', 1 + i % 2); COMMIT; END LOOP; END $$".into(),
            Work::ScoreHistory => {
                format!("SELECT logintel.score_history('app', since => {})", begin(batch.saturating_sub(8)))
            }
            Work::Tick => "CALL logintel.run_maintenance()".into(),
            Work::Refresh => {
                session.send("INSERT INTO logintel.view_changes DEFAULT VALUES")?;
                "CALL logintel.run_maintenance()".into()
            }
            // An incident that was resolved by somebody else meanwhile is left alone.
            Work::Life => "DO $$ DECLARE id bigint; BEGIN
                 FOR id IN SELECT incident_id FROM logintel.incidents WHERE status <> 'resolved' ORDER BY incident_id DESC LIMIT 40 LOOP
                     BEGIN
                         PERFORM logintel.acknowledge_incident(id, 'seen');
                         IF id % 2 = 0 THEN PERFORM logintel.resolve_incident(id, 'over'); END IF;
                     EXCEPTION WHEN object_not_in_prerequisite_state OR undefined_object THEN NULL;
                     END;
                     COMMIT;
                 END LOOP; END $$"
                .into(),
        };
        session.send(&sql).map(drop)
    }
}

/// Anomalies that the next tick removes.
const OLD: &str = "INSERT INTO logintel.anomalies (detector, ts, recorded_at, message, anomaly_score, reason)
    SELECT 'brief', now(), now() - interval '2 hours', 'old', 1, 'unseen_template' FROM generate_series(1, 12000)";
/// Lets the next tick train `school`.
const DUE: &str = "UPDATE logintel.model_versions SET trained_at = now() - interval '2 days' WHERE detector = 'school';
    UPDATE logintel.retrainings SET attempted_at = now() - interval '2 days', ended_at = attempted_at - interval '2 days'";

/// SQL for the time at which a batch begins: a while after that of the one before, so that each is an incident of its own.
fn begin(batch: u32) -> String {
    format!("(timestamptz '2026-01-02 00:00Z' + {batch} * interval '3 hours')")
}

/// The rows of a batch.
fn rows(batch: u32) -> String {
    format!(
        "SELECT {} + i * interval '200 ms', CASE WHEN i % 3 = 0 THEN 'ERROR' ELSE 'INFO' END, 'c' || i % 4, 'host' || i % 7,
                CASE WHEN i % 3 = 0 THEN 'fault {batch}-' || i ELSE 'user ' || i || ' logged in' END, {batch}
         FROM generate_series(1, {ROWS}) AS i",
        begin(batch)
    )
}

/// Inserts it.
fn insert(batch: u32) -> String {
    format!("INSERT INTO app_log (ts, level, component, source, message, batch) {}", rows(batch))
}

/// Inserts it by COPY, piece by piece.
fn copy(session: &mut Client, batch: u32) -> Result<(), Error> {
    let mut lines = Vec::new();
    let mut reader = session.copy_out(&format!("COPY ({}) TO STDOUT", rows(batch)))?;
    let is_read = reader.read_to_end(&mut lines).is_ok();
    drop(reader);
    let mut writer =
        session.copy_in("COPY app_log (ts, level, component, source, message, batch) FROM STDIN")?;
    for piece in lines.chunks(8 << 10) {
        // What is broken here, the end says as the server's error.
        if !is_read || writer.write_all(piece).and_then(|()| writer.flush()).is_err() {
            break;
        }
    }
    writer.finish().map(drop)
}

/// A table with detectors of every kind: `app` by statement, `row` by row, `pace` with rates, `brief` with nothing to keep; `flip` with two
/// versions that can be told apart; `school`, which the worker trains.
fn database(cluster: &Cluster) -> Database<'_> {
    let db = cluster.database("crash");
    let lines = |word: &str| {
        format!(
            "TRUNCATE doors; INSERT INTO doors SELECT now(), '{word} number ' || i || ' came through door ' || i % 7 FROM generate_series(1, 300) AS i;"
        )
    };
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text, batch int);
         CREATE INDEX ON app_log (ts);
         {};
         CREATE TABLE school_log AS SELECT now() - interval '1 hour' + i * interval '100 ms' AS ts, 'user ' || i || ' logged in' AS message
         FROM generate_series(1, 8000) AS i;
         CREATE TABLE doors (ts timestamptz, message text);
         SELECT logintel.create_detector('app', 'app_log', options => '{{\"rates\": false}}'),
                logintel.create_detector('row', 'app_log', options => '{{\"rates\": false}}'),
                logintel.create_detector('pace', 'app_log', options => '{{\"severity_override\": \"never\"}}'),
                logintel.create_detector('brief', 'app_log', options => '{{\"retention\": \"1 hour\"}}'),
                logintel.create_detector('school', 'school_log', options => '{{\"retrain\": \"1 day\", \"history\": \"1 day\"}}'),
                logintel.create_detector('flip', 'doors');
         SELECT logintel.train('app'), logintel.train('row'), logintel.train('pace'), logintel.train('school');
         SELECT logintel.watch('app'), logintel.watch('row', 'row'), logintel.watch('pace');
         {} SELECT logintel.train('flip'); {} SELECT logintel.train('flip')",
        fill("app_log", 6000),
        lines("elephant"),
        lines("tiger")
    ));
    db
}

/// What became of a round.
struct Struck {
    /// How often the work was done before.
    turns: usize,
    /// Whether a statement of it, or the worker's tick, was under way.
    in_the_middle: bool,
    /// From the blow until the server takes sessions again.
    down: Duration,
    /// From then until the worker has done a tick.
    until_tick: Duration,
}

/// A run: what is known of it so far.
struct Run<'a> {
    db: &'a Database<'a>,
    chance: Chance,
    /// How long each work takes when nobody disturbs it.
    lasts: BTreeMap<Work, Duration>,
    /// The number of the next batch; of those before it may be there those that were written.
    next: AtomicU32,
    /// Batches whose commit the server has confirmed.
    confirmed: Mutex<BTreeSet<u32>>,
}

impl<'a> Run<'a> {
    fn new(db: &'a Database<'a>, chance: Chance) -> Self {
        let mut run =
            Run { db, chance, lasts: BTreeMap::new(), next: AtomicU32::new(0), confirmed: Mutex::default() };
        for work in WORKS {
            run.prepare(work);
            let begun = Instant::now();
            run.turn(work, &mut db.client()).expect("nobody disturbs it");
            run.lasts.insert(work, begun.elapsed());
        }
        run
    }

    fn prepare(&self, work: Work) {
        let batch = self.next.fetch_add(1, Relaxed);
        for statement in work.before(batch) {
            self.db.execute(&statement);
        }
        if work == Work::Tick {
            self.confirm(batch);
        }
    }

    fn confirm(&self, batch: u32) {
        self.confirmed.lock().unwrap().insert(batch);
    }

    /// Does a work once.
    fn turn(&self, work: Work, session: &mut Client) -> Result<(), Error> {
        let batch = self.next.fetch_add(1, Relaxed);
        work.run(session, batch)?;
        if work.writes() {
            self.confirm(batch);
        }
        Ok(())
    }

    /// One round: a session does a work again and again until its server is struck.
    fn strike(&mut self, work: Work, blow: Blow) -> Struck {
        // The worker's tick shall have something to do.
        self.prepare(if blow == Blow::Worker { Work::Tick } else { work });
        let after = self.lasts[&work].mul_f64(self.chance.share() * 3.0);
        let point = self.chance.share();
        let run = &*self;
        let mut victim = run.db.client();
        let pid = i32::try_from(victim.count("SELECT pg_backend_pid()")).expect("a process id");
        let mut observer = run.db.client();
        let is_struck = &AtomicBool::new(false);
        let (turns, in_the_middle, down) = thread::scope(|scope| {
            let running = scope.spawn(move || {
                let mut turns = 0;
                while run.turn(work, &mut victim).is_ok() && !is_struck.load(Relaxed) {
                    turns += 1;
                }
                // The backend lives as long as its session.
                (turns, victim)
            });
            let worker = (blow == Blow::Worker).then(|| worker_in_the_middle(&mut observer, point)).flatten();
            if blow != Blow::Worker {
                thread::sleep(after);
            }
            let working = format!("SELECT state = 'active' FROM pg_stat_activity WHERE pid = {pid}");
            let in_the_middle = worker.is_some() || observer.ask(&working) == "t";
            let begun = Instant::now();
            // What the postmaster leaves behind is not asked for more; all else ends the session.
            is_struck.store(blow == Blow::Postmaster, Relaxed);
            kill(run.db.cluster(), blow, worker, pid, observer);
            let down = begun.elapsed();
            (running.join().expect("a session").0, in_the_middle, down)
        });
        let begun = Instant::now();
        // One that began before may have left to the next what a session was changing.
        let now = run.db.client().ask("SELECT clock_timestamp()");
        eventually("the worker has done a tick", || {
            let ticks = format!(
                "SELECT count(*) FROM logintel.worker_state() WHERE database = 'crash' AND last_start > '{now}' AND last_end > last_start AND failures = 0"
            );
            (run.db.client().count(&ticks) > 0).then_some(())
        });
        Struck { turns, in_the_middle, down, until_tick: begun.elapsed() }
    }

    /// What must hold at any moment.
    fn check(&self, what: &str) {
        let mut session = self.db.client();
        let none = |wrong: String, what_is_wrong: &str| assert_eq!(wrong, "", "{what}: {what_is_wrong}");
        none(integrity::not_flagged_once(&mut session, ERRORS), "an anomaly is lost or doubled");
        none(integrity::not_summed_up(&mut session, "brief"), "an incident is lost or doubled");
        none(integrity::not_told(&mut session), "an incident is not what was told of it");
        none(integrity::not_whole(&mut session), "a model is not whole");
        none(integrity::not_sound(&mut session), "amcheck");
        // A batch is there as a whole or not at all, and what was confirmed is there.
        let partly = format!(
            "SELECT batch, count(*) FROM app_log WHERE batch IS NOT NULL GROUP BY 1 HAVING count(*) <> {ROWS}"
        );
        none(session.ask(&partly), "half a batch");
        let batches = session.ask("SELECT DISTINCT batch FROM app_log WHERE batch IS NOT NULL");
        let batches: BTreeSet<u32> = batches.lines().map(|line| line.parse().expect("a batch")).collect();
        let lost: Vec<_> = self.confirmed.lock().unwrap().difference(&batches).copied().collect();
        assert!(lost.is_empty(), "{what}: {lost:?} were confirmed");
        none(
            session.ask(
                "SELECT ts, reason, template, count(*) FROM logintel.anomalies WHERE detector = 'pace' AND reason LIKE 'rate_%'
                 GROUP BY 1, 2, 3 HAVING count(*) > 1",
            ),
            "a rate is told of twice",
        );
        // The active models are there and whole, and judge as the version that is said to be active.
        assert_eq!(
            session.ask("SELECT (logintel.detect('app', 'user 7 logged in')).is_anomaly"),
            "f",
            "{what}"
        );
        assert_eq!(
            session.ask(&format!("SELECT (logintel.detect('flip', '{TIGER}')).is_anomaly = (active_version = 1) FROM logintel.detectors WHERE name = 'flip'")),
            "t",
            "{what}"
        );
        assert_eq!(session.ask("SELECT count(*) FROM logintel.scoring_failures"), "0", "{what}");
    }
}

/// All rows that both detectors must have flagged.
const ERRORS: &str = "SELECT detector, message, ts FROM app_log, unnest('{app,row}'::text[]) AS detector WHERE level = 'ERROR'";

/// A worker in the middle of a tick, at a point of it: from its beginning to what such a tick takes. None where there is no tick to be
/// caught.
fn worker_in_the_middle(observer: &mut Client, point: f64) -> Option<i32> {
    const LONGEST: Duration = Duration::from_millis(400);
    let running =
        "SELECT pid FROM pg_stat_activity WHERE backend_type = 'logintel worker' AND query LIKE 'CALL %'";
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs(5) {
        if let Ok(pid) = observer.ask(running).parse::<i32>() {
            thread::sleep(LONGEST.mul_f64(point));
            if observer.ask(running) == pid.to_string() {
                return Some(pid);
            }
        }
    }
    None
}

/// Kills a process; whether the server has noticed, which it does not where the process had just ended by itself.
fn is_killed(cluster: &Cluster, pid: i32) -> bool {
    let before = cluster.log_lines(&["terminated by signal 9"]);
    let begun = Instant::now();
    let sent = Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status().expect("kill").success();
    while sent && begun.elapsed() < Duration::from_secs(10) {
        if cluster.log_lines(&["terminated by signal 9"]) > before {
            return true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    false
}

/// Strikes, and waits until the server takes sessions again. Where there is no worker to be killed it is the backend's turn.
fn kill(cluster: &Cluster, blow: Blow, worker: Option<i32>, backend: i32, observer: Client) {
    match blow {
        Blow::Backend | Blow::Worker => {
            let is_done = worker.is_some_and(|pid| is_killed(cluster, pid)) || is_killed(cluster, backend);
            assert!(is_done, "the crash is not noticed");
        }
        Blow::Postmaster => {
            let postmaster = cluster.postmaster();
            let orphans = children(postmaster);
            cluster.signal("KILL", postmaster);
            // A backend notices when it waits for something, as an idle one does.
            drop(observer);
            eventually("what the postmaster has left behind ends", || {
                orphans
                    .iter()
                    .all(|pid| !std::path::Path::new(&format!("/proc/{pid}")).exists())
                    .then_some(())
            });
            cluster.start_again();
        }
        Blow::Immediate => {
            cluster.stop(Mode::Immediate);
            cluster.start_again();
        }
    }
    cluster.wait_until_up();
}

/// So many pairs: all in turn, each time in another order.
fn pairs(chance: &mut Chance, rounds: usize) -> Vec<(Work, Blow)> {
    let mut pairs = Vec::new();
    while pairs.len() < rounds {
        let (mut works, mut blows) = (WORKS, BLOWS);
        chance.shuffle(&mut works);
        chance.shuffle(&mut blows);
        // Rows of a Latin square: after eight pairs each work has had its turn, after 32 each pair.
        for shift in 0..BLOWS.len() {
            pairs.extend((0..WORKS.len()).map(|at| (works[at], blows[(at + shift) % BLOWS.len()])));
        }
    }
    pairs.truncate(rounds);
    pairs
}

#[test]
fn whatever_is_killed_nothing_is_lost_or_doubled() {
    let rounds = size("LOGINTEL_CRASH_ROUNDS", ROUNDS) as usize;
    let mut chance = Chance::new(seed(1));
    let cluster = Cluster::start(
        "crash",
        &["logintel.interval = '1s'", "logintel.databases = 'crash'", "timezone = 'UTC'"],
    );
    let mut struck: BTreeMap<(Work, Blow), Vec<Struck>> = BTreeMap::new();
    let pairs = pairs(&mut chance, rounds);
    // What there is to look at grows: after all pairs a new database.
    for (series, pairs) in pairs.chunks(WORKS.len() * BLOWS.len()).enumerate() {
        let db = database(&cluster);
        // So that the launcher does not find it by itself in a minute.
        cluster.reload();
        let mut run = Run::new(&db, chance.fork());
        run.check("at the beginning");
        for (round, &(work, blow)) in pairs.iter().enumerate() {
            struck.entry((work, blow)).or_default().push(run.strike(work, blow));
            run.check(&format!("series {series}, round {round}: {work:?}, {blow:?}"));
        }
        finish(&run);
    }
    summary(&struck);
    let in_the_middle = struck.values().flatten().filter(|struck| struck.in_the_middle).count();
    assert!(in_the_middle * 2 > rounds, "only {in_the_middle} of {rounds} blows came in the middle");
}

/// The checks themselves: each finds what it is there for.
#[test]
fn what_is_broken_is_found() {
    let db = database(Cluster::shared());
    let mut session = db.client();
    session.ask(&insert(1));
    session.ask("CALL logintel.run_maintenance()");
    let checks: [&dyn Fn(&mut Client) -> String; 4] = [
        &|session| integrity::not_flagged_once(session, ERRORS),
        &|session| integrity::not_summed_up(session, "brief"),
        &integrity::not_told,
        &integrity::not_whole,
    ];
    let one = "(SELECT max(anomaly_id) FROM logintel.anomalies WHERE detector = 'row' AND level = 'ERROR')";
    let damages = [
        (0, format!("DELETE FROM logintel.anomalies WHERE anomaly_id = {one}")),
        (
            0,
            format!(
                "INSERT INTO logintel.anomalies (detector, ts, level, message, anomaly_score, reason)
                 SELECT detector, ts, level, message, anomaly_score, reason FROM logintel.anomalies WHERE anomaly_id = {one}"
            ),
        ),
        (0, "DELETE FROM app_log WHERE ctid = (SELECT max(ctid) FROM app_log WHERE level = 'ERROR')".into()),
        (1, format!("UPDATE logintel.anomalies SET incident_id = NULL WHERE anomaly_id = {one}")),
        (1, format!("UPDATE logintel.anomalies SET incident_id = 1000000 WHERE anomaly_id = {one}")),
        (1, "UPDATE logintel.incidents SET event_count = event_count + 1 WHERE detector = 'app'".into()),
        (2, "DELETE FROM logintel.incident_events WHERE event = 'opened' AND detector = 'app'".into()),
        (2, "INSERT INTO logintel.incident_events (incident_id, detector, actor, event, to_status)
             SELECT incident_id, detector, 'a', 'opened', status FROM logintel.incidents LIMIT 1".into()),
        (3, "DELETE FROM logintel.model_clusters WHERE detector = 'app'".into()),
        (3, "UPDATE logintel.detectors SET active_version = 77 WHERE name = 'app'".into()),
    ];
    for check in checks {
        assert_eq!(check(&mut session), "");
    }
    for (number, damage) in damages {
        session.ask("BEGIN");
        session.ask(&damage);
        assert_ne!(checks[number](&mut session), "", "{damage}");
        session.ask("ROLLBACK");
    }
}

/// Says what was done.
fn summary(struck: &BTreeMap<(Work, Blow), Vec<Struck>>) {
    let longest = |times: Vec<Duration>| times.into_iter().max().unwrap_or_default().as_secs_f64();
    eprintln!(
        "work, blow: rounds, in the middle of it, turns before; longest time until sessions, until the next tick"
    );
    for ((work, blow), rounds) in struck {
        eprintln!(
            "{work:?}, {blow:?}: {}, {}, {}; {:.1} s, {:.1} s",
            rounds.len(),
            rounds.iter().filter(|round| round.in_the_middle).count(),
            rounds.iter().map(|round| round.turns).sum::<usize>(),
            longest(rounds.iter().map(|round| round.down).collect()),
            longest(rounds.iter().map(|round| round.until_tick).collect())
        );
    }
}

/// What was cut off is done by the next tick, and all is the same as when nobody disturbs.
fn finish(run: &Run) {
    let db = run.db;
    let mut session = db.client();
    session.ask("CALL logintel.run_maintenance()");
    run.check("at the end");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.anomalies WHERE NOT is_grouped"), "0");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.anomalies WHERE detector = 'brief'"), "0");
    assert_eq!(session.ask("SELECT count(*) FROM logintel.incidents WHERE is_stale"), "0");
    // A detector that sees the same rows at once.
    db.execute(
        "CREATE TABLE calm_log AS SELECT * FROM app_log WHERE ts < '2026-01-02';
         SELECT logintel.create_detector('calm', 'calm_log', options => '{\"rates\": false}');
         SELECT logintel.train('calm');
         SELECT logintel.watch('calm');
         INSERT INTO calm_log SELECT * FROM app_log WHERE ts >= '2026-01-02'",
    );
    session.ask("CALL logintel.run_maintenance()");
    let mut incidents = |detector: &str| {
        session.ask(&format!(
            "SELECT start_time, end_time, event_count, severity_score, sources, components, levels, messages
             FROM logintel.incidents WHERE detector = '{detector}' ORDER BY start_time"
        ))
    };
    let calm = incidents("calm");
    assert!(calm.lines().count() > 2);
    assert_eq!(incidents("app"), calm);
    assert_eq!(incidents("row"), calm);
    assert_eq!(
        session.ask("SELECT sum(anomalies) FROM logintel.component_health"),
        session.ask("SELECT count(*) FROM logintel.anomalies")
    );
    eprintln!(
        "{} batches of {ROWS} rows, {} confirmed; {} anomalies; {} incidents",
        session.ask("SELECT count(DISTINCT batch) FROM app_log"),
        run.confirmed.lock().unwrap().len(),
        session.ask("SELECT count(*) FROM logintel.anomalies WHERE detector <> 'calm'"),
        session.ask("SELECT count(*) FROM logintel.incidents WHERE detector <> 'calm'")
    );
}
