"""Rooms the bridge opens: one portal per conversation, and management rooms.

Creating a room is the one request that cannot be repeated under a transaction id, so each room carries, from its very
creation, a state event that says what it is for; after a crash between creating and saving it is found again by that.
The owner is invited only after the room is saved: whatever they say in it then has somewhere to go.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.features import FEATURES, ROOM_FEATURES
from chattor_bridge.bridge.look import BOT_NAME, NAMELESS, Look
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Clock

BRIDGE_STATES = ("m.bridge", "uk.half-shot.bridge")
"""MSC2346, under its final and its unstable name: which network a room leads to."""

FUNCTIONAL_MEMBERS = "io.element.functional_members"
"""MSC4171: who is in a room only to serve it, so that a chat with a friend and the bot is named after the friend."""

MANAGEMENT_STATE = "chattor_bridge.management"
"""Names the owner of a management room the bot opened."""

SPACE_PARENT = "m.space.parent"

NO_PREVIEWS = {"type": "org.matrix.room.preview_urls", "state_key": "", "content": {"disable": True}}
"""Element's word for it: clients ask the homeserver to fetch what a link leads to, and whoever sent the link would
learn from its own web server where that homeserver is."""

ROOM_LOST = frozenset({"M_FORBIDDEN", "M_NOT_FOUND", "M_UNKNOWN"})
"""Error codes that may mean the room we knew is closed to us: left, purged or shut down."""

SECLUDED: tuple[JsonObject, ...] = (
    {"type": "m.room.history_visibility", "state_key": "", "content": {"history_visibility": "invited"}},
    {"type": "m.room.guest_access", "state_key": "", "content": {"guest_access": "forbidden"}},
)
"""Who is let in sees nothing of what was said before; somebody without an account is never let in."""

ADMIN_POWER = 100

OWNER_POWER = 50
"""An owner may invite others to a portal, remove them, encrypt it and replace it by a new room; those may do none of
it, and nobody but the bot and the ghost can let strangers in, show them the room, or say where it leads."""

_OWNERS_OWN = ("m.room.name", "m.room.avatar", "m.room.topic", "m.room.encryption", "m.room.tombstone")

MANAGEMENT_TOPIC = "Write help to see what I can do"


class PortalRooms:
    """Opens and renames the rooms of conversations."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, conversations: Conversations) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversations = conversations

    async def open(self, portal: Portal, look: Look) -> MatrixRoomId:
        """The portal's room, its ghost and the bot in it and its owner invited. Repeating it changes nothing.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        await self._homeserver.ensure_user(self._homeserver.bot, BOT_NAME)
        await self._homeserver.ensure_user(portal.ghost, NAMELESS)
        room_id = portal.room_id or await self._find(portal) or await self._create(portal, look)
        if portal.room_id != room_id:
            portal = replace(portal, room_id=room_id)
            async with self._store.transaction() as tx:
                await self._store.portals.move(tx, portal.node_id, portal.peer_id, room_id)
                await self._conversations.tend(tx, portal.owner)
        await self.bring_bot(portal.ghost, room_id)
        await self.show(portal, look)
        await invite_to_chat(self._homeserver, portal.ghost, room_id, portal.owner)
        async with self._store.transaction() as tx:
            await self._conversations.tend_puppet(tx, portal.owner)
        return room_id

    async def show(self, portal: Portal, look: Look) -> None:
        """Have room and ghost look so, and the room say what it is and can do; what does so already is left alone.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        if portal.room_id is None:
            return
        await self._homeserver.ensure_user(portal.ghost, NAMELESS)
        look = await self._with_address(portal.ghost, portal.room_id, look)
        member = {"membership": "join", "displayname": look.name, **_if_any("avatar_url", look.avatar)}
        wanted = [*self._states(portal.ghost, look), ("m.room.member", portal.ghost, member)]
        await self._set(portal.ghost, portal.room_id, wanted)

    async def _with_address(self, ghost: MatrixUserId, room_id: MatrixRoomId, look: Look) -> Look:
        """The same, with its picture at the homeserver: where it lies already, if it does."""
        if look.picture is None:
            return look
        shown = (await self._homeserver.get_state(ghost, room_id, "m.room.avatar") or {}).get("url")
        before = shown if isinstance(shown, str) else None
        return replace(look, avatar=await self._homeserver.picture_address(ghost, look.picture, before))

    async def _set(
        self, user: MatrixUserId, room_id: MatrixRoomId, wanted: Sequence[tuple[str, str, JsonObject]]
    ) -> None:
        """Have the room's state so, where it is not and ``user`` has the power."""
        state = await self._homeserver.room_state(user, room_id)
        now = {(event["type"], event["state_key"]): event["content"] for event in state}
        for event_type, key, content in wanted:
            if now.get((event_type, key), {}) == content:
                continue
            try:
                await self._homeserver.set_state(user, room_id, event_type, content, key)
            except HomeserverRefused as error:
                if error.errcode != "M_FORBIDDEN":  # as a ghost may be in a room that its owner made
                    raise

    async def seclude(self, ghost: MatrixUserId, room_id: MatrixRoomId) -> None:
        """Keep strangers away from a room that its owner made, as far as its ghost has the power to.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        levels = await self._homeserver.get_state(ghost, room_id, "m.room.power_levels") or {}
        raised = {**levels, "invite": max(levels.get("invite", 0), OWNER_POWER)}
        secluded = [(event["type"], "", event["content"]) for event in SECLUDED]
        await self._set(ghost, room_id, [*secluded, ("m.room.power_levels", "", raised)])

    async def unbridge(self, ghost: MatrixUserId, room_id: MatrixRoomId) -> None:
        """Let a portal's room say no longer that it leads anywhere.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        for event in await self._homeserver.room_state(ghost, room_id):
            led = event["type"] == SPACE_PARENT or event["state_key"] == bridge_key(ghost)
            if led and event["content"]:
                await self._homeserver.set_state(ghost, room_id, event["type"], {}, event["state_key"])

    async def _find(self, portal: Portal) -> MatrixRoomId | None:
        async def is_it(room_id: MatrixRoomId) -> bool:
            key = bridge_key(portal.ghost)
            return await self._homeserver.get_state(portal.ghost, room_id, BRIDGE_STATES[0], key) is not None

        return await _first_joined(self._homeserver, portal.ghost, is_it)

    async def _create(self, portal: Portal, look: Look) -> MatrixRoomId:
        room_id = await self._homeserver.create_room(
            portal.ghost,
            name=None,
            topic=None,
            invite=[self._homeserver.bot],
            is_direct=True,
            initial_state=[
                *(
                    {"type": event_type, "state_key": key, "content": content}
                    for event_type, key, content in self._states(portal.ghost, look)
                    if content
                ),
                NO_PREVIEWS,
                *SECLUDED,
            ],
            power=_power({self._homeserver.bot: ADMIN_POWER, portal.owner: OWNER_POWER}),
        )
        failpoint("room-created")
        return room_id

    async def bring_bot(self, ghost: MatrixUserId, room_id: MatrixRoomId) -> None:
        """Have the bot in the room. Raises: HomeserverUnavailable, HomeserverRefused."""
        bot = self._homeserver.bot
        member = await self._homeserver.get_state(ghost, room_id, "m.room.member", bot) or {}
        if member.get("membership") == "join":
            return
        if member.get("membership") != "invite":
            await self._homeserver.invite(ghost, room_id, bot)
        await self._homeserver.join(bot, room_id)

    def _states(self, ghost: MatrixUserId, look: Look) -> list[tuple[str, str, JsonObject]]:
        """What a portal's room says of itself: type, state key and content."""
        bridge: JsonObject = {
            "bridgebot": self._homeserver.bot,
            "creator": ghost,
            "protocol": {"id": "chattor", "displayname": "Chattor"},
            "channel": {"id": bridge_key(ghost), "displayname": look.name, **_if_any("avatar_url", look.avatar)},
        }
        return [
            ("m.room.name", "", {"name": look.name}),
            ("m.room.topic", "", {"topic": look.topic}),
            ("m.room.avatar", "", _if_any("url", look.avatar)),
            *((event_type, bridge_key(ghost), bridge) for event_type in BRIDGE_STATES),
            (ROOM_FEATURES, bridge_key(ghost), FEATURES),
            (FUNCTIONAL_MEMBERS, "", {"service_members": [self._homeserver.bot]}),
        ]


