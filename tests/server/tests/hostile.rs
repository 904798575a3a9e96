//! Hostile input through SQL: literals that are nearly right, binary values, calls of every function with whatever their types
//! allow, and patterns and lines made to be slow. The server stays up, no connection is lost, and every refusal has an SQLSTATE of
//! its own, which a panic has not.
//!
//! `LOGINTEL_TRIES` is how many literals and calls there are (`tools/fuzz.sh server` takes 100,000), `LOGINTEL_SEED` the seed.
use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use logintel_core::tfidf::TfidfModel;
use logintel_fuzz::artifacts::sealed;
use logintel_fuzz::chance::Chance;
use logintel_fuzz::{corpus, target};
use logintel_server_tests::postgres::{Client, Error};
use logintel_server_tests::{Ask, Cluster, Database, fill};

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name)
        .map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

/// How many tries, and chance.
fn tries(default: u64) -> (u64, Chance) {
    let seed = setting("LOGINTEL_SEED", 7);
    println!("LOGINTEL_SEED={seed}");
    (setting("LOGINTEL_TRIES", default), Chance::new(seed))
}

/// A detector with a model, anomalies, an incident and a suppression, and a table of what is there to be used.
fn database<'a>(name: &str) -> Database<'a> {
    let db = Cluster::shared().database(name);
    db.execute(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, session text, message text);
         {};
         UPDATE app_log SET session = source;
         SELECT logintel.create_detector('app', 'app_log', session => 'session');
         SELECT logintel.train('app'), logintel.watch('app');
         INSERT INTO app_log SELECT now(), 'ERROR', 'c', 's', 'one', 'boom ' || i FROM generate_series(1, 5) AS i;
         INSERT INTO logintel.suppressions (name, detector, component) VALUES ('quiet', 'app', 'nobody');
         CREATE TABLE vectors (v logintel.logvec);
         CREATE TABLE models (m logintel.tfidf_model);
         INSERT INTO models SELECT logintel.tfidf_fit(message) FROM app_log",
        fill("app_log", 200)
    ));
    db.execute("CALL logintel.run_maintenance()");
    db
}

/// A session that is told little of, and whose statements end.
fn session(db: &Database) -> Client {
    let mut session = db.client();
    session
        .ask("SET statement_timeout = '10s'; SET client_min_messages = error; SET log_min_messages = fatal");
    session
}

/// What became of statements.
#[derive(Default)]
struct Outcomes {
    accepted: u64,
    refused: BTreeMap<String, u64>,
    slowest: (Duration, String),
    /// What no user may cause, once of each kind.
    broken: BTreeMap<String, String>,
}

impl Outcomes {
    /// Notes what became of one: a refusal must be the server's, and of a kind that a user may cause.
    fn note<T>(&mut self, statement: &str, began: Instant, outcome: Result<T, Error>) {
        let took = began.elapsed();
        if took > self.slowest.0 {
            self.slowest = (took, statement.to_owned());
        }
        match outcome {
            Ok(_) => self.accepted += 1,
            Err(error) => {
                let db = error
                    .as_db_error()
                    .unwrap_or_else(|| panic!("lost the connection: {error}: {statement}"));
                let code = db.code().code();
                if ["XX", "58", "57P", "F0"].iter().any(|class| code.starts_with(class)) {
                    let kind = format!("{code} {}", db.message());
                    self.broken.entry(kind).or_insert_with(|| statement.to_owned());
                }
                *self.refused.entry(code.to_owned()).or_default() += 1;
            }
        }
    }

    /// Sends a statement in a transaction that is rolled back.
    fn of(&mut self, session: &mut Client, statement: &str) {
        let began = Instant::now();
        let outcome = session.send(&format!("BEGIN; {statement}"));
        self.note(statement, began, outcome);
        session.ask("ROLLBACK");
    }

    fn refusals(&self) -> u64 {
        self.refused.values().sum()
    }

