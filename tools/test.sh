#!/usr/bin/env bash
# Runs every test there is, after the set-up that they need, and ends in the line `N passed, N failed`.
#
#   tools/test.sh            everything; where CI is set the package and a newer PostgreSQL, too
#   tools/test.sh SUITE…     some of: fmt clippy deny engine backend regress server deb newest
#
# PG=NN runs them on that major version of PostgreSQL. Each suite's own result is read; one that did not run at all counts as
# failed. Logs: target/test/SUITE.log, with PG=NN target/test/NN/SUITE.log. All builds are
# debug builds with the same features, so that nothing is compiled twice; but deb makes a release and a package of it, and newest
# runs clippy, backend and regress on the newest major version: they take minutes and say little about a change, so that they
# are left to CI and to who asks for them. When CI is set nothing may be skipped for want of a
# tool or of data. A Rust test that cannot run here prints a line `skipped: why` and is counted as skipped.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

LOGS=$ROOT/target/test${PG:+/$PG}
# A suite that hangs is ended, and named.
LIMIT=${SUITE_LIMIT:-30m}
ALL='fmt clippy deny engine backend regress server'
NEWEST=${SUPPORTED##* }
passed=0 failed=0 skipped=0

mkdir -p "$LOGS"
cd "$ROOT" || exit
"$ROOT/tools/setup.sh" test
use_rust
export RUST_BACKTRACE=0
source_config=$(source_pg_config)
MAJOR=$(pg_major_of "$source_config")
if [ -n "${CI:-}" ]; then
    # Only the distribution's PostgreSQL has a package; a version that was asked for is tested alone.
    [ "$("$source_config" --pkglibdir)" != "/usr/lib/postgresql/$MAJOR/lib" ] || ALL+=' deb'
    [ -n "${PG:-}${PG_CONFIG:-}" ] || [ "$MAJOR" = "$NEWEST" ] || ALL+=' newest'
fi
PG_CONFIG=$(mirror "$source_config" debug)
export PG_CONFIG
if [ -n "${LOGINTEL_DATA:-}" ]; then
    LOGINTEL_DATA=$(data_for_server)
    export LOGINTEL_DATA
fi
FEATURES=(--no-default-features --features "pg$MAJOR")
[ -n "${LOGINTEL_PYTHON:-}" ] || [ ! -x target/oracle/bin/python ] || export LOGINTEL_PYTHON=$ROOT/target/oracle/bin/python

# --- counting ------------------------------------------------------------------------------------------------------

# tally SUITE PASSED FAILED SKIPPED SECONDS
tally() {
    passed=$((passed + $2)) failed=$((failed + $3)) skipped=$((skipped + $4))
    local line="$2 passed, $3 failed"
    [ "$4" = 0 ] || line+=", $4 skipped"
    say "$(printf '  %-8s %s (%s s)' "$1" "$line" "$5")"
}
show_end() {
    say "--- $1: the end of $LOGS/$1.log"
    tail -n "${2:-60}" "$LOGS/$1.log" | sed 's/^/    | /' >&2
}
# counts SUITE: "passed failed skipped" of the log, as cargo test and tools/regress.sh write them.
counts() {
    awk '
        /^test result: / {
            for (i = 2; i <= NF; i++) {
                if ($i == "passed;") p += $(i - 1)
                if ($i == "failed;") f += $(i - 1)
                if ($i == "ignored;") s += $(i - 1)
            }
        }
        /^[0-9]+ passed, [0-9]+ failed/ { p += $1; f += $3; if ($6 == "skipped") s += $5 }
        /^skipped: / { marked++ }
        END { if (!regress) { p -= marked; s += marked } print p + 0, f + 0, s + 0 }
    ' regress="$([ "$1" = regress ] && echo 1)" "$LOGS/$1.log"
}

# limited SUITE COMMAND…: in a process group of its own, which ends with us.
child=
limited() {
    local log=$LOGS/$1.log
    shift
    timeout -k 10 "$LIMIT" "$@" >"$log" 2>&1 </dev/null &
    child=$!
    wait "$child"
}
at_end() {
    local cluster
    [ -z "$child" ] || kill "$child" 2>/dev/null || true
    # What a suite that was cut off has left running.
    for cluster in "$(state_dir)"/clusters/{server-*,regress,deb}; do
        [ ! -d "$cluster" ] || "$ROOT/tools/cluster.sh" remove "$cluster" || true
    done
}
trap at_end EXIT
trap 'exit 130' INT TERM

# check SUITE COMMAND…: passes or fails as a whole.
check() {
    local suite=$1 began=$SECONDS rc=0
    shift
    limited "$suite" "$@" || rc=$?
    if [ "$rc" = 0 ]; then
        tally "$suite" 1 0 0 $((SECONDS - began))
    else
        show_end "$suite"
        tally "$suite" 0 1 0 $((SECONDS - began))
    fi
}
# tests SUITE COMMAND…: counts its tests; an end without a count (no compile, a crash, no test) is a failure.
tests() {
    local suite=$1 began=$SECONDS rc=0 p f s
    shift
    limited "$suite" "$@" || rc=$?
    read -r p f s < <(counts "$suite")
    [ "$rc" != 124 ] || say "--- $suite was ended after $LIMIT"
    if [ "$rc" != 0 ] && [ "$f" = 0 ]; then f=1; fi
    if [ $((p + f + s)) = 0 ]; then f=1; fi
    if [ -n "${CI:-}" ] && grep -q '^skipped: ' "$LOGS/$suite.log"; then f=$((f + 1)); fi
    [ "$f" = 0 ] || show_end "$suite" 200
    grep -h '^skipped: ' "$LOGS/$suite.log" | sed 's/^/    /' >&2 || true
    tally "$suite" "$p" "$f" "$s" $((SECONDS - began))
}
missing() {
    if [ -n "${CI:-}" ]; then
        say "--- $1: $2"
        tally "$1" 0 1 0 0
    else
        say "    skipped: $1: $2"
        tally "$1" 0 0 1 0
    fi
}

# --- the suites ----------------------------------------------------------------------------------------------------

server_package() { cargo metadata --no-deps --format-version 1 --offline 2>/dev/null | grep -q '"name":"logintel-server-tests"'; }

suite_fmt() {
    cargo fmt --version >/dev/null 2>&1 || { missing fmt "cargo fmt is not installed" && return; }
    check fmt cargo fmt --all --check
}
suite_clippy() {
    cargo clippy --version >/dev/null 2>&1 || { missing clippy "cargo clippy is not installed" && return; }
    check clippy cargo clippy --workspace --all-targets "${FEATURES[@]}" --features pg_test -- -D warnings
}
suite_deny() {
    local checks=(licenses bans sources)
    command -v cargo-deny >/dev/null || { missing deny "cargo-deny is not installed (cargo install cargo-deny --locked)" && return; }
    check deny cargo deny --workspace check "${checks[@]}"
    # The list of advisories comes over the network; where it cannot be had that is said, and is no finding.
    if timeout 120 cargo deny fetch db >"$LOGS/deny-fetch.log" 2>&1; then
        check advisories cargo deny --workspace check --disable-fetch advisories
    else
        say "    note: the list of advisories cannot be fetched here; licences, bans and sources were checked"
    fi
}
suite_engine() { tests engine cargo test -p logintel-core -p logintel-report -p logintel-fuzz --no-fail-fast -- --show-output; }
suite_backend() {
    local data as=() began
    data=$(state_dir)/backend
    # pgrx keeps the cluster of the last run; one that was cut off is not to be trusted.
    rm -rf "$data"
    mkdir -p "$data"
    if is_root; then
        chown "$RUNAS" "$data"
        as=(--runas "$RUNAS")
    fi
    tests backend cargo pgrx test -p logintel "${FEATURES[@]}" --pgdata "$data" "${as[@]}" "pg$MAJOR"
    rm -rf "$data"
}
# regress and server work on the same installed build. installed SUITE: makes it once; where that fails, so does SUITE.
built=
installed() {
    if [ -z "$built" ]; then
        built=no
        say "    building and installing logintel"
        if (quietly "building and installing logintel" "$LOGS/install.log" install_extension debug "$PG_CONFIG"); then built=yes; fi
    fi
    [ $built = yes ] || tally "$1" 0 1 0 0
    [ $built = yes ]
}
suite_regress() {
    [ -d tests/sql ] || { tally regress 0 1 0 0 && say "--- regress: tests/sql is missing" && return; }
    installed regress || return 0
    tests regress "$ROOT/tools/regress.sh"
}
suite_server() {
    server_package || { tally server 0 1 0 0 && say "--- server: the package logintel-server-tests is missing" && return; }
    installed server || return 0
    tests server cargo test -p logintel-server-tests --no-fail-fast -- --show-output
}

# The package is of the distribution's PostgreSQL, not of our copy.
suite_deb() {
    command -v dpkg-deb >/dev/null || { missing deb "this is not Debian" && return; }
    check deb env PG_CONFIG="$source_config" "$ROOT/tools/deb.sh" check
}

# What a major version changes shows when it is compiled, inside a backend and in plans and messages.
suite_newest() {
    tests "pg$NEWEST" env -u PG_CONFIG PG="$NEWEST" "$ROOT/tools/test.sh" clippy backend regress
    grep -E '^  [a-z]+ +[0-9]+ passed' "$LOGS/pg$NEWEST.log" | sed 's/^/  /' >&2 || true
}

say "tests: PostgreSQL $MAJOR, $(id -un), ${LOGINTEL_DATA:-no real logs (LOGINTEL_DATA)}"
if [ $# = 0 ]; then read -ra chosen <<<"$ALL"; else chosen=("$@"); fi
for suite in "${chosen[@]}"; do
    case " $ALL deb newest " in *" $suite "*) ;; *) die "no suite $suite" "there are: fmt clippy deny engine backend regress server deb newest" ;; esac
    say "  $suite …"
    "suite_$suite"
done

summary="$passed passed, $failed failed"
[ "$skipped" = 0 ] || summary+=", $skipped skipped"
printf '%s\n' "$summary"
[ "$failed" = 0 ]
