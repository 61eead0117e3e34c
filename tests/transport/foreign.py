"""A tor that is nobody's of ours: started as a system's is, with a torrc of its own."""

from __future__ import annotations

import asyncio
import hashlib
import os
import shutil
from asyncio.subprocess import DEVNULL, Process
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from chattor_bridge.ops.ports import free_port
from chattor_bridge.transport.tor.control import Control

NO_NETWORK = (
    "TestingTorNetwork 1",
    f"DirAuthority nobody orport=1 v3ident={'0' * 40} 127.0.0.1:1 {'0' * 40}",
)
"""For one that asks one authority, which does not answer."""


class ForeignTor:
    """``lines`` are its torrc besides its directory, its control port and a SOCKS port.

    Use it as an asynchronous context manager: it runs from the beginning of the block, and never after its end.
    """

    def __init__(
        self, directory: Path, lines: Sequence[str], *, socks: str = "IsolateSOCKSAuth ExtendedErrors"
    ) -> None:
        self.directory = directory
        self.control = ("127.0.0.1", free_port())
        self.socks_port = free_port()
        self.process: Process | None = None
        directory.mkdir(mode=0o700)
        torrc = [
            f"DataDirectory {directory}/data",
            f"ControlPort {self.control[1]}",
            f"SocksPort {self.socks_port} {socks}",
            *lines,
        ]
        (directory / "torrc").write_text("\n".join(torrc) + "\n")

    @property
    def address(self) -> str:
        return f"{self.control[0]}:{self.control[1]}"

    async def __aenter__(self) -> Self:
        try:
            await self.start()
        except BaseException:
            await self.kill()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        await self.kill()

    async def start(self) -> None:
        """Start, and wait until it answers. It listens a moment before it has written its cookie, and answers after."""
        tor = shutil.which("tor") or "/usr/sbin/tor"
        self.process = await asyncio.create_subprocess_exec(
            *(tor, "--defaults-torrc", "/dev/null", "-f", self.directory / "torrc"), stdout=DEVNULL, stderr=DEVNULL
        )
        async with asyncio.timeout(30):
            while not await self._answers():
                assert self.process.returncode is None, "tor did not start"
                await asyncio.sleep(0.05)  # it has no event for being there

    async def _answers(self) -> bool:
        try:
            reader, writer = await asyncio.open_connection(*self.control)
        except OSError:
            return False
        writer.write(b"PROTOCOLINFO 1\r\n")
        answered = bool(await reader.readline())
        writer.close()
        return answered

    async def kill(self) -> None:
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()

    async def ask(self, *commands: str, password: str | None = None) -> list[str]:
        """What it answers, over a control connection of its own."""
        control = await Control.connect(self.control, lambda action, address: None, password=password)
        try:
            return [line for command in commands for line in await control.command(command)]
        finally:
            await control.close()


def hashed(password: str) -> str:
    """As ``tor --hash-password`` makes it (RFC 2440's salted and iterated S2K)."""
    salt, count = os.urandom(8), 1 << 10
    digest = hashlib.sha1(((salt + password.encode()) * count)[:count]).hexdigest()
    return f"16:{salt.hex()}00{digest}".upper()
