"""What does scoring cost the INSERT, and how long does the first score of a connection take?"""

import os
import re
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import cycle, islice
from pathlib import Path
from statistics import median

import numpy as np
import psycopg

from bench.lines import SEED
from bench.measure import Run, Seconds, interleave, say
from bench.results import Check, Part, Row, Target, ratio
from bench.seed_service import SeedService
from bench.server import Server
from bench.sizes import Sizes
from eval import logs
from eval.logs import Line

TABLE = """(id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, ts timestamptz NOT NULL, level text, component text,
            message text)"""
INTO = "(ts, level, component, message)"
TABLES = ("bare", "empty", "empty_row", "watched", "by_row", "gin")
# Lines that the detectors are trained on, as a share of those that are copied.
TRAINED = 0.2
BEGIN = datetime(2026, 1, 1, tzinfo=UTC)
STEP = timedelta(milliseconds=10)
# Bytes that the client hands over at a time.
BLOCK = 1 << 16

# Statements of pgbench for each table, each with a line of its own; pgbench takes no more than 128 in all.
STATEMENTS = 24
# How long a run of pgbench takes that turns to all tables, and one that turns to a single one, of which there are more.
MIXED_SECONDS = 10
PGBENCH_SECONDS = 2
MORE_RUNS = 3

# (terms, limit in ms)
COLD = ((10_000, 10), (100_000, 50))
WORDS_OF_A_MESSAGE = 7
COLD_LINE = ("a line that training never saw", "INFO", "generated")

ONE_BY_ONE = 5_000


def measure(server: Server, sizes: Sizes) -> Part:
    """Everything about lines on their way in."""
    part = Part()
    lines = _lines()
    count = sizes.lines // 2
    _make_tables(server, lines[: int(count * TRAINED)])
    _copy(server, sizes, lines, count, part)
    _inserts(server, sizes, lines, part)
    for terms, limit in COLD:
        _cold_start(server, sizes, terms, limit, part)
    _one_by_one(server, lines[: min(ONE_BY_ONE, count)], part)
    for table in TABLES:
        server.run(f"DROP TABLE {table}")
    return part


def _lines() -> list[Line]:
    """The lines of two systems, mixed, so that any stretch of them holds both; each once."""
    lines = [*logs.hdfs(), *logs.bgl()]
    order = np.random.default_rng(SEED).permutation(len(lines))
    return [lines[at] for at in order]


def _make_tables(server: Server, history: list[Line]) -> None:
    say("    tables and detectors")
    for table in TABLES:
        server.run(f"DROP TABLE IF EXISTS {table}")
        server.run(f"CREATE TABLE {table} {TABLE}")
        server.run(f"CREATE INDEX ON {table} (ts)")
    server.run(
        """CREATE OR REPLACE FUNCTION nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
           CREATE TRIGGER nothing AFTER INSERT ON empty REFERENCING NEW TABLE AS new_rows
               FOR EACH STATEMENT EXECUTE FUNCTION nothing();
           CREATE TRIGGER nothing AFTER INSERT ON empty_row FOR EACH ROW EXECUTE FUNCTION nothing();
           CREATE INDEX ON gin USING gin (to_tsvector('english', message))"""
    )
    for table, mode in (("watched", "statement"), ("by_row", "row")):
        _copy_into(server, table, list(_blocks(history)))
        server.run("SELECT logintel.create_detector(%s, %s::regclass)", table, table)
        server.run("SELECT logintel.train(%s)", table)
        server.run("SELECT logintel.watch(%s, %s)", table, mode)


def _blocks(lines: list[Line], count: int | None = None) -> Iterator[bytes]:
    """What COPY reads: so many lines, over and over, ten milliseconds apart."""
    block = bytearray()
    for number, line in enumerate(islice(cycle(lines), count or len(lines))):
        fields = ((BEGIN + STEP * number).isoformat(), line.level, line.component, line.message)
        block += "\t".join(map(_escaped, fields)).encode() + b"\n"
        if len(block) >= BLOCK:
            yield bytes(block)
            block.clear()
    yield bytes(block)


def _escaped(text: str | None) -> str:
    if text is None:
        return "\\N"
    return text.replace("\\", "\\\\").replace("\t", "\\t").replace("\n", "\\n").replace("\r", "\\r")


def _copy_into(server: Server, table: str, blocks: list[bytes]) -> float:
    begun = time.perf_counter()
    with server.connection.cursor() as cursor, cursor.copy(f"COPY {table} {INTO} FROM STDIN") as copy:
        for block in blocks:
            copy.write(block)
    return time.perf_counter() - begun


