"""What both programs log, and what no log ever holds.

Our own code does not log message texts, friend codes, onion addresses, tokens or keys. This module is the net below
that rule: libraries' debug lines (mautrix prints request bodies, aiosqlite the parameters of statements) never pass,
errors of libraries are logged without their message, what looks like a code, an address or a key is blotted out, and no
place in the code fills a disk.
"""

from __future__ import annotations

import logging
import re
import sys
import traceback
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

from chattor_bridge.errors import ChattorError

PACKAGE = "chattor_bridge"
_PACKAGE_DIRECTORY = str(Path(__file__).parent)

BLOT = "[hidden]"

LINES_AT_ONCE = 20
LINES_WITHIN = 60.0
"""Lines and seconds: a third of a line a second from one place in the code is as much as anybody reads, and a few
megabytes a day."""

_SECRET_SHAPES = re.compile(
    r"chattor:[a-z2-7\s]{20,}"  # a friend code
    r"|\b[a-z2-7]{52,}(?:\.onion)?\b"  # one without its prefix; an onion address; a key in base32
    r"|\b[0-9a-f]{64,}\b"  # a key in hexadecimal
    r"|\b[A-Za-z0-9+/]{40,}="  # a key in base64
    r"|\b[A-Za-z0-9+_-]{43,}"  # one without padding, or a token; paths have slashes or dots in between
    r"|\bsy[ta]_[A-Za-z0-9_]+"  # Synapse's tokens
    r"|(?<=access_token=)[^\s&]+",
    re.IGNORECASE,
)

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u2028\u2029]")


class SafeFormatter(logging.Formatter):
    """One line a record, then the places of an error's traceback. ``secrets`` are this run's own, blotted out too."""

    def __init__(self, secrets: Collection[str] = ()) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s")
        self._secrets = sorted((secret for secret in secrets if secret), key=len, reverse=True)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        record.message = self._cleaned(record.message)
        if left_out := getattr(record, "left_out", 0):
            record.message += f" ({left_out} more lines like this were left out)"
        return super().formatMessage(record)

    def formatException(self, ei: object) -> str:  # noqa: N802 - logging's name
        """Types and places only: a library's message may quote what it was given."""
        assert isinstance(ei, tuple)
        lines: list[str] = []
        error, seen = ei[1], set()
        while isinstance(error, BaseException) and id(error) not in seen:
            seen.add(id(error))
            message = f": {error}" if isinstance(error, ChattorError) else ""
            lines.append(self._cleaned(f"{type(error).__module__}.{type(error).__qualname__}{message}"))
            lines.extend(
                f"  {place.filename}:{place.lineno} in {place.name}"
                for place in traceback.extract_tb(error.__traceback__)
            )
            if isinstance(error, BaseExceptionGroup):
                lines.extend(self.formatException((type(each), each, None)) for each in error.exceptions)
            error = error.__cause__ or error.__context__
        return "\n".join(lines)

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        return self._cleaned(stack_info)

    def _cleaned(self, text: str) -> str:
        for secret in self._secrets:
            text = text.replace(secret, BLOT)
        text = _SECRET_SHAPES.sub(BLOT, text)
        return _CONTROLS.sub(lambda match: match[0].encode("unicode_escape").decode(), text)


class Sparing(logging.Filter):
    """Lets each place in the code log `LINES_AT_ONCE` lines in any `LINES_WITHIN` seconds; of the rest the next line
    says how many they were. Whoever can make a program log, a stranger at a door, say, must not fill its disk."""

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[tuple[str, int], _Place] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if record.levelno < logging.INFO:  # whoever asks for all detail gets it
            return True
        place = self._places.setdefault((record.pathname, record.lineno), _Place())
        if record.created - place.since >= LINES_WITHIN or record.created < place.since:
            place.since, place.lines = record.created, 0
        place.lines += 1
        if place.lines > LINES_AT_ONCE:
            place.left_out += 1
            return False
        record.left_out, place.left_out = place.left_out, 0
        return True


@dataclass
class _Place:
    """``lines`` since ``since``, in seconds since the epoch, and ``left_out`` lines that nobody was told of yet."""

    since: float = 0.0
    lines: int = 0
    left_out: int = 0


class NoForeignDetail(logging.Filter):
    """Below INFO only this project speaks, whatever logger a library was given."""

    def filter(self, record: logging.LogRecord) -> bool:
        return record.levelno >= logging.INFO or record.pathname.startswith(_PACKAGE_DIRECTORY)


def set_up_logging(level: str, secrets: Collection[str] = (), stream: TextIO | None = None) -> None:
    """Send this process's log to ``stream`` (standard error), from ``level`` on, in place of earlier set-ups."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(SafeFormatter(secrets))
    handler.addFilter(NoForeignDetail())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(max(logging.INFO, logging.getLevelNamesMapping()[level]))
    logging.getLogger(PACKAGE).setLevel(level)
    # a line for every request of the homeserver says nothing, and its address may carry a token
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)
