"""How much is measured."""

import os
from dataclasses import asdict, dataclass

from bench.paths import BENCH, DOCS, TRY, Places


@dataclass(frozen=True)
class Sizes:
    """Sizes of one bench; smaller ones, from the environment, are for trying the bench itself."""

    lines: int = 1_000_000
    distinct: int = 20_000
    runs: int = 5

    @staticmethod
    def of_environment() -> "Sizes":
        """BENCH_LINES, BENCH_DISTINCT and BENCH_RUNS where they are set."""
        given = {
            name: os.environ.get(f"BENCH_{name.upper()}") for name in asdict(Sizes())
        }
        return Sizes(**{name: int(value) for name, value in given.items() if value})

    @property
    def more_distinct(self) -> int:
        """Distinct vectors among as many rows as there are lines."""
        return self.distinct * 5 // 2

    @property
    def places(self) -> Places:
        """Where results and report go: into the documents only what was measured in full."""
        return Places(BENCH, DOCS) if self == Sizes() else Places(TRY, TRY)
