"""docs/protocol/session.md, "Resync": two halves that no longer belong together begin anew, and nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest

from chattor_bridge.errors import UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import MISSING, SESSION_NOT_RENEWED, SESSION_RENEWED, EventFailed
from chattor_bridge.node.sending import Of
from chattor_bridge.protocol.limits import QUEUED_LIFETIME, RESYNC_INTERVAL
from chattor_bridge.protocol.window import Ack
from chattor_bridge.storage.alone import OnlyCopy
from tests.node.renewing import Friends, has, session_of, told, until_both_are_told
from tests.node.world import House, Person, World
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


async def _agree(*people: Person, peer_id: PeerId) -> bool:
    return len({(await session_of(person, peer_id)).session_id for person in people}) == 1


async def test_an_acknowledgement_of_the_session_before_drops_nothing(friends: Friends) -> None:
    """Its numbers are those of other envelopes now."""
    anna, ben, peer_id = friends
    await ben.house.stop()
    await anna.say(peer_id, "under the new session")
    session = await session_of(anna, peer_id)
    mailbox, store = anna.node.work.mailbox, anna.house.store
    everything = Ack(session.sent.highest, (), session.sent.digest)
    async with store.transaction() as tx:
        assert await mailbox.delivered(tx, peer_id, everything, bytes(16)) == (Of.OLD, False)
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
    await other.until(partial(has, other, "after the copy 2"))
    await other.say(peer_id, "an answer")
    await restored.until(partial(has, restored, "an answer"))

    await other.house.stop()
    await _restore(restored.house, copy)
    await restored.say(peer_id, "after the restoring 1", "after the restoring 2")  # under the same two numbers
    await other.house.start()
    await other.say(peer_id, "welcome back")
    await until_both_are_told(anna, ben)
    await other.until(partial(has, other, "after the restoring 1", "after the restoring 2"), time_passes=True)
    await restored.until(partial(has, restored, "welcome back"), time_passes=True)
    assert other.texts() == ["after the copy 1", "after the copy 2", "after the restoring 1", "after the restoring 2"]
    assert await _agree(anna, ben, peer_id=peer_id)
    assert "contradiction" in told(anna, SESSION_RENEWED) + told(ben, SESSION_RENEWED)


@pytest.mark.parametrize("who", ["knocker", "owner"])
async def test_a_copy_that_has_said_exactly_as_much_is_noticed(friends: Friends, copies: Copies, who: str) -> None:
    """Neither number in the hellos contradicts the other; the digest of the last envelope does."""
    anna, ben, peer_id = friends
    restored, other = (anna, ben) if who == "knocker" else (ben, anna)
    copy = await _copy(restored.house, copies)
    await restored.until(lambda: restored.online(peer_id), time_passes=True)
    await restored.say(peer_id, "one life")
    await other.until(partial(has, other, "one life"))
    await other.house.stop()
    await _restore(restored.house, copy)
    await restored.say(peer_id, "another life")
    await other.house.start()
    await other.until(partial(has, other, "another life"), time_passes=True)
    assert other.texts() == ["one life", "another life"]


async def test_a_copy_beside_the_live_one_gets_one_turn_a_day_and_everybody_is_told(
    world: World, friends: Friends, copies: Copies
) -> None:
    anna, ben, peer_id = friends
    copy = await _copy(ben.house, copies)
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    await ben.say(peer_id, "from the live one")
    await anna.until(partial(has, anna, "from the live one"))
    live = await _copy(ben.house, copies)
    await ben.until(lambda: ben.online(peer_id), time_passes=True)

    await _restore(ben.house, copy)  # the two take turns here; at once they would do the same, one stream after another
    await until_both_are_told(anna, ben)
    await ben.say(peer_id, "from the copy")
    await anna.until(partial(has, anna, "from the copy"), time_passes=True)

    await _restore(ben.house, live)
    await ben.say(peer_id, "the live one again")
    for person in (anna, ben):
        await person.until(
            lambda person=person: bool(told(person, SESSION_NOT_RENEWED)),  # type: ignore[misc]
            time_passes=True,
        )
    await world.clock.pass_slowly(3_600, step=300)
    assert (len(told(anna, SESSION_NOT_RENEWED)), len(told(ben, SESSION_NOT_RENEWED))) == (1, 1)  # told once
    assert not has(anna, "the live one again")
    with pytest.raises(UsageError):
        async with anna.house.store.transaction() as tx:
            await anna.node.renew_session(tx, peer_id)

    await world.clock.advance(RESYNC_INTERVAL)
    await anna.until(partial(has, anna, "the live one again"), time_passes=True)
    assert anna.texts() == ["from the live one", "from the copy", "the live one again"]
    assert len(told(anna, SESSION_RENEWED)) == 2


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
        for heard in (partial(told, other), lambda what: told(doubled, what) + told(twin, what)):
            await other.until(lambda heard=heard: bool(heard(SESSION_RENEWED)), time_passes=True)  # type: ignore[misc]
        await other.until(partial(has, other, "from the live one", "from the copy"), time_passes=True)
    finally:
        await house.stop()


@pytest.mark.parametrize("who", ["knocker", "owner", "both"])
async def test_a_user_may_ask(world: World, friends: Friends, who: str) -> None:
    anna, ben, peer_id = friends
    before = (await session_of(anna, peer_id)).session_id
    for person in {"knocker": [anna], "owner": [ben], "both": [anna, ben]}[who]:
        async with person.house.store.transaction() as tx:
            await person.node.renew_session(tx, peer_id)
    await anna.say(peer_id, "meanwhile")
    await until_both_are_told(anna, ben)
    await ben.until(partial(has, ben, "meanwhile"), time_passes=True)
    assert await _agree(anna, ben, peer_id=peer_id)
    session = await session_of(anna, peer_id)
    assert session.session_id != before
    assert (session.renewal.wanted, session.renewal.candidates) == (None, ())
    await ben.say(peer_id, "afterwards")
    await anna.until(partial(has, anna, "afterwards"), time_passes=True)
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
    assert told(ben, SESSION_RENEWED) == ["friend"]
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
    await ben.until(partial(has, ben, "new"), time_passes=True)
    await anna.until(lambda: bool(told(anna, SESSION_RENEWED)), time_passes=True)
    assert ben.texts() == ["new"]
    assert told(anna, SESSION_RENEWED) == ["given-up"]
    assert told(ben, SESSION_RENEWED) == ["friend"]
    assert told(ben, MISSING) == []
    assert len(anna.of(EventFailed)) == len(old)
    await ben.say(peer_id, "welcome back")
    await anna.until(partial(has, anna, "welcome back"), time_passes=True)


async def test_nothing_is_given_up_within_a_day_of_a_resync(world: World, friends: Friends) -> None:
    """The numbers would be missing, and the session could not begin anew."""
    anna, ben, peer_id = friends
    await ben.house.stop()
    await anna.until(lambda: not anna.online(peer_id))
    (said,) = await anna.say(peer_id, "waits")
    world.clock.suspend(QUEUED_LIFETIME + 1)
    mailbox, store = anna.node.work.mailbox, anna.house.store
    session = await session_of(anna, peer_id)
    session.renewal.at = world.clock.now() - RESYNC_INTERVAL + 1
    async with store.transaction() as tx:
        contact = await mailbox.locked(tx, peer_id)
        await store.contacts.save(tx, replace(contact, session=session.serialize()))
        assert not await mailbox.give_up_old(tx, peer_id)
    assert (await session_of(anna, peer_id)).renewal.wanted is None
    world.clock.suspend(1)
    async with store.transaction() as tx:
        assert await mailbox.give_up_old(tx, peer_id)
    assert [one.event_id for one in anna.of(EventFailed)] == [said]
