"""JSON of other people, made into something that every database and every friend can take."""

from __future__ import annotations

import json
import re
from typing import Any, NoReturn

from chattor_bridge.bridge.records import JsonObject

_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(text: bytes) -> Any:
    """The value, with U+FFFD in the place of lone surrogates: they fit into no database and no message to a friend, and
    an event that can never be stored would stop all that come after it.

    Raises: ValueError, also when it is nested too deeply.
    """
    try:
        value = json.loads(text, parse_constant=_refuse_constant)
        if _SURROGATE.search(text):
            value = json.loads(
                json.dumps(value, ensure_ascii=False).encode("utf-16", "surrogatepass").decode("utf-16", "replace")
            )
    except RecursionError:
        raise ValueError("nested too deeply") from None
    return value


def parse_object(text: bytes) -> JsonObject:
    """The same of an object. Raises: ValueError, also when it is something else."""
    value = parse(text)
    if not isinstance(value, dict):
        raise ValueError("not an object")
    return value


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")
