"""mautrix's Olm machine, made to speak through our client and to keep our rules."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, cast

from mautrix.api import HTTPAPI, Method, PathBuilder
from mautrix.client import Client as MautrixClient
from mautrix.client import ClientAPI
from mautrix.crypto import OlmMachine, OutboundGroupSession, StateStore
from mautrix.crypto.encrypt_olm import ClaimKeysList
from mautrix.types import (
    DeviceID,
    DeviceIdentity,
    EventType,
    IdentityKey,
    RoomEncryptionStateEventContent,
    RoomID,
    RoomKeyEventContent,
    SyncToken,
    TrustState,
    UserID,
)
from mautrix.util.logging import TraceLogger

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import ChattorError, Unavailable, Unusable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.discretion import without_content
from chattor_bridge.matrix.encryption.keystore import KeyStore

_log = logging.getLogger(__name__)

_log_of_mautrix = cast("TraceLogger", logging.getLogger("mau.crypto"))


class DeviceApi:
    """Requests of one device, in the manner of `mautrix.api.HTTPAPI`. What the machine has written is saved before
    anything goes out that rests on it."""

    log = _log_of_mautrix

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
        return await self.ask(method, path, content, query_params)

    async def ask(
        self,
        method: Method,
        path: PathBuilder | str,
        content: JsonObject | None = None,
        query_params: Mapping[str, str] | None = None,
    ) -> JsonObject:
        """What rests on nothing the machine has written. Raises: HomeserverUnavailable, HomeserverRefused."""
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
        super().__init__(client, keys, _Rooms(), log=_log_of_mautrix)
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

    async def _fetch_keys(
        self, users: Iterable[UserID], since: str = "", include_untracked: bool = False
    ) -> dict[UserID, dict[DeviceID, DeviceIdentity]]:
        """One after the other, or one of whom the homeserver says nonsense would keep the others from getting keys."""
        fetched: dict[UserID, dict[DeviceID, DeviceIdentity]] = {}
        for user in users:
            try:
                fetched |= await super()._fetch_keys([user], SyncToken(since), include_untracked)
            except ChattorError:
                raise
            except Exception as error:
                _log.info("what devices somebody has cannot be read: %s", without_content(error))
                await self._keys.put_devices(user, {})
        return fetched

    async def _create_outbound_sessions(self, users: ClaimKeysList, _force_recreate_session: bool = False) -> None:
        """Where one device gives us no key of use, the others get theirs."""
        for user_id, devices in users.items():
            one_by_one = [{device_id: device} for device_id, device in devices.items()] if len(devices) > 1 else []
            for some in (devices, *one_by_one):
                try:
                    await super()._create_outbound_sessions({user_id: some}, _force_recreate_session)
                except ChattorError:
                    raise
                except Exception as error:
                    _log.info("a device of somebody cannot be given keys: %s", without_content(error))
                else:
                    if some is devices:
                        break

    async def may_read(self, device: DeviceIdentity) -> bool:
        """Whether it is trusted enough to be given keys, as far as is known."""
        if self.send_keys_min_trust <= TrustState.UNVERIFIED:
            return True
        return await self.resolve_trust(device, allow_fetch=False) >= self.send_keys_min_trust

    async def give(self, device: DeviceIdentity, key: RoomKeyEventContent) -> None:
        """In an Olm session that begins with this: who asks for a key may be unable to use those there are."""
        try:
            await self.send_encrypted_to_device(device, EventType.ROOM_KEY, key, _force_recreate_session=True)
        except (Unavailable, Unusable):
            raise
        except Exception as error:
            _log.info("a device of somebody cannot be given keys: %s", without_content(error))

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
