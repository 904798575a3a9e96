"""`python -m eval [TASK…]` measures and prints one table; all of it together is written to docs/detection.md."""

import sys

from eval import calibration, cost, incidents, lines, sessions, templates
from eval.database import Database
from eval.report import DOCUMENT, document, say, table

TASKS = {
    "templates": templates.measure,
    "lines": lines.measure,
    "sessions": sessions.measure,
    "calibration": calibration.measure,
    "incidents": incidents.measure,
    "cost": cost.measure,
}


def main(names: list[str]) -> int:
    """The exit code."""
    unknown = [name for name in names if name not in TASKS]
    if unknown:
        say(f"error: no task {unknown[0]}\n       there are: {' '.join(TASKS)}")
        return 2
    database = Database()
    tasks = []
    for name in names or TASKS:
        say(f"  {name}")
        tasks.append(TASKS[name](database))
    print(table([row for task in tasks for row in task.rows]))
    if not names:
        DOCUMENT.write_text(document(tasks))
        say(f"\nwritten: {DOCUMENT}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
