#!/usr/bin/env bash
# Builds target/deb/postgresql-NN-logintel_VERSION_ARCH.deb from a release: for the PostgreSQL that PG or PG_CONFIG names, which must be
# the distribution's or PGDG's, for a package installs where these have their folders.
#
#   tools/deb.sh          the package; its path is the last line
#   tools/deb.sh check    installs it with dpkg into a copy of PostgreSQL, uses the extension in a server of that copy, and removes it again
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v dpkg-deb >/dev/null || die "dpkg-deb is missing" "Packages of Debian are made on Debian and what descends from it."
export SYSTEM_ONLY=1
"$ROOT/tools/setup.sh" >&2
use_rust
pg_config=$(source_pg_config)
major=$(pg_major_of "$pg_config")
[ "$("$pg_config" --pkglibdir)" = "/usr/lib/postgresql/$major/lib" ] ||
    die "$pg_config is not the PostgreSQL $major of Debian or PGDG" "Set PG, or PG_CONFIG, to one whose folders are those of Debian's packages."

version=$(sed -nE 's/^version = "([^"]+)"/\1/p' "$ROOT/Cargo.toml" | head -n 1)
arch=$(dpkg --print-architecture)
name=postgresql-$major-logintel
out=$ROOT/target/deb
tree=$out/$name
package=$out/${name}_${version}-1_$arch.deb

# remapped: the flags with which the compilers (pgrx brings some C) write no folder of this machine into the library. Rust's are for this
# target alone: so they are joined with those that cargo-pgrx gives, and RUSTFLAGS would take their place. Flags are parted by blanks: with
# one in a folder there are none.
remapped() {
    local home=${CARGO_HOME:-$HOME/.cargo}
    [[ $ROOT$home != *' '* ]] || return 0
    printf '%s\n' "CFLAGS=${CFLAGS:-} -fmacro-prefix-map=$ROOT=/logintel"
    printf '%s=%s\n' "CARGO_TARGET_$(rustc -vV | sed -n 's/^host: //p' | tr 'a-z-' 'A-Z_')_RUSTFLAGS" \
        "--remap-path-prefix=$home=/cargo --remap-path-prefix=$ROOT=/logintel"
}

# copyright: the licence, and those of what is compiled in.
copyright() {
    cat "$ROOT/LICENSE"
    printf '\nThe library holds code of these packages of crates.io, each under its own licence:\n\n'
    (cd "$ROOT" && cargo tree --locked -p logintel --no-default-features --features "pg$major" -e normal,no-proc-macro --prefix none --no-dedupe --format '{p}|{l}') |
        grep -v '^logintel' | sed -E 's/ \(proc-macro\)//' | LC_ALL=C sort -u | awk -F'|' '{ printf "  %-32s %s\n", $1, $2 }'
}

