"""What is said to somebody who is away reaches her by her carrier; see docs/protocol/carriers.md."""

from __future__ import annotations

from chattor_bridge.node.happenings import ContactRenamed, EventCarried, EventDelivered
from chattor_bridge.protocol.events import Avatar
from tests.carrying.circle_of_three import Three
from tests.node.world import World


async def test_two_who_are_never_there_together_talk(world: World) -> None:
    three = await Three.meet(world)
    await three.agree()
    await three.rita.house.stop()
    said = await three.sam.say(three.with_sam, *[f"word {number}" for number in range(40)])
    await three.until_held(3)
    await three.sam.until(lambda: len(three.sam.of(EventCarried)) == 40)
    assert [(one.event_id, one.carriers) for one in three.sam.of(EventCarried)] == [(one, 1) for one in said]
    assert three.sam.delivered()[-40:] != said
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.rita.until(lambda: len(three.rita.texts()) == 40, time_passes=True)
    assert three.rita.texts() == [f"word {number}" for number in range(40)]
    await three.until_held(0)
    await three.sam.house.start()
    await three.sam.until(lambda: three.sam.delivered()[-40:] == said, time_passes=True)
    assert len(three.rita.texts()) == 40
    assert len(three.sam.of(EventDelivered)) == len(set(three.sam.delivered()))


async def test_who_was_away_during_three_changes_of_a_profile_ends_up_with_the_last(world: World) -> None:
    three = await Three.meet(world)
    await three.agree()
    await three.rita.house.stop()
    for number in range(3):
        async with three.sam.house.store.transaction() as tx:
            await three.sam.node.set_profile_name(tx, f"Sam {number}")
            await three.sam.node.set_picture(tx, b"\x89PNG\r\n\x1a\n%d" % number)
            await three.sam.node.set_timer(tx, three.with_sam, 60 + number)
    await three.until_held(1)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.until_held(0)
    names = [one.name for one in three.rita.of(ContactRenamed) if one.peer_id == three.with_sam]
    assert names == ["Sam", "Sam 0", "Sam 1", "Sam 2"]
    async with three.rita.house.store.transaction() as tx:
        picture = await three.rita.house.store.pictures.of_friend(tx, three.rita.node_id, three.with_sam)
        preferences = await three.rita.house.store.preferences.get(tx, three.rita.node_id, three.with_sam)
    assert picture == Avatar("image/png", b"\x89PNG\r\n\x1a\n2")
    assert preferences is not None
    assert preferences.timer == 62
