"""Files of our owner on disk: what is offered is read where it lies, and what arrived is written where it is wanted.

A name that a friend chose is never a path: it is made harmless, nothing that exists is overwritten, and nothing is
written outside of the directory that our owner chose. A file appears under its name only when it is whole.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import stat
import unicodedata
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

from chattor_bridge.errors import FileChanged, FileUnavailable, UsageError
from chattor_bridge.ids import NodeId

MAX_NAME_BYTES = 200
"""Bytes of the name of a saved file: file systems allow 255, and a number may be added."""

MAX_SUFFIX_BYTES = 20
"""Bytes of an ending that survives the shortening of a name."""

MOST_NAMESAKES = 1_000
"""Numbers tried behind a name that is taken."""


class PathSources:
    """Implements `chattor_bridge.node.ports.FileSources`: a reference is an absolute path."""

    async def open(self, node_id: NodeId, reference: str) -> PathSource:
        return PathSource(await asyncio.to_thread(_open_regular, Path(reference)))


class PathSource:
    """Implements `chattor_bridge.node.ports.FileSource`."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    async def read(self, offset: int, length: int) -> bytes:
        try:
            return await asyncio.to_thread(os.pread, self._descriptor, length, offset)
        except OSError as error:
            raise FileUnavailable(f"a file cannot be read: {error.strerror}") from error

    async def close(self) -> None:
        with suppress(OSError):
            os.close(self._descriptor)


def _open_regular(path: Path) -> int:
    """Raises: FileChanged when it is not there or no file any more, FileUnavailable."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe is not waited for
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise FileChanged("the file is not there") from error
    except OSError as error:
        raise FileUnavailable(f"the file cannot be opened: {error.strerror}") from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise FileChanged("this is no regular file")
    return descriptor


def safe_name(name: str) -> str:
    """A name for a file, from what a friend called it: one component, visible, not hidden, no option, not too long."""
    shown = "".join(
        "_" if character in '/\\:*?"<>|' or unicodedata.category(character).startswith("C") else character
        for character in unicodedata.normalize("NFC", name)
    )
    shown = shown.strip().lstrip(".-~ ").rstrip(". ") or "file"
    if len(shown.encode()) <= MAX_NAME_BYTES:
        return shown
    stem, dot, suffix = shown.rpartition(".")
    ending = f".{suffix}" if dot and stem and len(suffix.encode()) < MAX_SUFFIX_BYTES else ""
    room = MAX_NAME_BYTES - len(ending.encode())
    return shown.encode()[:room].decode(errors="ignore").rstrip(". ") + ending


async def save(directory: Path, name: str, pieces: AsyncIterator[bytes]) -> Path:
    """Write a file into a directory, under its name made safe, or with a number behind it when that is taken; where it
    is then. What was begun is removed when it cannot be finished.

    Raises: UsageError when the directory cannot be written to; what ``pieces`` raises.
    """
    try:
        descriptor = await asyncio.to_thread(os.open, directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError as error:
        raise UsageError(f"cannot save into {directory}: {error.strerror}") from error
    partial = f".chattor-{secrets.token_hex(8)}.part"
    try:
        await _write(partial, descriptor, pieces)
        return directory / await asyncio.to_thread(_give_name, partial, safe_name(name), descriptor)
    except OSError as error:
        raise UsageError(f"cannot save into {directory}: {error.strerror}") from error
    finally:
        with suppress(OSError):
            os.unlink(partial, dir_fd=descriptor)
        os.close(descriptor)


async def _write(partial: str, directory: int, pieces: AsyncIterator[bytes]) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(partial, flags, 0o600, dir_fd=directory)
    try:
        async for piece in pieces:
            await asyncio.to_thread(_write_all, descriptor, piece)
        await asyncio.to_thread(os.fsync, descriptor)
    finally:
        os.close(descriptor)


def _write_all(descriptor: int, piece: bytes) -> None:
    while piece:
        piece = piece[os.write(descriptor, piece) :]


def _give_name(partial: str, name: str, directory: int) -> str:
    """Reserve the first name that is free, and put the whole file in the place of the empty one."""
    stem, dot, suffix = name.rpartition(".")
    stem, ending = (stem, f".{suffix}") if dot and stem else (name, "")
    for number in range(1, MOST_NAMESAKES):
        wanted = name if number == 1 else f"{stem} ({number}){ending}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            os.close(os.open(wanted, flags, 0o600, dir_fd=directory))
        except FileExistsError:
            continue
        os.rename(partial, wanted, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
        return wanted
    raise UsageError("there are too many files of this name already")
