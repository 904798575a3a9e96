-- Components, those in trouble first
-- Chart: table; colour the rows by health.
-- Variable detector: Text.
SELECT health, detector, coalesce(nullif(component, ''), 'none') AS component, open_incidents, incidents, anomalies_last_day, anomalies, highest_score, "time" AS last_anomaly
FROM logintel.component_health_v
WHERE true
  [[AND detector = {{detector}}]]
ORDER BY health = 'ok', health = 'warning', anomalies DESC, detector, component
LIMIT 200
