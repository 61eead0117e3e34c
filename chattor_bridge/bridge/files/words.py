"""What the bot says of files."""

from __future__ import annotations

from chattor_bridge.bridge.content import literal
from chattor_bridge.counting import sized
from chattor_bridge.node.filedesk import in_words
from chattor_bridge.node.records import Transfer, TransferState
from chattor_bridge.node.views import TransferInfo

HAS_COME = "✅ {name} has come."
WAS_SENT = "✅ Your friend has {name}."
FAILED = "⚠ {name} {reason}."


def called(name: str) -> str:
    """A file's name within a CommonMark text."""
    return f"“{literal(name)}”"


def how_far(one: TransferInfo) -> str:
    """What is said of a file that is on its way."""
    way = "Sending" if one.outgoing else "Fetching"
    percent = 100 * one.done // one.size if one.size else 0
    waits = f" ({literal(one.reason)})" if one.reason and not one.streams else ""
    return f"⏳ {way} {called(one.name)}: {percent} % of {sized(one.size)}{waits}"


def outcome(one: Transfer) -> str | None:
    """What is said of a file that is not on its way any more; ``None`` for one that is."""
    name = called(one.name)
    match one.state:
        case TransferState.ARRIVED:
            return HAS_COME.format(name=name)
        case TransferState.DONE:
            return (WAS_SENT if one.outgoing else HAS_COME).format(name=name)
        case TransferState.FAILED:
            return FAILED.format(name=name, reason=literal(in_words(one.reason)))
        case _:
            return None
