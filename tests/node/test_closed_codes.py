"""What happens to requests and friend codes without their owner is told, once."""

from __future__ import annotations

from chattor_bridge.node.clock import JUMP_DOUBTED
from chattor_bridge.node.door import USED_UP
from chattor_bridge.node.happenings import CodeClosed, KnockGone, KnockReceived
from chattor_bridge.node.housekeeping import CODE_EXPIRED, NOT_ANSWERED
from chattor_bridge.protocol.limits import KNOCK_LIFETIME
from tests.node.world import World


async def test_a_code_that_is_used_up(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    async with ben.house.store.transaction() as tx:
        code = await ben.node.create_code(tx, "work", max_uses=1)
        once = await ben.node.create_code(tx, "for Anna", one_time=True)
    await anna.add(code.code)
    await ben.until(lambda: len(ben.of(KnockReceived)) == 1, time_passes=True)
    assert ben.of(CodeClosed) == [CodeClosed("work", USED_UP)]
    await anna.add(once.code)
    await ben.until(lambda: len(ben.of(KnockReceived)) == 2, time_passes=True)
    assert len(ben.of(CodeClosed)) == 1  # the request tells that a one-time code was used


async def test_a_code_and_a_request_that_expire(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    async with ben.house.store.transaction() as tx:
        code = await ben.node.create_code(tx, "fair", lifetime=3_600)
    await anna.add(code.code)
    await ben.until(lambda: bool(ben.of(KnockReceived)), time_passes=True)
    await anna.house.stop()
    await ben.house.stop()
    await world.clock.advance(KNOCK_LIFETIME + 1)
    await ben.house.start()
    await world.clock.pass_slowly(JUMP_DOUBTED, step=3600)
    await ben.until(lambda: bool(ben.of(KnockGone)), time_passes=True)
    assert ben.of(KnockGone) == [KnockGone(ben.of(KnockReceived)[0].knock_id, NOT_ANSWERED)]
    assert ben.of(CodeClosed) == [CodeClosed("fair", CODE_EXPIRED)]
