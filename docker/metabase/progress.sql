-- Long calls that run now
-- Chart: table; show done and total as a mini bar.
-- Variable command: Text, such as train.
SELECT command, phase, done, total, total_is_estimate, time_left::text AS time_left, started, phase_started, database, pid
FROM logintel.progress
WHERE true
  [[AND command = {{command}}]]
ORDER BY started
