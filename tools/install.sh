#!/usr/bin/env bash
# Builds a release of logintel and installs it into a PostgreSQL: PG_CONFIG's, else the one that PG or the machine names.
# Where its folders are not ours to write, only the copying of files is done with sudo.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

export SYSTEM_ONLY=1
"$ROOT/tools/setup.sh"
use_rust
pg_config=$(source_pg_config)
major=$(pg_major_of "$pg_config")
flags=(-p logintel --release --no-default-features --features "pg$major" --pg-config "$pg_config")
[ -w "$("$pg_config" --pkglibdir)" ] && [ -w "$("$pg_config" --sharedir)/extension" ] || flags+=(--sudo)
(cd "$ROOT" && cargo pgrx install "${flags[@]}")
say "" \
    "logintel is installed for PostgreSQL $major. In a database: CREATE EXTENSION logintel;" \
    "For the background worker add to postgresql.conf, then restart: shared_preload_libraries = 'logintel'"
