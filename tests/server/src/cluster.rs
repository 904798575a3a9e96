//! The cluster: `tools/cluster.sh` makes it, starts it, stops it and removes it.
use crate::{Database, PATIENCE, eventually};
use postgres::{Client, Config, NoTls};
use std::cell::Cell;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

/// Lines of the server log that a failed test shows.
const TAIL: usize = 60;

/// How a server is stopped; `pg_ctl` explains the modes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Waits for the sessions.
    Smart,
    /// Ends the sessions.
    Fast,
    /// Leaves recovery to the next start.
    Immediate,
}

/// A private cluster. Its superuser is `postgres`. Removed when dropped.
#[derive(Debug)]
pub struct Cluster {
    dir: PathBuf,
    socket: String,
    port: u16,
    programs: PathBuf,
    log: PathBuf,
}

/// The cluster of this test program, made by the first test that asks for it.
static SHARED: OnceLock<Cluster> = OnceLock::new();

thread_local! {
    /// Each test has a thread of its own, and shows the log once.
    static SHOWN: Cell<bool> = const { Cell::new(false) };
}

impl Cluster {
    /// The cluster that all tests of this program share. It ticks every second and has worker processes enough for
    /// many tests at once. Change no setting of it, and do not stop it.
    pub fn shared() -> &'static Cluster {
        unsafe extern "C" {
            fn atexit(function: extern "C" fn()) -> std::ffi::c_int;
        }
        extern "C" fn remove() {
            if let Some(cluster) = SHARED.get() {
                cluster.remove();
            }
        }
        SHARED.get_or_init(|| {
            // A static is never dropped.
            // SAFETY: registers a function that unwinds into nobody: it only starts a program.
            unsafe { atexit(remove) };
            Cluster::start(
                "shared",
                &["logintel.interval = '1s'", "max_worker_processes = 40", "max_connections = 100"],
            )
        })
    }

    /// A cluster of the test's own. `name` is unique in its file; `settings` are lines of postgresql.conf.
    ///
    /// # Panics
    /// When it cannot be made or started.
    pub fn start(name: &str, settings: &[&str]) -> Cluster {
        let dir = new_dir(name);
        let mut start = vec![OsStr::new("start"), dir.as_os_str()];
        start.extend(settings.iter().map(OsStr::new));
        script(&start);
        Cluster::at(dir)
    }

    /// A hot standby of this cluster. `name` is unique in its file.
    ///
    /// # Panics
    /// When it cannot be made or started.
    #[must_use]
    pub fn standby(&self, name: &str) -> Cluster {
        let dir = new_dir(name);
        script(&[OsStr::new("standby"), dir.as_os_str(), self.dir.as_os_str()]);
        Cluster::at(dir)
    }

    /// The running cluster of a folder.
    fn at(dir: PathBuf) -> Cluster {
        let [socket, port, programs, log] =
            ["PGHOST", "PGPORT", "LOGINTEL_PGBIN", "LOGINTEL_PGLOG"].map(|name| environment(&dir, name));
        let port = port.parse().expect("a port");
        Cluster { dir, socket, port, programs: programs.into(), log: log.into() }
    }

    /// Makes database `name` with the extension in it; replaces one of that name.
    pub fn database(&self, name: &str) -> Database<'_> {
        let database = self.plain_database(name);
        database.execute("CREATE EXTENSION logintel");
        database
    }

    /// Makes database `name` without the extension; replaces one of that name.
    pub fn plain_database(&self, name: &str) -> Database<'_> {
        Database::create(self, name)
    }

    /// A session of the superuser in database `postgres`.
    pub fn client(&self) -> Client {
        self.connect("postgres", "postgres")
    }

    /// A session.
    ///
    /// # Panics
    /// When the server refuses it.
    pub fn connect(&self, database: &str, user: &str) -> Client {
        self.try_connect(database, user)
            .unwrap_or_else(|error| panic!("cannot connect to {database} as {user}: {error}"))
    }

    /// A session, or the server's refusal.
    ///
    /// # Errors
    /// The server does not run, or refuses the session.
    pub fn try_connect(&self, database: &str, user: &str) -> Result<Client, postgres::Error> {
        Config::new()
            .host(&self.socket)
            .port(self.port)
            .user(user)
            .dbname(database)
            .application_name("server test")
            .connect_timeout(PATIENCE)
            .connect(NoTls)
    }

    /// Runs statements as the superuser in database `postgres`, each in a transaction of its own.
    ///
    /// # Panics
    /// When the server refuses one.
    pub fn execute(&self, statements: &[&str]) {
        let mut client = self.client();
        for statement in statements {
            client.batch_execute(statement).unwrap_or_else(|error| panic!("{statement}: {}", text(&error)));
        }
    }

    /// Changes settings for the whole cluster, as `ALTER SYSTEM SET` takes them, and lets the server read them.
    pub fn set(&self, settings: &[&str]) {
        let statements: Vec<_> =
            settings.iter().map(|setting| format!("ALTER SYSTEM SET {setting}")).collect();
        self.execute(&statements.iter().map(String::as_str).collect::<Vec<_>>());
        self.reload();
    }

    /// Lets the server read its settings. The worker then looks at every database at once.
    pub fn reload(&self) {
        self.execute(&["SELECT pg_reload_conf()"]);
    }

    /// Stops the server.
    pub fn stop(&self, mode: Mode) {
        let mode = match mode {
            Mode::Smart => "smart",
            Mode::Fast => "fast",
            Mode::Immediate => "immediate",
        };
        script(&[OsStr::new("stop"), self.dir.as_os_str(), OsStr::new(mode)]);
    }

    /// Starts a server that was stopped.
    pub fn start_again(&self) {
        script(&[OsStr::new("start"), self.dir.as_os_str()]);
    }

    /// Waits until the server takes sessions, for instance after a crash.
    pub fn wait_until_up(&self) -> Client {
        eventually("the server takes sessions", || self.try_connect("postgres", "postgres").ok())
    }

    /// A PostgreSQL client program of the same version (`psql`, `pg_dump`, `pgbench`), with this cluster as its server.
    pub fn program(&self, name: &str) -> Command {
        let mut command = Command::new(self.programs.join(name));
        command
            .env("PGHOST", &self.socket)
            .env("PGPORT", self.port.to_string())
            .env("PGUSER", "postgres")
            .env("PGDATABASE", "postgres");
        command
    }

    /// What a program of somebody else's connects to: a socket folder and a port.
    pub fn address(&self) -> (&str, u16) {
        (&self.socket, self.port)
    }

    /// Sends a signal to a process of the server.
    ///
    /// # Panics
    /// When there is no such process.
    pub fn signal(&self, signal: &str, pid: i32) {
        let status = Command::new("kill").args(["-s", signal, &pid.to_string()]).status().expect("kill");
        assert!(status.success(), "kill -s {signal} {pid}");
    }

    /// The server's first process.
    ///
    /// # Panics
    /// When the server does not run.
    pub fn postmaster(&self) -> i32 {
        let file = self.dir.join("data/postmaster.pid");
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        text.lines().next().and_then(|pid| pid.parse().ok()).expect("a process id")
    }

    /// Everything that the server has written to its log.
    pub fn log(&self) -> String {
        fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// How many lines of the log contain all of `parts`.
    pub fn log_lines(&self, parts: &[&str]) -> usize {
        self.log().lines().filter(|line| parts.iter().all(|part| line.contains(part))).count()
    }

    /// Shows the end of the server log if the test has failed; for whatever is dropped then.
    pub(crate) fn show_log_of_failure(&self) {
        if std::thread::panicking() && !SHOWN.replace(true) {
            self.show_log();
        }
    }

    /// Shows the end of the server log.
    pub fn show_log(&self) {
        let log = self.log();
        let lines: Vec<_> = log.lines().collect();
        eprintln!("--- the end of {}", self.log.display());
        for line in &lines[lines.len().saturating_sub(TAIL)..] {
            eprintln!("    | {line}");
        }
    }

    fn remove(&self) {
        // A failure is not worth a panic here: the next run removes what is left.
        let _ = Command::new(script_path()).arg("remove").arg(&self.dir).stdin(Stdio::null()).status();
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        self.show_log_of_failure();
        self.remove();
    }
}

