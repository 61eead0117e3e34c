"""A friend who turned hostile: what it may say on its link, and what that costs."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from itertools import pairwise

import pytest

from chattor_bridge.bot.identity import describe_status
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.ids import PeerId
from chattor_bridge.node.connection import LONG_READ
from chattor_bridge.node.happenings import SESSION_NOT_RENEWED
from chattor_bridge.node.hosted import HostedOnions
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact
from chattor_bridge.protocol.events import MergeDone, Text, decode_event
from chattor_bridge.protocol.frames import (
    AckFrame,
    EnvelopeFrame,
    Frame,
    KeepAlive,
    Onions,
    ResyncDone,
    ResyncStart,
    SignalFrame,
)
from chattor_bridge.protocol.limits import (
    ENVELOPE_SIZES,
    LINK_TIMEOUT,
    MAX_IN_FLIGHT,
    MAX_SEQ,
    MAX_SKIPPED,
    RESYNC_INTERVAL,
)
from chattor_bridge.protocol.link import Link, LinkEvent
from chattor_bridge.protocol.primitives import RandomBytes
from chattor_bridge.protocol.ratchet import Ratchet, RatchetMessage
from chattor_bridge.protocol.resync import answer
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.window import Ack
from tests.node.puppet import Puppet
from tests.node.renewing import told
from tests.node.world import PATIENCE, Person, World
from tests.protocol.sources import session_pair

ACKS = 12_000
"""As many acknowledgements fit the largest message of a link."""


@pytest.fixture
async def puppet(puppet: Puppet, anna: Person) -> Puppet:
    """Ben, moved by hand, greeted by Anna."""
    await puppet.greet(anna)
    return puppet


def _count_transactions(person: Person, monkeypatch: pytest.MonkeyPatch) -> Callable[[], int]:
    """How many there were from now on."""
    begin = person.house.store.transaction
    begun: list[None] = []

    def counting() -> AbstractAsyncContextManager[Transaction]:
        begun.append(None)
        return begin()

    monkeypatch.setattr(person.house.store, "transaction", counting)
    return lambda: len(begun)


async def test_a_message_full_of_acknowledgements_costs_few_transactions(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = _count_transactions(anna, monkeypatch)
    frames: list[Frame] = [KeepAlive(), AckFrame(puppet.session.received.ack()), SignalFrame(b"x")]
    frames *= ACKS // 3
    await puppet.say(*frames, EnvelopeFrame(puppet.seal(Text("after the flood"))))
    await anna.until(lambda: anna.texts() == ["after the flood"])
    assert begun() < 50


async def test_what_was_acknowledged_before_it_was_sent_is_sent_all_the_same(anna: Person, puppet: Puppet) -> None:
    """The acknowledgement of numbers that no envelope has yet says nothing about those that get them later."""
    await puppet.say(AckFrame(Ack(MAX_SEQ)), EnvelopeFrame(puppet.seal(Text("taken?"))))
    await anna.until(lambda: anna.texts() == ["taken?"])
    await anna.say(_peer(puppet), "said afterwards")
    for _ in range(2):  # and again on the next link, for nobody has it yet
        envelope = (await puppet.hear(EnvelopeFrame)).envelope
        assert len(envelope) in ENVELOPE_SIZES
        await puppet.close()
        await anna.until(lambda: not anna.online(_peer(puppet)))
        await puppet.greet(anna)
    opened = puppet.session.open((await puppet.hear(EnvelopeFrame)).envelope, random=secrets.token_bytes, now=0)
    assert opened.inner is not None
    assert b"said afterwards" in opened.inner


async def test_an_acknowledgement_of_a_session_that_was_renewed_takes_nothing_away(
    anna: Person, puppet: Puppet
) -> None:
    """Its numbers mean other envelopes now: a link that began before would take away what nobody has."""
    peer_id, mailbox, store = _peer(puppet), anna.node.work.mailbox, anna.house.store
    await puppet.close()
    await anna.until(lambda: not anna.online(peer_id))
    await anna.say(peer_id, "waits")

    async with store.transaction() as tx:
        sent = Session.deserialize((await mailbox.locked(tx, peer_id)).session).sent
    everything = Ack(sent.highest, (), sent.digest)

    async def waiting_after(session_id: bytes) -> int:
        async with store.transaction() as tx:
            await mailbox.delivered(tx, peer_id, everything, session_id)
            return await store.outbox.count(tx, anna.node_id, peer_id)

    assert await waiting_after(b"another session.") == await waiting_after(b"") > 0
    assert await waiting_after(puppet.session.session_id) == 0


@pytest.mark.parametrize("claims", ["other envelopes", "more than was sent"])
async def test_an_acknowledgement_of_something_else_drops_nothing_and_begins_the_session_anew(
    anna: Person, puppet: Puppet, claims: str
) -> None:
    """A copy of ours that is older, or younger, said it, or the friend is making it up."""
    peer_id = _peer(puppet)
    await puppet.greet(anna)
    [said] = await anna.say(peer_id, "is still kept")
    true = puppet.take(await puppet.hear(EnvelopeFrame))
    await puppet.say(AckFrame(replace(true, digest=bytes(16)) if claims == "other envelopes" else Ack(MAX_SEQ)))
    starting = await puppet.hear(ResyncStart)
    assert said not in anna.delivered()
    answered, candidate = answer(
        starting, puppet.session, puppet.handshake_hash, random=secrets.token_bytes, now=anna.house.world.clock.now()
    )
    await puppet.say(answered)
    await puppet.hear(ResyncDone)
    puppet.session = candidate
    await puppet.greet(anna)
    opened = puppet.session.open(
        (await puppet.hear(EnvelopeFrame)).envelope, random=secrets.token_bytes, now=anna.house.world.clock.now()
    )
    assert opened.inner is not None
    assert decode_event(opened.inner).event_id == said
    await puppet.say(AckFrame(puppet.session.received.ack()))
    await anna.until(lambda: said in anna.delivered())


async def test_acknowledgements_of_something_else_hold_up_nothing_until_the_session_may_begin_anew(
    world: World, anna: Person, puppet: Puppet
) -> None:
    """It began anew less than a day ago: the link goes on, nothing is taken for delivered, our owner is told once."""
    peer_id, mailbox, store = _peer(puppet), anna.node.work.mailbox, anna.house.store
    async with store.transaction() as tx:
        contact = await mailbox.locked(tx, peer_id)
        session = Session.deserialize(contact.session)
        session.renewal.at = world.clock.now()
        await store.contacts.save(tx, replace(contact, session=session.serialize()))
    await puppet.greet(anna)
    before = anna.delivered()
    for number in range(MAX_IN_FLIGHT + 3):
        await anna.say(peer_id, f"{number}")
        true = puppet.take(await puppet.hear(EnvelopeFrame))
        await puppet.say(AckFrame(replace(true, digest=bytes(16))))
    assert anna.delivered() == before
    assert len(told(anna, SESSION_NOT_RENEWED)) == 1
    await puppet.close()
    await world.clock.advance(RESYNC_INTERVAL)
    await puppet.greet(anna)
    await puppet.hear(ResyncStart)


async def test_an_envelope_too_far_ahead_is_not_taken_and_costs_no_friendship(anna: Person, puppet: Puppet) -> None:
    """More than may be missing is refused without an acknowledgement; what comes in order is served as ever."""
    ahead = [puppet.seal(Text(f"{number}")) for number in range(MAX_SKIPPED + 3)]
    await puppet.say(EnvelopeFrame(ahead[-1]), EnvelopeFrame(ahead[0]))
    await anna.until(lambda: anna.texts() == ["0"])
    assert (await anna.node.status()).counters.undecryptable == 1


async def test_an_envelope_sent_back_to_its_sender_opens_nowhere(anna: Person, puppet: Puppet) -> None:
    await anna.say(_peer(puppet), "mine")
    envelope = (await puppet.hear(EnvelopeFrame)).envelope
    await puppet.say(EnvelopeFrame(envelope), EnvelopeFrame(puppet.seal(Text("yours"))))
    await anna.until(lambda: anna.texts() == ["yours"])
    assert (await anna.node.status()).counters.undecryptable == 1


async def test_a_message_that_drips_is_no_sign_of_life(
    world: World, anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or half a message, a byte now and then, would hold a link for ever."""
    taken = asyncio.Semaphore(0)
    receive = Link.receive

    def noted(link: Link, data: bytes) -> list[LinkEvent]:
        events = receive(link, data)
        taken.release()
        return events

    monkeypatch.setattr(Link, "receive", noted)
    for byte in puppet.sealed(KeepAlive())[:20]:
        await puppet.pour([bytes([byte])])
        await asyncio.wait_for(taken.acquire(), PATIENCE)
        await world.clock.advance(LINK_TIMEOUT / 10)
        if not anna.online(_peer(puppet)):
            break
    assert not anna.online(_peer(puppet))


