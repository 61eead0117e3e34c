"""The language between `chattor run` and the other commands, over the unix socket in the home directory.

A connection carries one request: a line of JSON ``{"v": 2, "op": "send", "args": {…}}``. The daemon answers with any
number of ``{"item": {…}}`` lines and ends with exactly one ``{"done": {…}}`` or
``{"error": {"code": 1, "message": "…"}}``, the code being an exit code of `exits`. A stream (``follow``) has no end but
the closing of the connection by either side. Both ends are this program, of one user; the bounds are there so that a
mistake cannot eat the memory of the daemon.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from chattor_bridge.errors import MalformedData
from chattor_bridge.terminal.exits import CommandError, Exit

JsonObject = dict[str, Any]

VERSION = 2
"""Raised when a request or an answer changes in a way that the other side would misunderstand."""

MAX_LINE_BYTES = 1024 * 1024
"""Bytes of one line: the longest text to send (64 KiB) with every character escaped, and room."""

MAX_HISTORY = 1_000
"""Messages of one answer to ``history``, which goes on with --after: 15 MB when each is as long as can be."""

SHORT_ID = 8
"""Hexadecimal digits of an id as it is shown: 32 bits, which two of a hundred requests share once in a million."""


@dataclass(frozen=True, slots=True)
class Request:
    """What a command asks the daemon to do."""

    operation: str
    arguments: JsonObject


@dataclass(frozen=True, slots=True)
class Item:
    """One thing of an answer; more may follow."""

    fields: JsonObject


@dataclass(frozen=True, slots=True)
class Done:
    """The end of an answer."""

    fields: JsonObject


Answer = Item | Done


def encode_request(request: Request) -> bytes:
    """The line of a request, line end included. Raises: CommandError when it is too long to be sent."""
    line = _line({"v": VERSION, "op": request.operation, "args": request.arguments})
    if len(line) > MAX_LINE_BYTES:
        raise CommandError(Exit.REFUSED, "this is too much for one command")
    return line


def decode_request(line: bytes) -> Request:
    """Read a request. Raises: CommandError when it is of another version, MalformedData when it is not one at all."""
    message = _object(line)
    if message.get("v") != VERSION:
        raise CommandError(
            Exit.REFUSED, "chattor run is of another version than this command: stop it and start it again"
        )
    operation, arguments = message.get("op"), message.get("args")
    if not isinstance(operation, str) or not isinstance(arguments, dict):
        raise MalformedData("not a request")
    return Request(operation, arguments)


def encode_answer(answer: Answer | CommandError) -> bytes:
    """The line of one part of an answer, line end included."""
    match answer:
        case Item(fields):
            return _line({"item": fields})
        case Done(fields):
            return _line({"done": fields})
        case CommandError():
            return _line({"error": {"code": int(answer.code), "message": str(answer)}})


def decode_answer(line: bytes) -> Answer:
    """Read one part of an answer. Raises: CommandError when that is what it says, MalformedData when it is none."""
    match _object(line):
        case {"item": dict(fields)}:
            return Item(fields)
        case {"done": dict(fields)}:
            return Done(fields)
        case {"error": {"code": int(code), "message": str(text)}} if code in set(Exit):
            raise CommandError(Exit(code), text)
        case _:
            raise MalformedData("not an answer")


def _line(message: JsonObject) -> bytes:
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def _object(line: bytes) -> JsonObject:
    try:
        message = json.loads(line)
    except ValueError as error:  # not UTF-8, or not JSON
        raise MalformedData("not a line of JSON") from error
    except RecursionError as error:
        raise MalformedData("nested too deeply") from error
    if not isinstance(message, dict):
        raise MalformedData("not an object")
    return message
