"""The looks of what is painted, in Rich's words. Nothing is told by colour alone: each has a sign or a place too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Ink:
    """A style for each role, blue and orange for the two sides, because everybody tells these apart."""

    mine: str = "bold #5fafff"
    friend: str = "bold #ffaf5f"
    faint: str = "dim"
    heading: str = "bold underline"
    title: str = "bold"
    code: str = "#d7af5f"
    quote: str = "dim"
    link: str = "underline"
    note: str = "italic"
    warning: str = "bold reverse"
    chosen: str = "reverse"


DARK = Ink()
LIGHT = Ink(mine="bold #005faf", friend="bold #af5f00", code="#875f00")
