"""The commands' end of the control socket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from chattor_bridge.errors import MalformedData
from chattor_bridge.terminal.control import (
    MAX_LINE_BYTES,
    Answer,
    Done,
    JsonObject,
    Request,
    decode_answer,
    encode_request,
)
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home


async def ask(home: Home, operation: str, **arguments: object) -> AsyncGenerator[Answer, None]:
    """Ask the daemon, and yield the parts of its answer as they come; the last one is `Done`.

    Raises: CommandError with the daemon's refusal, or when it is not running or stops before it is done.
    """
    line = encode_request(Request(operation, arguments))
    reader, writer = await asyncio.open_unix_connection(sock=home.connect(), limit=MAX_LINE_BYTES)
    try:
        writer.write(line)
        await writer.drain()
        while True:
            part = await reader.readline()
            if not part.endswith(b"\n"):
                raise _stopped()
            answer = decode_answer(part)
            yield answer
            if isinstance(answer, Done):
                return
    except CommandError as error:
        raise CommandError(error.code, home.named(str(error))) from error
    except ConnectionError as error:
        raise _stopped() from error
    except (MalformedData, ValueError) as error:
        raise CommandError(Exit.UNEXPECTED, "chattor run answered with something that is no answer") from error
    finally:
        writer.close()


async def ask_once(home: Home, operation: str, **arguments: object) -> tuple[list[JsonObject], JsonObject]:
    """Ask, and wait for the whole answer: its items, and what came with the end."""
    items: list[JsonObject] = []
    async for answer in ask(home, operation, **arguments):
        if isinstance(answer, Done):
            return items, answer.fields
        items.append(answer.fields)
    raise _stopped()


def _stopped() -> CommandError:
    return CommandError(
        Exit.NOT_RUNNING, "chattor run stopped before it was done answering: see why, and start it again"
    )
