"""What may be logged: never what somebody wrote."""

from __future__ import annotations

import logging
import traceback


def without_content(error: BaseException) -> str:
    """The type and the places of an error, without its message, which may quote a request or a text."""
    places = traceback.extract_tb(error.__traceback__)
    return f"{type(error).__name__} at " + ", ".join(f"{place.filename}:{place.lineno}" for place in places)


def hush_mautrix() -> None:
    """Hold mautrix's loggers above DEBUG, whatever the level of the root: at DEBUG they print requests whole."""
    logging.getLogger("mau").setLevel(logging.INFO)
    logging.getLogger("mau.crypto").setLevel(logging.ERROR)  # it names people and their devices below that
