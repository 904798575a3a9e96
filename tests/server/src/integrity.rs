//! What must hold of a database at any moment, whatever has happened to it. Each returns what breaks it, as rows; nothing where all is well.
use postgres::Client;

use crate::Ask;

/// Rows of level ERROR of which an anomaly is missing, or there more than once; and anomalies of that level without such a row. `rows` is
/// a query for all such rows that were ever committed: `detector`, `message`, `ts`. They are flagged whatever the model.
pub fn not_flagged_once(session: &mut Client, rows: &str) -> String {
    session.ask(&format!(
        "WITH rows AS ({rows})
         SELECT detector, r.message AS row, a.message AS anomaly, a.times
         FROM rows AS r FULL JOIN (
             SELECT detector, message, ts, count(*) AS times FROM logintel.anomalies
             WHERE level = 'ERROR' AND NOT starts_with(reason, 'rate_') AND detector IN (SELECT detector FROM rows) GROUP BY 1, 2, 3) AS a
           USING (detector, message, ts)
         WHERE r.message IS NULL OR a.message IS NULL OR a.times <> 1 LIMIT 10"
    ))
}

/// Incidents that do not sum up what belongs to them, those that nothing belongs to, and anomalies whose incident is not there: an
/// incident lost or doubled. But of `brief`, a detector whose anomalies have gone by their age: an incident does not forget them.
pub fn not_summed_up(session: &mut Client, brief: &str) -> String {
    session.ask(&format!(
        "SELECT incident_id, detector, event_count, counted, start_time, first, end_time, last
         FROM (SELECT * FROM logintel.incidents WHERE detector <> '{brief}') AS i
         FULL JOIN (SELECT incident_id, count(*) AS counted, min(ts) FILTER (WHERE weight > 0) AS first,
                           max(greatest(ts, burst_end)) FILTER (WHERE weight > 0) AS last FROM logintel.anomalies
                    WHERE incident_id IS NOT NULL AND detector <> '{brief}' GROUP BY 1) AS a USING (incident_id)
         -- One whose anomalies were replaced is counted by the next tick.
         WHERE (event_count, start_time, end_time) IS DISTINCT FROM (counted, first, last) AND is_stale IS NOT TRUE LIMIT 10"
    ))
}

/// Incidents whose status is not what was last told of them, and those that were opened, or told of as opened, other than once.
pub fn not_told(session: &mut Client) -> String {
    session.ask(
        "SELECT i.incident_id, i.status, e.* FROM logintel.incidents AS i, LATERAL (
             SELECT count(*) FILTER (WHERE event = 'opened') AS opened, count(*) AS events,
                    (array_agg(to_status ORDER BY event_id DESC))[1] AS told
             FROM logintel.incident_events AS e WHERE e.incident_id = i.incident_id) AS e, LATERAL (
             SELECT count(*) FILTER (WHERE event = 'opened') AS alerts
             FROM logintel.alerts AS a WHERE a.incident_id = i.incident_id) AS a
         -- The newest 200 of each are kept.
         WHERE told IS DISTINCT FROM i.status OR opened > 1 OR alerts > 1 OR events < 200 AND opened <> 1 LIMIT 10",
    )
}

/// Models of which a part is missing, and detectors whose active model is.
pub fn not_whole(session: &mut Client) -> String {
    session.ask(
        "SELECT detector, version FROM logintel.model_versions AS m
         WHERE clusters <> (SELECT count(*) FROM logintel.model_clusters AS c WHERE (c.detector, c.version) = (m.detector, m.version))
            OR NOT EXISTS (SELECT FROM logintel.model_profiles AS p WHERE (p.detector, p.version) = (m.detector, m.version))
         UNION ALL
         SELECT name, active_version FROM logintel.detectors AS d
         WHERE active_version IS NOT NULL
           AND NOT EXISTS (SELECT FROM logintel.model_versions AS m WHERE (m.detector, m.version) = (d.name, d.active_version))
         UNION ALL
         SELECT detector, count(*) FROM logintel.model_versions GROUP BY 1 HAVING count(*) > 12",
    )
}

/// What PostgreSQL's own module `amcheck` says against tables and indexes of the database, catalogs included: every row against its page,
/// and every row of a table against each of its B-trees.
///
/// # Panics
/// When an index is corrupt: that is an error there.
pub fn not_sound(session: &mut Client) -> String {
    session.ask("CREATE EXTENSION IF NOT EXISTS amcheck");
    let indexes = session.count(
        "SELECT count(bt_index_check(i.indexrelid, true)) FROM pg_index AS i JOIN pg_class AS c ON c.oid = i.indexrelid
         WHERE c.relam = (SELECT oid FROM pg_am WHERE amname = 'btree') AND c.relkind = 'i' AND c.relpersistence = 'p' AND i.indisvalid AND i.indisready",
    );
    assert!(indexes > 100, "only {indexes} indexes");
    session.ask(
        "SELECT c.oid::regclass, v.* FROM pg_class AS c, verify_heapam(c.oid, check_toast => true) AS v
         WHERE c.relkind IN ('r', 'm', 't') AND c.relpersistence = 'p' AND c.relam = (SELECT oid FROM pg_am WHERE amname = 'heap') LIMIT 10",
    )
}
