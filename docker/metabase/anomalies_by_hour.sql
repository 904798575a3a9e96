-- Anomalies by hour and component
-- Chart: stacked bars; x "time", y anomalies, series component.
-- Variable detector: Text.
-- Variable time: Field Filter on logintel.anomalies_by_hour.time.
-- Without a time: the last 7 days.
SELECT "time", coalesce(nullif(component, ''), 'none') AS component, sum(anomalies) AS anomalies, sum(errors) AS errors, max(highest_score) AS highest_score
FROM logintel.anomalies_by_hour
WHERE ([[{{time}} OR false AND]] "time" > now() - interval '7 days')
  [[AND detector = {{detector}}]]
GROUP BY 1, 2
ORDER BY 1, 2
