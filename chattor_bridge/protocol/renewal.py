"""What a session remembers of its own renewal (docs/protocol/session.md, Resync)."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import MAX_RESYNC_CANDIDATES, MAX_TIME, RESYNC_INTERVAL, SESSION_ID_SIZE


class Reason(StrEnum):
    """Why a session is renewed, as far as this side knows."""

    CONTRADICTION = "contradiction"  # the hellos of a link say that one side has forgotten something
    BROKEN = "broken"  # an envelope was authentic outside and wrong inside
    ASKED = "asked"  # our owner wants it
    GIVEN_UP = "given-up"  # what waited too long was given up, and numbers have no gaps
    FRIEND = "friend"  # the friend started it


@dataclass(slots=True)
class Renewal:
    """``at`` is when this session took the place of the one with the id ``replaced``, in seconds since 1970 (0 and
    None in a session that began with a knock); ``wanted`` why it is to be renewed itself; ``refused`` that our owner
    was told it is too early for that; ``candidates`` the serialized sessions of which one takes its place as soon as
    the friend is seen to have it, the newest last: one for each start that was answered.
    """

    at: int = 0
    replaced: bytes | None = None
    wanted: Reason | None = None
    refused: bool = False
    candidates: tuple[bytes, ...] = ()

    def add_candidate(self, session: bytes) -> None:
        """Keep a serialized session beside this one; the oldest beyond the last few is forgotten."""
        self.candidates = (*self.candidates, session)[-MAX_RESYNC_CANDIDATES:]

    def want(self, reason: Reason) -> None:
        """The session is to be renewed for this reason, too. Nothing takes the place of that something was given up:
        it would be sealed anew, though its sender was told that it is not sent."""
        if self.wanted is not Reason.GIVEN_UP:
            self.wanted = reason

    def too_early(self, now: int) -> bool:
        """Whether the last renewal was less than a day ago. A date in the future is a clock that was wrong."""
        return 0 <= now - self.at < RESYNC_INTERVAL

    def put_right(self, now: int) -> bool:
        """Forget a date in the future, which would count once it is reached; whether that changed the state. ``now``
        has proved right for a day, so the renewal is older than that."""
        ahead = self.at > now
        if ahead:
            self.at = 0
        return ahead

    def to_list(self) -> list[object]:
        """For storage."""
        return [self.at, self.replaced, self.wanted and self.wanted.value, self.refused, *self.candidates]

    @classmethod
    def from_fields(cls, fields: Fields, name: str) -> Renewal:
        """Read what `to_list` made. Raises: MalformedData."""
        match fields.raw(name):
            case [
                int(at),
                (bytes() | None) as replaced,
                (str() | None) as wanted,
                bool(refused),
                *candidates,
            ] if (
                0 <= at <= MAX_TIME
                and (replaced is None or len(replaced) == SESSION_ID_SIZE)
                and (wanted is None or wanted in set(Reason))
                and len(candidates) <= MAX_RESYNC_CANDIDATES
                and len(stored := tuple(one for one in candidates if isinstance(one, bytes))) == len(candidates)
            ):
                return cls(at, replaced, None if wanted is None else Reason(wanted), refused, stored)
            case _:
                raise fields.wrong(name)
