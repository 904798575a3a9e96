//! The questions in docker/metabase: each, with and without its optional parts, with its variables put in as Metabase puts them in,
//! runs as a role that may only read, and shows something.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Ask, Database, charted, docker, eventually, gate, shows_something};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::thread;

/// What a variable is, as the comment at the head of a question says.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Kind {
    /// Metabase puts a text in as a parameter of the statement.
    Text,
    /// As it is.
    Number,
    /// Metabase puts in a whole condition on this column of `schema.table`.
    FieldFilter(String),
}

/// A file of docker/metabase.
struct Question {
    name: String,
    sql: String,
    variables: BTreeMap<String, Kind>,
}

impl Question {
    fn read(path: &Path) -> Self {
        let name = path.file_stem().and_then(|name| name.to_str()).expect("a name").to_owned();
        let text = fs::read_to_string(path).expect("a question");
        let head: Vec<_> = text.lines().map_while(|line| line.strip_prefix("-- ")).collect();
        assert!(head.len() > 1 && head[1].starts_with("Chart: "), "{name}: a title and a chart stand first");
        // Metabase looks for variables in comments, too.
        assert!(!head.concat().contains(['{', '[']), "{name}: a variable in a comment");
        let variables = head.iter().filter_map(|line| line.strip_prefix("Variable ")).map(|line| {
            let (variable, rest) = line.split_once(": ").expect("a variable and its type");
            let (kind, _) = rest.split_once([',', '.']).expect("an end of the type");
            let kind = match kind {
                "Text" => Kind::Text,
                "Number" => Kind::Number,
                _ => {
                    let column =
                        rest.strip_prefix("Field Filter on ").and_then(|rest| rest.strip_suffix('.'));
                    Kind::FieldFilter(
                        column.unwrap_or_else(|| panic!("{name}: no type of Metabase's: {rest}")).to_owned(),
                    )
                }
            };
            (variable.to_owned(), kind)
        });
        let question = Question { variables: variables.collect(), sql: text.clone(), name };
        let used: BTreeSet<_> =
            text.split("{{").skip(1).map(|rest| rest.split("}}").next().unwrap_or_default()).collect();
        let named: BTreeSet<_> = question.variables.keys().map(String::as_str).collect();
        assert_eq!(used, named, "{}: variables that are used, and that are named", question.name);
        assert!(
            !text.trim_end().ends_with(';'),
            "{}: Metabase may put a question into another",
            question.name
        );
        question
    }

    /// The statement where only `given` have a value: an optional part goes with its variable.
    fn interpolated(&self, values: &BTreeMap<&str, &str>, given: &BTreeSet<&str>) -> String {
        let mut sql = self.sql.clone();
        while let Some(start) = sql.find("[[") {
            let end = start + sql[start..].find("]]").expect("an optional part ends");
            let part = sql[start + 2..end].to_owned();
            let variable =
                part.split_once("{{").and_then(|(_, rest)| rest.split_once("}}")).expect("a variable").0;
            let stays = if given.contains(variable) { part.as_str() } else { "" };
            sql.replace_range(start..end + 2, stays);
        }
        for (variable, kind) in &self.variables {
            let value = *values.get(variable.as_str()).unwrap_or_else(|| panic!("no value for {variable}"));
            let text = match kind {
                Kind::Text => format!("CAST('{value}' AS varchar)"),
                Kind::Number => value.to_owned(),
                Kind::FieldFilter(column) => {
                    let column =
                        column.split('.').map(|part| format!("\"{part}\"")).collect::<Vec<_>>().join(".");
                    let (from, to) = value.split_once('~').expect("a range of dates");
                    format!("({column} >= timestamptz '{from}' AND {column} < timestamptz '{to}')")
                }
            };
            sql = sql.replace(&format!("{{{{{variable}}}}}"), &text);
        }
        sql
    }
}

fn questions() -> Vec<Question> {
    let mut paths: Vec<_> = fs::read_dir(docker("metabase"))
        .expect("docker/metabase")
        .map(|entry| entry.expect("an entry").path())
        .collect();
    paths.sort();
    paths.iter().map(|path| Question::read(path)).collect()
}

/// Asks while a call runs that is held where it is: one question is about such calls.
fn while_a_call_runs(db: &Database, ask: impl FnOnce()) {
    gate(db);
    let (mut session, mut keeper) = (db.client(), db.client());
    keeper.ask("SELECT pg_advisory_lock(2500)");
    thread::scope(|scope| {
        scope.spawn(move || session.ask("SELECT logintel.train('gated')"));
        eventually("train is at the gate", || {
            (db.client().ask(
                "SELECT count(*) FROM logintel.progress WHERE database = current_database() AND done = 2000",
            ) == "1")
                .then_some(())
        });
        ask();
        keeper.ask("SELECT pg_advisory_unlock(2500)");
    });
}

#[test]
fn every_question_shows_something() {
    let db = charted("metabase_questions");
    let incident = db.client().ask("SELECT min(incident_id) FROM logintel.incidents WHERE detector = 'app'");
    let severity = db
        .client()
        .ask("SELECT max(severity) FROM logintel.incidents WHERE detector = 'app' AND NOT is_suppressed");
    let range = db.client().ask("SELECT current_date - 30, current_date + 2").replace('|', "~");
    // A value that is there, and one that is not.
    let known: [(&str, &str, &str); 7] = [
        ("detector", "app", "nobody"),
        ("hours", "72", "0"),
        ("incident", &incident, "0"),
        ("severity", &severity, "none"),
        ("command", "train", "none"),
        ("time", &range, "1990-01-01~1990-02-01"),
        ("last_time", &range, "1990-01-01~1990-02-01"),
    ];
    let there: BTreeMap<&str, &str> = known.map(|(name, there, _)| (name, there)).into();
    let not_there: BTreeMap<&str, &str> = known.map(|(name, _, not_there)| (name, not_there)).into();
    let mut reader: Client = db.client_as(db.name());
    let questions = questions();
    assert!(questions.len() > 12, "{} questions", questions.len());
    while_a_call_runs(&db, || {
        for question in &questions {
            let all: BTreeSet<&str> = question.variables.keys().map(String::as_str).collect();
            let alone: Vec<_> = all.iter().map(|&variable| BTreeSet::from([variable])).collect();
            for given in [BTreeSet::new(), all.clone()].into_iter().chain(alone) {
                let what = format!("{} with {given:?}", question.name);
                shows_something(&mut reader, &what, &question.interpolated(&there, &given));
            }
            for variable in all {
                let sql = question.interpolated(&not_there, &BTreeSet::from([variable]));
                let rows = reader
                    .query(&sql, &[])
                    .unwrap_or_else(|error| panic!("{}: {error:?}\n{sql}", question.name));
                assert!(rows.is_empty(), "{}: {variable} filters nothing:\n{sql}", question.name);
            }
        }
    });
}

#[test]
fn the_guide_names_every_question() {
    let guide = fs::read_to_string(docker("../docs/metabase.md")).expect("docs/metabase.md");
    for question in questions() {
        let link = format!("](../docker/metabase/{}.sql)", question.name);
        assert!(guide.contains(&link), "docs/metabase.md does not lead to {link}");
    }
}
