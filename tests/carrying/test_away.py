"""What is said to somebody who is away reaches her by her carrier; see docs/protocol/carriers.md."""

from __future__ import annotations

from chattor_bridge.node.happenings import EventCarried, EventDelivered
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
