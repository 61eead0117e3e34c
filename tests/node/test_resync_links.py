"""docs/protocol/session.md, "Resync", link by link: one side is moved by hand."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from chattor_bridge.node.happenings import SESSION_NOT_RENEWED, SESSION_RENEWED
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.frames import AckFrame, Bye, EnvelopeFrame, Hello, ResyncAnswer, ResyncDone, ResyncStart
from chattor_bridge.protocol.limits import RESYNC_INTERVAL
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import answer
from tests.node.puppet import Puppet
from tests.node.renewing import Friends, broken, cross, greet, has, session_of, told, until_both_are_told
from tests.node.world import PATIENCE, World

_WRONG: dict[str, Callable[[Hello], Hello]] = {
    "forgot what it sent": lambda hello: replace(hello, highest_sent=hello.highest_sent - 1),
    "forgot what it acknowledged": lambda hello: replace(hello, highest_received=hello.highest_received - 1),
    "received what was never sent": lambda hello: replace(hello, highest_received=hello.highest_received + 1_000),
    "is of another session": lambda hello: replace(hello, session_id=bytes(16)),
    "is epochs ahead": lambda hello: replace(hello, epoch=hello.epoch + 2),
}


@pytest.mark.parametrize("why", _WRONG)
async def test_contradicting_hellos_begin_a_resync_and_nothing_else(friends: Friends, puppet: Puppet, why: str) -> None:
    anna, _, peer_id = friends
    await anna.say(peer_id, "not on this link")
    await puppet.dial(anna)
    await puppet.say(_WRONG[why](puppet.hello()), AckFrame(puppet.session.received.ack()))
    await puppet.hear(ResyncStart)
    await puppet.say(EnvelopeFrame(puppet.seal(Text("nor is this"))), Bye("closing"))
    with pytest.raises(EOFError):
        await puppet.hear(EnvelopeFrame)
    assert anna.texts() == []


async def test_an_envelope_broken_inside_begins_a_resync(friends: Friends, puppet: Puppet) -> None:
    anna, _, _ = friends
    await greet(anna, puppet)
    await puppet.say(broken(puppet.session))
    await puppet.hear(ResyncStart)


async def test_less_than_a_day_after_the_last_one_the_link_goes_on_without(friends: Friends) -> None:
    anna, ben, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await until_both_are_told(anna, ben)
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    await greet(anna, puppet)
    await puppet.say(broken(puppet.session), EnvelopeFrame(puppet.seal(Text("the true one"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert not any(isinstance(frame, ResyncStart) for frame in puppet._frames)
    await anna.until(lambda: bool(told(anna, SESSION_NOT_RENEWED)))
    assert anna.texts() == ["the true one"]
    await puppet.close()


async def test_what_opens_under_no_key_never_does(friends: Friends, puppet: Puppet) -> None:
    anna, _, _ = friends
    await greet(anna, puppet)
    await puppet.say(EnvelopeFrame(secrets.token_bytes(1_000)), EnvelopeFrame(puppet.seal(Text("a good one"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert not any(isinstance(frame, ResyncStart) for frame in puppet._frames)


async def test_a_link_that_breaks_before_the_answer_comes_changes_nothing(friends: Friends, puppet: Puppet) -> None:
    anna, _, peer_id = friends
    before = (await session_of(anna, peer_id)).session_id
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    for _ in range(3):  # as often as it takes: what was not finished does not count as the day's
        await greet(anna, puppet)
        await puppet.hear(ResyncStart)
        await puppet.close()
    assert (await session_of(anna, peer_id)).session_id == before


async def test_an_end_that_got_lost_is_made_up_for_by_the_next_hello(friends: Friends, puppet: Puppet) -> None:
    """The puppet answers and has the starter's new session as a candidate; it hears of it in the next hello only."""
    anna, _, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await greet(anna, puppet)
    start = await puppet.hear(ResyncStart)
    said, candidate = answer(
        start, puppet.session, puppet.handshake_hash, random=secrets.token_bytes, now=puppet.contact.created_at
    )
    await puppet.say(said)
    await puppet.hear(ResyncDone)  # and is lost
    await puppet.close()
    await puppet.dial(anna)
    await puppet.say(puppet.hello(), AckFrame(puppet.session.received.ack()))  # of the old session still
    assert (await puppet.hear(Hello)).session_id == candidate.session_id
    await anna.say(peer_id, "not to the old session")
    await puppet.say(Bye("renewed"))
    with pytest.raises(EOFError):
        await puppet.hear(EnvelopeFrame)
    await puppet.close()
    puppet.session = candidate
    await greet(anna, puppet)
    await puppet.hear(EnvelopeFrame)
    assert told(anna, SESSION_NOT_RENEWED) == []  # she waits for the friend, and does not find the two contradictory


