"""docs/protocol/session.md, "Resync": a step that the database would not have, or took and did not say so."""

from __future__ import annotations

import secrets

import pytest

from chattor_bridge.errors import DatabaseUnavailable
from chattor_bridge.node.happenings import SESSION_RENEWED
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.resyncing import Resyncing
from chattor_bridge.protocol.frames import Bye, ResyncAnswer, ResyncDone, ResyncStart
from chattor_bridge.protocol.resync import answer
from chattor_bridge.storage.engine import EngineConnection
from chattor_bridge.storage.transaction import SqlTransaction, Transactions
from tests.node.puppet import Puppet
from tests.node.renewing import Friends, broken, cross, greet, session_of, told
from tests.node.world import World

pytestmark = pytest.mark.parametrize("committed", [False, True], ids=["lost", "committed"])


def _doubt(monkeypatch: pytest.MonkeyPatch, method: str, *, committed: bool) -> list[object]:
    """The connection breaks at the end of the next transaction that is handed to this method, once, and nobody can ask
    whether it is ``committed``; what met that."""
    work, commit = getattr(Resyncing, method), Transactions._commit
    met: list[object] = []

    async def meets(self: Resyncing, tx: Transaction, *more: object) -> object:
        if not met:
            met.append(tx)
        return await work(self, tx, *more)

    async def breaks(self: Transactions, connection: EngineConnection, tx: SqlTransaction) -> None:
        if tx not in met or committed:
            await commit(self, connection, tx)
        else:
            await connection.rollback()
        if tx in met:
            raise DatabaseUnavailable("the connection broke")

    monkeypatch.setattr(Resyncing, method, meets)
    monkeypatch.setattr(Transactions, "_commit", breaks)
    return met


async def test_a_start_that_does_not_count(world: World, monkeypatch: pytest.MonkeyPatch, *, committed: bool) -> None:
    crossing = await cross(world, lower=True)
    met = _doubt(monkeypatch, "_locked", committed=committed)
    said, candidate = crossing.answer()
    await crossing.first.say(crossing.first.start_resync().frame, said)
    await world.clock.pass_until(crossing.first.hear(ResyncDone))
    assert met
    assert (await session_of(crossing.owner, crossing.peer_id)).session_id == candidate.session_id
    await crossing.close()


async def test_a_start_that_counts(
    world: World, friends: Friends, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    anna, _, peer_id = friends
    await greet(anna, puppet)
    met = _doubt(monkeypatch, "_locked", committed=committed)
    starting = puppet.start_resync()
    await puppet.say(starting.frame)
    said = await world.clock.pass_until(puppet.hear(ResyncAnswer))
    assert met
    renewed = starting.finish(said, puppet.session, random=secrets.token_bytes, now=world.clock.now())
    await puppet.say(ResyncDone())
    assert await puppet.hear(Bye) == Bye("renewed")
    assert (await session_of(anna, peer_id)).session_id == renewed.session_id


async def test_an_answer(
    world: World, friends: Friends, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, *, committed: bool
) -> None:
    anna, _, peer_id = friends
    await greet(anna, puppet)
    await puppet.say(broken(puppet.session))
    start = await puppet.hear(ResyncStart)
    met = _doubt(monkeypatch, "_locked", committed=committed)
    said, candidate = answer(
        start, puppet.session, puppet.handshake_hash, random=secrets.token_bytes, now=world.clock.now()
    )
    await puppet.say(said)
    await world.clock.pass_until(puppet.hear(ResyncDone))
    assert met
    assert (await session_of(anna, peer_id)).session_id == candidate.session_id
    assert told(anna, SESSION_RENEWED) == ["broken"]


@pytest.mark.parametrize("how", ["done", "hello"])
async def test_an_end(
    world: World, friends: Friends, puppet: Puppet, monkeypatch: pytest.MonkeyPatch, how: str, *, committed: bool
) -> None:
    """Whether it is said, or seen in the next hello."""
    anna, _, peer_id = friends
    await greet(anna, puppet)
    starting = puppet.start_resync()
    await puppet.say(starting.frame)
    said = await puppet.hear(ResyncAnswer)
    renewed = starting.finish(said, puppet.session, random=secrets.token_bytes, now=world.clock.now())
    met = _doubt(monkeypatch, "_locked" if how == "done" else "compare", committed=committed)
    if how == "done":
        await puppet.say(ResyncDone())
    else:
        await puppet.close()
        await anna.until(lambda: not anna.online(peer_id))
        puppet.session = renewed
        await greet(anna, puppet)
    await world.clock.pass_until(puppet.hear(Bye))
    assert met
    assert (await session_of(anna, peer_id)).session_id == renewed.session_id
    assert told(anna, SESSION_RENEWED) == ["friend"]
