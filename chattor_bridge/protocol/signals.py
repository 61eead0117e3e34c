"""Signals: what is not worth keeping. Implements docs/protocol/link.md, "Signals".

A signal is the body of a signal frame: one deterministic CBOR map with text keys, of which ``type`` says what it is. It
is said on the live link alone, never stored and never said again. Whatever a reader does not know or cannot read it
passes over, for nothing depends on a signal.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import ClassVar

from chattor_bridge.errors import MalformedData
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import MAX_EVENT_TYPE, SIGNAL_BURST, SIGNAL_PAUSE


@dataclass(frozen=True, slots=True)
class Typing:
    """The sender's person is writing, or has stopped. Holds for `TYPING_LIFETIME` unless it is said again."""

    TYPE: ClassVar = "typing"
    on: bool


class Here(StrEnum):
    """Whether a person is there."""

    ONLINE = "online"
    AWAY = "away"  # there a while ago, and perhaps soon again
    OFFLINE = "offline"
    UNKNOWN = "unknown"  # it is not told, or not any more


@dataclass(frozen=True, slots=True)
class Presence:
    """Whether the sender's person is there. Holds until the next one, or the end of the link."""

    TYPE: ClassVar = "presence"
    state: Here


Signal = Typing | Presence


def encode_signal(signal: Signal) -> bytes:
    """The body of a signal frame."""
    match signal:
        case Typing(on):
            return cbor.encode({"type": Typing.TYPE, "on": on})
        case Presence(state):
            return cbor.encode({"type": Presence.TYPE, "state": state.value})


def read_signal(data: bytes) -> Signal | None:
    """The signal in the body of a signal frame, None for what is to be passed over."""
    try:
        fields = Fields(cbor.decode(data), "signal")
        match fields.text("type", at_most=MAX_EVENT_TYPE):
            case Typing.TYPE:
                return Typing(fields.boolean("on"))
            case Presence.TYPE:
                return Presence(Here(fields.text("state", at_most=MAX_EVENT_TYPE)))
    except (MalformedData, ValueError):  # ValueError: a state of a later version
        pass
    return None


class SignalAllowance:
    """How many of a friend's signals are looked at: `SIGNAL_BURST` at once, then two for each `SIGNAL_PAUSE`, twice
    what a friend says who keeps to the rules."""

    def __init__(self, now: float) -> None:
        """``now`` in seconds of a monotonic clock, as for `take`."""
        self._left = float(SIGNAL_BURST)
        self._at = now

    def take(self, now: float) -> bool:
        """Whether the next one is."""
        self._left = min(SIGNAL_BURST, self._left + (now - self._at) * 2 / SIGNAL_PAUSE)
        self._at = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
