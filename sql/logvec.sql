-- Operators, operator classes, casts and aggregates of logvec.
-- As in logvec_type.sql, names need no schema: they are made and found in the schema that bootstrap.sql makes.

-- Distances -------------------------------------------------------------------------------------------------------

CREATE OPERATOR <=> (LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = cosine_distance, COMMUTATOR = <=>);
COMMENT ON OPERATOR <=> (logvec, logvec) IS 'cosine distance; 1 when either side is all zero';

CREATE OPERATOR <-> (LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = l2_distance, COMMUTATOR = <->);
COMMENT ON OPERATOR <-> (logvec, logvec) IS 'Euclidean distance';

CREATE OPERATOR <#> (LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_negative_inner_product, COMMUTATOR = <#>);
COMMENT ON OPERATOR <#> (logvec, logvec) IS 'negative inner product';

-- Comparison ------------------------------------------------------------------------------------------------------

CREATE OPERATOR < (
    LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_lt,
    COMMUTATOR = >, NEGATOR = >=, RESTRICT = scalarltsel, JOIN = scalarltjoinsel
);
COMMENT ON OPERATOR < (logvec, logvec) IS 'less than';

CREATE OPERATOR <= (
    LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_le,
    COMMUTATOR = >=, NEGATOR = >, RESTRICT = scalarlesel, JOIN = scalarlejoinsel
);
COMMENT ON OPERATOR <= (logvec, logvec) IS 'less than or equal';

CREATE OPERATOR = (
    LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_eq,
    COMMUTATOR = =, NEGATOR = <>, RESTRICT = eqsel, JOIN = eqjoinsel, HASHES, MERGES
);
COMMENT ON OPERATOR = (logvec, logvec) IS 'equal: the same dimensions and the same elements';

CREATE OPERATOR <> (
    LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_ne,
    COMMUTATOR = <>, NEGATOR = =, RESTRICT = neqsel, JOIN = neqjoinsel
);
COMMENT ON OPERATOR <> (logvec, logvec) IS 'not equal';

CREATE OPERATOR >= (
    LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_ge,
    COMMUTATOR = <=, NEGATOR = <, RESTRICT = scalargesel, JOIN = scalargejoinsel
);
COMMENT ON OPERATOR >= (logvec, logvec) IS 'greater than or equal';

CREATE OPERATOR > (
    LEFTARG = logvec, RIGHTARG = logvec, FUNCTION = logvec_gt,
    COMMUTATOR = <, NEGATOR = <=, RESTRICT = scalargtsel, JOIN = scalargtjoinsel
);
COMMENT ON OPERATOR > (logvec, logvec) IS 'greater than';

CREATE OPERATOR CLASS logvec_ops DEFAULT FOR TYPE logvec USING btree AS
    OPERATOR 1 <, OPERATOR 2 <=, OPERATOR 3 =, OPERATOR 4 >=, OPERATOR 5 >,
    FUNCTION 1 logvec_cmp(logvec, logvec);
COMMENT ON OPERATOR CLASS logvec_ops USING btree IS 'the order of the dense arrays';
COMMENT ON OPERATOR FAMILY logvec_ops USING btree IS 'the order of the dense arrays';

CREATE OPERATOR CLASS logvec_ops DEFAULT FOR TYPE logvec USING hash AS
    OPERATOR 1 =,
    FUNCTION 1 logvec_hash(logvec),
    FUNCTION 2 logvec_hash_extended(logvec, bigint);
COMMENT ON OPERATOR CLASS logvec_ops USING hash IS 'equality of logvec';
COMMENT ON OPERATOR FAMILY logvec_ops USING hash IS 'equality of logvec';

-- Casts -----------------------------------------------------------------------------------------------------------
-- There is none to pgvector's sparsevec: as a member of this extension it would let DROP EXTENSION vector CASCADE take
-- logintel with it. v::text::sparsevec does the same, and who wants the short form writes
-- CREATE CAST (logintel.logvec AS sparsevec) WITH INOUT AS ASSIGNMENT.

-- Length coercion: without it logvec(n) would not be enforced on assignment.
CREATE FUNCTION logvec(logvec, integer, boolean) RETURNS logvec
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 2 AS 'MODULE_PATHNAME', 'logvec_enforce_typmod_wrapper';
CREATE CAST (logvec AS logvec) WITH FUNCTION logvec(logvec, integer, boolean) AS IMPLICIT;
COMMENT ON CAST (logvec AS logvec) IS 'checks the dimensions against logvec(n)';
COMMENT ON FUNCTION logvec(logvec, integer, boolean) IS 'checks the dimensions against logvec(n)';

CREATE CAST (logvec AS real[]) WITH FUNCTION logvec_to_real_array(logvec) AS ASSIGNMENT;
COMMENT ON CAST (logvec AS real[]) IS 'every component, zeros included';
CREATE CAST (logvec AS jsonb) WITH FUNCTION logvec_to_jsonb(logvec) AS ASSIGNMENT;
COMMENT ON CAST (logvec AS jsonb) IS '{"dim": dimensions, "indices": [from 1], "values": [...]}';

-- Aggregates ------------------------------------------------------------------------------------------------------

CREATE FUNCTION logvec_accum(internal, logvec) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'logvec_accum_wrapper';
CREATE FUNCTION logvec_combine(internal, internal) RETURNS internal
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'logvec_combine_wrapper';
CREATE FUNCTION logvec_serialize(internal) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'logvec_serialize_wrapper';
CREATE FUNCTION logvec_deserialize(bytea, internal) RETURNS internal
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'logvec_deserialize_wrapper';
CREATE FUNCTION logvec_sum(internal) RETURNS logvec
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'logvec_sum_wrapper';
CREATE FUNCTION logvec_avg(internal) RETURNS logvec
    LANGUAGE c IMMUTABLE PARALLEL SAFE COST 50 AS 'MODULE_PATHNAME', 'logvec_avg_wrapper';

CREATE AGGREGATE sum(logvec) (
    SFUNC = logvec_accum, STYPE = internal, SSPACE = 4096, FINALFUNC = logvec_sum,
    COMBINEFUNC = logvec_combine, SERIALFUNC = logvec_serialize, DESERIALFUNC = logvec_deserialize, PARALLEL = SAFE
);
CREATE AGGREGATE avg(logvec) (
    SFUNC = logvec_accum, STYPE = internal, SSPACE = 4096, FINALFUNC = logvec_avg,
    COMBINEFUNC = logvec_combine, SERIALFUNC = logvec_serialize, DESERIALFUNC = logvec_deserialize, PARALLEL = SAFE
);
COMMENT ON AGGREGATE sum(logvec) IS 'sum of each component; NULLs are skipped, no rows give NULL';
COMMENT ON AGGREGATE avg(logvec) IS 'arithmetic mean of each component; NULLs are skipped, no rows give NULL';

-- Functions -------------------------------------------------------------------------------------------------------

COMMENT ON FUNCTION vector_dims(logvec) IS 'number of dimensions';
COMMENT ON FUNCTION nnz(logvec) IS 'number of non-zero elements';
COMMENT ON FUNCTION l2_norm(logvec) IS 'Euclidean length';
COMMENT ON FUNCTION cosine_distance(logvec, logvec) IS '1 - cosine of the angle; 1 when either side is all zero';
COMMENT ON FUNCTION l2_distance(logvec, logvec) IS 'Euclidean distance';
COMMENT ON FUNCTION inner_product(logvec, logvec) IS 'inner product';
COMMENT ON FUNCTION logvec_negative_inner_product(logvec, logvec) IS 'implementation of <#> operator';
COMMENT ON FUNCTION logvec_lt(logvec, logvec) IS 'implementation of < operator';
COMMENT ON FUNCTION logvec_le(logvec, logvec) IS 'implementation of <= operator';
COMMENT ON FUNCTION logvec_eq(logvec, logvec) IS 'implementation of = operator';
COMMENT ON FUNCTION logvec_ne(logvec, logvec) IS 'implementation of <> operator';
COMMENT ON FUNCTION logvec_ge(logvec, logvec) IS 'implementation of >= operator';
COMMENT ON FUNCTION logvec_gt(logvec, logvec) IS 'implementation of > operator';
COMMENT ON FUNCTION logvec_cmp(logvec, logvec) IS 'less-equal-greater';
COMMENT ON FUNCTION logvec_hash(logvec) IS 'hash';
COMMENT ON FUNCTION logvec_hash_extended(logvec, bigint) IS 'hash with a seed';
COMMENT ON FUNCTION logvec_to_real_array(logvec) IS 'every component, zeros included';
COMMENT ON FUNCTION logvec_to_jsonb(logvec) IS '{"dim": dimensions, "indices": [from 1], "values": [...]}';
COMMENT ON FUNCTION logvec_accum(internal, logvec) IS 'aggregate transition function';
COMMENT ON FUNCTION logvec_combine(internal, internal) IS 'aggregate combine function';
COMMENT ON FUNCTION logvec_serialize(internal) IS 'aggregate serial function';
COMMENT ON FUNCTION logvec_deserialize(bytea, internal) IS 'aggregate deserial function';
COMMENT ON FUNCTION logvec_sum(internal) IS 'aggregate final function';
COMMENT ON FUNCTION logvec_avg(internal) IS 'aggregate final function';
