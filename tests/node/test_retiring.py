"""docs/protocol/link.md, Parting: friendships ended because somebody else may have the keys."""

from __future__ import annotations

import secrets
from functools import partial

import pytest

from chattor_bridge.errors import FriendshipEnded, UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.clock import JUMP_DOUBTED
from chattor_bridge.node.happenings import (
    CARRY_ASKED,
    CARRY_OFFERED,
    RETIRED,
    SESSION_RENEWED,
    EventArrived,
    EventFailed,
)
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.node.records import Contact, Retired
from chattor_bridge.node.watching import GAP_PATIENCE
from chattor_bridge.protocol.carrying import CarryAsk
from chattor_bridge.protocol.control import VerifyStart
from chattor_bridge.protocol.events import Retire, Text, Unknown, decode_event
from chattor_bridge.protocol.frames import Bye, EnvelopeFrame, ResyncAnswer, ResyncDone, ResyncStart
from chattor_bridge.protocol.limits import RETIRE_PATIENCE, VERIFICATION_ID_SIZE
from chattor_bridge.protocol.resync import answer
from chattor_bridge.protocol.session import Session
from tests.hostile.attacker import hosted_by
from tests.node.puppet import Puppet
from tests.node.world import Person, World, until_gone

pytestmark = pytest.mark.engines("sqlite", "postgres")


@pytest.fixture
async def friends(world: World) -> tuple[Person, Person, PeerId]:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    return anna, ben, await anna.befriend(ben)


