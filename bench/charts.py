"""Charts for the report, in colours that can be read on a light and on a dark page."""

from pathlib import Path

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

from bench.results import Curve, Row

# As far from white as from black.
INK = "#7a7f87"
FAINT = "#7a7f8750"
COLOURS = ("#2f86d6", "#d9762b", "#2e9e6b", "#a86bd1")

matplotlib.rcParams.update(
    {
        # Text stays text: small files, in a font that the reader has. No dates, no random ids: the same figures give the same file.
        "svg.fonttype": "none",
        "svg.hashsalt": "logintel",
        "font.family": "sans-serif",
        "font.size": 11,
        "text.color": INK,
        "axes.edgecolor": INK,
        "axes.labelcolor": INK,
        "xtick.color": INK,
        "ytick.color": INK,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "legend.frameon": False,
    }
)


def draw(folder: Path, rows: list[Row], curves: list[Curve]) -> dict[str, str]:
    """Draws what there are figures for; the title of each file."""
    folder.mkdir(parents=True, exist_ok=True)
    for stale in folder.glob("*.svg"):
        stale.unlink()
    titles = {}
    bars = [row for row in rows if row.chart and row.unit == "×"]
    if bars:
        _save(_ratios(bars), folder / "ratios.svg")
        titles["ratios.svg"] = (
            "How many times as fast as scikit-learn; a line marks the target"
        )
    for axis, what in (
        ("lines", "lines"),
        ("rows", "rows"),
        ("distinct vectors", "distinct"),
    ):
        chosen = [curve for curve in curves if curve.axis == axis]
        if chosen:
            name = f"growth-{what}.svg"
            _save(_growth(chosen, axis), folder / name)
            titles[name] = f"Time by {axis}, both axes logarithmic"
    return titles


def _save(figure: Figure, path: Path) -> None:
    figure.savefig(
        path,
        transparent=True,
        bbox_inches="tight",
        metadata={"Date": None, "Creator": None},
    )


def _ratios(rows: list[Row]) -> Figure:
    figure = Figure(figsize=(8, 0.42 * len(rows) + 0.9))
    axes = figure.subplots()
    for at, row in enumerate(rows):
        axes.barh(at, row.value, height=0.62, color=COLOURS[0] if row.target else FAINT)
        axes.text(
            1.01,
            at,
            f"{row.value:.3g}×",
            va="center",
            transform=axes.get_yaxis_transform(),
        )
        if row.target:
            axes.plot(
                [row.target.bound] * 2,
                [at - 0.42, at + 0.42],
                color=COLOURS[1],
                linewidth=2.5,
            )
    axes.set_yticks(range(len(rows)), [row.chart for row in rows])
    axes.invert_yaxis()
    axes.set_xscale("log")
    axes.set_xlim(
        left=min(1, *(row.value * 0.8 for row in rows)),
        right=max(max(row.value, row.target.bound if row.target else 0) for row in rows)
        * 1.1,
    )
    axes.set_xlabel("times as fast as the other side (logarithmic); line: target")
    _plain(axes, "x", "{:g}×")
    axes.tick_params(axis="y", length=0)
    return figure


def _growth(curves: list[Curve], axis: str) -> Figure:
    figure = Figure(figsize=(6.4, 3.6))
    axes = figure.subplots()
    for colour, curve in zip(COLOURS, curves, strict=False):
        sizes, seconds = zip(*curve.points, strict=True)
        axes.plot(
            sizes,
            seconds,
            marker="o",
            color=colour,
            label=f"{curve.name}: {axis}^{curve.power:.2f}",
        )
        # What linear growth from the first point would be.
        axes.plot(
            sizes,
            [seconds[0] * size / sizes[0] for size in sizes],
            linestyle=":",
            color=colour,
            linewidth=1,
        )
    sizes = [size for size, _ in curves[0].points]
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axes.xaxis.set_minor_locator(NullLocator())
    _plain(axes, "y", "{:g} s")
    axes.set_xlabel(f"{axis}; dotted: linear")
    axes.grid(axis="y", color=FAINT, linewidth=0.6)
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), borderaxespad=0)
    return figure


def _plain(axes: Axes, axis: str, text: str) -> None:
    """Numbers 1, 2, 5, 10, … on a logarithmic axis in place of powers of ten."""
    chosen = axes.xaxis if axis == "x" else axes.yaxis
    chosen.set_major_locator(LogLocator(subs=(1, 2, 5)))
    chosen.set_major_formatter(FuncFormatter(lambda value, _: text.format(value)))
    chosen.set_minor_locator(NullLocator())
