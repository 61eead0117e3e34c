"""Why something ends, said by one program to another: a word of docs/protocol/link.md or docs/protocol/files.md, or one
that a later version has added."""

from __future__ import annotations

import re
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol.limits import MAX_BYE_REASON

_REASON: Final = re.compile(rf"[a-z-]{{1,{MAX_BYE_REASON}}}", re.ASCII)


def is_reason(text: str) -> bool:
    """Whether this is such a word."""
    return _REASON.fullmatch(text) is not None


def decode_reason(body: bytes, frame: str) -> str:
    """The body of a frame that holds nothing else. Raises: MalformedData."""
    reason = body.decode("ascii", "replace")
    if not is_reason(reason):
        raise MalformedData(f"{frame}: the reason is not a word")
    return reason
