"""Chunks of incoming files on disk, one file of ours for each of theirs.

What is written here was sealed by the friend under the key of its offer, and that key stands, sealed in turn, in the
database: nothing here can be read without the store key, and nothing of it is left once the key is erased. The names
are random. A chunk has its place by its number, so that they may come in any order.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TypeVar

from chattor_bridge.errors import FileUnavailable
from chattor_bridge.protocol.chunks import SEALED_SIZE
from chattor_bridge.storage.engine import finish
from chattor_bridge.storage.key import FILE_MODE, sync_directory

T = TypeVar("T")

_SUFFIX = ".part"


class DiskPart:
    """Implements `chattor_bridge.node.ports.Part`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._closed = False
        self._lock = threading.Lock()  # a number that was closed may be another file's already

    async def write(self, index: int, sealed: bytes) -> None:
        await self._in_thread("stored", partial(_write_all, self._descriptor, sealed, index * SEALED_SIZE))

    async def read(self, index: int, length: int) -> bytes:
        return await self._in_thread("read", partial(os.pread, self._descriptor, length, index * SEALED_SIZE))

    async def sync(self) -> None:
        await self._in_thread("stored", partial(os.fdatasync, self._descriptor))

    async def close(self) -> None:
        await asyncio.to_thread(self._close)

    async def _in_thread(self, what: str, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock:
                if self._closed:
                    raise FileUnavailable("this file is not under way any more")
                return work()

        try:
            return await asyncio.to_thread(locked)
        except OSError as error:
            raise FileUnavailable(f"a part of a file cannot be {what}: {error.strerror}") from error

    def _close(self) -> None:
        with self._lock, suppress(OSError):
            self._closed = True
            os.close(self._descriptor)


class DiskParts:
    """Implements `chattor_bridge.node.ports.Parts` in a directory of its own."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    async def open(self, part_id: bytes) -> DiskPart:
        opened: list[DiskPart] = []
        try:
            await finish(asyncio.to_thread(lambda: opened.append(DiskPart(self._open(part_id)))))
        except asyncio.CancelledError:
            for part in opened:
                await part.close()
            raise
        return opened[0]

    async def remove(self, part_id: bytes) -> None:
        with suppress(OSError):
            await asyncio.to_thread(self._path(part_id).unlink)

    async def all(self) -> set[bytes]:
        return await asyncio.to_thread(self._all)

    def _open(self, part_id: bytes) -> int:
        """The directory entry is on disk too, or a crash could lose what the database says is there."""
        try:
            self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            descriptor = os.open(self._path(part_id), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
            try:
                sync_directory(self._directory)
            except OSError:
                os.close(descriptor)
                raise
        except OSError as error:
            raise self._unusable(error) from error
        return descriptor

    def _all(self) -> set[bytes]:
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return set()
        except OSError as error:
            raise self._unusable(error) from error
        found = set()
        for name in names:
            with suppress(ValueError):
                if name.endswith(_SUFFIX):
                    found.add(bytes.fromhex(name.removesuffix(_SUFFIX)))
        return found

    def _unusable(self, error: OSError) -> FileUnavailable:
        said = f"{self._directory}, the directory for incoming files, cannot be used: {error.strerror}"
        mend = ": give it to the user that this runs as" if isinstance(error, PermissionError) else ""
        return FileUnavailable(said + mend)

    def _path(self, part_id: bytes) -> Path:
        return self._directory / f"{part_id.hex()}{_SUFFIX}"


def _write_all(descriptor: int, data: bytes, offset: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, offset)
        data, offset = data[written:], offset + written
