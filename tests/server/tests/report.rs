//! `report_html` in a real browser, of real logs with hostile lines among them: it loads nothing, runs nothing but its own script,
//! complains of nothing, can be sorted, and can be read on a phone and in the dark.
//!
//! `LOGINTEL_WRITE_DOCS=1` writes the pictures of docs/.
use std::fs;
use std::path::{Path, PathBuf};

use logintel_server_tests::{Ask, Browser, Cluster, Database};

/// What somebody might make a program log.
const HOSTILE: &str = r#"<script>window.pwned = 1; document.title = 'pwned'</script><img src="http://192.0.2.1/x" onerror="window.pwned = 2">"#;

fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("report-{name}"))
}

fn skip(why: &str) {
    println!("skipped: {why}");
}

/// A Linux server's own log, its last line twenty minutes ago: half of it is learnt, the rest comes in; and then the shop fails.
fn database<'a>(data: &str) -> Database<'a> {
    let db = Cluster::shared().database("report");
    db.cluster().reload();
    let tools = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tools");
    let run = |file: &str| db.execute(&fs::read_to_string(tools.join(file)).expect("SQL of the demo"));
    run("demo-lines.sql");
    db.execute(&format!(
        "COPY raw_line (line) FROM PROGRAM 'gzip -dc {data}/linux/Linux.log.gz | head -n 9000 | tr -d ''\\000\\001\\002\\r''' \
         WITH (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01', ENCODING 'LATIN1')"
    ));
    db.execute("INSERT INTO parsed SELECT r.id, p.* FROM raw_line r, LATERAL parse_line(r.line) p");
    run("demo-parsed.sql");
    db.execute(
        "UPDATE parsed SET ts = ts + (now() - (SELECT max(ts) FROM parsed)) - interval '20 min';
         INSERT INTO app_log SELECT * FROM parsed WHERE id <= 4500;",
    );
    let mut session = db.client();
    session.ask("SELECT logintel.create_detector('linux', 'app_log'); SELECT logintel.train('linux'); SELECT logintel.watch('linux')");
    session.ask("INSERT INTO app_log SELECT * FROM parsed WHERE id > 4500");
    session.ask(&format!(
        "INSERT INTO app_log SELECT 10000 + i, now() - interval '4 min' + i * interval '2 s', 'ERROR', 'shop',
             CASE i % 4 WHEN 1 THEN 'payment gateway does not answer: timeout after ' || 30 + i || ' s'
                        WHEN 2 THEN 'order ' || 7000 + i || ' was not paid: {}' ELSE 'payment for order ' || 7000 + i || ' rejected' END
         FROM generate_series(1, 40) AS i",
        HOSTILE.replace('\'', "''")
    ));
    session.ask("CALL logintel.run_maintenance()");
    db
}

#[test]
fn a_browser_shows_the_report_and_nothing_else_happens() {
    let Ok(data) = std::env::var("LOGINTEL_DATA") else { return skip("no real logs (LOGINTEL_DATA)") };
    let Some(mut browser) = Browser::start(&temporary("browser")) else { return skip("no chromium") };
    let db = database(&data);
    let page = db.client().ask("SELECT logintel.report_html()");
    let file = temporary("page.html");
    fs::write(&file, &page).expect("a file");

    browser.show(1280, "light");
    browser.open(&file);
    is_quiet(&browser, &file);
    shows_what_is_hostile(&mut browser);
    links_open(&mut browser);
    sorts(&mut browser);
    for (width, scheme) in [(1280, "light"), (1280, "dark"), (390, "light"), (390, "dark")] {
        browser.show(width, scheme);
        browser.open(&file);
        is_quiet(&browser, &file);
        fits(&mut browser, width);
        is_legible(&mut browser, scheme);
        let picture = browser.screenshot(width, if width > 600 { 1500 } else { 1400 });
        assert!(picture.starts_with(b"\x89PNG"), "a picture");
        fs::write(temporary(&format!("{width}-{scheme}.png")), &picture).expect("a file");
        let kept = matches!((width, scheme), (1280, "light") | (390, "dark"));
        if kept && std::env::var_os("LOGINTEL_WRITE_DOCS").is_some() {
            let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs");
            fs::write(docs.join(format!("report-{width}-{scheme}.png")), &picture).expect("a file");
        }
    }
}

/// One request, which is for the page itself; no message in the console, no error, no word of the policy.
fn is_quiet(browser: &Browser, file: &Path) {
    let requests: Vec<_> = browser
        .events("Network.requestWillBeSent")
        .iter()
        .map(|event| event["request"]["url"].clone())
        .collect();
    assert_eq!(requests, [format!("file://{}", file.display())]);
    for kind in ["Runtime.consoleAPICalled", "Runtime.exceptionThrown", "Log.entryAdded"] {
        assert!(browser.events(kind).is_empty(), "{kind}: {:?}", browser.events(kind));
    }
}

fn shows_what_is_hostile(browser: &mut Browser) {
    assert_eq!(browser.evaluate("typeof window.pwned"), "undefined");
    assert_ne!(browser.evaluate("document.title"), "pwned");
    assert_eq!(browser.evaluate("document.querySelectorAll('img, iframe, object, link').length"), 0);
    assert_eq!(browser.evaluate("document.scripts.length"), 1);
    let shown = browser.evaluate("document.querySelector('.messages').innerText");
    assert!(shown.as_str().expect("text").contains(HOSTILE), "{shown}");
}

