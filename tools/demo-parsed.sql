-- Run when the lines are in raw_line. A line without a time belongs to the one before it; where most lines have none, the
-- line number stands for it, in seconds.
CREATE TABLE parsed AS SELECT r.id, p.* FROM raw_line r, LATERAL parse_line(r.line) p;
UPDATE parsed p SET ts = CASE
    WHEN (SELECT count(ts) * 2 >= count(*) FROM parsed) THEN f.ts
    ELSE to_timestamp(p.id) END
FROM (SELECT id, coalesce(first_value(ts) OVER (PARTITION BY n ORDER BY id), (SELECT min(ts) FROM parsed)) AS ts
      FROM (SELECT id, ts, count(ts) OVER (ORDER BY id) AS n FROM parsed) x) f
WHERE f.id = p.id;
ALTER TABLE parsed ADD PRIMARY KEY (id);
