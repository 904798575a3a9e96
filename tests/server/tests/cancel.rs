//! How soon long work ends once it is cancelled, wherever it is. The times are printed, not judged: another machine has
//! others. The design's bound is 100 ms, for a release build: `cargo test --test cancel -- --nocapture`.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Cluster, fill};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

/// Points in the work at which it is cancelled.
const POINTS: u32 = 3;
/// As long as this, no work is left alone.
const LONGEST: Duration = Duration::from_secs(8);

/// What is cancelled: a name, what is done before, the statement.
const WORK: [(&str, &str, &str); 20] = [
    (
        "tfidf_fit",
        "",
        "SELECT length(logintel.tfidf_fit(message, '{\"ngram_range\": [1, 2]}')::text) FROM many",
    ),
    (
        "tfidf_fit, masks, in parallel",
        "SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SET max_parallel_workers_per_gather = 2",
        "SELECT length(logintel.tfidf_fit(message, '{\"masks\": true, \"ngram_range\": [1, 2]}')::text) FROM many",
    ),
    ("log_embed", "", "SELECT count(logintel.log_embed((SELECT model FROM model), message)) FROM many"),
    (
        "log_embed, a line of 20 MB, masks",
        "",
        "SELECT logintel.nnz(logintel.log_embed((SELECT masked FROM model), words)) FROM long",
    ),
    (
        "log_embed, a word of 20 MB, masks",
        "",
        "SELECT logintel.nnz(logintel.log_embed((SELECT masked FROM model), word)) FROM long",
    ),
    (
        "log_embed, a line of 20 MB, a mask",
        "",
        "SELECT logintel.nnz(logintel.log_embed((SELECT listed FROM model), words)) FROM long",
    ),
    (
        "tfidf_fit, a line of 20 MB",
        "",
        "SELECT length(logintel.tfidf_fit(words, '{\"ngram_range\": [1, 2]}')::text) FROM long",
    ),
    (
        "tfidf_fit, a line of 20 MB, a pattern",
        "",
        "SELECT length(logintel.tfidf_fit(words, '{\"token_pattern\": \"[a-z]+|[0-9]\"}')::text) FROM long",
    ),
    (
        "tfidf_fit, a line of 8 MB, char_wb",
        "",
        "SELECT length(logintel.tfidf_fit(left(words, 8000000), '{\"analyzer\": \"char_wb\", \"ngram_range\": [1, 3]}')::text) FROM long",
    ),
    ("detect, a line of 20 MB", "", "SELECT (logintel.detect('app', words)).reason FROM long"),
    (
        "standard_scale",
        "",
        "SELECT count(c) FROM (SELECT logintel.standard_scale(v) OVER () AS c FROM vectors, generate_series(1, 20)) AS r",
    ),
    (
        "dbscan_cluster",
        "",
        "SELECT count(c) FROM (SELECT logintel.dbscan_cluster(v, 0.9, 5) OVER () AS c FROM vectors) AS r",
    ),
    (
        "dbscan_cluster, threads, a row of 1,000,000 entries",
        "SET logintel.max_parallel_threads = 2",
        "SELECT count(c) FROM (SELECT logintel.dbscan_cluster(v, 0.5, 5) OVER () AS c FROM (SELECT v FROM wide UNION ALL SELECT v FROM widest) AS v) AS r",
    ),
    (
        "dbscan_cluster, signed, eps 1.2",
        "",
        "SELECT count(c) FROM (SELECT logintel.dbscan_cluster(v, 1.2, 20000) OVER () AS c FROM signed) AS r",
    ),
    (
        "hdbscan_cluster, a row of 1,000,000 entries",
        "",
        "SELECT count(c) FROM (SELECT logintel.hdbscan_cluster(v, 5) OVER () AS c FROM (SELECT v FROM widest UNION ALL SELECT v FROM wide) AS v) AS r",
    ),
    (
        "hdbscan_cluster",
        "",
        "SELECT count(c) FROM (SELECT logintel.hdbscan_cluster(v, 5) OVER () AS c FROM vectors) AS r",
    ),
    (
        "hdbscan_cluster, threads, signed",
        "SET logintel.max_parallel_threads = 2",
        "SELECT count(c) FROM (SELECT logintel.hdbscan_cluster(v, 5) OVER () AS c FROM signed) AS r",
    ),
    ("train", "", "SELECT logintel.train('app')"),
    ("score_history", "", "SELECT logintel.score_history('app')"),
    ("compare_models", "", "SELECT count(*) FROM logintel.compare_models('app', 1, 1)"),
];

