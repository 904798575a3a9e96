-- Trained models
-- Chart: table.
-- Variable detector: Text.
SELECT detector, version, is_active, trained_at, since, until, training_rows, vocabulary_size, templates, clusters, noise_rows, threshold, flagged_share, kept_aside
FROM logintel.models
WHERE true
  [[AND detector = {{detector}}]]
ORDER BY trained_at DESC, detector, version DESC
LIMIT 200
