"""Files through the real Synapse: large ones in little memory, both ways, in an encrypted room."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from chattor_bridge.bridge.attachment import Attachment
from chattor_bridge.ids import NodeId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.happenings import EventArrived, FileArrived
from chattor_bridge.protocol.events import FileOffer
from tests.bridge.test_road_synapse import befriended, road_to
from tests.memory import grows_less_than
from tests.nio_person import NioPerson
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


def _is_offer(happening: object) -> bool:
    return isinstance(happening, EventArrived) and isinstance(happening.event.body, FileOffer)
