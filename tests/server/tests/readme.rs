//! README.md and docs/ tell the truth: every block of SQL runs, what is printed below it is what it prints, every
//! object is named, and nothing is named that does not exist.
//!
//! `docs/reference.md` is written from the catalog's comments: `LOGINTEL_WRITE_DOCS=1 cargo test -p
//! logintel-server-tests --test readme` writes it anew, and the output blocks with it.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Cluster, Database};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;

/// Printed between the blocks of one psql session.
const MARK: &str = "--- end of block ---";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Whether the documents are to be written, not compared.
fn writing() -> bool {
    std::env::var_os("LOGINTEL_WRITE_DOCS").is_some()
}

// --- blocks of SQL ---------------------------------------------------------------------------------------------------

/// A fenced block of a document, by the lines of its text.
struct Block {
    language: String,
    first: usize,
    end: usize,
}

impl Block {
    fn text(&self, lines: &[&str]) -> String {
        lines[self.first..self.end].join("\n")
    }
}

/// The fenced blocks of a document.
fn blocks(lines: &[&str]) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, usize)> = None;
    for (number, line) in lines.iter().enumerate() {
        let Some(info) = line.strip_prefix("```") else { continue };
        open = match open {
            None => Some((info.trim().to_owned(), number + 1)),
            Some((language, first)) => {
                blocks.push(Block { language, first, end: number });
                None
            }
        };
    }
    assert!(open.is_none(), "a block is not closed");
    blocks
}

/// Runs blocks one after the other in one psql session, and something between them; what each of them prints.
fn run(database: &Database<'_>, document: &str, scripts: &[String], between: &str) -> Vec<String> {
    let mut psql = database
        .cluster()
        .program("psql")
        .args(["-X", "-v", "ON_ERROR_STOP=1", "-P", "pager=off", "-d", database.name()])
        .env("PGTZ", "UTC")
        .env("PGDATESTYLE", "ISO")
        .env("LC_ALL", "C.UTF-8")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("psql");
    let mut input = psql.stdin.take().expect("stdin");
    let ending = format!("\n\\echo '{MARK}'\n{between}\n");
    let session: String = scripts.iter().flat_map(|script| [script.as_str(), &ending]).collect();
    let writer = std::thread::spawn(move || input.write_all(session.as_bytes()));
    let output = psql.wait_with_output().expect("the output of psql");
    let _ = writer.join();
    let printed = String::from_utf8(output.stdout).expect("UTF-8");
    let printed: Vec<_> = printed.split(&format!("{MARK}\n")).map(trimmed).collect();
    let at = (printed.len() - 1).min(scripts.len() - 1);
    assert!(
        output.status.success(),
        "{document}: a block of SQL fails:\n{}\n{}",
        scripts[at],
        String::from_utf8_lossy(&output.stderr)
    );
    printed[..scripts.len()].to_vec()
}

/// Lines without trailing spaces, no empty ones at the end.
fn trimmed(text: &str) -> String {
    let lines: Vec<_> = text.lines().map(str::trim_end).collect();
    lines.join("\n").trim_end().to_owned()
}

/// Runs a document's blocks in a database of its own and compares what is shown: a `text` block that follows an `sql`
/// block is its output.
fn check_document(path: &Path, between: &str) {
    let document = path.file_name().and_then(|name| name.to_str()).expect("a name").to_owned();
    let text = read(path);
    let lines: Vec<_> = text.lines().collect();
    let blocks = blocks(&lines);
    let sql: Vec<_> = (0..blocks.len()).filter(|&at| blocks[at].language == "sql").collect();
    if sql.is_empty() {
        return;
    }
    let kind = if between.is_empty() { "document" } else { "ticked" };
    let database = Cluster::shared().plain_database(&format!("{kind}_{}", document.replace('.', "_")));
    let scripts: Vec<_> = sql.iter().map(|&at| blocks[at].text(&lines)).collect();
    let printed = run(&database, &document, &scripts, between);
    let mut new: Vec<String> = lines.iter().map(|&line| line.to_owned()).collect();
    // From the end, so that the numbers of the lines before stay what they are.
    for (&at, printed) in sql.iter().zip(&printed).rev() {
        let Some(shown) = blocks.get(at + 1).filter(|block| block.language == "text") else { continue };
        if writing() {
            new.splice(shown.first..shown.end, printed.lines().map(str::to_owned));
        } else {
            let script = blocks[at].text(&lines);
            assert_eq!(
                &trimmed(&shown.text(&lines)),
                printed,
                "{document} shows another output for\n{script}"
            );
        }
    }
    if writing() {
        fs::write(path, new.join("\n") + "\n").expect("the document can be written");
    }
}

