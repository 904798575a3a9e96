#!/usr/bin/env bash
# Runs the regression tests of tests/sql against tests/expected with PostgreSQL's own pg_regress, and those of sessions beside
# each other, tests/isolation/specs against tests/isolation/expected, with its isolation tester.
#
#   tools/regress.sh [TEST…]                 in a private cluster, made for this run
#   tools/regress.sh --installcheck [TEST…]  in the running server that PGHOST, PGPORT and PGUSER name
#
# The order is that of tests/schedule where there is one, else by name. A test that reads real logs says
# `\getenv data LOGINTEL_DATA`; without that folder it is skipped, or, when CI is set, failed. Differences are shown, and the
# last line is `N passed, N failed`. Expected output is checked in: tests/expected/NAME.out, NAME_1.out for a variant.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

INSTALLED=
if [ "${1:-}" = --installcheck ]; then
    INSTALLED=1
    shift
fi
OUT=$(state_dir)/regress
DIFFS=$OUT/regression.diffs
rm -rf "$OUT"
mkdir -p "$OUT/results" "$OUT/isolation"

source_config=$(source_pg_config) || die "PostgreSQL with its server headers is missing" "install it: tools/setup.sh"
# Tests that COPY to a file let the server write there.
if [ -n "$INSTALLED" ]; then
    chmod 777 "$OUT/results"
elif is_root; then
    chown "$RUNAS" "$OUT/results"
fi

if [ -n "$INSTALLED" ]; then
    pg_config=$source_config
else
    pg_config=$(mirror "$source_config" debug)
    cluster() { PG_CONFIG=$pg_config "$ROOT/tools/cluster.sh" "$@"; }
    trap 'cluster remove regress' EXIT
    trap 'exit 130' INT TERM
    cluster remove regress
    # The worker's rounds come when a test calls run_maintenance(), not in between: it works in a database without logintel.
    # Nor does autovacuum: what it learns of a table changes plans, and some tests look at these.
    cluster start regress 'logintel.interval = 3600' "logintel.databases = 'postgres'" 'autovacuum = off'
    eval "$(cluster env regress)"
fi
harness=$(dirname "$("$pg_config" --pgxs)")/../test
driver=$harness/regress/pg_regress
[ -x "$driver" ] || die "pg_regress is missing: $driver" "it comes with PostgreSQL's server headers (postgresql-server-dev-NN)"

# --- which tests ---------------------------------------------------------------------------------------------------

named=("$@")
if [ $# -gt 0 ]; then
    tests=("$@")
elif [ -f "$ROOT/tests/schedule" ]; then
    mapfile -t tests < <(sed -nE 's/^test: *//p' "$ROOT/tests/schedule" | tr -s ' ' '\n')
else
    mapfile -t tests < <(find "$ROOT/tests/sql" -name '*.sql' -printf '%f\n' | sed 's/\.sql$//' | LC_ALL=C sort)
fi
[ ${#tests[@]} -gt 0 ] || die "there are no tests in tests/sql"
# A test that the schedule forgets would never run.
if [ $# = 0 ] && [ -f "$ROOT/tests/schedule" ]; then
    forgotten=$(comm -13 <(printf '%s\n' "${tests[@]}" | sort) <(find "$ROOT/tests/sql" -name '*.sql' -printf '%f\n' | sed 's/\.sql$//' | sort))
    [ -z "$forgotten" ] || die "tests/schedule does not name: ${forgotten//$'\n'/ }"
fi

skipped=0
data=$(data_for_server)
if [ -n "$data" ]; then
    export LOGINTEL_DATA=$data
else
    runnable=()
    for test in "${tests[@]}"; do
        if grep -q LOGINTEL_DATA "$ROOT/tests/sql/$test.sql"; then
            [ -z "${CI:-}" ] || die "test $test reads real logs, and LOGINTEL_DATA names no folder"
            say "skipped: $test: it reads real logs, and LOGINTEL_DATA names no folder (make data fetches some)"
            skipped=$((skipped + 1))
        else
            runnable+=("$test")
        fi
    done
    tests=("${runnable[@]}")
fi

# --- the run -------------------------------------------------------------------------------------------------------

rc=0
"$driver" --inputdir="$ROOT/tests" --outputdir="$OUT" --bindir="$("$pg_config" --bindir)" \
    --dbname=regression_logintel --load-extension=logintel "${tests[@]}" >"$OUT/run.log" 2>&1 || rc=$?
# Named tests are those of tests/sql alone.
if [ ${#named[@]} = 0 ]; then
    mapfile -t specs < <(find "$ROOT/tests/isolation/specs" -name '*.spec' -printf '%f\n' | sed 's/\.spec$//' | LC_ALL=C sort)
    tests+=("${specs[@]}")
    "$harness/isolation/pg_isolation_regress" --inputdir="$ROOT/tests/isolation" --outputdir="$OUT/isolation" \
        --bindir="$("$pg_config" --bindir)" --dbname=isolation_logintel --load-extension=logintel "${specs[@]}" \
        >>"$OUT/run.log" 2>&1 || rc=$?
    cat "$OUT/isolation/output_iso/regression.diffs" "$OUT/isolation/regression.diffs" >>"$DIFFS" 2>/dev/null || true
fi
cat "$OUT/run.log"
# PostgreSQL 15 writes "test NAME ... ok"; from 16 on it is "ok 1 - NAME".
passed=$(grep -cE '^(ok +[0-9]|(test)? .*\.\.\. ok)' "$OUT/run.log") || true
failed=$(grep -cE '^(not ok +[0-9]|(test)? .*\.\.\. FAILED)' "$OUT/run.log") || true
if [ -s "$DIFFS" ]; then
    say "differences (whole: $DIFFS):"
    head -n 400 "$DIFFS" >&2
fi
# Whatever else went wrong (no server, no extension, a crash) is a failure too.
if [ "$rc" != 0 ] && [ "$failed" = 0 ]; then failed=1; fi
if [ $((passed + failed)) != ${#tests[@]} ] && [ "$failed" = 0 ]; then failed=$((${#tests[@]} - passed)); fi
summary="$passed passed, $failed failed"
[ "$skipped" = 0 ] || summary+=", $skipped skipped"
printf '%s\n' "$summary"
[ "$failed" = 0 ]
