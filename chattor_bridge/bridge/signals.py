"""Typing and presence, both ways: what people see of each other right now.

Nothing here is stored, and nothing is tried again: what could not be shown at once is over. Of several things that
happen while the homeserver or the database is slow, the last is shown. Whether a friend may see anything of an owner
the node decides (`chattor_bridge.node.disclosure`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Sequence

from chattor_bridge.bridge.permissions import Level, LevelOf
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverRefused, NotFound, Unavailable
from chattor_bridge.ids import MatrixRoomId, MatrixUserId, NodeId, PeerId
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import describe, heed_cancellation
from chattor_bridge.node.ports import Clock
from chattor_bridge.node.preferences import Shared
from chattor_bridge.protocol.limits import TYPING_LIFETIME, TYPING_REPEAT
from chattor_bridge.protocol.signals import Here, Presence, Signal, Typing

ROUND = 1.0
"""Seconds between two rounds: of a friend who signals as fast as it may, the homeserver hears once in this time."""

LONGEST_TYPING = 120.0
"""Seconds after which somebody has stopped typing even if the homeserver never said so: it says a change once, and not
again when we were away."""

PRESENCE_REPEAT = 20.0
"""Seconds after which a ghost that is there is said to be there again: Synapse takes a user for gone after 30 seconds
without a sign of life."""

MOST_SHOWN = 200
"""Ghosts whose presence is kept up, ten requests a second: those who came first. Others fade to offline."""

MOST_WAITING = 10_000
"""Changes kept for the next round. What is more is passed over."""

IN_MATRIX = {Here.ONLINE: "online", Here.AWAY: "unavailable", Here.OFFLINE: "offline", Here.UNKNOWN: "offline"}
HERE = {"online": Here.ONLINE, "unavailable": Here.AWAY, "offline": Here.OFFLINE}

log = logging.getLogger(__name__)


class Signals:
    """Brings signals over, round by round."""

    def __init__(
        self, store: BridgeStore, host: NodeHost, homeserver: Homeserver, clock: Clock, level_of: LevelOf
    ) -> None:
        self._store = store
        self._host = host
        self._homeserver = homeserver
        self._clock = clock
        self._level_of = level_of
        self._of_friends: dict[tuple[NodeId, PeerId, str], Signal] = {}
        self._of_rooms: dict[MatrixRoomId, frozenset[str]] = {}
        self._of_owners: dict[MatrixUserId, Here] = {}
        self._unknown: set[MatrixUserId] = set()
        self._typing: dict[MatrixRoomId, float] = {}
        self._shown: dict[MatrixUserId, tuple[Here, float]] = {}
        self._news = asyncio.Event()

    def friend_signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        """A friend shows this of itself. Never blocks."""
        if len(self._of_friends) < MOST_WAITING:
            self._of_friends[node_id, peer_id, signal.TYPE] = signal
            self._news.set()

    def noticed(self, ephemeral: Sequence[JsonObject]) -> None:
        """What the homeserver brought: ``m.typing`` and ``m.presence`` of people; other events are passed over. Never
        blocks."""
        for event in ephemeral:
            match event:
                case {"type": "m.typing", "room_id": str(room_id), "content": {"user_ids": list(users)}}:
                    if len(self._of_rooms) < MOST_WAITING:
                        self._of_rooms[MatrixRoomId(room_id)] = frozenset(users)
                case {"type": "m.presence", "sender": str(user), "content": {"presence": str(state)}}:
                    if len(self._of_owners) < MOST_WAITING and self._host.node_of(user) is not None:
                        self._of_owners[MatrixUserId(user)] = HERE.get(state, Here.UNKNOWN)
                case _:
                    continue
            self._news.set()

    def look(self, owner: MatrixUserId) -> None:
        """Find out whether this owner is there: somebody may see it now, and a homeserver tells changes only."""
        self._unknown.add(owner)
        self._news.set()

    def hurry(self) -> None:
        """The homeserver seems to be back."""
        self._news.set()

    async def run(self) -> None:
        """Until cancelled."""
        await self._attempt(self._look_at_all())
        while True:
            if not self._typing and not self._shown:
                await self._news.wait()
            self._news.clear()
            await self._bring()
            await self._clock.sleep(ROUND)

    async def _bring(self) -> None:
        friends, self._of_friends = self._of_friends, {}
        rooms, self._of_rooms = self._of_rooms, {}
        owners, self._of_owners = self._of_owners, {}
        for (node_id, peer_id, _type), signal in friends.items():
            await self._attempt(self._show(node_id, peer_id, signal))
        for room_id, users in rooms.items():
            await self._attempt(self._typed(room_id, users))
        for owner, state in owners.items():
            await self._attempt(self._be(owner, state))
        for owner in list(self._unknown):
            await self._attempt(self._find_out(owner))
        await self._keep_up()

    async def _attempt(self, work: Awaitable[None]) -> None:
        try:
            await work
        except (Unavailable, HomeserverRefused, NotFound) as error:
            log.debug("a signal was passed over: %s", describe(error))
        except Exception as error:  # whatever it was, it is worth nobody's message
            heed_cancellation()
            log.error("a signal could not be brought over: %s", describe(error))

    # --- from friends ------------------------------------------------------------------------------------------------

    async def _show(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_peer(tx, node_id, peer_id)
        if portal is None or portal.room_id is None:
            return
        match signal:
            case Typing(on):
                await self._homeserver.set_typing(portal.ghost, portal.room_id, TYPING_LIFETIME if on else 0)
            case Presence(state):
                await self._show_presence(portal.ghost, state)

    async def _show_presence(self, ghost: MatrixUserId, state: Here) -> None:
        if state in (Here.ONLINE, Here.AWAY) and (ghost in self._shown or len(self._shown) < MOST_SHOWN):
            self._shown[ghost] = state, self._clock.monotonic()
        else:
            self._shown.pop(ghost, None)
        await self._homeserver.set_presence(ghost, IN_MATRIX[state])

    # --- from owners -------------------------------------------------------------------------------------------------

    async def _typed(self, room_id: MatrixRoomId, users: frozenset[str]) -> None:
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_room(tx, room_id)
        if portal is None:
            return
        if portal.owner not in users:
            self._typing.pop(room_id, None)
            await self._say_typing(portal, on=False)
            return
        self._typing[room_id] = self._clock.monotonic()
        await self._say_typing(portal, on=True)

    async def _say_typing(self, portal: Portal, *, on: bool) -> None:
        node = self._host.node(portal.node_id)
        if node is not None and self._level_of(portal.owner) is not Level.NONE:
            await node.type(portal.merged_into or portal.peer_id, on=on)

    async def _be(self, owner: MatrixUserId, state: Here) -> None:
        node = self._host.node_of(owner)
        if node is not None and self._level_of(owner) is not Level.NONE:
            await node.be(state)

    async def _look_at_all(self) -> None:
        for node in self._host.nodes():
            if node.running and await node.shows(Shared.PRESENCE):
                self.look(MatrixUserId(node.owner))

    async def _find_out(self, owner: MatrixUserId) -> None:
        node = self._host.node_of(owner)
        if node is not None and node.presence is Here.UNKNOWN:
            state = await self._homeserver.presence_of(owner)
            await self._be(owner, HERE.get(state, Here.UNKNOWN))
        self._unknown.discard(owner)

    # --- what lasts --------------------------------------------------------------------------------------------------

    async def _keep_up(self) -> None:
        """Say again what fades by itself, before it does."""
        now = self._clock.monotonic()
        for ghost, (state, said_at) in list(self._shown.items()):
            if now - said_at >= PRESENCE_REPEAT:
                await self._attempt(self._show_presence(ghost, state))
        for room_id, since in list(self._typing.items()):
            age = now - since
            if age >= LONGEST_TYPING:
                await self._attempt(self._typed(room_id, frozenset()))
            elif age >= TYPING_REPEAT:
                await self._attempt(self._still_types(room_id))

    async def _still_types(self, room_id: MatrixRoomId) -> None:
        async with self._store.transaction() as tx:
            portal = await self._store.portals.by_room(tx, room_id)
        if portal is None:
            self._typing.pop(room_id, None)
        else:
            await self._say_typing(portal, on=True)
