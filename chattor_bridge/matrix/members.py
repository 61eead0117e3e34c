"""The people in a room, and what they are called there: asked for once, until one comes, goes or changes names."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from mautrix.api import Method, Path

from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.client import Client

ROOMS_AT_HAND = 1_000
"""Rooms whose members are remembered, the oldest forgotten first."""

HERE = ("join", "invite")
"""Who is in a room, or may read what is said before they come."""


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody in a room or invited to it. ``name`` is empty where they have none there."""

    user: MatrixUserId
    name: str


class Members:
    """Give it every transaction of the homeserver (`heard`)."""

    def __init__(self, client: Client, household: Household) -> None:
        self._client = client
        self._household = household
        self._known: OrderedDict[MatrixRoomId, list[Member]] = OrderedDict()
        self._changes = 0

    def heard(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Forget what these events may have changed."""
        for event in events:
            room_id = event.get("room_id")
            if event.get("type") == "m.room.member" and isinstance(room_id, str):
                self._changes += 1
                self._known.pop(MatrixRoomId(room_id), None)

    async def of(self, user: MatrixUserId, room_id: MatrixRoomId) -> list[Member]:
        """All but those of ours, as ``user`` is told.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        if room_id not in self._known:
            before = self._changes
            answer = await self._client.call(user, Method.GET, Path.v3.rooms[room_id].members)
            while len(self._known) >= ROOMS_AT_HAND:
                self._known.popitem(last=False)
            members = [
                Member(MatrixUserId(event["state_key"]), str(content.get("displayname") or ""))
                for event in answer.get("chunk", [])
                if (content := event.get("content", {})).get("membership") in HERE
                and not self._household.is_ours(event["state_key"])
            ]
            if before != self._changes:  # something changed meanwhile
                return members
            self._known[room_id] = members
        return self._known[room_id]
