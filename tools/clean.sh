#!/usr/bin/env bash
# Removes what was built and the private clusters, which are stopped first.
#
#   tools/clean.sh        keeps the tools that setup.sh installed below target/, and fetched data
#   tools/clean.sh all    removes these too
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -d "$ROOT/target" ] || exit 0
state=$(state_dir)
for cluster in "$state"/clusters/*/; do
    [ -d "$cluster" ] && "$ROOT/tools/cluster.sh" remove "${cluster%/}"
done
rm -rf "$state"
if [ "${1:-}" = all ]; then
    rm -rf "$ROOT/target"
else
    find "$ROOT/target" -mindepth 1 -maxdepth 1 ! -name tools ! -name data ! -name oracle -exec rm -rf {} +
fi
