-- Top templates of anomalies
-- Chart: row chart; x template, y anomalies.
-- Variable detector: Text.
-- Variable last_time: Field Filter on logintel.top_templates.last_time.
SELECT left(template, 80) AS template, detector, anomalies, anomalies_last_day, reason, incidents, highest_score, first_time, last_time
FROM logintel.top_templates
WHERE true
  [[AND {{last_time}}]]
  [[AND detector = {{detector}}]]
ORDER BY anomalies DESC, detector, template
LIMIT 50
