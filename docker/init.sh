#!/bin/sh
# Run once, in the database that the container was started for: the extension, and a role for Grafana and Metabase that may read
# everything and change nothing.
set -eu
psql --no-psqlrc -v ON_ERROR_STOP=1 -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-postgres}" -v password="${READER_PASSWORD:-}" <<'SQL'
CREATE EXTENSION logintel;
SELECT :'password' <> '' AS has_password \gset
\if :has_password
    CREATE ROLE grafana LOGIN PASSWORD :'password';
    GRANT logintel_reader, pg_read_all_data TO grafana;
\endif
SQL
