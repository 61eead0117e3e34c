"""docs/protocol/session.md, "Resync": two halves that no longer belong together begin anew, and nothing is lost."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial

import pytest

from chattor_bridge.errors import UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import MISSING, SESSION_NOT_RENEWED, SESSION_RENEWED, EventArrived, EventFailed
from chattor_bridge.protocol.events import Text, Unknown
from chattor_bridge.protocol.frames import AckFrame, Bye, EnvelopeFrame, Hello, ResyncAnswer, ResyncDone, ResyncStart
from chattor_bridge.protocol.limits import QUEUED_LIFETIME, RESYNC_INTERVAL
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import answer
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.window import Ack
from chattor_bridge.storage.alone import OnlyCopy
from tests.node.puppet import Puppet
from tests.node.world import PATIENCE, House, Person, World
from tests.postgres import Copies


async def _copy(house: House, copies: Copies) -> str:
    """A copy of a house's disk."""
    await house.stop()
    copy = copies(house.url)
    await house.start()
    return copy


async def _restore(house: House, copy: str) -> None:
    """The house starts again from an old copy of its disk."""
    await house.die()
    house.url = copy
    await house.start()


async def _session(person: Person, peer_id: PeerId) -> Session:
    async with person.house.store.transaction() as tx:
        contact = await person.house.store.contacts.get(tx, person.node_id, peer_id)
    assert contact is not None
    return Session.deserialize(contact.session)


async def _agree(*people: Person, peer_id: PeerId) -> bool:
    return len({(await _session(person, peer_id)).session_id for person in people}) == 1


def _told(person: Person, what: str) -> list[object]:
    bodies = [arrived.event.body for arrived in person.of(EventArrived)]
    return [body.fields.get("reason") for body in bodies if isinstance(body, Unknown) and body.type == what]


def _has(person: Person, *texts: str) -> bool:
    return set(texts) <= set(person.texts())


async def _until_both_are_told(*people: Person, times: int = 1) -> None:
    for person in people:
        await person.until(
            lambda person=person: len(_told(person, SESSION_RENEWED)) >= times,  # type: ignore[misc]
            time_passes=True,
        )


@pytest.fixture
async def friends(world: World) -> tuple[Person, Person, PeerId]:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    return anna, ben, await anna.befriend(ben)


Friends = tuple[Person, Person, PeerId]


async def test_an_acknowledgement_of_the_session_before_drops_nothing(friends: Friends) -> None:
    """Its numbers are those of other envelopes now."""
    anna, ben, peer_id = friends
    await ben.house.stop()
    await anna.say(peer_id, "under the new session")
    session = await _session(anna, peer_id)
    mailbox, store = anna.node.work.mailbox, anna.house.store
    everything = Ack(session.highest_sent)
    async with store.transaction() as tx:
        assert not await mailbox.delivered(tx, peer_id, everything, bytes(16))
        assert await store.outbox.count(tx, anna.node_id, peer_id) > 0
    async with store.transaction() as tx:
        await mailbox.delivered(tx, peer_id, everything, session.session_id)
        assert await store.outbox.count(tx, anna.node_id, peer_id) == 0


@pytest.mark.engines("sqlite", "postgres")
@pytest.mark.parametrize("who", ["knocker", "owner"])
async def test_a_restored_database_recovers_and_loses_nothing(friends: Friends, copies: Copies, who: str) -> None:
    """The numbers that the copy would use next were used after it was made; without a resync what is said under them
    would be acknowledged and dropped."""
    anna, ben, peer_id = friends
    restored, other = (anna, ben) if who == "knocker" else (ben, anna)
    copy = await _copy(restored.house, copies)
    await restored.until(lambda: restored.online(peer_id), time_passes=True)
    await restored.say(peer_id, "after the copy 1", "after the copy 2")
    await other.until(partial(_has, other, "after the copy 2"))
    await other.say(peer_id, "an answer")
    await restored.until(partial(_has, restored, "an answer"))

    await other.house.stop()
    await _restore(restored.house, copy)
    await restored.say(peer_id, "after the restoring 1", "after the restoring 2")  # under the same two numbers
    await other.house.start()
    await other.say(peer_id, "welcome back")
    await _until_both_are_told(anna, ben)
    await other.until(partial(_has, other, "after the restoring 1", "after the restoring 2"), time_passes=True)
    await restored.until(partial(_has, restored, "welcome back"), time_passes=True)
    assert other.texts() == ["after the copy 1", "after the copy 2", "after the restoring 1", "after the restoring 2"]
    assert await _agree(anna, ben, peer_id=peer_id)
    assert "contradiction" in _told(anna, SESSION_RENEWED) + _told(ben, SESSION_RENEWED)


