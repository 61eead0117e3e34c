"""Wakes everybody who waits for news, and loses no ring that falls between looking and waiting."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.happenings import Missed

MAX_CHANGES = 1_000
"""Changes kept for one who watches and is slow; after more, looking at everything anew costs it less."""


@dataclass(frozen=True, slots=True)
class MessageChanged:
    """Something was said with this friend, or what was said is in another state than before."""

    peer_id: PeerId
    event_id: EventId


@dataclass(frozen=True, slots=True)
class ContactChanged:
    """This friend came or went, is called otherwise, or has said something."""

    peer_id: PeerId


class Changed(StrEnum):
    """What to ask for anew."""

    CODES = "codes"
    CONTACTS = "contacts"
    REQUESTS = "requests"
    STATUS = "status"
    EVERYTHING = "everything"


Change = MessageChanged | ContactChanged | Missed | Changed


class Watch:
    """What has changed since somebody who watches took it last: each thing once, in the order of the first time."""

    def __init__(self) -> None:
        self._changes: dict[Change, None] = {Changed.EVERYTHING: None}

    def take(self) -> list[Change]:
        """What changed; at the very first everything, because whoever begins knows nothing."""
        changes = list(self._changes)
        self._changes.clear()
        return changes

    def add(self, change: Change) -> None:
        """Keep it, or, when that is too much, that everything has to be looked at."""
        if change is Changed.EVERYTHING or len(self._changes) >= MAX_CHANGES:
            self._changes = {Changed.EVERYTHING: None}
        elif Changed.EVERYTHING not in self._changes:
            self._changes[change] = None


class Bell:
    """Take `next` first, then look, then wait on what was taken: a ring since then has set it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self._watches: set[Watch] = set()

    def next(self) -> asyncio.Event:
        """Set at the next ring."""
        return self._event

    def ring(self, *changes: Change) -> None:
        """There is news, and what it is for those who watch. Safe to call from a transaction's ``after_commit``: it
        never blocks."""
        for watch in self._watches:
            for change in changes:
                watch.add(change)
        event, self._event = self._event, asyncio.Event()
        event.set()

    @contextmanager
    def watch(self) -> Iterator[Watch]:
        """What changes from now on."""
        watch = Watch()
        self._watches.add(watch)
        try:
            yield watch
        finally:
            self._watches.remove(watch)


async def first_of(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Wait until one of the events is set, ``timeout`` seconds at most (``None``: for ever)."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
