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
    it may see of us."""

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
        )

    @property
    def shown(self) -> str:
        """What to call it."""
        return self.alias or self.name or f"contact {self.number}"


@dataclass(frozen=True, slots=True)
class Quote:
    """What a message refers to: the beginning of it. ``order`` is None when it is not there any more."""

    order: int | None
    sent: bool
    text: str
    deleted: bool

    @classmethod
    def of(cls, item: JsonObject | None) -> Quote | None:
        """From what `history` has of it."""
        if item is None:
            return None
        return cls(item.get("order"), item.get("sent", False), item.get("text", ""), item.get("deleted", False))


@dataclass(frozen=True, slots=True)
class Poll:
    """``choices`` of the ``answers`` may be chosen; the numbers in ``mine`` and ``theirs`` count from 0, and what the
    friend chose may be hidden (None)."""

    answers: tuple[str, ...]
    choices: int
    disclosed: bool
    ended: bool
    mine: tuple[int, ...]
    theirs: tuple[int, ...] | None

    @classmethod
    def of(cls, item: JsonObject | None) -> Poll | None:
        """From what `history` has of it."""
        if item is None:
            return None
        theirs = None if item["theirs"] is None else tuple(item["theirs"])
        answers, mine = tuple(item["answers"]), tuple(item["mine"])
        return cls(answers, item["choices"], item["disclosed"], item["ended"], mine, theirs)

    def chosen(self, answer: int) -> tuple[int, ...]:
        """The vote after this answer was chosen, or chosen no more; the first choice makes room when it is one too
        many."""
        if answer in self.mine:
            return tuple(one for one in self.mine if one != answer)
        return (*self.mine, answer)[-self.choices :]


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said. ``time`` is the sender's clock, ``stored`` ours, both in seconds since the epoch; ``kind`` and
    ``state`` are among those that `history` names, and ``reason`` is why it failed. ``reactions`` are emoji and whether
    they are ours, ``troubles`` what of ours about this message was not delivered, and why."""

    order: int
    contact: int
    peer: str
    event_id: str
    sent: bool
    kind: str
    text: str
    time: int
    stored: int
    state: str
    reason: str = ""
    edited: bool = False
    deleted: bool = False
    reply: Quote | None = None
    thread: Quote | None = None
    poll: Poll | None = None
    reactions: tuple[tuple[str, bool], ...] = ()
    troubles: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, item: JsonObject) -> Message:
        """From an object of `history`."""
        return cls(
            order=item["order"],
            contact=item["contact"],
            peer=item["peer"],
            event_id=item["event_id"],
            sent=item["sent"],
            kind=item["kind"],
            text=item["text"],
            time=item["time"],
            stored=item["stored"],
            state=item["state"],
            reason=item.get("reason", ""),
            edited="edited" in item,
            deleted="deleted" in item,
            reply=Quote.of(item.get("reply")),
            thread=Quote.of(item.get("thread")),
            poll=Poll.of(item.get("poll")),
            reactions=tuple((one["emoji"], one["sent"]) for one in item.get("reactions", [])),
            troubles=tuple((one["kind"], one["reason"]) for one in item.get("failed", [])),
        )

    def allows(self, what: str) -> bool:
        """Whether our owner may do this about it: reply, thread, edit, delete, react, unreact, vote, end or go."""
        if what == "go":
            return any(one is not None and one.order is not None for one in (self.reply, self.thread))
        if self.deleted or self.kind == "note":
            return False
        open_poll = self.poll is not None and not self.poll.ended
        return {
            "edit": self.sent and self.kind in ("text", "emote", "notice"),
            "delete": self.sent,
            "unreact": bool(self.our_reactions),
            "vote": open_poll,
            "end": open_poll and self.sent,
        }.get(what, True)

    @property
    def our_reactions(self) -> list[str]:
        """The emoji that our owner has put under it."""
        return [emoji for emoji, sent in self.reactions if sent]

    @property
    def is_unread(self) -> bool:
        """Whether our owner has not seen it yet."""
        return self.state == "received"


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

    @property
    def waits(self) -> bool:
        """Whether it asks for our owner's answer."""
        return self.received and not self.ignored
