"""Notices that the machine slept, or that its clock jumped.

A sleeping machine stops every timer and tells no program. So somebody looks at the clocks every few seconds: one who
wakes much later than it meant to has slept, be it because a lid was closed, because the process was stopped, or because
everything was too busy to go on; and a wall clock that gained or lost a minute on the other was set, as it is after a
virtual machine was paused.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from typing import Final

from chattor_bridge.node.clock import CLOCK_JUMP
from chattor_bridge.node.ports import Clock

log = logging.getLogger(__name__)

LOOK: Final = 10.0
"""Seconds between two looks at the clocks."""

OVERSLEPT: Final = 20.0
"""Seconds by which a look that comes late says that we slept: a busy machine is not late by so much, and streams hardly
ever end in so little."""


async def watch(clock: Clock, on_waking: Callable[[float], Awaitable[None]]) -> None:
    """Look until cancelled. ``clock`` is the machine's own; ``on_waking`` is told how many seconds were slept, 0 when
    it was only the wall clock that jumped."""
    while True:
        wall, monotonic = clock.now(), clock.monotonic()
        await clock.sleep(LOOK)
        passed = clock.monotonic() - monotonic
        gained = clock.now() - wall - passed
        if passed - LOOK >= OVERSLEPT:
            log.info("the machine slept for %.0f s; looking at every link and onion", passed - LOOK)
            await on_waking(passed - LOOK)
        elif abs(gained) >= CLOCK_JUMP:
            log.info("the clock jumped by %.0f s; looking at every link and onion", gained)
            await on_waking(0.0)
