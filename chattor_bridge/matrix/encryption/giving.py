"""Which Megolm sessions one of our devices has given to which devices, so that one that lost its key can have it again.

The rules (Client-Server API, "Key requests"): only a device that was meant to have a session when it was given out gets
it when it asks, in full, since it was to read all of it; by its published keys, not by what the request says of it; and
not for ever. Everybody else gets no answer. What was given is known for as long as the process lives.
"""

from __future__ import annotations

from collections import Counter, OrderedDict, deque
from dataclasses import dataclass, field

from mautrix.types import RoomID

SESSIONS_ANSWERED_FOR = 4
"""Of one room, the newest: with a hundred messages each, more than is read at once by somebody who comes back."""

ROOMS_ANSWERED_FOR = 200
"""Of one of our users, the one in which something was given longest ago forgotten first: 500 KB for the bot, which is
in most rooms; a ghost is in one."""

MOST_ANSWERS = 3
"""To one device about one session: one may be lost, and each costs the device a one-time key."""


@dataclass(slots=True)
class Given:
    """One session. ``start`` is its key before its first message, ``devices`` are the names of those that were meant to
    have it, ``complete`` says whether all of them got it, ``at`` is in monotonic seconds."""

    session_id: str
    start: str
    devices: list[str]
    complete: bool
    at: float
    answers: Counter[str] = field(default_factory=Counter)


class Giving:
    """What was given lately."""

    def __init__(self) -> None:
        self._by_room: OrderedDict[RoomID, deque[Given]] = OrderedDict()

    def note(self, room_id: RoomID, given: Given) -> None:
        """The newest of its room."""
        self._by_room.setdefault(room_id, deque(maxlen=SESSIONS_ANSWERED_FOR)).append(given)
        self._by_room.move_to_end(room_id)
        if len(self._by_room) > ROOMS_ANSWERED_FOR:
            self._by_room.popitem(last=False)

    def newest(self, room_id: RoomID) -> Given | None:
        given = self._by_room.get(room_id)
        return given[-1] if given else None

    def grant(self, room_id: RoomID, session_id: str, device: str) -> Given | None:
        """The session that the device of this name may have once more, and that it was given so."""
        for given in self._by_room.get(room_id, ()):
            if given.session_id == session_id and device in given.devices and given.answers[device] < MOST_ANSWERS:
                given.answers[device] += 1
                return given
        return None
