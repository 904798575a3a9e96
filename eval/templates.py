"""Templates: are lines of one event, and only those, together?"""

import numpy as np

from eval import logs
from eval.database import Database
from eval.figures import grouping
from eval.report import Row, Task

MINE = """SELECT template
FROM (SELECT id, logintel.log_template(message) OVER () AS template FROM lines) AS mined ORDER BY id"""


def measure(database: Database) -> Task:
    """Grouping on the eight systems, by one set of defaults."""
    task = Task("Templates")
    found = {}
    for system in logs.SYSTEMS:
        lines = list(logs.loghub(system))
        database.load("lines", lines)
        templates = [template for (template,) in database.rows(MINE)]
        found[system] = grouping(templates, [line.label for line in lines])
    accuracy, f1 = (
        float(np.mean(figure)) for figure in zip(*found.values(), strict=True)
    )
    published = "Drain 0.865, Brain 0.983 (16 systems, hand-made settings for each)"
    task.rows += [
        Row(
            what=f"{what}, mean",
            data="loghub_2k, 8 systems",
            figure=f"**{value:.3f}**",
            target=f"≥ {target:.2f}",
            reached=value >= target,
            beside=beside,
        )
        for what, value, target, beside in (
            ("grouping accuracy", accuracy, 0.95, published),
            ("F1 of grouping accuracy", f1, 0.90, ""),
        )
    ]
    task.rows += [
        Row(what="grouping accuracy, F1 of it", data=system, figure=f"{one:.3f}, {other:.3f}")
        for system, (one, other) in found.items()
    ]
    return task