/// A link of the timeline opens the incident that it leads to.
fn links_open(browser: &mut Browser) {
    let closed = browser.evaluate("document.querySelector('details.incident:not([open]) .body').id");
    let closed = closed.as_str().expect("an incident that is closed");
    let is_open = format!("document.getElementById('{closed}').closest('details').open");
    assert_eq!(browser.evaluate(&is_open), false);
    browser.click(&format!("table.timeline a[href='#{closed}']"));
    assert_eq!(browser.evaluate(&is_open), true);
}

/// The number of events is the sixth column of the timeline: first the most, then the fewest.
fn sorts(browser: &mut Browser) {
    let events = |browser: &mut Browser| -> Vec<i64> {
        let read = "Array.from(document.querySelectorAll('table.timeline tbody tr'), r => Number(r.cells[5].dataset.v))";
        let values = browser.evaluate(read);
        values.as_array().expect("a list").iter().map(|value| value.as_i64().expect("a number")).collect()
    };
    let before = events(browser);
    let mut sorted = before.clone();
    sorted.sort_unstable_by_key(|events| std::cmp::Reverse(*events));
    assert!(before.len() > 3 && before != sorted, "sorting would show nothing: {before:?}");
    let head = "table.timeline th:nth-child(6)";
    let order = format!("document.querySelector('{head}').getAttribute('aria-sort')");
    browser.click(&format!("{head} button"));
    assert_eq!(events(browser), sorted);
    assert_eq!(browser.evaluate(&order), "descending");
    browser.click(&format!("{head} button"));
    sorted.reverse();
    assert_eq!(events(browser), sorted);
    assert_eq!(browser.evaluate(&order), "ascending");
    // By words, with no mark left on the other column.
    browser.click("table.timeline th:nth-child(3) button");
    assert_eq!(browser.evaluate("document.querySelectorAll('table.timeline th[aria-sort]').length"), 1);
    let titles = browser.evaluate("Array.from(document.querySelectorAll('table.timeline tbody tr'), r => r.cells[2].textContent.trim())");
    let sorted = browser.evaluate("Array.from(document.querySelectorAll('table.timeline tbody tr'), r => r.cells[2].textContent.trim()).sort((a, b) => a.localeCompare(b, 'en'))");
    assert_eq!(titles, sorted);
}

/// Nothing is wider than the screen, and one of the two drawings of a chart is seen.
fn fits(browser: &mut Browser, width: u32) {
    let shown = browser.evaluate("document.documentElement.scrollWidth");
    assert!(shown.as_u64().expect("a width") <= u64::from(width), "{shown} at {width}");
    let drawings = browser.evaluate(
        "Array.from(document.querySelectorAll('.chart'), c => Array.from(c.querySelectorAll('svg')).filter(s => s.getBoundingClientRect().width > 0).length)",
    );
    let drawings = drawings.as_array().expect("a list");
    assert!(!drawings.is_empty() && drawings.iter().all(|n| *n == 1), "{drawings:?}");
}

/// Text stands out from its ground by 4.5 to 1 at least, as WCAG 2 asks (AA), and the page is light or dark as it was asked.
fn is_legible(browser: &mut Browser, scheme: &str) {
    let weak = browser.evaluate(
        "(() => {
            const parse = (c) => c.match(/[0-9.]+/g).map(Number);
            const light = ([r, g, b]) => [r, g, b].map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
                .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
            const ground = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length === 3 || c[3] === 1) return c; } };
            const weak = [];
            for (const e of document.querySelectorAll('body *')) {
                const own = Array.from(e.childNodes).some(n => n.nodeType === 3 && n.textContent.trim());
                if (!own || e.closest('svg, script, style') || e.getClientRects().length === 0) continue;
                const [a, b] = [light(parse(getComputedStyle(e).color)), light(ground(e))];
                const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
                if (ratio < 4.5) weak.push(e.tagName + '.' + e.className + ' ' + ratio.toFixed(2) + ' ' + e.textContent.slice(0, 30));
            }
            return weak;
        })()",
    );
    assert_eq!(weak, serde_json::json!([]), "{scheme}");
    let is_dark = browser
        .evaluate("parseInt(getComputedStyle(document.body).backgroundColor.match(/[0-9]+/)[0]) < 128");
    assert_eq!(is_dark, scheme == "dark");
}

#[test]
fn what_the_test_looks_for_would_be_seen() {
    let Some(mut browser) = Browser::start(&temporary("control")) else { return skip("no chromium") };
    let file = temporary("control.html");
    fs::write(
        &file,
        format!("<!DOCTYPE html><title>x</title>{HOSTILE}<script>console.log('said'); throw 1</script>"),
    )
    .expect("a file");
    browser.show(1280, "light");
    browser.open(&file);
    assert!(browser.evaluate("window.pwned").as_i64() >= Some(1));
    assert_eq!(browser.evaluate("document.title"), "pwned");
    assert_eq!(browser.events("Network.requestWillBeSent").len(), 2);
    assert_eq!(browser.events("Runtime.consoleAPICalled").len(), 1);
    assert_eq!(browser.events("Runtime.exceptionThrown").len(), 1);
}
