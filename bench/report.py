"""Writes docs/benchmarks.md and its charts from what was measured."""

from statistics import median

from bench import charts, live
from bench.paths import Places
from bench.results import Check, Part, Row
from bench.sizes import Sizes

HOW = """\
- The lines are the whole lines of eight systems of loghub_2k, taken in turn and over and over; every digit of every
  cycle is a fresh random one (seeded), so that each run of digits keeps its length and lines repeat as real logs do.
- logintel's time is the server's: `Execution Time` of `EXPLAIN (ANALYZE, TIMING OFF)`. Tables are vacuumed, analysed and
  prewarmed; parallel workers and JIT are what the planner chooses with the settings above. Clustering runs in one
  thread (`logintel.max_parallel_threads` = 1, the default), as scikit-learn does by default, and again in two.
- scikit-learn works on what it has in memory already; neither reading rows nor handing back labels is counted. Its
  matrices are sparse, so that no threads of a BLAS take part. wc reads a file in memory; the start of its process counts.
- Both sides take turns, {runs} runs each; figures are medians, in brackets the fastest and the slowest run. A ratio is one of medians.
- Memory is the most that a call takes beyond what its processes held before: for logintel private memory of all
  the server's processes, without shared buffers and without the temporary files of rows beyond work_mem, sampled in a
  session and a run of its own; for scikit-learn the peak of its process.
- Vectors to be clustered are those of unmasked lines with the default options of `tfidf_fit`, for masked lines do not have
  as many distinct ones: the first distinct vectors in the order of lines, zero left out. scikit-learn
  gets the same float4 values as float64. Where there are more rows than distinct vectors, each occurs once and the other
  rows are drawn by Zipf's law (the r-th vector 1/r times as often as the first), shuffled.
- `min_points` (`min_samples`) is 5, `min_cluster_size` 5.
- Scoring on the way in: the tables are logged, fsync and synchronous_commit are on; each has an identity primary key and an index on
  its time. Before each run the table is emptied and a checkpoint made. COPY's time is the client's, which holds the rows in memory; so is that
  of an INSERT, by pgbench on the same machine, each client sending {statements} different prepared statements at random to each table. One client
  turns to all tables at random, {mixed} seconds a run, for the disk's time for a flush drifts by more than scoring takes; eight turn to one table
  for {apart} seconds, {more} times as many runs as else (their time: clients by transactions a second). The first score of a connection is the client's time of the statement, after `SELECT 1` on the same connection, for
  a log of messages of {words} words each, drawn by Zipf's law.
- Growth is the power p in time ~ sizeᵖ, fitted to the medians; up to 1.1 counts as linear. A table of n lines is embedded with
  the model that was fitted on it.
"""


def write(sizes: Sizes, places: Places, parts: dict[str, Part]) -> str:
    """Writes the report and its charts; the part of it that is worth printing."""
    rows = [
        row
        for name, part in parts.items()
        if name not in ("growth", "live")
        for row in part.rows
    ]
    growth = parts["growth"] if "growth" in parts else Part()
    on_the_way_in = parts["live"].rows if "live" in parts else []
    checks = [check for part in parts.values() for check in part.checks]
    figures = _figures(rows, growth.rows, on_the_way_in, checks)
    names = charts.draw(places.charts, rows, growth.curves)
    pictures = [f"![{title}](benchmarks/{name})" for name, title in names.items()]
    facts = [f"- {fact}" for part in parts.values() for fact in part.facts]
    sections = [
        "# Benchmarks",
        "Written by `make bench`, which measures logintel beside scikit-learn on one machine: to measure again, run it.",
        f"{sizes.lines:,} lines, {sizes.distinct:,} and {sizes.more_distinct:,} distinct vectors, {sizes.runs} runs.",
        figures,
        *pictures,
        "## Same work",
        "What was compared has given the same answer:",
        _table(
            ["what", "holds", "found"],
            [[c.what, "yes" if c.holds else "**no**", c.found] for c in checks],
        ),
        "## Machine",
        _machine(parts),
        "## How it is measured",
        "\n".join([_how(sizes), *facts]),
    ]
    places.documents.mkdir(parents=True, exist_ok=True)
    places.report.write_text(
        "\n\n".join(section for section in sections if section) + "\n"
    )
    return figures


