"""Folders of the bench."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BENCH = ROOT / "target" / "bench"
TRY = BENCH / "try"
DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Places:
    """Where one bench writes: figures to `saved`, report and charts to `documents`."""

    saved: Path
    documents: Path

    @property
    def results(self) -> Path:
        """The figures, from which the report is written."""
        return self.saved / "results.json"

    @property
    def report(self) -> Path:
        """The report."""
        return self.documents / "benchmarks.md"

    @property
    def charts(self) -> Path:
        """The folder of the charts."""
        return self.documents / "benchmarks"
