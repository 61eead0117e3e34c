"""Pictures of people, after docs/protocol/events.md, "profile"."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import LimitReached, UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import ContactPictured
from chattor_bridge.protocol.events import Avatar, Profile
from chattor_bridge.protocol.limits import MAX_AVATAR
from tests.node.world import Person, World

PNG = b"\x89PNG\r\n\x1a\n" + b"dots" * 20
JPEG = b"\xff\xd8\xff" + b"dots" * 2_900


async def show(person: Person, data: bytes | None) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.set_picture(tx, data)


async def seen(person: Person, peer: PeerId) -> Avatar | None:
    async with person.house.store.transaction() as tx:
        return await person.house.store.pictures.of_friend(tx, person.node_id, peer)


@pytest.mark.parametrize("asks", [True, False], ids=["who knocks", "who accepts"])
async def test_a_picture_comes_with_the_friendship_and_follows_its_changes(world: World, asks: bool) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await show(anna, PNG)
    peer = await (anna.befriend(ben) if asks else ben.befriend(anna))
    await ben.until(lambda: len(ben.of(ContactPictured)) == 1)
    assert await seen(ben, peer) == Avatar("image/png", PNG)
    await show(anna, JPEG)
    await show(anna, JPEG)  # again
    await ben.until(lambda: len(ben.of(ContactPictured)) == 2)
    assert await seen(ben, peer) == Avatar("image/jpeg", JPEG)
    async with anna.house.store.transaction() as tx:
        await anna.node.set_profile_name(tx, "Anne")  # and the picture stays
    await show(anna, None)
    await ben.until(lambda: len(ben.of(ContactPictured)) == 3)
    assert await seen(ben, peer) is None
    async with ben.house.store.transaction() as tx:
        await ben.node.forget(tx, peer)


async def test_what_nobody_can_show_changes_nothing(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer = await anna.befriend(ben)
    await show(anna, PNG)
    await ben.until(lambda: bool(ben.of(ContactPictured)))
    for lie in (
        Avatar("image/jpeg", PNG),
        Avatar("image/svg+xml", b"<svg onload='x'/>"),
        Avatar("image/png", b"GIF89a"),
    ):
        async with anna.house.store.transaction() as tx:
            await anna.node.send(tx, peer, Profile("Anna", lie))
    await anna.say(peer, "said after it")
    await ben.until(lambda: ben.texts() == ["said after it"])
    assert await seen(ben, peer) == Avatar("image/png", PNG)
    assert len(ben.of(ContactPictured)) == 1


async def test_what_is_no_picture_is_not_shown_to_anybody(world: World) -> None:
    anna = await world.person("Anna")
    with pytest.raises(UsageError):
        await show(anna, b"<svg/>")
    with pytest.raises(LimitReached):
        await show(anna, PNG.ljust(MAX_AVATAR + 1, b"x"))
