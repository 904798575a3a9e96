#!/usr/bin/env bash
# Measures logintel beside scikit-learn and writes docs/benchmarks.md, with charts in docs/benchmarks/.
#
#   tools/bench.sh          everything; on two cores about 45 minutes, 8 GB of memory
#   tools/bench.sh PART…    some of: embedding clustering growth; the figures of the others stay as they were measured
#   tools/bench.sh report   only writes the report again
#
# Nothing else should run meanwhile. A release build in a private cluster (tools/cluster.sh) and the Python packages of
# bench/requirements.txt, which pip fetches as its own configuration says. Figures are kept in target/bench/results.json; as
# long as parts are missing there, the report goes to target/bench too.
#
# To try the bench itself: BENCH_LINES (1000000), BENCH_DISTINCT vectors (20000) and BENCH_RUNS (5). With other sizes than
# these, figures and report go to target/bench/try and the documents stay as they are.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$ROOT/target/bench
PYTHON=$ROOT/target/tools/bench/bin/python
export PYTHONPATH=$ROOT PYTHONDONTWRITEBYTECODE=1

cluster() { "$ROOT/tools/cluster.sh" "$@"; }

"$ROOT/tools/setup.sh" bench
if [ "$*" = report ]; then exec "$PYTHON" -m bench report; fi
[ -n "${LOGINTEL_DATA:-}" ] || die "there are no real logs" "make data fetches them, LOGINTEL_DATA=/folder names them"
# Its server runs from the copy of PostgreSQL that is installed into here.
if cluster status demo >/dev/null 2>&1; then die "the demo is running" "make demo-stop ends it"; fi

use_rust
source_config=$(source_pg_config)
PG_CONFIG=$(mirror "$source_config" release)
export PG_CONFIG
cluster remove bench
say "bench: release build of logintel (first time: some minutes)"
quietly "the release build" "$LOGS/build.log" install_extension release "$PG_CONFIG"

at_end() {
    trap - EXIT INT TERM
    cluster remove bench
}
trap at_end EXIT
trap 'exit 130' INT TERM HUP
# Room for the tables, and no background work between measurements.
cluster start bench 'shared_buffers = 1GB' 'max_wal_size = 8GB' 'autovacuum = off' "logintel.databases = ''"
say "bench: PostgreSQL $("$PG_CONFIG" --version | cut -d' ' -f2), $(id -un), $LOGINTEL_DATA"
cluster exec bench "$PYTHON" -m bench "$@"
