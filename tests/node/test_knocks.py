"""Contact requests: lost receipts, ignored ones, retired codes, expiry, bounds."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from chattor_bridge.errors import AlreadyExists, FriendCodeError, LimitReached, NotFound, UsageError
from chattor_bridge.ids import KnockId, NodeId, OnionKey, PeerId
from chattor_bridge.node.codes import MAX_CODES
from chattor_bridge.node.door import Door
from chattor_bridge.node.happenings import ContactAdded, KnockFailed, KnockLeft, KnockReceived
from chattor_bridge.node.knocking import Knocking
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, KnockState
from chattor_bridge.protocol.answered_knock import KnockArrived
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.limits import KNOCK_LIFETIME, MAX_OUTGOING_KNOCKS
from chattor_bridge.protocol.primitives import ed25519_public
from tests.node.world import World


async def test_a_knock_at_a_closed_door_is_tried_again(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    await ben.house.stop()
    await anna.add(code)
    await world.clock.pass_slowly(1800, step=60)
    (waiting,) = await anna.node.outgoing()
    assert waiting.state is KnockState.CALLING
    assert waiting.reason
    await ben.house.start()
    await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)
    assert len(ben.of(KnockReceived)) == 1
    assert [one.state for one in await anna.node.outgoing()] == [KnockState.LEFT]


async def test_a_knock_whose_receipt_was_lost_is_still_one_request(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    stored = Door._store
    lost = 0

    async def store_and_die(self: Door, arrived: KnockArrived) -> str:
        nonlocal lost
        status = await stored(self, arrived)
        if lost < 2:
            lost += 1
            raise ConnectionError("the house lost its power before the receipt left")
        return status

    monkeypatch.setattr(Door, "_store", store_and_die)
    await anna.add(code, "please")
    await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)
    assert lost == 2
    assert [request.note for request in await ben.node.requests()] == ["please"]
    assert len({received.knock_id for received in ben.of(KnockReceived)}) == 1

    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    await anna.say(peer_id, "finally")
    await ben.until(lambda: ben.texts() == ["finally"])


async def test_an_owner_may_accept_before_the_receipt_got_through(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every receipt is lost, the knocker keeps calling, and the owner accepts an attempt meanwhile."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    stored = Door._store

    async def store_and_die(self: Door, arrived: KnockArrived) -> str:
        await stored(self, arrived)
        raise ConnectionError("no receipt ever leaves")

    monkeypatch.setattr(Door, "_store", store_and_die)
    await anna.add(code)
    await ben.until(lambda: len(ben.of(KnockReceived)) >= 2, time_passes=True)
    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    assert [added.peer_id for added in anna.of(ContactAdded)] == [peer_id]
    assert await anna.node.outgoing() == []
    assert await ben.node.requests() == []


@pytest.mark.engines("postgres")
async def test_a_request_that_comes_again_while_it_is_accepted_is_known(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its receipt was lost. The door saw neither the request nor the friend, and said that the code was used up."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    async with ben.house.store.transaction() as tx:
        code = await ben.node.create_code(tx, "test", max_uses=1)
    await ben.node.code_published(code.door_id)
    stored, by_static = Door._store, ben.house.store.contacts.by_static
    accepting: asyncio.Task[PeerId] | None = None

    async def lose_the_first(self: Door, arrived: KnockArrived) -> str:
        first = not ben.of(KnockReceived)
        status = await stored(self, arrived)
        if first:
            raise ConnectionError("the house lost its power before the receipt left")
        return status

    async def accept_then(tx: Transaction, node_id: NodeId, peer_static: bytes) -> Contact | None:
        nonlocal accepting
        found = await by_static(tx, node_id, peer_static)
        if accepting is None and ben.of(KnockReceived):
            accepting = asyncio.create_task(ben.accept())
            await asyncio.wait({accepting}, timeout=0.5)  # seconds in which it is done, or comes to what it waits for
        return found

    monkeypatch.setattr(Door, "_store", lose_the_first)
    monkeypatch.setattr(ben.house.store.contacts, "by_static", accept_then)
    await anna.add(code.code)
    await anna.until(lambda: bool(anna.of(ContactAdded) or anna.of(KnockFailed)), time_passes=True)
    assert accepting is not None
    peer_id = await accepting
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    assert anna.of(KnockFailed) == []
    assert await ben.node.requests() == []


async def test_a_knocker_that_restarts_keeps_its_attempts(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.add(await ben.code())
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    await anna.house.die()
    await anna.house.start()
    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)


async def test_an_ignored_request_is_not_mentioned_again_and_can_still_be_accepted(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    leave = Knocking._take_receipt

    async def lose(self: Knocking, status: str) -> None:
        raise TimeoutError

    monkeypatch.setattr(Knocking, "_take_receipt", lose)
    await anna.add(code)
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    (request,) = await ben.node.requests()
    async with ben.house.store.transaction() as tx:
        await ben.node.ignore(tx, request.knock_id)
    monkeypatch.setattr(Knocking, "_take_receipt", leave)
    await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)
    assert len(ben.of(KnockReceived)) == 1
    (request,) = await ben.node.requests()
    assert request.ignored
    assert (await ben.node.status()).requests == 0
    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)


async def test_a_retired_code_lets_nobody_in_and_takes_nothing_away(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    first, second = await ben.code("first"), await ben.code("second")
    await anna.add(first)
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    (info, _) = await ben.node.codes()
    async with ben.house.store.transaction() as tx:
        await ben.node.retire_code(tx, info.door_id)
    assert [code.label for code in await ben.node.codes()] == ["second"]
    with pytest.raises(NotFound):
        async with ben.house.store.transaction() as tx:
            await ben.node.retire_code(tx, info.door_id)

    await cleo.add(first)
    await world.clock.pass_slowly(120)
    assert [one.state for one in await cleo.node.outgoing()] == [KnockState.CALLING]
    peer_id = await ben.accept()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    await cleo.add(second)
    await ben.until(lambda: len(ben.of(KnockReceived)) == 2)


async def test_a_request_nobody_answers_expires_on_both_sides(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.add(await ben.code())
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    await _days(world, KNOCK_LIFETIME // 86_400 + 1)
    await anna.until(lambda: bool(anna.of(KnockFailed)), time_passes=True)
    assert "30 days" in anna.of(KnockFailed)[0].reason
    assert [one.state for one in await anna.node.outgoing()] == [KnockState.FAILED]
    assert await ben.node.requests() == []
    await _days(world, 8)
    assert await anna.node.outgoing() == []


async def _days(world: World, days: int) -> None:
    """Let days pass in which every machine sleeps, and half an hour in which they are awake."""
    world.clock.suspend(days * 86_400)
    await world.clock.pass_slowly(1800, step=300)


async def test_what_cannot_be_asked_for_is_refused_and_changes_nothing(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    own, code = await anna.code(), await ben.code()
    await anna.add(code)
    refused: list[tuple[str, str, type[UsageError]]] = [
        ("chattor:nonsense", "", FriendCodeError),
        (own, "", UsageError),
        (code.upper(), "", AlreadyExists),
        (_unused_code(), "x" * 1001, LimitReached),
        (_unused_code(), "\x07", UsageError),
        (_unused_code(), "\udc80", UsageError),
    ]
    for text, note, error in refused:
        with pytest.raises(error):
            await anna.add(text, note)
    for _ in range(MAX_OUTGOING_KNOCKS - 1):
        await anna.add(_unused_code())
    with pytest.raises(LimitReached):
        await anna.add(_unused_code())
    assert len(await anna.node.outgoing()) == MAX_OUTGOING_KNOCKS
    for _ in range(MAX_CODES - 1):
        await anna.code()
    with pytest.raises(LimitReached):
        await anna.code()
    with pytest.raises(UsageError):
        await ben.code(" ")
    with pytest.raises(AlreadyExists):
        await anna.house.person("anna", "Anna again")
    with pytest.raises(UsageError):
        await anna.house.person("somebody", "two\nlines")
    with pytest.raises(NotFound):
        async with anna.house.store.transaction() as tx:
            await anna.node.accept(tx, KnockId(bytes(16)))
    with pytest.raises(NotFound):
        async with anna.house.store.transaction() as tx:
            await anna.node.ignore(tx, KnockId(bytes(16)))


def _unused_code() -> str:
    return FriendCode(OnionKey(ed25519_public(secrets.token_bytes(32)))).encode()