class ManagementRooms:
    """Opens rooms in which owners talk to the bot."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, clock: Clock) -> None:
        self._store = store
        self._homeserver = homeserver
        self._clock = clock

    async def of(self, owner: MatrixUserId, *, again: bool) -> MatrixRoomId:
        """The owner's management room, opened if there is none. ``again`` says that an earlier try may have been cut
        off anywhere.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        async with self._store.transaction() as tx:
            room_id = await self._store.management_rooms.of_owner(tx, owner)
        if room_id is None:
            return await self.open(owner, again=again)
        if again:
            await self._invite_if_mine(room_id, owner)
        return room_id

    async def open(self, owner: MatrixUserId, *, again: bool) -> MatrixRoomId:
        """A new room with the owner invited, or with ``again`` the one an earlier try left behind."""
        bot = self._homeserver.bot
        await self._homeserver.ensure_user(bot, BOT_NAME)
        room_id = await self._find(owner) if again else None
        if room_id is None:
            room_id = await self._homeserver.create_room(
                bot,
                name=BOT_NAME,
                topic=MANAGEMENT_TOPIC,
                invite=[],
                is_direct=True,
                initial_state=[NO_PREVIEWS, {"type": MANAGEMENT_STATE, "state_key": "", "content": {"owner": owner}}],
            )
            failpoint("room-created")
        async with self._store.transaction() as tx:
            await self._store.management_rooms.save(tx, owner, room_id, self._clock.now())
        await invite_to_chat(self._homeserver, bot, room_id, owner)
        return room_id

    async def _find(self, owner: MatrixUserId) -> MatrixRoomId | None:
        """One that was made and not saved: those that were are known, and of no use any more."""
        bot = self._homeserver.bot
        async with self._store.transaction() as tx:
            known = await self._store.management_rooms.all_of_owner(tx, owner)

        async def is_it(room_id: MatrixRoomId) -> bool:
            if room_id in known:
                return False
            state = await self._homeserver.get_state(bot, room_id, MANAGEMENT_STATE)
            if state is None or state.get("owner") != owner:
                return False
            # anybody can write that into a room of theirs; in one of ours there is nobody but its owner
            return set(await self._homeserver.joined_members(bot, room_id)) <= {bot, owner}

        return await _first_joined(self._homeserver, bot, is_it)

    async def _invite_if_mine(self, room_id: MatrixRoomId, owner: MatrixUserId) -> None:
        bot = self._homeserver.bot
        if await self._homeserver.get_state(bot, room_id, MANAGEMENT_STATE) is not None:
            await invite_to_chat(self._homeserver, bot, room_id, owner)


