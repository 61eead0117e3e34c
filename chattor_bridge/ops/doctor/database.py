"""The database: does it answer, is it whole, does it keep what it is given, and does our key open it?"""

from __future__ import annotations

from collections.abc import AsyncIterator

from chattor_bridge.errors import ChattorError, Unavailable, WrongStoreKey
from chattor_bridge.ids import OnionKey
from chattor_bridge.ops.doctor.finding import Finding, fine, from_error, problem
from chattor_bridge.storage import StoreKey, inspect


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
        schema = "" if not found.outstanding else f"; the next start brings its schema {found.outstanding} steps on"
        yield fine("database", f"whole and durable, {found.nodes} at work here{schema}")
        if self._key is not None:
            yield fine("store key", "opens the database")
