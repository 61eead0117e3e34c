"""OnionShare sends the same bytes over the same network, where it is installed: another program for the same purpose.

It brings a fork of stem that must not share our environment, so it has one of its own, `.venv-onionshare`; see
docs/benchmarks.md. It is served by a tor like ours, and its one file is fetched over one stream as a browser does.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import time
from asyncio.subprocess import DEVNULL, PIPE
from contextlib import suppress
from pathlib import Path

from chattor_bridge.errors import Unavailable
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.transport.tor.socks import connect_through
from tests.transport.foreign import ForeignTor

PROGRAM = Path(__file__).parents[2] / ".venv-onionshare/bin/onionshare-cli"

PATIENCE = 180.0


async def measure(directory: Path, network: TorNetwork, size: int) -> float | None:
    """Megabytes a second from the first byte on; None where OnionShare is not installed."""
    if not PROGRAM.exists():
        return None
    await asyncio.to_thread(directory.mkdir)
    file = directory / "shared.bin"
    file.write_bytes(os.urandom(size))
    theirs, ours = (ForeignTor(directory / name, network.client_torrc) for name in ("theirs", "ours"))
    config = directory / "config.json"
    settings = {
        "version": "2.7",
        "connection_type": "control_port",
        "control_port_address": "127.0.0.1",
        "control_port_port": theirs.control[1],
        "socks_address": "127.0.0.1",
        "socks_port": theirs.socks_port,
        "auth_type": "no_auth",
        "auto_connect": True,
    }
    config.write_text(json.dumps(settings))
    async with theirs, ours:
        program = await asyncio.create_subprocess_exec(
            *(PROGRAM, "--public", "--no-autostop-sharing", "--config", config, file),
            stdin=DEVNULL,
            stdout=PIPE,
            stderr=DEVNULL,
            env=os.environ | {"HOME": str(directory), "PYTHONUNBUFFERED": "1"},
        )
        try:
            async with asyncio.timeout(PATIENCE):
                return await _fetch(ours, await _address(program), size)
        finally:
            program.kill()
            await program.wait()


async def _address(program: asyncio.subprocess.Process) -> str:
    assert program.stdout is not None
    async for line in program.stdout:
        if found := re.search(rb"http://([a-z2-7]{56}\.onion)", line):
            return found[1].decode()
    raise AssertionError("OnionShare ended without an address")


async def _fetch(tor: ForeignTor, address: str, size: int) -> float:
    request = f"GET /download HTTP/1.1\r\nHost: {address}\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n"
    stream = None
    while stream is None:
        with suppress(Unavailable):  # a cold network refuses some dials
            socks = ("127.0.0.1", tor.socks_port)
            stream = await connect_through(socks, address, 80, isolation="onionshare", timeout=60)
    await stream.write(request.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        head += await stream.read()
    assert head.startswith(b"HTTP/1.1 200"), head[:100]
    came, began = len(head.partition(b"\r\n\r\n")[2]), time.perf_counter()
    while came < size and (data := await stream.read()):
        came += len(data)
    took = time.perf_counter() - began
    await stream.close()
    assert came >= size
    return size / took / 1e6
