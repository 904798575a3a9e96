-- Incidents by severity over time
-- Chart: stacked bars; x "time", y incidents, series severity.
-- Variable detector: Text.
-- Variable time: Field Filter on logintel.incidents_by_day.time.
SELECT "time", severity, sum(incidents) AS incidents, sum(unresolved) AS unresolved, sum(events) AS events
FROM logintel.incidents_by_day
WHERE true
  [[AND {{time}}]]
  [[AND detector = {{detector}}]]
GROUP BY 1, 2
ORDER BY 1, 2
