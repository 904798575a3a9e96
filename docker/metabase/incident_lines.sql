-- The lines of an incident
-- Chart: table.
-- Variable incident: Number, of the column incident_id; the newest that is open where it is empty.
SELECT ts, level, component, source, message, reason, anomaly_score
FROM logintel.anomalies
WHERE incident_id = coalesce([[{{incident}},]] (SELECT max(incident_id) FROM logintel.incidents WHERE status = 'open' AND NOT is_suppressed))
ORDER BY ts, anomaly_id
LIMIT 2000
