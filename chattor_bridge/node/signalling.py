"""Signals to and from one friend: what the two people see of each other right now. In memory only.

See docs/protocol/link.md, "Signals". Whether our owner wants anything to be said is decided before it gets here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from chattor_bridge.node.ports import Clock
from chattor_bridge.protocol.limits import TYPING_LIFETIME, TYPING_REPEAT
from chattor_bridge.protocol.signals import Here, Presence, Signal, SignalAllowance, Typing, read_signal


class Signalling:
    """What one friend shows of itself, and what was said to it last."""

    def __init__(self, clock: Clock, tell: Callable[[Signal], None]) -> None:
        """``tell`` is called with what the friend shows from now on: when that changes, and when the friend says that
        it still types."""
        self._clock = clock
        self._tell = tell
        self._allowance = SignalAllowance(clock.monotonic())
        self._lapsing: asyncio.Task[None] | None = None
        self._said_typing: float | None = None
        self.typing = False
        self.presence = Here.UNKNOWN

    def heard(self, data: bytes) -> None:
        """The friend has said this; what it may not say so often is passed over unread."""
        if not self._allowance.take(self._clock.monotonic()):
            return
        match read_signal(data):
            case Typing(on):
                self._types(on=on)
            case Presence(state) as presence if state is not self.presence:
                self.presence = state
                self._tell(presence)

    def ended(self) -> None:
        """No link is up any more: nothing is known of the friend, nor the friend of us."""
        self._said_typing = None
        if self.typing:
            self._types(on=False)
        if self.presence is not Here.UNKNOWN:
            self.presence = Here.UNKNOWN
            self._tell(Presence(Here.UNKNOWN))

    def is_due(self, typing: Typing) -> bool:
        """Whether to say that our owner types, or does no longer; it is taken to be said then."""
        now = self._clock.monotonic()
        if typing.on and self._said_typing is not None and now - self._said_typing < TYPING_REPEAT:
            return False
        said, self._said_typing = self._said_typing, now if typing.on else None
        return typing.on or said is not None

    def _types(self, *, on: bool) -> None:
        if self._lapsing is not None:
            self._lapsing.cancel()
            self._lapsing = None
        if not on and not self.typing:
            return
        self.typing = on
        if on:
            self._lapsing = asyncio.get_running_loop().create_task(self._lapse())
        self._tell(Typing(on))

    async def _lapse(self) -> None:
        await self._clock.sleep(TYPING_LIFETIME)
        self._lapsing = None
        self._types(on=False)
