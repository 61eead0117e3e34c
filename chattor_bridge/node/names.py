"""Names that other people gave themselves, as they may be shown beside the names of others.

A name comes from a stranger or a friend, and is read by somebody who trusts what stands around it. So nothing in it may
be invisible, turn the direction of the line, or pile up over the lines above; and a contact that takes a name another
one has is told apart. A name still proves nothing.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable
from typing import Final

from chattor_bridge.ids import PeerId

MAX_MARKS: Final = 4
"""Marks on one character, such as accents: two are usual in Vietnamese, three or four in Hebrew and Thai. More of them
are drawn over other people's words."""

MARK_DIGITS: Final = 4
"""Hexadecimal digits of a friendship's id that tell it from others of the same name: a friend cannot choose them, and
does not know those of others."""

_UNSEEN: Final = frozenset({"Cc", "Cf", "Cs", "Co"})
"""Unicode categories: controls, formats (direction marks, zero-width and invisible tags), surrogates, private use."""

_JOINERS: Final = "\u200c\u200d"
"""Persian and Indic words and many emoji are misspelt without them."""

_BLANK: Final = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u2800\u3164\uffa0")
"""Characters of other categories that are drawn as nothing."""

_RESERVED: Final = (range(0x2065, 0x2066), range(0xFFF0, 0xFFF9), range(0xE0000, 0xE0100), range(0xE01F0, 0xE1000))
"""What Unicode keeps for characters that are drawn as nothing (Default_Ignorable_Code_Point), given to none so far."""

_LOOK_ALIKE: Final = str.maketrans(
    "авсԁеһікјӏмопрԛѕтухгԝн"  # Cyrillic
    "ΑΒΕΖΗΙΚΜΝΟΡΤΥΧαβεηικνορτυχγω"  # Greek
    "0135|iıℓɑɡ",  # noqa: RUF001
    "abcdehlkjlmonpqstyxrwhabezhlkmnoptyxabenlkvoptuxywolesllllag",
)
"""The letters most used to imitate Latin ones, by what they look like. Unicode's technical standard 39 lists thousands;
whoever looks for one that is missing here finds it."""


def presentable(name: str) -> str:
    """``name`` on one line, with nothing in it that is not seen; empty when nothing is left."""
    shown: list[str] = []
    marks = 0
    for character in unicodedata.normalize("NFC", " ".join(name.split())):
        category = unicodedata.category(character)
        if character in _BLANK or (category in _UNSEEN and character not in _JOINERS):
            continue
        if any(ord(character) in reserved for reserved in _RESERVED):
            continue
        marks = marks + 1 if category.startswith("M") else 0
        if marks <= MAX_MARKS:
            shown.append(character)
    joined = unicodedata.normalize("NFC", " ".join("".join(shown).split()))
    return joined if any(map(_is_drawn, joined)) else ""


def resemble(one: str, other: str) -> bool:
    """Whether a person might take one name for the other. No name resembles an empty one."""
    looks = _looks_of(one)
    return bool(looks) and looks == _looks_of(other)


def told_apart(name: str, peer_id: PeerId, others: Iterable[str]) -> str:
    """``name``, with a mark of its own when it resembles one of ``others``."""
    if any(resemble(name, other) for other in others):
        return f"{name} (contact {peer_id.hex()[:MARK_DIGITS]})"
    return name


def _is_drawn(character: str) -> bool:
    """Whether there is something to see of it alone: marks, such as the one that asks for a coloured emoji, need not
    be."""
    return character not in _JOINERS and not character.isspace() and not unicodedata.category(character).startswith("M")


def _looks_of(name: str) -> str:
    """What is seen at a glance: without case, marks, spaces and punctuation, look-alikes as the Latin letter."""
    plain = unicodedata.normalize("NFKD", presentable(name)).translate(_LOOK_ALIKE).casefold().translate(_LOOK_ALIKE)
    return "".join(character for character in plain if character.isalnum()).replace("rn", "m").replace("vv", "w")
