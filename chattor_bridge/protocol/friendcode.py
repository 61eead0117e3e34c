"""Friend codes: what one person hands another (docs/protocol/friend-code.md).

A code is 36 bytes as 58 characters of lower-case base32 behind ``chattor:``: version, the door's Ed25519 key, flags,
CRC-16; a one-time code has a secret of 16 bytes before the CRC, which makes 84 characters. It is typed and read out
loud, so the checksum must catch what people do: one wrong character is a burst of at most 5 bits and two neighbours
swapped a burst of at most 10, and a CRC of 16 bits catches every burst of up to 16.
"""

from __future__ import annotations

import re
from base64 import b32decode, b32encode
from binascii import crc_hqx
from dataclasses import dataclass
from typing import Final

from chattor_bridge.counting import counted
from chattor_bridge.errors import FriendCodeError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.limits import MAX_CODE_TEXT
from chattor_bridge.protocol.primitives import KEY_SIZE, hkdf, is_ed25519_key

VERSION: Final = 1
PREFIX: Final = "chattor:"
FLAG_ONE_TIME: Final = 0x01
"""The code carries a secret after the flags."""

SECRET_SIZE: Final = 16
"""Bytes of the secret of a one-time code."""

_CRC_SIZE = 2
_CRC_START = 0xFFFF  # with polynomial 0x1021, as in CRC-16/IBM-3740
_OPEN_SIZE = 1 + KEY_SIZE + 1
_CHARACTERS = 58  # 36 bytes are 288 bits; 58 characters hold 290, the last two are zero
_CHARACTERS_ONE_TIME = 84  # 52 bytes are 416 bits; 84 characters hold 420, the last four are zero
_ALPHABET = re.compile(r"[a-z2-7]+")


@dataclass(frozen=True, slots=True)
class FriendCode:
    """Where to knock: ``door`` is the onion key behind the code, ``secret`` the 16 bytes of a one-time code or none."""

    door: OnionKey
    flags: int = 0
    version: int = VERSION
    secret: bytes = b""

    @classmethod
    def of_door(cls, door: OnionKey, secret: bytes = b"") -> FriendCode:
        """The code of a door: with its secret, if it has one, a one-time code."""
        return cls(door, FLAG_ONE_TIME if secret else 0, secret=secret)

    @property
    def payload(self) -> bytes:
        """Version, door key and flags, 34 bytes: what the knock's transcript binds. The secret is none of it."""
        return bytes([self.version]) + self.door + bytes([self.flags])

    @property
    def auth_key(self) -> bytes | None:
        """The X25519 private key, 32 bytes, that opens the descriptor of a one-time code's door; None for others."""
        return hkdf(self.secret, label="door-auth", info=[self.door]) if self.secret else None

    def encode(self) -> str:
        """The code as it is shown: ``chattor:`` and 58 characters, 84 for a one-time code."""
        data = self.payload + self.secret
        data += crc_hqx(data, _CRC_START).to_bytes(_CRC_SIZE, "big")
        return PREFIX + b32encode(data).decode("ascii").rstrip("=").lower()

    @classmethod
    def parse(cls, text: str) -> FriendCode:
        """Read what a person typed or pasted: any case, spaces and line breaks anywhere, prefix or none.

        Raises: FriendCodeError, whose message is for that person and never repeats the code.
        """
        if len(text) > MAX_CODE_TEXT:
            raise FriendCodeError("This is too long for a friend code.")
        characters = "".join(text.split())
        if not characters.isascii():
            raise FriendCodeError("This is not a friend code: it has characters that no friend code has.")
        characters = characters.lower().removeprefix(PREFIX)
        if not _ALPHABET.fullmatch(characters):
            raise FriendCodeError("This is not a friend code: one has only letters and the digits 2 to 7.")
        data = _from_base32(characters)
        payload, crc = data[:-_CRC_SIZE], data[-_CRC_SIZE:]
        if crc_hqx(payload, _CRC_START).to_bytes(_CRC_SIZE, "big") != crc:
            raise FriendCodeError(_mistyped(characters))
        return cls._read(payload)

    @classmethod
    def _read(cls, payload: bytes) -> FriendCode:
        """Judge a payload whose checksum is right."""
        if payload[0] != VERSION:
            raise FriendCodeError("This friend code is of a version this program does not know. Update the program.")
        flags = payload[1 + KEY_SIZE] if len(payload) > 1 + KEY_SIZE else 0
        if flags & ~FLAG_ONE_TIME:
            raise FriendCodeError("This friend code asks for something this program does not know. Update the program.")
        door, secret = payload[1 : 1 + KEY_SIZE], payload[_OPEN_SIZE:]
        if len(payload) != _OPEN_SIZE + (SECRET_SIZE if flags else 0) or not is_ed25519_key(door):
            raise FriendCodeError("This friend code is damaged: nobody can be reached with it.")
        return cls.of_door(OnionKey(door), secret)


def _from_base32(characters: str) -> bytes:
    """Unpadded base32 whose spare bits are zero. Raises: FriendCodeError."""
    try:
        data = b32decode(characters.upper() + "=" * (-len(characters) % 8))
    except ValueError as error:
        raise FriendCodeError(_mistyped(characters)) from error
    if len(data) <= _CRC_SIZE or b32encode(data).decode("ascii").rstrip("=").lower() != characters:
        raise FriendCodeError(_mistyped(characters))
    return data


def _mistyped(characters: str) -> str:
    if len(characters) not in (_CHARACTERS, _CHARACTERS_ONE_TIME):
        return (
            f"This friend code is not complete: it has {counted(len(characters), 'character')} instead of "
            f"{_CHARACTERS}, or {_CHARACTERS_ONE_TIME} if it is a one-time code."
        )
    return "There is a mistake in this friend code. Compare it with the original, or copy it again."
