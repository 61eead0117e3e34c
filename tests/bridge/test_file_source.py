"""A file at the homeserver as friends fetch it: from anywhere, on several streams, with a homeserver that fails."""

from __future__ import annotations

import asyncio
from random import Random

import pytest
import pytest_asyncio
from hypothesis import given, settings
from hypothesis import strategies as st

from chattor_bridge.bridge.attachment import Attachment, Upload
from chattor_bridge.bridge.files.source import MAX_CURSORS, WORTH_SKIPPING, MediaFile, MediaSources, reference_to
from chattor_bridge.errors import FileChanged, HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId, NodeId
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, MAX_CHUNKS_WANTED
from tests.bridge.fake_homeserver import BOT, FakeHomeserver

GROUP = CHUNK_SIZE * CHUNKS_OF_GROUP
DATA = Random(7).randbytes(5 * GROUP + 12_345)
NODE = NodeId(bytes(16))


@pytest.fixture
def homeserver() -> FakeHomeserver:
    return FakeHomeserver(SystemClock())


@pytest_asyncio.fixture
async def room(homeserver: FakeHomeserver) -> MatrixRoomId:
    encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    return await homeserver.create_room(
        BOT, name=None, topic=None, invite=[], is_direct=True, initial_state=[encryption]
    )


@pytest_asyncio.fixture
async def attachment(homeserver: FakeHomeserver, room: MatrixRoomId) -> Attachment:
    return await homeserver.attach(BOT, room, Upload.of(DATA, "video/mp4", "a.mp4"))


async def test_file_is_found_again_by_its_reference(homeserver: FakeHomeserver, attachment: Attachment) -> None:
    file = await MediaSources(homeserver).open(NODE, reference_to(attachment))
    assert await file.read(0, 100) == DATA[:100]
    assert await file.read(len(DATA) - 5, 100) == DATA[-5:]
    assert await file.read(len(DATA), 100) == b""
    assert await file.read(len(DATA) + 5, 100) == b""
    await file.close()
    with pytest.raises(FileChanged):
        await MediaSources(homeserver).open(NODE, "{}")


async def test_what_is_read_in_order_is_downloaded_once(homeserver: FakeHomeserver, attachment: Attachment) -> None:
    file = MediaFile(homeserver, attachment)
    got = b"".join([await file.read(start, GROUP) for start in range(0, len(DATA), GROUP)])
    assert got == DATA
    assert homeserver.downloads == [0]


async def test_several_streams_cost_about_as_many_downloads(homeserver: FakeHomeserver, room: MatrixRoomId) -> None:
    """Each stream is asked for a window in order; who is done first goes on behind the furthest."""
    window = MAX_CHUNKS_WANTED // CHUNKS_OF_GROUP
    data = Random(8).randbytes(100) * (GROUP * window * 9 // 100)
    file = MediaFile(homeserver, await homeserver.attach(BOT, room, Upload.of(data, "video/mp4", "a.mp4")))
    streams = [list(range(window * stream, window * (stream + 1))) for stream in range(3)]
    furthest, order = window * 3, Random(9)
    while any(streams):
        mine = order.choice([stream for stream in streams if stream])
        group = mine.pop(0)
        assert await file.read(group * GROUP, GROUP) == data[group * GROUP : (group + 1) * GROUP]
        if not mine and furthest < window * 9:
            mine.extend(range(furthest, furthest + window))
            furthest += window
    assert len(homeserver.downloads) <= 2 * len(streams)


@settings(max_examples=30, deadline=None)
@given(
    reads=st.lists(st.tuples(st.integers(0, len(DATA) + 10), st.integers(0, 2 * GROUP)), max_size=3 * MAX_CURSORS),
    honoured=st.booleans(),
    proved=st.booleans(),
)
def test_any_part_is_read_rightly_whatever_was_read_before(
    reads: list[tuple[int, int]], honoured: bool, proved: bool
) -> None:
    homeserver = FakeHomeserver(SystemClock())
    homeserver.honours_ranges = honoured

    async def run() -> None:
        encryption = {"type": "m.room.encryption", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
        room = await homeserver.create_room(
            BOT, name=None, topic=None, invite=[], is_direct=True, initial_state=[encryption]
        )
        attachment = await homeserver.attach(BOT, room, Upload.of(DATA, "video/mp4", "a.mp4"))
        file = MediaFile(homeserver, attachment, proved=proved)
        for offset, length in reads:
            assert await file.read(offset, length) == DATA[offset : offset + length]
            assert len(file._cursors) <= MAX_CURSORS
        await file.close()

    asyncio.run(run())


async def test_where_parts_are_given_out_no_more_is_read_than_is_worth_it(
    homeserver: FakeHomeserver, attachment: Attachment
) -> None:
    homeserver.honours_ranges = True
    file = MediaFile(homeserver, attachment)
    far = 2 * WORTH_SKIPPING
    for offset in (far, far + 50_000, 2 * far + 100_000, 0):
        assert await file.read(offset, 10) == DATA[offset : offset + 10]
    assert homeserver.downloads == [far, 2 * far + 100_000, 0]


async def test_download_that_broke_is_begun_again_where_it_was(
    homeserver: FakeHomeserver, attachment: Attachment
) -> None:
    file = MediaFile(homeserver, attachment)
    assert await file.read(0, GROUP) == DATA[:GROUP]
    homeserver.breaks = 1
    assert await file.read(GROUP, GROUP) == DATA[GROUP : 2 * GROUP]
    assert homeserver.downloads == [0, GROUP]
    homeserver.breaks = 2
    with pytest.raises(HomeserverUnavailable):
        await file.read(2 * GROUP, GROUP)
    assert await file.read(2 * GROUP, GROUP) == DATA[2 * GROUP : 3 * GROUP]


async def test_proof_is_of_the_whole_file_also_when_its_download_broke(
    homeserver: FakeHomeserver, attachment: Attachment
) -> None:
    changed = bytearray(homeserver.media[attachment.address])
    changed[7] ^= 1
    homeserver.media[attachment.address] = bytes(changed)
    file = MediaFile(homeserver, attachment, proved=True)
    await file.read(0, GROUP)
    homeserver.breaks = 1
    for start in range(GROUP, len(DATA) - GROUP, GROUP):
        await file.read(start, GROUP)
    with pytest.raises(FileChanged):
        await file.read(len(DATA) // GROUP * GROUP, GROUP)
    assert homeserver.downloads == [0, 0]


async def test_file_that_is_gone_or_has_grown_is_changed(homeserver: FakeHomeserver, attachment: Attachment) -> None:
    with pytest.raises(FileChanged):
        await MediaFile(homeserver, attachment, at_most=len(DATA) - 1).read(0, 10)
    file = MediaFile(homeserver, attachment)
    await file.read(GROUP, 10)
    del homeserver.media[attachment.address]
    with pytest.raises(FileChanged):
        await file.read(0, 10)
