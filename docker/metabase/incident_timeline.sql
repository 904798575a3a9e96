-- Incidents, newest first
-- Chart: table, or scatter; x "time", y severity_score, size event_count. In the table let a click on incident_id open the question incident_lines.
-- Variable detector: Text.
-- Variable severity: Text, LOW, MEDIUM or HIGH.
-- Variable time: Field Filter on logintel.incident_timeline_v.time.
SELECT "time", end_time, incident_id, detector, severity, severity_score, status, event_count, array_to_string(components, ', ') AS components, title
FROM logintel.incident_timeline_v
WHERE NOT is_suppressed
  [[AND {{time}}]]
  [[AND detector = {{detector}}]]
  [[AND severity = {{severity}}]]
ORDER BY "time" DESC, incident_id DESC
LIMIT 2000
