"""What the bridge asks of the bot: that it answers what was said to it, and says what happened."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.voice import Place
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId, NodeId
from chattor_bridge.node.happenings import Happening
from chattor_bridge.node.ports import Transaction

Deed = Callable[[Transaction], Awaitable[None]]
"""What is to be done about a Matrix event, in the transaction that also takes it out of the inbox: database only."""


async def nothing(tx: Transaction) -> None:
    """The deed for what concerns nobody."""


@dataclass(frozen=True, slots=True)
class Heard:
    """Something said to the bot: in a management room, or as ``!chattor …`` in the portal given (prefix removed).

    ``text`` is ``None`` when it was no text. Answers belong to ``place``.
    """

    sender: MatrixUserId
    place: Place
    event_id: MatrixEventId
    text: str | None
    reply_to: MatrixEventId | None
    portal: Portal | None


class Listener(Protocol):
    """The bot. Its methods run outside any transaction and may read; what must last is in the deed.

    A `UsageError` from method or deed rolls everything back and is shown as the answer.
    """

    async def invited(self, sender: MatrixUserId, room_id: MatrixRoomId) -> Deed: ...
    async def heard(self, heard: Heard) -> Deed: ...
    async def reacted(self, sender: MatrixUserId, place: Place, target: MatrixEventId, emoji: str) -> Deed: ...
    async def crowded(self, owner: MatrixUserId, room_id: MatrixRoomId) -> Deed:
        """Somebody else came into the owner's management room."""


class Announcer(Protocol):
    """Says what happened to a node, in the owner's management room."""

    async def happened(self, tx: Transaction, owner: MatrixUserId, node_id: NodeId, happening: Happening) -> None:
        """Tell of a knock or a new contact, inside the transaction that made it happen: database only."""
