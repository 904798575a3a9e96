"""Log lines: those of loghub_2k over and over, every digit a fresh one, so that they repeat as real logs do."""

import os
from itertools import islice
from pathlib import Path

import numpy as np

SEED = 20_260_101
_ZERO, _NINE = ord("0"), ord("9")


def _whole_lines(path: Path) -> list[bytes]:
    lines = (line.rstrip(b"\r") for line in path.read_bytes().split(b"\n"))
    return [line for line in lines if line.strip()]


def real_lines() -> list[bytes]:
    """Lines of all systems in turn, so that any stretch of them holds every system."""
    folder = Path(os.environ.get("LOGINTEL_DATA", "")) / "loghub_2k"
    systems = [_whole_lines(path) for path in sorted(folder.glob("*_2k.log"))]
    if not os.environ.get("LOGINTEL_DATA") or not systems:
        raise SystemExit(
            "error: no loghub_2k/*_2k.log below LOGINTEL_DATA; `make data` fetches them"
        )
    return [line for turn in zip(*systems, strict=True) for line in turn]


def _fresh_digits(text: bytes, rng: np.random.Generator) -> bytes:
    letters = np.frombuffer(text, dtype=np.uint8).copy()
    digits = (letters >= _ZERO) & (letters <= _NINE)
    letters[digits] = rng.integers(
        _ZERO, _NINE + 1, size=np.count_nonzero(digits), dtype=np.uint8
    )
    return letters.tobytes()


def make_lines(count: int) -> list[str]:
    """`count` lines, the same ones at every call."""
    text = b"\n".join(real_lines())
    rng = np.random.default_rng(SEED)

    def cycles():
        while True:
            yield from _fresh_digits(text, rng).split(b"\n")

    return [line.decode(errors="replace") for line in islice(cycles(), count)]
