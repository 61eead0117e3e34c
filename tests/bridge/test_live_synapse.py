"""What two people see of each other right now, through a real Synapse: typing, presence, and receipts as wanted."""

from __future__ import annotations

import asyncio
import io
from pathlib import Path

import pytest
from PIL import Image

from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.node.preferences import Shared
from chattor_bridge.ops.person import Person
from chattor_bridge.protocol.events import Edit, Reaction
from chattor_bridge.protocol.signals import Here, Presence, Typing
from tests.bridge.test_road_synapse import Road, befriended, hear, road_to, travelled  # noqa: F401 - a fixture
from tests.bridge.town import receipts
from tests.nio_person import NioPerson
from tests.peer import Peer
from tests.synapse import WAIT, Homestead

pytestmark = pytest.mark.synapse


async def test_typing_and_presence_go_both_ways(travelled: tuple[Road, Peer]) -> None:  # noqa: F811
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    peer_id = await friend.friend(WAIT)
    somebody = road.somebody(alice)
    async with friend.store.transaction() as tx:
        await friend.node.share(tx, peer_id, Shared.TYPING, on=True)
        await friend.node.share(tx, peer_id, Shared.PRESENCE, on=True)

    await friend.node.type(peer_id, on=True)
    await alice.wait_for(
        lambda event: event["type"] == "m.typing" and event["content"]["user_ids"] == [ghost], WAIT, ephemeral=True
    )
    await friend.node.be(Here.AWAY)
    while (await somebody.ask("GET", f"/presence/{ghost}/status"))["presence"] != "unavailable":
        await alice.sync()

    await alice.say(room_id, "!chattor privacy typing on")
    await alice.say(room_id, "!chattor privacy presence on")
    await alice.wait_for(lambda event: "whether you are there from" in event["content"].get("body", ""), WAIT)
    await somebody.ask("PUT", f"/rooms/{room_id}/typing/{alice.user_id}", {"typing": True, "timeout": 20_000})
    await friend.ears.wait_until(lambda: Typing(on=True) in friend.ears.signals, WAIT)
    await somebody.ask("PUT", f"/rooms/{room_id}/typing/{alice.user_id}", {"typing": False})
    await friend.ears.wait_until(lambda: Typing(on=False) in friend.ears.signals, WAIT)
    # a client that syncs is there, and whoever is there with one client is there
    await friend.ears.wait_until(lambda: Presence(Here.ONLINE) in friend.ears.signals, WAIT)


@pytest.mark.parametrize("kind", [Person, NioPerson], ids=["plain", "encrypted"])
async def test_what_was_said_disappears_from_the_homeserver(
    homestead: Homestead, tmp_path: Path, kind: type[Person]
) -> None:
    async with road_to(homestead, tmp_path, kind) as (road, friend):
        alice, room_id, ghost = await befriended(road, friend)
        peer_id = await friend.friend(WAIT)
        await alice.say(room_id, "!chattor disappearing 2s")
        await alice.wait_for(lambda event: "You have set" in event["content"].get("body", ""), WAIT)
        own = await alice.say(room_id, "not for long")
        theirs = await friend.send(peer_id, "nor this")
        async with friend.store.transaction() as tx:
            await friend.node.send(tx, peer_id, Edit(theirs, "nor this, corrected"))
            await friend.node.send(tx, peer_id, Reaction(theirs, "👍"))
        reaction = await alice.wait_for(lambda event: (event["type"], event["sender"]) == ("m.reaction", ghost), WAIT)
        shown = [event for event in alice.timeline if event["sender"] == ghost and "body" in event["content"]]
        await alice.mark_read(room_id, shown[-1]["event_id"])
        gone = [own, reaction["event_id"], *(event["event_id"] for event in shown)]
        assert len(gone) == 4
        for event_id in gone:
            path = f"/rooms/{room_id}/event/{event_id}"
            async with asyncio.timeout(WAIT):
                while (event := await road.somebody(alice).ask("GET", path))["content"]:
                    await alice.sync()
            assert event["unsigned"]["redacted_because"]["sender"] == road.bot


async def test_a_muted_friend_speaks_in_notices_and_gets_no_receipts(travelled: tuple[Road, Peer]) -> None:  # noqa: F811
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    peer_id = await friend.friend(WAIT)
    await alice.say(room_id, "!chattor mute")
    await alice.say(room_id, "!chattor privacy receipts off")
    await alice.wait_for(lambda event: "what you have read from" in event["content"].get("body", ""), WAIT)
    await friend.send(peer_id, "quiet")
    quiet = await alice.wait_for(lambda event: event["content"].get("body") == "quiet", WAIT)
    assert quiet["content"]["msgtype"] == "m.notice"
    await alice.mark_read(room_id, quiet["event_id"])
    await alice.say(room_id, "!chattor unmute")
    await alice.wait_for(lambda event: "disturbs you again" in event["content"].get("body", ""), WAIT)
    await alice.say(room_id, "!chattor privacy receipts on")
    await alice.wait_for(lambda event: "sees what you have read" in event["content"].get("body", ""), WAIT)
    loud = await friend.send(peer_id, "loud")
    await hear(alice, room_id, ghost, ["loud"])
    await alice.mark_read(room_id, alice.timeline[-1]["event_id"])
    await friend.ears.wait_until(lambda: bool(receipts(friend)), WAIT)
    assert receipts(friend) == [loud]


async def test_pictures_go_both_ways(travelled: tuple[Road, Peer]) -> None:  # noqa: F811
    road, friend = travelled
    alice, room_id, ghost = await befriended(road, friend)
    peer_id, somebody = await friend.friend(WAIT), road.somebody(alice)
    async with friend.store.transaction() as tx:
        await friend.node.set_picture(tx, _portrait("red"))
    room = await alice.wait_for(lambda event: event["type"] == "m.room.avatar" and "url" in event["content"], WAIT)
    member = await alice.wait_for(
        lambda event: event.get("state_key") == ghost and "avatar_url" in event["content"], WAIT
    )
    assert room["room_id"] == member["room_id"] == room_id
    assert room["content"]["url"] == member["content"]["avatar_url"]
    assert await somebody.fetch(room["content"]["url"]) == _portrait("red")
    assert await somebody.ask("GET", f"/profile/{ghost}") == {"displayname": NAMELESS}

    address = await somebody.upload(_portrait("blue", 500), "image/png")
    await somebody.ask("PUT", f"/profile/{alice.user_id}/avatar_url", {"avatar_url": address})
    await alice.say(room_id, "!chattor profile avatar")
    await alice.wait_for(lambda event: "see the picture" in event["content"].get("body", ""), WAIT)
    await alice.say(room_id, "look")
    await friend.heard(1, WAIT)
    async with friend.store.transaction() as tx:
        seen = await friend.store.pictures.of_friend(tx, friend.node.node_id, peer_id)
    assert seen is not None
    with Image.open(io.BytesIO(seen.data)) as picture:
        assert (picture.width, picture.height) == (96, 96)
        assert picture.convert("RGB").getpixel((48, 48))[2] > 200  # type: ignore[index]


def _portrait(colour: str, side: int = 64) -> bytes:
    data = io.BytesIO()
    Image.new("RGB", (side, side), colour).save(data, "PNG")
    return data.getvalue()