    /// Tells of all, and fails where one was refused as nothing should be.
    fn finish(&self, what: &str) {
        println!("{what}: {} accepted, {} refused: {:?}", self.accepted, self.refusals(), self.refused);
        println!("  slowest {:?}: {}", self.slowest.0, self.slowest.1.chars().take(300).collect::<String>());
        assert!(self.broken.is_empty(), "{:#?}", self.broken);
    }
}

/// The backend is the one that it was, and no process has died.
fn assert_alive(db: &Database, session: &mut Client, pid: &str) {
    assert_eq!(session.ask("SELECT pg_backend_pid()"), pid);
    assert_eq!(db.cluster().log_lines(&["terminated by signal"]), 0);
    assert_eq!(db.cluster().log_lines(&["PANIC:"]), 0);
}

/// What is kept of a target, as texts.
fn kept(name: &str) -> Vec<String> {
    let inputs = corpus::inputs(target(name).expect("a target"));
    inputs.iter().map(|input| String::from_utf8_lossy(input).into_owned()).collect()
}

/// First lines, and what follows them.
fn heads(name: &str) -> Vec<String> {
    kept(name).into_iter().map(|text| text.lines().next().unwrap_or_default().to_owned()).collect()
}

fn quote(text: &str) -> String {
    format!("'{}'", text.replace('\0', "").replace('\'', "''"))
}

/// Texts that are nearly right, of each kind.
struct Literals {
    vectors: Vec<String>,
    models: Vec<Vec<u8>>,
    options: Vec<String>,
    patterns: Vec<String>,
    lines: Vec<String>,
}

impl Literals {
    fn new() -> Self {
        let own = [
            "{\"source\":\"s\",\"level\":\"ERROR\",\"message\":\"m\"}",
            "[{\"message\":\"m\",\"ts\":\"2026-01-01\"}]",
        ];
        Literals {
            vectors: kept("logvec_text"),
            models: corpus::inputs(target("tfidf_model").expect("a target")),
            options: heads("options").into_iter().chain(own.map(str::to_owned)).collect(),
            patterns: heads("pattern"),
            lines: kept("tokenizer").into_iter().chain(kept("templates")).collect(),
        }
    }

    fn vector(&self, chance: &mut Chance) -> String {
        let vector = chance.of(&self.vectors).clone();
        quote(&chance.text(&vector))
    }

    /// Half of them with a checksum that fits.
    fn model(&self, chance: &mut Chance) -> String {
        let body = chance.of(&self.models).clone();
        if chance.below(2) == 0 {
            let body = chance.bytes(&body);
            return quote(&BASE64_STANDARD.encode(sealed::<TfidfModel>(&body)));
        }
        let text = BASE64_STANDARD.encode(sealed::<TfidfModel>(&body));
        quote(&chance.text(&text))
    }

    fn options(&self, chance: &mut Chance) -> String {
        let json = chance.of(&self.options).clone();
        quote(&chance.text(&json))
    }

    fn pattern(&self, chance: &mut Chance) -> String {
        let pattern = chance.of(&self.patterns).clone();
        quote(&chance.text(&pattern))
    }

    fn line(&self, chance: &mut Chance) -> String {
        let line = chance.of(&self.lines).clone();
        quote(&chance.text(&line))
    }

