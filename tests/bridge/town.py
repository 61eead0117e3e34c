"""A bridge with everything real but perhaps the homeserver, and Chattor friends across the memory network."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from chattor_bridge.bot.bot import Bot
from chattor_bridge.bot.notices import Announcements
from chattor_bridge.bridge.bridge import Bridge
from chattor_bridge.bridge.files.source import MediaSources
from chattor_bridge.bridge.permissions import Level, LevelOf
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.ids import EventId, MatrixUserId
from chattor_bridge.matrix import text
from chattor_bridge.node.carrying.records import CarryPolicy
from chattor_bridge.node.clock import SteadyClock, SystemClock
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.happenings import EventArrived, KnockReceived
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Clock, Observer
from chattor_bridge.protocol.events import Receipt
from chattor_bridge.storage.key import StoreKey
from chattor_bridge.storage.parts import DiskParts
from chattor_bridge.storage.store import Store, open_store
from chattor_bridge.transport.memory import MemoryNetwork
from tests.bridge.fake_homeserver import BOT, DOMAIN, WAIT, FakeHomeserver, Room
from tests.node.world import Shelf
from tests.peer import PEER_OWNER, Ears, Peer
from tests.postgres import Databases, sqlite_databases

ALICE = MatrixUserId(f"@alice:{DOMAIN}")
STRANGER = MatrixUserId("@mallory:elsewhere.test")

FRIEND_NAME = "Bob"

QUICK = Pace(
    start_jitter=0,
    dial_first=0.1,
    dial_most=1,
    knock_first=0.1,
    knock_most=1,
    deposit_wait=0.5,
    deposit_jitter=0,
    deposit_gathering=0.1,
    repair_first=0.1,
)
"""The memory network answers at once, so waiting proves nothing."""

WORK_BITS = 4
"""Leading zero bits of a knock's stamp: none worth mentioning."""


FETCHED_UNASKED = 10_000_000
KEPT_OF_FRIEND, KEPT_IN_ALL = 100_000_000, 150_000_000
"""Bytes of files."""

HOME = DOMAIN
"""Everybody here may use the bridge, and nobody else."""


class MovableClock(SystemClock):
    """That of the machine, which somebody set: ``ahead`` by so many seconds."""

    ahead = 0

    def now(self) -> int:
        return super().now() + self.ahead


def level_of(user: MatrixUserId) -> Level:
    return Level.USER if user.endswith(f":{HOME}") else Level.NONE


def make_bridge(
    store: Store,
    network: MemoryNetwork,
    homeserver: Homeserver,
    clock: Clock,
    parts: Path,
    allowed: LevelOf = level_of,
) -> Bridge:
    files = FileSettings(MediaSources(homeserver), DiskParts(parts), 0, KEPT_OF_FRIEND, KEPT_IN_ALL)

    def make_host(observer: Observer) -> NodeHost:
        transport = network.transport()
        return NodeHost(
            store,
            transport,
            clock,
            secrets.token_bytes,
            observer,
            pace=QUICK,
            work_bits=WORK_BITS,
            effort_bits=0,
            files=files,
            carry_policy=CarryPolicy(automatic=True),
        )

    return Bridge(
        store=store,
        make_host=make_host,
        make_bot=Bot,
        make_announcer=Announcements,
        homeserver=homeserver,
        conversion=text,
        clock=SteadyClock(clock),
        level_of=allowed,
        fetch_unasked=FETCHED_UNASKED,
    )


@asynccontextmanager
async def chattor_friend(
    directory: Path, network: MemoryNetwork, name: str = FRIEND_NAME, *, databases: Databases = sqlite_databases
) -> AsyncIterator[Peer]:
    """A node of its own with a store of its own, at work."""
    ears, shelf = Ears(), Shelf()
    url = databases(f"{directory / name}.db")
    async with open_store(url, StoreKey(secrets.token_bytes(32))) as store:
        transport, clock = network.transport(), SystemClock()
        host = NodeHost(
            store,
            transport,
            clock,
            secrets.token_bytes,
            ears,
            pace=QUICK,
            work_bits=WORK_BITS,
            effort_bits=0,
            files=FileSettings(shelf, DiskParts(directory / f"{name} parts"), 0, KEPT_OF_FRIEND, KEPT_IN_ALL),
        )
        await host.start()
        try:
            async with store.transaction() as tx:
                node = await host.create(tx, PEER_OWNER, name)
            yield Peer(store, node, ears, host, shelf)
        finally:
            await host.stop()


async def marks_all_read(friend: Peer) -> None:
    """The friend reads everything that has arrived."""
    read = [h.event.event_id for h in friend.ears.happenings if isinstance(h, EventArrived)]
    peer_id = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Receipt("read", tuple(read)))


def code_in(text: str) -> str:
    """The friend code in an answer of the bot."""
    found = re.search(r"chattor:[a-z2-7]{58}", text)
    assert found is not None
    return found[0]


def receipts(friend: Peer) -> list[EventId]:
    """The events of the friend's it was told were read, in order."""
    return friend.ears.read()


