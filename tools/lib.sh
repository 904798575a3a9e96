# What the scripts beside this one share. Sourced, never run.
# shellcheck shell=bash
#
# Settings, all from the environment:
#   PG         major version of PostgreSQL (15–18); default: one that is installed, else the distribution's
#   PG_CONFIG  the pg_config of the PostgreSQL to build for, when it is not the distribution's
#   RUNAS      who runs servers when we are root (PostgreSQL refuses root); default postgres
#
# Nothing here installs into that PostgreSQL. Its programs are copied below target/ (`mirror`) and the extension goes
# into the copy: PostgreSQL finds its own folders relative to its programs. So no script but `make install` needs
# rights on the system's PostgreSQL, and a cluster that already uses logintel there keeps the library it has.
set -euo pipefail
# Another user, the server's, reads what is made here.
umask 022

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd -P)
RUNAS=${RUNAS:-postgres}
SUPPORTED='15 16 17 18'
# shellcheck disable=SC2034
PGRX_VERSION=0.18.1

# --- words to the person -------------------------------------------------------------------------------------------

say() { printf '%s\n' "$@" >&2; }
die() {
    printf 'error: %s\n' "$1" >&2
    shift
    while [ $# -gt 0 ]; do printf '       %s\n' "$1" >&2 && shift; done
    exit 1
}

# quietly WHAT LOG COMMAND…: runs it into LOG; a failure shows the end of the log and names the step.
quietly() {
    local what=$1 log=$2 rc=0
    shift 2
    mkdir -p "$(dirname "$log")"
    "$@" >"$log" 2>&1 || rc=$?
    [ "$rc" = 0 ] && return 0
    tail -n 25 "$log" | sed 's/^/    | /' >&2
    die "$what failed (exit code $rc)" "command: $*" "whole log: $log"
}

# --- which user, which folder --------------------------------------------------------------------------------------

is_root() { [ "$(id -u)" = 0 ]; }

# as_server COMMAND…: as the user who runs servers, from a folder that this user can enter.
as_server() {
    if is_root; then
        (cd / && runuser -u "$RUNAS" -- "$@")
    else
        (cd / && "$@")
    fi
}

# as_root COMMAND…: for the package manager alone.
as_root() {
    if is_root; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "this step needs root: $*" "You are $(id -un) and there is no sudo. Run it as root, then start again."
    fi
}

# state_dir: where clusters, the copies of PostgreSQL and logs live. target/ where the server's user can reach it;
# a clone in a closed home folder (/root) gets a folder in /var/tmp, recognised again by its path.
state_dir() {
    local dir=$ROOT/target/private
    mkdir -p "$dir"
    if is_root && id "$RUNAS" >/dev/null 2>&1 && ! as_server test -x "$dir"; then
        local other
        other=/var/tmp/logintel-$(printf '%s' "$ROOT" | cksum | cut -d' ' -f1)
        if [ ! -d "$other" ]; then
            mkdir -m 755 "$other"
            say "note: $RUNAS cannot reach $dir; clusters and their files go to $other"
        fi
        # /var/tmp is everybody's: a folder that somebody else made under our name is not ours to use.
        if [ -L "$other" ] || [ "$(stat -c %u "$other")" != 0 ]; then die "$other belongs to somebody else: remove it, then start again"; fi
        dir=$other
    fi
    printf '%s\n' "$dir"
}

# --- which PostgreSQL ----------------------------------------------------------------------------------------------

pg_major_of() { "$1" --version | sed -E 's/^PostgreSQL ([0-9]+).*/\1/'; }
supported() { case " $SUPPORTED " in *" $1 "*) ;; *) return 1 ;; esac; }

# installed_pg_config MAJOR: its pg_config, when its server and the server's headers are there.
installed_pg_config() {
    local candidate bindir
    for candidate in "$(command -v pg_config || true)" "/usr/lib/postgresql/$1/bin/pg_config"; do
        [ -x "$candidate" ] || continue
        bindir=$("$candidate" --bindir)
        [ -x "$bindir/pg_config" ] && candidate=$bindir/pg_config
        if [ "$(pg_major_of "$candidate")" = "$1" ] && complete "$candidate"; then
            printf '%s\n' "$candidate"
            return 0
        fi
    done
    return 1
}

# complete PG_CONFIG: is there a server, its headers and its test driver?
complete() {
    [ -x "$("$1" --bindir)/postgres" ] && [ -x "$("$1" --bindir)/initdb" ] &&
        [ -f "$("$1" --includedir-server)/postgres.h" ] && [ -f "$("$1" --pgxs)" ]
}

