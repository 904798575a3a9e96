//! Incidents that grow for long: what joins a large one is added to its figures, and it is counted whole only once it has
//! grown by a tenth, or has rested. So what a tick costs does not depend on how large an incident has become. Until then its
//! times and its number of events are right, and all else is that of the last whole count.
//! One that a rule hides is counted whole each time: what has joined it may be what the rule does not hide.
use crate::spi::{Connection, arg, text_arg};

/// Events from which on an incident is not counted whole each time.
const LARGE: i64 = 10_000;
/// It is when it has grown by one in so many.
const PART: i64 = 10;

/// SQL for the events that an anomaly adds to the severity: a burst its lines, a silence one.
const GRAVITY: &str = "CASE WHEN reason = 'rate_drop' THEN 1 ELSE greatest(weight, 1) END";

/// Adds anomalies that have joined incidents to the figures of large ones; returns those that need not be counted whole
/// now. Where there is more to come none need.
pub fn add_to_large(spi: &Connection, detector: &str, events: &[i64], more: bool) -> Vec<i64> {
    // Most have none.
    let large =
        format!("SELECT FROM logintel.incidents WHERE detector = $1 AND event_count >= {LARGE} LIMIT 1");
    if events.is_empty() || spi.write(&large, &[text_arg(detector)]).len() == 0 {
        return Vec::new();
    }
    let sql = format!(
        "UPDATE logintel.incidents AS i SET event_count = i.event_count + j.events, severity_score = i.severity_score + j.gravity, \
             start_time = least(i.start_time, j.first_time), end_time = greatest(i.end_time, j.last_time), \
             uncounted = i.uncounted + j.events, updated_at = now() \
         FROM (SELECT incident_id, count(*) AS events, sum({GRAVITY})::bigint AS gravity, min(ts) FILTER (WHERE weight > 0) AS first_time, \
                      max(greatest(ts, burst_end)) FILTER (WHERE weight > 0) AS last_time \
               FROM logintel.anomalies WHERE anomaly_id = ANY ($1) GROUP BY incident_id) AS j \
         WHERE i.incident_id = j.incident_id AND i.event_count >= $2 AND ($4 OR (i.uncounted + j.events) * $3 < i.event_count) \
           AND i.status <> 'resolved' AND NOT i.is_stale AND NOT i.is_suppressed \
         RETURNING i.incident_id"
    );
    let rows = spi.write(&sql, &[arg(events.to_vec()), arg(LARGE), arg(PART), arg(more)]);
    (0..rows.len()).map(|row| rows.must(row, 1)).collect()
}

/// Large incidents that have to be counted whole: those that have grown, or that nothing has joined for a while.
pub fn to_count(spi: &Connection, detector: &str) -> Vec<i64> {
    let rows = spi.write(
        "SELECT incident_id FROM logintel.incidents WHERE detector = $1 AND uncounted > 0 \
           AND (uncounted * $2 >= event_count OR updated_at < now() - interval '1 minute')",
        &[text_arg(detector), arg(PART)],
    );
    (0..rows.len()).map(|row| rows.must(row, 1)).collect()
}
