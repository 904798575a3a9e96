#!/usr/bin/env bash
# Measures how well logintel detects, on labelled logs, beside published figures, and writes docs/detection.md.
#
#   tools/eval.sh          everything; on two cores about 5 minutes
#   tools/eval.sh TASK…    some of: templates lines sessions calibration incidents cost; printed, and the document stays as it is
#
# A release build in a private cluster (tools/cluster.sh), and the Python packages of bench/requirements.txt. Labels are read
# here alone: no detector is told of them.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$ROOT/target/eval
export PYTHONPATH=$ROOT PYTHONDONTWRITEBYTECODE=1

"$ROOT/tools/setup.sh" bench
use_rust
quietly "the engine's timing" "$LOGS/timing.log" cargo build --release -p logintel-core --example template_timing
export TEMPLATE_TIMING=$ROOT/target/release/examples/template_timing
measure eval "$LOGS" 'shared_buffers = 512MB' -- "$ROOT/target/tools/bench/bin/python" -m eval "$@"
