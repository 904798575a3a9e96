#!/bin/sh
# Run once, in the database that the container was started for: the extension; a role for Grafana and Metabase, which reads what
# logintel found, of logs that it is granted; and one that the sample's lines belong to, which may do nothing else.
set -eu
psql --no-psqlrc -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-postgres}" \
    -v reader="${READER_PASSWORD:-}" -v sample="${SAMPLE_PASSWORD:-}" <<'SQL'
CREATE EXTENSION logintel;
SELECT :'reader' <> '' AS has_reader, :'sample' <> '' AS has_sample \gset
\if :has_reader
    CREATE ROLE grafana LOGIN PASSWORD :'reader';
    GRANT logintel_reader TO grafana;
\endif
\if :has_sample
    CREATE ROLE sample LOGIN PASSWORD :'sample';
    GRANT logintel_writer TO sample;
    GRANT CREATE ON SCHEMA public TO sample;
\endif
SQL
