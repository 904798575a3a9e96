#!/usr/bin/env bash
# Measures logintel beside scikit-learn, and what scoring costs an INSERT, and writes docs/benchmarks.md, with charts in docs/benchmarks/.
#
#   tools/bench.sh          everything; on two cores about 45 minutes, 8 GB of memory, 10 GB of disk
#   tools/bench.sh PART…    some of: embedding clustering growth live worker; the figures of the others stay as they were measured
#   tools/bench.sh report   only writes the report again
#
# Nothing else should run meanwhile. A release build in a private cluster (tools/cluster.sh) and the Python packages of
# bench/requirements.txt, which pip fetches as its own configuration says. Figures are kept in target/bench/results.json; as
# long as parts are missing there, the report goes to target/bench too.
#
# To try the bench itself: BENCH_LINES (1000000), BENCH_DISTINCT vectors (20000) and BENCH_RUNS (5). With other sizes than
# these, figures and report go to target/bench/try and the documents stay as they are.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PYTHON=$ROOT/target/tools/bench/bin/python
export PYTHONPATH=$ROOT PYTHONDONTWRITEBYTECODE=1

"$ROOT/tools/setup.sh" bench
if [ "$*" = report ]; then exec "$PYTHON" -m bench report; fi
use_rust
# Room for the tables; what is committed is on disk, as where logs matter.
measure bench "$ROOT/target/bench" 'shared_buffers = 1GB' 'max_wal_size = 8GB' 'fsync = on' 'synchronous_commit = on' -- "$PYTHON" -m bench "$@"
