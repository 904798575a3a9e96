-- The background worker
-- Chart: table, or a number for each column.
SELECT health, last_tick, next_tick, failed_ticks, failing_steps, last_run, views_refreshed_at, is_preloaded, is_known, is_followed, is_late
FROM logintel.worker_health
