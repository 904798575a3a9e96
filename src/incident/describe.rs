//! What an incident says of itself, counted from its anomalies.
use logintel_core::config::Preset;
use logintel_core::incident;

use super::suppress::hidden_by;
use crate::detector::Detector;
use crate::spi::{Connection, arg, text_arg};
use crate::step::with_snapshot;
use crate::suppression::{Effect, Suppressions};
use crate::text::Text;
use crate::views::mark_views_stale;

/// Counts touched and stale incidents from their anomalies. One that has too few left goes, and its anomalies wait
/// for others again.
pub fn recount(spi: &Connection, detector: &Detector, touched: Vec<i64>) {
    let rows = spi.write(
        "WITH gone AS ( \
             DELETE FROM logintel.incidents AS i WHERE i.detector = $1 AND i.is_stale \
                AND (SELECT coalesce(sum(weight), 0) FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) < $2 \
             RETURNING 1), \
         stale AS ( \
             UPDATE logintel.incidents AS i SET is_stale = false WHERE i.detector = $1 AND i.is_stale \
                AND (SELECT coalesce(sum(weight), 0) FROM logintel.anomalies AS a WHERE a.incident_id = i.incident_id) >= $2 \
             RETURNING incident_id) \
         SELECT incident_id, (SELECT count(*) FROM gone) FROM stale \
         UNION ALL SELECT NULL, count(*) FROM gone",
        &[text_arg(&detector.name), arg(i64::from(detector.options.min_events))],
    );
    let gone: i64 = rows.get(0, 2).unwrap_or(0);
    let mut touched = touched;
    touched.extend((0..rows.len()).filter_map(|row| rows.get::<i64>(row, 1)));
    touched.sort_unstable();
    touched.dedup();
    let hiding = (!touched.is_empty()).then(|| Suppressions::in_force(detector, Effect::Hide)).flatten();
    for &incident in &touched {
        pgrx::check_for_interrupts!();
        recount_one(spi, detector, hiding.as_ref(), incident);
    }
    if gone > 0 || !touched.is_empty() {
        mark_views_stale(spi);
    }
}

fn recount_one(spi: &Connection, detector: &Detector, hiding: Option<&Suppressions>, incident: i64) {
    // One row for each element of each list: texts are converted from the server's encoding one by one.
    let rows = spi.repeat(
        "WITH i AS ( \
             SELECT count(*) AS events, \
                    (SELECT m.template FROM logintel.anomalies AS m WHERE m.incident_id = $1 GROUP BY m.template \
                     ORDER BY count(*) DESC, min(m.ts), min(m.anomaly_id) LIMIT 1) AS template, \
                    array_agg(DISTINCT source ORDER BY source) FILTER (WHERE source IS NOT NULL) AS sources, \
                    array_agg(DISTINCT component ORDER BY component) FILTER (WHERE component IS NOT NULL) AS components, \
                    array_agg(DISTINCT level ORDER BY level) FILTER (WHERE level IS NOT NULL) AS levels, \
                    ARRAY(SELECT coalesce(m.message, '') FROM logintel.anomalies AS m WHERE m.incident_id = $1 \
                          ORDER BY m.weight = 0, m.ts, m.anomaly_id LIMIT 5) AS messages \
             FROM logintel.anomalies WHERE incident_id = $1) \
         SELECT i.events, i.template, l.list, l.element \
         FROM i LEFT JOIN LATERAL ( \
             SELECT 0, u.* FROM unnest(i.sources) WITH ORDINALITY AS u \
             UNION ALL SELECT 1, u.* FROM unnest(i.components) WITH ORDINALITY AS u \
             UNION ALL SELECT 2, u.* FROM unnest(i.levels) WITH ORDINALITY AS u \
             UNION ALL SELECT 3, u.* FROM unnest(i.messages) WITH ORDINALITY AS u \
         ) AS l (list, element, at) ON true ORDER BY l.list, l.at",
        &[arg(incident)],
    );
    let events: i64 = rows.must(0, 1);
    let template = rows.text(0, 2).unwrap_or_default();
    let list = |number: i32| -> Vec<String> {
        let elements = (0..rows.len()).filter(|&row| rows.get(row, 3) == Some(number));
        elements.filter_map(|row| rows.text(row, 4)).collect()
    };
    let (sources, components, levels, messages) = (list(0), list(1), list(2), list(3));
    let preset = detector.options.preset;
    let (score, severity) = incident::severity(preset, events, &levels);
    let suppressed = match preset {
        Preset::Seed => incident::seed_suppression(severity, events, &levels, &components, &messages),
        Preset::Default => None,
    };
    let by_rule = || with_snapshot(|| hidden_by(spi, hiding?, incident));
    let suppressed = suppressed.map(str::to_owned).or_else(by_rule).map(Text);
    spi.repeat(
        "UPDATE logintel.incidents SET (start_time, end_time, event_count, uncounted) = \
                (SELECT coalesce(min(ts) FILTER (WHERE weight > 0), min(ts)), \
                        coalesce(max(ts) FILTER (WHERE weight > 0), max(ts)), count(*), 0 \
                 FROM logintel.anomalies WHERE incident_id = $1), \
             sources = $2, components = $3, levels = $4, messages = $5, severity = $6, severity_score = $7, \
             is_suppressed = $8 IS NOT NULL, suppressed_by = $8, title = $9, \
             fingerprint = md5(detector || chr(31) || array_to_string($3, chr(30)) || chr(31) || $10), updated_at = now() \
         WHERE incident_id = $1",
        &[
            arg(incident),
            arg(texts(&sources)),
            arg(texts(&components)),
            arg(texts(&levels)),
            arg(texts(&messages)),
            arg(severity.as_str()),
            arg(score),
            arg(suppressed),
            text_arg(&incident::title(events, &components, &template)),
            text_arg(&template),
        ],
    );
}

/// As values of the server.
fn texts(list: &[String]) -> Vec<Text> {
    list.iter().cloned().map(Text).collect()
}
