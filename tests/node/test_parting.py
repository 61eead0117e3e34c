"""Block, unblock and forget: to the other side all of it looks like being offline."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import NotFound, OnionNotAuthorised, UsageError
from chattor_bridge.ids import KnockId, PeerId
from chattor_bridge.node.greeting import Greeting
from chattor_bridge.node.happenings import KnockLeft, KnockReceived
from chattor_bridge.node.knocking import Knocking
from chattor_bridge.node.resyncing import Attempts, Resyncing
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.resync import Standing
from tests.hostile.attacker import hosted_by
from tests.node.puppet import Puppet
from tests.node.world import Person, World, until_gone


async def block(person: Person, peer_id: PeerId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.block(tx, peer_id)


async def unblock(person: Person, peer_id: PeerId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.unblock(tx, peer_id)


async def forget(person: Person, peer_id: PeerId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.forget(tx, peer_id)


@pytest.mark.parametrize("who", ["host", "dialler"])
async def test_a_blocked_friend_sees_nobody_and_loses_nothing(world: World, who: str) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)  # Anna hosts
    blocker, other = (anna, ben) if who == "host" else (ben, anna)
    await block(blocker, peer_id)
    await other.until(lambda: not other.online(peer_id))
    await blocker.until(lambda: not blocker.online(peer_id))
    assert [one.blocked for one in await blocker.node.contacts()] == [True]
    with pytest.raises(UsageError, match="unblock"):
        await blocker.say(peer_id, "hello")
    await other.say(peer_id, "are you there?")
    await world.clock.pass_slowly(300)
    assert not other.online(peer_id)
    assert blocker.texts() == []

    await blocker.house.stop()
    await blocker.house.start()  # and it stays so
    await world.clock.pass_slowly(300)
    assert not other.online(peer_id)

    await unblock(blocker, peer_id)
    await blocker.until(lambda: blocker.texts() == ["are you there?"], time_passes=True)
    await blocker.say(peer_id, "now I am")
    await other.until(lambda: other.texts() == ["now I am"], time_passes=True)


async def test_what_is_being_read_when_its_friend_is_blocked_is_not_taken(world: World) -> None:
    """Nor does a hello then say that it was heard."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    await block(anna, peer_id)
    mailbox, around = anna.node.work.mailbox, anna.node.work._around
    with pytest.raises(NotFound):
        async with anna.house.store.transaction() as tx:
            await mailbox.receive(tx, peer_id, [puppet.seal(Text("one last word"))])
    before = Standing(puppet.session.session_id, 0, 0)
    resyncing = Resyncing(
        around,
        anna.node_id,
        peer_id,
        mailbox,
        bytes(32),
        before,
        Attempts(around.clock),
        on_renewed=lambda: None,
        on_superseded=lambda: None,
    )
    greeting = Greeting(
        around, anna.node_id, peer_id, mailbox, resyncing, settles=True, asks=lambda: False, on_moved=lambda: None
    )
    with pytest.raises(NotFound):
        await greeting.take_hello(puppet.hello())
    await unblock(anna, peer_id)
    async with anna.house.store.transaction() as tx:
        taken = await mailbox.receive(tx, peer_id, [puppet.seal(Text("and another"))])
    assert taken.ack is not None
    assert not taken.ack.covers(puppet.session.sent.highest - 1)


async def test_blocking_one_leaves_the_others(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    with_anna, with_cleo = await anna.befriend(ben), await cleo.befriend(ben)
    await block(ben, with_anna)
    await anna.until(lambda: not anna.online(with_anna))
    await cleo.say(with_cleo, "me too?")
    await ben.until(lambda: ben.texts() == ["me too?"])


async def test_a_new_name_waits_for_a_blocked_friend(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await block(ben, peer_id)
    async with ben.house.store.transaction() as tx:
        await ben.node.set_profile_name(tx, "Benjamin")
    await unblock(ben, peer_id)
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    async with anna.house.store.transaction() as tx:
        await anna.node.rename(tx, peer_id, "")
    await anna.until(lambda: any(getattr(one, "name", "") == "Benjamin" for _, one in anna.house.diary.entries))


@pytest.mark.parametrize("keyed", [False, True])
async def test_a_forgotten_friends_onion_answers_nobody(world: World, keyed: bool) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await hosted_by(anna)
    with pytest.raises(OnionNotAuthorised):  # before, it is there, and closed
        await world.network.transport().dial(onion, client_key=None, isolation="before", timeout=5)
    await forget(anna, peer_id)
    await until_gone(world, onion, key if keyed else None)
    await ben.until(lambda: not ben.online(peer_id))


@pytest.mark.parametrize("who", ["host", "dialler"])
async def test_what_was_forgotten_is_gone_for_good(world: World, who: str) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    leaver, other = (anna, ben) if who == "host" else (ben, anna)
    await forget(leaver, peer_id)
    await other.until(lambda: not other.online(peer_id))
    assert await leaver.node.contacts() == []
    for deed in (forget, block, unblock):
        with pytest.raises(NotFound):
            await deed(leaver, peer_id)
    with pytest.raises(NotFound):
        await leaver.say(peer_id, "hello?")
    await other.say(peer_id, "are you there?")
    await leaver.house.stop()
    await leaver.house.start()
    await world.clock.pass_slowly(600)
    assert not other.online(peer_id)
    assert leaver.texts() == []

    again = await leaver.befriend(other)
    assert again != peer_id
    await leaver.say(again, "new keys, same people")
    await other.until(lambda: other.texts() == ["new keys, same people"], time_passes=True)


async def test_a_blocked_request_is_gone(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.add(await ben.code())
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    (request,) = await ben.node.requests()
    async with ben.house.store.transaction() as tx:
        await ben.node.block_request(tx, request.knock_id)
    assert await ben.node.requests() == []
    for deed in (ben.node.accept, ben.node.ignore, ben.node.block_request):
        with pytest.raises(NotFound):
            async with ben.house.store.transaction() as tx:
                await deed(tx, request.knock_id)
    with pytest.raises(NotFound):
        async with ben.house.store.transaction() as tx:
            await ben.node.block_request(tx, KnockId(bytes(16)))


async def test_somebody_blocked_who_comes_again_is_told_what_a_friend_is_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    leave, told = Knocking._take_receipt, []

    async def lose(self: Knocking, status: str) -> None:
        told.append(status)
        if len(told) < 2:
            raise TimeoutError
        await leave(self, status)

    monkeypatch.setattr(Knocking, "_take_receipt", lose)
    await anna.add(await ben.code())
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    (request,) = await ben.node.requests()
    async with ben.house.store.transaction() as tx:
        await ben.node.block_request(tx, request.knock_id)
    await anna.until(lambda: bool(anna.of(KnockLeft)), time_passes=True)
    assert told == ["stored", "known"]
    assert await ben.node.requests() == []
    assert len(ben.of(KnockReceived)) == 1
