"""Wakes everybody who waits for news, and loses no ring that falls between looking and waiting."""

from __future__ import annotations

import asyncio


class Bell:
    """Take `next` first, then look, then wait on what was taken: a ring since then has set it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()

    def next(self) -> asyncio.Event:
        """Set at the next ring."""
        return self._event

    def ring(self) -> None:
        """There is news. Safe to call from a transaction's ``after_commit``: it never blocks."""
        event, self._event = self._event, asyncio.Event()
        event.set()


async def first_of(*events: asyncio.Event, timeout: float | None = None) -> None:
    """Wait until one of the events is set, ``timeout`` seconds at most (``None``: for ever)."""
    waits = [asyncio.create_task(event.wait()) for event in events]
    try:
        await asyncio.wait(waits, timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
