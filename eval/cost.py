"""What templates and judgements cost."""

import os
import re
import subprocess
import tempfile
import time

import numpy as np

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig

from eval import logs
from eval.database import LEARNT_ALONE, Database
from eval.report import Row, Task, say

MINE = "SELECT count(t) FROM (SELECT logintel.log_template(message) OVER () AS t FROM lines) AS mined"
LINES = 100_000
RUNS = 5


def measure(database: Database) -> Task:
    """Templates of 100,000 lines beside drain3, and the judgement of one line."""
    task = Task("Cost")
    mixed = [line for system in logs.SYSTEMS for line in logs.loghub(system)]
    sets = {
        "bgl_100k": list(logs.bgl()),
        "loghub_2k, 8 systems, repeated": (mixed * (LINES // len(mixed) + 1))[:LINES],
    }
    # One core, as drain3 has.
    database.run("SET max_parallel_workers_per_gather = 0; SET jit = off")
    for name, lines in sets.items():
        database.load("lines", lines)
        messages = [line.message for line in lines]
        _templates(database, name, messages, task)
    _judgement(database, task)
    return task


def _templates(database: Database, name: str, messages: list[str], task: Task) -> None:
    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.writelines(message.replace("\n", " ") + "\n" for message in messages)
        file.flush()
        sides = {
            "engine": lambda: _engine(file.name),
            "SQL": lambda: _seconds(database, MINE),
            "drain3": lambda: _drain(messages),
        }
        seconds = {side: [] for side in sides}
        for run in range(RUNS):
            for side, measured in sides.items():
                seconds[side].append(measured())
            last = ", ".join(f"{side} {runs[-1]:.3f} s" for side, runs in seconds.items())
            say(f"      {run + 1}/{RUNS}  {name}: {last}")
    median = {side: float(np.median(runs)) for side, runs in seconds.items()}
    for side, what in (
        ("engine", "lines in memory on both sides"),
        ("SQL", "`log_template` over a table"),
    ):
        ratio = median["drain3"] / median[side]
        task.rows.append(
            Row(
                what=f"templates of {len(messages):,} lines on one core, {what}",
                data=name,
                figure=f"**{ratio:.1f}×** drain3 ({len(messages) / median[side]:,.0f} lines/s, "
                f"drain3 0.9.11 {len(messages) / median['drain3']:,.0f})",
                target="≥ 10×",
                reached=ratio >= 10,
            )
        )


def _engine(file: str) -> float:
    """Masks and templates, from lines in memory."""
    printed = subprocess.run(
        [os.environ["TEMPLATE_TIMING"], file, "1"],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    gathered, mined = re.search(r"([\d.]+) ms gathered, ([\d.]+) ms mined", printed).groups()
    return (float(gathered) + float(mined)) / 1000


def _drain(messages: list[str]) -> float:
    config = TemplateMinerConfig()
    config.profiling_enabled = False
    miner = TemplateMiner(config=config)
    begun = time.perf_counter()
    for message in messages:
        miner.add_log_message(message)
    return time.perf_counter() - begun


def _judgement(database: Database, task: Task) -> None:
    database.load("lines", logs.bgl())
    database.train("lines", LEARNT_ALONE)
    seconds = [
        _seconds(
            database,
            "SELECT count((logintel.detect('eval', message, level, component, source)).is_anomaly) FROM lines",
        )
        for _ in range(RUNS + 1)
    ][1:]
    micros = float(np.median(seconds)) / LINES * 1e6
    task.rows.append(
        Row(
            what="`detect`, warm, for a line",
            data="bgl_100k",
            figure=f"**{micros:.1f} µs**",
            target="≤ 20 µs",
            reached=micros <= 20,
        )
    )


def _seconds(database: Database, query: str) -> float:
    plan = database.value(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {query}")[0]
    return plan["Execution Time"] / 1000
