"""Somebody at the homeserver who is not ours, and gave us an access token: the `chattor_bridge.bridge.ports.Person`."""

from __future__ import annotations

from mautrix.api import Method, Path

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.client import Client


class MatrixPerson:
    """Acts as whoever the token belongs to."""

    def __init__(self, client: Client, token: str) -> None:
        self._client = client
        self._token = token

    async def whoami(self) -> MatrixUserId:
        answer = await self._client.call_with(self._token, Method.GET, Path.v3.account.whoami)
        return MatrixUserId(str(answer.get("user_id")))

    async def joined_rooms(self) -> list[MatrixRoomId]:
        answer = await self._client.call_with(self._token, Method.GET, Path.v3.joined_rooms)
        return [MatrixRoomId(str(room)) for room in answer.get("joined_rooms", [])]

    async def join(self, room_id: MatrixRoomId) -> None:
        await self._client.call_with(self._token, Method.POST, Path.v3.rooms[room_id].join, {})

    async def account_data(self, user: MatrixUserId, kind: str) -> JsonObject | None:
        try:
            return await self._client.call_with(self._token, Method.GET, Path.v3.user[user].account_data[kind])
        except HomeserverRefused as refusal:
            if refusal.errcode == "M_NOT_FOUND":
                return None
            raise

    async def set_account_data(self, user: MatrixUserId, kind: str, content: JsonObject) -> None:
        await self._client.call_with(self._token, Method.PUT, Path.v3.user[user].account_data[kind], content)
