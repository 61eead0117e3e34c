"""Encrypted rooms, for all our users: who may read in a room, and whose device encrypts."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from mautrix.api import Method, Path
from mautrix.types import TrustState, UserID

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.encryption.hearing import Ears
from chattor_bridge.matrix.encryption.identity import Identity
from chattor_bridge.matrix.encryption.people import People
from chattor_bridge.matrix.encryption.records import ROOM, SHARED, EncryptionStore
from chattor_bridge.matrix.encryption.tending import Tending
from chattor_bridge.matrix.members import HERE, Members
from chattor_bridge.node.ports import Clock

IDENTITIES_AT_HAND = 1_000
"""Ghosts whose keys are kept in memory, some 20 KB each; the one used longest ago goes."""

CLEAR_ROOMS_AT_HAND = 1_000
"""Rooms of which it is remembered that they are not encrypted: each is some 100 bytes."""

ALGORITHM = "m.megolm.v1.aes-sha2"


class Encryption:
    """Give it every transaction of the homeserver (`heard`), and `run` it."""

    def __init__(
        self,
        client: Client,
        store: EncryptionStore,
        household: Household,
        members: Members,
        clock: Clock,
        *,
        only_cross_signed: bool,
        encrypt_rooms: bool,
    ) -> None:
        self._client = client
        self._store = store
        self._household = household
        self._members = members
        self._clock = clock
        self._send_to = TrustState.CROSS_SIGNED_TOFU if only_cross_signed else TrustState.UNVERIFIED
        self._identities: OrderedDict[MatrixUserId, Identity] = OrderedDict()
        bot = self._identities[household.bot] = self._make(household.bot)
        self._in_use = Counter([household.bot])  # for as long as this object is
        self._clear: set[MatrixRoomId] = set()
        self.on_keys: Callable[[], None] = lambda: None
        self.ears = Ears(bot, store, clock, lambda: self.on_keys(), self._publish_ghosts_again)
        if encrypt_rooms:
            self.ears.attend()
        self._tending = Tending(store, clock, household.bot, self._identity, self.ears.forget_old_keys)

    async def run(self) -> None:
        """Listen for keys, and look after the ghosts' devices, until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self.ears.run())
            group.create_task(self._tending.run(self.ears.caught_up))

    async def heard(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Forget what these events may have changed: whether a room is encrypted, and what devices those have who come.
        Raises: DatabaseUnavailable."""
        came: set[str] = set()
        for event in events:
            room_id, state_key, content = event.get("room_id"), event.get("state_key"), event.get("content")
            if not isinstance(room_id, str) or not isinstance(state_key, str):
                continue
            if event.get("type") == "m.room.member":
                if isinstance(content, dict) and content.get("membership") in HERE:
                    came.add(state_key)
            elif event.get("type") == "m.room.encryption":
                self._clear.discard(MatrixRoomId(room_id))
                self.ears.attend()
        await self._forget_devices(came)

    async def _forget_devices(self, people: Iterable[str]) -> None:
        """For as long as they shared no room with the bot, nobody has told us of a change."""
        known = People(self._store, self._household.bot)
        for person in people:
            if await known.knows(UserID(person)):
                await known.forget_person(UserID(person))
        await known.save()

    async def settings(self, user: MatrixUserId, room_id: MatrixRoomId) -> JsonObject | None:
        """The content of the room's ``m.room.encryption``, ``None`` when it is not encrypted.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        if room_id in self._clear:
            return None
        async with self._store.transaction() as tx:
            known = await self._store.room_keys.get(tx, SHARED, ROOM, room_id)
        if known is not None:
            self.ears.attend()
            return known
        try:
            found = await self._client.call(user, Method.GET, Path.v3.rooms[room_id].state["m.room.encryption"])
        except HomeserverRefused as refusal:
            if refusal.errcode != "M_NOT_FOUND":
                raise
            if len(self._clear) >= CLEAR_ROOMS_AT_HAND:
                self._clear.pop()
            self._clear.add(room_id)
            return None
        async with self._store.transaction() as tx:
            await self._store.room_keys.put(tx, SHARED, ROOM, room_id, found)
        self.ears.attend()
        return found

    async def encrypt(
        self, user: MatrixUserId, room_id: MatrixRoomId, settings: JsonObject, event_type: str, content: JsonObject
    ) -> tuple[JsonObject, str]:
        """The content to send as ``m.room.encrypted``, and the device to send it from.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        if settings.get("algorithm") != ALGORITHM:
            raise HomeserverRefused("this room is encrypted in a way this version does not know", 0, "")
        if not self.ears.caught_up.is_set():
            raise HomeserverUnavailable("what devices people have is not known yet")
        readers = [member.user for member in await self._members.of(user, room_id)]
        with self._identity(user) as identity:
            encrypted = await identity.encrypt(room_id, settings, event_type, content, readers)
        if user != self._household.bot:
            self._tending.spoke(user)
        return encrypted, identity.device

    @contextmanager
    def _identity(self, user: MatrixUserId) -> Iterator[Identity]:
        """The one `Identity` of this user: two at once would use the same keys twice. It stays while it is used."""
        if user not in self._identities:
            idle = [name for name in self._identities if not self._in_use[name]]
            for name in idle[: max(0, len(self._identities) - IDENTITIES_AT_HAND + 1)]:
                del self._identities[name]
            self._identities[user] = self._make(user)
        self._identities.move_to_end(user)
        self._in_use[user] += 1
        try:
            yield self._identities[user]
        finally:
            self._in_use[user] -= 1
            if not self._in_use[user]:
                del self._in_use[user]

    def _make(self, user: MatrixUserId) -> Identity:
        reads = user == self._household.bot
        return Identity(self._client, self._store, self._clock, user, reads=reads, send_to=self._send_to)

    async def _publish_ghosts_again(self) -> None:
        for ghost in await self._tending.ghosts():
            with self._identity(ghost) as identity:
                await identity.publish_again()
