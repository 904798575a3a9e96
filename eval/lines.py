"""Single lines: BGL."""

import numpy as np

from eval import logs
from eval.database import LEARNT_ALONE, Database
from eval.figures import Detection, f1_of, mean_and_spread
from eval.oov import OutOfVocabulary
from eval.report import Row, Task, say

SEEDS = 10


def measure(database: Database) -> Task:
    """Trained on a few ordinary lines, and on the first fifth as it is."""
    task = Task("Lines")
    lines = list(logs.bgl())
    database.load("bgl", lines)
    messages = [line.message for line in lines]
    truth = np.array([line.label == "anomalous" for line in lines])
    _one_per_cent(database, messages, truth, task)
    _first_fifth(database, messages, truth, task)
    return task


def _one_per_cent(
    database: Database, messages: list[str], truth: np.ndarray, task: Task
) -> None:
    options = {**LEARNT_ALONE, "false_alarm_rate": 0.001}
    ours, plain = [], []
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        ordinary = np.flatnonzero(~truth)
        chosen = rng.choice(ordinary, size=len(ordinary) // 100, replace=False)
        database.train_on("bgl", (chosen + 1).tolist(), options)
        found = database.verdicts("bgl", range(1, len(messages) + 1))
        ours.append(Detection.of(found.truth, found.flagged, found.scores))
        baseline = OutOfVocabulary([messages[at] for at in chosen], 0.001)
        plain.append(
            Detection.of(truth, baseline.flagged(messages), baseline.scores(messages))
        )
        say(f"      {seed}: F1 {ours[-1].f1:.4f}, words never seen {plain[-1].f1:.4f}")
    task.rows.append(
        Row(
            what="lines, trained on a random 1 % of the ordinary ones, asked for 0.1 %",
            data="bgl_100k",
            figure=f1_of(ours),
            target="F1 ≥ 0.95",
            reached=mean_and_spread([one.f1 for one in ours])[0] >= 0.95,
            beside="new events 0.988 (on all of BGL); plain Drain + unseen template 0.87",
            plain=f1_of(plain),
        )
    )


def _first_fifth(
    database: Database, messages: list[str], truth: np.ndarray, task: Task
) -> None:
    cut = len(messages) // 5
    database.train_on("bgl", range(1, cut + 1), LEARNT_ALONE)
    found = database.verdicts("bgl", range(cut + 1, len(messages) + 1))
    ours = Detection.of(found.truth, found.flagged, found.scores)
    baseline = OutOfVocabulary(messages[:cut], 0.01)
    rest = messages[cut:]
    plain = Detection.of(truth[cut:], baseline.flagged(rest), baseline.scores(rest))
    task.rows.append(
        Row(
            what="lines, trained on the first 20 % by time, as they are",
            data="bgl_100k",
            figure=f1_of([ours]),
            target="the best that is reached",
            beside="plain Drain + unseen template F1 0.18",
            plain=f1_of([plain]),
        )
    )