# own_postgres: the folder in which setup.sh puts, by major version, a PostgreSQL that was asked for and that the distribution does
# not have. The server's user must reach it, for the copies below link to it.
own_postgres() {
    local state
    state=$(state_dir)
    case $state in
        "$ROOT"/*) printf '%s\n' "$ROOT/target/tools/postgresql" ;;
        *) printf '%s\n' "$state/postgresql" ;;
    esac
}

# source_pg_config: the PostgreSQL that is built for; never one of our own where SYSTEM_ONLY is set. Fails silently when there
# is none yet (setup.sh installs it).
source_pg_config() {
    local major
    if [ -n "${PG_CONFIG:-}" ]; then
        printf '%s\n' "$PG_CONFIG"
        return 0
    fi
    for major in ${PG:-$SUPPORTED}; do
        installed_pg_config "$major" && return 0
    done
    [ -n "${PG:-}" ] && [ -z "${SYSTEM_ONLY:-}" ] && [ -x "$(own_postgres)/$PG/bin/pg_config" ] || return 1
    printf '%s\n' "$(own_postgres)/$PG/bin/pg_config"
}

# mirror SOURCE_PG_CONFIG KIND: the pg_config of our own copy of that PostgreSQL; KIND keeps apart what must not
# overwrite each other's library (debug: tests, release: demo). Made when missing or when the original was updated.
mirror() {
    local source=$1 kind=$2 state root dir path stamp
    state=$(state_dir)
    case $source in "$state"/pgsql/*)
        # A script that calls another one has handed it the copy.
        printf '%s\n' "$source"
        return 0
        ;;
    esac
    root=$state/pgsql/$(pg_major_of "$source")-$kind
    stamp="$("$source" --version) $("$source" --bindir) $(stat -L -c '%Y %s' "$("$source" --bindir)/postgres")"
    if [ ! -s "$root/use" ] || [ "$(cat "$root/stamp" 2>/dev/null)" != "$stamp" ]; then
        rm -rf "$root"
        # Programs are real copies, for a link would lead PostgreSQL back to the original's folders. Libraries, headers and
        # shared files are links; the folder of extension scripts is copied, for the extension is added to it.
        for path in bindir pkglibdir sharedir includedir-server; do
            [ -d "$("$source" "--$path")" ] || die "PostgreSQL's $path is missing: $("$source" "--$path")" "asked: $source"
        done
        dir=$("$source" --bindir) && mkdir -p "$root$dir" && cp -L "$dir"/* "$root$dir"
        dir=$("$source" --sharedir)/extension && mkdir -p "$root$dir" && cp -L "$dir"/* "$root$dir"
        rm -f "$root$dir"/logintel*
        for path in sharedir pkglibdir includedir-server; do link_missing "$("$source" "--$path")" "$root"; done
        dir=$("$source" --bindir)
        link_libraries "$dir" "$root"
        if "$root$dir/postgres" --version >/dev/null 2>&1 && "$root$dir/psql" --version >/dev/null 2>&1; then
            printf '%s\n' "$root$dir/pg_config" >"$root/use"
        else
            say "note: the programs in $dir do not run from another folder; logintel is installed into that PostgreSQL itself"
            printf '%s\n' "$source" >"$root/use"
        fi
        printf '%s\n' "$stamp" >"$root/stamp"
    fi
    cat "$root/use"
}

# link_missing DIR ROOT: every entry of DIR, linked at the same path below ROOT unless something is there already.
link_missing() {
    local entry
    mkdir -p "$2$1"
    for entry in "$1"/*; do
        case ${entry##*/} in logintel*) continue ;; esac
        [ -e "$2$entry" ] || ln -s "$entry" "$2$entry"
    done
}

