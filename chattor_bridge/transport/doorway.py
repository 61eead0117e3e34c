"""One unix socket for one hosted onion, and whoever answers the streams that come in through it.

A socket per onion is what keeps nodes apart: which node answers is decided by the address that was dialled and never
by anything inside the stream.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import traceback
from collections.abc import Awaitable, Callable
from pathlib import Path

from chattor_bridge.errors import ChattorError, UsageError
from chattor_bridge.node.ports import StreamHandler
from chattor_bridge.transport.stream import READ_BUFFER, SocketStream

log = logging.getLogger(__name__)

SOCKET_PATH_LIMIT = 107
"""Bytes in the path of a unix socket: ``sun_path`` of Linux's unix(7) without its final zero."""

STREAMS_PER_ONION = 64
"""Open streams one onion accepts. A friend needs a handful; a door sees strangers, and each stream costs a task and
its buffers. The next one is closed at once, which its dialler sees as an onion that hangs up."""

BACKLOG = 64
"""Connections the kernel keeps for us while we are busy; as many as one onion may have open."""

Admission = Callable[[SocketStream], Awaitable[bool]]


def socket_path(directory: Path, name: str) -> Path:
    """The path of a socket in ``directory``.

    Raises: UsageError when it is longer than the operating system allows.
    """
    path = directory / name
    excess = len(os.fsencode(path)) - SOCKET_PATH_LIMIT
    if excess > 0:
        raise UsageError(f"the path of the directory for sockets is {excess} bytes too long: choose a shorter one")
    return path


class Doorway:
    """Listens on a unix socket and runs ``handler`` for every stream.

    A handler that raises closes its own stream and nothing else. ``admission``, when there is one, looks at a stream
    first and says whether it may go on.
    """

    def __init__(
        self, path: Path, handler: StreamHandler, *, admission: Admission | None = None, mode: int = 0o600
    ) -> None:
        """``mode`` says who may connect."""
        self.path = path
        self._mode = mode
        self._handler = handler
        self._admission = admission
        self._is_open = False
        self._server: asyncio.Server | None = None  # none also while an open one cannot listen
        self._inode: int | None = None
        self._open: dict[asyncio.Task[None], SocketStream] = {}

    @property
    def in_use(self) -> bool:
        """It is open, or streams that came in through it are."""
        return self._is_open or bool(self._open)

    async def open(self) -> None:
        """Begin to listen. Whoever had the path before, a process that died or one that lives, loses it."""
        self._is_open = True
        try:
            await self._listen()
        except BaseException:
            self._is_open = False
            raise

    async def _listen(self) -> None:
        newcomer = self.path.with_suffix(f".{os.getpid()}")
        newcomer.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(str(newcomer))
            newcomer.chmod(self._mode)
            listener.listen(BACKLOG)
            self._inode = newcomer.stat().st_ino
            newcomer.rename(self.path)
            self._server = await asyncio.start_unix_server(
                self._accept, sock=listener, limit=READ_BUFFER, backlog=BACKLOG, start_serving=False
            )
            await self._server.start_serving()
        except BaseException:
            if self._server is None:
                listener.close()
            self._stop_listening()
            newcomer.unlink(missing_ok=True)
            raise

    async def keep(self) -> None:
        """Listen again when the socket's file was removed meanwhile. Raises: OSError when that cannot be yet."""
        if self._is_open and not self.path.exists():
            log.warning("the socket of an onion was removed, and is made again")
            self._stop_listening()
            await self._listen()

    def shut(self) -> None:
        """Accept no more streams; open ones go on."""
        self._is_open = False
        self._stop_listening()

    def _stop_listening(self) -> None:
        if self._server is not None:
            server, self._server = self._server, None
            loop = asyncio.get_running_loop()
            for listener in server.sockets:
                loop.remove_reader(listener)
            # What asyncio has accepted just now it hands over in the next turn of the loop; of a server that is closed
            # by then it drops it without closing it, and whoever dialled waits for nothing.
            loop.call_soon(server.close)
        try:
            if self.path.stat().st_ino == self._inode:
                self.path.unlink()
        except FileNotFoundError:
            pass

    async def stop(self) -> None:
        """Accept no more streams and end the open ones."""
        self.shut()
        ending = dict(self._open)
        for task in ending:
            task.cancel()
        await asyncio.gather(*ending, return_exceptions=True)
        for stream in ending.values():
            stream.abort()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = SocketStream(reader, writer)
        if not self._is_open:
            stream.abort()
            return
        if len(self._open) >= STREAMS_PER_ONION:
            log.warning("an onion has %d streams open, its limit; hanging up on the next", STREAMS_PER_ONION)
            stream.abort()
            return
        task = asyncio.get_running_loop().create_task(self._answer(stream))
        self._open[task] = stream
        task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _answer(self, stream: SocketStream) -> None:
        try:
            if self._admission is None or await self._admission(stream):
                await self._handler(stream)
        except ChattorError as error:
            log.info("a stream ended: %s", error)
        except Exception as error:
            # Where it happened, but not its message: that may quote what came over the stream.
            where = "".join(traceback.format_tb(error.__traceback__))
            log.error("the handler of a stream failed with %s; the stream is closed\n%s", type(error).__name__, where)
        finally:
            await stream.close()
