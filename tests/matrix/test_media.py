"""How answers of a media repository are understood, over real HTTP on loopback."""

from __future__ import annotations

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from functools import partial

import pytest
import pytest_asyncio

from chattor_bridge.bridge.attachment import Attachment, AttachmentKey, Upload
from chattor_bridge.errors import HomeserverRefused, HomeserverUnavailable, Undecryptable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix import client as client_module
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.encryption.attachments import Sealing
from chattor_bridge.matrix.media import LIMIT_LIFETIME, PIECE, MediaRepository
from tests.clock import FakeClock
from tests.matrix.fake_homeserver import Answer, FakeHomeserver, Request
from tests.synapse import DOMAIN

BOT = MatrixUserId(f"@chattorbot:{DOMAIN}")
FILE = Attachment(DOMAIN, "abc")
DATA = secrets.token_bytes(300_001)
LIMIT = 1_000_000


@pytest_asyncio.fixture
async def server() -> AsyncIterator[FakeHomeserver]:
    server = FakeHomeserver()
    await server.start()
    yield server
    await server.stop()


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest_asyncio.fixture
async def media(server: FakeHomeserver, clock: FakeClock) -> AsyncIterator[MediaRepository]:
    client = Client(server.settings(), clock)
    await client.open()
    yield MediaRepository(client, BOT, clock)
    await client.close()


def sealed(data: bytes = DATA) -> tuple[Attachment, bytes]:
    sealing = Sealing()
    ciphertext = sealing.update(data)
    return replace(FILE, key=sealing.finish()), ciphertext


def ranged(data: bytes, start: int | None = None) -> Answer:
    """The rest of the data from the byte on that was asked for."""
    first = len(data) if start is None else start
    headers = {"Content-Range": f"bytes {first}-{len(data) - 1}/{len(data)}"}
    return Answer(206, data[first:], headers)


def always(answer: Answer) -> Callable[[Request], Answer]:
    return lambda _request: answer


def by_range(data: bytes, request: Request) -> Answer:
    asked = re.fullmatch(r"bytes=(\d+)-", request.headers.get("Range", ""))
    return Answer(body=data) if asked is None else ranged(data, int(asked[1]))


async def read(media: MediaRepository, attachment: Attachment = FILE, at: int = 0, at_most: int = LIMIT) -> bytes:
    async with media.download(attachment, at=at, at_most=at_most) as download:
        return b"".join([piece async for piece in download.pieces])


async def read_into(got: list[bytes], media: MediaRepository, attachment: Attachment) -> None:
    async with media.download(attachment, at_most=LIMIT) as download:
        async for piece in download.pieces:
            got.append(piece)  # noqa: PERF401 - what came before a failure counts


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("at", [0, 1, 16, 100_007, 300_000])
async def test_file_is_read_from_anywhere_whether_ranges_are_honoured_or_not(
    server: FakeHomeserver, media: MediaRepository, at: int, encrypted: bool
) -> None:
    attachment, stored = sealed() if encrypted else (FILE, DATA)
    for honoured in (True, False):
        server.behave = partial(by_range, stored) if honoured else always(Answer(body=stored))
        async with media.download(attachment, at=at, at_most=LIMIT) as download:
            assert (download.size, download.resumed) == (len(DATA), honoured or at < (16 if encrypted else 1))
            assert b"".join([piece async for piece in download.pieces]) == DATA[at:]
        assert server.requests[-1].headers["Accept-Encoding"] == "identity"


async def test_another_part_than_asked_for_is_no_answer(server: FakeHomeserver, media: MediaRepository) -> None:
    for answer in (ranged(DATA, 5), Answer(206, DATA), Answer(206, DATA, {"Content-Range": "bytes */7"})):
        server.behave = always(answer)
        with pytest.raises(HomeserverUnavailable):
            await read(media, at=7)


async def test_file_that_has_become_shorter_is_said_to_be(server: FakeHomeserver, media: MediaRepository) -> None:
    server.behave = always(Answer(416, b""))
    with pytest.raises(HomeserverRefused):
        await read(media, at=7)