async def test_what_cannot_be_held_costs_next_to_nothing(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Past a gap, with no room to hold more: nothing but the outer layer is opened, and no session is copied."""
    monkeypatch.setattr("chattor_bridge.node.mailbox.MAX_HELD", 3)
    tried = 0
    decrypt = Ratchet.decrypt

    def counted(ratchet: Ratchet, message: RatchetMessage, ad: bytes, *, random: RandomBytes, now: int) -> bytes:
        nonlocal tried
        tried += 1
        return decrypt(ratchet, message, ad, random=random, now=now)

    monkeypatch.setattr(Ratchet, "decrypt", counted)
    monkeypatch.setattr(Session, "clone", None)
    before = (await anna.node.status()).counters.undecryptable
    envelopes = [puppet.seal(Text(f"{number}")) for number in range(100)]
    await puppet.say(*[EnvelopeFrame(one) for one in envelopes[1:]])
    await puppet.say(EnvelopeFrame(envelopes[0]))
    await anna.until(lambda: anna.texts() == ["0", "1", "2", "3"])
    assert tried == 4
    await puppet.say(*[EnvelopeFrame(one) for one in envelopes[4:]])
    await anna.until(lambda: len(anna.texts()) == 100)
    assert (await anna.node.status()).counters.undecryptable == before


async def test_a_friend_who_fills_the_disk_is_read_slowly_and_nobody_else_is(
    world: World, anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    carol = await world.person("Carol")
    carol_id = await anna.befriend(carol)
    monkeypatch.setattr("chattor_bridge.node.allowance.DAY", 100.0)
    anna.allow(_peer(puppet), 50_000)
    await puppet.greet(anna)  # the sum counts on over all links
    large = 20
    flood = [EnvelopeFrame(puppet.seal(Text(f"{number} ".ljust(13_000, "x")))) for number in range(large)]
    pouring = asyncio.ensure_future(puppet.say(*flood))
    async with asyncio.timeout(PATIENCE):
        contacts = await anna.node.contacts()
        while "read slowly" not in (said := describe_status(await anna.node.status(), contacts)):  # noqa: ASYNC110
            await asyncio.sleep(0.01)  # nobody tells of a changed status
    assert f"The way to {contacts[0].name or NAMELESS}: " in said
    await carol.say(carol_id, "may I")
    await anna.until(lambda: "may I" in anna.texts())
    assert len(anna.texts()) < large
    await anna.until(lambda: len(anna.texts()) == large + 1, time_passes=True)
    await pouring


def test_skipped_numbers_make_no_message_dear() -> None:
    """Each message read from disk, opened and stored, with a thousand keys of others kept and without."""
    alone, attacked = _cost(0), _cost(MAX_SKIPPED - 1)
    assert attacked < 12 * alone, (alone, attacked)


def _cost(skipped: int) -> float:
    """Seconds of this processor for one message, at best."""
    sender, receiver = session_pair()
    state, now, spent = receiver.serialize(), 1_760_000_000, []
    for number in range(skipped + 60):
        envelope = sender.seal(b"x" * 100, random=secrets.token_bytes, now=now).envelope
        if number == 0 or number > skipped:
            began = time.thread_time()
            session = Session.deserialize(state)
            session.open(envelope, random=secrets.token_bytes, now=now)
            state = session.serialize()
            spent.append(time.thread_time() - began)
    return min(spent[2:])  # the first ones pay for the gap


async def test_onions_and_acknowledgements_in_turn_cost_few_transactions(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = _count_transactions(anna, monkeypatch)
    ack = AckFrame(puppet.session.received.ack())
    frames: list[Frame] = [ack, Onions(None, None), KeepAlive()] * 300
    await puppet.say(*frames, EnvelopeFrame(puppet.seal(Text("after the flood"))))
    await anna.until(lambda: anna.texts() == ["after the flood"])
    assert begun() < 50


async def test_the_end_of_a_merge_that_nobody_wanted_is_nothing_to_do(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking at everything a node has to do costs milliseconds, and this message a handful of bytes."""
    looked = 0
    settle = HostedOnions.settle

    async def counted(hosted: HostedOnions, tx: Transaction, others: int, contacts: list[Contact]) -> list[Contact]:
        nonlocal looked
        looked += 1
        return await settle(hosted, tx, others, contacts)

    monkeypatch.setattr(HostedOnions, "settle", counted)
    for number in range(20):
        await puppet.say(EnvelopeFrame(puppet.seal(MergeDone())), EnvelopeFrame(puppet.seal(Text(f"{number}"))))
        await anna.until(lambda number=number: len(anna.texts()) > number)  # type: ignore[misc]
    assert looked < 5


async def test_what_takes_long_to_read_is_followed_by_as_long_a_pause(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Or whoever sends it would have the node for itself."""
    turns_of_others: list[int] = []
    turns = 0
    receive = Link.receive

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    def slowly(link: Link, data: bytes) -> list[LinkEvent]:
        turns_of_others.append(turns)
        time.sleep(10 * LONG_READ)
        return receive(link, data)

    monkeypatch.setattr(Link, "receive", slowly)
    working = asyncio.ensure_future(others())
    await puppet.pour([puppet.sealed(*[KeepAlive()] * 20_000) for _ in range(4)])
    await puppet.say(EnvelopeFrame(puppet.seal(Text("read"))))
    await anna.until(lambda: anna.texts() == ["read"])
    working.cancel()
    between = [later - earlier for earlier, later in pairwise(turns_of_others)]
    assert len(between) > 3
    assert sorted(between)[len(between) // 2] > 50  # a few, without the pause


def _peer(puppet: Puppet) -> PeerId:
    return puppet.contact.peer_id
