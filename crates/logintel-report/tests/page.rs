//! The page as a browser reads it: parsed by an HTML parser, whatever texts, numbers and times go in.
use std::collections::BTreeMap;

use logintel_report::report::{
    AnomalyChart, Bucket, Cluster, Component, Counts, Details, Detector, Drift, Event, Explanation, Finding,
    Grade, Incident, Model, Report, Severity, Status, Template, Term,
};
use logintel_report::text::Text;
use logintel_report::time::Time;
use logintel_report::{limits, page};
use proptest::prelude::*;
use scraper::{Html, Selector};

/// A report with `n` of everything, in which each text is made by `text` from its number.
#[expect(clippy::too_many_lines, reason = "one value, and all of it has to be there")]
fn report(n: usize, mut text: impl FnMut(usize) -> Text) -> Report {
    let mut number = 0;
    let mut next = || {
        number += 1;
        text(number)
    };
    let minute = 60_000_000;
    let time = |at: usize| Time(1_767_225_600_000_000 + at as i64 * minute);
    let severities = [Severity::High, Severity::Medium, Severity::Low];
    let statuses = [Status::Open, Status::Acknowledged, Status::Resolved];
    let incident = |at: usize, next: &mut dyn FnMut() -> Text| Incident {
        id: at as i64,
        detector: next(),
        title: next(),
        severity: severities[at % 3],
        status: statuses[at / 3 % 3],
        is_held: at % 2 == 1,
        start: time(at),
        end: time(2 * at),
        events: at as u64 * 1000,
    };
    let texts = |next: &mut dyn FnMut() -> Text| (0..n).map(|_| next()).collect::<Vec<_>>();
    Report {
        database: next(),
        version: next(),
        generated_at: time(100_000),
        asked: Some(next()),
        findings: (0..n)
            .map(|at| Finding {
                grade: if at == 0 { Grade::Trouble } else { Grade::Attention },
                detector: next(),
                what: next(),
                hint: next(),
            })
            .collect(),
        state: (n > 0).then_some(Grade::Trouble),
        counts: Counts {
            open: [n as u64; 3],
            incidents: 10 * n as u64,
            newest_anomaly: Some(time(1)),
            detectors: 10 * n as u64,
            trained: 1,
            ..Counts::default()
        },
        charts: (0..n)
            .map(|_| AnomalyChart {
                title: next(),
                from: time(0),
                until: time(1000),
                bucket: minute,
                buckets: (0..n).map(|at| Bucket { start: time(at), counts: [1, 2, 3, at as u64] }).collect(),
            })
            .collect(),
        incidents: (0..n).map(|at| incident(at, &mut next)).collect(),
        details: (0..n)
            .map(|at| Details {
                incident: incident(at, &mut next),
                origin: Some(next()),
                components: texts(&mut next),
                sources: texts(&mut next),
                levels: texts(&mut next),
                rate: Some(12.5),
                baseline_rate: Some(0.001),
                reasons: (0..n).map(|at| (next(), at as u64)).collect(),
                reasons_of: Some(10_000),
                messages: texts(&mut next),
                templates: (0..n)
                    .map(|at| Template { template: next(), count: at as u64, baseline_rate: Some(at as f64) })
                    .collect(),
                explanation: Some(Explanation {
                    message: next(),
                    judged_by: Some(3),
                    rules: (0..n).map(|_| (next(), next())).collect(),
                    nearest: Some((next(), next())),
                    limit: Some(next()),
                    terms: (0..n)
                        .map(|at| Term { term: next(), contribution: 0.5 - at as f64, detail: next() })
                        .collect(),
                }),
                history: (0..n)
                    .map(|at| Event { at: time(at), actor: next(), event: next(), note: Some(next()) })
                    .collect(),
            })
            .collect(),
        components: (0..n)
            .map(|at| Component {
                detector: next(),
                component: next(),
                anomalies: at as u64,
                anomalies_last_day: at as u64,
                open_incidents: 1,
                last: Some(time(at)),
            })
            .collect(),
        detectors: (0..n)
            .map(|at| Detector {
                name: next(),
                relation: next(),
                is_enabled: false,
                model: (at % 2 == 0).then(|| Model {
                    version: 7,
                    trained_at: time(at),
                    training_rows: 1_000_000,
                    vocabulary: 5000,
                    templates: 300,
                    clusters: 40,
                    noise_rows: 17,
                    threshold: 1.25,
                    flagged_share: 0.01,
                    versions: 7,
                }),
                next: next(),
                clusters: (0..n)
                    .map(|at| Cluster { id: at as i32, rows: at as u64, templates: 1, template: next() })
                    .collect(),
                drift: (0..n)
                    .map(|at| Drift { time: time(60 * at), flagged: 0.01, unseen: at as f64 / n as f64 })
                    .collect(),
                drift_warning: Some(next()),
            })
            .collect(),
    }
}

