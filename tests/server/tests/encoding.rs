//! Databases whose encoding is not UTF-8: LATIN1, where every byte is a character, `SQL_ASCII`, where bytes are what they are, and
//! `EUC_JP`.
use logintel_server_tests::{Ask, Cluster};

/// A table of logs whose words are not ASCII.
fn lines() -> String {
    // Words with umlauts as the bytes of LATIN1; where bytes are bytes, they are no UTF-8.
    let word = |hex: &str| format!("convert_from('\\x{hex}', getdatabaseencoding())");
    let (user, door) = (word("42656e75747a6572fc626572"), word("54fc72"));
    format!(
        "CREATE TABLE app_log (ts timestamptz DEFAULT now(), level text, component text, source text, message text, data jsonb);
         INSERT INTO app_log (level, component, source, message)
         SELECT 'INFO', {door}, {user}, {user} || ' ' || i || ' came through ' || {door} || ' ' || i % 7 FROM generate_series(1, 200) AS i;"
    )
}

/// The bytes of a text, in hexadecimal.
fn bytes(expression: &str) -> String {
    format!("encode(convert_to({expression}, getdatabaseencoding()), 'hex')")
}

#[expect(clippy::too_many_lines, reason = "one database is led through everything")]
fn everything(encoding: &str) {
    let cluster = Cluster::shared();
    let name = format!("encoding_{}", encoding.to_lowercase());
    cluster.client().ask(&format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
    cluster
        .client()
        .ask(&format!("CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'"));
    let role = format!("{name}_writer");
    cluster.client().ask(&format!("DROP ROLE IF EXISTS {role}; CREATE ROLE {role} LOGIN"));
    let mut superuser = cluster.connect(&name, "postgres");
    superuser.ask(&format!(
        "CREATE EXTENSION logintel; GRANT logintel_writer TO {role}; GRANT CREATE ON SCHEMA public TO {role}"
    ));
    let mut session = cluster.connect(&name, &role);
    session.ask(&lines());
    // The toolbox: a term comes back as it was; where bytes are no text, without what cannot be read.
    session.ask(
        "CREATE TABLE model AS SELECT logintel.tfidf_fit(message, '{\"min_df\": 2}') AS model FROM app_log",
    );
    let terms = session.ask(&format!(
        "SELECT string_agg({}, ',' ORDER BY idx) FROM model, logintel.tfidf_terms(model) WHERE octet_length(term) > 2 AND term !~ '^[0-9]+$'",
        bytes("term")
    ));
    if encoding == "LATIN1" {
        assert_eq!(terms, "62656e75747a6572fc626572,63616d65,7468726f756768,74fc72");
    } else {
        assert!(terms.contains("7468726f756768"), "{terms}");
    }
    assert_eq!(
        session
            .ask("SELECT DISTINCT logintel.nnz(logintel.log_embed(model, message)) > 1 FROM model, app_log"),
        "t"
    );
    assert_eq!(session.ask("SELECT model::text::logintel.tfidf_model::text = model::text FROM model"), "t");
    assert_eq!(session.ask("SELECT count(*) FROM app_log AS l, model, LATERAL (SELECT logintel.log_embed(model, l.message) AS v) AS e WHERE v OPERATOR(logintel.<>) v::text::logintel.logvec"), "0");
    // A parallel plan may start no subtransaction.
    session.ask("SET force_parallel_mode = on");
    session.ask("SELECT logintel.tfidf_fit(message) FROM app_log");
    session.ask("SELECT count(logintel.log_embed(model, message)) FROM model, app_log");
    session.ask("RESET force_parallel_mode");

    // A detector, by someone who is no superuser, with a name and options that are not ASCII.
    let detector = "convert_from('\\x6be46665 72'::text::bytea, getdatabaseencoding())".replace(' ', "");
    session.ask(&format!(
        "SELECT logintel.create_detector({detector}, 'app_log', options => jsonb_build_object('vectorizer', jsonb_build_object(
             'masks', jsonb_build_array(jsonb_build_object('name', 'NUM', 'pattern', '[0-9]+')), 'stop_words', jsonb_build_array({}))))",
        if encoding == "LATIN1" { "convert_from('\\x66fc72', 'LATIN1')" } else { "'for'" }
    ));
    session.ask(&format!("SELECT logintel.train({detector})"));
    session.ask(&format!("SELECT logintel.watch({detector})"));
    let ordinary = "(SELECT message FROM app_log ORDER BY ctid LIMIT 1)";
    assert_eq!(
        session.ask(&format!("SELECT (logintel.detect({detector}, {ordinary}, 'INFO')).is_anomaly, logintel.anomaly_score({detector}, {ordinary}) < 0.5")),
        "f|t"
    );
    let strange = "convert_from('\\x dcbel fc 676e6572'::text::bytea, getdatabaseencoding())"
        .replace("bel ", "")
        .replace(' ', "");
    assert_eq!(session.ask(&format!("SELECT (logintel.detect({detector}, {strange})).is_anomaly")), "t");
    session.ask(
        &format!("SELECT * FROM logintel.anomaly_explain({detector}, {strange})")
            .replace("SELECT *", "SELECT count(term || detail)"),
    );
    assert_eq!(
        session.count(&format!("SELECT count(logintel.log_embed({detector}, message)) FROM app_log")),
        200
    );
    // Recorded as it is where it is text, readable where it is not.
    session.ask(&format!(
        "INSERT INTO app_log (level, component, source, message) SELECT 'ERROR', {strange}, {strange}, {strange} FROM generate_series(1, 3)"
    ));
    let recorded = session.ask(&format!(
        "SELECT DISTINCT {}, {}, {} FROM logintel.anomalies",
        bytes("message"),
        bytes("component"),
        bytes("source")
    ));
    if encoding == "LATIN1" {
        assert_eq!(recorded, "dcfc676e6572|dcfc676e6572|dcfc676e6572");
    } else {
        // U+FFFD for each byte that is no text.
        assert_eq!(recorded, ["efbfbdefbfbd676e6572"; 3].join("|"));
    }
    superuser.ask("CALL logintel.run_maintenance()");
    assert_eq!(superuser.ask("SELECT event_count, array_length(messages, 1), messages[1] = components[1] FROM logintel.incidents"), "3|1|t");
    assert_eq!(superuser.count("SELECT count(*) FROM logintel.scoring_failures"), 0);
    // The report is ASCII and names each other character by its number.
    let page = superuser.ask(&format!("SELECT logintel.report_html({detector})"));
    assert!(page.is_ascii());
    let shown = if encoding == "LATIN1" { "&#220;&#252;gner" } else { "&#65533;&#65533;gner" };
    assert!(page.contains(shown), "{shown}");
    assert_eq!(session.count(&format!("SELECT logintel.score_history({detector})")), 203);
    assert_eq!(session.count(&format!("SELECT count(message || template || coalesce(component, '')) FROM logintel.log_timeline({detector})")), 203);
    // What is marked is found again.
    let is_flagged = format!("SELECT (logintel.detect({detector}, {strange}, 'ERROR')).is_anomaly");
    assert_eq!(session.ask(&is_flagged), "t");
    session.ask("SELECT logintel.mark_normal(min(anomaly_id)) FROM logintel.anomalies");
    assert_eq!(session.ask(&is_flagged), "f");
    assert_eq!(
        session.ask(&format!(
            "SELECT bool_and(logintel.unmark_normal({detector}, template)) FROM logintel.normal_templates"
        )),
        "t"
    );
    assert_eq!(session.ask(&is_flagged), "t");

    // Names of columns and keys of jsonb.
    let odd = text_of;
    session.ask(&format!(
        "DO $$ BEGIN
             EXECUTE format('CREATE TABLE odd (%I timestamptz DEFAULT now(), %I text, data jsonb)', {0}, {1});
             EXECUTE format('INSERT INTO odd (%I, data) SELECT ''user '' || i || '' logged in'', jsonb_build_object(%L, ''job '' || i || '' done'') FROM generate_series(1, 50) AS i', {1}, {2});
             PERFORM logintel.create_detector('odd', 'odd', ts => {0}, message => {1});
             PERFORM logintel.create_detector('odd json', 'odd', ts => {0}, message => 'data->>' || quote_literal({2}));
             PERFORM logintel.train(name), logintel.watch(name, 'row') FROM logintel.detectors WHERE name LIKE 'odd%';
             EXECUTE format('INSERT INTO odd (%I, data) VALUES ({3}, jsonb_build_object(%L, ''boom''))', {1}, {2});
         END $$",
        // Names must be readable, so where bytes are bytes they are UTF-8.
        odd(if encoding == "LATIN1" { "7ae46974" } else { "7ac3a46974" }),
        odd(if encoding == "LATIN1" { "6de46c64756e67" } else { "6dc3a46c64756e67" }),
        if encoding == "LATIN1" { odd("6bfc727a656c") } else { "'kurz'".to_owned() },
        "''boom''"
    ));
    assert_eq!(superuser.count("SELECT count(*) FROM logintel.scoring_failures"), 0);
    assert_eq!(
        superuser.ask(
            "SELECT string_agg(DISTINCT detector, ',') FROM logintel.anomalies WHERE detector LIKE 'odd%'"
        ),
        "odd,odd json"
    );
    // An error about them is an error, and the connection lives.
    assert_eq!(session.refused(&format!("SELECT logintel.detect({strange}, 'x')")), "42704");
    assert_eq!(
        session.refused(&format!("SELECT logintel.create_detector('x', 'odd', message => {strange})")),
        "42703"
    );
    session.ask(&format!("SELECT logintel.drop_detector({detector})"));
    drop((session, superuser));
    cluster.client().ask(&format!("DROP DATABASE {name} WITH (FORCE)"));
    cluster.client().ask(&format!("DROP ROLE {role}"));
}

