"""The keys of a knock (docs/protocol/knock.md, Key agreement).

::

    transcript = H(code, hello, door message, header)
    root       = HKDF(DH(I_a,E_d) || DH(E_a,I_d) || DH(E_a,E_d) || KEM secret || code secret, info = transcript)

X3DH's shape with the signed prekey made fresh for every stream, and PQXDH's KEM beside it. The door is authentic
through its signature and I_d, the knocker's claim to I_a through DH(I_a,E_d), without any signature that would prove
to a third party that they talked. Everything either side said before the sealed part is in the transcript, and the
sealed part opens only under a key that grew from it: nothing in between can be changed, taken from another stream, or
shown to another door.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import NoCommonVersion
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.limits import RECEIPT_SIZE
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import NONCE_SIZE, TAG_SIZE, aead_open, aead_seal, hash256, hkdf, labelled

_ZERO_NONCE: Final = bytes(NONCE_SIZE)
"""Each key of a knock seals one message in its life."""

_STATUS: Final = re.compile(r"[a-z-]{1,32}", re.ASCII)


def choose_version(ours: tuple[int, ...], theirs: tuple[int, ...]) -> int:
    """The highest version both speak; both sides compute it, so neither can be talked down.

    Raises: NoCommonVersion.
    """
    common = set(ours) & set(theirs)
    if not common:
        raise NoCommonVersion("this door's program and ours speak no common version; the older one needs an update")
    return max(common)


def transcript_hash(code: FriendCode, hello: bytes, door_message: bytes, header: bytes) -> bytes:
    """32 bytes over everything said in the open, as it was sent, and over which code it was said at."""
    return hash256("knock-transcript", code.payload, hello, door_message, header)


def derive_root(
    transcript: bytes, static_dh: bytes, identity_dh: bytes, ephemeral_dh: bytes, kem_secret: bytes, code_secret: bytes
) -> bytes:
    """Four secrets of 32 bytes each, and the 16 of a one-time code or none, which the flags in the transcript tell;
    nobody who lacks one of them knows the root."""
    secrets = static_dh + identity_dh + ephemeral_dh + kem_secret + code_secret
    return hkdf(secrets, label="knock-root", info=[transcript])


def hash_knock(header: bytes, sealed: bytes) -> bytes:
    """32 bytes over a whole knock but its stamp."""
    return hash256("knock", header, sealed)


def seal_introduction(root: bytes, transcript: bytes, introduction: bytes) -> bytes:
    """The sealed part of a knock, from the padded introduction."""
    return aead_seal(hkdf(root, label="knock-key"), _ZERO_NONCE, introduction, labelled("knock-sealed", [transcript]))


def open_introduction(root: bytes, transcript: bytes, sealed: bytes) -> bytes:
    """The padded introduction. Raises: AuthenticationFailed when the knocker does not hold what it claims."""
    return aead_open(hkdf(root, label="knock-key"), _ZERO_NONCE, sealed, labelled("knock-sealed", [transcript]))


@dataclass(frozen=True, slots=True)
class ReceiptKey:
    """What a door authenticates its one receipt with."""

    key: bytes
    ad: bytes

    @classmethod
    def derive(cls, root: bytes, transcript: bytes, knock_hash: bytes) -> ReceiptKey:
        return cls(hkdf(root, label="receipt-key"), labelled("receipt", [transcript, knock_hash]))

    def seal(self, status: str) -> bytes:
        """The receipt message. Raises: ValueError when ``status`` is not a word of ``a-z -``, 32 at most."""
        if not _STATUS.fullmatch(status):
            raise ValueError("the status of a receipt is a word")
        padded = pad(cbor.encode({"status": status}), RECEIPT_SIZE)
        return cbor.encode({"receipt": aead_seal(self.key, _ZERO_NONCE, padded, self.ad)})

    def open(self, message: bytes) -> str:
        """The status. Raises: AuthenticationFailed, MalformedData."""
        sealed = cbor.Fields(cbor.decode(message), "receipt").bytes("receipt", length=RECEIPT_SIZE + TAG_SIZE)
        opened = unpad(aead_open(self.key, _ZERO_NONCE, sealed, self.ad))
        fields = cbor.Fields(cbor.decode(opened), "receipt")
        status = fields.text("status", at_most=RECEIPT_SIZE)
        if not _STATUS.fullmatch(status):
            raise fields.wrong("status")
        return status
