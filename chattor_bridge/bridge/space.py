"""The space of an owner: a room of Matrix that groups their conversations in the list of their client.

It belongs to the bot, holds one person, and nothing is said in it. What it should hold is what the portals of its owner
say, so there is one deed, *tending* it: whatever happened, and whatever was cut off, tending it once more makes it
right.
"""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.look import BOT_NAME
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject, PendingAction, Portal
from chattor_bridge.bridge.rooms import ADMIN_POWER, ROOM_LOST, SECLUDED, SPACE_PARENT
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction

SPACE_STATE = "chattor_bridge.space"
"""Names the owner of a space the bot opened, by which it is found again after a crash."""

CHILD = "m.space.child"

SPACE_NAME = BOT_NAME
SPACE_TOPIC = "Your conversations over Chattor"

FIRST = "1"
"""Where the room with the bot stands: what has an ``order`` comes before what has none."""

_POWER: JsonObject = {
    "users_default": 0,
    "events": {},
    **dict.fromkeys(("events_default", "state_default", "invite", "kick", "ban", "redact"), ADMIN_POWER),
}
"""Nobody but the bot can say, change or invite anything."""


class Spaces:
    """Makes, tends and closes spaces. Each method may be cut off anywhere and run again from its start."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, conversations: Conversations) -> None:
        self._conversations = conversations
        self._store = store
        self._homeserver = homeserver

    async def tend(self, action: actions.TendSpace, pending: PendingAction) -> Deed:
        """Have the space there, its owner invited, and in it what belongs in it.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        owner = MatrixUserId(action.owner)
        async with self._store.transaction() as tx:
            space = await self._store.spaces.of_owner(tx, owner)
            portals = [  # one whose node was removed is about to be closed
                portal
                for portal in await self._store.portals.of_owner(tx, owner)
                if await self._store.nodes.get(tx, portal.node_id) is not None
            ]
            management = await self._store.management_rooms.of_owner(tx, owner)
        shown = {portal.room_id: portal for portal in portals if portal.room_id and portal.merged_into is None}
        if space.unwanted or (space.room_id is None and not shown):
            return nothing
        again = pending.attempts > 0
        room_id = space.room_id or await self._open(owner, again=again)
        try:
            await self._arrange(owner, room_id, shown, management)
        except HomeserverRefused as error:
            if space.room_id is None or error.errcode not in ROOM_LOST:
                raise
            room_id = await self._open(owner, again=again)
            await self._arrange(owner, room_id, shown, management)
        return partial(self._conversations.tend_puppet, owner=owner)

    async def close(self, action: actions.CloseSpace) -> Deed:
        """Send its owner out of a space that is not wanted any more, and leave it.

        Raises: HomeserverUnavailable, DatabaseUnavailable.
        """
        owner, bot = MatrixUserId(action.owner), self._homeserver.bot
        async with self._store.transaction() as tx:
            space = await self._store.spaces.of_owner(tx, owner)
        rooms = {MatrixRoomId(room) for room in (action.room, space.room_id) if room is not None}
        if not rooms and action.search:
            found = await self._find(owner)
            rooms = set() if found is None else {found}
        for room_id in rooms:
            with suppress(HomeserverRefused):  # gone already
                if await self._membership(room_id, owner) in ("join", "invite"):
                    await self._put(room_id, "m.room.member", owner, {"membership": "leave"})
                await self._homeserver.leave(bot, room_id)

        async def deed(tx: Transaction) -> None:
            if action.forget:
                await self._store.spaces.remove(tx, owner)
            for room_id in rooms:
                await self._store.spaces.leave(tx, room_id)

        return deed

    async def _open(self, owner: MatrixUserId, *, again: bool) -> MatrixRoomId:
        bot = self._homeserver.bot
        await self._homeserver.ensure_user(bot, BOT_NAME)
        room_id = await self._find(owner) if again else None
        if room_id is None:
            room_id = await self._homeserver.create_room(
                bot,
                name=SPACE_NAME,
                topic=SPACE_TOPIC,
                invite=[],
                is_direct=False,
                initial_state=[{"type": SPACE_STATE, "state_key": "", "content": {"owner": owner}}, *SECLUDED],
                power={**_POWER, "users": {bot: ADMIN_POWER}},
                is_space=True,
            )
            failpoint("space-created")
        async with self._store.transaction() as tx:
            await self._store.spaces.move(tx, owner, room_id)
        return room_id

    async def _find(self, owner: MatrixUserId) -> MatrixRoomId | None:
        """One that an earlier try left behind. Anybody can write such a state into a room of theirs, and make that a
        space; but in one of ours nobody else has ever had the power to."""
        bot = self._homeserver.bot
        for room_id in await self._homeserver.joined_rooms(bot):
            with suppress(HomeserverRefused):  # left meanwhile
                if await self._homeserver.get_state(bot, room_id, SPACE_STATE) != {"owner": owner}:
                    continue
                state = await self._homeserver.room_state(bot, room_id)
                if any(event["type"] == "m.room.create" and event["sender"] == bot for event in state):
                    return room_id
        return None

    async def _arrange(
        self,
        owner: MatrixUserId,
        space: MatrixRoomId,
        shown: dict[MatrixRoomId, Portal],
        management: MatrixRoomId | None,
    ) -> None:
        via = [self._homeserver.domain]
        state = await self._homeserver.room_state(self._homeserver.bot, space)
        children = {
            MatrixRoomId(event["state_key"])
            for event in state
            if event["type"] == CHILD and event["content"].get("via")
        }
        for room_id, portal in shown.items():
            if room_id not in children:
                with suppress(HomeserverRefused):  # in a room that its owner made, a ghost may not have that power
                    await self._homeserver.set_state(
                        portal.ghost, room_id, SPACE_PARENT, {"via": via, "canonical": True}, space
                    )
                await self._put(space, CHILD, room_id, {"via": via})
        if management is not None and management not in children:
            await self._put(space, CHILD, management, {"via": via, "order": FIRST})
        for room_id in children - shown.keys() - {management}:
            await self._put(space, CHILD, room_id, {})
        if await self._membership(space, owner) not in ("join", "invite"):
            await self._homeserver.invite(self._homeserver.bot, space, owner)

    async def _membership(self, room_id: MatrixRoomId, user: MatrixUserId) -> object:
        member = await self._homeserver.get_state(self._homeserver.bot, room_id, "m.room.member", user) or {}
        return member.get("membership")

    async def _put(self, room_id: MatrixRoomId, event_type: str, key: str, content: JsonObject) -> None:
        await self._homeserver.set_state(self._homeserver.bot, room_id, event_type, content, key)
