"""docs/protocol/friend-code.md."""

from __future__ import annotations

from base64 import b32encode
from binascii import crc_hqx
from contextlib import suppress
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import FriendCodeError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.friendcode import PREFIX, FriendCode
from chattor_bridge.protocol.primitives import ed25519_public
from tests.protocol.sources import onion_key

_ALPHABET = "abcdefghijklmnopqrstuvwxyz234567"
_CODE = FriendCode(onion_key("door"))
_TEXT = _CODE.encode()
_CHARACTERS = _TEXT.removeprefix(PREFIX)
_ONE_TIME = FriendCode.of_door(onion_key("door"), bytes(range(16)))
_ONE_TIME_CHARACTERS = _ONE_TIME.encode().removeprefix(PREFIX)


def _with_checksum(payload: bytes) -> str:
    data = payload + crc_hqx(payload, 0xFFFF).to_bytes(2, "big")
    return b32encode(data).decode().rstrip("=").lower()


@given(st.binary(min_size=32, max_size=32))
def test_a_code_is_58_characters_and_reads_back(seed: bytes) -> None:
    code = FriendCode(OnionKey(ed25519_public(seed)))
    text = code.encode()
    assert text.startswith("chattor:")
    assert len(text) == len("chattor:") + 58
    assert FriendCode.parse(text) == code


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_a_one_time_code_is_84_characters_and_reads_back(seed: bytes, secret: bytes) -> None:
    code = FriendCode.of_door(OnionKey(ed25519_public(seed)), secret)
    text = code.encode()
    assert len(text) == len("chattor:") + 84
    assert FriendCode.parse(text.upper()) == code
    assert code.payload == b"\x01" + code.door + b"\x01"  # what is said in the open has no secret in it


def test_the_key_of_a_one_time_door_comes_from_secret_and_door() -> None:
    other_secret = FriendCode.of_door(_ONE_TIME.door, bytes(16))
    other_door = FriendCode.of_door(onion_key("other"), _ONE_TIME.secret)
    keys = {_ONE_TIME.auth_key, other_secret.auth_key, other_door.auth_key}
    assert len(keys) == 3
    assert _CODE.auth_key is None


@pytest.mark.parametrize(
    "typed",
    [
        _TEXT,
        _CHARACTERS,
        _TEXT.upper(),
        f"  {_TEXT}\n",
        " ".join(_TEXT),
        "Chattor: " + "\r\n".join(_CHARACTERS[i : i + 8] for i in range(0, 58, 8)),
        _CHARACTERS[:20] + "\u00a0\t" + _CHARACTERS[20:],
    ],
)
def test_spellings_people_use(typed: str) -> None:
    assert FriendCode.parse(typed) == _CODE


@pytest.mark.parametrize("code", [_CHARACTERS, _ONE_TIME_CHARACTERS], ids=["58", "84"])
def test_every_single_wrong_character_is_caught(code: str) -> None:
    for at, wrong in product(range(len(code)), _ALPHABET):
        if wrong != code[at]:
            with pytest.raises(FriendCodeError):
                FriendCode.parse(code[:at] + wrong + code[at + 1 :])


@pytest.mark.parametrize("code", [_CHARACTERS, _ONE_TIME_CHARACTERS], ids=["58", "84"])
def test_every_swap_of_neighbours_is_caught(code: str) -> None:
    for at in range(len(code) - 1):
        first, second = code[at], code[at + 1]
        if first != second:
            with pytest.raises(FriendCodeError):
                FriendCode.parse(code[:at] + second + first + code[at + 2 :])


@pytest.mark.parametrize(("size", "characters", "spare"), [(36, 58, 2), (52, 84, 4)])
def test_the_checksum_catches_both_in_every_code_there_is(size: int, characters: int, spare: int) -> None:
    """A CRC is linear: an error goes unnoticed in one code exactly when its pattern of changed bits is itself a
    codeword of the CRC without start value, in all codes alike. So it is enough to try every pattern."""

    def passes(pattern: int) -> bool:
        """Whether these bits of change leave a right checksum and zero spare bits."""
        if pattern & ((1 << spare) - 1):
            return False
        data = (pattern >> spare).to_bytes(size, "big")
        return crc_hqx(data[:-2], 0) == int.from_bytes(data[-2:], "big")

    assert passes(0)
    for at, change in product(range(characters), range(1, 32)):
        assert not passes(change << 5 * at)  # one character
    for at, change in product(range(characters - 1), range(1, 32)):
        assert not passes((change << 5 | change) << 5 * at)  # two neighbours swapped: both change alike
    # and two unequal characters that change at once, if they are neighbours
    for at, one, two in product(range(characters - 1), range(1, 32), range(1, 32)):
        assert not passes((one << 5 | two) << 5 * at)


@pytest.mark.parametrize(
    ("typed", "why"),
    [
        ("", "letters and the digits"),
        ("chattor:", "letters and the digits"),
        ("hello, world", "letters and the digits"),
        (_CHARACTERS[:-1] + "1", "letters and the digits"),
        ("\u017f" + _CHARACTERS[1:], "characters that no friend code has"),
        (_CHARACTERS[:-1], "57 characters instead of 58"),
        (_CHARACTERS + "a", "59 characters instead of 58"),
        (_CHARACTERS[:40], "40 characters instead of 58"),
        ("a", "it has 1 character instead of 58"),
        (_CHARACTERS * 2, "116 characters instead of 58"),
        (_CHARACTERS * 5, "too long"),
        ("a" * 58, "mistake"),
        (_CHARACTERS[:-1] + _ALPHABET[_ALPHABET.index(_CHARACTERS[-1]) | 1], "mistake"),
    ],
)
def test_what_is_no_code(typed: str, why: str) -> None:
    with pytest.raises(FriendCodeError, match=why) as caught:
        FriendCode.parse(typed)
    assert _CHARACTERS[:12] not in str(caught.value)


@pytest.mark.parametrize(
    ("payload", "why"),
    [
        (b"\x02" + _CODE.door + b"\x00", "of a version this program does not know"),
        (b"\x02" + bytes(60), "of a version this program does not know"),
        (b"\x00" + _CODE.door + b"\x00", "of a version this program does not know"),
        (b"\x01" + _CODE.door + b"\x01", "damaged"),
        (b"\x01" + _CODE.door + b"\x01" + bytes(15), "damaged"),
        (b"\x01" + _CODE.door + b"\x01" + bytes(17), "damaged"),
        (b"\x01" + _CODE.door + b"\x03" + bytes(16), "something this program does not know"),
        (b"\x01" + bytes(32) + b"\x01" + bytes(16), "damaged"),
        (b"\x01" + _CODE.door + b"\x02", "something this program does not know"),
        (b"\x01" + _CODE.door + b"\x00" + bytes(16), "damaged"),
        (b"\x01" + _CODE.door[:10], "damaged"),
        (b"\x01" + _CODE.door, "damaged"),  # without flags, which are not to be taken for none
        (b"\x01" + bytes(32) + b"\x00", "damaged"),  # a point of small order
        (b"\x01" + b"\xff" * 32 + b"\x00", "damaged"),  # not canonical
        (b"\x01\x01" + bytes(31) + b"\x00", "damaged"),  # the neutral element
    ],
)
def test_codes_we_cannot_use_say_why(payload: bytes, why: str) -> None:
    with pytest.raises(FriendCodeError, match=why):
        FriendCode.parse(_with_checksum(payload))


@given(st.text(max_size=300))
def test_no_text_does_anything_else(text: str) -> None:
    with suppress(FriendCodeError):
        FriendCode.parse(text)
