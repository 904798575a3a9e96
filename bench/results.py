"""What a part has measured, kept as JSON so that a part can be measured again without the others."""

import json
from dataclasses import asdict, dataclass, field
from statistics import median
from typing import Any

from bench.measure import Seconds
from bench.paths import Places
from bench.sizes import Sizes


@dataclass(frozen=True)
class Target:
    """What a figure should be: at least, or at most, that much."""

    bound: float
    at_least: bool = True

    def reached(self, value: float) -> bool:
        """Whether a figure is as it should be."""
        return value >= self.bound if self.at_least else value <= self.bound


@dataclass
class Row:
    """One comparison: a figure, what it was computed from, and its target."""

    work: str
    against: str
    value: float
    # "×" for a ratio of medians, "GiB", or "" for a power.
    unit: str = "×"
    target: Target | None = None
    seconds: Seconds = field(default_factory=dict)
    # The most memory of each side in bytes.
    memory: dict[str, int | None] = field(default_factory=dict)
    note: str = ""
    chart: str = ""


@dataclass
class Check:
    """Whether both sides have done the same work."""

    what: str
    holds: bool
    found: str


@dataclass
class Curve:
    """Seconds by size: what grows, and how fast."""

    name: str
    axis: str
    seconds: dict[str, list[float]]
    power: float

    @property
    def points(self) -> list[tuple[int, float]]:
        """(size, median)."""
        return [(int(size), median(runs)) for size, runs in self.seconds.items()]


@dataclass
class Part:
    """All that one part of the bench has found."""

    rows: list[Row] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    curves: list[Curve] = field(default_factory=list)
    facts: list[str] = field(default_factory=list)
    measured: str = ""
    machine: dict[str, str] = field(default_factory=dict)


def ratio(seconds: Seconds, slower: str, faster: str) -> float:
    """How many times the median of one side is that of the other."""
    return median(seconds[slower]) / median(seconds[faster])


def load(places: Places, sizes: Sizes) -> dict[str, Part]:
    """Parts measured before, at the same sizes."""
    if not places.results.exists():
        return {}
    saved = json.loads(places.results.read_text())
    if saved["sizes"] != asdict(sizes):
        return {}
    return {name: _part(part) for name, part in saved["parts"].items()}


def save(places: Places, sizes: Sizes, parts: dict[str, Part]) -> None:
    """Keeps all parts."""
    places.saved.mkdir(parents=True, exist_ok=True)
    saved = {
        "sizes": asdict(sizes),
        "parts": {name: asdict(part) for name, part in parts.items()},
    }
    places.results.write_text(json.dumps(saved, indent=1) + "\n")


def _part(saved: dict[str, Any]) -> Part:
    part = Part(**saved)
    part.rows = [
        Row(**{**row, "target": row["target"] and Target(**row["target"])})
        for row in saved["rows"]
    ]
    part.checks = [Check(**check) for check in saved["checks"]]
    part.curves = [Curve(**curve) for curve in saved["curves"]]
    return part