def _emptied(server: Server, table: str) -> None:
    """A table without rows, nothing recorded of it, and no checkpoint soon."""
    server.run(f"TRUNCATE {table}")
    server.run("TRUNCATE logintel.anomalies")
    server.run("CHECKPOINT")


def _copy(server: Server, sizes: Sizes, lines: list[Line], count: int, part: Part) -> None:
    say("    COPY")
    blocks = list(_blocks(lines, count))

    def run(table: str) -> Run:
        def copied() -> float:
            _emptied(server, table)
            return _copy_into(server, table, blocks)

        return copied

    sides = {table: run(table) for table in ("bare", "watched", "gin", "empty")}
    seconds = interleave(sizes.runs, sides)
    _emptied(server, "watched")
    _copy_into(server, "watched", blocks)
    flagged = server.value("SELECT count(*) FROM logintel.anomalies WHERE detector = 'watched'")
    severe = server.value("SELECT count(*) FROM watched WHERE level = 'FATAL'")
    part.facts.append(
        f"What is copied are the {len(lines):,} lines of hdfs_2pct and bgl_100k, mixed and over and over; the detector is trained on "
        f"{int(count * TRAINED):,} of them. It flags {flagged:,} of the {count:,}, {severe:,} of them for their level."
    )
    part.checks.append(
        Check("lines of level FATAL are flagged", flagged >= severe > 0, f"{flagged:,} flagged, {severe:,} FATAL")
    )
    work = f"`COPY` of {count:,} lines into a watched table"
    part.rows += [
        Row(
            work=f"{work}, time as a multiple of the other's",
            against="the table without logintel",
            value=ratio(seconds, "watched", "bare"),
            target=Target(1.5, at_least=False),
            seconds=_pair(seconds, "watched", "bare"),
        ),
        Row(
            work=f"{work}, time added as a share of what the other adds",
            against="GIN index on `to_tsvector('english', message)`",
            value=100 * _added(seconds, "watched") / _added(seconds, "gin"),
            unit="%",
            target=Target(50, at_least=False),
            seconds=_pair(seconds, "watched", "gin"),
            note=f"It adds {_added(seconds, 'watched') / count * 1e6:.2f} µs to each line, of which an empty trigger with a "
            f"transition table takes {_added(seconds, 'empty') / count * 1e6:.2f} µs; the index adds "
            f"{_added(seconds, 'gin') / count * 1e6:.2f} µs.",
        ),
    ]


def _added(seconds: Seconds, side: str) -> float:
    return median(seconds[side]) - median(seconds["bare"])


def _pair(seconds: Seconds, ours: str, theirs: str) -> Seconds:
    return {"logintel": seconds[ours], "the other": seconds[theirs]}


def _inserts(server: Server, sizes: Sizes, lines: list[Line], part: Part) -> None:
    """Single-row INSERTs as prepared statements, by pgbench."""
    # (what it is, clients, synchronous_commit, whether it has a target)
    loads = (
        ("1 client", 1, "on", True),
        ("8 clients", 8, "on", True),
        ("1 client, synchronous_commit off", 1, "off", False),
    )
    # (table, what it is, share of the bare table's transactions in %)
    sides = (
        ("watched", "statement trigger", 85),
        ("by_row", "row trigger", 90),
        ("empty", "an empty PL/pgSQL statement trigger, for comparison", None),
        ("empty_row", "an empty PL/pgSQL row trigger, for comparison", None),
    )
    with tempfile.TemporaryDirectory() as folder:
        # What is flagged costs a row of its own, and is rare.
        ordinary = [line for line in lines if line.level == "INFO"][:STATEMENTS]
        scripts = {
            table: _scripts(Path(folder), table, ordinary) for table in TABLES if table != "gin"
        }
        for load, clients, synchronous, counts in loads:
            say(f"    INSERT, {load}")
            # The disk's time for a flush drifts by more than scoring takes. One client turns to the tables at random, so that
            # all meet the same moments; several wait for each other's flushes, so that each table needs runs of its own.
            work = _mixed if clients == 1 else _apart
            seconds = work(server, sizes, scripts, clients, synchronous)
            for table, what, share in sides:
                gained = _added(seconds, table) * 1e6
                part.rows.append(
                    Row(
                        work=f"single-row `INSERT`s a second, {what}, {load}",
                        against="the table without logintel",
                        value=100 * ratio(seconds, "bare", table),
                        unit="%",
                        target=Target(share) if share and counts else None,
                        seconds=_pair(seconds, table, "bare"),
                        note=f"Each INSERT takes {gained:.0f} µs more, {clients / median(seconds['bare']):,.0f} and "
                        f"{clients / median(seconds[table]):,.0f} a second.",
                    )
                )


