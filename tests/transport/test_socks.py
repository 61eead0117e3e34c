"""tor's SOCKS answers become our errors (prop304, RFC 1928 section 6): a server on a socket plays tor."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chattor_bridge.errors import OnionNotAuthorised, OnionUnreachable, TorUnavailable, Unavailable
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from chattor_bridge.transport.tor import transport as tor_transport
from chattor_bridge.transport.tor.socks import connect_through

ADDRESS = "a" * 56 + ".onion"
ANSWERED = b"\x05\x00\x00\x01" + bytes(6)

Asked = Callable[[bytes, bytes], None]


@asynccontextmanager
async def socks_server(
    path: Path, answer: bytes, asked: Asked = lambda password, request: None, *, silent: int = 0
) -> AsyncIterator[None]:
    """Answers every request with ``answer`` and hangs up, or echoes one byte when that is a yes. The first ``silent``
    requests get no answer at all."""
    unanswered = silent

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal unanswered
        version, methods = await reader.readexactly(2)
        assert version == 5
        assert 2 in await reader.readexactly(methods)
        writer.write(b"\x05\x02")
        username_length = (await reader.readexactly(2))[1]
        await reader.readexactly(username_length)
        password = await reader.readexactly((await reader.readexactly(1))[0])
        writer.write(b"\x01\x00")
        head = await reader.readexactly(5)
        asked(password, head + await reader.readexactly(head[4] + 2))
        if unanswered:
            unanswered -= 1
            await reader.read()  # until the asker gives up
        else:
            writer.write(answer)
        if answer == ANSWERED:
            writer.write(await reader.read(1))
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_unix_server(serve, path)
    async with server:
        yield


@pytest.mark.parametrize(
    ("code", "error", "words"),
    [
        (0x01, OnionUnreachable, "could not reach"),
        (0x02, TorUnavailable, "configured"),
        (0x03, TorUnavailable, "no way into"),
        (0x04, OnionUnreachable, "did not find"),
        (0x05, OnionUnreachable, "nobody answers"),
        (0x06, OnionUnreachable, "too long"),
        (0x07, TorUnavailable, "does not know how"),
        (0x08, TorUnavailable, "does not know how"),
        (0xF0, OnionUnreachable, "offline"),
        (0xF1, OnionUnreachable, "cannot be read"),
        (0xF2, OnionUnreachable, "introduction"),
        (0xF3, OnionUnreachable, "meeting"),
        (0xF4, OnionNotAuthorised, "hold no key"),
        (0xF5, OnionNotAuthorised, "closed to the key"),
        (0xF6, OnionUnreachable, "not that of an onion"),
        (0xF7, OnionUnreachable, "too long"),
        (0xF8, OnionUnreachable, "unknown code F8"),
        (0x0F, OnionUnreachable, "unknown code 0F"),
    ],
)
async def test_every_code_has_its_error(tmp_path: Path, code: int, error: type[Unavailable], words: str) -> None:
    async with socks_server(tmp_path / "socks", bytes([5, code, 0, 1]) + bytes(6)):
        with pytest.raises(error, match=words) as raised:
            await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation="x", timeout=5)
    assert ADDRESS not in str(raised.value)


async def test_a_yes_is_a_stream(tmp_path: Path) -> None:
    async with socks_server(tmp_path / "socks", ANSWERED):
        stream = await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation="x", timeout=5)
        await stream.write(b"!")
        assert await stream.read() == b"!"
        assert await stream.read() == b""
        await stream.close()


async def test_the_address_is_given_to_tor_as_a_name(tmp_path: Path) -> None:
    requests: list[bytes] = []
    async with socks_server(tmp_path / "socks", ANSWERED, lambda _, request: requests.append(request)):
        await (await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation="x", timeout=5)).close()
    assert requests == [b"\x05\x01\x00\x03" + bytes([len(ADDRESS)]) + ADDRESS.encode() + (9999).to_bytes(2, "big")]


async def test_isolations_get_credentials_of_their_own(tmp_path: Path) -> None:
    passwords: list[bytes] = []
    async with socks_server(tmp_path / "socks", ANSWERED, lambda password, _: passwords.append(password)):
        for isolation in ("one", "two", "one", "ünïcödé " * 100):
            await (await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation=isolation, timeout=5)).close()
    assert passwords[0] == passwords[2]
    assert len(set(passwords)) == 3


async def test_no_tor_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(TorUnavailable, match="does not accept"):
        await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation="x", timeout=5)


async def test_a_tor_that_hangs_up_is_unavailable(tmp_path: Path) -> None:
    async with socks_server(tmp_path / "socks", b""):
        with pytest.raises(TorUnavailable, match="hung up"):
            await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation="x", timeout=5)


async def test_a_tor_that_says_nothing_times_out(tmp_path: Path) -> None:
    done = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await done.wait()
        writer.close()

    async with await asyncio.start_unix_server(silent, tmp_path / "socks"):
        with pytest.raises(TimeoutError):
            await connect_through(tmp_path / "socks", ADDRESS, 9999, isolation="x", timeout=0.2)
        done.set()


async def test_a_dial_gives_up_a_lost_introduction_soon_and_tries_other_circuits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tor_transport, "ATTEMPT_FIRST", 0.2)
    monkeypatch.setattr(tor_transport, "ATTEMPT_PAUSE", 0.0)
    passwords: list[bytes] = []
    tor = ManagedTor(TorSettings(tmp_path))
    tor.sockets.mkdir()
    onion = OnionKey(ed25519_public(bytes(32)))
    assert isinstance(tor.socks, Path)
    async with socks_server(tor.socks, ANSWERED, lambda password, _: passwords.append(password), silent=2):
        dialling = TorTransport(tor).dial(onion, client_key=None, isolation="x", timeout=120)
        stream = await asyncio.wait_for(dialling, 30)
        await stream.close()
    assert len(set(passwords)) == 3