class Town:
    """A bridge before a `FakeHomeserver`. `restart` stops it and makes another over the same database."""

    def __init__(self, directory: Path, databases: Databases = sqlite_databases) -> None:
        self.directory = directory
        self.network = MemoryNetwork(directory / "net")
        self.clock = MovableClock()
        self.homeserver = FakeHomeserver(SystemClock())
        self.store = open_store(databases(f"{directory / 'bridge.db'}"), StoreKey(secrets.token_bytes(32)))
        self.levels: dict[MatrixUserId, Level] = {}
        """Permissions other than those of `level_of`."""
        self.bridge = self._make_bridge()

    def _make_bridge(self) -> Bridge:
        def allowed(user: MatrixUserId) -> Level:
            return self.levels.get(user, level_of(user))

        parts = self.directory / "parts"
        return make_bridge(self.store, self.network, self.homeserver, self.clock, parts, allowed)

    async def start(self) -> None:
        await self.store.start()
        await self.bridge.start()

    async def stop(self) -> None:
        await self.bridge.stop()
        await self.store.stop()

    async def restart(self) -> None:
        await self.stop()
        await self.start_again()

    async def start_again(self) -> None:
        self.bridge = self._make_bridge()
        await self.start()

    async def deliver(self, *, twice: bool = False) -> None:
        await self.homeserver.deliver(self.bridge.accept, twice=twice)

    # --- the bot ---------------------------------------------------------------------------------------------------

    async def open_management(self, person: str = ALICE) -> Room:
        """The bot is invited and has said hello."""
        room = self.homeserver.rooms[self.homeserver.person_creates_room(person, BOT)]
        await self.deliver()
        await self.homeserver.until(lambda: bool(room.bodies(BOT)))
        return room

    async def ask(self, room: Room, text: str, person: str = ALICE) -> str:
        """What the bot answers to this: the next thing it says in the room, once it has said all it had to say."""
        await self.idle()
        before = len(room.bodies(BOT))
        self.homeserver.person_says(person, room.room_id, text)
        await self.deliver()
        await self.homeserver.until(lambda: len(room.bodies(BOT)) > before)
        return room.bodies(BOT)[before]

    # --- portals ---------------------------------------------------------------------------------------------------

    async def befriend(self, friend: Peer, person: str = ALICE) -> Room:
        """Somebody new to the bridge adds the friend, who accepts; the portal, joined and welcomed to."""
        management = await self.open_management(person)
        await self.ask(management, "start Alice", person)
        knocks = _knocks(friend)
        await self.ask(management, f"add {await friend.new_code()} hello", person)
        await friend.ears.wait_until(lambda: _knocks(friend) > knocks, WAIT)
        await friend.accept_next(WAIT)
        return await self.joined_portal(person)

    async def joined_portal(self, person: str = ALICE) -> Room:
        """The portal to which this person was invited, after they joined and the bot said its welcome."""

        def invited() -> list[Room]:
            rooms = self.homeserver.rooms.values()
            return [room for room in rooms if room.membership(person) == "invite" and not room.is_space]

        await self.homeserver.until(lambda: bool(invited()))
        room = invited()[0]
        await self.homeserver.until(lambda: bool(room.bodies(BOT)))
        self.homeserver.person_sets_membership(person, room.room_id, "join")
        await self.deliver()
        return room

    async def portal(self, room: Room) -> Portal:
        async with self.store.transaction() as tx:
            portal = await self.store.portals.by_room(tx, room.room_id)
        assert portal is not None
        return portal

    async def forget_capabilities(self, room: Room, *event_types: str) -> None:
        """As if the friend's program did not know these types of events."""
        portal = await self.portal(room)
        async with self.store.transaction() as tx:
            contact = await self.store.contacts.for_update(tx, portal.node_id, portal.peer_id)
            assert contact is not None
            known = tuple(one for one in contact.capabilities if one not in event_types)
            await self.store.contacts.save(tx, replace(contact, capabilities=known))

    async def say(self, room: Room, text: str, person: str = ALICE) -> str:
        """Say it, and bring it to the bridge; the Matrix event id."""
        event_id = self.homeserver.person_says(person, room.room_id, text)
        await self.deliver()
        return event_id

    async def send(self, room: Room, content: JsonObject, kind: str = "m.room.message", person: str = ALICE) -> str:
        event_id = self.homeserver.person_sends(person, room.room_id, content, kind)
        await self.deliver()
        return event_id

    async def idle(self) -> None:
        """Wait until nothing is left to do. Raises: TimeoutError."""
        await until_idle(self.bridge)


def _knocks(friend: Peer) -> int:
    return sum(isinstance(happening, KnockReceived) for happening in friend.ears.happenings)


async def until_idle(bridge: Bridge) -> None:
    """Wait until the bridge has nothing left to do. Raises: TimeoutError."""
    async with asyncio.timeout(WAIT):
        while (status := await bridge.status()).inbox + status.actions:  # noqa: ASYNC110 - the database tells nobody
            await asyncio.sleep(0.02)
