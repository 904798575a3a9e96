#!/usr/bin/env bash
# Looks for input that breaks logintel: coverage-guided for the engine, by chance against a server. docs/reliability.md has what came of it.
#
#   tools/fuzz.sh                   all targets of the engine, then the server
#   tools/fuzz.sh TARGET…           some of them; `tools/fuzz.sh list` lists them, `server` is the server
#   tools/fuzz.sh keep TARGET…      puts the inputs of the last runs that reach most of the code into tests/fuzz/corpus
#
# Settings, from the environment:
#   FUZZ_SECONDS   for each target; default 300
#   FUZZ_TRIES     literals and calls that the server gets, each; default 100000
#   FUZZ_SEED      of chance, for the server; default: another one each time, which is shown
#
# libFuzzer comes with the crate libfuzzer-sys and needs a C++ compiler; the stable Rust compiler instruments the code. A finding is
# left in target/fuzz/TARGET/found and ends that target: mend it, and put it into tests/fuzz/corpus with a line that says what it was.
# What was run before goes on from its own corpus in target/fuzz/TARGET/corpus. The short form of all this is in `make test`.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

EACH=${FUZZ_SECONDS:-300}
TRIES=${FUZZ_TRIES:-100000}
WORK=$ROOT/target/fuzz
use_rust
cd "$ROOT" || exit
mkdir -p "$WORK"

quietly "building the corpus tool" "$WORK/corpus.log" cargo build -p logintel-fuzz --bin corpus
corpus() { "$ROOT/target/debug/corpus" "$@"; }

# What cargo-fuzz gives the compiler, all of it stable. A --target keeps it from build scripts.
build() {
    local host flags='-Cpasses=sancov-module --cfg fuzzing' flag
    for flag in level=4 inline-8bit-counters pc-table trace-compares; do flags+=" -Cllvm-args=-sanitizer-coverage-$flag"; done
    host=$(rustc -vV | sed -n 's/^host: //p')
    FUZZER=$WORK/build/$host/fuzz/fuzz
    quietly "building the fuzzer" "$WORK/build.log" env RUSTFLAGS="$flags" \
        cargo build -p logintel-fuzz --bin fuzz --features libfuzzer --profile fuzz --target "$host" --target-dir "$WORK/build"
}

# run TARGET: a line of the table; fails where something was found.
run() {
    local target=$1 dir=$WORK/$1 rc=0 log
    log=$dir/log
    mkdir -p "$dir/found" "$dir/corpus"
    corpus unpack "$target" "$dir/corpus"
    LOGINTEL_FUZZ=$target "$FUZZER" -max_total_time="$EACH" -timeout=10 -rss_limit_mb=2048 -max_len=4096 -use_value_profile=1 \
        -print_final_stats=1 -artifact_prefix="$dir/found/" "$dir/corpus" >"$log" 2>&1 || rc=$?
    awk -v target="$target" -v rc="$rc" '
        / cov: / { for (i = 1; i < NF; i++) { if ($i == "cov:") cov = $(i + 1); if ($i == "ft:") ft = $(i + 1); if ($i == "corp:") corp = $(i + 1) } }
        /^Done / { seconds = $5 }
        /number_of_executed_units/ { runs = $2 }
        /peak_rss_mb/ { rss = $2 }
        END { printf "%-16s %12d %8d %8d %10d %10s %6d %s\n", target, runs, seconds, cov, ft, corp, rss, rc ? "FOUND" : "" }' "$log"
    if [ "$rc" != 0 ]; then grep -hE '^thread|panicked|^ERROR|SUMMARY|Test unit written' -A1 "$log" | head -n 12 | sed 's/^/    | /' >&2; fi
    return "$rc"
}

# keep TARGET: a small corpus that covers what the large one does.
keep() {
    local dir=$WORK/$1
    rm -rf "$dir/least"
    mkdir -p "$dir/least"
    LOGINTEL_FUZZ=$1 "$FUZZER" -set_cover_merge=1 -max_len="${FUZZ_KEEP_LENGTH:-512}" "$dir/least" "$dir/corpus" >"$dir/merge.log" 2>&1
    corpus pack "$1" "$dir/least"
    say "$1: $(find "$dir/least" -type f | wc -l) inputs kept"
}

# The server's suites in their long form.
server() {
    local source_config
    source_config=$(source_pg_config)
    PG_CONFIG=$(mirror "$source_config" debug)
    export PG_CONFIG
    quietly "building and installing logintel" "$WORK/install.log" install_extension debug "$PG_CONFIG"
    LOGINTEL_TRIES=$TRIES LOGINTEL_SEED=${FUZZ_SEED:-$(date +%s)} \
        cargo test -q -p logintel-server-tests --test hostile --test endurance -- --nocapture
}

mapfile -t ALL < <(corpus list)
failed=0
case ${1:-} in
    list) printf '%s\n' "${ALL[@]}" server && exit ;;
    keep)
        shift
        build
        for target in "$@"; do keep "$target"; done
        exit
        ;;
esac
if [ $# = 0 ]; then chosen=("${ALL[@]}" server); else chosen=("$@"); fi
build
printf '%-16s %12s %8s %8s %10s %10s %6s\n' target executions seconds edges features corpus MB
for target in "${chosen[@]}"; do
    if [ "$target" = server ]; then server || failed=1; else run "$target" || failed=1; fi
done
exit $failed
