"""The daemon's end of the control socket: takes a request per connection and streams the answer back."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress

from chattor_bridge.errors import ChattorError, MalformedData, Unavailable, UsageError
from chattor_bridge.terminal.control import MAX_LINE_BYTES, Answer, Request, decode_request, encode_answer
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home

MAX_CONNECTIONS = 64
"""Commands at work at once: far more than a person or a script has open, `follow` included."""

REQUEST_TIMEOUT = 10.0
"""Seconds in which a connection must have sent its request: a command sends it at once."""

LOOK_INTERVAL = 1.0
"""Seconds between two looks whether the socket is where commands look for it: nobody types the next one sooner."""

Answers = Callable[[Request, asyncio.Event], AsyncGenerator[Answer, None]]
"""Answers a request; the event is set when whoever asked has gone away, which an endless answer must heed."""

log = logging.getLogger(__name__)


class ControlServer:
    """Serves the socket of a home until it is cancelled. Nothing that goes wrong with one command touches another."""

    def __init__(self, home: Home, answers: Answers) -> None:
        self._home = home
        self._answers = answers
        self._connections = 0
        self._listener = home.listen()

    async def serve(self) -> None:
        """Serve for ever; cancel it to stop. A socket whose file was removed is made again."""
        async with asyncio.TaskGroup() as group:

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                group.create_task(self._serve_one(reader, writer))

            while True:
                server = await asyncio.start_unix_server(connected, sock=self._listener, limit=MAX_LINE_BYTES)
                try:
                    await self._moved()
                finally:
                    server.close()

    def close(self) -> None:
        """Listen no more, also when `serve` was never called."""
        self._listener.close()

    async def _moved(self) -> None:
        """Return when there is another listener, because commands do not find the one that was there."""
        failed = False
        while True:
            await asyncio.sleep(LOOK_INTERVAL)
            if self._home.is_listening:
                failed = False
                continue
            try:
                self._listener = self._home.listen()
            except OSError as error:
                if not failed:
                    log.error("the socket for commands was removed and cannot be made again: %s", error.strerror)
                failed = True
            else:
                log.warning("the socket for commands was removed, and is made again")
                return

    async def _serve_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._connections += 1
        try:
            with suppress(ConnectionError):
                await self._answer_one(reader, writer)
        finally:
            self._connections -= 1
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer_one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if self._connections > MAX_CONNECTIONS:
                raise CommandError(Exit.NOT_YET, f"{MAX_CONNECTIONS} commands are at work already: try again later")
            request = await self._request(reader)
            gone = asyncio.Event()
            watch = asyncio.create_task(_watch(reader, gone))
            try:
                async with aclosing(self._answers(request, gone)) as answers:
                    async for answer in answers:
                        writer.write(encode_answer(answer))
                        await writer.drain()
            finally:
                watch.cancel()
        except ConnectionError:
            raise
        except Exception as error:
            writer.write(encode_answer(_failure(error)))
            await writer.drain()

    async def _request(self, reader: asyncio.StreamReader) -> Request:
        try:
            async with asyncio.timeout(REQUEST_TIMEOUT):
                line = await reader.readline()
        except TimeoutError as error:
            raise MalformedData("no request came") from error
        except ValueError as error:  # asyncio's word for a line above the limit
            raise MalformedData("the request is too long") from error
        if not line.endswith(b"\n"):
            raise MalformedData("the request is cut off")
        return decode_request(line)


async def _watch(reader: asyncio.StreamReader, gone: asyncio.Event) -> None:
    """A command sends nothing after its request, so whatever comes is its end."""
    with suppress(ConnectionError):
        await reader.read(1)
    gone.set()


def _failure(error: Exception) -> CommandError:
    match error:
        case CommandError():
            return error
        case UsageError() | MalformedData():
            return CommandError(Exit.REFUSED, str(error))
        case Unavailable():
            return CommandError(Exit.NOT_YET, f"not now: {error}")
        case ChattorError():
            return CommandError(Exit.UNEXPECTED, str(error))
        case _:
            log.error("a command failed", exc_info=error)
            return CommandError(Exit.UNEXPECTED, "something went wrong inside chattor run; its own output says more")
