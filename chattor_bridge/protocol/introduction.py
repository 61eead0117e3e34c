"""What a knocker says of itself, inside the sealed part of a knock (docs/protocol/knock.md, Introduction)."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.limits import INTRODUCTION_SIZE, MAX_NAME, MAX_NOTE
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS
from chattor_bridge.protocol.offer import read_capabilities, read_versions
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import KEY_SIZE, is_ed25519_key
from chattor_bridge.protocol.ratchet import HEADER_SIZE, RatchetMessage

_MAX_FIRST_MESSAGE = 128  # bytes: the first ratchet message is 45
_NOTE_CONTROLS = "\n\t"


@dataclass(frozen=True, slots=True)
class Introduction:
    """``name`` is 1 to 64 bytes of UTF-8 without control characters; ``note`` up to 1,000, line breaks and tabs
    allowed. ``onion`` is what the knocker hosts for this friendship. ``versions`` ascend, ``capabilities`` are sorted.
    """

    name: str
    note: str
    onion: OnionKey
    capabilities: tuple[str, ...] = CAPABILITIES
    versions: tuple[int, ...] = PROTOCOL_VERSIONS

    def encode(self, first: RatchetMessage) -> bytes:
        """With the first ratchet message, padded to 4,096 bytes.

        Raises: MalformedData when a friend's node would refuse it; callers check names and notes when they are typed.
        """
        encoded = cbor.encode(
            {
                "name": self.name,
                "note": self.note,
                "onion": self.onion,
                "versions": self.versions,
                "capabilities": self.capabilities,
                "ratchet": [first.header, first.ciphertext],
            }
        )
        _read(encoded)
        return pad(encoded, INTRODUCTION_SIZE)


def read_introduction(padded: bytes) -> tuple[Introduction, RatchetMessage]:
    """What `Introduction.encode` made. Raises: MalformedData."""
    if len(padded) != INTRODUCTION_SIZE:
        raise MalformedData("an introduction has the wrong size")
    return _read(unpad(padded))


def _read(encoded: bytes) -> tuple[Introduction, RatchetMessage]:
    fields = cbor.Fields(cbor.decode(encoded), "introduction")
    name = fields.text("name", at_most=MAX_NAME)
    note = fields.text("note", at_most=MAX_NOTE)
    onion = fields.bytes("onion", length=KEY_SIZE)
    if not name or _has_controls(name):
        raise fields.wrong("name")
    if _has_controls(note, _NOTE_CONTROLS):
        raise fields.wrong("note")
    if not is_ed25519_key(onion):
        raise fields.wrong("onion")
    match fields.raw("ratchet"):
        case [bytes(header), bytes(ciphertext)] if len(header) == HEADER_SIZE and len(ciphertext) <= _MAX_FIRST_MESSAGE:
            first = RatchetMessage(header, ciphertext)
        case _:
            raise fields.wrong("ratchet")
    return Introduction(name, note, OnionKey(onion), read_capabilities(fields), read_versions(fields)), first


def _has_controls(text: str, allowed: str = "") -> bool:
    return any(unicodedata.category(character) == "Cc" and character not in allowed for character in text)