#[test]
fn blocks_of_sql_run_and_print_what_is_shown() {
    check_document(&root().join("README.md"), "");
    let docs = fs::read_dir(root().join("docs")).expect("docs");
    let mut paths: Vec<_> = docs.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    for path in paths.iter().filter(|path| path.extension().is_some_and(|extension| extension == "md")) {
        check_document(path, "");
    }
}

/// Who reads slowly has the worker between the blocks.
#[test]
fn a_tick_between_the_blocks_of_the_readme_changes_nothing_of_what_is_shown() {
    // What is just being written is compared the next time.
    if writing() {
        return;
    }
    check_document(
        &root().join("README.md"),
        r"SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'logintel') AS is_there \gset
\if :is_there
\o /dev/null
CALL logintel.run_maintenance();
\o
\endif",
    );
}

// --- the catalog -----------------------------------------------------------------------------------------------------

/// Members of the extension in one catalog, as `m.objid`.
fn members(catalog: &str) -> String {
    format!(
        "(SELECT d.objid FROM pg_depend AS d JOIN pg_extension AS e ON e.oid = d.refobjid \
          WHERE d.classid = 'pg_catalog.{catalog}'::regclass AND d.refclassid = 'pg_extension'::regclass \
            AND d.deptype = 'e' AND e.extname = 'logintel') AS m"
    )
}

/// Functions that types, operators, operator classes, casts and aggregates are made of.
const SUPPORT: &str = "p.oid IN (
    SELECT unnest(ARRAY[typinput, typoutput, typreceive, typsend, typmodin, typmodout, typanalyze]::oid[]) FROM pg_type
    UNION SELECT oprcode FROM pg_operator UNION SELECT amproc FROM pg_amproc UNION SELECT castfunc FROM pg_cast
    UNION SELECT unnest(ARRAY[aggtransfn, aggfinalfn, aggcombinefn, aggserialfn, aggdeserialfn]::oid[]) FROM pg_aggregate)
  AND p.proname LIKE ANY (ARRAY['logvec%', 'tfidf\\_fit\\_%', 'tfidf\\_model\\_%'])";

/// A function as it is declared, types in their short names.
const SIGNATURE: &str = "p.proname || '(' || short(pg_get_function_arguments(p.oid)) || ')' \
    || coalesce(' → ' || short(pg_get_function_result(p.oid)), '')";

/// Makes the function `short` of this session.
fn prepare(client: &mut Client) {
    client
        .batch_execute(
            r"CREATE FUNCTION pg_temp.short(text) RETURNS text LANGUAGE sql AS $$
                  SELECT regexp_replace(
                      replace(replace(replace($1, 'timestamp with time zone', 'timestamptz'), 'double precision', 'float8'), 'logintel.', ''),
                      '::(text|jsonb|timestamptz)', '', 'g') $$;
              SET search_path = pg_catalog, pg_temp",
        )
        .unwrap();
}

