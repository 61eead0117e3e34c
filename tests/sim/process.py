"""One process of the simulated world, which may end at any step it takes."""

from __future__ import annotations

from collections.abc import Callable

DEAD = "the process is dead"
"""What its tasks are told until they are gone."""


class Process:
    """Whoever takes a step asks first whether the process still lives.

    A step is whatever the world outside notices: a statement, a commit, a byte written, an onion dialled. `doom` lets
    the process end at one of them, as a power cut would: what was not committed is gone, and whatever its tasks still
    do before they are cancelled reaches neither disk nor network.
    """

    def __init__(self) -> None:
        self.alive = True
        self.falls_silent = False
        """Whether those it talks to hear nothing of its death: a machine that lost its power tells nobody."""
        self._steps_left: int | None = None
        self._on_death: list[Callable[[], None]] = []

    def on_death(self, callback: Callable[[], None]) -> None:
        """Call this at the moment of death."""
        self._on_death.append(callback)

    def doom(self, steps: int) -> None:
        """Die at the last of so many further steps."""
        self._steps_left = steps

    def step(self) -> bool:
        """Take a step; whether the process is alive after it."""
        if self._steps_left is not None and self.alive:
            self._steps_left -= 1
            if self._steps_left <= 0:
                self.die()
        return self.alive

    def die(self) -> None:
        """Now."""
        if not self.alive:
            return
        self.alive = False
        for callback in self._on_death:
            callback()
