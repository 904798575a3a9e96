#!/usr/bin/env bash
# Shows the whole way of the data, from ordinary log lines to incidents, on real logs.
#
#   tools/demo.sh start          this very PostgreSQL server's own log: ordinary traffic, then real faults
#   tools/demo.sh start FILE     a log file of yours (plain or .gz): trained on its first half, judged on the rest
#   tools/demo.sh stop           stops the demo's server and deletes it
#
# The server is a private cluster (tools/cluster.sh), with a copy of PostgreSQL that logintel is installed into. Started
# again, the demo begins from nothing. A failure, or Ctrl-C, names the step and stops the server.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

ACTION=${1:-start}
FILE=${2:-}
SECONDS_OF_TRAFFIC=${DEMO_SECONDS:-30}
# How long the worker may take for what it does every two seconds.
DEADLINE=90
LOGS=$ROOT/target/demo
STEP='' NUMBER=0 STEPS=0 FINISHED='' CHILDREN=()

cluster() { "$ROOT/tools/cluster.sh" "$@"; }

# --- progress, and the end -----------------------------------------------------------------------------------------

step() {
    NUMBER=$((NUMBER + 1)) STEP=$1
    say "" "[$NUMBER/$STEPS] $STEP"
}
remark() { printf '      %s\n' "$@" >&2; }

