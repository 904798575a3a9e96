-- Window functions of the toolbox. They read their partition by themselves, so pgrx sees no arguments.

CREATE FUNCTION standard_scale(vec logvec) RETURNS logvec
    LANGUAGE c WINDOW IMMUTABLE PARALLEL SAFE COST 100 AS 'MODULE_PATHNAME', 'standard_scale_wrapper';
COMMENT ON FUNCTION standard_scale(logvec) IS 'each component divided by its population standard deviation over the partition; constant components stay, NULL stays NULL and is not counted';