/// What the page is made of: elements with the names of their attributes, in order.
fn structure(page: &Html) -> Vec<(String, Vec<String>)> {
    let elements = page.root_element().descendent_elements();
    elements
        .map(|element| {
            let mut attributes: Vec<_> = element.value().attrs().map(|(name, _)| name.to_owned()).collect();
            attributes.sort();
            (element.value().name().to_owned(), attributes)
        })
        .collect()
}

fn texts_of(page: &Html) -> String {
    page.root_element().text().collect()
}

const HOSTILE: &str = "</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;<!-- ]]> --><style>*{display:none}</style>\u{202e}\u{0}\u{1b}[31m";

#[test]
fn markup_in_any_text_is_shown_and_not_obeyed() {
    let hostile = Html::parse_document(&page(&report(3, |_| Text::line(HOSTILE))));
    let harmless = Html::parse_document(&page(&report(3, |_| Text::line("harmless"))));
    assert!(hostile.errors.is_empty(), "{:?}", hostile.errors);
    assert_eq!(structure(&hostile), structure(&harmless));
    assert_eq!(hostile.select(&Selector::parse("script").expect("a selector")).count(), 1);
    assert_eq!(hostile.select(&Selector::parse("style").expect("a selector")).count(), 1);
    assert!(
        structure(&hostile)
            .iter()
            .all(|(_, attributes)| attributes.iter().all(|name| !name.starts_with("on") && name != "style"))
    );
    let shown = texts_of(&hostile);
    assert!(
        shown.contains("</script><script>alert(1)</script><img src=x onerror=alert(1)>\"'&amp;<!-- ]]> -->")
    );
    assert!(shown.contains("⟨U+202E⟩␀␛[31m"));
}

#[test]
fn every_text_is_on_the_page() {
    let mut made = 0;
    let whole = report(3, |number| {
        made = number;
        Text::line(&format!("[text {number}]"))
    });
    let page = Html::parse_document(&page(&whole));
    let shown = texts_of(&page);
    // A detector shows either its model or what to do without one; a report has two charts.
    let of_other_cases = |number: usize| {
        let text = format!("[text {number}]");
        let without = whole.detectors.iter().filter(|detector| detector.model.is_none());
        let with = whole.detectors.iter().filter(|detector| detector.model.is_some());
        with.map(|detector| &detector.next).any(|next| next.as_str() == text)
            || without
                .flat_map(|detector| {
                    detector.clusters.iter().map(|c| &c.template).chain(&detector.drift_warning)
                })
                .any(|shown| shown.as_str() == text)
            || whole.charts.iter().skip(limits::CHARTS).any(|chart| chart.title.as_str() == text)
    };
    for number in 1..=made {
        assert_eq!(shown.contains(&format!("[text {number}]")), !of_other_cases(number), "text {number}");
    }
}

/// A list as long as no list may be on the page.
fn lengthened<T: Clone>(list: &[T]) -> Vec<T> {
    list.iter().cycle().take(limits::BUCKETS + 1).cloned().collect()
}

#[test]
fn the_page_is_bounded() {
    // No other character takes more bytes on the page.
    let worst = "\u{e0001}".repeat(limits::BLOCK + 1);
    let mut most = report(limits::TEMPLATES + 1, |_| Text::line(&worst));
    for details in &mut most.details {
        details.messages = vec![Text::block(&worst); limits::MESSAGES + 1];
        details.explanation.as_mut().expect("there is one").message = Text::block(&worst);
    }
    most.charts[0].buckets = lengthened(&most.charts[0].buckets);
    most.detectors[0].drift = lengthened(&most.detectors[0].drift);
    most.incidents = lengthened(&most.incidents);
    let page = page(&most);
    assert!(page.len() <= limits::PAGE_BYTES, "{} bytes", page.len());
    let count = |start: &str| page.matches(start).count();
    assert_eq!(count("<td class=\"track\""), limits::INCIDENTS);
    assert_eq!(count("<details"), limits::DETAILS);
    assert_eq!(count("<article"), limits::DETECTORS);
    assert_eq!(count("<figure"), limits::CHARTS);
    assert_eq!(count("<p class=\"hint\">"), limits::FINDINGS);
    assert_eq!(count("<ol class=\"messages\">"), limits::DETAILS);
}

