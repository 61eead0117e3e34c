"""Where a friend code ends in what a person typed."""

from __future__ import annotations

import re
from typing import Final

from chattor_bridge.errors import FriendCodeError, UsageError
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


def code_and_note(typed: str, note: str) -> tuple[str, str]:
    """A friend code, and the note that goes with it: ``note``, or the words that were typed behind the code.

    Raises: UsageError when there are both.
    """
    code, words = split_code(typed) or (typed, "")
    if words and note:
        raise UsageError("there are words behind the friend code, and a note as well: leave one of them out")
    return code, words or note


def _is_code(text: str) -> bool:
    try:
        FriendCode.parse(text)
    except FriendCodeError:
        return False
    return True