def _how(sizes: Sizes) -> str:
    return HOW.format(
        runs=sizes.runs,
        statements=live.STATEMENTS,
        mixed=live.MIXED_SECONDS,
        apart=live.PGBENCH_SECONDS,
        more=live.MORE_RUNS,
        words=live.WORDS_OF_A_MESSAGE,
    ).strip()


def _figures(
    rows: list[Row],
    growth: list[Row],
    on_the_way_in: list[Row],
    checks: list[Check],
) -> str:
    with_target = [row for row in [*rows, *growth, *on_the_way_in] if row.target]
    reached = sum(row.target.reached(row.value) for row in with_target if row.target)
    held = sum(check.holds for check in checks)
    sections = [
        f"{reached} of {len(with_target)} targets reached; {held} of {len(checks)} checks of equal answers hold.",
        "## Figures" if rows else "",
        _table(
            [
                "work",
                "against",
                "figure",
                "target",
                "",
                "logintel",
                "the other",
                "memory",
                "its memory",
            ],
            [_figure(row) for row in rows],
        ),
        *[f"{row.work}, {row.against}: {row.note}" for row in rows if row.note],
        "## Growth" if growth else "",
        _table(
            ["time of", "power", "target", "", "medians"],
            [
                [row.work, _value(row), _target(row), _verdict(row), row.note]
                for row in growth
            ],
        ),
        "## Scoring on the way in" if on_the_way_in else "",
        _table(
            ["work", "against", "figure", "target", "", "logintel", "the other"],
            [_figure(row)[:-2] for row in on_the_way_in],
        ),
        *[f"{row.work}: {row.note}" for row in on_the_way_in if row.note],
    ]
    return "\n\n".join(section for section in sections if section)


def _figure(row: Row) -> list[str]:
    other = next((side for side in row.seconds if side != "logintel"), "")
    return [
        row.work,
        row.against,
        f"**{_value(row)}**",
        _target(row),
        _verdict(row),
        _runs(row.seconds.get("logintel", [])),
        _runs(row.seconds.get(other, [])),
        _bytes(row.memory.get("logintel")),
        _bytes(row.memory.get(other)),
    ]


def _value(row: Row) -> str:
    digits = (
        f"{row.value:.2f}"
        if row.value < 10
        else f"{row.value:.1f}"
        if row.value < 100
        else f"{row.value:,.0f}"
    )
    return f"{digits}{'' if row.unit in ('', '×') else ' '}{row.unit}"


def _target(row: Row) -> str:
    if row.target is None:
        return ""
    unit = "" if row.unit in ("", "×") else " "
    return f"{'≥' if row.target.at_least else '≤'} {row.target.bound:g}{unit}{row.unit}"


def _verdict(row: Row) -> str:
    if row.target is None:
        return ""
    return "reached" if row.target.reached(row.value) else "not reached"


def _runs(seconds: list[float]) -> str:
    if not seconds:
        return ""
    middle = median(seconds)
    scale, unit = (
        (1, "s") if middle >= 1 else (1e3, "ms") if middle >= 1e-3 else (1e6, "µs")
    )
    shown = [
        f"{value * scale:#.3g}".rstrip(".")
        for value in (middle, min(seconds), max(seconds))
    ]
    shown = [f"{float(value):,.0f}" if "e" in value else value for value in shown]
    return f"{shown[0]} {unit} ({shown[1]}–{shown[2]})"


def _bytes(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / 2**30:.2f} GiB" if size >= 2**30 else f"{size / 2**20:.0f} MiB"


def _machine(parts: dict[str, Part]) -> str:
    """One table, or one for each part where parts were measured on different machines or builds."""
    alike: dict[str, list[str]] = {}
    for name, part in parts.items():
        facts = {
            key: value for key, value in part.machine.items() if key != "load before"
        }
        alike.setdefault(repr(facts), []).append(name)
    tables = []
    for names in alike.values():
        machine = dict(parts[names[0]].machine)
        machine.pop("load before", None)
        runs = [
            f"{name} {parts[name].measured} (load before: {parts[name].machine['load before']})"
            for name in names
        ]
        machine["measured"] = ", ".join(runs)
        tables.append(
            _table(["", ""], [[key, value] for key, value in machine.items()])
        )
    return "\n\n".join(tables)


def _table(head: list[str], rows: list[list[str]]) -> str:
    if not rows:
        return ""
    lines = [
        head,
        ["---"] * len(head),
        *([cell.replace("|", "\\|") for cell in row] for row in rows),
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
