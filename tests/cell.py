"""A room whose only way out is tor, and a list of everything that tried another one."""

from __future__ import annotations

import asyncio
import ctypes
import os
import shutil
import socket
import sys
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager, suppress
from json import loads
from pathlib import Path

import pytest

WAIT = 30.0
"""Seconds that any one thing may take on a busy machine; each takes well under one."""

_CLONE_NEWNET = 0x40000000  # linux/sched.h
_libc = ctypes.CDLL(None, use_errno=True)

_CAP_NET_ADMIN, _CAP_SYS_ADMIN = 12, 21  # linux/capability.h


def is_possible() -> bool:
    """Whether this process may make namespaces and lead others into them."""
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    held = next(int(line.split()[1], 16) for line in lines if line.startswith("CapEff:"))
    return all(held >> capability & 1 for capability in (_CAP_NET_ADMIN, _CAP_SYS_ADMIN))


needs_a_cell = pytest.mark.skipif(not is_possible(), reason="only root may make network namespaces")


class Cell:
    """A network namespace that `tests.programs.cell` watches. Made by `cell`."""

    def __init__(self, process: asyncio.subprocess.Process, tor: Path) -> None:
        self._process = process
        self.within = (
            *("nsenter", f"--net=/proc/{process.pid}/ns/net", f"--mount=/proc/{process.pid}/ns/mnt", "--wd=."),
            *("env", f"CHATTOR_TOR_EXECUTABLE={tor}"),
        )
        """To be put before a command: it runs in there, and a tor that it starts runs out here."""

    async def attempts(self) -> list[str]:
        """What the programs in there tried to reach besides what they may, until now."""
        assert self._process.stdin is not None
        self._process.stdin.write(b"\n")
        found = []
        while "lost" not in (said := await _said(self._process)):
            found.append(str(said["attempt"]))
        assert said["lost"] == 0, "more was tried than could be noted"
        return found

    @asynccontextmanager
    async def way_out(self, port: int) -> AsyncIterator[None]:
        """Whoever connects to ``port`` of 127.0.0.1 in there reaches the same one out here."""
        listening = await asyncio.to_thread(self._socket)
        listening.bind(("127.0.0.1", port))
        async with await asyncio.start_server(_passer(_socket_here, port), sock=listening):
            yield

    @asynccontextmanager
    async def way_in(self, port: int) -> AsyncIterator[None]:
        """Whoever connects to ``port`` of 127.0.0.1 out here reaches the same one in there."""
        async with await asyncio.start_server(_passer(self._socket, port), "127.0.0.1", port):
            yield

    def _socket(self) -> socket.socket:
        """A socket that is in there, for this process out here; to be called in a thread that ends then."""
        with _namespace(self._process.pid).open("rb") as room, Path("/proc/thread-self/ns/net").open("rb") as here:
            _enter(room.fileno())
            try:
                return _socket_here()
            finally:
                _enter(here.fileno())

    def holds(self, pid: int) -> bool:
        """Whether that process is in there."""
        return _namespace(pid).samefile(_namespace(self._process.pid))


@asynccontextmanager
async def cell(directory: Path, *ports: int) -> AsyncIterator[Cell]:
    """Programs in there may talk to each other, and to the test, at these ``ports`` of 127.0.0.1 and nowhere else."""
    program = shutil.which("tor")
    assert program is not None
    tor = directory / "tor-outside"
    tor.write_text(f'#!/bin/sh\nexec nsenter --net=/proc/{os.getpid()}/ns/net {program} "$@"\n')
    tor.chmod(0o700)
    command = ("unshare", "--net", "--mount", sys.executable, "-m", "tests.programs.cell", *map(str, ports))
    process = await asyncio.create_subprocess_exec(*command, stdin=PIPE, stdout=PIPE)
    try:
        assert await _said(process) == {"closed": True}
        yield Cell(process, tor)
    finally:
        assert process.stdin is not None
        process.stdin.close()
        async with asyncio.timeout(WAIT):
            await process.wait()


def _socket_here() -> socket.socket:
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setblocking(False)
    return made


def _enter(namespace: int) -> None:
    """Bring this thread, and no other, into a network namespace. Python before 3.12 has no setns."""
    if _libc.setns(namespace, _CLONE_NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def _passer(
    make_socket: Callable[[], socket.socket], port: int
) -> Callable[[asyncio.StreamReader, asyncio.StreamWriter], Coroutine[None, None, None]]:
    """Serves a connection by passing all of it to ``port`` of 127.0.0.1 where the socket is, and back."""

    async def pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connecting = await asyncio.to_thread(make_socket)
        try:
            await asyncio.get_running_loop().sock_connect(connecting, ("127.0.0.1", port))
            there, back = await asyncio.open_connection(sock=connecting)
        except OSError:  # nobody is there: hang up
            connecting.close()
            writer.close()
            return
        await asyncio.gather(_pour(reader, back), _pour(there, writer))

    return pass_on


async def _pour(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()
    writer.close()


async def _said(process: asyncio.subprocess.Process) -> dict[str, str | int]:
    assert process.stdout is not None
    async with asyncio.timeout(WAIT):
        line = await process.stdout.readline()
    assert line, "the cell has broken down"
    said: dict[str, str | int] = loads(line)
    return said


def _namespace(pid: int) -> Path:
    return Path(f"/proc/{pid}/ns/net")
