-- Clusters of ordinary lines in the active models
-- Chart: row chart; x template, y rows.
-- Variable detector: Text.
SELECT detector, cluster_id, left(template, 80) AS template, rows, share, templates
FROM logintel.cluster_summary_v
WHERE true
  [[AND detector = {{detector}}]]
ORDER BY rows DESC, detector, cluster_id
LIMIT 50
