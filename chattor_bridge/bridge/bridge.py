"""The bridge as one object: what comes in, what is worked off, and how it starts and stops."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from chattor_bridge.bridge.conversations import Conversations
from chattor_bridge.bridge.files.offering import Offering
from chattor_bridge.bridge.files.progress import Progress
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.inbox import InboxWorker
from chattor_bridge.bridge.intake import Intake
from chattor_bridge.bridge.lane_names import FILES
from chattor_bridge.bridge.lanes import Lanes, Resting
from chattor_bridge.bridge.late_keys import LateKeys
from chattor_bridge.bridge.listener import Announcer, Listener
from chattor_bridge.bridge.missed import MissedTraffic
from chattor_bridge.bridge.observer import NodeObserver
from chattor_bridge.bridge.parking import Parking
from chattor_bridge.bridge.performer import Performer
from chattor_bridge.bridge.permissions import Level, LevelOf
from chattor_bridge.bridge.pictures import picture_of
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.router import Router
from chattor_bridge.bridge.signals import Signals
from chattor_bridge.bridge.speech.portal import PortalSpeech
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.bridge.waiting import Waiting
from chattor_bridge.bridge.worker import ActionWorker
from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import describe
from chattor_bridge.node.ports import Clock, Observer

INBOX_WIDTH = 4
"""Rooms worked off at once. It is all database work, which takes turns anyway; a few keep a slow one from blocking."""

ACTIONS_WIDTH = 16
"""Lanes worked off at once, each waiting for the homeserver most of the time: enough to keep it busy, and far below
the connections it grants."""

FILES_WIDTH = 4
"""Portals whose files are read or uploaded at once: each fills a good part of the way to the homeserver, and beside
them the actions have to get through."""

UPKEEP_INTERVAL = 3600.0
"""Seconds between two rounds of forgetting old event ids."""

STOPPING_TIME = 10.0
"""Seconds within which the workers stop; they can be cut off anywhere, so this is only ever the database's time."""

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Desk:
    """What the bot works with."""

    store: BridgeStore
    host: NodeHost
    voice: Voice
    clock: Clock
    level_of: LevelOf
    parking: Parking
    conversations: Conversations
    status: Callable[[], Awaitable[BridgeStatus]]
    look_at_presence: Callable[[MatrixUserId], None]
    picture_of: Callable[[MatrixUserId], Awaitable[bytes | None]]


@dataclass(frozen=True, slots=True)
class BridgeStatus:
    """``inbox`` Matrix events and ``actions`` for the homeserver wait, ``parked`` of either were set aside; ``resting``
    says which lanes stand still."""

    inbox: int
    actions: int
    parked: int
    resting: dict[str, Resting]