fn rows(client: &mut Client, sql: &str) -> Vec<Vec<String>> {
    let sql = sql.replace("short(", "pg_temp.short(");
    let rows = client.query(&sql, &[]).unwrap_or_else(|error| panic!("{sql}: {error:?}"));
    let cell =
        |row: &logintel_server_tests::postgres::Row, at| row.get::<_, Option<String>>(at).unwrap_or_default();
    rows.iter().map(|row| (0..row.len()).map(|at| cell(row, at)).collect()).collect()
}

fn names(client: &mut Client, sql: &str) -> BTreeSet<String> {
    rows(client, sql).into_iter().map(|mut row| row.remove(0)).collect()
}

// --- what README names -----------------------------------------------------------------------------------------------

/// First code spans of the rows of the tables below a heading, up to the next heading.
fn named(document: &str, heading: &str) -> BTreeSet<String> {
    let mut lines = document.lines().skip_while(|line| *line != heading);
    assert!(lines.next().is_some(), "README.md has no heading {heading}");
    let rows = lines.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| `"));
    // A cell may hold several names.
    let cells = rows.map(|line| line[2..].split(" | ").next().unwrap_or_default());
    let spans = cells.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    spans.map(|span| span.replace("\\|", "|")).collect()
}

#[track_caller]
fn assert_same(what: &str, named: &BTreeSet<String>, exist: &BTreeSet<String>) {
    let missing: Vec<_> = exist.difference(named).collect();
    let invented: Vec<_> = named.difference(exist).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{what}: README.md lacks {missing:#?} and invents {invented:#?}"
    );
}

#[test]
fn every_object_is_named_and_nothing_that_does_not_exist() {
    let readme = read(&root().join("README.md"));
    let database = Cluster::shared().database("readme_names");
    let mut client = database.client();
    prepare(&mut client);

    let functions = format!(
        "SELECT {SIGNATURE} FROM pg_proc AS p JOIN {} ON m.objid = p.oid WHERE NOT ({SUPPORT})",
        members("pg_proc")
    );
    let mut written = BTreeSet::new();
    for heading in ["### Toolbox", "### Vectors", "### Detectors", "### Inner functions"] {
        written.append(&mut named(&readme, heading));
    }
    assert_same("functions", &written, &names(&mut client, &functions));

    let types = format!(
        "SELECT t.typname::text FROM pg_type AS t JOIN {} ON m.objid = t.oid LEFT JOIN pg_class AS c ON c.oid = t.typrelid \
         WHERE t.typtype = 'b' AND t.typelem = 0 OR c.relkind = 'c'",
        members("pg_type")
    );
    assert_same("types", &named(&readme, "### Types"), &names(&mut client, &types));

    let operators = format!(
        "SELECT o.oprname::text FROM pg_operator AS o JOIN {} ON m.objid = o.oid",
        members("pg_operator")
    );
    assert_same("operators", &named(&readme, "### Operators"), &names(&mut client, &operators));

    for (heading, kinds) in [("### Tables", "r"), ("### Views", "v"), ("### Materialized views", "m")] {
        let relations = format!(
            "SELECT c.relname::text FROM pg_class AS c JOIN {} ON m.objid = c.oid WHERE c.relkind = '{kinds}'",
            members("pg_class")
        );
        assert_same(heading, &named(&readme, heading), &names(&mut client, &relations));
    }

    let settings = "SELECT name FROM pg_settings WHERE name LIKE 'logintel.%'";
    assert_same("settings", &named(&readme, "### Settings"), &names(&mut client, settings));
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^logintel_'";
    assert_same("roles", &named(&readme, "### Roles"), &names(&mut client, roles));

    // An unknown option is refused with the list of those that are known.
    client.batch_execute("CREATE TABLE public.l (ts timestamptz, message text)").unwrap();
    for (heading, option) in [
        ("### Options of a detector", r#"{"?": 1}"#),
        ("### Options of clustering", r#"{"clustering": {"?": 1}}"#),
        ("### Options of a vectoriser", r#"{"vectorizer": {"?": 1}}"#),
    ] {
        let refused = client
            .batch_execute(&format!(
                "SELECT logintel.create_detector('d', 'public.l', options => '{option}')"
            ))
            .expect_err(option);
        let detail = refused.as_db_error().and_then(|error| error.detail()).expect("a detail");
        let known = detail.strip_prefix("Known options are ").and_then(|list| list.strip_suffix('.'));
        let known = known.expect(detail).split(", ").map(str::to_owned).collect();
        assert_same(heading, &named(&readme, heading), &known);
    }
}

// --- docs/reference.md -----------------------------------------------------------------------------------------------

/// Who may use an object: the roles of its access list besides its owner, else everybody or its owner alone.
fn grantees(list: &str, kind: &str, privilege: &str) -> String {
    format!(
        "coalesce((SELECT string_agg(CASE a.grantee WHEN 0 THEN 'everybody' ELSE '`' || a.grantee::regrole || '`' END, ', ' ORDER BY a.grantee) \
          FROM aclexplode(coalesce({list}, acldefault('{kind}', 10))) AS a \
          WHERE a.privilege_type = '{privilege}' AND a.grantee <> a.grantor), 'owner')"
    )
}

/// A table of Markdown.
fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let mut text = line(head.iter().map(ToString::to_string).collect());
    text += &line(vec!["---".to_owned(); head.len()]);
    for row in rows {
        text += &line(row.iter().map(|cell| cell.replace('\n', " ").replace('|', "\\|")).collect());
    }
    text
}

fn reference(client: &mut Client) -> String {
    let mut text = String::from(
        "# Reference\n\nEvery object of the extension, all in schema `logintel`, with its comment. Written from the \
         catalog by a test (`tests/server/tests/readme.rs`): change the comments in `sql/`, not this file. What the \
         options mean stands in [README.md](../README.md).\n",
    );
    let mut section = |heading: &str, head: &[&str], rows: Vec<Vec<String>>| {
        for row in &rows {
            assert!(row.iter().all(|cell| !cell.is_empty()), "{heading}: no comment on {row:?}");
        }
        let _ = write!(text, "\n## {heading}\n\n{}", table(head, &rows));
    };
    let types = format!(
        "SELECT '`' || t.typname || '`', obj_description(t.oid, 'pg_type') FROM pg_type AS t JOIN {} ON m.objid = t.oid \
         LEFT JOIN pg_class AS c ON c.oid = t.typrelid WHERE t.typtype = 'b' AND t.typelem = 0 OR c.relkind = 'c' ORDER BY 1",
        members("pg_type")
    );
    section("Types", &["type", "meaning"], rows(client, &types));
    for (heading, kind, support) in [
        ("Functions", "p.prokind = 'f'", false),
        ("Aggregates", "p.prokind = 'a'", false),
        ("Window functions", "p.prokind = 'w'", false),
        ("Procedures", "p.prokind = 'p'", false),
        ("Functions that types, operators and aggregates are made of", "true", true),
    ] {
        let functions = format!(
            "SELECT '`' || {SIGNATURE} || '`', {}, obj_description(p.oid, 'pg_proc') FROM pg_proc AS p \
             JOIN {} ON m.objid = p.oid WHERE {kind} AND ({SUPPORT}) = {support} ORDER BY p.proname, 1",
            grantees("p.proacl", "f", "EXECUTE"),
            members("pg_proc")
        );
        section(heading, &["call", "for", "meaning"], rows(client, &functions));
    }
    let operators = format!(
        "SELECT '`' || short(o.oprleft::regtype::text) || ' ' || o.oprname || ' ' || short(o.oprright::regtype::text) || ' → ' \
             || short(o.oprresult::regtype::text) || '`', obj_description(o.oid, 'pg_operator') \
         FROM pg_operator AS o JOIN {} ON m.objid = o.oid ORDER BY o.oprname",
        members("pg_operator")
    );
    section("Operators", &["operator", "meaning"], rows(client, &operators));
    let classes = format!(
        "SELECT '`' || o.opcname || '` USING ' || a.amname, obj_description(o.oid, 'pg_opclass') \
         FROM pg_opclass AS o JOIN {} ON m.objid = o.oid JOIN pg_am AS a ON a.oid = o.opcmethod ORDER BY 1",
        members("pg_opclass")
    );
    section("Operator classes", &["class", "meaning"], rows(client, &classes));
    let casts = format!(
        "SELECT '`' || short(c.castsource::regtype::text) || '` to `' || short(c.casttarget::regtype::text) || '`', \
             CASE c.castcontext WHEN 'i' THEN 'implicit' WHEN 'a' THEN 'on assignment' ELSE 'explicit' END, obj_description(c.oid, 'pg_cast') \
         FROM pg_cast AS c JOIN {} ON m.objid = c.oid ORDER BY 1",
        members("pg_cast")
    );
    section("Casts", &["cast", "when", "meaning"], rows(client, &casts));
    let settings = "SELECT '`' || name || '`', CASE vartype WHEN 'string' THEN '`' || boot_val || '`' \
             ELSE '`' || CASE unit WHEN 'kB' THEN pg_size_pretty(boot_val::bigint * 1024) WHEN 's' THEN boot_val || ' s' ELSE boot_val END || '`' END, \
         CASE context WHEN 'sighup' THEN 'configuration, reload' WHEN 'superuser' THEN 'superuser, or who is granted SET' ELSE 'everybody' END, \
         concat_ws(' ', short_desc, nullif(extra_desc, '')) FROM pg_settings WHERE name LIKE 'logintel.%' ORDER BY 1";
    section("Settings", &["setting", "default", "changed by", "meaning"], rows(client, settings));
    let roles = "SELECT '`' || rolname || '`', shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname ~ '^logintel_' ORDER BY 1";
    section("Roles", &["role", "meaning"], rows(client, roles));
    for (heading, kind) in [("Tables", "r"), ("Views", "v"), ("Materialized views", "m")] {
        let _ = write!(text, "\n## {heading}\n");
        let relations = format!(
            "SELECT c.relname::text, {}, obj_description(c.oid, 'pg_class') FROM pg_class AS c JOIN {} ON m.objid = c.oid \
             WHERE c.relkind = '{kind}' ORDER BY 1",
            grantees("c.relacl", "r", "SELECT"),
            members("pg_class")
        );
        for relation in rows(client, &relations) {
            let [name, readers, comment] = &relation[..] else { unreachable!("three columns") };
            assert!(!comment.is_empty(), "no comment on {name}");
            let comment = comment.trim_end_matches('.');
            let columns = format!(
                "SELECT '`' || attname || '`', short(format_type(atttypid, atttypmod)), col_description(attrelid, attnum) \
                 FROM pg_attribute WHERE attrelid = 'logintel.{name}'::regclass AND attnum > 0 AND NOT attisdropped ORDER BY attnum"
            );
            let columns = rows(client, &columns);
            for column in &columns {
                assert!(!column[2].is_empty(), "no comment on {name}.{}", column[0]);
            }
            let _ = write!(
                text,
                "\n### {name}\n\n{comment}. Read by {readers}.\n\n{}",
                table(&["column", "type", "meaning"], &columns)
            );
        }
    }
    text
}

#[test]
fn the_reference_is_what_the_catalog_says() {
    let database = Cluster::shared().database("readme_reference");
    let mut client = database.client();
    prepare(&mut client);
    let written = reference(&mut client);
    let path = root().join("docs/reference.md");
    if writing() {
        fs::write(&path, &written).expect("docs/reference.md can be written");
    }
    let hint = "docs/reference.md is not what the catalog says; LOGINTEL_WRITE_DOCS=1 writes it anew";
    assert_eq!(read(&path), written, "{hint}");
}
