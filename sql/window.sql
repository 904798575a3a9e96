-- Window functions of the toolbox. They read their partition by themselves, so pgrx sees no arguments.

CREATE FUNCTION standard_scale(vec logvec) RETURNS logvec
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'standard_scale_wrapper';
COMMENT ON FUNCTION standard_scale(logvec) IS 'each component divided by its population standard deviation over the partition; constant components stay, NULL stays NULL and is not counted';

CREATE FUNCTION dbscan_cluster(vec logvec, eps double precision, min_points integer) RETURNS integer
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'dbscan_cluster_wrapper';
COMMENT ON FUNCTION dbscan_cluster(logvec, double precision, integer) IS 'DBSCAN cluster by cosine distance, from 0 in the order of their first core rows; noise and NULL vectors are NULL; eps and min_points are constant over the partition';

CREATE FUNCTION hdbscan_cluster(vec logvec, min_cluster_size integer) RETURNS integer
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'hdbscan_cluster_wrapper';
COMMENT ON FUNCTION hdbscan_cluster(logvec, integer) IS 'HDBSCAN* cluster by cosine distance, from 0 in the order of their first rows; noise and NULL vectors are NULL; min_cluster_size, which is also min_samples, is constant over the partition';
CREATE FUNCTION hdbscan_cluster(vec logvec, min_cluster_size integer, min_samples integer) RETURNS integer
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'hdbscan_cluster_wrapper';
COMMENT ON FUNCTION hdbscan_cluster(logvec, integer, integer) IS 'HDBSCAN* cluster by cosine distance; min_samples, the point counted, smooths the density; both counts are constant over the partition';

CREATE FUNCTION log_template(message text) RETURNS text
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'log_template_wrapper';
COMMENT ON FUNCTION log_template(text) IS 'template of each line, mined over the partition: the line with <*> for what varies; NULL for NULL, <*> alone where there are too many different lines';
CREATE FUNCTION log_template(message text, options jsonb) RETURNS text
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 1000 AS 'MODULE_PATHNAME', 'log_template_wrapper';
COMMENT ON FUNCTION log_template(text, jsonb) IS 'template of each line; the option masks (true, false or a list of {name, pattern}, whose last item may be true for the built-in set) says what is a variable by its look';
