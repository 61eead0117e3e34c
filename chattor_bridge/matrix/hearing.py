"""Whether the homeserver still tells us what happens, judged by real traffic.

Everything our users say comes back to us in a transaction. A homeserver that takes our messages and sends none back
has stopped calling us (it backs off after failures, or something between us swallows its calls), and a bridge that
does not notice looks connected while it hears nothing.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable

from chattor_bridge.ids import MatrixEventId
from chattor_bridge.node.ports import Clock

ECHO_EXPECTED_WITHIN = 30.0
"""Seconds. An echo usually comes within one; a busy homeserver may take a few."""

REMEMBERED = 1_000
"""Events kept on each side, the oldest forgotten first: more than are said within the time above."""


class Hearing:
    """Compares what our users said with what the homeserver told us."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._said: deque[tuple[MatrixEventId, float]] = deque(maxlen=REMEMBERED)
        self._heard: OrderedDict[str, None] = OrderedDict()  # an echo may overtake the answer to the request
        self.silent_rounds = 0
        """Rounds of missing echoes since the homeserver last told us of an event."""
        self.pings = 0
        """How often the homeserver has called us to see whether it can."""

    def said(self, event_id: MatrixEventId) -> None:
        """The homeserver took this event from us."""
        if event_id not in self._heard:
            self._said.append((event_id, self._clock.monotonic()))

    def heard(self, event_ids: Iterable[str]) -> None:
        """The homeserver told us of these events, in its order; what was said before them needs no echo any more."""
        known = {event_id: place for place, (event_id, _) in enumerate(self._said)}
        latest = -1
        for event_id in event_ids:
            self._heard[event_id] = None
            latest = max(latest, known.get(MatrixEventId(event_id), -1))
            self.silent_rounds = 0
        for _ in range(latest + 1):
            self._said.popleft()
        while len(self._heard) > REMEMBERED:
            self._heard.popitem(last=False)

    def check(self) -> bool:
        """Whether an echo is missing for longer than it should take. If so the round is over: nothing said so far is
        expected any more, and one more silent round is counted."""
        if not self._said or self._clock.monotonic() < self._said[0][1] + ECHO_EXPECTED_WITHIN:
            return False
        self._said.clear()
        self.silent_rounds += 1
        return True
