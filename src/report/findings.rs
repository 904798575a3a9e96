//! What is wrong with logintel itself, and what to do: the worst first.
use logintel_report::report::{Finding, Grade};

use super::read::{Scope, line};
use crate::spi::arg;

/// Most findings that are read; the page shows the first and says how many there are.
const MOST: i64 = 1000;

/// One SELECT for each kind: how bad (2 trouble, 1 attention), what, and what to do. `d` are the detectors in scope that have
/// something to tell; built-in ones have it once they are trained.
///
/// Maintenance counts as running while a step of it has ended within three intervals and ten minutes. Errors of steps of the
/// whole database are not quoted: they may be about anybody's log.
const FINDINGS: &str = "
WITH d AS (
    SELECT d.*, c.oid IS NULL AS is_gone FROM logintel.detectors AS d LEFT JOIN pg_class AS c ON c.oid = d.relation
    WHERE d.name IN {scope} AND (d.name NOT IN ('logs', 'server_log') OR d.active_version IS NOT NULL)
), maintained AS (
    SELECT max(last_run) AS at FROM logintel.worker_steps
)
SELECT what, hint, grade FROM (
    SELECT 2 AS grade, 1 AS kind, name AS of, format('The relation of detector %s is gone', name) AS what,
           format('SELECT logintel.drop_detector(%L) removes the detector; create_detector makes one for another relation.', name) AS hint
    FROM d WHERE is_gone
    UNION ALL
    SELECT 2, 2, '', CASE WHEN at IS NULL THEN 'Maintenance has never run: anomalies do not become incidents'
                          ELSE format('Maintenance has not run since %s UTC: new anomalies do not become incidents',
                                      to_char(at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')) END,
           'CALL logintel.run_maintenance() does it now; the worker does it by itself where logintel is in shared_preload_libraries and logintel.databases names this database.'
    FROM maintained WHERE EXISTS (SELECT FROM d)
      AND coalesce(at < now() - 3 * current_setting('logintel.interval')::interval - interval '10 minutes', true)
    UNION ALL
    SELECT 2, 3, f.detector, format('%s rows of detector %s were not scored in the last 24 hours', f.rows, f.detector),
           format('Last error: %s. See the view logintel.scoring_errors.', f.message)
    FROM (SELECT detector, sum(rows) AS rows, (array_agg(message ORDER BY recorded_at DESC, failure_id DESC))[1] AS message
          FROM logintel.scoring_failures WHERE recorded_at > now() - interval '1 day' AND detector IN {scope} GROUP BY detector) AS f
    UNION ALL
    SELECT 2, 4, coalesce(s.detector, ''), format('A step of maintenance fails: %s%s', s.step, ', detector ' || s.detector),
           coalesce('Last error: ' || CASE WHEN s.detector IS NOT NULL THEN s.last_error END || '. ', '') || 'See the view logintel.worker_stats.'
    FROM logintel.worker_steps AS s WHERE s.failures > 0 AND (s.detector IS NULL OR s.detector IN {scope})
    UNION ALL
    SELECT 1, 5, d.name, format('Detector %s is not trained', d.name), format('SELECT logintel.train(%L) learns what is ordinary.', d.name)
    FROM d WHERE d.active_version IS NULL AND NOT d.is_gone
    UNION ALL
    SELECT 1, 6, d.name, format('Detector %s is switched off', d.name), 'Its rows are not scored: see the column enabled of logintel.detectors.'
    FROM d WHERE NOT d.enabled
    UNION ALL
    SELECT 1, 7, d.name, format('What comes in is no longer like what detector %s was trained on', d.name), r.warning
    FROM d, LATERAL (SELECT warning, recorded_at FROM logintel.drift AS r WHERE r.detector = d.name AND r.rows > 0 ORDER BY r.\"time\" DESC LIMIT 1) AS r
    WHERE r.warning IS NOT NULL AND r.recorded_at > now() - interval '2 days'
    UNION ALL
    SELECT 1, 8, d.name, format('The last training of detector %s by its schedule %s', d.name,
                                CASE r.outcome WHEN 'failed' THEN 'failed' ELSE 'was kept aside' END),
           coalesce(r.reason, '')
    FROM d JOIN logintel.retrainings AS r ON r.detector = d.name WHERE r.outcome IN ('failed', 'kept aside')
) AS f
ORDER BY grade DESC, kind, of, what LIMIT $3";

/// What is wrong, of the detectors in scope and of the database.
pub fn read(scope: &Scope) -> Vec<Finding> {
    scope.read(FINDINGS, &[arg(MOST)], |rows, row| Finding {
        what: line(rows, row, 1),
        hint: line(rows, row, 2),
        grade: if rows.must::<i32>(row, 3) == 2 { Grade::Trouble } else { Grade::Attention },
    })
}
