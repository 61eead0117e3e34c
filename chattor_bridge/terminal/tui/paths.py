"""Fields for paths, which complete what is typed from what is there."""

from __future__ import annotations

import asyncio
from itertools import islice
from pathlib import Path

from textual.suggester import Suggester

from chattor_bridge.terminal.tui.screens.panel import Field

MOST_LOOKED_AT = 10_000
"""Entries of a directory among which a completion is looked for: more would keep the disk busy at every key."""

MAX_PATH = 4_096
"""Characters; Linux takes as many bytes."""


class PathSuggester(Suggester):
    """The first entry, in the order of the alphabet, that begins with what was typed."""

    def __init__(self) -> None:
        super().__init__(use_cache=False, case_sensitive=True)

    async def get_suggestion(self, value: str) -> str | None:
        return await asyncio.to_thread(completed, value)


def completed(value: str) -> str | None:
    """``value`` completed by one component, or None. A directory ends in a slash."""
    typed, slash, begun = value.rpartition("/")
    try:
        directory = Path(f"{typed}{slash}" or ".").expanduser()
        entries = islice(directory.iterdir(), MOST_LOOKED_AT)
        found = min((one for one in entries if one.name.startswith(begun) and one.name.isprintable()), default=None)
        if found is None or not begun:
            return None
        return f"{typed}{slash}{found.name}{'/' if found.is_dir() else ''}"
    except (OSError, RuntimeError, ValueError):  # not there, not ours; nobody of this name; no path at all
        return None


def path_field(label: str, value: str = "") -> Field:
    """A field for a path."""
    return Field(f"{label} (the right arrow completes it)", value, most=MAX_PATH, suggester=PathSuggester())
