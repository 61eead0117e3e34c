"""Where a friend code ends in what a person typed."""

from __future__ import annotations

import re
from typing import Final

from chattor_bridge.errors import FriendCodeError
from chattor_bridge.protocol.friendcode import FriendCode

LENGTHS: Final = (84, 58)
"""Characters of a one-time code and of any other."""

_FORMS: Final = [
    re.compile(rf"\A((?:chattor:\s*)?(?:[a-z2-7]\s*){{{length}}})(?:(?<=\s)|\Z)(.*)\Z", re.IGNORECASE | re.DOTALL)
    for length in LENGTHS
]
"""A code of each length, however it is broken up, and after a space what follows."""


def split_code(text: str) -> tuple[str, str] | None:
    """A friend code at the beginning of ``text``, and the rest; None when there is nothing like one.

    The first words after a code may look like more of it, so the longer form has to be a code really.
    """
    longer, shorter = (form.match(text) for form in _FORMS)
    if longer is not None and (shorter is None or _is_code(longer[1])):
        return longer[1].strip(), longer[2].strip()
    return None if shorter is None else (shorter[1].strip(), shorter[2].strip())


def _is_code(text: str) -> bool:
    try:
        FriendCode.parse(text)
    except FriendCodeError:
        return False
    return True