build() {
    local flags=()
    mapfile -t flags < <(remapped)
    rm -rf "$tree" && mkdir -p "$tree/DEBIAN" "$tree/usr/share/doc/$name"
    quietly "the release build" "$out/build.log" env "${flags[@]}" cargo pgrx package -p logintel --no-default-features --features "pg$major" --pg-config "$pg_config" --out-dir "$tree"
    strip --strip-unneeded "$tree/usr/lib/postgresql/$major/lib/logintel.so"
    copyright >"$tree/usr/share/doc/$name/copyright"
    chmod 644 "$tree/usr/share/doc/$name/copyright"
    gzip -9n <"$ROOT/CHANGELOG.md" >"$tree/usr/share/doc/$name/changelog.gz"
    # The C library that the build machine has, or a newer one: symbols are named with the version that brought them.
    glibc=$(objdump -T "$tree/usr/lib/postgresql/$major/lib/logintel.so" | grep -oE 'GLIBC_[0-9.]+' | sort -Vu | tail -n 1)
    cat >"$tree/DEBIAN/control" <<EOF
Package: $name
Version: $version-1
Architecture: $arch
Section: database
Priority: optional
Maintainer: logintel developers <logintel@example.org>
Depends: postgresql-$major, libc6 (>= ${glibc#GLIBC_}), libgcc-s1
Installed-Size: $(du -ks "$tree/usr" | cut -f1)
Description: log anomaly detection inside PostgreSQL $major
 Learns from the logs in tables what is ordinary, judges every new line as it is
 inserted, says why, and groups what is strange into incidents. For the background
 worker add logintel to shared_preload_libraries; CREATE EXTENSION logintel does the rest.
EOF
    (cd "$tree" && find usr -type f -print0 | LC_ALL=C sort -z | xargs -0 md5sum) >"$tree/DEBIAN/md5sums"
    find "$tree" -type d -exec chmod 755 {} +
    chmod 644 "$tree"/DEBIAN/*
    quietly "dpkg-deb" "$out/dpkg.log" dpkg-deb --root-owner-group --build "$tree" "$package"
}

# check: dpkg itself puts it into a copy of PostgreSQL, with a database of packages of its own, where what it depends on is taken for
# granted. A server of that copy uses what the package brought. Then dpkg takes it away again.
check() {
    local root use file left
    rm -rf "$(state_dir)/pgsql/$major-deb"
    use=$(mirror "$pg_config" deb)
    root=$(state_dir)/pgsql/$major-deb
    [ "$use" != "$pg_config" ] || die "the package cannot be tried: the programs of $pg_config do not run from another folder"
    mkdir -p "$root/var/lib/dpkg/updates" "$root/var/lib/dpkg/info" "$root/var/lib/dpkg/triggers"
    touch "$root/var/lib/dpkg/status" "$root/var/lib/dpkg/available"
    local dpkg=(dpkg --root="$root" --force-not-root --force-depends --force-bad-path --log="$out/dpkg.log")
    quietly "dpkg --install" "$out/install.log" "${dpkg[@]}" --install "$package"
    for file in "usr/lib/postgresql/$major/lib/logintel.so" "usr/share/postgresql/$major/extension/logintel.control" \
        "usr/share/postgresql/$major/extension/logintel--$version.sql" "usr/share/doc/$name/copyright"; do
        [ -s "$root/$file" ] || die "the package lacks $file"
    done
    grep -qE '^  pgrx v[0-9.]+ +MIT$' "$root/usr/share/doc/$name/copyright" || die "copyright does not name what is compiled in"
    if grep -qaF -e "$ROOT/" -e "${CARGO_HOME:-$HOME/.cargo}/" "$root/usr/lib/postgresql/$major/lib/logintel.so"; then
        die "the library names folders of this machine"
    fi
    [ -z "$("${dpkg[@]}" --verify "$name")" ] || die "what is installed is not what was packed"
    PG_CONFIG=$use try
    quietly "dpkg --purge" "$out/remove.log" "${dpkg[@]}" --purge "$name"
    left=$(find "$root/usr" -name '*logintel*' | head -n 3)
    [ -z "$left" ] || die "the package leaves files behind: $left"
    for file in "$use" "$root/usr/share/postgresql/$major/extension/plpgsql.control"; do
        [ -e "$file" ] || die "with the package $file went, too"
    done
    rm -rf "$root"
}

# try: the extension, preloaded, learns and finds an error; its version is the package's.
try() {
    local said cluster=("$ROOT/tools/cluster.sh")
    export PG_CONFIG
    "${cluster[@]}" remove deb
    trap '"$ROOT/tools/cluster.sh" remove deb' EXIT
    quietly "a server with the package's extension" "$out/server.log" "${cluster[@]}" start deb
    said=$("${cluster[@]}" psql deb -qAt -v ON_ERROR_STOP=1 <<'SQL'
CREATE EXTENSION logintel;
INSERT INTO logintel.logs (ts, level, message) SELECT now() - n * interval '1 minute', 'INFO', 'user ' || n || ' logged in' FROM generate_series(1, 300) AS n;
SELECT logintel.train('logs') \g /dev/null
SELECT extversion || ' ' || (logintel.ingest('here', 'ERROR', 'disk', 'no space left') ->> 'reason') || ' ' || (logintel.detect('logs', 'user 7 logged in')).is_anomaly
FROM pg_extension WHERE extname = 'logintel';
DROP EXTENSION logintel CASCADE;
SQL
    ) || die "the package's extension does not work" "log: $out/server.log"
    [ "$said" = "$version ERROR_level false" ] || die "the package's extension answers: $said"
    "${cluster[@]}" remove deb
    trap - EXIT
}

build
[ "${1:-}" != check ] || check
printf '%s\n' "$package"
