"""docs/protocol/verification.md, between two nodes."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import (
    EMOJI_INVITED,
    EMOJI_READY,
    VERIFICATION_FAILED,
    VERIFICATION_MATCHED,
    EventArrived,
)
from chattor_bridge.node.records import Contact
from chattor_bridge.node.verifying import Turn, Verifying, number_of
from chattor_bridge.node.views import Verification
from chattor_bridge.protocol.events import Unknown, VerifyAccept, VerifyDone, VerifyEvent, VerifyKey
from chattor_bridge.protocol.limits import VERIFICATION_LIFETIME
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.verification import commit
from tests.node.world import Person, World

Friends = tuple[Person, Person, PeerId]


@pytest.fixture
async def friends(world: World) -> Friends:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    return anna, ben, await anna.befriend(ben)


async def _emoji(person: Person, peer_id: PeerId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.compare_emoji(tx, peer_id)


async def _confirm(person: Person, peer_id: PeerId, *, match: bool) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.confirm(tx, peer_id, match=match)


async def _state(person: Person, peer_id: PeerId) -> Verification:
    (contact,) = await person.node.contacts()
    assert contact.verification is (await person.node.verification(peer_id)).state
    return contact.verification


async def _contact(person: Person, peer_id: PeerId) -> Contact:
    async with person.house.store.transaction() as tx:
        contact = await person.house.store.contacts.get(tx, person.node_id, peer_id)
    assert contact is not None
    return contact


def _told(person: Person, what: str) -> list[Unknown]:
    bodies = [arrived.event.body for arrived in person.of(EventArrived)]
    return [body for body in bodies if isinstance(body, Unknown) and body.type == what]


def _is_told(person: Person, what: str) -> Callable[[], bool]:
    return lambda: bool(_told(person, what))


async def test_both_have_the_same_number_and_nobody_else_has_it(world: World, friends: Friends) -> None:
    anna, ben, peer_id = friends
    cleo = await world.person("Cleo")
    other = await cleo.befriend(anna)
    ours = await anna.node.verification(peer_id)
    assert ours == await ben.node.verification(peer_id)
    assert (len(ours.number), ours.number.isdigit(), ours.emoji) == (60, True, None)
    assert (await anna.node.verification(other)).number != ours.number


async def test_the_number_and_what_was_found_outlive_a_resync_and_a_restart(friends: Friends) -> None:
    anna, ben, peer_id = friends
    number = (await anna.node.verification(peer_id)).number
    await _confirm(anna, peer_id, match=True)
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await ben.until(_is_told(ben, "node.renewed"), time_passes=True)
    await anna.house.die()
    await anna.house.start()
    assert (await anna.node.verification(peer_id)).number == number
    assert await _state(anna, peer_id) is Verification.VERIFIED
    assert await _state(ben, peer_id) is Verification.NONE  # everybody's own finding


@pytest.mark.parametrize("who", ["one asks", "both ask"])
async def test_both_see_the_same_emoji_and_confirm(friends: Friends, who: str) -> None:
    anna, ben, peer_id = friends
    await _emoji(anna, peer_id)
    if who == "one asks":
        await ben.until(_is_told(ben, EMOJI_INVITED))
        assert _told(anna, EMOJI_READY) == []  # not before Ben agrees
    await _emoji(ben, peer_id)
    for person in (anna, ben):
        await person.until(_is_told(person, EMOJI_READY))
    emoji = (await anna.node.verification(peer_id)).emoji
    assert emoji is not None
    assert emoji == (await ben.node.verification(peer_id)).emoji
    assert len(emoji) == 7
    assert _told(anna, EMOJI_READY)[0].fields == {"emoji": [list(pair) for pair in emoji]}
    await _confirm(anna, peer_id, match=True)
    await ben.until(_is_told(ben, VERIFICATION_MATCHED))
    assert await _state(ben, peer_id) is Verification.NONE  # nobody's word counts but one's own
    await _confirm(ben, peer_id, match=True)
    for person in (anna, ben):
        assert await _state(person, peer_id) is Verification.VERIFIED
        assert (await person.node.verification(peer_id)).emoji is None


async def test_a_mismatch_on_one_side_undoes_what_the_other_found(friends: Friends) -> None:
    anna, ben, peer_id = friends
    await _confirm(ben, peer_id, match=True)  # the number, some day
    await _emoji(anna, peer_id)
    await ben.until(_is_told(ben, EMOJI_INVITED))
    await _emoji(ben, peer_id)
    for person in (anna, ben):
        await person.until(_is_told(person, EMOJI_READY))
    await _confirm(anna, peer_id, match=False)
    await ben.until(_is_told(ben, VERIFICATION_FAILED))
    for person in (anna, ben):
        assert await _state(person, peer_id) is Verification.MISMATCH
    await _confirm(anna, peer_id, match=True)  # it was a slip of the eye: they compared the numbers
    assert await _state(anna, peer_id) is Verification.VERIFIED


async def test_a_run_survives_the_death_of_both_and_ends_after_ten_minutes(world: World, friends: Friends) -> None:
    anna, ben, peer_id = friends
    await _emoji(anna, peer_id)
    await ben.until(_is_told(ben, EMOJI_INVITED))
    for person in (anna, ben):
        await person.house.die()
    for person in (anna, ben):
        await person.house.start()
    await _emoji(ben, peer_id)
    for person in (anna, ben):
        await person.until(_is_told(person, EMOJI_READY), time_passes=True)
        assert (await person.node.verification(peer_id)).emoji is not None
    await world.clock.advance(VERIFICATION_LIFETIME)
    assert (await anna.node.verification(peer_id)).emoji is None


# --- against somebody who cheats: two sides joined by hand ------------------------------------------------------------


class _Hand:
    """One side, moved by hand."""

    def __init__(self, person: Person, contact: Contact) -> None:
        self.contact = contact
        self.verifying: Verifying = person.node.work.mailbox.verifying

    def keep(self, turn: Turn) -> tuple[VerifyEvent, ...]:
        self.contact = turn.contact
        return turn.said


@pytest.fixture
async def hands(friends: Friends) -> tuple[_Hand, _Hand]:
    anna, ben, peer_id = friends
    return _Hand(anna, await _contact(anna, peer_id)), _Hand(ben, await _contact(ben, peer_id))


async def test_a_key_other_than_the_committed_one_is_a_failure(friends: Friends, hands: tuple[_Hand, _Hand]) -> None:
    anna, _ = hands
    (start,) = anna.keep(anna.verifying.begin(anna.contact))
    commitment = VerifyAccept(start.run_id, secrets.token_bytes(32))
    anna.keep(anna.verifying.take(anna.contact, commitment))
    key = VerifyKey(start.run_id, x25519_public(secrets.token_bytes(32)))
    with pytest.raises(Exception, match="committed"):
        anna.verifying.take(anna.contact, key)


async def test_a_key_that_makes_the_emoji_the_same_for_everybody_is_a_failure(
    friends: Friends, hands: tuple[_Hand, _Hand]
) -> None:
    """Of small order: whatever it is agreed with, the result is zero."""
    anna, _ = hands
    (start,) = anna.keep(anna.verifying.begin(anna.contact))
    anna.keep(anna.verifying.take(anna.contact, VerifyAccept(start.run_id, commit(start.run_id, bytes(32)))))
    with pytest.raises(AuthenticationFailed, match="nothing secret"):
        anna.verifying.take(anna.contact, VerifyKey(start.run_id, bytes(32)))


async def test_another_friendship_shows_other_emoji(hands: tuple[_Hand, _Hand]) -> None:
    """The keys of a run say nothing about who is there; the safety number in the emoji does."""
    anna, ben = hands
    (start,) = anna.keep(anna.verifying.begin(anna.contact))
    ben.keep(ben.verifying.take(ben.contact, start))
    (accept,) = ben.keep(ben.verifying.begin(ben.contact))
    (key,) = anna.keep(anna.verifying.take(anna.contact, accept))
    (answer,) = ben.keep(ben.verifying.take(ben.contact, key))
    assert anna.keep(anna.verifying.take(anna.contact, answer)) == ()
    assert anna.verifying.emoji_of(anna.contact) == ben.verifying.emoji_of(ben.contact)
    between = replace(ben.contact, own_static=secrets.token_bytes(32))
    assert number_of(between) != number_of(anna.contact)
    assert ben.verifying.emoji_of(between) != anna.verifying.emoji_of(anna.contact)


async def test_what_is_not_its_turn_or_of_another_run(hands: tuple[_Hand, _Hand]) -> None:
    anna, ben = hands
    run_id = secrets.token_bytes(16)
    for event in (VerifyAccept(run_id, bytes(32)), VerifyKey(run_id, bytes(32)), VerifyDone(run_id, True)):
        assert anna.verifying.take(anna.contact, event) == Turn(anna.contact)  # nobody began it
    (start,) = anna.keep(anna.verifying.begin(anna.contact))
    with pytest.raises(Exception, match="turn"):
        anna.verifying.take(anna.contact, VerifyKey(start.run_id, x25519_public(bytes([9] * 32))))
    ben.keep(ben.verifying.take(ben.contact, start))
    with pytest.raises(Exception, match="turn"):
        ben.verifying.take(ben.contact, VerifyAccept(start.run_id, bytes(32)))
    (accept,) = ben.keep(ben.verifying.begin(ben.contact))
    with pytest.raises(Exception, match="nothing secret"):
        ben.verifying.take(ben.contact, VerifyKey(start.run_id, bytes(32)))
    assert isinstance(accept, VerifyAccept)
    matched = ben.verifying.take(ben.contact, VerifyDone(start.run_id, True))
    assert matched == Turn(ben.contact)  # a friend who says so before there is anything to see tells nothing


async def test_a_finding_for_other_keys_does_not_count(friends: Friends) -> None:
    anna, _, peer_id = friends
    await _confirm(anna, peer_id, match=True)
    contact = await _contact(anna, peer_id)
    async with anna.house.store.transaction() as tx:
        await anna.house.store.contacts.save(tx, replace(contact, peer_static=x25519_public(bytes([7] * 32))))
    assert await _state(anna, peer_id) is Verification.NONE