async def invite_to_chat(
    homeserver: Homeserver, user: MatrixUserId, room_id: MatrixRoomId, invitee: MatrixUserId
) -> None:
    """Invite as to a direct chat, unless they are in the room or invited already.

    Written as state, because the invite request has no place for ``is_direct``, by which clients sort the room.
    """
    member = await homeserver.get_state(user, room_id, "m.room.member", invitee) or {}
    if member.get("membership") not in ("join", "invite"):
        content = {"membership": "invite", "is_direct": True}
        await homeserver.set_state(user, room_id, "m.room.member", content, invitee)


async def _first_joined(
    homeserver: Homeserver, user: MatrixUserId, is_it: Callable[[MatrixRoomId], Awaitable[bool]]
) -> MatrixRoomId | None:
    for room_id in await homeserver.joined_rooms(user):
        try:
            if await is_it(room_id):
                return room_id
        except HomeserverRefused:  # left meanwhile
            continue
    return None


def _power(users: dict[MatrixUserId, int]) -> JsonObject:
    return {
        "users": users,
        "invite": OWNER_POWER,
        "state_default": ADMIN_POWER,
        "events": dict.fromkeys(_OWNERS_OWN, OWNER_POWER),
    }


def _if_any(key: str, value: str | None) -> JsonObject:
    return {} if value is None else {key: value}


def bridge_key(ghost: MatrixUserId) -> str:
    """By which a portal says of itself what bridge it leads over."""
    return f"chattor_bridge:{ghost}"
