"""How far a message has come: told in words when it takes long or fails, taken back when it is true no more."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from chattor_bridge.bridge import waiting
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.statuses import RETRY_MARK, STATUS
from chattor_bridge.node.happenings import CarriersLost, EventCarried, EventDelivered
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.test_relations import reply_to
from tests.bridge.town import ALICE, FRIEND_NAME, Town
from tests.peer import Peer


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(waiting, "GRACE", 0.2)


@pytest_asyncio.fixture
async def room(town: Town, friend: Peer) -> AsyncIterator[Room]:
    room = await town.befriend(friend)
    await town.idle()
    yield room


def notices(room: Room, *words: str) -> list[JsonObject]:
    """What the bot has said with these words and not taken back, edits included."""
    return [
        event
        for event in room.timeline
        if event["sender"] == BOT and all(word in event["content"].get("body", "") for word in words)
    ]


def statuses(room: Room, event_id: str) -> list[str]:
    return [
        event["content"]["status"]
        for event in room.timeline
        if event["type"] == STATUS and event["content"]["m.relates_to"]["event_id"] == event_id
    ]


async def test_what_arrives_at_once_is_not_spoken_of(town: Town, friend: Peer, room: Room) -> None:
    before = len(room.bodies(BOT))
    event_id = await town.say(room, "hello")
    await town.homeserver.until(lambda: room.receipts.get(BOT) == event_id)
    await town.idle()
    assert len(room.bodies(BOT)) == before
    assert statuses(room, event_id) == []


async def test_what_waits_is_told_of_once_and_taken_back_when_it_has_arrived(
    town: Town, friend: Peer, room: Room
) -> None:
    await friend.go_offline()
    sent = [await town.say(room, text) for text in ("one", "two")]
    await town.homeserver.until(lambda: len(notices(room, "cannot be reached", FRIEND_NAME)) == 1)
    sent.append(await town.say(room, "three"))
    await town.restart()
    await town.homeserver.until(lambda: bool(statuses(room, sent[2])))
    await town.idle()
    assert len(notices(room, "cannot be reached")) == 1
    assert [statuses(room, event_id) for event_id in sent] == [["PENDING"]] * 3
    portal = await town.portal(room)
    async with town.store.transaction() as tx:
        [link, *_] = await town.store.event_links.waiting(tx, portal.node_id, portal.peer_id, 9)
    for carriers, holders in ((1, "A friend of"), (2, "2 friends of")):
        async with town.store.transaction() as tx:
            for places in (1, carriers):
                carried = EventCarried(portal.peer_id, link.event_id, places)
                await town.bridge.observer.record(tx, portal.node_id, carried)
        await town.idle()
        assert len(notices(room, holders)) == 1
    for carriers, says in ((1, "A friend of"), (1, "A friend of"), (0, "What you wrote is kept here")):
        before = len(notices(room, says))
        async with town.store.transaction() as tx:
            await town.bridge.observer.record(tx, portal.node_id, CarriersLost(portal.peer_id, carriers))
        await town.idle()
        assert says in room.bodies(BOT)[-1]
        assert len(notices(room, says)) <= before + 1
    await friend.come_back()
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["one", "two", "three"], WAIT)
    await town.homeserver.until(lambda: room.receipts.get(BOT) == sent[2])
    await town.idle()
    assert not [one for one in notices(room, "cannot be reached") if "m.new_content" not in one["content"]]
    assert [statuses(room, event_id)[-1] for event_id in sent] == ["SUCCESS"] * 3


async def test_what_arrives_while_it_is_being_told_of_is_taken_back_at_once(
    town: Town, friend: Peer, room: Room
) -> None:
    await friend.go_offline()
    event_id = await town.say(room, "one")
    town.homeserver.lose_answers = 1  # of the notice, which is sent again under its id
    await town.homeserver.until(lambda: bool(notices(room, "cannot be reached")))
    portal = await town.portal(room)
    async with town.store.transaction() as tx:
        [link] = await town.store.event_links.waiting(tx, portal.node_id, portal.peer_id, 9)
        await town.store.outbox.remove(tx, portal.node_id, portal.peer_id, [(1, 99)])
        await town.bridge.observer.record(tx, portal.node_id, EventDelivered(portal.peer_id, link.event_id))
    await town.homeserver.until(lambda: not notices(room, "cannot be reached"))
    assert room.receipts[BOT] == event_id


@pytest.mark.parametrize("how", ["reaction", "answer", "command"])
async def test_what_could_not_be_sent_is_kept_and_tried_again(town: Town, friend: Peer, room: Room, how: str) -> None:
    management = await town.open_management()
    await town.ask(management, "logout")
    event_id = await town.say(room, "hello")
    await town.homeserver.until(lambda: bool(notices(room, "is stopped", "I keep it")))
    await town.idle()
    notice = notices(room, "is stopped")[0]["event_id"]
    assert statuses(room, event_id) == ["FAIL_RETRIABLE"]
    sign = {"m.relates_to": {"rel_type": "m.annotation", "event_id": notice, "key": RETRY_MARK}}
    assert [event for event in room.timeline if event["content"].get("m.relates_to") == sign["m.relates_to"]]
    await town.ask(management, "start")
    match how:
        case "reaction":
            await town.send(room, sign, "m.reaction")
        case "answer":
            await town.send(room, reply_to(notice, "Retry"))
        case "command":
            await town.ask(management, "parked retry")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["hello"], WAIT)
    await town.homeserver.until(lambda: not notices(room, "is stopped"))
    await town.idle()
    assert (await town.bridge.status()).parked == 0


@pytest.mark.parametrize(("how", "why"), [("retire", "was ended"), ("forget", "not among your contacts any more")])
async def test_what_can_never_be_sent_is_not_kept_to_be_tried_again(
    town: Town, friend: Peer, room: Room, how: str, why: str
) -> None:
    management = await town.open_management()
    await town.ask(management, f"{how} 1 yes")
    await town.say(room, "hello")
    await town.homeserver.until(lambda: bool(notices(room, "could not be sent")))
    await town.idle()
    [notice] = notices(room, "could not be sent")
    assert why in notice["content"]["body"]
    assert "I keep it" not in notice["content"]["body"]
    assert (await town.bridge.status()).parked == 0


async def test_what_is_kept_can_be_given_up_and_fails_again_if_nothing_has_changed(
    town: Town, friend: Peer, room: Room
) -> None:
    management = await town.open_management()
    await town.ask(management, "logout")
    await town.say(room, "hello")
    await town.homeserver.until(lambda: bool(notices(room, "is stopped")))
    await town.idle()
    first = notices(room, "is stopped")[0]["event_id"]
    await town.send(room, reply_to(first, "again"))
    await town.homeserver.until(lambda: [one["event_id"] for one in notices(room, "is stopped")] not in ([first], []))
    await town.idle()
    [second] = notices(room, "is stopped")
    await town.send(room, reply_to(second["event_id"], "drop"))
    await town.homeserver.until(lambda: not notices(room, "is stopped"))
    await town.ask(management, "start")
    await town.say(room, "after")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["after"], WAIT)
    assert (await town.bridge.status()).parked == 0


async def test_what_is_kept_and_then_removed_is_not_sent_later(town: Town, friend: Peer, room: Room) -> None:
    management = await town.open_management()
    await town.ask(management, "logout")
    event_id = await town.say(room, "on second thoughts")
    await town.homeserver.until(lambda: bool(notices(room, "is stopped")))
    await town.idle()
    await town.send(room, {"redacts": event_id}, "m.room.redaction")
    await town.homeserver.until(lambda: not notices(room, "is stopped"))
    await town.ask(management, "start")
    assert "Nothing is set aside" in await town.ask(management, "parked")
    await town.say(room, "after")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["after"], WAIT)


async def test_the_sign_of_another_try_on_anything_else_is_a_reaction(town: Town, friend: Peer, room: Room) -> None:
    event_id = await town.say(room, "hello")
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": RETRY_MARK}
    await town.send(room, {"m.relates_to": relation}, "m.reaction")
    await town.say(room, "retry", ALICE)
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["hello", "retry"], WAIT)
