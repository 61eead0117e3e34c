"""Files at the real Synapse: with a client of another make, with much in little memory, and with Synapse killed."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator
from random import Random

import nio
import pytest
from nio.crypto import decrypt_attachment

from chattor_bridge.bridge.attachment import Attachment, Upload
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.homeserver import MatrixHomeserver
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.memory import grows_less_than
from tests.nio_person import NioPerson
from tests.synapse import Homestead, Intake

pytestmark = pytest.mark.synapse

MIB = 1 << 20
ENCRYPTION = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}


async def new_room(homeserver: MatrixHomeserver, *, encrypted: bool) -> MatrixRoomId:
    return await homeserver.create_room(
        homeserver.bot,
        name=None,
        topic=None,
        invite=[],
        is_direct=True,
        initial_state=[ENCRYPTION] if encrypted else [],
    )


async def whole(homeserver: MatrixHomeserver, attachment: Attachment) -> bytes:
    async with homeserver.download(attachment, at_most=MIB) as download:
        return b"".join([piece async for piece in download.pieces])


@pytest.mark.parametrize("encrypted", [False, True])
async def test_nio_reads_what_we_upload_and_we_read_what_it_uploads(
    homestead: Homestead, service: MatrixService, encrypted: bool
) -> None:
    homeserver = service.homeserver
    person = await homestead.person()
    client = await NioPerson.login(homestead.synapse.address, person.user_id, person.password)
    data = Random(encrypted).randbytes(300_001)
    try:
        room_id = await new_room(homeserver, encrypted=encrypted)
        ours = await homeserver.attach(homeserver.bot, room_id, Upload.of(data, "image/png", "a.png"))
        answer = await client.nio.download(ours.address)
        assert isinstance(answer, nio.DownloadResponse), answer
        assert isinstance(answer.body, bytes)
        if encrypted:
            file = ours.to_content()["file"]
            assert answer.body != data
            assert decrypt_attachment(answer.body, file["key"]["k"], file["hashes"]["sha256"], file["iv"]) == data
        else:
            assert answer.body == data

        uploaded, keys = await client.nio.upload(
            io.BytesIO(data), "image/png", "a.png", encrypt=encrypted, filesize=len(data)
        )
        assert isinstance(uploaded, nio.UploadResponse), uploaded
        url = {"url": uploaded.content_uri}
        theirs = Attachment.read({"file": {**keys, **url}} if keys is not None else url)
        assert theirs is not None
        assert (theirs.key is not None) == encrypted
        assert await whole(homeserver, theirs) == data
    finally:
        await client.close()


async def test_large_file_takes_little_memory(service: MatrixService) -> None:
    """Both ways, encrypted: what is said of 256 MiB holds for any size."""
    homeserver = service.homeserver
    room_id = await new_room(homeserver, encrypted=True)
    piece, count = Random(7).randbytes(MIB), 256

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(count):
            yield piece

    expected = hashlib.sha256()
    for _ in range(count):
        expected.update(piece)
    with grows_less_than(64 * MIB, "large file at the homeserver"):
        attachment = await homeserver.attach(
            homeserver.bot, room_id, Upload(count * MIB, pieces, "video/mp4", "large.mp4")
        )
        found = hashlib.sha256()
        async with homeserver.download(attachment, at_most=count * MIB) as download:
            assert download.size == count * MIB
            async for part in download.pieces:
                found.update(part)
    assert found.digest() == expected.digest()


async def test_homeserver_that_dies_on_the_way_is_gone_on_with(
    private_homestead: Homestead, intake: Intake, keys: Store
) -> None:
    synapse = private_homestead.synapse
    await synapse.start()
    service = MatrixService(private_homestead.settings(), intake.accept, SystemClock(), keys)
    await service.start()
    homeserver = service.homeserver
    data = Random(7).randbytes(32 * MIB)
    tries = 0

    async def pieces() -> AsyncIterator[bytes]:
        nonlocal tries
        tries += 1
        for start in range(0, len(data), MIB):
            if tries == 1 and start == 8 * MIB:
                await synapse.kill()
            yield data[start : start + MIB]

    upload = Upload(len(data), pieces, "application/octet-stream", "a")
    try:
        await service.reachable()
        room_id = await new_room(homeserver, encrypted=True)
        with pytest.raises(HomeserverUnavailable):
            await homeserver.attach(homeserver.bot, room_id, upload)
        await synapse.start()
        attachment = await homeserver.attach(homeserver.bot, room_id, upload)

        got = bytearray()
        with pytest.raises(HomeserverUnavailable):
            await _read_until_it_dies(private_homestead, homeserver, attachment, got)
        assert MIB <= len(got) < len(data)
        await synapse.start()
        async with homeserver.download(attachment, at=len(got), at_most=len(data)) as download:
            async for piece in download.pieces:
                got += piece
        assert bytes(got) == data
    finally:
        await service.stop()


async def _read_until_it_dies(
    homestead: Homestead, homeserver: MatrixHomeserver, attachment: Attachment, got: bytearray
) -> None:
    killed = False
    async with homeserver.download(attachment, at_most=32 * MIB) as download:
        async for piece in download.pieces:
            got += piece
            if not killed and len(got) >= MIB:
                killed = True
                await homestead.synapse.kill()


async def test_homeservers_limit_is_known_and_kept_to(service: MatrixService) -> None:
    homeserver = service.homeserver
    room_id = await new_room(homeserver, encrypted=False)
    limit = await homeserver.upload_limit()
    assert limit == 512 * MIB
    upload = Upload(limit + 1, lambda: pytest.fail("it was read"), "video/mp4", "a.mp4")
    with pytest.raises(HomeserverRefused) as refusal:
        await homeserver.attach(homeserver.bot, room_id, upload)
    assert refusal.value.errcode == "M_TOO_LARGE"
