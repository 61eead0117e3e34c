"""How far files are, told in one notice."""

from __future__ import annotations

import asyncio

from chattor_bridge.bridge.files.progress import LOOK_INTERVAL, WORTH_TELLING, Progress
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.records import TransferState
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.filing import fetched, offer, offers, send_file, shown
from tests.bridge.town import Town
from tests.clock import FakeClock
from tests.peer import Peer


async def test_a_file_that_takes_its_time_is_told_of_in_one_notice(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    clock = FakeClock()
    progress = Progress(town.store, town.bridge.host, clock, town.bridge.observer._voice)
    await offer(friend, bytes(2_000_000), "slow.bin")
    friend.shelf.closed = True
    running = asyncio.create_task(progress.run())
    told = town.homeserver.until(lambda: "slow.bin" in room.bodies(BOT)[-1].replace("\\", ""))
    await clock.pass_until(told, step=LOOK_INTERVAL)
    running.cancel()
    notice = room.timeline[-1]
    assert "0 % of 2.0 MB" in notice["content"]["body"].replace("\\", "")
    await town.idle()
    await progress.look()  # nothing new, so nothing is said
    friend.shelf.closed = False
    await shown(town, room)
    await town.idle()
    edits = [
        event["content"]
        for event in room.timeline
        if event["content"].get("m.relates_to", {}).get("rel_type") == "m.replace"
    ]
    assert [edit["m.relates_to"]["event_id"] for edit in edits] == [notice["event_id"]]
    assert "has come" in edits[0]["body"]


async def test_what_a_file_of_the_owners_waits_for_is_told(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    clock = FakeClock()
    progress = Progress(town.store, town.bridge.host, clock, town.bridge.observer._voice)
    await send_file(town, room, b"data", body="slow.bin")
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    town.homeserver.refusals.append(_down_for_downloads)
    getting = asyncio.create_task(fetched(friend))
    [node] = town.bridge.host.nodes()
    async with asyncio.timeout(WAIT):
        while TransferState.ACCEPTED not in [one.state for one in await node.files.list()]:  # noqa: ASYNC110
            await asyncio.sleep(0.02)  # the node tells nobody
    await progress.look()
    await clock.advance(WORTH_TELLING + LOOK_INTERVAL)
    await progress.look()
    await town.homeserver.until(lambda: "Sending" in room.bodies(BOT)[-1])
    town.homeserver.refusals.clear()
    assert await getting == b"data"
    await town.homeserver.until(lambda: "Your friend has" in room.bodies(BOT)[-1])


def _down_for_downloads(method: str, _user: MatrixUserId, _room: str) -> str | None:
    if method == "download piece":
        raise HomeserverUnavailable("it is down")
    return None
