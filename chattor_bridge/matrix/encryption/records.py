"""What the bridge must not forget of keys: records in our database, sealed, in transactions of ours.

Reading goes through to the database. What is written waits in memory until `Records.save`, so that everything one step
changes is committed together, with whatever else belongs to that step: the decrypted event, or the place in the stream
of keys. Nothing that came in is acknowledged before it is saved.
"""

from __future__ import annotations

from typing import Protocol

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.store_ports import RoomKeys
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.store_ports import NodeStore

ACCOUNT, OLM, INBOUND, SEEN, PERSON = "account", "olm", "inbound", "seen", "person"
"""Kinds of records: the account itself; Olm sessions with one device; Megolm sessions of others; which event used which
index of one, both named by session and speaker; and, shared by all accounts, somebody's devices and keys."""

SHARED = ""

ROOM = "room"
"""Kind of the shared record that says how a room is encrypted. It is never taken back: no homeserver can make us speak
in clear where we did not."""


class EncryptionStore(NodeStore, Protocol):
    """The part of the bridge's store that encryption works with."""

    @property
    def room_keys(self) -> RoomKeys: ...

    def recovery_key(self) -> bytes:
        """32 bytes that outlive the database, as the store key does."""


class Records:
    """Those of one of our users, and those that all of them share. Not for two tasks at once."""

    def __init__(self, store: EncryptionStore, user: MatrixUserId) -> None:
        self._account = user
        self._store = store
        self._unsaved: dict[tuple[str, str, str], JsonObject | None] = {}

    async def save(self, tx: Transaction | None = None) -> None:
        """Commit what was written, in ``tx`` if there is one. Raises: DatabaseUnavailable; nothing is lost then."""
        if not self._unsaved:
            return
        if tx is None:
            async with self._store.transaction() as tx:
                await self.save(tx)
            return
        written = dict(self._unsaved)
        for (account, kind, name), value in written.items():
            if kind == PERSON and value is not None and value["devices"] is not None:
                known = await self._store.room_keys.get(tx, account, kind, name)
                if known is not None and known["changes"] > value["changes"]:  # changed since we asked for them
                    value = {**value, "devices": None, "changes": known["changes"]}
            if value is None:
                await self._store.room_keys.remove(tx, account, kind, name)
            else:
                await self._store.room_keys.put(tx, account, kind, name, value)
        tx.after_commit(lambda: self._saved(written))

    def _saved(self, written: dict[tuple[str, str, str], JsonObject | None]) -> None:
        for place, value in written.items():
            if self._unsaved.get(place) is value:
                self._unsaved.pop(place, None)

    def discard(self) -> None:
        """Forget what was written and not saved."""
        self._unsaved.clear()

    async def read(self, kind: str, name: str, account: str | None = None) -> JsonObject | None:
        """A record as it will be once everything is saved."""
        place = (self._account if account is None else account, kind, name)
        if place in self._unsaved:
            return self._unsaved[place]
        async with self._store.transaction() as tx:
            return await self._store.room_keys.get(tx, *place)

    def write(self, kind: str, name: str, value: JsonObject | None, account: str | None = None) -> None:
        """Replace a record, or with ``None`` remove it, at the next `save`."""
        self._unsaved[(self._account if account is None else account, kind, name)] = value

    async def names(self, kind: str, account: str | None = None) -> list[str]:
        """The records of this kind that are on disk."""
        async with self._store.transaction() as tx:
            return await self._store.room_keys.names(tx, self._account if account is None else account, kind)