    /// A statement with literals.
    fn statement(&self, chance: &mut Chance) -> String {
        const MESSAGES: &str = "(VALUES ('user 1 came in'), ('user 2 went out')) AS v (m)";
        match chance.below(14) {
            0 => format!("SELECT {}::logintel.logvec::text::logintel.logvec", self.vector(chance)),
            1 => format!(
                "SELECT {}::logintel.logvec OPERATOR(logintel.<=>) {}",
                self.vector(chance),
                self.vector(chance)
            ),
            2 => format!(
                "SELECT {}::logintel.logvec({})",
                self.vector(chance),
                chance.of(&["1", "126", "'3'", "0", "-1", "2147483647", "99999999999", "'x'", "1, 2"])
            ),
            3 => format!(
                "SELECT sum(v::logintel.logvec), avg(v::logintel.logvec), min(v::logintel.logvec::real[]) FROM (VALUES ({}), ({})) AS t (v)",
                self.vector(chance),
                self.vector(chance)
            ),
            4 => {
                let model = self.model(chance);
                format!(
                    "SELECT logintel.log_embed(m, {}), logintel.tfidf_summary(m), (SELECT count(*) FROM logintel.tfidf_terms(m)) FROM (SELECT {model}::logintel.tfidf_model AS m) AS t",
                    self.line(chance)
                )
            }
            5 => format!("SELECT logintel.tfidf_fit(m, {}) FROM {MESSAGES}", self.options(chance)),
            6 => format!("SELECT logintel.log_template(m, {}) OVER () FROM {MESSAGES}", self.options(chance)),
            7 => format!(
                "SELECT logintel.alter_detector('app', {}), logintel.train('app')",
                self.options(chance)
            ),
            8 => format!("SELECT logintel.ingest({}::jsonb)", self.options(chance)),
            9 => format!(
                "SELECT logintel.log_embed(logintel.tfidf_fit(m, jsonb_build_object('token_pattern', {})), {}) FROM {MESSAGES}",
                self.pattern(chance),
                self.line(chance)
            ),
            10 => format!(
                "SELECT logintel.log_embed(logintel.tfidf_fit(m, jsonb_build_object('masks', jsonb_build_array(jsonb_build_object('name', 'n', 'pattern', {})))), {}) FROM {MESSAGES}",
                self.pattern(chance),
                self.line(chance)
            ),
            11 => format!(
                "INSERT INTO logintel.suppressions (detector, message_pattern, template) VALUES ('app', {}, {}); SELECT * FROM logintel.suppression_preview((SELECT max(suppression_id) FROM logintel.suppressions))",
                self.pattern(chance),
                self.line(chance)
            ),
            12 => format!(
                "SELECT d.*, e.* FROM (SELECT {} AS m) AS t, logintel.detect('app', m, {}) AS d, logintel.anomaly_explain('app', m) AS e",
                self.line(chance),
                self.line(chance)
            ),
            _ => format!(
                "SELECT logintel.log_template(m) OVER () FROM (VALUES ({}), ({}), ({})) AS t (m)",
                self.line(chance),
                self.line(chance),
                self.line(chance)
            ),
        }
    }
}

#[test]
fn a_literal_of_any_kind_is_read_or_refused() {
    let db = database("hostile_literals");
    let (tries, mut chance) = tries(700);
    let (literals, mut outcomes, mut session) = (Literals::new(), Outcomes::default(), session(&db));
    let pid = session.ask("SELECT pg_backend_pid()");
    for _ in 0..tries {
        outcomes.of(&mut session, &literals.statement(&mut chance));
    }
    outcomes.finish("literals");
    assert!(outcomes.accepted > tries / 20 && outcomes.refusals() > tries / 20, "they are nearly right");
    assert_alive(&db, &mut session, &pid);
}

/// What COPY reads: a header, a row of one field, the end.
fn binary(field: &[u8]) -> Vec<u8> {
    let mut bytes = b"PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0\0\x01".to_vec();
    bytes.extend((field.len() as i32).to_be_bytes());
    bytes.extend(field);
    bytes.extend((-1_i16).to_be_bytes());
    bytes
}

