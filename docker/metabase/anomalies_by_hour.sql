-- Anomalies by hour and component
-- Chart: stacked bars; x "time", y anomalies, series component.
-- Variable detector: Text.
-- Variable time: Field Filter on logintel.anomalies_by_hour.time.
SELECT "time", coalesce(nullif(component, ''), 'none') AS component, sum(anomalies) AS anomalies, sum(errors) AS errors, max(highest_score) AS highest_score
FROM logintel.anomalies_by_hour
WHERE true
  [[AND {{time}}]]
  [[AND detector = {{detector}}]]
GROUP BY 1, 2
ORDER BY 1, 2
