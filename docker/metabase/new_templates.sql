-- Templates that training had not seen
-- Chart: table.
-- Variable detector: Text.
-- Variable time: Field Filter on logintel.new_templates.time.
SELECT "time", detector, component, template, anomalies, message, incident_id
FROM logintel.new_templates
WHERE true
  [[AND {{time}}]]
  [[AND detector = {{detector}}]]
ORDER BY "time" DESC, detector, template
LIMIT 200