@pytest.mark.parametrize("who", ["knocker", "owner"])
async def test_a_copy_that_has_said_exactly_as_much_is_noticed(friends: Friends, copies: Copies, who: str) -> None:
    """Neither number in the hellos contradicts the other; the digest of the last envelope does."""
    anna, ben, peer_id = friends
    restored, other = (anna, ben) if who == "knocker" else (ben, anna)
    copy = await _copy(restored.house, copies)
    await restored.until(lambda: restored.online(peer_id), time_passes=True)
    await restored.say(peer_id, "one life")
    await other.until(partial(_has, other, "one life"))
    await other.house.stop()
    await _restore(restored.house, copy)
    await restored.say(peer_id, "another life")
    await other.house.start()
    await other.until(partial(_has, other, "another life"), time_passes=True)
    assert other.texts() == ["one life", "another life"]


async def test_a_copy_beside_the_live_one_gets_one_turn_a_day_and_everybody_is_told(
    world: World, friends: Friends, copies: Copies
) -> None:
    anna, ben, peer_id = friends
    copy = await _copy(ben.house, copies)
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    await ben.say(peer_id, "from the live one")
    await anna.until(partial(_has, anna, "from the live one"))
    live = await _copy(ben.house, copies)
    await ben.until(lambda: ben.online(peer_id), time_passes=True)

    await _restore(ben.house, copy)  # the two take turns here; at once they would do the same, one stream after another
    await _until_both_are_told(anna, ben)
    await ben.say(peer_id, "from the copy")
    await anna.until(partial(_has, anna, "from the copy"), time_passes=True)

    await _restore(ben.house, live)
    await ben.say(peer_id, "the live one again")
    for person in (anna, ben):
        await person.until(
            lambda person=person: bool(_told(person, SESSION_NOT_RENEWED)),  # type: ignore[misc]
            time_passes=True,
        )
    await world.clock.pass_slowly(3_600, step=300)
    assert (len(_told(anna, SESSION_NOT_RENEWED)), len(_told(ben, SESSION_NOT_RENEWED))) == (1, 1)  # told once
    assert not _has(anna, "the live one again")
    with pytest.raises(UsageError):
        async with anna.house.store.transaction() as tx:
            await anna.node.renew_session(tx, peer_id)

    await world.clock.advance(RESYNC_INTERVAL)
    await anna.until(partial(_has, anna, "the live one again"), time_passes=True)
    assert anna.texts() == ["from the live one", "from the copy", "the live one again"]
    assert len(_told(anna, SESSION_RENEWED)) == 2


