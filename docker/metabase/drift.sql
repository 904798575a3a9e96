-- Drift: how far what comes in has moved from training
-- Chart: line; x "time", y flagged_share, training_flagged_share, unseen_template_share and unseen_term_share.
-- Variable detector: Text. One detector at a time, else their lines are mixed.
-- Variable time: Field Filter on logintel.drift_by_hour.time.
-- Without a time: the last 30 days.
SELECT "time", detector, flagged_share, training_flagged_share, unseen_template_share, unseen_term_share, rows, version, warning
FROM logintel.drift_by_hour
WHERE ([[{{time}} OR false AND]] "time" > now() - interval '30 days')
  [[AND detector = {{detector}}]]
ORDER BY "time", detector
