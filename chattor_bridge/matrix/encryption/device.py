"""mautrix's Olm machine, made to speak through our client and to keep our rules."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, cast

from mautrix.api import HTTPAPI, Method, PathBuilder
from mautrix.client import Client as MautrixClient
from mautrix.client import ClientAPI
from mautrix.crypto import OlmMachine, OutboundGroupSession, StateStore
from mautrix.types import DeviceID, IdentityKey, RoomEncryptionStateEventContent, RoomID, TrustState, UserID
from mautrix.util.logging import TraceLogger

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.encryption.keystore import KeyStore

_log = cast("TraceLogger", logging.getLogger("mau.crypto"))


class DeviceApi:
    """Requests of one device, in the manner of `mautrix.api.HTTPAPI`. What the machine has written is saved before
    anything goes out that rests on it."""

    log = _log

    def __init__(self, client: Client, user: MatrixUserId, device: str, save: Callable[[], Awaitable[None]]) -> None:
        self._client = client
        self._user = user
        self._device = device
        self._save = save
        self.trouble: Unavailable | None = None
        """The last time a request could not be made, for the machine passes over such errors."""

    def get_txn_id(self) -> str:
        return secrets.token_hex(16)

    async def request(
        self,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | None = None,
        query_params: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable."""
        if method is not Method.GET:
            await self._save()
        try:
            return await self._client.call(self._user, method, path, content, query=query_params, device=self._device)
        except Unavailable as error:
            self.trouble = error
            raise


class _DeviceClient(ClientAPI):
    """What the machine asks of a client. Events reach it by direct calls, so it need not listen."""

    def add_event_handler(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def dispatch_event(self, *_args: Any, **_kwargs: Any) -> None:
        """Encrypted to-device events other than room keys: nothing we have a use for."""


class _Rooms(StateStore):
    """The machine asks it for the rotation of keys, which `Identity` decides."""

    async def is_encrypted(self, room_id: RoomID) -> bool:
        return True

    async def get_encryption_info(self, room_id: RoomID) -> RoomEncryptionStateEventContent:
        return RoomEncryptionStateEventContent()

    async def find_shared_rooms(self, user_id: UserID) -> list[RoomID]:
        return []


class Machine(OlmMachine):
    """One device's machine. Its account is still to be set. ``send_to`` is the least trusted device that gets keys."""

    def __init__(self, api: DeviceApi, keys: KeyStore, user: MatrixUserId, device: str, send_to: TrustState) -> None:
        client = cast("MautrixClient", _DeviceClient(UserID(user), DeviceID(device), api=cast("HTTPAPI", api)))
        super().__init__(client, keys, _Rooms(), log=_log)
        self.api = api
        self._keys = keys
        self.send_keys_min_trust = send_to
        self.ratchet_keys_on_decrypt = True
        self.disable_device_change_key_rotation = True  # `Identity` compares the readers each time
        self._next: OutboundGroupSession | None = None
        self.wedged: set[tuple[UserID, IdentityKey]] = set()

    async def share(self, session: OutboundGroupSession, readers: list[UserID]) -> int:
        """Give a new session to every device of ``readers``; the number of devices that got it, or that are not to.

        Raises: HomeserverUnavailable, DatabaseUnavailable, besides what sharing does.
        """
        self._next, self.api.trouble = session, None
        await self.share_group_session(session.room_id, readers)
        if self.api.trouble is not None:  # it logs such things and goes on
            raise self.api.trouble
        return len(session.users_shared_with | session.users_ignored)

    async def _unwedge_session(self, sender: UserID, sender_key: IdentityKey) -> None:
        """mautrix would do this in a task of its own, beside whatever happens then, and for anybody."""
        if await self._keys.knows(sender):
            self.wedged.add((sender, sender_key))

    async def mend_sessions(self) -> None:
        """Begin anew with whoever sent us what could not be decrypted, so that their next message can be."""
        while self.wedged:
            await super()._unwedge_session(*self.wedged.pop())

    async def _new_outbound_group_session(self, _room_id: RoomID) -> OutboundGroupSession:
        assert self._next is not None
        return self._next