@pytest.mark.parametrize("who", ["knocker", "owner"])
async def test_two_copies_at_work_at_once_on_two_machines_are_told_of_on_both_sides(
    world: World, friends: Friends, copies: Copies, who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing that they share knows of both but their friend."""
    anna, ben, peer_id = friends
    doubled, other = (anna, ben) if who == "knocker" else (ben, anna)
    copy = await _copy(doubled.house, copies)
    monkeypatch.setattr(OnlyCopy, "hold", lambda *_: None)  # which sees what is on one machine
    house = House(world, "twin")
    house.key, house.url = doubled.house.key, copy
    twin = Person(house, doubled.owner, doubled.node_id)
    await house.start()
    try:
        await doubled.say(peer_id, "from the live one")
        await twin.say(peer_id, "from the copy")
        for told in (partial(_told, other), lambda what: _told(doubled, what) + _told(twin, what)):
            await other.until(lambda told=told: bool(told(SESSION_RENEWED)), time_passes=True)  # type: ignore[misc]
        await other.until(partial(_has, other, "from the live one", "from the copy"), time_passes=True)
    finally:
        await house.stop()


@pytest.mark.parametrize("who", ["knocker", "owner", "both"])
async def test_a_user_may_ask(world: World, friends: Friends, who: str) -> None:
    anna, ben, peer_id = friends
    before = (await _session(anna, peer_id)).session_id
    for person in {"knocker": [anna], "owner": [ben], "both": [anna, ben]}[who]:
        async with person.house.store.transaction() as tx:
            await person.node.renew_session(tx, peer_id)
    await anna.say(peer_id, "meanwhile")
    await _until_both_are_told(anna, ben)
    await ben.until(partial(_has, ben, "meanwhile"), time_passes=True)
    assert await _agree(anna, ben, peer_id=peer_id)
    session = await _session(anna, peer_id)
    assert session.session_id != before
    assert (session.renewal.wanted, session.renewal.candidates) == (None, ())
    await ben.say(peer_id, "afterwards")
    await anna.until(partial(_has, anna, "afterwards"), time_passes=True)
    assert anna.texts() == ["afterwards"]
    assert ben.texts() == ["meanwhile"]


async def test_what_was_under_way_is_sealed_anew_under_the_same_ids(world: World, friends: Friends) -> None:
    """More than fifty, so that an epoch was offered under the old session, and that offer does not survive it."""
    anna, ben, peer_id = friends
    await ben.house.stop()
    await anna.until(lambda: not anna.online(peer_id))
    said = await anna.say(peer_id, *[f"{number}" for number in range(70)])
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await ben.house.start()
    await ben.until(lambda: len(ben.texts()) == 70, time_passes=True)
    assert ben.texts() == [f"{number}" for number in range(70)]
    await anna.until(lambda: set(said) <= set(anna.delivered()), time_passes=True)
    assert [event_id for event_id in anna.delivered() if event_id in said] == said
    assert _told(ben, SESSION_RENEWED) == ["friend"]
    assert [person.node.work.counters.unreadable for person in (anna, ben)] == [0, 0]  # that offer was not said again


@pytest.mark.parametrize("asked", [False, True])
async def test_what_has_waited_for_a_month_is_given_up_and_what_has_not_arrives(
    world: World, friends: Friends, *, asked: bool
) -> None:
    anna, ben, peer_id = friends
    await ben.house.stop()
    await anna.until(lambda: not anna.online(peer_id))
    old = await anna.say(peer_id, *[f"old {number}" for number in range(70)])
    world.clock.suspend(QUEUED_LIFETIME - 3_600)
    await anna.say(peer_id, "new")
    assert anna.of(EventFailed) == []
    world.clock.suspend(7_200)
    await anna.until(lambda: len(anna.of(EventFailed)) == len(old), time_passes=True)
    assert [(one.event_id, "30 days" in one.reason) for one in anna.of(EventFailed)] == [(one, True) for one in old]
    if asked:  # for the same thing, for another reason
        async with anna.house.store.transaction() as tx:
            await anna.node.renew_session(tx, peer_id)
    await ben.house.start()
    await ben.until(partial(_has, ben, "new"), time_passes=True)
    await anna.until(lambda: bool(_told(anna, SESSION_RENEWED)), time_passes=True)
    assert ben.texts() == ["new"]
    assert _told(anna, SESSION_RENEWED) == ["given-up"]
    assert _told(ben, SESSION_RENEWED) == ["friend"]
    assert _told(ben, MISSING) == []
    assert len(anna.of(EventFailed)) == len(old)
    await ben.say(peer_id, "welcome back")
    await anna.until(partial(_has, anna, "welcome back"), time_passes=True)


async def test_nothing_is_given_up_within_a_day_of_a_resync(world: World, friends: Friends) -> None:
    """The numbers would be missing, and the session could not begin anew."""
    anna, ben, peer_id = friends
    await ben.house.stop()
    await anna.until(lambda: not anna.online(peer_id))
    (said,) = await anna.say(peer_id, "waits")
    world.clock.suspend(QUEUED_LIFETIME + 1)
    mailbox, store = anna.node.work.mailbox, anna.house.store
    session = await _session(anna, peer_id)
    session.renewal.at = world.clock.now() - RESYNC_INTERVAL + 1
    async with store.transaction() as tx:
        contact = await mailbox.locked(tx, peer_id)
        await store.contacts.save(tx, replace(contact, session=session.serialize()))
        assert not await mailbox.give_up_old(tx, peer_id)
    assert (await _session(anna, peer_id)).renewal.wanted is None
    world.clock.suspend(1)
    async with store.transaction() as tx:
        assert await mailbox.give_up_old(tx, peer_id)
    assert [one.event_id for one in anna.of(EventFailed)] == [said]


# --- one side moved by hand -------------------------------------------------------------------------------------------


@pytest.fixture
async def puppet(friends: Friends) -> AsyncIterator[Puppet]:
    anna, ben, peer_id = friends
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    yield puppet
    await puppet.close()


async def _greet(anna: Person, puppet: Puppet) -> None:
    await puppet.greet(anna, AckFrame(puppet.session.received.ack()))


def _broken(session: Session) -> EnvelopeFrame:
    """An envelope that is authentic outside and wrong inside."""
    outer = [session.highest_sent + 1, bytes(40), bytes(924), None]
    return EnvelopeFrame(session._seal_outer(secrets.token_bytes(12), outer, 1_000))


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
    await _greet(anna, puppet)
    await puppet.say(_broken(puppet.session))
    await puppet.hear(ResyncStart)


async def test_less_than_a_day_after_the_last_one_the_link_goes_on_without(friends: Friends) -> None:
    anna, ben, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await _until_both_are_told(anna, ben)
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    await _greet(anna, puppet)
    await puppet.say(_broken(puppet.session), EnvelopeFrame(puppet.seal(Text("the true one"))))
    await puppet.hear_ack_of(puppet.session.highest_sent)
    assert not any(isinstance(frame, ResyncStart) for frame in puppet._frames)
    await anna.until(lambda: bool(_told(anna, SESSION_NOT_RENEWED)))
    assert anna.texts() == ["the true one"]
    await puppet.close()


async def test_what_opens_under_no_key_never_does(friends: Friends, puppet: Puppet) -> None:
    anna, _, _ = friends
    await _greet(anna, puppet)
    await puppet.say(EnvelopeFrame(secrets.token_bytes(1_000)), EnvelopeFrame(puppet.seal(Text("a good one"))))
    await puppet.hear_ack_of(puppet.session.highest_sent)
    assert not any(isinstance(frame, ResyncStart) for frame in puppet._frames)


async def test_a_link_that_breaks_before_the_answer_comes_changes_nothing(friends: Friends, puppet: Puppet) -> None:
    anna, _, peer_id = friends
    before = (await _session(anna, peer_id)).session_id
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    for _ in range(3):  # as often as it takes: what was not finished does not count as the day's
        await _greet(anna, puppet)
        await puppet.hear(ResyncStart)
        await puppet.close()
    assert (await _session(anna, peer_id)).session_id == before


async def test_an_end_that_got_lost_is_made_up_for_by_the_next_hello(friends: Friends, puppet: Puppet) -> None:
    """The puppet answers and has the starter's new session as a candidate; it hears of it in the next hello only."""
    anna, _, peer_id = friends
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer_id)
    await _greet(anna, puppet)
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
    await _greet(anna, puppet)
    await puppet.hear(EnvelopeFrame)
    assert _told(anna, SESSION_NOT_RENEWED) == []  # she waits for the friend, and does not find the two contradictory


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
    await _greet(person, puppet)
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
    await _greet(anna, puppet)
    await puppet.hear(ResyncStart)
    await puppet.say(Bye("too-soon"))
    await anna.until(lambda: not anna.online(peer_id))
    await anna.say(peer_id, "without")
    await _greet(anna, puppet)
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
    await _greet(anna, puppet)
    await puppet.hear(ResyncStart)


