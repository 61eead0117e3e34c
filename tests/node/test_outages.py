"""Friends, houses, disks and clocks fail and come back; nothing is lost, doubled or turned round."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from chattor_bridge.errors import OnionUnreachable
from chattor_bridge.ids import OnionKey
from chattor_bridge.node.friendship import Friendship
from chattor_bridge.node.happenings import EventArrived, EventDelivered, Happening, KnockLeft
from chattor_bridge.node.housekeeping import HOUSEKEEPING
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import KnockState
from chattor_bridge.node.views import Phase
from chattor_bridge.protocol.link import Link, LinkEvent
from tests.node.world import PATIENCE, World


async def test_messages_wait_for_a_friend_who_is_away(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await anna.house.stop()
    await ben.until(lambda: not ben.online(peer_id))
    said = [f"while you were out {number}" for number in range(30)]
    event_ids = await ben.say(peer_id, *said)
    assert [contact.queued for contact in await ben.node.contacts()] == [30]
    await world.clock.pass_slowly(1800, step=60)
    (line,) = [line for line in (await ben.node.status()).work if line.what == "friend"]
    assert line.phase is Phase.WAITING
    assert line.failures > 3
    assert line.reason
    assert line.next_try_in is not None
    assert 0 < line.next_try_in <= 600

    await anna.house.start()
    await anna.until(lambda: len(anna.texts()) == 30, time_passes=True)
    await ben.until(lambda: len(ben.delivered()) >= 30)
    assert anna.texts() == said
    assert set(event_ids) <= set(ben.delivered())


@pytest.mark.parametrize("who", ["knocker", "owner", "both"])
@pytest.mark.parametrize("how", ["stop", "die"])
async def test_either_side_may_restart_in_the_middle_of_a_conversation(world: World, who: str, how: str) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    restarted = {"knocker": [anna], "owner": [ben], "both": [anna, ben]}[who]
    for turn in range(3):
        await asyncio.gather(
            anna.say(peer_id, *[f"a{turn}.{number}" for number in range(5)]),
            ben.say(peer_id, *[f"b{turn}.{number}" for number in range(5)]),
        )
        for person in restarted:
            await (person.house.stop() if how == "stop" else person.house.die())
        for person in restarted:
            await person.house.start()
    expected = [f"{turn}.{number}" for turn in range(3) for number in range(5)]
    await ben.until(lambda: len(ben.texts()) == 15, time_passes=True)
    await anna.until(lambda: len(anna.texts()) == 15, time_passes=True)
    assert ben.texts() == [f"a{one}" for one in expected]
    assert anna.texts() == [f"b{one}" for one in expected]


async def test_who_stops_dialling_just_as_the_friend_answers_leaves_no_stream_open(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.befriend(ben)
    await anna.house.stop()
    really_dial, really_reach = Friendship._dial_onion, Friendship._reach
    dialling: dict[Friendship, asyncio.Task[object]] = {}
    stopped: asyncio.Future[tuple[asyncio.Task[object], Stream]] = asyncio.get_running_loop().create_future()

    async def dial(friendship: Friendship, known: Any, onion: OnionKey) -> str | None:
        task = asyncio.current_task()
        assert task is not None
        dialling[friendship] = task
        return await really_dial(friendship, known, onion)

    async def reach(friendship: Friendship, *args: Any) -> tuple[Stream, Link, list[LinkEvent]]:
        reached = await really_reach(friendship, *args)
        if not stopped.done():
            stopped.set_result((dialling[friendship], reached[0]))
            dialling[friendship].cancel()
        return reached

    monkeypatch.setattr(Friendship, "_dial_onion", dial)
    monkeypatch.setattr(Friendship, "_reach", reach)
    await anna.house.start()
    task, stream = await world.clock.pass_until(stopped)
    await asyncio.wait({task}, timeout=PATIENCE)
    assert task.cancelled()
    with pytest.raises(OnionUnreachable, match="is closed"):
        await stream.write(b"x")


async def test_a_quiet_link_is_kept_alive(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    changes = len(ben.house.diary.links)
    await world.clock.pass_slowly(600)
    assert anna.online(peer_id)
    assert ben.online(peer_id)
    assert len(ben.house.diary.links) == changes


async def test_an_observer_that_fails_holds_up_one_friend_and_loses_nothing(world: World) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    with_anna = await anna.befriend(ben)
    with_cleo = await cleo.befriend(ben)

    def refuses(happening: Happening) -> bool:
        return isinstance(happening, EventArrived) and happening.peer_id == with_anna

    ben.house.diary.refuses = refuses
    said = await anna.say(with_anna, "one", "two", "three")
    await ben.until(lambda: ben.house.diary.refused > 0)
    await cleo.say(with_cleo, "passing by")
    await ben.until(lambda: ben.texts() == ["passing by"])
    assert not set(said) & set(anna.delivered())
    (line,) = [one for one in (await ben.node.status()).work if one.what == "friend" and one.ident == with_anna]
    assert line.phase is Phase.WAITING
    assert "RuntimeError" in line.reason

    ben.house.diary.refuses = lambda happening: False
    await ben.until(lambda: len(ben.texts()) == 4, time_passes=True)
    assert ben.texts() == ["passing by", "one", "two", "three"]
    await anna.until(lambda: set(said) <= set(anna.delivered()))


async def test_a_delivery_the_observer_refuses_is_told_later(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    anna.house.diary.refuses = lambda happening: isinstance(happening, EventDelivered)
    (said,) = await anna.say(peer_id, "Did it arrive?")
    await anna.until(lambda: anna.house.diary.refused > 0)
    assert [contact.queued for contact in await anna.node.contacts()] == [1]
    anna.house.diary.refuses = lambda happening: False
    await anna.until(lambda: said in anna.delivered(), time_passes=True)
    assert anna.delivered().count(said) == 1
    assert ben.texts() == ["Did it arrive?"]


@pytest.mark.engines("sqlite", "postgres")
async def test_a_database_that_goes_away_is_waited_for(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await ben.house.store.stop()
    said = await anna.say(peer_id, "Are you there?")
    await world.clock.advance(5)
    await ben.house.store.start()
    await ben.until(lambda: ben.texts() == ["Are you there?"], time_passes=True)
    await anna.until(lambda: set(said) <= set(anna.delivered()), time_passes=True)


@pytest.mark.parametrize("jump", [-400 * 86_400, 400 * 86_400])
async def test_a_wall_clock_that_jumps_and_is_put_right_changes_nothing(world: World, jump: int) -> None:
    anna, ben, cleo = await world.person("Anna"), await world.person("Ben"), await world.person("Cleo")
    peer_id = await anna.befriend(ben)
    await cleo.add(await anna.code())
    await cleo.until(lambda: bool(cleo.of(KnockLeft)))
    await world.clock.pass_slowly(HOUSEKEEPING - 60)
    world.clock.set_wall(world.clock.now() + jump)
    await world.clock.pass_slowly(120)  # over a look at what has expired
    await anna.say(peer_id, "what time is it?")
    await ben.until(lambda: ben.texts() == ["what time is it?"])
    world.clock.set_wall(world.clock.now() - jump)
    await world.clock.pass_slowly(2 * HOUSEKEEPING)
    assert [one.state for one in await cleo.node.outgoing()] == [KnockState.LEFT]
    assert len(await anna.node.requests()) == 1
    assert anna.online(peer_id)
