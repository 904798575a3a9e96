#!/usr/bin/env bash
# Measures how well logintel detects, on labelled logs, beside published figures, and writes docs/detection.md.
#
#   tools/eval.sh          everything; on two cores about 5 minutes
#   tools/eval.sh TASK…    some of: templates lines sessions calibration cost; printed, and the document stays as it is
#
# A release build in a private cluster (tools/cluster.sh), and the Python packages of bench/requirements.txt. Labels are read
# here alone: no detector is told of them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$ROOT/target/eval
PYTHON=$ROOT/target/tools/bench/bin/python
export PYTHONPATH=$ROOT PYTHONDONTWRITEBYTECODE=1

cluster() { "$ROOT/tools/cluster.sh" "$@"; }

"$ROOT/tools/setup.sh" bench
[ -n "${LOGINTEL_DATA:-}" ] || die "there are no real logs" "make data fetches them, LOGINTEL_DATA=/folder names them"
# Its server runs from the copy of PostgreSQL that is installed into here.
if cluster status demo >/dev/null 2>&1; then die "the demo is running" "make demo-stop ends it"; fi

use_rust
source_config=$(source_pg_config)
PG_CONFIG=$(mirror "$source_config" release)
export PG_CONFIG
cluster remove eval
say "eval: release build of logintel (first time: some minutes)"
quietly "the release build" "$LOGS/build.log" install_extension release "$PG_CONFIG"
quietly "the engine's timing" "$LOGS/timing.log" cargo build --release -p logintel-core --example template_timing
export TEMPLATE_TIMING=$ROOT/target/release/examples/template_timing

at_end() {
    trap - EXIT INT TERM
    cluster remove eval
}
trap at_end EXIT
trap 'exit 130' INT TERM HUP
cluster start eval 'shared_buffers = 512MB' 'autovacuum = off' "logintel.databases = ''"
cluster exec eval "$PYTHON" -m eval "$@"
