"""A database for as long as a program runs: waited for at its start, and given up when it is not ours any more."""

from __future__ import annotations

import asyncio
import logging
import secrets
from contextlib import suppress

from chattor_bridge.errors import DatabaseUnavailable
from chattor_bridge.node.patience import Backoff
from chattor_bridge.storage.store import Store

FIRST_RETRY, LAST_RETRY = 1.0, 30.0
"""Seconds before a database that does not answer is asked again, doubled from the first to the last: whoever starts it
watches for about that long."""

LOOK_INTERVAL = 5.0
"""Seconds between two looks whether the database is still ours. Every transaction looks too; this is for when there are
none, so that onions which another process publishes by now are taken down soon."""

log = logging.getLogger(__name__)


async def start_patiently(store: Store, stop: asyncio.Event) -> bool:
    """Start the store, however long it takes until the database answers; false when ``stop`` was set meanwhile.

    Raises: DatabaseUnusable, WrongStoreKey.
    """
    backoff = Backoff(FIRST_RETRY, LAST_RETRY, secrets.token_bytes)
    last_words = ""
    while not stop.is_set():
        try:
            await store.start()
        except DatabaseUnavailable as error:
            if (words := str(error)) != last_words:
                last_words = words
                log.warning("waiting for the database: %s", words)
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), backoff.next())
        else:
            return True
    return False


async def hold(store: Store, stop: asyncio.Event) -> None:
    """Return when ``stop`` is set.

    Raises: DatabaseUnusable as soon as the database is not to be used any more: another process has taken it over, its
    file was moved away, or it is damaged.
    """
    while not stop.is_set():
        with suppress(DatabaseUnavailable):
            async with store.transaction():
                pass
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), LOOK_INTERVAL)