class Bridge:
    """Joins the nodes of a host with a homeserver.

    ``make_host`` gets the observer its nodes are to tell, ``make_bot`` and ``make_announcer`` what the two halves of
    the bot work with. The host is the bridge's from then on: it starts and stops it.
    """

    def __init__(
        self,
        *,
        store: BridgeStore,
        make_host: Callable[[Observer], NodeHost],
        make_bot: Callable[[Desk], Listener],
        make_announcer: Callable[[BridgeStore, Voice], Announcer],
        homeserver: Homeserver,
        conversion: TextConversion,
        clock: SteadyClock,
        level_of: LevelOf,
        fetch_unasked: int,
    ) -> None:
        self._store = store
        self._clock = clock
        self._level_of = level_of
        household = Household(homeserver.bot, homeserver.domain)
        voice = Voice(store, clock, homeserver.bot, self._wake)
        self._conversations = conversations = Conversations(store, clock, household, voice)
        self.observer = NodeObserver(store, household, voice, make_announcer(store, voice), conversations)
        self.host = make_host(self.observer)
        self._parking = Parking(store, voice, lambda room: self._inbox.wake(room), self._wake)
        bot = make_bot(
            Desk(
                store,
                self.host,
                voice,
                clock,
                level_of,
                self._parking,
                conversations,
                self.status,
                lambda owner: self._signals.look(owner),
                partial(picture_of, homeserver),
            )
        )
        self._waiting = Waiting(store, self.host, voice, clock)
        offering = Offering(store, self.host, homeserver, conversion, clock, voice, self._waiting.said)
        speech = PortalSpeech(
            store, self.host, conversion, clock, voice, level_of, bot, self._parking, self._waiting.said, offering
        )
        router = Router(store, household, voice, speech, bot, conversations)
        self._intake = Intake(store, clock, household, lambda room: self._inbox.wake(room))
        performer = Performer(
            store,
            self.host,
            homeserver,
            conversion,
            clock,
            voice,
            conversations,
            self._intake,
            household,
            offering,
            fetch_unasked=fetch_unasked,
        )
        self._inbox = Lanes("inbox", InboxWorker(store, homeserver, router, voice).step, clock, width=INBOX_WIDTH)
        worker = ActionWorker(store, performer, voice)
        self._actions = Lanes("actions", worker.step, clock, width=ACTIONS_WIDTH)
        self._files = Lanes("files", worker.step, clock, width=FILES_WIDTH)
        self._progress = Progress(store, self.host, clock, voice)
        self.lookout = MissedTraffic(store, homeserver, self._intake, clock)
        self._signals = Signals(store, self.host, homeserver, clock, level_of)
        self.observer.on_signal = self._signals.friend_signalled
        self._late_keys = LateKeys(store, homeserver, clock, self._inbox.wake)
        self._called_in_vain = False
        self._tasks: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the nodes and work off what an earlier run left. The homeserver need not be there yet.

        Raises: DatabaseUnavailable, and whatever starting the nodes does.
        """
        async with self._store.transaction() as tx:
            await self._conversations.show_new_features(tx)
            rooms = await self._store.inbox.rooms(tx)
            lanes = await self._store.actions.lanes(tx)
            await self._store.actions.interrupted(tx)
        await self.host.start(self._may_run)
        self._tasks = asyncio.create_task(self._work(), name="bridge")
        self._tasks.add_done_callback(_complain)
        for room_id in rooms:
            self._inbox.wake(room_id)
        for lane in lanes:
            self._wake(lane)

    async def stop(self) -> None:
        """Stop working, then the nodes. What is under way is found in the database at the next start."""
        if self._tasks is not None:
            self._tasks.cancel()
            await asyncio.wait({self._tasks}, timeout=STOPPING_TIME)
            self._tasks = None
        await self.host.stop()

    async def accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        """Take what the homeserver brings; when this returns it is on disk, typing and presence aside.

        Raises: Unavailable when nothing was stored.
        """
        self._hurry()  # it speaks with us, so it may listen too
        try:
            await self._intake.accept(txn_id, events, ephemeral)
        except BaseException:
            self._called_in_vain = True
            raise
        if self._called_in_vain:  # it brings the events again, and no receipt
            self._called_in_vain = False
            self.lookout.look()
        self._signals.noticed(ephemeral)

    def hurry(self) -> None:
        """The homeserver seems to be back: what waits for it is tried now instead of after its pause, and what it could
        not tell us meanwhile is asked for."""
        self._hurry()
        self.lookout.look()
        self._signals.hurry()

    def keys_came(self) -> None:
        """Keys of encrypted messages have come: those that wait for theirs are tried now, and those that were
        set aside."""
        self._inbox.hurry()
        self._late_keys.look()

    async def status(self) -> BridgeStatus:
        """How much waits, and why. Raises: DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            inbox, actions = await self._store.inbox.count(tx), await self._store.actions.count(tx)
            parked = await self._parking.count(tx)
        resting = {**self._inbox.resting(), **self._actions.resting(), **self._files.resting()}
        return BridgeStatus(inbox, actions, parked, resting)

    def _wake(self, lane: str) -> None:
        (self._files if lane.startswith(FILES) else self._actions).wake(lane)

    def _hurry(self) -> None:
        self._actions.hurry()
        self._files.hurry()

    def _may_run(self, owner: str) -> bool:
        """Somebody who may not use the bridge any more has a node that rests, until they may again."""
        return self._level_of(MatrixUserId(owner)) is not Level.NONE

    async def _work(self) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(self._inbox.run())
            group.create_task(self._actions.run())
            group.create_task(self._files.run())
            group.create_task(self._progress.run())
            group.create_task(self.lookout.run())
            group.create_task(self._late_keys.run())
            group.create_task(self._signals.run())
            group.create_task(self._waiting.run())
            group.create_task(self._keep_up())

    async def _keep_up(self) -> None:
        while True:
            try:
                await self._intake.forget()
            except Unavailable as error:
                log.info("old event ids could not be forgotten yet: %s", describe(error))
            await self._clock.sleep(UPKEEP_INTERVAL)


def _complain(task: asyncio.Task[None]) -> None:
    """Workers never end of themselves; if they do, it must not pass in silence."""
    if not task.cancelled() and (error := task.exception()) is not None:
        log.critical("the workers of the bridge have died: %s", describe(error))
