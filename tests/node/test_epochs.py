"""Two nodes change the epochs of their session while they talk, whatever happens to them meanwhile."""

from __future__ import annotations

import asyncio
from functools import partial

from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import EventArrived
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.protocol.events import EpochAccept, EpochOffer, Text
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame
from chattor_bridge.protocol.limits import EPOCH_LIFETIME, SKIPPED_KEY_LIFETIME
from chattor_bridge.protocol.primitives import kem_public
from chattor_bridge.protocol.session import Session
from tests.node.puppet import Puppet
from tests.node.world import Person, World


async def _session(person: Person, peer_id: PeerId) -> Session:
    async with person.house.store.transaction() as tx:
        contact = await person.house.store.contacts.get(tx, person.node_id, peer_id)
    assert contact is not None
    return Session.deserialize(contact.session)


def _has(person: Person, texts: list[str]) -> bool:
    return person.texts() == texts


async def test_epochs_change_while_houses_die_and_everything_arrives_in_order(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    texts = [f"{number}" for number in range(120)]
    for turn in range(6):
        batch = texts[20 * turn : 20 * turn + 20]
        await asyncio.gather(anna.say(peer_id, *batch), ben.say(peer_id, *batch))
        dying = [anna, ben][turn % 2]
        await dying.house.die()  # in the middle of it all
        await dying.house.start()
        for person in (anna, ben):
            await person.until(partial(_has, person, texts[: 20 * turn + 20]), time_passes=True)
    sessions = [await _session(person, peer_id) for person in (anna, ben)]
    # How many is a matter of when who died: an offer that waits for its answer extends the epoch.
    assert min(session.epochs.newest for session in sessions) >= 1


async def test_a_week_later_the_next_link_brings_an_epoch(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await anna.house.stop()
    await ben.until(lambda: not ben.online(peer_id))
    await world.clock.advance(EPOCH_LIFETIME)
    await anna.house.start()
    said = len(anna.delivered())
    await anna.until(lambda: anna.online(peer_id) and len(anna.delivered()) > said, time_passes=True)
    assert (await _session(ben, peer_id)).epochs.newest == 1


async def test_an_offer_that_could_not_be_stored_is_accepted_when_it_comes_again(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await ben.house.stop()
    await anna.until(lambda: not anna.online(peer_id))
    await anna.say(peer_id, *[f"{number}" for number in range(60)])
    assert (await _session(anna, peer_id)).epochs.negotiation is not None
    after_the_offer = Text("48")  # and in one transaction with it
    ben.house.diary.refuses = lambda one: isinstance(one, EventArrived) and one.event.body == after_the_offer
    await ben.house.start()
    await ben.until(lambda: ben.house.diary.refused > 0, time_passes=True)
    ben.house.diary.refuses = lambda one: False
    await ben.until(lambda: len(ben.texts()) == 60, time_passes=True)
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    await anna.say(peer_id, "under the next")
    await ben.until(lambda: "under the next" in ben.texts())
    assert (await _session(ben, peer_id)).epochs.newest == 1


async def test_a_useless_negotiation_is_acknowledged_counted_and_holds_up_nothing(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    try:
        await puppet.greet(anna, AckFrame(puppet.session.received.ack()))
        key = kem_public(bytes(64))
        for body in (EpochOffer(0, key), EpochOffer(1, key), EpochAccept(0, bytes(1_088))):
            await puppet.say(EnvelopeFrame(puppet.seal(body)))
        await puppet.hear_ack_of(puppet.session.sent.highest)
        assert (await anna.node.status()).counters.unreadable == 3
        assert anna.of(EventArrived) == []
        epochs = (await _session(anna, peer_id)).epochs
        assert (epochs.newest, epochs.negotiation) == (0, None)
    finally:
        await puppet.close()


async def test_keys_grow_old_though_the_friend_never_comes_back(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    puppet = await Puppet.of(anna)
    await ben.until(lambda: not ben.online(peer_id))
    await puppet.greet(ben, AckFrame(puppet.session.received.ack()))
    puppet.seal(Text("lost on the way"))
    await puppet.say(EnvelopeFrame(puppet.seal(Text("behind it"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    await puppet.close()
    assert (await _session(ben, peer_id)).skipped == 1
    world.clock.suspend(SKIPPED_KEY_LIFETIME)
    await world.clock.pass_slowly(2 * HOUSEKEEPING, step=60)
    assert (await _session(ben, peer_id)).skipped == 0
