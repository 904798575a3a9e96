#!/usr/bin/env bash
# The long forms of the tests of reliability; docs/reliability.md tells what they promise, and what was measured. Their short forms are part of
# `tools/test.sh server`.
#
#   tools/reliability.sh crash   kills processes of a server in the middle of anything and looks whether something is lost or doubled.
#                                ROUNDS (200) says how often; 200 take about ten minutes on two cores
#   tools/reliability.sh soak    mixed load with random faults for MINUTES (30)
#
# SEED repeats the order of a run, as far as timing lets it; each run says its own. A release build in a private cluster, which goes away afterwards.
# What was done and found is printed at the end; a run that found something ends with an error.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

test=${1:-}
case $test in
    crash) export LOGINTEL_CRASH_ROUNDS=${ROUNDS:-200} ;;
    soak) export LOGINTEL_SOAK_SECONDS=$((${MINUTES:-30} * 60)) ;;
    *) sed -n '2,/^source/{/^source/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
export LOGINTEL_SEED=${SEED:-$((RANDOM << 15 | RANDOM))}

"$ROOT/tools/setup.sh" test
use_rust
PG_CONFIG=$(mirror "$(source_pg_config)" release)
export PG_CONFIG
say "$test: release build of logintel (first time: some minutes)"
quietly "the release build" "$ROOT/target/test/$test-build.log" install_extension release "$PG_CONFIG"
cd "$ROOT" || exit
exec cargo test --quiet -p logintel-server-tests --test "$test" -- --nocapture
