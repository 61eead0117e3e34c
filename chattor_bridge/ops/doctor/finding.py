"""What an examination finds: one thing that was looked at, how it is, and what mends it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from chattor_bridge.errors import ChattorError, ConfigError


class Verdict(StrEnum):
    """How a thing is."""

    FINE = "fine"
    WARNING = "warning"  # it works, and will not for ever, or not for everything
    PROBLEM = "problem"  # it does not work until it is mended


@dataclass(frozen=True, slots=True)
class Finding:
    """``check`` is the short name of what was looked at; ``what`` and ``mend`` are a line each for a person, ``mend``
    empty where there is nothing to mend. No text in it is a secret."""

    check: str
    verdict: Verdict
    what: str
    mend: str = ""


def fine(check: str, what: str) -> Finding:
    return Finding(check, Verdict.FINE, what)


def warning(check: str, what: str, mend: str) -> Finding:
    return Finding(check, Verdict.WARNING, what, mend)


def problem(check: str, what: str, mend: str) -> Finding:
    return Finding(check, Verdict.PROBLEM, what, mend)


def from_error(check: str, error: ChattorError) -> Finding:
    """A problem that an error of ours describes: its message says what is wrong and, after a colon, what to do; that of
    a wrong option says what to do behind a semicolon, if it is anything else than to correct it."""
    if isinstance(error, ConfigError):
        what, _, mend = str(error).partition("; ")
        return problem(check, what, mend or "correct that option")
    what, _, mend = str(error).partition(": ")
    return problem(check, what, mend)