Scripts = dict[str, list[str]]


def _mixed(server: Server, sizes: Sizes, scripts: Scripts, clients: int, synchronous: str) -> Seconds:
    """Mean seconds of an INSERT into each table, where each goes to one of them at random."""
    together = [option for options in scripts.values() for option in options]
    seconds: Seconds = {table: [] for table in scripts}
    for number in range(1, sizes.runs + 1):
        for table in scripts:
            _emptied(server, table)
        printed = _pgbench(together, clients, synchronous, MIXED_SECONDS)
        of_tables = {table: _of_table(table, printed) for table in scripts}
        told = sum(float(np.dot(*of_table)) for of_table in of_tables.values())
        # Of shorter statements than these pgbench does not tell the whole time.
        if abs(told / (clients * MIXED_SECONDS) - 1) > 0.05:
            raise SystemExit(f"error: pgbench tells what it did in {told:.3g} s of {MIXED_SECONDS}")
        for table, (counts, means) in of_tables.items():
            took = float(np.average(means, weights=counts))
            seconds[table].append(took)
            say(f"      {number}/{sizes.runs}  {table}: {took:.6g} s")
    return seconds


def _of_table(table: str, printed: str) -> tuple[list[float], list[float]]:
    """Of each script of a table what pgbench prints: transactions, and their mean seconds."""
    of_scripts = re.findall(
        rf"/{table}-\d+\.sql\n(?: - .*\n)*? - (\d+) transactions .*\n(?: - .*\n)*? - latency average = ([\d.]+) ms",
        printed,
    )
    return [float(count) for count, _ in of_scripts], [float(mean) / 1000 for _, mean in of_scripts]


def _apart(server: Server, sizes: Sizes, scripts: Scripts, clients: int, synchronous: str) -> Seconds:
    """Seconds of an INSERT into each table, as its clients see them, in runs that take turns."""

    def run(table: str) -> Run:
        def inserted() -> float:
            _emptied(server, table)
            printed = _pgbench(scripts[table], clients, synchronous, PGBENCH_SECONDS)
            found = re.search(r"^tps = ([\d.]+)", printed, re.MULTILINE)
            if not found:
                raise SystemExit(f"error: pgbench tells no transactions a second: {printed}")
            return clients / float(found[1])

        return inserted

    return interleave(MORE_RUNS * sizes.runs, {table: run(table) for table in scripts})


def _scripts(folder: Path, table: str, lines: list[Line]) -> list[str]:
    """Options of pgbench that name a statement for each line."""
    options = []
    for number, line in enumerate(lines):
        values = ", ".join(_literal(value) for value in (line.level, line.component, line.message))
        script = folder / f"{table}-{number}.sql"
        script.write_text(f"INSERT INTO {table} {INTO} VALUES (clock_timestamp(), {values});\n")
        options += ["-f", str(script)]
    return options


def _literal(text: str | None) -> str:
    """As SQL; pgbench would take what follows a colon for a variable."""
    if text is None:
        return "NULL"
    quoted = text.replace("\\", "\\\\").replace("'", "''").replace(":", "\\x3a")
    return f"E'{quoted}'"


def _pgbench(scripts: list[str], clients: int, synchronous: str, seconds: int) -> str:
    """What pgbench prints of a run."""
    done = subprocess.run(
        [
            str(Path(os.environ["LOGINTEL_PGBIN"]) / "pgbench"),
            *("-n", "-M", "prepared", "-T", str(seconds)),
            *("-c", str(clients), "-j", str(min(clients, 2)), *scripts),
        ],
        env={**os.environ, "PGOPTIONS": f"-c synchronous_commit={synchronous}"},
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"error: pgbench: {done.stderr}")
    return done.stdout


