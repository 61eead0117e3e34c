"""What the daemon's answers are about, as the screens use it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chattor_bridge.terminal.control import JsonObject


class Presence(StrEnum):
    """How a contact stands to us, for a glance."""

    ONLINE = "online"
    AWAY = "away"  # the program answers, and the person has shown not to sit there
    OFFLINE = "offline"
    BLOCKED = "blocked"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Contact:
    """A friend. ``last`` is the order of the last message with it, ``unread`` counts to a hundred; ``shares`` is what
    it may see of us, ``timer`` the seconds after which what is said disappears, 0 for never."""

    number: int
    name: str
    alias: str
    presence: Presence
    unread: int
    queued: int
    verification: str
    last: int | None
    typing: bool
    shares: frozenset[str]
    muted: bool
    note: str
    timer: int

    @classmethod
    def of(cls, item: JsonObject) -> Contact:
        """From an object of `contacts`."""
        presence = Presence.ONLINE if item["online"] else Presence.OFFLINE
        if item["online"] and item["here"] in ("away", "offline"):
            presence = Presence.AWAY
        if item["blocked"]:
            presence = Presence.BLOCKED
        if item["retired"]:
            presence = Presence.ENDED
        return cls(
            number=item["contact"],
            name=item["name"],
            alias=item["alias"],
            presence=presence,
            unread=item["unread"],
            queued=item["queued"],
            verification=item["verification"],
            last=item["last"],
            typing=item["typing"],
            shares=frozenset(item["shares"]),
            muted=item["muted"],
            note=item["note"],
            timer=item["timer"],
        )

    @property
    def shown(self) -> str:
        """What to call it."""
        return self.alias or self.name or f"contact {self.number}"


@dataclass(frozen=True, slots=True)
class Request:
    """A contact request, received or sent; ``state`` is empty for received ones, ``name`` for sent ones."""

    ident: str
    received: bool
    name: str
    note: str
    label: str
    ignored: bool
    blocked: bool
    state: str
    reason: str
    time: int

    @classmethod
    def of(cls, item: JsonObject) -> Request:
        """From an object of `requests`."""
        return cls(
            ident=item["id"],
            received=item["direction"] == "received",
            name=item.get("name", ""),
            note=item["note"],
            label=item.get("label", ""),
            ignored=item.get("ignored", False),
            blocked=item.get("blocked", False),
            state=item.get("state", ""),
            reason=item.get("reason", ""),
            time=item["time"],
        )
