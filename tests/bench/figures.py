"""Numbers, each beside its floor, and how a process's time and memory are read."""

from __future__ import annotations

import gc
import os
import statistics
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True, slots=True)
class Figure:
    """One number. ``floor`` is what the same run measured of the bare thing underneath, and ``aim`` what this project
    wants of the number, or of its ratio to the floor when there is one; ``None`` where there is none."""

    name: str
    value: float
    unit: str
    floor: float | None = None
    aim: str = ""

    @property
    def ratio(self) -> float | None:
        return None if not self.floor else self.value / self.floor

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "ratio": self.ratio}

    def __str__(self) -> str:
        floor = "" if self.floor is None else f"{self.floor:.2f}"
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        return f"{self.name:<46}{self.value:>10.2f} {self.unit:<9}{floor:>10}{ratio:>8}  {self.aim}"


HEADER = f"{'':<46}{'value':>10} {'unit':<9}{'floor':>10}{'ratio':>8}  aim"


def p50(times: Sequence[float]) -> float:
    """The median, of seconds, in milliseconds."""
    return statistics.median(times) * 1000


def p95(times: Sequence[float]) -> float:
    """The 95th percentile, of seconds, in milliseconds."""
    return (statistics.quantiles(times, n=20)[18] if len(times) > 1 else times[0]) * 1000


def processor_time(pid: int) -> float:
    """Seconds of processor time, user and system, that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def own_memory() -> float:
    """MiB this process holds in memory, after a collection of garbage."""
    gc.collect()
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * _PAGE / 2**20


def own_age() -> float:
    """Seconds since this process was started, before Python was."""
    fields = Path("/proc/self/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return time.clock_gettime(time.CLOCK_BOOTTIME) - int(fields[19]) / _TICKS


def print_figures(figures: Iterable[Figure]) -> None:
    print(HEADER)  # noqa: T201 - a report is what this prints
    for figure in figures:
        print(figure)  # noqa: T201