#[test]
fn a_binary_value_of_any_kind_is_read_or_refused() {
    let db = database("hostile_binary");
    let (tries, mut chance) = tries(400);
    let vectors = corpus::inputs(target("logvec_binary").expect("a target"));
    let models = Literals::new().models;
    let (mut outcomes, mut session) = (Outcomes::default(), session(&db));
    let pid = session.ask("SELECT pg_backend_pid()");
    for at in 0..tries {
        let (table, field) = if at % 2 == 0 {
            let vector = chance.of(&vectors).clone();
            ("vectors", chance.bytes(&vector))
        } else {
            let body = chance.of(&models).clone();
            ("models", sealed::<TfidfModel>(&chance.bytes(&body)))
        };
        let mut field = binary(&field);
        if chance.below(4) == 0 {
            field = chance.bytes(&field);
        }
        let began = Instant::now();
        let statement = format!("COPY {table} FROM STDIN (FORMAT binary)");
        let outcome = session.copy_in(&statement).and_then(|mut writer| {
            // What the server has to say against it comes at the end.
            let _ = writer.write_all(&field);
            writer.finish()
        });
        outcomes.note(&format!("{statement}: {}", field.escape_ascii()), began, outcome);
    }
    outcomes.finish("binary values");
    assert!(outcomes.accepted > tries / 20 && outcomes.refusals() > tries / 20, "they are nearly right");
    // What was taken in can be read.
    session.ask("SELECT count(v::text), count(logintel.l2_norm(v)) FROM vectors");
    session
        .ask("SELECT count(logintel.tfidf_summary(m)), count(logintel.log_embed(m, 'user 7')) FROM models");
    assert_alive(&db, &mut session, &pid);
}

/// A function of the catalog.
struct Function {
    signature: String,
    name: String,
    kind: String,
    returns_set: bool,
    /// How many arguments at the end may be left out.
    defaults: usize,
    arguments: Vec<String>,
}

fn functions(session: &mut Client) -> Vec<Function> {
    let rows = session.ask(
        "SELECT p.oid::regprocedure, p.pronamespace::regnamespace || '.' || quote_ident(p.proname), p.prokind, p.proretset, p.pronargdefaults,
                array_to_string(ARRAY(SELECT format_type(t, NULL) || CASE WHEN y.typtype = 'c' THEN '=row' ELSE '' END
                                      FROM unnest(p.proargtypes) WITH ORDINALITY AS a (t, n) JOIN pg_type AS y ON y.oid = t ORDER BY n), ';')
         FROM pg_proc AS p WHERE p.pronamespace = 'logintel'::regnamespace ORDER BY p.oid",
    );
    let function = |row: &str| {
        let fields: Vec<&str> = row.split('|').collect();
        Function {
            signature: fields[0].to_owned(),
            name: fields[1].to_owned(),
            kind: fields[2].to_owned(),
            returns_set: fields[3] == "t",
            defaults: fields[4].parse().expect("a number"),
            arguments: fields[5].split(';').filter(|name| !name.is_empty()).map(str::to_owned).collect(),
        }
    };
    rows.lines().map(function).collect()
}

/// Values of a type that are ordinary, at its ends or beyond what is meant.
fn value(of: &str, literals: &Literals, chance: &mut Chance) -> String {
    if chance.below(5) == 0 {
        return format!("NULL::{}", of.trim_end_matches("=row"));
    }
    if let Some(relation) = of.strip_suffix("=row") {
        return format!("(SELECT r FROM {relation} AS r LIMIT 1)");
    }
    if let Some(element) = of.strip_suffix("[]") {
        let items: Vec<_> = (0..chance.below(4)).map(|_| value(element, literals, chance)).collect();
        return format!("ARRAY[{}]::{of}", items.join(", "));
    }
    let by_chance = match of {
        // What cannot be written is not there.
        "internal" => return "NULL".to_owned(),
        "logintel.tfidf_model" if chance.below(4) > 0 => return "(SELECT m FROM models LIMIT 1)".to_owned(),
        "logintel.tfidf_model" => Some(literals.model(chance)),
        "logintel.logvec" if chance.below(2) > 0 => Some(literals.vector(chance)),
        "jsonb" | "json" if chance.below(3) > 0 => Some(literals.options(chance)),
        "text" if chance.below(4) == 0 => Some(literals.line(chance)),
        _ => None,
    };
    let literal = by_chance.unwrap_or_else(|| (*chance.of(plain(of))).to_owned());
    format!("{literal}::{of}")
}