/// The whole of an error as the server sent it.
pub(crate) fn text(error: &postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error.to_string(), |db| format!("{} ({})", db.message(), db.code().code()))
}

fn script_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools/cluster.sh")
}

/// The folder of a cluster to be made; what a killed run left behind there is removed.
fn new_dir(name: &str) -> PathBuf {
    let program = std::env::current_exe().expect("the name of this program");
    let program = program.file_stem().and_then(OsStr::to_str).expect("a name in UTF-8");
    // Without the hash that cargo appends: what a killed run left behind is found and removed.
    let program = program.rsplit_once('-').map_or(program, |(name, _)| name);
    let dir =
        PathBuf::from(script(&[OsStr::new("new-dir"), OsStr::new(&format!("server-{program}-{name}"))]));
    script(&[OsStr::new("remove"), dir.as_os_str()]);
    dir
}

/// Runs `tools/cluster.sh` and returns what it says.
fn script(arguments: &[&OsStr]) -> String {
    let output = Command::new(script_path())
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap_or_else(|error| panic!("{}: {error}", script_path().display()));
    assert!(
        output.status.success(),
        "tools/cluster.sh {}: {}\n{}",
        arguments.join(OsStr::new(" ")).display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A variable of the cluster's environment.
fn environment(dir: &Path, name: &str) -> String {
    script(&["exec", &dir.display().to_string(), "printenv", name].map(OsStr::new))
}
