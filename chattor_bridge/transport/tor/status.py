"""What a person is told about tor."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class TorState(StrEnum):
    """Where a tor stands."""

    STOPPED = "stopped"
    STARTING = "starting"  # the process is being started, or does not answer yet
    CONNECTING = "connecting"  # it runs, and is finding its way into the network
    READY = "ready"
    CUT_OFF = "cut off"  # it was ready, and has lost its network since
    RESTARTING = "restarting"  # it ended; the next start comes after a pause
    ABSENT = "not reachable"  # it is somebody else's, and does not answer; the next try comes after a pause


@dataclass(frozen=True, slots=True)
class TorStatus:
    """``percent`` and ``summary`` are tor's own account of its start; ``problem`` is what is in its way, or ``""``.
    ``restarts`` counts the starts after the first."""

    state: TorState
    version: str = ""
    percent: int = 0
    summary: str = ""
    problem: str = ""
    restarts: int = 0

    def __str__(self) -> str:
        said = f"tor is {self.state}"
        if self.state is TorState.CONNECTING:
            said += f": {self.percent}%, {self.summary}"
        if self.problem:
            said += f" ({self.problem})"
        return said
