//! README.md and docs/ tell the truth: every block of SQL runs, what is printed below it is what it prints, links lead
//! somewhere, options, settings and rights are those that there are, and nothing is named that does not exist.
//!
//! `docs/reference.md` is written from the catalog's comments, and so names every object: `LOGINTEL_WRITE_DOCS=1 cargo
//! test -p logintel-server-tests --test readme` writes it anew, and the output blocks with it.
use logintel_server_tests::postgres::Client;
use logintel_server_tests::{Cluster, Database};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, PoisonError};

/// Printed between the blocks of one psql session.
const MARK: &str = "--- end of block ---";

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// README.md and the pages of docs/.
fn pages() -> Vec<PathBuf> {
    let docs = fs::read_dir(root().join("docs")).expect("docs").map(|entry| entry.expect("an entry").path());
    let mut pages: Vec<_> =
        docs.filter(|path| path.extension().is_some_and(|extension| extension == "md")).collect();
    pages.push(root().join("README.md"));
    pages.sort();
    pages
}

fn page(name: &str) -> String {
    read(&root().join(name))
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

/// Runs a document's blocks in a database of its own. Roles belong to the cluster: one document at a time, and the roles
/// that it has made go.
fn run_alone(document: &str, scripts: &[String], between: &str) -> Vec<String> {
    static ONE: Mutex<()> = Mutex::new(());
    // Those of the extension stay: it makes them where they are missing.
    const ROLES: &str = "SELECT rolname::text FROM pg_roles WHERE rolname !~ '^logintel_'";
    let _one = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    let kind = if between.is_empty() { "document" } else { "ticked" };
    let database = Cluster::shared().plain_database(&format!("{kind}_{}", document.replace('.', "_")));
    let mut client = database.client();
    let before = names(&mut client, ROLES);
    let printed = run(&database, document, scripts, between);
    for role in names(&mut client, ROLES).difference(&before) {
        client.batch_execute(&format!("DROP OWNED BY \"{role}\"; DROP ROLE \"{role}\"")).expect(role);
    }
    printed
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
    let scripts: Vec<_> = sql.iter().map(|&at| blocks[at].text(&lines)).collect();
    let printed = run_alone(&document, &scripts, between);
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
    for page in pages() {
        check_document(&page, "");
    }
}

/// Who reads slowly has the worker between the blocks.
#[test]
fn a_tick_between_the_blocks_changes_nothing_of_what_is_shown() {
    // What is just being written is compared the next time.
    if writing() {
        return;
    }
    for page in pages() {
        check_document(
            &page,
            r"SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'logintel') AS is_there \gset
\if :is_there
\o /dev/null
CALL logintel.run_maintenance();
\o
\endif",
        );
    }
}

// --- links -----------------------------------------------------------------------------------------------------------

/// Lines that are in no fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_open = false;
    text.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        is_open ^= is_fence;
        !is_fence && !is_open
    })
}

/// What GitHub makes of a heading for links to it.
fn anchor(heading: &str) -> String {
    let kept = heading
        .to_lowercase()
        .chars()
        .filter(|&c| c.is_alphanumeric() || " -_".contains(c))
        .collect::<String>();
    kept.trim().replace(' ', "-")
}

#[test]
fn links_lead_somewhere() {
    let mut broken = Vec::new();
    for page in pages() {
        let text = read(&page);
        for line in prose(&text) {
            for target in line.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
                if target.contains("://") {
                    continue;
                }
                let (file, heading) = target.split_once('#').unwrap_or((target, ""));
                let file =
                    if file.is_empty() { page.clone() } else { page.parent().expect("a folder").join(file) };
                let is_there = file.exists()
                    && (heading.is_empty()
                        || prose(&read(&file)).any(|line| {
                            line.starts_with('#') && anchor(line.trim_start_matches('#')) == heading
                        }));
                if !is_there {
                    broken.push(format!("{}: {target}", page.display()));
                }
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    // And README.md leads to every page.
    let readme = page("README.md");
    for page in pages().iter().filter(|page| !page.ends_with("README.md")) {
        let name = page.file_name().and_then(|name| name.to_str()).expect("a name");
        assert!(readme.contains(&format!("](docs/{name})")), "README.md does not link to docs/{name}");
    }
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

// --- what the pages name ----------------------------------------------------------------------------------------------

/// The rows of the tables below a heading, up to the next heading.
fn table_rows<'a>(document: &'a str, heading: &str) -> impl Iterator<Item = &'a str> {
    let mut lines = document.lines().skip_while(move |line| *line != heading);
    assert!(lines.next().is_some(), "there is no heading {heading}");
    lines.take_while(|line| !line.starts_with('#')).filter(|line| line.starts_with("| "))
}

/// The code spans of a text.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// First code spans of the rows of the tables below a heading.
fn named(document: &str, heading: &str) -> BTreeSet<String> {
    let rows = table_rows(document, heading).filter(|row| row.starts_with("| `"));
    // A cell may hold several names.
    let cells = rows.map(|row| row[2..].split(" | ").next().unwrap_or_default());
    cells.flat_map(spans).map(|span| span.replace("\\|", "|")).collect()
}

#[track_caller]
fn assert_same(what: &str, named: &BTreeSet<String>, exist: &BTreeSet<String>) {
    let missing: Vec<_> = exist.difference(named).collect();
    let invented: Vec<_> = named.difference(exist).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "{what}: lacks {missing:#?} and invents {invented:#?}"
    );
}

