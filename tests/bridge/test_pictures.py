"""Pictures of people: a friend's in its room alone, and the owner's own for friends."""

from __future__ import annotations

import pytest

from chattor_bridge.protocol.limits import MAX_AVATAR
from tests.bridge.fake_homeserver import WAIT
from tests.bridge.town import ALICE, Town
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")

PNG = b"\x89PNG\r\n\x1a\n" + b"dots" * 20
OTHER = b"\xff\xd8\xff" + b"dots" * 20


async def show(friend: Peer, data: bytes | None) -> None:
    async with friend.store.transaction() as tx:
        await friend.node.set_picture(tx, data)


async def test_a_friends_picture_is_shown_in_its_room_and_nowhere_else(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost

    def shown() -> list[bytes | None]:
        """By the room, and by the ghost in it."""
        room_avatar = room.state.get(("m.room.avatar", ""), {}).get("url", "")
        member = room.state["m.room.member", ghost].get("avatar_url", "")
        return [town.homeserver.media.get(room_avatar), town.homeserver.media.get(member)]

    for data in (PNG, OTHER, None):
        await show(friend, data)
        await town.homeserver.until(lambda: shown() == [data, data])  # noqa: B023
    await show(friend, PNG)
    await town.homeserver.until(lambda: shown() == [PNG, PNG])
    await town.idle()
    uploads = len(town.homeserver.media)
    await town.ask(room, "!chattor rename Bobby")
    await town.homeserver.until(lambda: room.state["m.room.name", ""] == {"name": "Bobby"})
    await town.idle()
    assert (shown(), len(town.homeserver.media)) == ([PNG, PNG], uploads)


async def test_an_owners_picture_is_that_of_their_matrix_profile(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)

    async def seen() -> bytes | None:
        async with friend.store.transaction() as tx:
            picture = await friend.store.pictures.of_friend(tx, friend.node.node_id, peer_id)
        return None if picture is None else picture.data

    assert "no picture that I can use" in await town.ask(room, "!chattor profile avatar")
    town.homeserver.media["mxc://example.test/alice"] = PNG
    town.homeserver.pictures[ALICE] = "mxc://example.test/alice"
    assert "see the picture" in await town.ask(room, "!chattor profile avatar")
    await town.say(room, "look")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["look"], WAIT)
    assert await seen() == PNG
    assert "see no picture" in await town.ask(room, "!chattor profile avatar off")
    await town.say(room, "gone")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["look", "gone"], WAIT)
    assert await seen() is None
    town.homeserver.media["mxc://example.test/alice"] = PNG.ljust(MAX_AVATAR + 1, b"x")
    assert "no picture that I can use" in await town.ask(room, "!chattor profile avatar")
    assert "profile avatar off" in await town.ask(room, "!chattor profile avatar please")