/// Literals of a type.
fn plain(of: &str) -> &'static [&'static str] {
    match of {
        "smallint" => &["0", "1", "-1", "'32767'", "'-32768'"],
        "integer" => &["0", "1", "2", "-1", "5", "100", "2147483647", "'-2147483648'"],
        "bigint" => &[
            "0",
            "1",
            "2",
            "-1",
            "9223372036854775807",
            "'-9223372036854775808'",
            "(SELECT max(incident_id) FROM logintel.incidents)",
            "(SELECT max(anomaly_id) FROM logintel.anomalies)",
        ],
        "double precision" | "real" => &["0", "0.5", "1", "-1", "'nan'", "'inf'", "'-inf'", "1e30", "1e-30"],
        "boolean" => &["true", "false"],
        "timestamp with time zone" => &[
            "now()",
            "'2026-01-01 00:30Z'",
            "'infinity'",
            "'-infinity'",
            "'4713-01-01 00:00Z BC'",
            "'294276-12-31 23:59:59.999999Z'",
            "'1970-01-01Z'",
        ],
        "interval" => &[
            "'1 hour'",
            "'0'",
            "'-1 day'",
            "'1 us'",
            "'178000000 years'",
            "'1 mon -1 day'",
            "'2562047788 hours'",
        ],
        "oid" => &["0", "4294967295", "'logintel.logvec'::regtype", "'app_log'::regclass"],
        "regclass" => &[
            "'app_log'",
            "'pg_class'",
            "'logintel.incidents'",
            "'logintel.anomalies'",
            "0",
            "4294967295",
            "'vectors'",
            "'pg_class_oid_index'",
            "'logintel.incident_timeline'",
        ],
        "regrole" => &["current_user", "0", "4294967295", "'pg_monitor'"],
        "name" => &["current_user", "''", "'nobody'", "'app'"],
        "bytea" => &["''", "'\\x00'", "decode(repeat('ff', 100), 'hex')"],
        "logintel.logvec" => &[
            "'{}/1'",
            "'{1:1}/3'",
            "'{1:3e38,3:-3e38}/3'",
            "'{3:1e-45}/3'",
            "'{1000000000:1}/1000000000'",
            "'{1:1}/1000000000'",
        ],
        "jsonb" | "json" => &[
            "'{}'",
            "'[]'",
            "'null'",
            "'1'",
            "'\"\"'",
            "'{\"a\": {\"a\": [1, null]}}'",
            "(repeat('[', 5000) || repeat(']', 5000))",
        ],
        _ => &[
            "'app'",
            "'app'",
            "'app'",
            "''",
            "'ERROR'",
            "'row'",
            "'statement'",
            "'message'",
            "'ts'",
            "'logs'",
            "'server_log'",
            "'app.1'",
            "'boom 1'",
            "'pg_class'",
            "repeat('x', 100000)",
            "'1'",
        ],
    }
}

fn call(function: &Function, literals: &Literals, chance: &mut Chance) -> String {
    let arguments: Vec<_> = function.arguments.iter().map(|of| value(of, literals, chance)).collect();
    let given = arguments.len() - chance.below(function.defaults + 1);
    let call = format!("{}({})", function.name, arguments[..given].join(", "));
    match (function.kind.as_str(), function.returns_set) {
        ("p", _) => format!("CALL {call}"),
        ("a", _) => format!("SELECT {call} FROM generate_series(1, 3)"),
        ("w", _) => format!("SELECT {call} OVER (ORDER BY i DESC) FROM generate_series(1, 5) AS i"),
        (_, true) => format!("SELECT * FROM {call} LIMIT 1000"),
        _ => format!("SELECT {call}"),
    }
}

