"""A clock that is wrong by a month, set under a bridge at work and at its start: nothing is given up, said twice or
forgotten for that."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from chattor_bridge.bridge import worker
from chattor_bridge.bridge.records import JsonObject
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.filing import fetched, send_file
from tests.bridge.town import ALICE, Town
from tests.homeserver_contract import PNG
from tests.peer import Peer

MONTH = 31 * 86_400


async def test_people_talk_on_and_codes_stay(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    management = await town.open_management()
    await town.ask(management, "code new fair --expires 30d")
    await town.idle()
    ghost, peer_id = (await town.portal(room)).ghost, await friend.friend(WAIT)
    for ahead in (MONTH, -MONTH, 0):
        town.clock.ahead = ahead
        await town.say(room, f"mine, {ahead}")
        await friend.send(peer_id, f"theirs, {ahead}")
        await friend.ears.wait_until(lambda ahead=ahead: friend.ears.texts()[-1:] == [f"mine, {ahead}"], WAIT)  # type: ignore[misc]
        await town.homeserver.until(lambda ahead=ahead: room.bodies(ghost)[-1:] == [f"theirs, {ahead}"])  # type: ignore[misc]
        assert "fair" in await town.ask(management, "codes")


async def test_what_the_homeserver_brings_again_is_said_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    transactions: list[Sequence[JsonObject]] = []

    async def accept(txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        transactions.append(events)
        await town.bridge.accept(txn_id, events, ephemeral)

    town.homeserver.person_says(ALICE, room.room_id, "once")
    await town.homeserver.deliver(accept)
    await town.idle()
    town.clock.ahead = MONTH
    await town.bridge._intake.forget()
    for events in transactions:
        await town.bridge.accept("again", events, [])
    await town.say(room, "and then")
    await friend.ears.wait_until(lambda: "and then" in friend.ears.texts(), WAIT)
    assert friend.ears.texts() == ["once", "and then"]


async def test_a_file_that_cannot_be_read_is_not_given_up(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    town.homeserver.breaks = 1_000
    await send_file(town, room, PNG)
    await _tried(town)
    town.clock.ahead = MONTH
    await _tried(town)
    town.homeserver.breaks = 0
    town.bridge.hurry()
    assert await fetched(friend) == PNG
    assert "could not be sent" not in "".join(room.bodies(BOT))


async def _tried(town: Town) -> None:
    """Wait until the file has been asked for twice more."""
    before = town.homeserver.breaks
    async with asyncio.timeout(WAIT):
        while town.homeserver.breaks > before - 2:
            town.bridge.hurry()
            await asyncio.sleep(0.02)


async def test_what_was_dated_by_a_clock_that_was_ahead_is_shown_once(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    await town.idle()
    ghost = (await town.portal(room)).ghost
    town.clock.ahead = MONTH
    await town.restart()

    def die(name: str) -> None:
        if name == "matrix-sent":
            raise asyncio.CancelledError

    with monkeypatch.context() as dying:
        dying.setattr(worker, "failpoint", die)
        await friend.send(await friend.friend(WAIT), "once")
        await town.homeserver.until(lambda: room.bodies(ghost) == ["once"])
        await town.bridge.stop()
    town.clock.ahead = 0
    town.homeserver.forgets_transactions = True
    await town.restart()
    await friend.send(await friend.friend(WAIT), "and then")
    await town.homeserver.until(lambda: "and then" in room.bodies(ghost))
    assert room.bodies(ghost) == ["once", "and then"]
