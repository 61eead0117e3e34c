"""Encrypting and decrypting a file while it passes, as Matrix does it: AES-256-CTR, and SHA-256 over what comes out.

The counter is the last 8 bytes of its block. Libraries disagree on what follows its last value (some go on in the first
8 bytes, as `cryptography` does, some begin at zero), so a file whose counter would get there is refused. Nobody who
follows the specification makes one: the counter begins at zero.
"""

from __future__ import annotations

import hashlib
import secrets

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from chattor_bridge.bridge.attachment import COUNTER_BYTES, KEY_BYTES, AttachmentKey
from chattor_bridge.errors import Undecryptable

BLOCK = 16
"""Bytes of one AES block."""

_COUNTS = 1 << 64


class Sealing:
    """Encrypts one file under a key of its own."""

    def __init__(self) -> None:
        self._key = secrets.token_bytes(KEY_BYTES)
        self._counter = secrets.token_bytes(COUNTER_BYTES // 2) + bytes(COUNTER_BYTES // 2)
        self._cipher = Cipher(algorithms.AES(self._key), modes.CTR(self._counter)).encryptor()
        self._hash = hashlib.sha256()

    def update(self, piece: bytes) -> bytes:
        sealed = self._cipher.update(piece)
        self._hash.update(sealed)
        return sealed

    def finish(self) -> AttachmentKey:
        """What it takes to read all that was encrypted."""
        return AttachmentKey(self._key, self._counter, self._hash.digest())


class Opening:
    """Decrypts one file from byte ``at`` on, a multiple of `BLOCK`. Only from the start can it be told whether it is
    the file that was encrypted."""

    def __init__(self, key: AttachmentKey, at: int = 0) -> None:
        first = int.from_bytes(key.counter[8:]) + at // BLOCK
        self._left = (_COUNTS - first) * BLOCK
        counter = key.counter[:8] + (first % _COUNTS).to_bytes(8)
        self._cipher = Cipher(algorithms.AES(key.key), modes.CTR(counter)).decryptor()
        self._hash = hashlib.sha256() if at == 0 else None
        self._expected = key.sha256

    def update(self, piece: bytes) -> bytes:
        """Raises: Undecryptable."""
        self._left -= len(piece)
        if self._left < 0:
            raise Undecryptable("its counter runs over")
        if self._hash is not None:
            self._hash.update(piece)
        return self._cipher.update(piece)

    def finish(self) -> None:
        """Raises: Undecryptable when this is not what was encrypted."""
        if self._hash is not None and self._hash.digest() != self._expected:
            raise Undecryptable("its file at the homeserver is not the one it was sent with")
