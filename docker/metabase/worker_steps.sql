-- Steps of maintenance
-- Chart: table; colour rows with failures.
-- Variable detector: Text.
SELECT step, detector, last_run, extract(epoch FROM last_duration) * 1000 AS last_duration_ms, last_rows, runs, rows, errors, failures, last_error, next_run
FROM logintel.worker_stats
WHERE true
  [[AND detector = {{detector}}]]
ORDER BY failures DESC, last_run DESC, step, detector
