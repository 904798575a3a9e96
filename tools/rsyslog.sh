#!/usr/bin/env bash
# rsyslog with its module for PostgreSQL, for the test that lets it write into a table.
#
#   tools/rsyslog.sh get            finds it, or unpacks the distribution's packages below target/; fails where neither can be
#   tools/rsyslog.sh find           whether it is there; exit code 0 or 3
#   tools/rsyslog.sh exec ARG…      rsyslogd with these arguments
#
# Packages are unpacked and never installed: installed, they would start a service that reads the system's log, ask for a
# database of their own, and take the place of another syslog daemon. No root is needed.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

TREE=$ROOT/target/tools/rsyslog
CONFIG=$TREE.conf

# found: the program and the folders of its modules; ours come before the system's, which may lack the one for PostgreSQL.
found() {
    local folder
    for program in "$TREE/usr/sbin/rsyslogd" /usr/sbin/rsyslogd ''; do [ -x "$program" ] && break; done
    modules=
    for folder in "$TREE"/usr/lib/*/rsyslog /usr/lib/*/rsyslog /usr/lib*/rsyslog; do
        [ ! -d "$folder" ] || modules+=${modules:+:}$folder
    done
    [ -n "$program" ] && [ -n "$modules" ]
}

# become ARG…: that program in our place, with the libraries that were unpacked with it.
become() {
    local folder
    for folder in "$TREE"/usr/lib/*-linux-*; do export LD_LIBRARY_PATH=$folder${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}; done
    exec "$program" -M "$modules" "$@"
}

# works: it is there, and loads the modules that are needed.
works() {
    found || return 1
    mkdir -p "$(dirname "$CONFIG")"
    printf 'module(load="imuxsock" SysSock.Use="off")\nmodule(load="ompgsql")\naction(type="ompgsql" server="x" db="x" uid="x" pwd="x")\n' >"$CONFIG"
    (become -N1 -f "$CONFIG") >/dev/null 2>&1
}

unpack() {
    local packages package
    command -v apt-get >/dev/null && command -v dpkg-deb >/dev/null || return 1
    # What an installation would bring: what is there already is not named.
    mapfile -t packages < <(apt-get -s install --no-install-recommends rsyslog rsyslog-pgsql 2>/dev/null | sed -nE 's/^Inst ([^ ]+).*/\1/p')
    [ ${#packages[@]} -gt 0 ] || return 1
    rm -rf "$TREE" && mkdir -p "$TREE/packages"
    (cd "$TREE/packages" && apt-get download "${packages[@]}") >"$CONFIG.log" 2>&1 || return 1
    for package in "$TREE"/packages/*.deb; do dpkg-deb -x "$package" "$TREE"; done
    rm -rf "$TREE/packages"
}

case ${1:-} in
    get) works || { unpack && works; } ;;
    find) works || exit 3 ;;
    exec)
        shift
        found || die "rsyslog with ompgsql is missing" "tools/rsyslog.sh get"
        become "$@"
        ;;
    *) sed -n '2,/^source/{/^source/!s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}" >&2 && exit 2 ;;
esac
