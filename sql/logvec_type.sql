-- The type logvec and what PostgreSQL needs to read and write it.
-- Names stand here without a schema: bootstrap.sql has made it and set search_path to it, so that is where objects go
-- and where names are found first.

CREATE TYPE logvec;

CREATE FUNCTION logvec_in(cstring, oid, integer) RETURNS logvec
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 20 AS 'MODULE_PATHNAME', 'logvec_in_wrapper';
CREATE FUNCTION logvec_out(logvec) RETURNS cstring
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 20 AS 'MODULE_PATHNAME', 'logvec_out_wrapper';
CREATE FUNCTION logvec_recv(internal, oid, integer) RETURNS logvec
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'logvec_recv_wrapper';
CREATE FUNCTION logvec_send(logvec) RETURNS bytea
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE COST 10 AS 'MODULE_PATHNAME', 'logvec_send_wrapper';
CREATE FUNCTION logvec_typmod_in(cstring[]) RETURNS integer
    LANGUAGE c IMMUTABLE STRICT PARALLEL SAFE AS 'MODULE_PATHNAME', 'logvec_typmod_in_wrapper';

-- No typmod_out: what PostgreSQL prints by itself, "(126)", is right.
-- External storage: floats hardly compress, and a distance wants them quickly.
CREATE TYPE logvec (
    INPUT = logvec_in,
    OUTPUT = logvec_out,
    RECEIVE = logvec_recv,
    SEND = logvec_send,
    TYPMOD_IN = logvec_typmod_in,
    ALIGNMENT = int4,
    STORAGE = external
);

COMMENT ON TYPE logvec IS 'sparse float4 vector, {index:value,...}/dimensions with indices from 1; logvec(n) fixes the dimensions';
COMMENT ON FUNCTION logvec_in(cstring, oid, integer) IS 'I/O';
COMMENT ON FUNCTION logvec_out(logvec) IS 'I/O';
COMMENT ON FUNCTION logvec_recv(internal, oid, integer) IS 'I/O';
COMMENT ON FUNCTION logvec_send(logvec) IS 'I/O';
COMMENT ON FUNCTION logvec_typmod_in(cstring[]) IS 'I/O typmod';
