#!/usr/bin/env bash
# A private PostgreSQL cluster with logintel preloaded: its own folder, its own socket, no TCP, never the system's.
#
#   tools/cluster.sh start DIR ['conf line'…]   makes the cluster if DIR is not there yet, and starts it
#   tools/cluster.sh standby DIR OF             makes a hot standby of the running cluster OF, and starts it
#   tools/cluster.sh restart DIR                after a change of the configuration
#   tools/cluster.sh stop DIR [smart|fast|immediate]
#   tools/cluster.sh remove DIR                 stops it and deletes DIR
#   tools/cluster.sh env DIR                    prints lines for a shell's eval: PGHOST (a socket folder), PGPORT, PGUSER,
#                                               PGDATABASE, and LOGINTEL_PGDATA, LOGINTEL_PGLOG, LOGINTEL_PGBIN
#   tools/cluster.sh psql DIR [argument…]       psql as the superuser, without ~/.psqlrc
#   tools/cluster.sh exec DIR COMMAND…          a command with that environment (pgbench, pg_dump, a test program)
#   tools/cluster.sh status DIR                 "running" or "stopped"; exit code 0 or 3
#   tools/cluster.sh new-dir NAME               prints a path fit for DIR: below target/, or, where the server's user cannot
#                                               reach that, in /var/tmp
#
# A relative DIR is taken as NAME. Answers go to stdout, remarks to stderr. The superuser is `postgres`, trusted over a
# socket that only the server's user (and root) can open. A `conf line` is one of postgresql.conf and wins over what is set
# here; several may be given. As root the server runs as user postgres (RUNAS names another), and DIR belongs to it.
#
# The programs are those of PG_CONFIG where it is set, else of the copy of PostgreSQL that the tests install logintel into
# (`tools/test.sh regress` or `server` makes it). A cluster remembers what it was started with.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

