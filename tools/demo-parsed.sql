-- Run when each line of raw_line is in parsed. A line without a time belongs to the one before it; where most lines have none, the
-- line number stands for it, in seconds.
UPDATE parsed p SET ts = CASE
    WHEN (SELECT count(ts) * 2 >= count(*) FROM parsed) THEN f.ts
    ELSE to_timestamp(p.id) END
FROM (SELECT id, coalesce(first_value(ts) OVER (PARTITION BY n ORDER BY id), (SELECT min(ts) FROM parsed)) AS ts
      FROM (SELECT id, ts, count(ts) OVER (ORDER BY id) AS n FROM parsed) x) f
WHERE f.id = p.id;
