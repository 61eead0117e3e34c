"""What must not be skipped on our own side of a link: it waits until the database and the observer have it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from chattor_bridge.errors import NotFound, PeerMisbehaved
from chattor_bridge.node.ending import LinkEnded
from chattor_bridge.node.patience import describe
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble

T = TypeVar("T")


class Insist:
    """Does one link's work again until it does not fail. Only that link waits, and `status` says why."""

    def __init__(self, around: Surroundings, trouble: Trouble) -> None:
        self._around = around
        self._trouble = trouble

    async def __call__(self, work: Callable[[], Awaitable[T]]) -> T:
        """What ``work`` returns. Raises: PeerMisbehaved, LinkEnded, NotFound; nothing else comes through."""
        result = await self._around.insist(
            work, on_failure=self._held_up, give_up=(PeerMisbehaved, LinkEnded, NotFound)
        )
        if self._trouble.failures:
            self._trouble.well()
        return result

    def _held_up(self, error: Exception, delay: float) -> None:
        self._trouble.failed(describe(error), self._around.clock.monotonic() + delay)