async def test_who_is_refused_does_not_use_the_link_when_numbers_are_missing_for_good(
    friends: Friends, puppet: Puppet
) -> None:
    """Something was given up: what comes after it would be shown with a gap that never closes."""
    anna, _, peer_id = friends
    session = await _session(anna, peer_id)
    session.renewal.wanted = Reason.GIVEN_UP
    mailbox, store = anna.node.work.mailbox, anna.house.store
    async with store.transaction() as tx:
        contact = await mailbox.locked(tx, peer_id)
        await store.contacts.save(tx, replace(contact, session=session.serialize()))
    for _ in range(2):
        await _greet(anna, puppet)
        await puppet.hear(ResyncStart)
        await puppet.say(Bye("too-soon"))
        await anna.until(lambda: not anna.online(peer_id))


async def test_a_candidate_that_was_kept_counts_from_when_it_is_taken(
    world: World, friends: Friends, puppet: Puppet
) -> None:
    """Who keeps one for a day gets no two renewals at once for it."""
    anna, _, peer_id = friends
    kept = []
    for _ in range(2):
        await _greet(anna, puppet)
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
    await _greet(anna, puppet)
    await puppet.say(puppet.start_resync().frame)
    assert await puppet.hear(Bye) == Bye("too-soon")
    assert _told(anna, SESSION_RENEWED) == ["friend"]