#[test]
fn the_options_and_settings_are_those_that_there_are() {
    let tuning = page("docs/tuning.md");
    let database = Cluster::shared().database("readme_options");
    let mut client = database.client();
    prepare(&mut client);
    let settings = "SELECT name FROM pg_settings WHERE name LIKE 'logintel.%'";
    assert_same("settings", &named(&tuning, "## Settings"), &names(&mut client, settings));

    // An unknown option is refused with the list of those that are known.
    client.batch_execute("CREATE TABLE public.l (ts timestamptz, message text)").unwrap();
    for (heading, option) in [
        ("## Options of a detector", r#"{"?": 1}"#),
        ("## Options of clustering", r#"{"clustering": {"?": 1}}"#),
        ("## Options of a vectoriser", r#"{"vectorizer": {"?": 1}}"#),
    ] {
        let refused = client
            .batch_execute(&format!(
                "SELECT logintel.create_detector('d', 'public.l', options => '{option}')"
            ))
            .expect_err(option);
        let detail = refused.as_db_error().and_then(|error| error.detail()).expect("a detail");
        let known = detail.strip_prefix("Known options are ").and_then(|list| list.strip_suffix('.'));
        let known = known.expect(detail).split(", ").map(str::to_owned).collect();
        assert_same(heading, &named(&tuning, heading), &known);
    }
}

#[test]
fn the_toolbox_is_whole() {
    let toolbox = page("docs/toolbox.md");
    let database = Cluster::shared().database("readme_toolbox");
    let mut client = database.client();
    prepare(&mut client);
    let headings = ["## Vectorisers", "## Clusters", "## Templates", "## Vectors"];
    let written = headings.iter().flat_map(|heading| named(&toolbox, heading)).collect();
    let mut exist = names(
        &mut client,
        &format!(
            "SELECT {SIGNATURE} FROM pg_proc AS p JOIN {} ON m.objid = p.oid \
             WHERE NOT ({SUPPORT}) AND (p.proname = 'log_embed' OR has_function_privilege('public', p.oid, 'EXECUTE'))",
            members("pg_proc")
        ),
    );
    exist.append(&mut names(
        &mut client,
        &format!(
            "SELECT o.oprname::text FROM pg_operator AS o JOIN {} ON m.objid = o.oid",
            members("pg_operator")
        ),
    ));
    assert_same("docs/toolbox.md", &written, &exist);
}

/// Each function and relation with the least role that may use it, but for what everybody or nobody may.
#[test]
fn the_rights_are_those_that_there_are() {
    let security = page("docs/security.md");
    let database = Cluster::shared().database("readme_rights");
    let mut client = database.client();
    prepare(&mut client);
    let least = |has: &str, privilege: &str| {
        format!(
            "CASE WHEN {has}('logintel_reader', m.objid, '{privilege}') THEN 'logintel_reader' \
                  WHEN {has}('logintel_writer', m.objid, '{privilege}') THEN 'logintel_writer' \
                  WHEN {has}('logintel_admin', m.objid, '{privilege}') THEN 'logintel_admin' END"
        )
    };
    let granted = format!(
        "SELECT name, role FROM (
             SELECT p.proname::text, {} FROM pg_proc AS p JOIN {} ON m.objid = p.oid WHERE NOT has_function_privilege('public', p.oid, 'EXECUTE')
             UNION ALL
             SELECT c.relname::text, {} FROM pg_class AS c JOIN {} ON m.objid = c.oid WHERE c.relkind IN ('r', 'v', 'm')) AS granted (name, role)
         WHERE role IS NOT NULL",
        least("has_function_privilege", "EXECUTE"),
        members("pg_proc"),
        least("has_table_privilege", "SELECT"),
        members("pg_class")
    );
    let exist: BTreeSet<String> = rows(&mut client, &granted).iter().map(|row| row.join(": ")).collect();
    let mut written = BTreeSet::new();
    for row in table_rows(&security, "## Roles") {
        let Some((what, who)) = row.trim_matches(['|', ' ']).rsplit_once(" | ") else { continue };
        let Some(role) = spans(who).next() else { continue };
        for name in spans(what) {
            assert!(written.insert(format!("{name}: {role}")), "docs/security.md names {name} twice");
        }
    }
    assert_same("docs/security.md", &written, &exist);
    let roles = "SELECT rolname::text FROM pg_roles WHERE rolname ~ '^logintel_'";
    for role in names(&mut client, roles) {
        assert!(security.contains(&format!("| `{role}` |")), "docs/security.md does not name {role}");
    }
}

/// Whatever is written as `logintel.name` exists.
#[test]
fn nothing_is_named_that_does_not_exist() {
    let database = Cluster::shared().database("readme_names");
    let mut client = database.client();
    prepare(&mut client);
    let exist = names(
        &mut client,
        &format!(
            "SELECT p.proname::text FROM pg_proc AS p JOIN {} ON m.objid = p.oid \
             UNION SELECT c.relname::text FROM pg_class AS c JOIN {} ON m.objid = c.oid \
             UNION SELECT t.typname::text FROM pg_type AS t JOIN {} ON m.objid = t.oid \
             UNION SELECT substr(name, 10) FROM pg_settings WHERE name LIKE 'logintel.%'",
            members("pg_proc"),
            members("pg_class"),
            members("pg_type")
        ),
    );
    let mut invented = BTreeSet::new();
    for page in pages() {
        for after in read(&page).split("logintel.").skip(1) {
            // Any view, and any column of it.
            let after = after.strip_prefix("view.column").unwrap_or(after);
            let name: String = after.chars().take_while(|&c| c.is_ascii_lowercase() || c == '_').collect();
            if !name.is_empty() && !exist.contains(&name) {
                invented.insert(format!("{}: logintel.{name}", page.display()));
            }
        }
    }
    assert!(invented.is_empty(), "{invented:#?}");
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
         options mean stands in [tuning.md](tuning.md).\n",
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
