"""Randomness that does not come through the ports, seeded for as long as a world runs.

Nodes and protocol draw every byte from the `RandomBytes` they are given, with one exception: OpenSSL encapsulates with
randomness of its own. What storage draws (nonces of sealed columns, the identity of a database) stays as it is: nothing
that happens depends on it.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from unittest.mock import patch

from cryptography.hazmat.primitives.asymmetric.mlkem import MLKEM768PublicKey
from kyber_py.ml_kem import ML_KEM_768  # type: ignore[import-untyped]

from chattor_bridge.protocol import primitives

_MESSAGE = 32


@contextmanager
def seeded_encapsulation(seed: int) -> Iterator[None]:
    """ML-KEM-768 by another implementation, which lets itself be told what to draw."""
    source = random.Random(f"encapsulation {seed}")

    class Seeded:
        def __init__(self, public: bytes) -> None:
            self._public = public

        @classmethod
        def from_public_bytes(cls, public: bytes) -> Seeded:
            MLKEM768PublicKey.from_public_bytes(public)  # raises what the node expects
            return cls(public)

        def encapsulate(self) -> tuple[bytes, bytes]:
            secret, ciphertext = ML_KEM_768._encaps_internal(self._public, source.randbytes(_MESSAGE))
            return secret, ciphertext

    with patch.object(primitives, "MLKEM768PublicKey", Seeded):
        yield
