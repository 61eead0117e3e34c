"""What was said with one friend: a window onto the history that moves, and never holds more than it may."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from chattor_bridge.terminal.tui.said import File, Message

PAGE = 50
"""Messages fetched at a time: two screens of short ones."""

MAX_HELD = 400
"""Messages in memory: 6 MB when each is as long as can be, and more than anybody scrolls through at once."""

TOGETHER = 300
"""Seconds between two messages of one person within which the second stands under the name of the first."""


@dataclass(frozen=True, slots=True)
class Day:
    """Here begins another day; ``words`` name it."""

    words: str


@dataclass(frozen=True, slots=True)
class Unread:
    """Here begins what was not read when the conversation was opened."""


@dataclass(frozen=True, slots=True)
class Said:
    """A message; ``headed`` when who said it, and when, stands above it."""

    message: Message
    headed: bool


Row = Day | Unread | Said


class Timeline:
    """Messages in their order. ``has_older`` and ``has_newer`` say that the history goes on at that end."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.has_older = False
        self.has_newer = False
        self._unread_from: int | None = None

    def open(self, page: Sequence[Message], *, has_older: bool, has_newer: bool = False) -> None:
        """Begin with this page, the newest or another."""
        self.messages = list(page)
        self.has_older, self.has_newer = has_older, has_newer
        self._unread_from = next((one.order for one in page if one.is_unread), None)

    def extend_back(self, page: Sequence[Message], *, has_older: bool) -> None:
        """A page of what was before; what is then too much goes at the other end."""
        self.messages[:0] = page
        self.has_older = has_older
        if len(self.messages) > MAX_HELD:
            del self.messages[MAX_HELD:]
            self.has_newer = True

    def extend_forward(self, page: Sequence[Message], *, has_newer: bool) -> None:
        """A page of what came after."""
        self.messages.extend(page)
        self.has_newer = has_newer
        self._drop_oldest()

    def put(self, message: Message) -> bool:
        """A message that is new, or is otherwise than before. False when that is outside of what is held."""
        place = bisect_left(self.messages, message.order, key=lambda one: one.order)
        if place < len(self.messages) and self.messages[place].order == message.order:
            self.messages[place] = message
            return True
        if self.has_newer and place == len(self.messages):
            return False
        if self.has_older and place == 0:
            return False
        self.messages.insert(place, message)
        self._drop_oldest()
        return True

    def remove(self, event_id: str) -> None:
        """It is not there any more."""
        self.messages = [one for one in self.messages if one.event_id != event_id]

    def find(self, event_id: str) -> Message | None:
        return next((one for one in self.messages if one.event_id == event_id), None)

    def show_files(self, files: Mapping[str, File]) -> bool:
        """How far these files are now, by their ids; whether anything is otherwise than before."""
        changed = False
        for place, message in enumerate(self.messages):
            file = files.get(message.file.ident) if message.file is not None else None
            if file is not None and file != message.file:
                self.messages[place] = replace(message, file=file)
                changed = True
        return changed

    @property
    def has_files_under_way(self) -> bool:
        """Whether a file that is held goes over."""
        return any(one.file is not None and one.file.state == "accepted" for one in self.messages)

    def read_up(self) -> None:
        """The owner has gone on: what was unread is marked no more."""
        self._unread_from = None

    def rows(self) -> list[Row]:
        """What to show, top to bottom."""
        rows: list[Row] = []
        before: Message | None = None
        for message in self.messages:
            new_day = before is None or _day(before.stored) != _day(message.stored)
            if new_day:
                rows.append(Day(_day(message.stored)))
            if message.order == self._unread_from:
                rows.append(Unread())
            headed = new_day or before is None or message.order == self._unread_from or not _together(before, message)
            rows.append(Said(message, headed))
            before = message
        return rows

    def _drop_oldest(self) -> None:
        if len(self.messages) > MAX_HELD:
            del self.messages[: len(self.messages) - MAX_HELD]
            self.has_older = True


def _together(before: Message, message: Message) -> bool:
    return (
        before.sent == message.sent
        and before.time // 60 <= message.time // 60 <= before.time // 60 + TOGETHER // 60
        and (not message.sent or (before.state, before.carriers) == (message.state, message.carriers))
    )


def _day(seconds: int) -> str:
    """The day by our own clock, because a friend's may say anything."""
    at = time.localtime(seconds)
    return f"{time.strftime('%A', at)}, {at.tm_mday} {time.strftime('%B %Y', at)}"
