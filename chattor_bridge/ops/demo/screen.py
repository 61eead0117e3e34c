"""What the demo shows: stages with their times, and the conversation as it happens."""

from __future__ import annotations

import sys
import time

WIDTH = 30
"""Characters of a progress bar."""


class Screen:
    """Writes to standard output; a bar is redrawn in place on a terminal and left out elsewhere."""

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._terminal = sys.stdout.isatty()
        self._bar_shown = False

    @property
    def elapsed(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._begun

    def line(self, text: str = "") -> None:
        """A line of its own."""
        self._write(f"{self._clear()}{text}\n")

    def stage(self, text: str) -> None:
        """A line with the time it happened at."""
        self.line(f"[{self.elapsed:5.1f} s] {text}")

    def progress(self, share: float, text: str) -> None:
        """How far along something is; ``share`` from 0 to 1."""
        if not self._terminal:
            return
        full = round(share * WIDTH)
        self._write(f"{self._clear()}          [{'#' * full}{'.' * (WIDTH - full)}] {text}")
        self._bar_shown = True

    def said(self, who: str, text: str, seconds: float) -> None:
        """One message of the conversation, and how long it took to the other side."""
        self.line(f"  {seconds * 1000:6.0f} ms  {who:<16} {text.replace(chr(10), ' ⏎ ')}")

    def _clear(self) -> str:
        if not self._bar_shown:
            return ""
        self._bar_shown = False
        return "\r\x1b[2K"

    def _write(self, text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()