def _cold_start(server: Server, sizes: Sizes, terms: int, limit: int, part: Part) -> None:
    say(f"    first score with {terms:,} terms")
    name = f"terms_{terms}"
    server.run(f"DROP TABLE IF EXISTS {name}")
    server.run(f"CREATE TABLE {name} {TABLE}")
    lines = [Line(BEGIN, text, "INFO", "generated") for text in _messages(terms)]
    _copy_into(server, name, list(_blocks(lines * 2)))
    server.run("SELECT logintel.create_detector(%s, %s::regclass)", name, name)
    server.run("SELECT logintel.train(%s)", name)
    server.run("SELECT logintel.watch(%s)", name)
    found, templates, size = server.rows(
        "SELECT vocabulary_size, templates, artifact_bytes FROM logintel.models WHERE detector = %s", name
    )[0]
    part.checks.append(Check(f"terms of the model of {terms:,}", found >= terms, f"{found:,}"))
    sides = {
        "score": lambda: _first(lambda session: _score(session, name)),
        "insert": lambda: _first(lambda session: _insert(session, name)),
        # Another detector has made the connection ready for all but this model.
        "model": lambda: _first(lambda session: _score(session, name), before=lambda session: _score(session, "watched")),
        "catalogs": lambda: _first(lambda session: _score(session, "watched")),
    }
    seconds = interleave(sizes.runs, sides)
    share = 100 * median(seconds["model"]) / median(seconds["score"])
    part.rows += [
        Row(
            work=f"first `anomaly_score` of a new connection, model of {terms:,} terms",
            against="",
            value=1000 * median(seconds["score"]),
            unit="ms",
            target=Target(limit, at_least=False),
            seconds={"logintel": seconds["score"]},
            note=f"{found:,} terms, {templates:,} templates, {size / 2**20:.1f} MiB. Where the connection has scored with another detector before: "
            f"{1000 * median(seconds['model']):.1f} ms, {share:.0f} %, which is the reading and decoding of the model.",
        ),
        Row(
            work=f"first scored `INSERT` of a new connection, model of {terms:,} terms",
            against="",
            value=1000 * median(seconds["insert"]),
            unit="ms",
            target=Target(limit, at_least=False),
            seconds={"logintel": seconds["insert"]},
        ),
    ]
    server.run("SELECT logintel.drop_detector(%s)", name)
    server.run(f"DROP TABLE {name}")


def _messages(terms: int) -> list[str]:
    """Messages of words drawn by Zipf's law, enough for as many terms: words and pairs of words."""
    rng = np.random.default_rng(SEED)
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz"))
    words = ["".join(rng.choice(letters, size=rng.integers(4, 10))) for _ in range(terms // 10)]
    weights = 1 / np.arange(1, len(words) + 1)
    weights /= weights.sum()
    messages: list[str] = []
    found: set[str] = set()
    while len(found) < terms * 1.01:
        chosen = [words[at] for at in rng.choice(len(words), size=WORDS_OF_A_MESSAGE, p=weights)]
        found.update(chosen, map(" ".join, zip(chosen, chosen[1:])))
        messages.append(" ".join(chosen))
    return messages


def _first(work: Callable[[psycopg.Connection], float], before: Callable = lambda session: None) -> float:
    """Seconds of a statement on a connection that has done nothing else yet than `before`."""
    with psycopg.connect(autocommit=True) as session:
        session.execute("SELECT 1")
        before(session)
        return work(session)


def _score(session: psycopg.Connection, detector: str) -> float:
    begun = time.perf_counter()
    session.execute("SELECT logintel.anomaly_score(%s, %s, %s, %s)", (detector, *COLD_LINE))
    return time.perf_counter() - begun


def _insert(session: psycopg.Connection, table: str) -> float:
    text, level, component = COLD_LINE
    with session.transaction():
        begun = time.perf_counter()
        session.execute(
            f"INSERT INTO {table} {INTO} VALUES (now(), %s, %s, %s)", (level, component, text)
        )
        took = time.perf_counter() - begun
    return took


def _one_by_one(server: Server, lines: list[Line], part: Part) -> None:
    say(f"    {len(lines):,} lines one by one, beside the prototype's service")
    with tempfile.TemporaryDirectory() as folder:
        service = SeedService(Path(folder) / "live_logs.parquet")
        sides = {
            "logintel": lambda: _insert_each(server, lines),
            "the other": lambda: _timed(lambda: [service.ingest(line) for line in lines]),
        }
        seconds = interleave(1, sides)
    part.rows.append(
        Row(
            work=f"{len(lines):,} lines one by one, each an `INSERT` of its own into the watched table, flushed to disk",
            against="the prototype's service, which rewrites a Parquet file for each line",
            value=ratio(seconds, "the other", "logintel"),
            seconds=seconds,
            note="One run; the service's time for a line grows with the lines before it.",
        )
    )


def _insert_each(server: Server, lines: list[Line]) -> float:
    _emptied(server, "watched")

    def insert() -> None:
        for line in lines:
            server.connection.execute(
                f"INSERT INTO watched {INTO} VALUES (%s, %s, %s, %s)",
                (line.ts, line.level, line.component, line.message),
                prepare=True,
            )

    return _timed(insert)


def _timed(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun
