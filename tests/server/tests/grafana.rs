//! The dashboards that docker/grafana provisions: the SQL of every panel, variable, annotation and alert rule, with Grafana's
//! macros expanded as its PostgreSQL data source does, runs as a role that may only read, and shows something.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::postgres::types::ToSql;
use logintel_server_tests::{Ask, Cluster, charted, docker, shows_something};
use std::ffi::OsStr;
use std::path::Path;
use std::process::{self, Command, Stdio};
use std::{env, fs};

/// Texts that a JSON path finds in a document.
fn texts(client: &mut Client, document: &str, path: &str) -> Vec<String> {
    let sql = "SELECT t #>> '{}' FROM jsonb_path_query($1::text::jsonb, $2::text::jsonpath) AS t";
    let parameters: [&(dyn ToSql + Sync); 2] = [&document, &path];
    client.query(sql, &parameters).expect("a JSON path").iter().map(|row| row.get(0)).collect()
}

/// The time filter of a dashboard, its ends as Grafana writes them.
struct Range {
    from: String,
    to: String,
}

impl Range {
    /// The last 30 days.
    fn last_days(client: &mut Client) -> Self {
        let mut moment = |sql: &str| {
            client
                .ask(&format!("SELECT to_char(({sql}) AT TIME ZONE 'UTC', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')"))
        };
        Range { from: moment("now() - interval '30 days'"), to: moment("now() + interval '1 minute'") }
    }

    /// What the data source makes of a macro, as its documentation has it; an unknown one is the panel's error.
    fn expanded(&self, name: &str, arguments: &[&str]) -> String {
        let group = |column: &str, interval: &str| {
            let seconds = match interval {
                "5m" => 300,
                other => panic!("no panel asks for an interval of {other}"),
            };
            format!("floor(extract(epoch from {column})/{seconds})*{seconds}")
        };
        match (name, arguments) {
            ("__timeFilter", [column]) => format!("{column} BETWEEN '{}' AND '{}'", self.from, self.to),
            ("__timeFrom", [""]) => format!("'{}'", self.from),
            ("__timeTo", [""]) => format!("'{}'", self.to),
            ("__timeGroupAlias", [column, interval]) => format!("{} AS \"time\"", group(column, interval)),
            _ => panic!("no macro {name} of {arguments:?}"),
        }
    }

    /// A statement as PostgreSQL gets it: variables first, then macros, whose arguments end at the next parenthesis.
    fn interpolated(&self, sql: &str, incident: &str) -> String {
        let mut sql = sql
            .replace("$detector", "'app','logs'")
            .replace("$incident", incident)
            .replace("$__interval", "5m");
        while let Some(start) = sql.find("$__") {
            let open = start + sql[start..].find('(').expect("a macro has arguments");
            let close = open + sql[open..].find(')').expect("a macro ends");
            let arguments: Vec<_> = sql[open + 1..close].split(',').map(str::trim).collect();
            let text = self.expanded(&sql[start + 1..open], &arguments);
            sql.replace_range(start..=close, &text);
        }
        assert!(!sql.contains('$'), "a variable is left: {sql}");
        sql
    }
}

#[test]
fn every_panel_shows_something() {
    let db = charted("grafana_panels");
    let incident = db.client().ask("SELECT min(incident_id) FROM logintel.incidents WHERE detector = 'app'");
    let mut reader = db.client_as(db.name());
    let range = Range::last_days(&mut reader);
    let mut panels = 0;
    for name in ["live", "history"] {
        let document =
            fs::read_to_string(docker(&format!("grafana/dashboards/{name}.json"))).expect("a dashboard");
        let titles = texts(&mut reader, &document, "$.panels[*] ? (exists(@.targets)).title");
        let statements = texts(&mut reader, &document, "$.panels[*].targets[*].rawSql");
        assert_eq!(titles.len(), statements.len());
        for (title, sql) in titles.iter().zip(&statements) {
            for chosen in ["", &incident] {
                shows_something(&mut reader, title, &range.interpolated(sql, chosen));
            }
        }
        panels += titles.len();
        for path in
            ["$.annotations.list[*].target.rawSql", "$.templating.list[*] ? (@.type == \"query\").query"]
        {
            let found = texts(&mut reader, &document, path);
            assert_eq!(found.len(), 1, "{path}");
            shows_something(&mut reader, path, &range.interpolated(&found[0], ""));
        }
    }
    assert!(panels > 20, "{panels} panels");
}

/// What the image runs when it starts for the first time, and then what the sample's container runs, once.
#[test]
fn roles_of_the_compose_file_may_what_they_need() {
    let cluster = Cluster::start("docker", &["logintel.databases = ''"]);
    let db = cluster.plain_database("docker");
    let mut init = cluster.program("psql");
    let server: Vec<_> =
        init.get_envs().map(|(name, value)| (name.to_owned(), value.map(OsStr::to_owned))).collect();
    let folder = Path::new(init.get_program()).parent().expect("a folder").to_owned();
    let path =
        env::join_paths([folder].into_iter().chain(env::split_paths(&env::var_os("PATH").unwrap()))).unwrap();
    let mut shell = Command::new("sh");
    shell.arg(docker("init.sh")).env("PATH", path).env("POSTGRES_DB", db.name());
    shell.envs(server.into_iter().filter_map(|(name, value)| Some((name, value?))));
    shell.env("READER_PASSWORD", "r'1").env("SAMPLE_PASSWORD", "s");
    succeeds(&mut shell);

    let sample = fs::read_to_string(docker("sample.sql")).expect("a script");
    let once = sample.replace(" \\watch 2", ";");
    assert_ne!(once, sample);
    let script = env::temp_dir().join(format!("logintel-sample-{}.sql", process::id()));
    fs::write(&script, once).unwrap();
    init.args(["-X", "-q", "-d", db.name(), "-U", "sample", "-f"]).arg(&script);
    // Again, as when its container is started again.
    for _ in 0..2 {
        assert_eq!(succeeds(&mut init), "");
    }
    fs::remove_file(&script).unwrap();

    db.execute(
        "INSERT INTO app_log SELECT now(), 'ERROR', 'db', 'disk ' || n || ' is gone' FROM generate_series(1, 3) AS n;
         INSERT INTO logintel.server_log (log_time, session_id, session_line_num, error_severity, message, process_id) VALUES (now(), '65.1', 1, 'LOG', 'a secret', 7);
         CREATE TABLE private_log (message text)",
    );
    db.execute("CALL logintel.run_maintenance()");
    let mut reader = db.client_as("grafana");
    assert!(reader.count("SELECT count(*) FROM app_log") > 86000);
    assert!(reader.count("SELECT count(*) FROM logintel.anomalies") >= 3);
    assert!(reader.count("SELECT count(*) FROM logintel.incidents") >= 1);
    let mut sample = db.client_as("sample");
    for session in [&mut reader, &mut sample] {
        for table in ["logintel.server_log", "logintel.model_versions", "private_log"] {
            assert_eq!(session.refused(&format!("SELECT FROM {table}")), "42501", "{table}");
        }
    }
    assert_eq!(reader.refused("INSERT INTO app_log (message) VALUES ('x')"), "42501");
    assert_eq!(sample.ask("SELECT owner FROM logintel.detectors WHERE name = 'app'"), "sample");
}

/// Runs a program to its good end; what it says on stderr.
fn succeeds(command: &mut Command) -> String {
    let output = command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}: {said}");
    said
}

#[test]
fn links_lead_to_dashboards_that_are_there() {
    let db = Cluster::shared().database("grafana_links");
    let mut client = db.client();
    let documents: Vec<String> = ["live", "history"]
        .map(|name| {
            fs::read_to_string(docker(&format!("grafana/dashboards/{name}.json"))).expect("a dashboard")
        })
        .to_vec();
    let ids: Vec<String> =
        documents.iter().flat_map(|document| texts(&mut client, document, "$.uid")).collect();
    for document in &documents {
        let urls = texts(&mut client, document, "$.**.url");
        assert!(urls.len() > 2, "{urls:?}");
        for url in urls {
            let id = url.trim_start_matches("/d/").split('?').next().unwrap_or_default().to_owned();
            assert!(ids.contains(&id), "{url}");
        }
    }
}

#[test]
fn alert_rules_ask_for_one_number_of_each_detector() {
    let db = charted("grafana_alerts");
    let mut reader = db.client_as(db.name());
    let text =
        fs::read_to_string(docker("grafana/provisioning/alerting/logintel.yaml")).expect("alert rules");
    let lines: Vec<&str> = text.lines().collect();
    let indent = |line: &str| line.len() - line.trim_start().len();
    let begins = (0..lines.len()).filter(|&at| lines[at].trim() == "rawSql: >-");
    let statements: Vec<String> = begins
        .map(|at| {
            let folded = lines[at + 1..].iter().take_while(|line| indent(line) > indent(lines[at]));
            folded.map(|line| line.trim()).collect::<Vec<_>>().join(" ")
        })
        .collect();
    assert_eq!(statements.len(), 2);
    for sql in statements {
        let rows = reader.query(&sql, &[]).unwrap_or_else(|error| panic!("{error:?}\n{sql}"));
        let found: Vec<(String, f64)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
        assert!(
            found.iter().any(|(detector, number)| detector == "app" && *number > 0.0),
            "{found:?}\n{sql}"
        );
    }
}
