"""Read receipts that the homeserver could not bring are fetched, and told to the friend once."""

from __future__ import annotations

import asyncio

import pytest

from chattor_bridge.errors import Unavailable
from chattor_bridge.ids import EventId
from tests.bridge.fake_homeserver import WAIT, Room
from tests.bridge.town import ALICE, Town, receipts
from tests.peer import Peer


async def _shown(town: Town, friend: Peer, room: Room, text: str) -> tuple[EventId, str]:
    """The friend said this and Alice sees it: its Chattor and its Matrix event id."""
    ghost = (await town.portal(room)).ghost
    sent = await friend.send(await friend.friend(WAIT), text)
    await town.homeserver.until(lambda: text in room.bodies(ghost))
    await town.idle()
    event = next(event for event in room.timeline if event["content"].get("body") == text)
    return sent, event["event_id"]


def _reads_in_vain(town: Town, room: Room, event_id: str) -> None:
    """Alice reads, and nobody is there to be told."""
    town.homeserver.person_reads(ALICE, room.room_id, event_id)
    town.homeserver.pending_receipts.clear()


async def test_a_receipt_made_while_the_bridge_was_away_is_told_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    first, event_id = await _shown(town, friend, room, "first")
    await town.bridge.stop()
    _reads_in_vain(town, room, event_id)
    await town.restart()
    await friend.ears.wait_until(lambda: receipts(friend) == [first], WAIT)
    await town.restart()
    second, event_id = await _shown(town, friend, room, "second")
    town.homeserver.person_reads(ALICE, room.room_id, event_id)
    await town.deliver()
    await friend.ears.wait_until(lambda: receipts(friend) == [first, second], WAIT)


async def test_receipts_are_asked_for_when_the_homeserver_called_in_vain(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    sent, event_id = await _shown(town, friend, room, "read me")
    with monkeypatch.context() as patched:
        patched.setattr("chattor_bridge.bridge.intake.INBOX_LIMIT", 0)
        town.homeserver.person_reads(ALICE, room.room_id, event_id)
        with pytest.raises(Unavailable):
            await town.deliver()
    await town.say(room, "as a homeserver does, I come again, without the receipt")
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)


async def test_receipts_are_asked_for_when_a_transaction_had_to_come_again(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    sent, event_id = await _shown(town, friend, room, "read me")
    town.bridge.called_in_vain()
    _reads_in_vain(town, room, event_id)
    await town.say(room, "I come again")
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)


async def test_a_homeserver_that_does_not_answer_is_asked_again(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    sent, event_id = await _shown(town, friend, room, "read me")
    await town.bridge.stop()
    _reads_in_vain(town, room, event_id)
    asked = asyncio.Event()

    def refuse(method: str, _user: str, _room_id: str) -> str | None:
        if method != "read_receipts":
            return None
        asked.set()
        return "M_UNKNOWN"

    town.homeserver.refusals.append(refuse)
    await town.restart()
    async with asyncio.timeout(WAIT):
        await asked.wait()
    town.homeserver.refusals.clear()
    town.bridge.hurry()
    await friend.ears.wait_until(lambda: receipts(friend) == [sent], WAIT)
