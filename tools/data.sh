#!/usr/bin/env bash
# Fetches real logs that tests read, from their public homes, into target/data (or the folder given). Nothing of it belongs
# to the project: each home's licence holds (loghub: free for research and academic work, cite Zhu et al., ISSRE 2023).
#
#   tools/data.sh [DIR]
#
# What is fetched is held against the checksums of what the tests were written with, and said when it differs.
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

DATA=${1:-$ROOT/target/data}
LOGHUB=https://github.com/logpai/loghub/raw/master
SEED=https://github.com/Yousician-01/ML-Log-Anomaly-Detection-Incident-Discovery/raw/main/data/processed
command -v curl >/dev/null || die "curl is missing" "apt-get install curl"
mkdir -p "$DATA"/{loghub_2k,seed}

# fetch URL FILE: a file is there whole or not at all.
fetch() {
    [ ! -s "$2" ] || return 0
    say "  $2"
    curl -fsSL --retry 3 -o "$2.part" "$1" || die "cannot fetch $1"
    mv "$2.part" "$2"
}

say "loghub: 2,000 lines of each of eight systems"
fetch "$LOGHUB/LICENSE" "$DATA/loghub_2k/LICENSE"
for system in Android Apache BGL HDFS Hadoop Linux OpenSSH Zookeeper; do
    for suffix in .log .log_structured.csv .log_templates.csv; do
        fetch "$LOGHUB/$system/${system}_2k$suffix" "$DATA/loghub_2k/${system}_2k$suffix"
    done
done

say "the seed: its lines with the clusters it published, its incidents before and after suppression"
if [ ! -s "$DATA/seed/final_incidents.json" ]; then
    command -v python3 >/dev/null || die "python3 is missing: the seed publishes parquet files, which it converts"
    for table in logs_with_clusters incidents final_incidents; do fetch "$SEED/$table.parquet" "$DATA/seed/$table.parquet"; done
    python3 -m venv "$ROOT/target/parquet"
    quietly "pip install" "$ROOT/target/setup/parquet.log" "$ROOT/target/parquet/bin/pip" install --disable-pip-version-check pandas pyarrow
    "$ROOT/target/parquet/bin/python" - "$DATA/seed" <<'PYTHON'
import sys
import pandas

folder = sys.argv[1]
pandas.read_parquet(f"{folder}/logs_with_clusters.parquet").to_csv(f"{folder}/logs_with_clusters.csv", index=False)
for table in "incidents", "final_incidents":
    pandas.read_parquet(f"{folder}/{table}.parquet").to_json(
        f"{folder}/{table}.json", orient="records", date_format="iso", indent=1
    )
PYTHON
    rm -f "$DATA"/seed/*.parquet
fi

if (cd "$DATA" && sha256sum --quiet -c "$ROOT/tools/data.sha256") >&2; then
    say "all as the tests know it"
else
    say "note: the files named above differ from those that the tests were written with; a test that fails on them may be right"
fi

cat >&2 <<EOT

In $DATA. Bigger logs, which some tests and benchmarks read, are not fetched; each is made from a public one:
  hdfs_2pct    whole HDFS sessions: HDFS_v1 of loghub (doi.org/10.5281/zenodo.1144100), by way of github.com/EvoTestOps/LogLead
  bgl_100k     the first 100,000 lines of loghub's BGL, from the same address
  linux        loghub's Linux, whole, from the same address
  trainticket  github.com/IntelligentDDS/Nezha (MIT): logs, and the faults that were injected
EOT
