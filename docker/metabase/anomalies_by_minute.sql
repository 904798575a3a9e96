-- Anomalies by minute and component, of the last hours
-- Chart: stacked bars; x "time", y anomalies, series component.
-- Variable detector: Text.
-- Variable hours: Number, how far back; 3 where it is empty.
SELECT "time", coalesce(nullif(component, ''), 'none') AS component, sum(anomalies) AS anomalies
FROM logintel.anomalies_by_minute
WHERE "time" > now() - interval '1 hour' * coalesce([[{{hours}},]] 3)
  [[AND detector = {{detector}}]]
GROUP BY 1, 2
ORDER BY 1, 2
