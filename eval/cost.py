"""What templates and judgements cost."""

import time

import numpy as np

from drain3 import TemplateMiner
from drain3.template_miner_config import TemplateMinerConfig

from eval import logs
from eval.database import LEARNT_ALONE, Database
from eval.report import Row, Task, say

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
    ours, theirs = [], []
    for run in range(RUNS):
        ours.append(
            _seconds(
                database,
                "SELECT count(t) FROM (SELECT logintel.log_template(message) OVER () AS t FROM lines) AS mined",
            )
        )
        theirs.append(_drain(messages))
        say(f"      {run + 1}/{RUNS}  {name}: {ours[-1]:.3f} s, drain3 {theirs[-1]:.3f} s")
    ratio = float(np.median(theirs) / np.median(ours))
    task.rows.append(
        Row(
            what=f"templates of {len(messages):,} lines beside drain3 0.9.11, one core",
            data=name,
            figure=f"**{ratio:.1f}×** ({len(messages) / np.median(ours):,.0f} lines/s in SQL, "
            f"drain3 {len(messages) / np.median(theirs):,.0f})",
            target="≥ 10×",
            reached=ratio >= 10,
        )
    )


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
