-- The type tfidf_model and the functions around it.

CREATE TYPE tfidf_model;

CREATE FUNCTION tfidf_model_in(cstring) RETURNS tfidf_model IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_model_in_wrapper';
COMMENT ON FUNCTION tfidf_model_in(cstring) IS 'input of tfidf_model';
CREATE FUNCTION tfidf_model_out(tfidf_model) RETURNS cstring IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_model_out_wrapper';
COMMENT ON FUNCTION tfidf_model_out(tfidf_model) IS 'output of tfidf_model';
CREATE FUNCTION tfidf_model_recv(internal) RETURNS tfidf_model IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_model_recv_wrapper';
COMMENT ON FUNCTION tfidf_model_recv(internal) IS 'binary input of tfidf_model';
CREATE FUNCTION tfidf_model_send(tfidf_model) RETURNS bytea IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_model_send_wrapper';
COMMENT ON FUNCTION tfidf_model_send(tfidf_model) IS 'binary output of tfidf_model';

-- EXTERNAL: a compressed model would have to be decompressed before it can be used.
CREATE TYPE tfidf_model (
    INPUT = tfidf_model_in, OUTPUT = tfidf_model_out, RECEIVE = tfidf_model_recv, SEND = tfidf_model_send,
    INTERNALLENGTH = VARIABLE, ALIGNMENT = int4, STORAGE = external
);
COMMENT ON TYPE tfidf_model IS 'a fitted TF-IDF vectoriser as a value';

CREATE FUNCTION tfidf_fit_accum(internal, text) RETURNS internal PARALLEL SAFE COST 200
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_fit_accum_wrapper';
COMMENT ON FUNCTION tfidf_fit_accum(internal, text) IS 'step of tfidf_fit';
CREATE FUNCTION tfidf_fit_accum(internal, text, jsonb) RETURNS internal PARALLEL SAFE COST 200
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_fit_accum_wrapper';
COMMENT ON FUNCTION tfidf_fit_accum(internal, text, jsonb) IS 'step of tfidf_fit';
CREATE FUNCTION tfidf_fit_combine(internal, internal) RETURNS internal PARALLEL SAFE COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_fit_combine_wrapper';
COMMENT ON FUNCTION tfidf_fit_combine(internal, internal) IS 'adds one state of tfidf_fit to another';
CREATE FUNCTION tfidf_fit_serial(internal) RETURNS bytea STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_fit_serial_wrapper';
COMMENT ON FUNCTION tfidf_fit_serial(internal) IS 'state of tfidf_fit as bytes';
CREATE FUNCTION tfidf_fit_deserial(bytea, internal) RETURNS internal STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_fit_deserial_wrapper';
COMMENT ON FUNCTION tfidf_fit_deserial(bytea, internal) IS 'state of tfidf_fit from bytes';
CREATE FUNCTION tfidf_fit_final(internal) RETURNS tfidf_model PARALLEL SAFE COST 10000
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_fit_final_wrapper';
COMMENT ON FUNCTION tfidf_fit_final(internal) IS 'model of a state of tfidf_fit';

CREATE AGGREGATE tfidf_fit(message text) (
    SFUNC = tfidf_fit_accum, STYPE = internal, SSPACE = 1048576, FINALFUNC = tfidf_fit_final,
    COMBINEFUNC = tfidf_fit_combine, SERIALFUNC = tfidf_fit_serial, DESERIALFUNC = tfidf_fit_deserial, PARALLEL = SAFE
);
COMMENT ON AGGREGATE tfidf_fit(text) IS 'fits a TF-IDF vectoriser on messages, with scikit-learn''s defaults';
CREATE AGGREGATE tfidf_fit(message text, options jsonb) (
    SFUNC = tfidf_fit_accum, STYPE = internal, SSPACE = 1048576, FINALFUNC = tfidf_fit_final,
    COMBINEFUNC = tfidf_fit_combine, SERIALFUNC = tfidf_fit_serial, DESERIALFUNC = tfidf_fit_deserial, PARALLEL = SAFE
);
COMMENT ON AGGREGATE tfidf_fit(text, jsonb) IS 'fits a TF-IDF vectoriser on messages; options have scikit-learn''s names';

CREATE FUNCTION log_embed(model tfidf_model, message text) RETURNS logvec IMMUTABLE STRICT PARALLEL SAFE COST 200
LANGUAGE c AS 'MODULE_PATHNAME', 'log_embed_wrapper';
COMMENT ON FUNCTION log_embed(tfidf_model, text) IS 'the TF-IDF vector of a message';
CREATE FUNCTION tfidf_terms(model tfidf_model, OUT term text, OUT idx int, OUT df bigint, OUT idf float8) RETURNS SETOF record
IMMUTABLE STRICT PARALLEL SAFE ROWS 10000 LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_terms_wrapper';
COMMENT ON FUNCTION tfidf_terms(tfidf_model) IS 'the terms of a model, with 1-based index, document frequency and weight';
CREATE FUNCTION tfidf_summary(model tfidf_model) RETURNS jsonb IMMUTABLE STRICT PARALLEL SAFE
LANGUAGE c AS 'MODULE_PATHNAME', 'tfidf_summary_wrapper';
COMMENT ON FUNCTION tfidf_summary(tfidf_model) IS 'figures and options of a model';
