"""Interleaved runs, and the memory that they take."""

import ctypes
import gc
import re
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Run = Callable[[], float]
Seconds = dict[str, list[float]]


def say(text: str) -> None:
    """A remark for the person who waits."""
    print(text, file=sys.stderr, flush=True)


def interleave(runs: int, sides: Mapping[str, Run]) -> Seconds:
    """Seconds of each side, which take turns: what slows the machine for a while slows all of them."""
    seconds: Seconds = {name: [] for name in sides}
    for number in range(1, runs + 1):
        for name, run in sides.items():
            gc.collect()
            took = run()
            seconds[name].append(took)
            say(f"      {number}/{runs}  {name}: {took:.6g} s")
    return seconds


class OwnRun:
    """Work of this process as a run, which also keeps the most memory it took and its last result."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.result: Any = None
        self.memory: int | None = None

    def __call__(self) -> float:
        self.result = None
        gc.collect()
        before = _forget_peak()
        begun = time.perf_counter()
        self.result = self.work()
        took = time.perf_counter() - begun
        if before is not None:
            self.memory = max(self.memory or 0, _status("VmHWM") - before)
        return took


def _forget_peak() -> int | None:
    """Bytes that this process holds now, from where its peak is counted anew; None where Linux does not allow that."""
    # Memory that was freed and kept for later would hide what the next run takes.
    ctypes.CDLL(None).malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return None
    return _status("VmRSS")


def _status(field: str, process: str | int = "self") -> int:
    """A size in /proc/PROCESS/status, in bytes."""
    found = re.search(
        rf"^{field}:\s+(\d+) kB$",
        Path(f"/proc/{process}/status").read_text(),
        re.MULTILINE,
    )
    return int(found[1]) * 1024 if found else 0


def private_memory(process: int) -> int:
    """Bytes of a process that it shares with no other and with no file; 0 when it has ended."""
    try:
        return _status("RssAnon", process)
    except OSError:
        return 0


def children(process: int) -> list[int]:
    """Processes that a process has started and that still run."""
    return [
        int(child)
        for child in Path(f"/proc/{process}/task/{process}/children")
        .read_text()
        .split()
    ]


def parent(process: int) -> int:
    """The process that started a process."""
    # The name, in parentheses, may hold spaces.
    return int(Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[1])
