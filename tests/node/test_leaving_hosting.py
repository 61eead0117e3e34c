"""A knocker with too many onions leaves hosting to its friends: docs/protocol/link.md, "Leaving it to the friend"."""

from __future__ import annotations

import asyncio

import pytest

from chattor_bridge.errors import LimitReached
from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.node.greeting import hosted_onion
from chattor_bridge.node.records import Contact
from chattor_bridge.protocol.frames import Bye, Onions
from chattor_bridge.protocol.limits import MAX_ONIONS, SPARE_ONIONS_UP_TO
from chattor_bridge.protocol.primitives import ed25519_public
from tests.node.puppet import Puppet
from tests.node.test_onions import STRANGERS, both_host, only_contact, until_on_disk
from tests.node.world import Person, World

Friends = tuple[Person, Person, PeerId]


@pytest.fixture
async def friends(world: World) -> Friends:
    """Anna, who has knocked at Ben's door, and both host."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await both_host(anna, ben)
    return anna, ben, peer_id


def crowd(person: Person, onions: int) -> None:
    """Somebody else in this person's process needs so many onions."""
    person.house.host._around.budget.settle(STRANGERS, onions, [], lambda: None)


async def _left(anna: Person, ben: Person) -> tuple[Contact, Contact]:
    """Wait until Ben hosts for both and Anna for neither; the friendship at both."""
    annas = await until_on_disk(anna, lambda contact: contact.hosted_seed is None)
    bens = await until_on_disk(ben, lambda contact: contact.peer_onion is None)
    assert (annas.keeps, bens.keeps) == (False, True)
    assert annas.peer_onion == hosted_onion(bens)
    return annas, bens


async def _talk(anna: Person, ben: Person, peer_id: PeerId, what: str) -> None:
    await anna.say(peer_id, f"{what} a")
    await ben.say(peer_id, f"{what} b")
    await ben.until(lambda: f"{what} a" in ben.texts(), time_passes=True)
    await anna.until(lambda: f"{what} b" in anna.texts(), time_passes=True)


async def test_a_knocker_with_too_many_onions_leaves_hosting_to_the_friend_and_has_room(friends: Friends) -> None:
    anna, ben, peer_id = friends
    crowd(anna, MAX_ONIONS)
    async with anna.house.store.transaction() as tx:
        with pytest.raises(LimitReached, match="no friend has taken one over yet"):
            await anna.node.create_code(tx, "one too many")
    await _left(anna, ben)
    assert anna.house.host._around.budget.needed == MAX_ONIONS
    crowd(anna, MAX_ONIONS - 1)  # the place that Anna's onion had
    await anna.code()
    await _talk(anna, ben, peer_id, "afterwards")
    for person in (anna, ben):
        await person.house.stop()
    for person in (ben, anna):
        await person.house.start()
    await _talk(anna, ben, peer_id, "after both were away")


async def test_what_a_friend_was_left_is_no_spare(friends: Friends) -> None:
    anna, ben, peer_id = friends
    crowd(anna, SPARE_ONIONS_UP_TO)  # and hers
    _, before = await _left(anna, ben)
    crowd(ben, MAX_ONIONS - 1)
    await _talk(anna, ben, peer_id, "in a crowd")
    assert (await only_contact(ben)).hosted_seed == before.hosted_seed
    anna.house.host._around.budget.leave(STRANGERS)
    anna.node.work.look_again()
    await both_host(anna, ben)  # there is room again: hers is the spare now
    assert [(await only_contact(one)).keeps for one in (anna, ben)] == [False, True]
    crowd(anna, SPARE_ONIONS_UP_TO)
    await _left(anna, ben)


async def test_a_friend_without_an_onion_is_left_nothing(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    crowd(ben, MAX_ONIONS - 1)  # one for the code
    peer_id = await anna.befriend(ben)
    crowd(anna, MAX_ONIONS)
    anna.node.work.look_again()
    await _talk(anna, ben, peer_id, "all the same")
    assert [(await only_contact(one)).keeps for one in (anna, ben)] == [True, False]
    async with anna.house.store.transaction() as tx:
        with pytest.raises(LimitReached, match="60 onion services"):
            await anna.node.create_code(tx, "one too many")


async def test_who_was_knocked_on_never_asks(friends: Friends) -> None:
    """Were both to leave it to each other at once, nobody would host."""
    anna, ben, peer_id = friends
    crowd(anna, SPARE_ONIONS_UP_TO)
    await _left(anna, ben)
    anna.house.host._around.budget.leave(STRANGERS)
    anna.node.work.look_again()
    await both_host(anna, ben)
    for person in (anna, ben):
        crowd(person, MAX_ONIONS)
    await _talk(anna, ben, peer_id, "both are full")
    assert (await only_contact(ben)).keeps


@pytest.mark.parametrize("turns", range(6))
async def test_deaths_on_the_way_never_leave_both_without(friends: Friends, turns: int) -> None:
    """The power goes, at both, at some moment of the hand-over."""
    anna, ben, peer_id = friends
    crowd(anna, SPARE_ONIONS_UP_TO)
    anna.node.work.look_again()
    for _ in range(3 * turns):
        await asyncio.sleep(0)
    for person in (anna, ben):
        await person.house.die()
    for person in (anna, ben):
        await person.house.start()
    await _talk(anna, ben, peer_id, "after the deaths")
    assert any([(await only_contact(one)).keeps for one in (anna, ben)])
    crowd(anna, SPARE_ONIONS_UP_TO)
    anna.node.work.look_again()
    await _left(anna, ben)


@pytest.fixture
async def puppet(friends: Friends) -> Puppet:
    """In Anna's place."""
    anna, ben, peer_id = friends
    puppet = await Puppet.of(anna)
    await ben.until(lambda: not ben.online(peer_id))
    await puppet.dial(ben)
    await puppet.say(puppet.hello())
    await puppet.hear(Onions)
    return puppet


async def test_who_asks_hears_of_it_only_when_it_is_on_disk(friends: Friends, puppet: Puppet) -> None:
    _, ben, _ = friends
    assert puppet.contact.hosted_seed is not None
    onion = OnionKey(ed25519_public(puppet.contact.hosted_seed))
    await puppet.say(Onions(onion, puppet.contact.peer_onion, keeps=True, asks=True))
    assert (await puppet.hear(Onions)).keeps
    assert (await only_contact(ben)).keeps
    await puppet.close()


async def test_a_friend_that_lets_its_onion_go_by_itself_is_hosted_for(friends: Friends, puppet: Puppet) -> None:
    """So is one whose friend was restored to before it kept; a friend can have no more of us than the spare it had."""
    _, ben, _ = friends
    await puppet.say(Onions(None, puppet.contact.peer_onion))
    assert (await puppet.hear(Onions)).keeps
    assert (await only_contact(ben)).peer_onion is None
    await puppet.close()


async def test_a_friend_by_whom_nobody_would_host_is_hung_up_on(friends: Friends, puppet: Puppet) -> None:
    _, ben, _ = friends
    crowd(ben, MAX_ONIONS)
    while (await puppet.hear(Onions)).hosts is not None:
        pass
    onion = (await only_contact(ben)).peer_onion
    await puppet.say(Onions(None, None))
    with pytest.raises(EOFError):
        await puppet.hear(Bye)
    assert (await only_contact(ben)).peer_onion == onion
    await puppet.close()