@pytest.mark.parametrize(
    ("who", "greeted"),
    [("knocker", False), ("owner", False), ("owner", True)],  # a knocker ends the first when it is greeted on another
)
async def test_another_link_on_which_the_session_before_was_named_is_ended(
    friends: Friends, who: str, *, greeted: bool
) -> None:
    """On it nothing that is said would be understood, for as long as it lives."""
    anna, ben, peer_id = friends
    person, friend = (anna, ben) if who == "knocker" else (ben, anna)
    puppet = await Puppet.of(friend)
    another = Puppet(puppet.contact, person.house.world.clock)
    await person.until(lambda: not person.online(peer_id))
    async with person.house.store.transaction() as tx:
        await person.node.renew_session(tx, peer_id)
    await greet(person, puppet)
    start = await puppet.hear(ResyncStart)
    await another.dial(person)
    assert (await another.hear(Hello)).session_id == another.session.session_id
    if greeted:
        await another.say(another.hello())
        await another.hear(ResyncStart)
    said, _ = answer(
        start, puppet.session, puppet.handshake_hash, random=secrets.token_bytes, now=puppet.contact.created_at
    )
    await puppet.say(said)
    await puppet.hear(ResyncDone)
    assert await another.hear(Bye) == Bye("renewed")
    for one in (puppet, another):
        await one.close()


async def test_who_is_refused_uses_the_link_without_and_asks_again_a_day_later(
    world: World, friends: Friends, puppet: Puppet
) -> None:
    """By the clock of one of the two less than a day has passed. Links that end one after the other help nobody."""
    anna, _, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await greet(anna, puppet)
    await puppet.hear(ResyncStart)
    await puppet.say(Bye("too-soon"))
    await anna.until(lambda: not anna.online(peer_id))
    await anna.say(peer_id, "without")
    await greet(anna, puppet)
    frame = await puppet.hear(EnvelopeFrame)
    assert not any(isinstance(one, ResyncStart) for one in puppet._frames)
    puppet.session.open(frame.envelope, random=secrets.token_bytes, now=world.clock.now())
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)  # she wants to know
    await puppet.hear(ResyncStart)
    await puppet.say(Bye("too-soon"))
    await anna.until(lambda: not anna.online(peer_id))
    await puppet.dial(anna)
    await puppet.say(replace(puppet.hello(), session_id=bytes(16)))  # then it is of no use without
    await puppet.hear(ResyncStart)
    await puppet.close()
    await anna.until(lambda: not anna.online(peer_id))
    await world.clock.advance(RESYNC_INTERVAL)
    await greet(anna, puppet)
    await puppet.hear(ResyncStart)


async def test_who_is_refused_does_not_use_the_link_when_numbers_are_missing_for_good(
    friends: Friends, puppet: Puppet
) -> None:
    """Something was given up: what comes after it would be shown with a gap that never closes."""
    anna, _, peer_id = friends
    session = await session_of(anna, peer_id)
    session.renewal.wanted = Reason.GIVEN_UP
    mailbox, store = anna.node.work.mailbox, anna.house.store
    async with store.transaction() as tx:
        contact = await mailbox.locked(tx, peer_id)
        await store.contacts.save(tx, replace(contact, session=session.serialize()))
    for _ in range(2):
        await greet(anna, puppet)
        await puppet.hear(ResyncStart)
        await puppet.say(Bye("too-soon"))
        await anna.until(lambda: not anna.online(peer_id))


async def test_a_refusal_of_what_nobody_asked_for_is_told_once_and_changes_nothing(
    friends: Friends, puppet: Puppet
) -> None:
    """The friend may have meant to start, and had to say so; or it says what it likes."""
    anna, _, peer_id = friends
    before = await session_of(anna, peer_id)
    for _ in range(2):
        await greet(anna, puppet)
        await puppet.say(Bye("too-soon"))
        with pytest.raises(EOFError):
            await puppet.hear(Bye)
    assert len(told(anna, SESSION_NOT_RENEWED)) == 1
    after = await session_of(anna, peer_id)
    after.renewal.refused = before.renewal.refused
    assert after.serialize() == before.serialize()
    await greet(anna, puppet)
    await puppet.say(broken(puppet.session))
    await puppet.hear(ResyncStart)  # as if nothing had been said


async def test_a_candidate_that_was_kept_counts_from_when_it_is_taken(
    world: World, friends: Friends, puppet: Puppet
) -> None:
    """Who keeps one for a day gets no two renewals at once for it."""
    anna, _, peer_id = friends
    kept = []
    for _ in range(2):
        await greet(anna, puppet)
        starting = puppet.start_resync()
        await puppet.say(starting.frame)
        said = await puppet.hear(ResyncAnswer)
        kept.append(starting.finish(said, puppet.session, random=secrets.token_bytes, now=puppet.contact.created_at))
        await puppet.close()
        await anna.until(lambda: not anna.online(peer_id))
    await world.clock.advance(RESYNC_INTERVAL)
    for session, taken in zip(kept, (True, False), strict=True):
        puppet.session = session
        await puppet.dial(anna)
        await puppet.say(puppet.hello())
        assert await puppet.hear(Bye) == Bye("renewed" if taken else "too-soon")
        await puppet.close()
    puppet.session = kept[0]
    await greet(anna, puppet)
    await puppet.say(puppet.start_resync().frame)
    assert await puppet.hear(Bye) == Bye("too-soon")
    assert told(anna, SESSION_RENEWED) == ["friend"]