/// A text of these bytes.
fn text_of(hex: &str) -> String {
    format!("convert_from('\\x{hex}', getdatabaseencoding())")
}

#[test]
fn latin1() {
    everything("LATIN1");
}

#[test]
fn sql_ascii() {
    everything("SQL_ASCII");
}

/// Where a character may have two bytes, and few of Unicode's are known.
#[test]
fn euc_jp() {
    let cluster = Cluster::shared();
    cluster.client().ask("DROP DATABASE IF EXISTS encoding_euc_jp WITH (FORCE)");
    cluster.client().ask("CREATE DATABASE encoding_euc_jp ENCODING 'EUC_JP' TEMPLATE template0 LOCALE 'C'");
    let mut session = cluster.connect("encoding_euc_jp", "postgres");
    session.ask("CREATE EXTENSION logintel");
    // "Connection", "disk", "fault".
    let [connection, disk, fault] = ["c0dcc2b3", "a5c7a5a3a5b9a5af", "b8cebee3"].map(text_of);
    session.ask(&format!(
        "CREATE TABLE app_log (ts timestamptz DEFAULT now(), level text, component text, message text);
         INSERT INTO app_log (level, component, message) SELECT 'INFO', {disk}, {connection} || ' ' || n FROM generate_series(1, 300) AS n;
         SELECT logintel.create_detector('app', 'app_log');
         SELECT logintel.train('app');
         SELECT logintel.watch('app');
         INSERT INTO app_log (level, component, message) SELECT 'ERROR', {disk}, {disk} || ' ' || {fault} FROM generate_series(1, 3)"
    ));
    session.ask("CALL logintel.run_maintenance()");
    assert_eq!(
        session.ask(&format!(
            "SELECT DISTINCT {}, {} FROM logintel.anomalies",
            bytes("component"),
            bytes("message")
        )),
        "a5c7a5a3a5b9a5af|a5c7a5a3a5b9a5af20b8cebee3"
    );
    // An error with a hint arrives.
    assert_eq!(session.refused("SELECT logintel.ingest('[]'::jsonb)"), "22023");
    assert!(session.ask("SELECT logintel.report_html('app')").is_ascii());
    drop(session);
    cluster.client().ask("DROP DATABASE encoding_euc_jp WITH (FORCE)");
}
