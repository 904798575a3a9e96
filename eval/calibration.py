"""What was asked for against what came: the share of ordinary rows that is flagged, on every set."""

from collections.abc import Iterator

import numpy as np

from eval import logs
from eval.database import LEARNT_ALONE, Database
from eval.report import Row, Task, say

# The default false alarm rate is 1 %.
LEAST, MOST = 0.003, 0.02


def measure(database: Database) -> Task:
    """Halves at random, and halves split by time."""
    task = Task("Calibration")
    for name, lines in _sets():
        database.load("lines", lines)
        ordinary = np.array(
            [at for at, line in enumerate(lines, 1) if line.label != "anomalous"]
        )
        shuffled = np.random.default_rng(0).permutation(ordinary)
        for how, order in (("at random", shuffled), ("by time", ordinary)):
            task.rows.append(_halves(database, name, how, order))
    return task


def _halves(database: Database, name: str, how: str, order: np.ndarray) -> Row:
    half = len(order) // 2
    database.train_on("lines", sorted(order[:half].tolist()), LEARNT_ALONE)
    found = database.verdicts("lines", sorted(order[half:].tolist()))
    share = float(found.flagged.mean())
    unseen = np.mean(
        [
            flagged and reason.startswith("unseen")
            for flagged, reason in zip(found.flagged, found.reasons, strict=True)
        ]
    )
    say(f"      {name} {how}: {share:.4f}")
    at_random = how == "at random"
    return Row(
        what=f"asked for 1 %, halves {how}",
        data=name,
        figure=f"**{share:.2%}** flagged, {unseen:.2%} for what was never seen",
        target=f"{LEAST:.1%}–{MOST:.0%}" if at_random else "reported",
        reached=LEAST <= share <= MOST if at_random else None,
        beside="the seed's rule: 100 %",
    )


def _sets() -> Iterator[tuple[str, list[logs.Line]]]:
    yield "bgl_100k", list(logs.bgl())
    yield "hdfs_2pct", list(logs.hdfs())
    yield "linux", list(logs.linux())
    yield "trainticket", list(logs.trainticket())
    for system in logs.SYSTEMS:
        yield f"loghub_2k {system}", list(logs.loghub(system))
