"""Somebody's device at a `KeyServer`, which talks to the bot's and our ghosts'."""

from __future__ import annotations

import json
import secrets

from mautrix.crypto import OlmAccount, OutboundGroupSession
from mautrix.types import DeviceID, RoomID, UserID
from olm.session import InboundSession, OlmPreKeyMessage, OutboundSession

from chattor_bridge.bridge.records import JsonObject
from tests.matrix.key_server import KeyServer

OLM, MEGOLM = "m.olm.v1.curve25519-aes-sha2", "m.megolm.v1.aes-sha2"


class OlmDevice:
    """Published when it is made, with ``one_time_keys`` keys."""

    def __init__(self, server: KeyServer, user: str, device_id: str, *, one_time_keys: int = 20) -> None:
        self._server = server
        self._account = OlmAccount()
        self.user, self.device_id = UserID(user), DeviceID(device_id)
        self.keys: JsonObject = self._account.get_device_keys(self.user, self.device_id).serialize()
        server.devices.setdefault(user, {})[device_id] = self.keys
        given = self._account.get_one_time_keys(
            self.user, self.device_id, self._account.max_one_time_keys // 2 - one_time_keys
        )
        server.one_time_keys.setdefault(user, {})[device_id] = {str(name): key for name, key in given.items()}

    def received(self) -> list[JsonObject]:
        """What was sent to it and can be opened, from the first on."""
        opened = []
        for user, device_id, content in self._server.sent:
            if (user, device_id) == (self.user, self.device_id) and content.get("algorithm") == OLM:
                message = OlmPreKeyMessage(content["ciphertext"][self._account.identity_key]["body"])
                session = InboundSession(self._account, message, content["sender_key"])
                opened.append(json.loads(session.decrypt(message)))
        return opened

    def gives(self, to: str, session: OutboundGroupSession, *, key: str | None = None) -> JsonObject:
        """A to-device event that gives this session to a device of ``to``; ``key`` is who says to have sent it."""
        ((device_id, device),) = self._server.devices[to].items()
        _, one_time_key = self._server.one_time_keys[to][device_id].popitem()
        identity_key = device["keys"][f"curve25519:{device_id}"]
        inner = {
            "type": "m.room_key",
            "sender": self.user,
            "sender_device": self.device_id,
            "keys": {"ed25519": self._account.signing_key},
            "recipient": to,
            "recipient_keys": {"ed25519": device["keys"][f"ed25519:{device_id}"]},
            "content": {
                "algorithm": MEGOLM,
                "room_id": session.room_id,
                "session_id": session.id,
                "session_key": session.session_key,
            },
        }
        message = OutboundSession(self._account, identity_key, one_time_key["key"]).encrypt(json.dumps(inner))
        content = {
            "algorithm": OLM,
            "sender_key": key or self._account.identity_key,
            "ciphertext": {identity_key: {"type": 0, "body": message.ciphertext}},
        }
        return {"type": "m.room.encrypted", "sender": self.user, "content": content}

    def asks(self, room_id: RoomID, session_id: str) -> JsonObject:
        """A to-device event that asks for a session's key."""
        return {
            "type": "m.room_key_request",
            "sender": self.user,
            "content": {
                "action": "request",
                "body": {"algorithm": MEGOLM, "room_id": room_id, "session_id": session_id},
                "request_id": secrets.token_hex(4),
                "requesting_device_id": self.device_id,
            },
        }