async def test_of_two_starts_on_two_links_that_of_the_lower_key_counts(world: World) -> None:
    """Were both to come to an end, each side would be left with another session, for a day."""
    crossing = await cross(world, lower=True)
    await crossing.second.say(crossing.second.start_resync().frame)
    assert await crossing.second.hear(Bye) == Bye("replaced")
    said, candidate = crossing.answer()
    await crossing.first.say(said)
    await crossing.first.hear(ResyncDone)
    assert (await session_of(crossing.owner, crossing.peer_id)).session_id == candidate.session_id
    await crossing.close()


async def test_who_has_the_higher_key_gives_its_start_on_another_link_up(world: World) -> None:
    crossing = await cross(world, lower=False)
    starting = crossing.second.start_resync()
    await crossing.second.say(starting.frame)
    theirs = await crossing.second.hear(ResyncAnswer)
    said, _ = crossing.answer()
    await crossing.first.say(said)
    assert await crossing.first.hear(Bye) == Bye("replaced")
    renewed = starting.finish(
        theirs, crossing.second.session, random=secrets.token_bytes, now=crossing.second.contact.created_at
    )
    await crossing.second.say(ResyncDone())
    assert await crossing.second.hear(Bye) == Bye("renewed")
    assert (await session_of(crossing.owner, crossing.peer_id)).session_id == renewed.session_id
    await crossing.close()


async def test_a_start_on_a_link_that_broke_is_in_the_way_of_none(world: World) -> None:
    crossing = await cross(world, lower=True)
    await crossing.first.close()
    friendship = crossing.owner.node.work.friendships.by_peer[crossing.peer_id]
    async with asyncio.timeout(PATIENCE):
        while len(friendship._live) > 1:  # noqa: ASYNC110 - nobody tells of one of several links
            await asyncio.sleep(0.01)
    await crossing.second.say(crossing.second.start_resync().frame)
    await crossing.second.hear(ResyncAnswer)
    await crossing.close()


async def test_once_it_has_begun_nothing_is_acknowledged(friends: Friends, puppet: Puppet) -> None:
    """What was stored just before is not, either: these are numbers of the session that ends."""
    anna, _, _ = friends
    await greet(anna, puppet)
    starting = puppet.start_resync()
    await puppet.say(EnvelopeFrame(puppet.seal(Text("just before"))), starting.frame)
    said = await puppet.hear(ResyncAnswer)
    assert not [one for one in puppet._frames if isinstance(one, AckFrame)]
    starting.finish(said, puppet.session, random=secrets.token_bytes, now=puppet.contact.created_at)
    await puppet.say(ResyncDone())
    with pytest.raises(EOFError):
        await puppet.hear(AckFrame)
    assert anna.texts() == ["just before"]


async def test_what_waits_behind_a_gap_is_handed_on(friends: Friends, puppet: Puppet) -> None:
    """The gap never closes under its old numbers."""
    anna, _, _ = friends
    await greet(anna, puppet)
    puppet.seal(Text("comes again in the new session"))
    await puppet.say(EnvelopeFrame(puppet.seal(Text("behind it"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert anna.texts() == []
    starting = puppet.start_resync()
    await puppet.say(starting.frame)
    said = await puppet.hear(ResyncAnswer)
    starting.finish(said, puppet.session, random=secrets.token_bytes, now=puppet.contact.created_at)
    await puppet.say(ResyncDone())
    await anna.until(partial(has, anna, "behind it"))


async def test_a_second_start_on_one_link_ends_it(friends: Friends, puppet: Puppet) -> None:
    anna, _, _ = friends
    await greet(anna, puppet)
    start = puppet.start_resync().frame
    await puppet.say(start, start)
    with pytest.raises(EOFError):
        await puppet.hear(Bye)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "one"])
async def test_a_key_of_small_order_ends_the_link(friends: Friends, puppet: Puppet, key: bytes) -> None:
    anna, _, peer_id = friends
    before = (await session_of(anna, peer_id)).serialize()
    await greet(anna, puppet)
    start = puppet.start_resync().frame
    at = start.encoded.index(b"\x58\x20") + 2
    await puppet.say(ResyncStart(start.encoded[:at] + key + start.encoded[at + 32 :]))
    with pytest.raises(EOFError):
        await puppet.hear(Bye)
    assert (await session_of(anna, peer_id)).serialize() == before


@pytest.mark.parametrize(
    "frame",
    [ResyncAnswer(cbor.encode({"key": bytes(32), "kem": bytes(1_088)}), bytes(40), bytes(45)), ResyncDone()],
    ids=["answer", "end"],
)
async def test_answers_and_ends_that_nobody_asked_for_end_the_link(
    friends: Friends, puppet: Puppet, frame: ResyncAnswer | ResyncDone
) -> None:
    anna, _, _ = friends
    await greet(anna, puppet)
    await puppet.say(frame)
    with pytest.raises(EOFError):
        await puppet.hear(Bye)
