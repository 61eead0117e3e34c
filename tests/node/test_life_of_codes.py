"""The life of friend codes against a model of docs/protocol/friend-code.md, with time, knocks and crashes before any
commit: what is listed is what is there, nobody gets in who should not, and owners are told once."""

from __future__ import annotations

import asyncio
import secrets
import shutil
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chattor_bridge.errors import LimitReached
from chattor_bridge.ids import DoorId, NodeId, OnionKey
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.codes import MAX_CODES, Codes
from chattor_bridge.node.door import CLOSED, STORED, Door
from chattor_bridge.node.happenings import CodeClosed, KnockReceived
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.proving import Proving
from chattor_bridge.node.records import DoorRecord, NodeRecord
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import CodeInfo
from chattor_bridge.node.work import NodeWork
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady, Receipt
from chattor_bridge.protocol.limits import USED_UP_GRACE
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.transport.memory import MemoryNetwork
from tests.clock import FakeClock
from tests.node.world import Diary

HOUR, DAY = 3_600, 86_400

T = TypeVar("T")


class Crash(Exception):
    """The power goes, just before a commit."""


@dataclass
class Model:
    """What the specification says of one code."""

    door_id: DoorId
    label: str
    one_time: bool
    expires_at: int | None
    max_uses: int | None
    uses: int = 0
    parked: bool = False
    closes_at: int | None = None

    @property
    def ends_at(self) -> int | None:
        return min((at for at in (self.expires_at, self.closes_at) if at is not None), default=None)

    @property
    def used_up(self) -> bool:
        return self.max_uses is not None and self.uses >= self.max_uses

    def expired(self, now: int) -> bool:
        return self.ends_at is not None and self.ends_at <= now

    def ends_by(self, at: int) -> None:
        self.closes_at = at if self.closes_at is None else min(self.closes_at, at)


class Pipe:
    """One end of a stream in memory."""

    def __init__(self, incoming: asyncio.Queue[bytes], outgoing: asyncio.Queue[bytes]) -> None:
        self._incoming, self._outgoing = incoming, outgoing

    async def read(self) -> bytes:
        return await self._incoming.get()

    async def write(self, data: bytes) -> None:
        self._outgoing.put_nowait(data)

    async def close(self) -> None:
        self._outgoing.put_nowait(b"")