#[test]
fn a_call_of_any_function_is_answered() {
    let db = database("hostile_calls");
    let (tries, mut chance) = tries(1200);
    let (literals, mut outcomes, mut session) = (Literals::new(), Outcomes::default(), session(&db));
    let pid = session.ask("SELECT pg_backend_pid()");
    let functions = functions(&mut session);
    let rounds = (tries as usize).div_ceil(functions.len());
    let mut answered = BTreeSet::new();
    for function in &functions {
        for _ in 0..rounds {
            let (statement, accepted) = (call(function, &literals, &mut chance), outcomes.accepted);
            outcomes.of(&mut session, &statement);
            if outcomes.accepted > accepted {
                answered.insert(&function.signature);
            }
        }
    }
    let is_never = |one: &&String| !answered.contains(one);
    let never: Vec<_> = functions.iter().map(|function| &function.signature).filter(is_never).collect();
    println!("refused each time: {never:?}");
    outcomes.finish(&format!("calls of {} functions, {} of them answered", functions.len(), answered.len()));
    assert!(answered.len() * 2 > functions.len(), "most functions can be called");
    assert_alive(&db, &mut session, &pid);
}

/// Patterns that take a backtracking engine for ever, or make a linear one large.
const SLOW_PATTERNS: [&str; 9] = [
    "(a+)+$",
    "(a|a)*b",
    "(a|aa)+$",
    "([a-z]+)*[0-9]",
    "(.*)*x",
    r"(\w+\s?)+\d$",
    r"(?:\b\w+\b\W*)+!$",
    "(?:a?){500}a{500}",
    r"\b(?:[\w-]+\.)+[\w-]+@(?:[\w-]+\.)+\d{40,80}\b",
];

/// Lines that the patterns run long on: no match until the end.
const SLOW_LINES: [&str; 4] = [
    "repeat('a', 500000)",
    "repeat('aaaa.b-c ', 50000) || '!é'",
    "repeat(E'a\\u0301\\u200d', 80000)",
    "repeat('1.2.3.4:5/6 ', 50000)",
];

#[test]
fn what_is_made_to_be_slow_answers_a_cancel() {
    let db = database("hostile_slow");
    let (mut outcomes, mut session) = (Outcomes::default(), session(&db));
    let pid = session.ask("SELECT pg_backend_pid()");
    // Whoever does not look for a cancel hangs here, and the whole suite is ended.
    session.ask("SET statement_timeout = '500ms'");
    for pattern in SLOW_PATTERNS.map(quote) {
        for line in SLOW_LINES {
            let fit = |options: &str| {
                format!(
                    "SELECT logintel.log_embed(logintel.tfidf_fit(m, {options}), m) FROM (SELECT {line} AS m) AS t GROUP BY m"
                )
            };
            outcomes.of(&mut session, &fit(&format!("jsonb_build_object('token_pattern', {pattern})")));
            outcomes.of(&mut session, &fit(&format!("jsonb_build_object('masks', jsonb_build_array(jsonb_build_object('name', 'n', 'pattern', {pattern}), true))")));
            outcomes.of(
                &mut session,
                &format!("INSERT INTO logintel.suppressions (detector, message_pattern) VALUES ('app', {pattern}); INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'x', {line}); CALL logintel.run_maintenance()"),
            );
        }
    }
    for line in SLOW_LINES {
        for statement in [
            "SELECT logintel.detect('app', {}), logintel.anomaly_score('app', {})",
            "SELECT * FROM logintel.anomaly_explain('app', {})",
            "SELECT logintel.log_template(m || i) OVER () FROM (SELECT {} AS m) AS t, generate_series(1, 10) AS i",
            "INSERT INTO app_log VALUES (now(), 'ERROR', 'c', 's', 'x', {})",
            "SELECT logintel.ingest('s', 'ERROR', 'c', {})",
            "SELECT ({})::logintel.logvec",
            "SELECT ('{' || {} || '}/5')::logintel.logvec",
            "SELECT ({})::logintel.tfidf_model",
        ] {
            outcomes.of(&mut session, &statement.replace("{}", line));
        }
    }
    outcomes.finish("slow patterns and lines");
    session.ask("RESET statement_timeout");
    assert_alive(&db, &mut session, &pid);
}