async def test_download_that_is_cut_off_is_trouble(server: FakeHomeserver, media: MediaRepository) -> None:
    attachment, stored = sealed()
    for each, data in ((FILE, DATA), (attachment, stored)):
        for cut in (0, 1, 100_000, len(data) - 1):
            server.behave = always(Answer(body=data, cut=cut))
            with pytest.raises(HomeserverUnavailable):
                await read(media, each)


@pytest.mark.parametrize("position", [0, 150_000, 300_000])
async def test_file_that_was_changed_never_comes_whole(
    server: FakeHomeserver, media: MediaRepository, position: int
) -> None:
    attachment, stored = sealed()
    changed = stored[:position] + bytes([stored[position] ^ 1]) + stored[position + 1 :]
    for answer in (changed, stored[:-1], stored + b"0"):
        server.behave = always(Answer(body=answer))
        got: list[bytes] = []
        with pytest.raises(Undecryptable):
            await read_into(got, media, attachment)
        assert len(b"".join(got)) < len(answer)


async def test_counter_that_would_run_over_is_refused(server: FakeHomeserver, media: MediaRepository) -> None:
    server.behave = always(Answer(body=bytes(33)))
    key = AttachmentKey(bytes(32), bytes(8) + b"\xff" * 7 + b"\xfe", bytes(32))
    with pytest.raises(Undecryptable, match="counter"):
        await read(media, replace(FILE, key=key))


async def test_file_without_a_length_is_bounded_all_the_same(server: FakeHomeserver, media: MediaRepository) -> None:
    server.behave = always(Answer(body=DATA, headers={"Content-Encoding": "identity"}))
    assert await read(media, at_most=len(DATA)) == DATA
    with pytest.raises(HomeserverRefused) as refusal:
        await read(media, at_most=len(DATA) - 1)
    assert refusal.value.errcode == "M_TOO_LARGE"


async def test_older_homeserver_is_asked_at_the_older_address(server: FakeHomeserver, media: MediaRepository) -> None:
    def behave(request: Request) -> Answer:
        if request.path.startswith("/_matrix/client/v1/media"):
            return Answer(404, {"errcode": "M_UNRECOGNIZED", "error": "?"})
        return Answer(body=DATA)

    server.behave = behave
    for _ in range(2):
        assert await read(media) == DATA
    assert [request.path for request in server.asked("/media/")] == [
        f"/_matrix/client/v1/media/download/{DOMAIN}/abc",
        f"/_matrix/media/v3/download/{DOMAIN}/abc",
        f"/_matrix/media/v3/download/{DOMAIN}/abc",
    ]


async def test_missing_file_is_not_looked_for_at_the_older_address(
    server: FakeHomeserver, media: MediaRepository
) -> None:
    server.behave = always(Answer(404, {"errcode": "M_NOT_FOUND", "error": "?"}))
    with pytest.raises(HomeserverRefused):
        await read(media)
    assert len(server.asked("/media/")) == 1


def upload(data: bytes = DATA) -> Upload:
    return Upload.of(data, "image/png", "a ü.png")


def uploads(server: FakeHomeserver, *answers: Answer, limit: object = LIMIT) -> None:
    """These answers to uploads one after the other, then an address."""
    waiting = list(answers)

    def behave(request: Request) -> Answer:
        if request.path.endswith("/config"):
            return Answer(body={"m.upload.size": limit})
        return waiting.pop(0) if waiting else Answer(body={"content_uri": FILE.address})

    server.behave = behave


async def test_upload_says_what_it_is_unless_it_is_encrypted(server: FakeHomeserver, media: MediaRepository) -> None:
    uploads(server)
    assert await media.upload(BOT, upload(), sealed=False) == FILE
    attachment = await media.upload(BOT, upload(), sealed=True)
    clear, encrypted = server.asked("/upload")
    assert (clear.body, clear.headers["Content-Type"], clear.query["filename"]) == (DATA, "image/png", "a ü.png")
    assert (encrypted.headers["Content-Type"], encrypted.query.get("filename")) == ("application/octet-stream", None)
    for request in (clear, encrypted):
        assert (request.headers["Content-Length"], request.query["user_id"]) == (str(len(DATA)), BOT)
    server.behave = always(Answer(body=encrypted.body))
    assert await read(media, attachment) == DATA


async def test_every_try_of_an_upload_begins_at_the_start_and_has_a_key_of_its_own(
    server: FakeHomeserver, media: MediaRepository, clock: FakeClock
) -> None:
    busy = Answer(429, {"errcode": "M_LIMIT_EXCEEDED"}, {"Retry-After": "3"})
    uploads(server, busy, Answer(502, b""))
    with pytest.raises(HomeserverUnavailable):
        await clock.pass_until(media.upload(BOT, upload(), sealed=True), step=1)
    attachment = await media.upload(BOT, upload(), sealed=True)
    bodies = [request.body for request in server.asked("/upload")]
    assert [len(body) for body in bodies] == [len(DATA)] * 3
    assert len(set(bodies)) == 3
    server.behave = always(Answer(body=bodies[-1]))
    assert await read(media, attachment) == DATA


async def test_what_the_homeserver_does_not_take_is_not_even_read(
    server: FakeHomeserver, media: MediaRepository, clock: FakeClock
) -> None:
    uploads(server, limit=10)
    await media.upload(BOT, upload(bytes(10)), sealed=False)
    with pytest.raises(HomeserverRefused, match=r"11 bytes.* 10 at most") as refusal:
        await media.upload(BOT, Upload(11, lambda: pytest.fail("it was read"), "image/png", "a"), sealed=False)
    assert refusal.value.errcode == "M_TOO_LARGE"
    assert (len(server.asked("/upload")), len(server.asked("/config"))) == (1, 1)
    uploads(server, limit=11)
    await clock.advance(LIMIT_LIFETIME + 1)
    await media.upload(BOT, upload(bytes(11)), sealed=False)


@pytest.mark.parametrize("limit", [None, "7", -1, True])
async def test_homeserver_that_tells_no_limit_has_none(
    server: FakeHomeserver, media: MediaRepository, limit: object
) -> None:
    uploads(server, limit=limit)
    assert await media.upload_limit() is None


@pytest.mark.parametrize("address", [None, 7, "", "https://example.test/a", "mxc://example.test/../a"])
async def test_upload_without_an_address_is_trouble(
    server: FakeHomeserver, media: MediaRepository, address: object
) -> None:
    uploads(server, Answer(body={"content_uri": address}))
    with pytest.raises(HomeserverUnavailable):
        await media.upload(BOT, upload(), sealed=False)


async def test_slow_source_is_waited_for_and_a_homeserver_that_takes_nothing_is_not(
    server: FakeHomeserver, media: MediaRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT", 0.2)
    uploads(server)
    await media.upload_limit()

    async def slowly() -> AsyncIterator[bytes]:
        for _ in range(4):
            await asyncio.sleep(0.15)
            yield b"0"

    assert await media.upload(BOT, Upload(4, slowly, "image/png", "a"), sealed=False) == FILE

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(PIECE)

    over = asyncio.Event()

    async def listen(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await over.wait()
        writer.transport.abort()

    deaf = await asyncio.start_server(listen, "127.0.0.1", 0, limit=1)
    settings = replace(server.settings(), address=f"http://127.0.0.1:{deaf.sockets[0].getsockname()[1]}")
    client = Client(settings, FakeClock())
    await client.open()
    client._with_device = {(BOT, client_module.DEVICE_ID)}
    repository = MediaRepository(client, BOT, FakeClock())
    repository._limit = (None, 1e9)
    try:
        with pytest.raises(HomeserverUnavailable, match="TimeoutError"):
            await repository.upload(BOT, Upload(1 << 40, endless, "image/png", "a"), sealed=False)
    finally:
        over.set()
        await client.close()
        deaf.close()
        await deaf.wait_closed()