# link_libraries BINDIR ROOT: where programs look for libraries beside themselves, those folders, linked at the same place below ROOT.
link_libraries() {
    local folder place
    ldd "$1"/* 2>/dev/null | sed -nE "s|.* => ($1/[^ ]*)/[^/ ]* .*|\\1|p" | sort -u | while read -r folder; do
        place=$(realpath -m "$2$folder")
        mkdir -p "${place%/*}"
        [ -e "$place" ] || ln -s "$(realpath "$folder")" "$place"
    done
}

# --- cargo ---------------------------------------------------------------------------------------------------------

# tools_path: programs that setup.sh had to install beside the user's own.
tools_path() { printf '%s\n' "$ROOT/target/tools/bin"; }

# use_rust: cargo on the PATH, and pgrx's settings in a folder of ours, so that those in ~/.pgrx stay as they are.
use_rust() {
    if ! command -v cargo >/dev/null && [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ]; then
        PATH=${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    fi
    command -v cargo >/dev/null || die "Rust is missing: no cargo on the PATH" \
        "logintel needs Rust $(rust_version) or newer. Install it with rustup (rustup.rs), open a new shell, start again."
    PATH=$(tools_path):${CARGO_HOME:-$HOME/.cargo}/bin:$PATH
    export PATH PGRX_HOME=$ROOT/target/pgrx
    # pgrx keeps the sections that its SQL is generated from by a linker flag, which these would take the place of.
    unset RUSTFLAGS CARGO_ENCODED_RUSTFLAGS
}
rust_version() { sed -nE 's/^rust-version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1; }

# install_extension KIND PG_CONFIG: builds logintel (debug or release) and installs it into that PostgreSQL.
install_extension() {
    local kind=$1 pg_config=$2 major flag=()
    major=$(pg_major_of "$pg_config")
    [ "$kind" = release ] && flag=(--release)
    (cd "$ROOT" && cargo pgrx install -p logintel "${flag[@]}" --no-default-features --features "pg$major" --pg-config "$pg_config")
}

# --- real logs -----------------------------------------------------------------------------------------------------

# The folder of real logs: LOGINTEL_DATA, else one beside the project, else what `make data` fetched.
if [ -z "${LOGINTEL_DATA:-}" ]; then
    for LOGINTEL_DATA in "$ROOT/../shared/data" "$ROOT/target/data" ''; do [ -d "$LOGINTEL_DATA" ] && break; done
fi
if [ -n "$LOGINTEL_DATA" ]; then
    [ -d "$LOGINTEL_DATA" ] || die "LOGINTEL_DATA=$LOGINTEL_DATA is no folder"
    LOGINTEL_DATA=$(cd "$LOGINTEL_DATA" && pwd -P)
    export LOGINTEL_DATA
else
    unset LOGINTEL_DATA
fi

# data_for_server: that folder as the server's user can read it (a copy where the original cannot be), or nothing.
data_for_server() {
    local copy
    [ -n "${LOGINTEL_DATA:-}" ] || return 0
    if as_server test -r "$LOGINTEL_DATA" -a -x "$LOGINTEL_DATA"; then
        printf '%s\n' "$LOGINTEL_DATA"
    else
        copy=$(state_dir)/data
        rm -rf "$copy"
        cp -rL "$LOGINTEL_DATA" "$copy"
        chmod -R a+rX "$copy"
        printf '%s\n' "$copy"
    fi
}

# --- what measures ---------------------------------------------------------------------------------------------------

# measure NAME LOGS CONF… -- COMMAND…: runs it with a release build in a private cluster of that name, which goes away afterwards.
measure() {
    local name=$1 logs=$2 source_config conf=()
    shift 2
    while [ "$1" != -- ]; do conf+=("$1") && shift; done
    shift
    [ -n "${LOGINTEL_DATA:-}" ] || die "there are no real logs" "make data fetches them, LOGINTEL_DATA=/folder names them"
    # Its server runs from the copy of PostgreSQL that is installed into here.
    if "$ROOT/tools/cluster.sh" status demo >/dev/null 2>&1; then die "the demo is running" "make demo-stop ends it"; fi
    source_config=$(source_pg_config)
    PG_CONFIG=$(mirror "$source_config" release)
    export PG_CONFIG
    "$ROOT/tools/cluster.sh" remove "$name"
    say "$name: release build of logintel (first time: some minutes)"
    quietly "the release build" "$logs/build.log" install_extension release "$PG_CONFIG"
    # shellcheck disable=SC2064
    trap "trap - EXIT INT TERM; '$ROOT/tools/cluster.sh' remove '$name'" EXIT
    trap 'exit 130' INT TERM HUP
    # No background work between measurements.
    "$ROOT/tools/cluster.sh" start "$name" "${conf[@]}" 'autovacuum = off' "logintel.databases = ''"
    say "$name: PostgreSQL $("$PG_CONFIG" --version | cut -d' ' -f2), $(id -un), $LOGINTEL_DATA"
    "$ROOT/tools/cluster.sh" exec "$name" "$@"
}
