"""Threads for what takes a core for a while: the work of knocks, made and checked.

They are its own, because the threads that everything else shares also carry what must not wait, tor's control port
above all: a few doors that ask for the most work a knock may cost would occupy those for minutes.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Final, TypeVar

T = TypeVar("T")

MAKERS: Final = 2
"""Threads in which stamps and proofs of our own knocks are found: one door that asks for much does not hold up the
knock at another, and two cores are what a small machine can spare at most. The others wait for their turn."""

CHECKERS: Final = 1
"""Threads in which others' proofs are checked: a few milliseconds each, and four a second for each node."""


class Labour:
    """The work of knocks of all nodes of a process."""

    def __init__(self) -> None:
        self._makers = ThreadPoolExecutor(MAKERS, "knock-making")
        self._checkers = ThreadPoolExecutor(CHECKERS, "knock-checking")

    async def make(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises: something of our own, which may take most of a minute."""
        return await asyncio.get_running_loop().run_in_executor(self._makers, work)

    async def check(self, work: Callable[[], T]) -> T:
        """What ``work`` returns or raises: something of a stranger's, which takes milliseconds."""
        return await asyncio.get_running_loop().run_in_executor(self._checkers, work)

    def stop(self) -> None:
        """Begin nothing any more."""
        for threads in (self._makers, self._checkers):
            threads.shutdown(wait=False, cancel_futures=True)
