"""The labelled logs, as rows of one shape."""

import csv
import gzip
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

SYSTEMS = (
    "Android",
    "Apache",
    "BGL",
    "HDFS",
    "Hadoop",
    "Linux",
    "OpenSSH",
    "Zookeeper",
)
# What a table of log lines holds here; `label` is for measuring alone and no detector is told of it.
COLUMNS = "id int, ts timestamptz, source text, level text, component text, session text, message text, label text"


@dataclass(frozen=True)
class Line:
    """A log line, and what is known of it."""

    ts: datetime
    message: str
    level: str | None = None
    component: str | None = None
    source: str | None = None
    session: str | None = None
    label: str | None = None

    def row(self, number: int) -> tuple:
        """The line as a row of COLUMNS."""
        return (
            number,
            self.ts,
            self.source,
            self.level,
            self.component,
            self.session,
            self.message,
            self.label,
        )


def folder() -> Path:
    """The folder of the data sets."""
    given = os.environ.get("LOGINTEL_DATA")
    if not given or not Path(given).is_dir():
        raise SystemExit(
            "error: LOGINTEL_DATA names no folder; `make data` fetches the logs"
        )
    return Path(given)


def bgl() -> Iterator[Line]:
    """Blue Gene/L: the first field is `-` for an ordinary line, else the kind of alert."""
    with gzip.open(
        folder() / "bgl_100k" / "BGL_100k.log.gz", "rt", errors="replace"
    ) as file:
        for line in file:
            label, _, _, node, time, _, kind, component, level, *message = line.rstrip(
                "\n"
            ).split(" ", 9)
            yield Line(
                ts=datetime.strptime(time, "%Y-%m-%d-%H.%M.%S.%f").replace(tzinfo=UTC),
                source=node,
                component=f"{kind} {component}",
                level=level,
                message=message[0] if message else "",
                label="anomalous" if label != "-" else "ordinary",
            )


def hdfs() -> Iterator[Line]:
    """HDFS: a session is a block, and the label is the block's."""
    with open(folder() / "hdfs_2pct" / "labels.csv", newline="") as file:
        anomalous = {
            row["block_id"] for row in csv.DictReader(file) if row["anomaly"] == "1"
        }
    with gzip.open(
        folder() / "hdfs_2pct" / "events.csv.gz", "rt", newline=""
    ) as file:
        for row in csv.DictReader(file):
            yield Line(
                ts=datetime.fromisoformat(row["timestamp"]).replace(tzinfo=UTC),
                component=row["component"],
                level=row["level"],
                session=row["block_id"],
                message=row["message"],
                label="anomalous" if row["block_id"] in anomalous else "ordinary",
            )


SYSLOG = re.compile(
    r"(\w{3}) +(\d+) (\d\d):(\d\d):(\d\d) (\S+) ([^:\[ ]+(?: [\d.]+)?)(?:\[(\d+)\])?:? (.*)"
)
MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split()


def linux() -> Iterator[Line]:
    """A syslog of 264 days from June on; its times have no year."""
    year, last = 2005, None
    with gzip.open(folder() / "linux" / "Linux.log.gz", "rt", errors="replace") as file:
        for line in file:
            found = SYSLOG.match(line.rstrip("\n"))
            if not found:
                continue
            month, day, hour, minute, second, host, program, _, message = found.groups()
            month = MONTHS.index(month) + 1
            if last is not None and last - month > 6:
                year += 1
            last = month
            yield Line(
                ts=datetime(
                    year, month, int(day), int(hour), int(minute), int(second), tzinfo=UTC
                ),
                source=host,
                component=program,
                message=message,
            )


def trainticket() -> Iterator[Line]:
    """Train Ticket: services under load; its faults stand in a file of their own."""
    csv.field_size_limit(1 << 24)
    with gzip.open(folder() / "trainticket" / "logs.csv.gz", "rt", newline="") as file:
        for row in csv.DictReader(file):
            yield Line(
                ts=datetime.fromisoformat(row["ts"][:26].rstrip("Z") + "+00:00"),
                component=row["service"],
                level=row["level"],
                source=row["logger"],
                session=row["trace_id"] or None,
                message=row["message"],
            )


def faults() -> list[tuple[datetime, str, str]]:
    """When which service of Train Ticket was given a fault of which kind."""
    with open(folder() / "trainticket" / "faults.csv", newline="") as file:
        return [
            (
                datetime.fromisoformat(row["injected_at"].replace("Z", "+00:00")),
                row["service"],
                row["kind"],
            )
            for row in csv.DictReader(file)
        ]


def loghub(system: str) -> Iterator[Line]:
    """2,000 lines of a system; the label is the EventId of its template. A second apart, for the files name times in as
    many ways as there are systems."""
    path = folder() / "loghub_2k" / f"{system}_2k.log_structured.csv"
    start = datetime(2026, 1, 1, tzinfo=UTC)
    with open(path, newline="", encoding="utf-8", errors="replace") as file:
        for number, row in enumerate(csv.DictReader(file)):
            yield Line(
                ts=start + timedelta(seconds=number),
                # The Linux file's column of this name holds the host.
                level=row.get("Level") if system != "Linux" else None,
                component=row.get("Component"),
                message=row["Content"],
                label=row["EventId"],
            )
