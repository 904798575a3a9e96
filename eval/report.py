"""Writes docs/detection.md."""

import sys
from dataclasses import dataclass, field
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent / "docs" / "detection.md"

HOW = """\
- Everything goes through SQL: `train`, `detect`, `score_sessions`, `log_template`, as a user would call them. No parameter differs between
  data sets, and nothing is fitted to labels: the threshold is the calibrated one.
- `severity_override` is `never`, so that what is measured is what was learnt, but for incidents; all else is the default, but for
  the false alarm rate where a task names one.
- Sessions that a training did not see are shown to it with times a year later, as if they came after it: by their time
  `score_sessions` tells which sessions training saw.
- Trouble is put into a copy of each log for each kind, 50 times, at random moments at least 20 minutes apart: bursts of 5 to 60 lines two
  seconds apart on average, foreign ones taken from other systems' logs in a row; a template with at least 1 % of the lines at ten
  times its mean rate; the next 5 to 60 lines of a component left out. Each half of the copy is judged by a model of the other
  half of the log as it was, by `score_history` and `run_maintenance`. Found is what has an incident of its own that begins within ten minutes
  of it, or a part of one: trouble of one kind that comes back within an hour or two is one incident, and counts, found or false, each time that it begins
  after ten minutes without. By chance: with the incidents of the untouched log. False
  are incidents that overlap neither an injection nor a labelled anomaly.
- What is not found of rates lies mostly within what these logs do by themselves, which come in bursts and fall silent for hours: a burst is no more
  than the log does elsewhere if the untouched log has as many lines of its template within as long a time, a silence if its component has a longer
  one there. A rate has to break history's record twofold, or false incidents would be many.
- A fault of Train Ticket lasts to the end of its stretch of time; found is one within which an incident begins.
- The ERROR rule alone makes an incident of every two lines of level ERROR or FATAL within ten minutes of each other; what it seems to find
  in logs whose ordinary lines have such levels is found by chance.
- *Words never seen* is the plain baseline: a line is as strange as its share of words that training did not have (words of two
  characters or more that are not all digits), with its threshold at the same quantile of held-back lines,
  or at none where these are too few for it.
- F1 is that of the anomalous class; AUC that of the scores. Where training draws at random, figures are means over ten seeds (five
  for calibration), with the standard deviation.
- Grouping accuracy is the share of lines whose group holds exactly the lines of one event (Zhu et al., ICSE-SEIP 2019), F1 of
  grouping accuracy that of Jiang et al. (ISSTA 2024). The rules of the template miner were made while looking at these eight
  systems: on others, expect less.
- Published figures are those of the projects' own pages and papers, on their own settings; they were not run again here.
  drain3 was.
"""


@dataclass
class Row:
    """One figure, its target, and what others have published."""

    what: str
    data: str
    figure: str
    target: str = ""
    reached: bool | None = None
    beside: str = ""
    plain: str = ""


@dataclass
class Task:
    """Figures of one kind."""

    title: str
    rows: list[Row] = field(default_factory=list)


def say(text: str) -> None:
    """A remark for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def table(rows: list[Row]) -> str:
    """Rows as a Markdown table."""
    lines = [
        "| task | data | logintel | target |  | published beside | words never seen |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        reached = {None: "", True: "reached", False: "**not reached**"}[row.reached]
        cells = [
            row.what, row.data, row.figure, row.target, reached, row.beside, row.plain,
        ]  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def document(tasks: list[Task]) -> str:
    """The whole report."""
    parts = [
        "# Detection",
        "Written by `make eval`, which measures logintel on labelled logs: to measure again, run it.",
    ]
    for task in tasks:
        parts += [f"## {task.title}", table(task.rows)]
    return "\n\n".join([*parts, "## How it is measured", HOW])
