"""What our owner wants with one friend: what the friend may see of the person, silence, and a note."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final


class Shared(StrEnum):
    """What a friend may see of our owner's person. That something has *arrived* is no choice: without
    acknowledgements nothing could be sent reliably."""

    RECEIPTS = "receipts"  # what was read
    TYPING = "typing"
    PRESENCE = "presence"


SHARED_AT_FIRST: Final = frozenset({Shared.RECEIPTS})
"""Friends expect to learn that they were read, as everywhere; when somebody sits at a keyboard is nobody's business
until the person wants it to be."""

MAX_CONTACT_NOTE: Final = 4_000
"""Bytes (UTF-8) of the note about a friend: a page or two."""


@dataclass(frozen=True, slots=True)
class Preferences:
    """``muted``: our owner is not to be disturbed by this friend. ``note`` is for our owner alone; *sealed*. ``timer``
    is what both agree on: seconds after which what is said disappears, 0 for never, and since which ``timer_round``."""

    shares: frozenset[Shared] = SHARED_AT_FIRST
    muted: bool = False
    note: str = ""
    timer: int = 0
    timer_round: int = 0

    def sharing(self, shared: Shared, *, on: bool) -> Preferences:
        """The same, with one thing shown or not."""
        return replace(self, shares=self.shares | {shared} if on else self.shares - {shared})

    def joined(self, former: Preferences) -> Preferences:
        """For two friendships that become one, of which ``former`` ends: what is shown in both, and no note is lost."""
        note = "\n".join(dict.fromkeys(each for each in (self.note, former.note) if each))
        fitting = note.encode()[:MAX_CONTACT_NOTE].decode(errors="ignore")
        return replace(self, shares=self.shares & former.shares, note=fitting)
