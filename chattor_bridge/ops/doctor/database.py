"""The database: does it answer, is it whole, does it keep what it is given, does our key open it, and is there room
for the mail that is held in it for friends?"""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

from chattor_bridge.counting import counted
from chattor_bridge.errors import ChattorError, Unavailable, WrongStoreKey
from chattor_bridge.ids import OnionKey
from chattor_bridge.ops.doctor.files import DISK_NEEDED, MIB
from chattor_bridge.ops.doctor.finding import Finding, fine, from_error, problem, warning
from chattor_bridge.protocol.limits import BLOCK_SIZE, MAX_CARRIED_SHELVES
from chattor_bridge.storage import Inspection, StoreKey, inspect


class DatabaseCheck:
    """``doors`` are, once `findings` is through, the onions that this database hosts for everybody with a code."""

    def __init__(self, url: str, key: StoreKey | None) -> None:
        self._url = url
        self._key = key
        self.doors: tuple[OnionKey, ...] = ()

    async def findings(self) -> AsyncIterator[Finding]:
        try:
            found = await inspect(self._url, self._key)
        except WrongStoreKey as error:
            yield from_error("store key", error)
            return
        except Unavailable as error:
            yield problem("database", str(error), "see that its server runs and its disk works, and check database.url")
            return
        except ChattorError as error:
            yield from_error("database", error)
            return
        self.doors = found.doors
        if not found.made:
            yield fine("database", "there is none yet; the first start makes it")
            return
        steps = counted(found.outstanding, "step")
        schema = f"; the next start brings its schema {steps} on" if found.outstanding else ""
        yield fine("database", f"whole and durable, {found.nodes} at work here{schema}")
        if self._key is not None:
            yield fine("store key", "opens the database")
        for finding in self._mail(found):
            yield finding

    def _mail(self, found: Inspection) -> Iterator[Finding]:
        if not found.shelves:
            return
        said = f"{counted(found.held, 'block')} held for friends, on {found.shelves} of {MAX_CARRIED_SHELVES} shelves"
        if found.shelves >= MAX_CARRIED_SHELVES:
            yield warning("mail", f"{said}: who asks now gets none", "end some: carry shows whose they are")
        else:
            yield fine("mail", said)
        scheme, _, path = self._url.partition(":")
        if scheme == "sqlite":
            free, more = shutil.disk_usage(Path(path).parent).free, (found.blocks - found.held) * BLOCK_SIZE
            if free - DISK_NEEDED < more:
                said = f"friends' mail may take {more // MIB} MiB more, and {free // MIB} MiB are free"
                yield warning("mail", said, "make room, or hold less: carry limit MB")