class LifeOfCodes(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="chattor-codes-"))
        self.store = open_store(f"sqlite:{self.directory / 'codes.db'}", StoreKey(bytes(32)))
        self.clock = FakeClock()
        self.diary = Diary()
        self.around = Surroundings(
            self.store,
            MemoryNetwork(self.directory / "network").transport(),
            SteadyClock(self.clock),
            secrets.token_bytes,
            self.diary,
            work_bits=0,
            effort_bits=0,
        )
        self.record = NodeRecord(NodeId(bytes(16)), "owner", "Anna", True, self.clock.now())
        self.made = 0
        self.knocked = 0
        self.closed = 0
        self.there: list[Model] = []
        self._start()

    def _start(self) -> None:
        self.work = NodeWork(self.around, self.record, spread=False)
        self.codes = Codes(self.around, self.record.node_id, self.work)

    @initialize()
    def begin(self) -> None:
        async def add() -> None:
            await self.store.start()
            async with self.store.transaction() as tx:
                await self.store.nodes.add(tx, self.record)

        self.run(add())

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.loop.run_until_complete(awaited())

    def do(self, work: Callable[[Transaction], Awaitable[T]], *, crash: bool) -> T | None:
        """One transaction; None when a crash took it and everything in memory away. Raises: what ``work`` raises."""

        async def transaction() -> T:
            async with self.store.transaction() as tx:
                done = await work(tx)
                if crash:
                    raise Crash
                return done

        try:
            return self.run(transaction())
        except Crash:
            self._start()
            return None

    # --- what happens ------------------------------------------------------------------------------------------------

    @rule(
        one_time=st.booleans(),
        lifetime=st.sampled_from([None, None, DAY, 3 * DAY]),
        max_uses=st.sampled_from([None, 1, 2]),
        crash=st.booleans(),
    )
    def create(self, one_time: bool, lifetime: int | None, max_uses: int | None, crash: bool) -> None:
        label, most = f"code {self.made}", None if one_time else max_uses

        def work(tx: Transaction) -> Awaitable[CodeInfo]:
            return self.codes.create_code(tx, label, one_time=one_time, lifetime=lifetime, max_uses=most)

        now = self.clock.now()
        expires_at = None if lifetime is None else now + lifetime
        self._added(work, Model(DoorId(b""), label, one_time, expires_at, 1 if one_time else most), crash)

    def _added(self, work: Callable[[Transaction], Awaitable[CodeInfo]], model: Model, crash: bool) -> bool:
        try:
            info = self.do(work, crash=crash)
        except LimitReached:
            assert len(self.there) >= MAX_CODES
            return False
        if info is None:
            return False
        assert len(self.there) < MAX_CODES
        self.made += 1
        model.door_id = info.door_id
        self.there.append(model)
        return True

    def _one(self, pick: int) -> Model | None:
        """One of those that are listed."""
        now = self.clock.now()
        listed = [one for one in self.there if not one.expired(now)]
        return listed[pick % len(listed)] if listed else None

    @precondition(lambda self: self.there)
    @rule(pick=st.integers(0, 99), crash=st.booleans())
    def retire(self, pick: int, crash: bool) -> None:
        code = self._one(pick)
        if code is not None:

            async def work(tx: Transaction) -> bool:
                await self.codes.retire_code(tx, code.door_id)
                return True

            if self.do(work, crash=crash):
                self.there.remove(code)

    @precondition(lambda self: self.there)
    @rule(pick=st.integers(0, 99), parked=st.booleans(), crash=st.booleans())
    def park(self, pick: int, parked: bool, crash: bool) -> None:
        code = self._one(pick)
        if code is not None:

            def work(tx: Transaction) -> Awaitable[CodeInfo]:
                return self.codes.park_code(tx, code.door_id, parked=parked)

            if self.do(work, crash=crash):
                code.parked = parked

    @precondition(lambda self: self.there)
    @rule(pick=st.integers(0, 99), grace=st.sampled_from([0, DAY]), crash=st.booleans())
    def rotate(self, pick: int, grace: int, crash: bool) -> None:
        code = self._one(pick)
        if code is None:
            return
        new = Model(DoorId(b""), code.label, code.one_time, code.expires_at, code.max_uses)
        before = list(self.there)
        if not grace:
            self.there.remove(code)
        if self._added(lambda tx: self.codes.rotate_code(tx, code.door_id, grace=grace), new, crash):
            code.ends_by(self.clock.now() + grace)
        else:
            self.there = before

    @precondition(lambda self: self.there)
    @rule(pick=st.integers(0, 99))
    def knock(self, pick: int) -> None:
        """Somebody new, at any door that is hosted, and at one whose time has come since."""
        code = self.there[pick % len(self.there)]
        if code.parked:
            return
        self.run(self.clock.advance(1))  # proofs are checked a few a second
        now = self.clock.now()
        closed = code.expired(now) or code.used_up
        assert self.run(self._knocks_at(code)) == (CLOSED if closed else STORED)
        if not closed:
            self.knocked += 1
            code.uses += 1
            if code.used_up:
                code.ends_by(now + USED_UP_GRACE)
                self.closed += not code.one_time

    async def _knocks_at(self, code: Model) -> str:
        async with self.store.transaction() as tx:
            (record,) = [one for one in await self._doors(tx) if one.door_id == code.door_id]
        door = Door(self.around, record, self.work.counters, Proving(self.around.clock, self.around.labour))
        there, back = asyncio.Queue[bytes](), asyncio.Queue[bytes]()
        serving = asyncio.create_task(door.serve(Pipe(there, back)))
        onion = OnionKey(ed25519_public(secrets.token_bytes(32)))
        side = KnockingSide(
            FriendCode.of_door(door.onion, record.secret),
            Introduction("Ben", "", onion),
            static_key=secrets.token_bytes(32),
            random=secrets.token_bytes,
            now=self.clock.now(),
        )
        there.put_nowait(side.start())
        while data := await back.get():
            for event in side.receive(data):
                match event:
                    case KnockReady(message=message):
                        there.put_nowait(message)
                    case Receipt(status):
                        await serving
                        return status
        raise AssertionError("the door hung up")

    async def _doors(self, tx: Transaction) -> list[DoorRecord]:
        return await self.store.doors.of_node(tx, self.record.node_id)

    @rule(hours=st.sampled_from([1, 30, 30 * 24]), crash=st.booleans())
    def time_passes(self, hours: int, crash: bool) -> None:
        """And a look at what has expired, unless the process is down."""
        self.run(self.clock.advance(hours * HOUR))
        if crash:
            self._start()
            return
        self.run(self.work._housekeeping._expire())
        now = self.clock.now()
        self.closed += sum(one.expired(now) and not one.used_up for one in self.there)
        self.there = [one for one in self.there if not one.expired(now)]

    # --- what must hold ----------------------------------------------------------------------------------------------

    @invariant()
    def what_is_listed_is_there(self) -> None:
        now = self.clock.now()
        listed = [
            (one.door_id, one.label, one.one_time, one.expires_at, one.max_uses, one.uses, one.parked)
            for one in self.run(self.codes.codes())
        ]
        assert listed == [
            (one.door_id, one.label, one.one_time, one.ends_at, one.max_uses, one.uses, one.parked)
            for one in self.there
            if not one.expired(now)
        ]

    @invariant()
    def owners_are_told_once(self) -> None:
        assert len(self.diary.of(KnockReceived, self.record.node_id)) == self.knocked
        assert len(self.diary.of(CodeClosed, self.record.node_id)) == self.closed

    def teardown(self) -> None:
        self.around.labour.stop()
        self.run(self.store.stop())
        self.loop.close()
        shutil.rmtree(self.directory)


TestLifeOfCodes = LifeOfCodes.TestCase
TestLifeOfCodes.settings = settings(max_examples=20, stateful_step_count=30, deadline=None, derandomize=True)