@dataclass(frozen=True, slots=True)
class _Crossing:
    """A resync is under way on both of two links between ``owner``, who has sent ``start`` on the first, and a puppet,
    which is about to start one on the second."""

    owner: Person
    peer_id: PeerId
    first: Puppet
    second: Puppet
    start: ResyncStart

    def answer(self) -> tuple[ResyncAnswer, Session]:
        now = self.first.contact.created_at
        return answer(self.start, self.first.session, self.first.handshake_hash, random=secrets.token_bytes, now=now)

    async def close(self) -> None:
        for puppet in (self.first, self.second):
            await puppet.close()


async def _crossing(world: World, *, lower: bool) -> _Crossing:
    """``lower``: whether the owner's static key is the lower of the two."""
    for number in range(20):
        owner, knocker = await world.person(f"Ben {number}"), await world.person(f"Anna {number}")
        peer_id = await knocker.befriend(owner)
        async with owner.house.store.transaction() as tx:
            contact = await owner.house.store.contacts.get(tx, owner.node_id, peer_id)
        assert contact is not None
        if (x25519_public(contact.own_static) < contact.peer_static) is lower:
            break
    first = await Puppet.of(knocker)
    second = Puppet(first.contact, world.clock)
    await owner.until(lambda: not owner.online(peer_id))
    await _greet(owner, second)
    await _greet(owner, first)
    await first.say(_broken(first.session))
    return _Crossing(owner, peer_id, first, second, await first.hear(ResyncStart))


async def test_of_two_starts_on_two_links_that_of_the_lower_key_counts(world: World) -> None:
    """Were both to come to an end, each side would be left with another session, for a day."""
    crossing = await _crossing(world, lower=True)
    await crossing.second.say(crossing.second.start_resync().frame)
    assert await crossing.second.hear(Bye) == Bye("replaced")
    said, candidate = crossing.answer()
    await crossing.first.say(said)
    await crossing.first.hear(ResyncDone)
    assert (await _session(crossing.owner, crossing.peer_id)).session_id == candidate.session_id
    await crossing.close()


async def test_who_has_the_higher_key_gives_its_start_on_another_link_up(world: World) -> None:
    crossing = await _crossing(world, lower=False)
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
    assert (await _session(crossing.owner, crossing.peer_id)).session_id == renewed.session_id
    await crossing.close()


async def test_a_start_on_a_link_that_broke_is_in_the_way_of_none(world: World) -> None:
    crossing = await _crossing(world, lower=True)
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
    await _greet(anna, puppet)
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
    await _greet(anna, puppet)
    puppet.seal(Text("comes again in the new session"))
    await puppet.say(EnvelopeFrame(puppet.seal(Text("behind it"))))
    await puppet.hear_ack_of(puppet.session.highest_sent)
    assert anna.texts() == []
    starting = puppet.start_resync()
    await puppet.say(starting.frame)
    said = await puppet.hear(ResyncAnswer)
    starting.finish(said, puppet.session, random=secrets.token_bytes, now=puppet.contact.created_at)
    await puppet.say(ResyncDone())
    await anna.until(partial(_has, anna, "behind it"))


async def test_a_second_start_on_one_link_ends_it(friends: Friends, puppet: Puppet) -> None:
    anna, _, _ = friends
    await _greet(anna, puppet)
    start = puppet.start_resync().frame
    await puppet.say(start, start)
    with pytest.raises(EOFError):
        await puppet.hear(Bye)


@pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31)], ids=["zero", "one"])
async def test_a_key_of_small_order_ends_the_link(friends: Friends, puppet: Puppet, key: bytes) -> None:
    anna, _, peer_id = friends
    before = (await _session(anna, peer_id)).serialize()
    await _greet(anna, puppet)
    start = puppet.start_resync().frame
    at = start.encoded.index(b"\x58\x20") + 2
    await puppet.say(ResyncStart(start.encoded[:at] + key + start.encoded[at + 32 :]))
    with pytest.raises(EOFError):
        await puppet.hear(Bye)
    assert (await _session(anna, peer_id)).serialize() == before


async def test_answers_and_ends_that_nobody_asked_for_end_the_link(friends: Friends, puppet: Puppet) -> None:
    anna, _, _ = friends
    await _greet(anna, puppet)
    await puppet.say(ResyncDone())
    with pytest.raises(EOFError):
        await puppet.hear(Bye)