at_end() {
    local rc=$?
    trap - EXIT
    [ -z "$FINISHED" ] || exit 0
    # What still talks to the server goes first.
    [ ${#CHILDREN[@]} = 0 ] || kill "${CHILDREN[@]}" 2>/dev/null || true
    wait 2>/dev/null || true
    [ "$rc" != 130 ] || say "" "interrupted"
    [ -z "$STEP" ] || say "the demo ended in step $NUMBER of $STEPS: $STEP"
    if cluster status demo >/dev/null 2>&1; then
        cluster stop demo fast || cluster stop demo immediate || true
        say "its server is stopped; its log stays in $(cluster new-dir demo) until the next start or make demo-stop"
    fi
    exit "$rc"
}

# --- talking to the server -----------------------------------------------------------------------------------------

# The demo's own sessions do not write their statements into the log that they are showing.
QUIET='-c log_min_duration_statement=-1 -c log_min_duration_sample=-1 -c client_min_messages=warning'
connect() {
    eval "$(cluster env demo)"
    export PGDATABASE=logs
    PATH=${LOGINTEL_PGBIN:?}:$PATH
    : "${LOGINTEL_PGDATA:?}"
}
sql() { PGOPTIONS=$QUIET psql -X -q -v ON_ERROR_STOP=1 "$@" </dev/null; }
# The application's sessions are logged like everybody's.
application() { psql -X -q -U shop -d shop "$@"; }
value() { sql -At -c "$1"; }
# What a failing statement said stands above this; the step is named at the end.
must() { sql "$@" || die "the server refused a statement (above)"; }

# watched QUERY COMMAND…: runs a command, and says every two seconds what QUERY answers to how far it is.
watched() {
    local query=$1 pid said at
    shift
    "$@" &
    pid=$! at=$((SECONDS + 2))
    CHILDREN+=("$pid")
    while kill -0 "$pid" 2>/dev/null; do
        sleep 0.2
        [ $SECONDS -ge $at ] || continue
        at=$((SECONDS + 2))
        said=$(value "$query") || break
        [ -z "$said" ] || remark "$said"
    done
    wait "$pid" || exit $?
}

# progress_of COMMAND: what the view progress says of one that runs.
progress_of() {
    printf '%s' "SELECT format('%s: %s%s%s', phase, done, CASE WHEN total_is_estimate THEN ' of about ' ELSE ' of ' END || total,
                               ', about ' || ceil(extract(epoch FROM time_left)) || ' s left of this phase')
                 FROM logintel.progress WHERE command = '$1'"
}

# trained DETECTOR: trains it, and says what the model is like.
trained() {
    watched "$(progress_of train)" must -c "SELECT logintel.train('$1')" >/dev/null
    remark "$(value "SELECT format('version %s: %s rows, vocabulary of %s terms, %s clusters, %s rows of noise, threshold %s',
                                   version, training_rows, vocabulary_size, clusters, noise_rows, round(threshold::numeric, 3))
                     FROM logintel.models WHERE detector = '$1' AND is_active")"
}

# in_parts FIRST LAST STATEMENT [QUERY]: runs a statement, which ends where `BETWEEN id AND id` follows, on a part of the ids
# after the other, each of about a second, and says every two seconds how many are done, what QUERY answers and what time is left.
in_parts() {
    local first=$1 last=$2 statement=$3 query=${4:-} from to size=2000 began=$SECONDS at=$((SECONDS + 2)) took left
    for ((from = first; from <= last; from = to + 1)); do
        to=$((from + size - 1 < last ? from + size - 1 : last))
        took=${EPOCHREALTIME//[!0-9]/}
        must -c "$statement BETWEEN $from AND $to"
        took=$((${EPOCHREALTIME//[!0-9]/} - took))
        size=$((size * 1000000 / (took + 1) + 1))
        [ $SECONDS -ge $at ] || [ $to = "$last" ] || continue
        at=$((SECONDS + 2)) left=$(((SECONDS - began) * (last - to) / (to - first + 1) + 1))
        remark "$((to - first + 1)) of $((last - first + 1)) lines${query:+, $(value "$query")}$([ $to = "$last" ] || echo ", about $left s left")"
    done
}

prepare() {
    step "what is missing is installed (tools/setup.sh)"
    "$ROOT/tools/setup.sh"
    use_rust

    step "release build of logintel, installed into a copy of PostgreSQL of our own (first time: some minutes)"
    local source
    source=$(source_pg_config)
    PG_CONFIG=$(mirror "$source" release)
    export PG_CONFIG
    # The library of a running server is not changed under it.
    cluster remove demo
    quietly "the release build" "$LOGS/build.log" install_extension release "$PG_CONFIG"
    remark "$("$PG_CONFIG" --version), logintel $(sed -nE 's/^version = "(.*)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)"

    step "a private cluster: own folder, own socket, logintel preloaded"
    cluster start demo "$@"
    connect
    PGDATABASE=postgres must -c 'CREATE DATABASE logs'
    must -c 'CREATE EXTENSION logintel'
    remark "$LOGINTEL_PGDATA"
}

# --- the server's own log ------------------------------------------------------------------------------------------

# follow: waits until the worker has taken in what the server has written up to now.
follow() {
    local file size
    file=$(value "SELECT pg_current_logfile('csvlog')")
    size=$(as_server stat -c %s "$LOGINTEL_PGDATA/$file")
    for _ in $(seq $((DEADLINE * 4))); do
        [ "$(value "SELECT count(*) FROM logintel.server_log_files WHERE file_name = '$file' AND position >= $size")" = 0 ] || return 0
        sleep 0.25
    done
    die "the worker does not follow the log: $(value 'SELECT server_log FROM logintel.worker_state() WHERE database = current_database()')" \
        "the server's log: $LOGINTEL_PGDATA/log"
}

# Every line up to now: how many the files hold, so far as they were read, and how many rows there are.
prove_complete() {
    local files=0 in_files=0 stored=0 left=0 rows=0 file bytes lines left_out total
    # One statement sees one moment.
    while IFS='|' read -r file bytes lines left_out total; do
        files=$((files + 1)) stored=$((stored + lines)) left=$((left + left_out)) rows=$total
        # A message may hold line breaks: a record ends where as many quotes have been opened as closed.
        in_files=$((in_files + $(as_server head -c "$bytes" "$LOGINTEL_PGDATA/$file" |
            LC_ALL=C awk '{ quotes += gsub(/"/, "\"") } quotes % 2 == 0 { records++ } END { print records + 0 }')))
    done < <(value 'SELECT file_name, position, lines, left_out, (SELECT count(*) FROM logintel.server_log) FROM logintel.server_log_files')
    [ "$in_files" = $((stored + left)) ] || die "the log's files hold $in_files lines, and $stored + $left were read"
    [ "$rows" = "$stored" ] || die "$stored lines were stored, and the table has $rows rows"
    remark "$in_files lines in $files log file(s): $left of logintel itself are left out, $rows are rows; none lost, none doubled"
}

# traffic SECONDS: what an ordinary day looks like, in the database shop: short sessions, sampled statements, row locks,
# checkpoints, sorts that spill, autovacuum.
traffic() {
    local until=$((SECONDS + $1)) round=0 pids
    local bench=(pgbench -n -C -U shop -T "$1")
    "${bench[@]}" -c 6 -j 2 -R 50 shop >"$LOGS/pgbench.log" 2>&1 &
    pids=($!)
    "${bench[@]}" -c 2 -R 20 -f "$LOGS/orders.sql" shop >"$LOGS/pgbench-orders.log" 2>&1 &
    pids+=($!)
    CHILDREN+=("${pids[@]}")
    while [ $SECONDS -lt $until ]; do
        round=$((round + 1))
        # Sorts more than fits, now and then.
        application -c 'SELECT count(*) FROM (SELECT bid, abalance, filler FROM pgbench_accounts ORDER BY abalance, filler) x' >/dev/null || return 1
        [ $((round % 3)) != 0 ] || PGDATABASE=postgres sql -c CHECKPOINT || return 1
        sleep 1
    done
    wait "${pids[@]}" 2>/dev/null || true
}

wait_until_up() {
    for _ in $(seq 120); do
        if PGDATABASE=postgres sql -At -c 'SELECT 1' >/dev/null 2>&1; then return 0; fi
        sleep 0.5
    done
    die "the server did not come back after the crash" "its log: $LOGINTEL_PGDATA/log"
}

fault_crash() {
    local pid
    application -c 'SELECT pg_sleep(120)' >/dev/null 2>&1 &
    CHILDREN+=($!)
    for _ in $(seq 50); do
        pid=$(value "SELECT pid FROM pg_stat_activity WHERE query = 'SELECT pg_sleep(120)' AND state = 'active' AND usename = 'shop' LIMIT 1")
        [ -z "$pid" ] || break
        sleep 0.1
    done
    [ -n "$pid" ] || die "the session that was to be killed did not start"
    kill -9 "$pid"
    remark "backend $pid killed with SIGKILL: the server drops every session and recovers from its WAL"
    wait_until_up
    remark "it is up again"
}
fault_logins() {
    for _ in $(seq 40); do
        PGPASSWORD=guess psql -X -U accounting -d shop -c 'SELECT 1' >/dev/null 2>&1 </dev/null && die "a wrong password was accepted"
    done
    remark "40 logins as accounting with a wrong password"
}
fault_dropped_table() {
    must -d shop -c 'DROP TABLE orders'
    for _ in $(seq 60); do printf 'SELECT item, amount FROM orders WHERE id = %d;\n' "$((RANDOM % 1000 + 1))"; done |
        application >/dev/null 2>&1 || true
    remark "table orders dropped, and asked for 60 times by an application that does not know it yet"
}

demo_server() {
    STEPS=9
    prepare \
        "logging_collector = on" "log_destination = 'csvlog'" "log_directory = 'log'" "log_rotation_size = 1MB" \
        "log_filename = 'postgresql-%Y-%m-%d_%H%M%S.log'" "log_timezone = 'UTC'" \
        "log_connections = on" "log_disconnections = on" "log_checkpoints = on" "log_lock_waits = on" "deadlock_timeout = 5ms" \
        "log_temp_files = 0" "log_autovacuum_min_duration = 0" "autovacuum_naptime = 5s" \
        "log_min_duration_sample = 0" "log_statement_sample_rate = 0.2" "checkpoint_timeout = 30s" \
        "logintel.interval = '2s'" "logintel.databases = 'logs'" "logintel.follow_server_log = on" \
        "logintel.enabled = off" # Nothing is judged before it is known what is ordinary.

    step "ordinary traffic for $SECONDS_OF_TRAFFIC seconds (pgbench), logged by this server, which follows its own log"
    printf '%s\n' '\set id random(1, 1000)' 'SELECT item, amount FROM orders WHERE id = :id;' >"$LOGS/orders.sql"
    # One role may come in over the socket as it is, the other only with a password.
    as_server sed -i '1i local all accounting scram-sha-256' "$LOGINTEL_PGDATA/pg_hba.conf"
    PGDATABASE=postgres must -c 'CREATE ROLE shop LOGIN' -c "CREATE ROLE accounting LOGIN PASSWORD 'not guessed'" \
        -c 'ALTER ROLE shop SET work_mem = 64' -c 'CREATE DATABASE shop OWNER shop' -c 'SELECT pg_reload_conf()' >/dev/null
    quietly "pgbench -i" "$LOGS/pgbench-init.log" pgbench -i -q -U shop shop
    must -d shop -c 'SET ROLE shop' -c "CREATE TABLE orders AS SELECT id, 'item ' || id AS item, id % 100 AS amount FROM generate_series(1, 1000) id" \
        -c 'ALTER TABLE orders ADD PRIMARY KEY (id)'
    traffic "$SECONDS_OF_TRAFFIC" || die "the traffic broke off" "logs: $LOGS"
    follow
    remark "$(value 'SELECT count(*) FROM logintel.server_log') lines so far in table logintel.server_log"

    step "its detector, server_log, is trained on all of them (by itself it was, once there were 1,000)"
    trained server_log
    must -c 'ALTER DATABASE logs SET logintel.enabled = on'

    step "ten more seconds of ordinary traffic, judged as it is logged"
    local before trained_at="(SELECT max(trained_at) FROM logintel.models)"
    before=$(value 'SELECT count(*) FROM logintel.server_log')
    traffic 10 || die "the traffic broke off" "logs: $LOGS"
    follow
    remark "$(($(value 'SELECT count(*) FROM logintel.server_log') - before)) lines, $(value "SELECT count(*) FROM logintel.anomalies WHERE detector = 'server_log' AND recorded_at > $trained_at") flagged"

    step "three real faults"
    fault_crash
    fault_logins
    fault_dropped_table
    follow
    prove_complete

    step "the background worker makes incidents of what was flagged"
    wait_for_incidents server_log

    step "what it found"
    show_incidents server_log
    write_report server_log
    FINISHED=1
    farewell server_log
}

# --- a log file of the user's --------------------------------------------------------------------------------------

demo_file() {
    STEPS=9
    prepare "logintel.interval = '2s'" "logintel.databases = 'logs'"

    step "the lines of $FILE are read"
    local reader=(cat) rows half
    case $FILE in *.gz) reader=(gzip -dc) ;; esac
    must -f "$ROOT/tools/demo-lines.sql"
    # Bytes that are no UTF-8, NULs and line ends of Windows are dropped; \1 and \2 cannot be in a line then, so that no line
    # is taken apart; a line `\.` alone would end the COPY.
    "${reader[@]}" "$FILE" | { iconv -c -f UTF-8 -t UTF-8 || true; } | LC_ALL=C tr -d '\000\001\002\r' |
        LC_ALL=C awk -f "$ROOT/tools/demo-records.awk" | sed -e '/^[[:space:]]*$/d' -e 's/^\\\.$/\\ ./' >"$LOGS/lines.txt"
    rows=$(awk 'END { print NR }' "$LOGS/lines.txt")
    [ "$rows" -ge 20 ] || die "$FILE has $rows lines: too few to learn from"
    watched "SELECT format('%s of $rows lines copied', tuples_processed) FROM pg_stat_progress_copy WHERE relid = 'raw_line'::regclass" \
        must -c "\\copy raw_line (line) FROM '$LOGS/lines.txt' WITH (FORMAT csv, DELIMITER E'\\x02', QUOTE E'\\x01')"
    rm -f "$LOGS/lines.txt"
    in_parts 1 "$rows" 'INSERT INTO parsed SELECT r.id, p.* FROM raw_line r, LATERAL parse_line(r.line) p WHERE r.id'
    must -f "$ROOT/tools/demo-parsed.sql"
    half=$((rows / 2))
    remark "$(value "SELECT format('%s lines, %s to %s, with a level: %s, with a component: %s',
                                   count(*), min(ts), max(ts), count(level), count(component)) FROM parsed")"
    if [ "$(value 'SELECT bool_and(ts = to_timestamp(id)) FROM parsed')" = t ]; then
        remark "no usual time format (ISO 8601, syslog, csvlog, Apache, log4j) was found: line numbers stand for seconds"
    fi

    step "a detector is trained on the first half, $half lines"
    must -c "INSERT INTO app_log SELECT * FROM parsed WHERE id <= $half"
    must -c "SELECT logintel.create_detector('app', 'app_log', message => 'message', ts => 'ts', level => 'level', component => 'component')" >/dev/null
    trained app

    local live=$((half + (rows - half) / 2))
    step "the third quarter, $((live - half)) lines, is there already: score_history judges it"
    must -c "INSERT INTO app_log SELECT * FROM parsed WHERE id BETWEEN $half + 1 AND $live"
    watched "$(progress_of score_history)" \
        must -c "SELECT logintel.score_history('app', since => (SELECT ts FROM parsed WHERE id = $half + 1))" >/dev/null
    remark "$(value "SELECT count(*) || ' flagged' FROM logintel.anomalies WHERE detector = 'app'")"

    step "the table is watched, and the last quarter is inserted"
    must -c "SELECT logintel.watch('app')" >/dev/null
    in_parts $((live + 1)) "$rows" 'INSERT INTO app_log SELECT * FROM parsed WHERE id' \
        "SELECT count(*) || ' flagged' FROM logintel.anomalies WHERE detector = 'app'"

    step "the background worker makes incidents of what was flagged"
    wait_for_incidents app

    step "what it found"
    show_incidents app
    write_report app
    FINISHED=1
    farewell app
}

# --- incidents -----------------------------------------------------------------------------------------------------

# Until the worker has looked at everything: it has found this database, there are incidents, and they no longer grow. Nothing
# flagged is an answer, too.
wait_for_incidents() {
    local until=$((SECONDS + DEADLINE)) state last='' calm=0
    while [ "$(value 'SELECT count(views_refreshed_at) FROM logintel.maintenance')" = 0 ]; do
        [ $SECONDS -lt $until ] || die "the background worker has not come within $DEADLINE s" "its log: $LOGINTEL_PGDATA"
        sleep 1
    done
    if [ "$(value "SELECT count(*) FROM logintel.anomalies WHERE detector = '$1'")" = 0 ]; then
        remark "nothing was flagged"
        return 0
    fi
    while [ $SECONDS -lt $until ]; do
        state=$(value "SELECT count(*), coalesce(sum(event_count), 0), max(updated_at) FROM logintel.incidents WHERE detector = '$1'")
        if [ "${state%%|*}" != 0 ] && [ "$state" = "$last" ]; then calm=$((calm + 1)); else calm=0; fi
        [ $calm -lt 4 ] || break
        last=$state
        sleep 1
    done
    if [ "${state%%|*}" = 0 ]; then
        # Too few anomalies in any one window make no incident; with as many as three the worker owes us one, unless apart.
        remark "no incident within $DEADLINE s: the $(value "SELECT count(*) FROM logintel.anomalies WHERE detector = '$1'") anomalies did not come together, or the worker does not run"
        [ "$(value "SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'logintel%'")" != 0 ] || die "the background worker is not running" "its log: $LOGINTEL_PGDATA"
        [ "$1" != server_log ] || die "three faults, and no incident"
    else
        remark "$(value "SELECT format('incidents: %s, events in them: %s', count(*), sum(event_count)) FROM logintel.incidents WHERE detector = '$1'")"
    fi
}

show_incidents() {
    local id
    for id in $(value "SELECT incident_id FROM logintel.incidents WHERE detector = '$1' AND NOT is_suppressed ORDER BY severity_score DESC, start_time LIMIT 10"); do
        say ""
        value "SELECT format(E'%s  %s – %s  %s events\n      %s', rpad(severity, 6), to_char(start_time, 'YYYY-MM-DD HH24:MI:SS'),
                             to_char(end_time, 'HH24:MI:SS'), event_count, title)
               FROM logintel.incidents WHERE incident_id = $id"
        value "SELECT format('      %s  %s× %s %s', to_char(min(ts), 'HH24:MI:SS'), lpad(count(*)::text, 4), rpad(max(reason), 22),
                             left(regexp_replace(min(message), '\\s+', ' ', 'g'), 100))
               FROM logintel.anomalies WHERE incident_id = $id
               GROUP BY split_part(reason, '=', 1), template ORDER BY min(ts), min(anomaly_id) LIMIT 30"
        value "SELECT format('      … and %s more kinds of line', kinds - 30)
               FROM (SELECT count(DISTINCT (split_part(reason, '=', 1), template)) AS kinds FROM logintel.anomalies WHERE incident_id = $id) x WHERE kinds > 30"
    done
    remark "" "$(value "SELECT format('incidents: %s, of them suppressed: %s; anomalies: %s', count(*), count(*) FILTER (WHERE is_suppressed),
                                      (SELECT count(*) FROM logintel.anomalies WHERE detector = '$1')) FROM logintel.incidents WHERE detector = '$1'")"
}

# The report belongs to who runs the demo, not to the server.
write_report() {
    local file=$LOGS/report.html
    value "SELECT logintel.report_html('$1')" >"$file" || die "the report could not be written"
    say "" "All of it on one page, for a browser: $file"
}

farewell() {
    local detector=$1
    say "" "The server goes on. To look around:" \
        "  $LOGINTEL_PGBIN/psql -h $PGHOST -p $PGPORT -U postgres logs" \
        "    SELECT * FROM logintel.incidents ORDER BY severity_score DESC;" \
        "    SELECT * FROM logintel.anomaly_explain('$detector', (SELECT message FROM logintel.anomalies LIMIT 1));"
    say "To stop it and delete its files:  make demo-stop"
}

# -------------------------------------------------------------------------------------------------------------------

case $ACTION in
    start)
        if [ -n "$FILE" ]; then
            if [ ! -f "$FILE" ] || [ ! -r "$FILE" ]; then die "DATA=$FILE is no file that can be read"; fi
            FILE=$(cd "$(dirname "$FILE")" && pwd)/$(basename "$FILE")
        fi
        mkdir -p "$LOGS"
        trap at_end EXIT
        trap 'exit 130' INT TERM
        if [ -n "$FILE" ]; then demo_file; else demo_server; fi
        ;;
    stop)
        if [ -d "$(cluster new-dir demo)" ]; then
            ! cluster status demo >/dev/null || cluster stop demo fast
            cluster remove demo
            say "the demo's server is stopped, its files are deleted"
        else
            say "there is no demo server"
        fi
        ;;
    *) die "what is '$ACTION'?" "start [FILE] or stop" ;;
esac
