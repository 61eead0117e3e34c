"""What a person is told who comes back to many messages."""

from __future__ import annotations

from functools import partial

from chattor_bridge.node.catching_up import LIVE_AFTER, MANY, QUIET
from chattor_bridge.node.happenings import Missed
from tests.carrying.circle_of_three import Three
from tests.node.world import Person, World


async def test_what_carriers_bring_is_told_of_once_also_after_a_crash(world: World) -> None:
    three = await Three.meet(world)
    await three.agree()
    rita = three.rita
    await rita.house.stop()
    await three.sam.say(three.with_sam, *[f"word {number}" for number in range(40)])
    await three.until_held(3)
    await three.sam.house.stop()
    await rita.house.start()
    await rita.until(lambda: rita.of(Missed)[-1:] == [Missed(40, 1, over=False)], time_passes=True)
    assert (await rita.node.status()).missed == Missed(40, 1, over=False)
    await rita.house.die()
    await rita.house.start()
    await rita.until(lambda: any(one.over for one in rita.of(Missed)), time_passes=True)
    await world.clock.pass_slowly(3 * QUIET)
    assert [one for one in rita.of(Missed) if one.over] == [Missed(40, 1, over=True)]
    assert (await rita.node.status()).missed is None


async def test_what_waited_for_a_link_counts_and_what_is_said_on_it_does_not(world: World) -> None:
    rita, sam = await world.person("Rita"), await world.person("Sam")
    peer_id = await rita.befriend(sam)
    await rita.house.stop()
    await sam.say(peer_id, *["while you were away"] * MANY)
    await rita.house.start()
    await rita.until(lambda: len(rita.texts()) == MANY, time_passes=True)
    await sam.say(peer_id, *["now"] * MANY)
    await rita.until(lambda: any(one.over for one in rita.of(Missed)), time_passes=True)
    assert rita.of(Missed)[-1] == Missed(MANY, 1, over=True)
    assert len(rita.texts()) == 2 * MANY


async def test_the_end_is_told_also_when_who_said_the_most_is_forgotten_midway(world: World) -> None:
    rita, sam, olga = [await world.person(name) for name in ("Rita", "Sam", "Olga")]
    for others, left in ((1, Missed(3, 1, over=True)), (0, Missed(0, 0, over=True))):
        with_sam, with_olga = [await rita.befriend(one) for one in (sam, olga)]
        before = len(rita.of(Missed))
        await rita.house.stop()
        await sam.say(with_sam, *["while you were away"] * MANY)
        await olga.say(with_olga, *["and I"] * (3 * others))
        await rita.house.start()
        so_far = Missed(MANY + 3 * others, 1 + others, over=False)
        await rita.until(partial(_told, rita, so_far), time_passes=True)
        async with rita.house.store.transaction() as tx:
            await rita.node.forget(tx, with_sam)
        await rita.until(partial(_told, rita, left), time_passes=True)
        assert [one for one in rita.of(Missed)[before:] if one.over] == [left]


def _told(person: Person, missed: Missed) -> bool:
    return person.of(Missed)[-1:] == [missed]


async def test_a_friend_who_names_too_high_a_number_is_believed_until_it_is_quiet(world: World) -> None:
    rita, sam = await world.person("Rita"), await world.person("Sam")
    peer_id = await rita.befriend(sam)
    rita.node.work.mailbox.catching_up.greeted(peer_id, 10**9)  # as its hello said
    await sam.say(peer_id, *["at once"] * MANY)
    await rita.until(partial(_told, rita, Missed(MANY, 1, over=False)), time_passes=True)
    await world.clock.pass_slowly(LIVE_AFTER)
    await sam.say(peer_id, *["later"] * MANY)
    await rita.until(lambda: len(rita.texts()) == 2 * MANY)
    await world.clock.pass_slowly(3 * QUIET)
    assert [one for one in rita.of(Missed) if one.over] == [Missed(MANY, 1, over=True)]
    assert rita.of(Missed)[-1].over


async def test_how_much_more_carriers_hold_is_told_too() -> None:
    assert Missed(MANY, 1, over=False, blocks=123).in_words == (
        "Catching up: 20 missed messages so far, from a friend; carriers hold about 2.0 MB more."
    )
    assert Missed(MANY, 1, over=False).in_words == "Catching up: 20 missed messages so far, from a friend."


async def test_what_carriers_say_they_hold_is_in_what_is_told(world: World) -> None:
    rita, sam = await world.person("Rita"), await world.person("Sam")
    peer_id = await rita.befriend(sam)
    await rita.house.stop()
    await sam.say(peer_id, *["while you were away"] * MANY)
    await rita.house.start()
    rita.node.work.mailbox.collecting = 5  # as a carrier has said
    await rita.until(lambda: bool(rita.of(Missed)), time_passes=True)
    missed = (await rita.node.status()).missed
    assert missed is not None
    assert rita.of(Missed)[0].blocks == missed.blocks == 5
    rita.node.work.mailbox.collecting = 0
    await rita.until(lambda: rita.of(Missed)[-1].over, time_passes=True)


async def test_a_few_messages_are_no_news(world: World) -> None:
    rita, sam = await world.person("Rita"), await world.person("Sam")
    peer_id = await rita.befriend(sam)
    await rita.house.stop()
    await sam.say(peer_id, *["while you were away"] * (MANY - 1))
    await rita.house.start()
    await rita.until(lambda: len(rita.texts()) == MANY - 1, time_passes=True)
    await world.clock.pass_slowly(3 * QUIET)
    assert rita.of(Missed) == []
    async with rita.house.store.transaction() as tx:
        assert await rita.house.store.missed.of_node(tx, rita.node_id) == {}