#[test]
fn it_needs_nothing_and_is_ascii() {
    let page = page(&report(3, |_| Text::line("ünïcode 日本語 http://example.com/")));
    assert!(page.is_ascii());
    let parsed = Html::parse_document(&page);
    let all = Selector::parse("*").expect("a selector");
    for element in parsed.select(&all) {
        for (name, value) in element.value().attrs() {
            let is_within = name != "href" || value.starts_with('#');
            assert!(is_within && name != "src" && name != "srcset" && name != "action", "{name}={value}");
        }
    }
    assert!(texts_of(&parsed).contains("ünïcode 日本語 http://example.com/"));
}

#[test]
fn links_lead_somewhere_and_names_are_given_once() {
    let parsed = Html::parse_document(&page(&report(3, |_| Text::line("x"))));
    let mut names = BTreeMap::new();
    for element in parsed.select(&Selector::parse("[id]").expect("a selector")) {
        *names.entry(element.value().id().expect("an id").to_owned()).or_insert(0) += 1;
    }
    assert!(names.values().all(|&times| times == 1), "{names:?}");
    for link in parsed.select(&Selector::parse("a[href]").expect("a selector")) {
        let target = link.value().attr("href").expect("a target").trim_start_matches('#').to_owned();
        assert!(names.contains_key(&target), "{target}");
    }
}

#[test]
fn what_is_missing_says_what_to_do() {
    let says = |report: &Report, what: &str| {
        let shown = texts_of(&Html::parse_document(&page(report)));
        assert!(shown.contains(what), "{what}: {shown}");
    };
    let none = Report::default();
    says(&none, "There is no detector yet");
    says(&none, "SELECT logintel.create_detector('app', 'app_log');");
    let mut untrained = report(0, |_| Text::line("app"));
    untrained.counts = Counts { detectors: 1, ..Counts::default() };
    untrained.detectors = report(2, |_| Text::line("SELECT logintel.train('app');")).detectors.split_off(1);
    says(&untrained, "No detector is trained yet");
    says(&untrained, "SELECT logintel.train('app');");
    let mut quiet = report(0, |_| Text::line("app"));
    quiet.counts = Counts { detectors: 1, trained: 1, ..Counts::default() };
    says(&quiet, "All is well: no incident is open");
    says(&quiet, "SELECT logintel.score_history('name of the detector');");
    quiet.counts.newest_anomaly = Some(Time(0));
    says(&quiet, "CALL logintel.run_maintenance();");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_text_changes_what_the_page_is_made_of(text in any::<String>(), markup in "[<>&\"'/a-z!=\\- ]{0,40}") {
        let given = format!("x{text}{markup}");
        let shown = Html::parse_document(&page(&report(2, |n| if n % 2 == 0 { Text::line(&given) } else { Text::block(&given) })));
        let harmless = Html::parse_document(&page(&report(2, |_| Text::line("x"))));
        prop_assert!(shown.errors.is_empty(), "{:?}", shown.errors);
        prop_assert_eq!(structure(&shown), structure(&harmless));
        prop_assert!(texts_of(&shown).contains(Text::line(&given).as_str()));
    }

    #[test]
    fn no_number_and_no_time_breaks_it(at in any::<i64>(), length in any::<i64>(), n in any::<u64>(), share in any::<f64>()) {
        let mut odd = report(1, |_| Text::line("x"));
        odd.counts = Counts { open: [n / 8; 3], newest_anomaly: Some(Time(at)), incidents: n, detectors: n, ..Counts::default() };
        odd.charts[0].from = Time(at);
        odd.charts[0].until = Time(at.saturating_add(length));
        odd.charts[0].bucket = length;
        odd.charts[0].buckets = vec![Bucket { start: Time(at), counts: [n / 8; 4] }];
        odd.incidents[0].start = Time(at);
        odd.incidents[0].end = Time(length);
        odd.details[0].templates[0].count = n;
        odd.details[0].explanation.as_mut().expect("one").terms[0].contribution = share;
        odd.detectors[0].drift = vec![
            Drift { time: Time(at), flagged: share, unseen: 0.0 },
            Drift { time: Time(length), flagged: 0.5, unseen: share },
        ];
        let page = page(&odd);
        prop_assert!(Html::parse_document(&page).errors.is_empty());
        prop_assert_eq!(&page, &logintel_report::page(&odd));
    }
}
