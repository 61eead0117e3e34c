"""One of the three is put back to a backup of before the others agreed on something with it."""

from __future__ import annotations

import asyncio
import secrets

import pytest

from chattor_bridge.ids import OnionKey, ShelfId
from chattor_bridge.node.carrying.agreements import MOST_OWN_SHELVES
from chattor_bridge.node.happenings import CARRY_ASKED, EventArrived
from chattor_bridge.protocol.carrying import ShelfReady
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.primitives import ed25519_public
from tests.carrying.circle_of_three import Three, until_many
from tests.node.world import Person, World
from tests.postgres import Copies


async def _copy(person: Person, copies: Copies) -> str:
    await person.house.stop()
    copy = copies(person.house.url)
    await person.house.start()
    return copy


async def _restore(person: Person, copy: str) -> None:
    await person.house.die()
    person.house.url = copy
    await person.house.start()


@pytest.fixture
async def three(world: World) -> Three:
    return await Three.meet(world)


async def _until_online(three: Three, who: Person) -> None:
    with_whom = three.with_carl if who is three.carl else three.with_sam
    await three.rita.until(lambda: three.rita.online(with_whom), time_passes=True)


async def test_a_sender_is_told_again_where_to_leave_something(three: Three, copies: Copies) -> None:
    copy = await _copy(three.sam, copies)
    await _until_online(three, three.sam)
    await three.agree()
    await three.sam.say(three.with_sam, "something")
    await three.rita.until(lambda: bool(three.rita.texts()))
    await _restore(three.sam, copy)
    assert await three.targets() == []
    await three.rita.house.world.clock.pass_until(until_many(three.targets, 1))


async def test_what_is_said_under_numbers_that_were_used_before_is_not_lost_at_a_carrier(
    three: Three, copies: Copies
) -> None:
    """No hello comes with it: what follows the used numbers opens, and hides from the next hello that they were."""
    await three.agree()
    copy = await _copy(three.sam, copies)
    await _until_online(three, three.sam)
    await three.sam.say(three.with_sam, "before 1", "before 2")
    await three.rita.until(lambda: "before 2" in three.rita.texts())
    await three.rita.house.stop()
    await _restore(three.sam, copy)
    await three.sam.say(three.with_sam, "after 1", "after 2", "after 3")
    await three.until_held(1)
    await three.sam.house.stop()
    await three.rita.house.start()
    await three.until_held(0)
    await three.sam.house.start()
    await three.rita.until(lambda: "after 2" in three.rita.texts(), time_passes=True)
    await three.rita.until(lambda: "after 3" in three.rita.texts(), time_passes=True)
    assert three.rita.texts() == ["before 1", "before 2", "after 1", "after 2", "after 3"]


async def test_a_carrier_is_asked_again(three: Three, copies: Copies) -> None:
    copy = await _copy(three.carl, copies)
    await _until_online(three, three.carl)
    await three.agree()
    [before] = await three.targets()
    asked = len(_asked(three.carl))
    await _restore(three.carl, copy)
    await three.carl.until(lambda: len(_asked(three.carl)) > asked, time_passes=True)
    async with three.carl.house.store.transaction() as tx:
        await three.carl.node.carrying.offer(tx, three.with_carl, 2, 2)

    async def elsewhere() -> None:
        while [one.deposit for one in await three.targets()] in ([], [before.deposit]):  # noqa: ASYNC110
            await asyncio.sleep(0.02)

    await three.rita.house.world.clock.pass_until(elsewhere())


async def test_a_recipient_that_has_no_carrier_any_more_says_so(three: Three, copies: Copies) -> None:
    """What is left for her would be of shelves that she does not know."""
    copy = await _copy(three.rita, copies)
    await _until_online(three, three.sam)
    await _until_online(three, three.carl)
    await three.agree()
    assert await three.targets()
    await _restore(three.rita, copy)
    await three.rita.house.world.clock.pass_until(until_many(three.targets, 0))
    await three.rita.house.world.clock.pass_until(until_many(three.held_shelves, 0))  # nor does Carl host it for ever


async def test_a_carrier_can_name_only_so_many_shelves_that_are_not_known(three: Three) -> None:
    await three.agree()
    [ours] = await three.shelves()
    onion = OnionKey(ed25519_public(secrets.token_bytes(32)))
    async with three.carl.house.store.transaction() as tx:
        for _ in range(MOST_OWN_SHELVES + 3):
            made_up = ShelfReady(ShelfId(secrets.token_bytes(16)), onion, secrets.token_bytes(32))
            said = await three.carl.node.send(tx, three.with_carl, made_up)
    await three.carl.until(lambda: said in three.carl.delivered())
    shelves = await three.shelves()
    assert len(shelves) == MOST_OWN_SHELVES
    assert ours in shelves


def _asked(person: Person) -> list[EventArrived]:
    arrived = person.of(EventArrived)
    return [one for one in arrived if isinstance(one.event.body, Unknown) and one.event.body.type == CARRY_ASKED]