usage() { sed -n '2,/^source/{/^source/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2 && exit 2; }
[ $# -ge 2 ] || usage
ACTION=$1
NAME=$2
shift 2
folder() {
    case $1 in
        /*) printf '%s\n' "$1" ;;
        *) printf '%s\n' "$(state_dir)/clusters/$1" ;;
    esac
}
DIR=$(folder "$NAME")
DATA=$DIR/data
LOG=$DIR/server.log

# What root may know about a cluster of another user's: kept in files of its folder.
saved() { cat "$DIR/$1" 2>/dev/null; }
bindir() { "$(saved pg_config)" --bindir; }
running() { [ -f "$DATA/postmaster.pid" ] && as_server "$(bindir)/pg_ctl" status -D "$DATA" >/dev/null 2>&1; }
must_exist() { [ -d "$DATA" ] || die "there is no cluster in $DIR" "make it with: tools/cluster.sh start $NAME"; }

# A path that a socket fits into: at most 107 bytes with its name, and nothing that postgresql.conf reads as syntax.
choose_socket_dir() {
    local dir=$DIR/socket
    if [ $(($(printf %s "$dir/.s.PGSQL.65535" | wc -c))) -gt 107 ] || [[ $dir == *[!A-Za-z0-9_./+@-]* ]]; then
        dir=$(as_server mktemp -d --tmpdir=/tmp --suffix=.logintel-socket)
    else
        as_server mkdir -p -m 700 "$dir"
    fi
    printf '%s\n' "$dir"
}

# A port that nothing listens on. Without TCP it only names the socket, but whoever switches TCP on finds it free.
choose_port() {
    local port
    for _ in $(seq 50); do
        port=$((20000 + RANDOM % 12000))
        (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null || break
    done
    printf '%s\n' "$port"
}

# create [OF]: an empty cluster, or a copy of the running one in folder OF that follows it.
create() {
    local of=${1:-} pg_config=${PG_CONFIG:-} source parent
    if [ -n "$of" ]; then
        pg_config=$(cat "$of/pg_config")
    elif [ -z "$pg_config" ]; then
        source=$(source_pg_config) || die "PostgreSQL with its server headers is missing" "install it: tools/setup.sh"
        pg_config=$(mirror "$source" debug)
    fi
    parent=$(dirname "$DIR")
    mkdir -p "$parent"
    mkdir -m 700 "$DIR" || die "cannot make $DIR"
    if is_root; then
        chown "$RUNAS" "$DIR"
        as_server test -w "$DIR" || die "user $RUNAS cannot reach $DIR" "choose a folder with: tools/cluster.sh new-dir NAME"
    fi
    printf '%s\n' "$pg_config" >"$DIR/pg_config"
    # Whatever ends this early leaves nothing behind: a socket folder in /tmp is known to no one else.
    trap remove EXIT
    choose_socket_dir >"$DIR/socket_dir"
    choose_port >"$DIR/port"
    chmod 644 "$DIR"/{pg_config,socket_dir,port}
    if [ -n "$of" ]; then
        quietly pg_basebackup "$DIR.initdb.log" as_server "$(bindir)/pg_basebackup" -h "$(cat "$of/socket_dir")" -p "$(cat "$of/port")" \
            -U postgres -D "$DATA" --write-recovery-conf --checkpoint=fast --no-sync
    else
        quietly initdb "$DIR.initdb.log" as_server "$(bindir)/initdb" -D "$DATA" -U postgres --auth=trust \
            --encoding=UTF8 --locale=C --no-sync --no-instructions
    fi
    rm -f "$DIR.initdb.log"
    as_server tee -a "$DATA/postgresql.conf" >/dev/null <<CONF
shared_preload_libraries = 'logintel'
listen_addresses = ''
port = $(saved port)
unix_socket_directories = '$(saved socket_dir)'
unix_socket_permissions = 0700
fsync = off
max_connections = 50
shared_buffers = 64MB
include_if_exists = 'given.conf'
CONF
    trap - EXIT
}

remove() {
    if [ -f "$DATA/PG_VERSION" ]; then stop immediate; fi
    case $(saved socket_dir) in /tmp/*.logintel-socket) rm -rf "$(saved socket_dir)" ;; esac
    rm -rf "$DIR"
}

start() {
    local line
    if [ ! -e "$DIR" ]; then
        create
    elif [ ! -f "$DIR/pg_config" ]; then
        die "$DIR is there and is no cluster made by this script" "remove it, or name another folder"
    fi
    if [ $# -gt 0 ]; then
        for line in "$@"; do printf '%s\n' "$line"; done | as_server tee "$DATA/given.conf" >/dev/null
    fi
    if running; then return 0; fi
    # A socket folder in /tmp may have been cleaned away since.
    [ -d "$(saved socket_dir)" ] || as_server mkdir -m 700 "$(saved socket_dir)"
    # Stdin and stdout are cut off: a pipe kept open by the server would make its reader wait for ever.
    if ! as_server env -u RUST_BACKTRACE "$(bindir)/pg_ctl" start -w -t 120 -s -D "$DATA" -l "$LOG" </dev/null >"/dev/null" 2>&1; then
        as_server tail -n 25 "$LOG" 2>/dev/null | sed 's/^/    | /' >&2
        die "the cluster in $DIR did not start" "its log: $LOG"
    fi
}

stop() {
    running || return 0
    as_server "$(bindir)/pg_ctl" stop -w -t 120 -s -D "$DATA" -m "${1:-fast}" || die "the cluster in $DIR did not stop" "its log: $LOG"
}

environment() {
    # Settings of the person's own sessions must not lead elsewhere.
    echo 'unset PGHOSTADDR PGSERVICE PGSERVICEFILE PGPASSWORD PGSSLMODE PGREQUIREAUTH PGTARGETSESSIONATTRS'
    printf 'export %s=%q\n' PGHOST "$(saved socket_dir)" PGPORT "$(saved port)" PGUSER postgres PGDATABASE postgres \
        LOGINTEL_PGDATA "$DATA" LOGINTEL_PGLOG "$LOG" LOGINTEL_PGBIN "$(bindir)"
}

case $ACTION in
    start) start "$@" ;;
    standby)
        [ $# = 1 ] || usage
        [ ! -e "$DIR" ] || die "$DIR is there already"
        create "$(folder "$1")"
        start
        ;;
    restart)
        must_exist
        stop
        start "$@"
        ;;
    stop)
        must_exist
        stop "$@"
        ;;
    remove)
        [ -e "$DIR" ] || exit 0
        [ -f "$DIR/pg_config" ] || die "$DIR is no cluster made by this script: not removed"
        remove
        ;;
    env)
        must_exist
        environment
        ;;
    psql)
        must_exist
        eval "$(environment)"
        exec "$LOGINTEL_PGBIN/psql" -X "$@"
        ;;
    exec)
        must_exist
        [ $# -gt 0 ] || usage
        eval "$(environment)"
        PATH=$LOGINTEL_PGBIN:$PATH exec "$@"
        ;;
    status)
        if [ -d "$DATA" ] && running; then echo running; else echo stopped && exit 3; fi
        ;;
    new-dir) printf '%s\n' "$DIR" ;;
    *) usage ;;
esac
