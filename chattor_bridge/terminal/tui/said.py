"""What was said, as `history` tells it."""

from __future__ import annotations

from dataclasses import dataclass

from chattor_bridge.terminal.control import JsonObject


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
class File:
    """A file that was offered. ``state`` is one of those that `chattor file list` names, or gone; of ``size`` bytes
    ``done`` have gone over, by ``streams`` streams at this moment."""

    ident: str
    name: str
    mime: str
    size: int
    state: str
    reason: str = ""
    done: int = 0
    streams: int = 0

    @classmethod
    def of(cls, item: JsonObject | None) -> File | None:
        """From an object of `files`, or from what `history` has of it, which does not say how far it is."""
        if item is None:
            return None
        return cls(
            ident=item["file"],
            name=item["file_name"],
            mime=item["mime"],
            size=item["size"],
            state=item["state"],
            reason=item.get("reason", ""),
            done=item.get("done", 0),
            streams=item.get("streams", 0),
        )

    @property
    def percent(self) -> int:
        """How much of it has gone over."""
        return 100 if not self.size else min(self.done, self.size) * 100 // self.size


@dataclass(frozen=True, slots=True)
class Message:
    """One thing said. ``time`` is the sender's clock, ``stored`` ours, both in seconds since the epoch; ``kind`` and
    ``state`` are among those that `history` names, ``carriers`` is at how many it waits and ``reason`` why it failed.
    ``reactions`` are emoji and whether they are ours, ``troubles`` what of ours about this message was not delivered,
    and why."""

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
    carriers: int = 0
    reason: str = ""
    edited: bool = False
    deleted: bool = False
    reply: Quote | None = None
    thread: Quote | None = None
    poll: Poll | None = None
    file: File | None = None
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
            carriers=item.get("carriers", 0),
            reason=item.get("reason", ""),
            edited="edited" in item,
            deleted="deleted" in item,
            reply=Quote.of(item.get("reply")),
            thread=Quote.of(item.get("thread")),
            poll=Poll.of(item.get("poll")),
            file=File.of(item.get("file")),
            reactions=tuple((one["emoji"], one["sent"]) for one in item.get("reactions", [])),
            troubles=tuple((one["kind"], one["reason"]) for one in item.get("failed", [])),
        )

    def allows(self, what: str) -> bool:
        """Whether our owner may do this about it: reply, thread, edit, delete, react, unreact, vote, end, save, cancel
        or go."""
        if what == "go":
            return any(one is not None and one.order is not None for one in (self.reply, self.thread))
        if self.deleted or self.kind == "note":
            return False
        open_poll = self.poll is not None and not self.poll.ended
        file = "" if self.file is None else self.file.state
        return {
            "edit": self.sent and self.kind in ("text", "emote", "notice", "file"),
            "delete": self.sent,
            "unreact": bool(self.our_reactions),
            "vote": open_poll,
            "end": open_poll and self.sent,
            "save": not self.sent and file in ("offered", "accepted", "arrived"),
            "cancel": file in ("offered", "accepted"),
        }.get(what, True)

    @property
    def our_reactions(self) -> list[str]:
        """The emoji that our owner has put under it."""
        return [emoji for emoji, sent in self.reactions if sent]

    @property
    def is_unread(self) -> bool:
        """Whether our owner has not seen it yet."""
        return self.state == "received"
