-- Each detector at the moment
-- Chart: table, or for one detector a number for each column.
-- Variable detector: Text.
SELECT detector, health, open_incidents, acknowledged_incidents, anomalies_last_minute, anomalies_last_hour, anomalies_last_day,
       last_anomaly, version, trained_at
FROM logintel.live_status
WHERE true
  [[AND detector = {{detector}}]]
ORDER BY health = 'ok', health = 'warning', detector