async def retire(person: Person, peer_id: PeerId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.retire(tx, peer_id)


async def stored(person: Person, peer_id: PeerId) -> Contact:
    async with person.house.store.transaction() as tx:
        contact = await person.house.store.contacts.get(tx, person.node_id, peer_id)
    assert contact is not None
    return contact


async def until_over(person: Person, peer_id: PeerId) -> None:
    """Wait, with time passing, until nothing of the friendship is at work any more."""
    for _ in range(200):
        if (await stored(person, peer_id)).retired is Retired.OVER:
            return
        await person.house.world.clock.pass_slowly(30)
    raise AssertionError("the friendship is not over")


def types(person: Person) -> list[str]:
    """The notices that a person was shown, in order."""
    bodies = [arrived.event.body for arrived in person.of(EventArrived)]
    return [body.type for body in bodies if isinstance(body, Unknown)]


def warned(person: Person) -> bool:
    return types(person) == [RETIRED]


@pytest.mark.parametrize("who", ["host", "dialler"])
async def test_both_sides_end_it_and_the_friend_is_warned(
    world: World, friends: tuple[Person, Person, PeerId], who: str
) -> None:
    anna, ben, peer_id = friends
    onion, key = await hosted_by(anna)
    leaver, other = (anna, ben) if who == "host" else (ben, anna)
    await leaver.say(peer_id, "last words")
    await retire(leaver, peer_id)
    await other.until(partial(warned, other))
    assert other.texts() == ["last words"]  # what was said before arrives before
    await until_over(leaver, peer_id)
    await until_gone(world, onion, key)
    for person in (anna, ben):
        await person.until(lambda person=person: not person.online(peer_id))  # type: ignore[misc]
        with pytest.raises(UsageError, match="new friend code"):
            await person.say(peer_id, "hello?")
        assert [one.retired for one in await person.node.contacts()] == [True]
        async with person.house.store.transaction() as tx:
            await person.node.set_profile_name(tx, "Somebody else")  # goes to friends alone, and is no error
        assert [one.queued for one in await person.node.contacts()] == [0]
        await person.house.stop()
        await person.house.start()
    await world.clock.pass_slowly(600)
    assert not anna.online(peer_id)


async def test_an_absent_friend_is_waited_for(friends: tuple[Person, Person, PeerId]) -> None:
    anna, ben, peer_id = friends
    await ben.house.die()
    await retire(anna, peer_id)
    await anna.house.die()
    await anna.house.start()
    assert (await stored(anna, peer_id)).retired is Retired.SAYING
    with pytest.raises(UsageError):
        await anna.say(peer_id, "one more thing")
    await ben.house.start()
    await ben.until(partial(warned, ben), time_passes=True)
    await until_over(anna, peer_id)


async def test_and_not_for_ever(world: World, friends: tuple[Person, Person, PeerId]) -> None:
    anna, ben, peer_id = friends
    onion, key = await hosted_by(anna)
    await ben.house.die()
    (said,) = await anna.say(peer_id, "are you there?")
    await retire(anna, peer_id)
    await anna.house.stop()
    await world.clock.advance(RETIRE_PATIENCE)
    await anna.house.start()
    await world.clock.pass_slowly(JUMP_DOUBTED + HOUSEKEEPING, step=3600)
    await anna.until(lambda: said in [failure.event_id for failure in anna.of(EventFailed)])
    await until_over(anna, peer_id)
    await until_gone(world, onion, key)
    await ben.house.start()
    await world.clock.pass_slowly(600)
    assert not ben.online(peer_id)


async def test_both_retire(friends: tuple[Person, Person, PeerId]) -> None:
    anna, ben, peer_id = friends
    await retire(anna, peer_id)
    await retire(ben, peer_id)
    for person in (anna, ben):
        await until_over(person, peer_id)


async def test_nothing_is_shown_of_what_comes_after_it(friends: tuple[Person, Person, PeerId]) -> None:
    """Whoever has the keys too goes on talking on the link that is up."""
    anna, ben, peer_id = friends
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    said = [puppet.seal(Text("before")), puppet.seal(Retire()), puppet.seal(Text("it was a joke, send me everything"))]
    await puppet.greet(anna, *map(EnvelopeFrame, said))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    await puppet.close()
    assert warned(anna)
    assert anna.texts() == ["before"]


async def test_the_link_ends_once_the_end_was_acknowledged(friends: tuple[Person, Person, PeerId]) -> None:
    """Also when the friend, or whoever has its keys, would leave it up."""
    anna, ben, peer_id = friends
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    await puppet.greet(anna, EnvelopeFrame(puppet.seal(Retire())))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert await puppet.hear(Bye) == Bye("closing")
    await anna.until(lambda: not anna.online(peer_id))
    await puppet.close()


async def test_a_session_is_not_renewed_for_who_has_retired(friends: tuple[Person, Person, PeerId]) -> None:
    anna, ben, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.carrying.ask(tx, peer_id)
    before = (await stored(anna, peer_id)).session
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    await puppet.greet(anna)
    await puppet.say(EnvelopeFrame(puppet.seal(Retire())), puppet.start_resync().frame)
    await puppet.hear_ack_of(puppet.session.sent.highest)
    with pytest.raises(EOFError):
        await puppet.hear(ResyncAnswer)
    await puppet.close()
    assert warned(anna)
    session = Session.deserialize((await stored(anna, peer_id)).session)
    assert session.session_id == Session.deserialize(before).session_id
    assert session.renewal.candidates == ()
    with pytest.raises(FriendshipEnded):
        async with anna.house.store.transaction() as tx:
            await anna.node.renew_session(tx, peer_id)


async def test_who_retires_hears_of_no_renewal_and_asks_for_nothing_more(
    friends: tuple[Person, Person, PeerId],
) -> None:
    """The session is renewed, so that the friend hears of the end, and nothing else is said in it."""
    anna, ben, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.carrying.ask(tx, peer_id)
    await ben.until(lambda: CARRY_ASKED in types(ben))
    async with ben.house.store.transaction() as tx:
        await ben.node.carrying.offer(tx, peer_id)
    await anna.until(lambda: CARRY_OFFERED in types(anna))
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await retire(anna, peer_id)
    await puppet.greet(anna)
    start = await puppet.hear(ResyncStart)
    said, _ = answer(
        start, puppet.session, puppet.handshake_hash, random=secrets.token_bytes, now=puppet.contact.created_at
    )
    await puppet.say(said)
    await puppet.hear(ResyncDone)
    await puppet.close()
    async with anna.house.store.transaction() as tx:
        waiting = await anna.house.store.outbox.after(tx, anna.node_id, peer_id, 0, 100)
    assert isinstance(decode_event(waiting[-1].event).body, Retire)
    assert not any(isinstance(decode_event(entry.event).body, CarryAsk) for entry in waiting)
    assert SESSION_RENEWED not in types(anna)


async def test_no_notice_is_shown_of_what_comes_after_it(friends: tuple[Person, Person, PeerId]) -> None:
    """Neither what comes between the nodes and speaks to people too, nor that something is missing."""
    anna, ben, peer_id = friends
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    said = [puppet.seal(Retire()), puppet.seal(VerifyStart(b"v" * VERIFICATION_ID_SIZE))]
    puppet.seal(Text("never sent"))
    said.append(puppet.seal(Text("behind")))
    await puppet.greet(anna, *map(EnvelopeFrame, said))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    await anna.house.world.clock.pass_slowly(2 * GAP_PATIENCE)
    await puppet.close()
    assert warned(anna)
    assert (await stored(anna, peer_id)).verification is None


async def test_everything_at_once(world: World, friends: tuple[Person, Person, PeerId]) -> None:
    anna, ben, peer_id = friends
    cleo = await world.person("Cleo")
    await cleo.befriend(anna)
    async with anna.house.store.transaction() as tx:
        await anna.node.block(tx, peer_id)
        assert await anna.node.retire_all(tx) == 2
    await cleo.until(partial(warned, cleo))
    assert (await stored(anna, peer_id)).retired is Retired.OVER  # a blocked friend is not told
    assert not warned(ben)
    assert await anna.node.codes() == []
