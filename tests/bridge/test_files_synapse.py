"""Files through the real Synapse: a picture in a plain room, and large ones in an encrypted one, in little memory."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from chattor_bridge.bridge.attachment import Attachment
from chattor_bridge.ids import NodeId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.happenings import EventArrived, FileArrived
from chattor_bridge.protocol.events import FileOffer
from chattor_bridge.protocol.files import Thumbnail
from tests.bridge.filing import fetched, offer, offers
from tests.bridge.test_road_synapse import befriended, road_to
from tests.homeserver_contract import PNG
from tests.memory import grows_less_than
from tests.nio_person import NioPerson
from tests.postgres import Databases
from tests.synapse import Homestead

pytestmark = pytest.mark.synapse

MIB = 1 << 20
SIZE = 90 * MIB
PATIENCE = 120.0
"""Seconds for 90 MiB to go over, encrypted three times."""


class Made:
    """A file that is nowhere: each block of it is made of its number."""

    async def open(self, node_id: NodeId, reference: str) -> Made:
        return self

    async def read(self, offset: int, length: int) -> bytes:
        end = min(offset + length, SIZE)
        first = offset // 32
        blocks = b"".join(number.to_bytes(32) for number in range(first, -(-end // 32)))
        return blocks[offset - first * 32 : end - first * 32]

    async def close(self) -> None:
        pass


async def test_a_large_file_takes_little_memory_both_ways(homestead: Homestead, tmp_path: Path) -> None:
    expected = hashlib.sha256()
    for start in range(0, SIZE, MIB):
        expected.update(await Made().read(start, MIB))
    async with road_to(homestead, tmp_path, NioPerson) as (road, friend):
        alice, room, ghost = await befriended(road, friend)
        friend.shelf.open = Made().open  # type: ignore[method-assign,assignment]
        peer_id = await friend.friend(PATIENCE)
        with grows_less_than(48 * MIB, "large file through the bridge"):
            prepared = await prepare(Made())
            async with friend.store.transaction() as tx:
                await friend.node.files.offer(tx, peer_id, prepared, "made", name="large.bin")
            await alice.wait_for(lambda event: "files accept" in str(event["content"].get("body")), PATIENCE)
            await alice.say(room, "!chattor files accept")
            shown = await alice.wait_for(lambda event: event["content"].get("filename") == "large.bin", PATIENCE)
            assert shown["sender"] == ghost
            attachment = Attachment.read(shown["content"])
            assert attachment is not None
            assert attachment.key is not None
            found = hashlib.sha256()
            async with road._service.homeserver.download(attachment, at_most=SIZE) as download:
                async for piece in download.pieces:
                    found.update(piece)
            assert found.digest() == expected.digest()

            await alice.send(room, "m.room.message", {"msgtype": "m.file", "body": "b", **attachment.to_content()})
            await friend.ears.wait_until(lambda: any(_is_offer(one) for one in friend.ears.happenings), PATIENCE)
            offer = next(one.event.body for one in friend.ears.happenings if _is_offer(one))  # type: ignore[union-attr]
            assert isinstance(offer, FileOffer)
            async with friend.store.transaction() as tx:
                await friend.node.files.accept(tx, peer_id, offer.content.file_id)
            await friend.ears.wait_until(
                lambda: any(isinstance(one, FileArrived) for one in friend.ears.happenings), PATIENCE
            )
            back = hashlib.sha256()
            async for piece in friend.node.files.read(peer_id, offer.content.file_id):
                back.update(piece)
        assert back.digest() == expected.digest()


@pytest.mark.engines("postgres")
async def test_a_picture_goes_both_ways_in_a_plain_room(
    homestead: Homestead, tmp_path: Path, databases: Databases
) -> None:
    async with road_to(homestead, tmp_path, databases=databases) as (road, friend):
        alice, room, ghost = await befriended(road, friend)
        url = await alice._client.upload_media(PNG, "image/png")
        content = {"msgtype": "m.image", "body": "Look!", "filename": "cat.png", "url": url, "info": {"w": 1, "h": 1}}
        sent = await alice.send(room, "m.room.message", content)
        assert await fetched(friend) == PNG
        [said] = offers(friend)
        assert (said.name, said.caption, said.kind) == ("cat.png", "Look!", "image")
        assert said.thumbnail is not None  # which Synapse made
        await alice.wait_for(lambda event: sent in event["content"], PATIENCE, ephemeral=True)

        thumbnail = Thumbnail(PNG, "image/png", 1, 1)
        await offer(friend, PNG, "dog.png", kind="image", mime="image/png", thumbnail=thumbnail)
        shown = await alice.wait_for(lambda event: event["content"].get("filename") == "dog.png", PATIENCE)
        assert (shown["sender"], shown["content"]["msgtype"]) == (ghost, "m.image")
        for address in (shown["content"]["url"], shown["content"]["info"]["thumbnail_url"]):
            assert await road.somebody(alice).fetch(address) == PNG


def _is_offer(happening: object) -> bool:
    return isinstance(happening, EventArrived) and isinstance(happening.event.body, FileOffer)