/// Runs the statement and cancels it after a while: how long it then took to end, if it had not ended before.
fn latency(
    session: &mut Client,
    other: &mut Client,
    pid: i64,
    statement: &str,
    after: Duration,
) -> Option<Duration> {
    let (start, started) = mpsc::channel();
    thread::scope(|scope| {
        let canceller = scope.spawn(move || {
            started.recv().expect("the statement begins");
            thread::sleep(after);
            let sent = Instant::now();
            other.ask(&format!("SELECT pg_cancel_backend({pid})"));
            sent
        });
        start.send(()).expect("a canceller");
        let outcome = session.send(statement);
        let ended = Instant::now();
        let sent = canceller.join().expect("a canceller");
        // A cancel that came too late meets what is sent next.
        let late = session.send("SELECT pg_sleep(0.02)").is_err();
        match outcome {
            Ok(_) => None,
            Err(error) => {
                let db = error.as_db_error().unwrap_or_else(|| panic!("{statement}: {error}"));
                assert_eq!(db.code().code(), "57014", "{statement}: {}", db.message());
                assert!(!late, "one cancel ends one statement");
                Some(ended.saturating_duration_since(sent))
            }
        }
    })
}

#[test]
fn a_cancel_arrives_anywhere() {
    let db = Cluster::shared().database("cancel");
    let mut other = db.client();
    other.ask(&format!(
        "CREATE TABLE app_log (ts timestamptz, level text, component text, source text, message text); {};
         INSERT INTO app_log SELECT ts, level, component, source, message || ' ' || md5(i::text || message) FROM app_log, generate_series(1, 40) AS i;
         CREATE TABLE many AS SELECT message || ' ' || i AS message FROM app_log, generate_series(1, 3) AS i;
         CREATE TABLE model AS SELECT logintel.tfidf_fit(message) AS model, logintel.tfidf_fit(message, '{{\"masks\": true}}') AS masked,
             logintel.tfidf_fit(message, '{{\"masks\": [{{\"name\": \"n\", \"pattern\": \"[0-9]+\"}}]}}') AS listed FROM app_log;
         CREATE TABLE long AS SELECT (SELECT string_agg(repeat(message || ' ', 50), ' ') FROM (SELECT message FROM app_log LIMIT 6000) AS m) AS words,
             repeat('7a-/x', 4000000) AS word;
         CREATE TABLE vectors AS SELECT format('{{%s:1,%s:%s,%s:2}}/100000', i % 50 + 1, i % 7919 + 100, i % 97 + 1, i + 10000)::logintel.logvec AS v
             FROM generate_series(1, 30000) AS i;
         CREATE TABLE signed AS SELECT format('{{%s:1,%s:-%s,%s:2}}/100000', i % 50 + 1, i % 7919 + 100, i % 97 + 1, i + 10000)::logintel.logvec AS v
             FROM generate_series(1, 12000) AS i;
         CREATE TABLE wide AS SELECT format('{{%s}}/1000000', (SELECT string_agg(k * 900 + (i * k * 7) % 900 + 1 || ':1.5', ',') FROM generate_series(0, 300) AS k))::logintel.logvec AS v
             FROM generate_series(1, 1500) AS i;
         CREATE TABLE widest AS SELECT format('{{%s}}/1000000', (SELECT string_agg(k || ':' || n, ',') FROM generate_series(1, 1000000) AS k))::logintel.logvec AS v
             FROM generate_series(1, 3) AS n;
         ANALYZE;
         SELECT logintel.create_detector('app', 'app_log', options => '{{\"vectorizer\": {{\"masks\": false, \"ngram_range\": [1, 2]}}}}');
         SELECT logintel.train('app', until => '2026-01-01 00:02Z')",
        fill("app_log", 3000)
    ));
    println!("{:70} {:>8} {:>9} {:>9} {:>4}", "work", "whole", "median", "worst", "of");
    for (name, before, statement) in WORK {
        let mut session = db.client();
        session.ask(&format!("SET logintel.maintenance_mem = '4GB'; {before}"));
        let pid = session.count("SELECT pg_backend_pid()");
        session.ask(&format!("SET statement_timeout = {}", LONGEST.as_millis()));
        let begun = Instant::now();
        if let Err(error) = session.send(statement) {
            let db = error.as_db_error().unwrap_or_else(|| panic!("{name}: {error}"));
            assert_eq!(db.code().code(), "57014", "{name}: {}", db.message());
        }
        let whole = begun.elapsed();
        session.ask("RESET statement_timeout");
        let mut latencies: Vec<Duration> = (0..POINTS)
            .filter_map(|point| {
                let after = whole * (2 * point + 1) / (2 * POINTS);
                latency(&mut session, &mut other, pid, statement, after)
            })
            .collect();
        latencies.sort_unstable();
        assert!(!latencies.is_empty(), "{name}: no cancel arrived");
        let ms = |time: Duration| format!("{:.1} ms", time.as_secs_f64() * 1e3);
        println!(
            "{name:70} {:>8} {:>9} {:>9} {:>4}",
            ms(whole),
            ms(latencies[latencies.len() / 2]),
            ms(latencies[latencies.len() - 1]),
            latencies.len()
        );
        assert_eq!(session.count("SELECT pg_backend_pid()"), pid, "{name}: the backend lives");
    }
    assert_eq!(db.cluster().log_lines(&["terminated by signal"]), 0);
}
