"""Columns closed under the store key.

A sealed value is ``format (1 byte) | nonce (24) | XChaCha20-Poly1305(value)``, with the table, the column and the key
of the row as associated data: a value put into another place does not open there. Nonces are random, and at 192 bits no
number of messages makes two of them meet. The key is derived from the store key and the random identity of the
database, so a key file shared by two databases does not let values move between them.

What this cannot hide: which rows there are, how long their values are, and that a whole row was put back as it was.
"""

from __future__ import annotations

import json
import secrets
from typing import Any

import nacl.exceptions
import nacl.secret
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from chattor_bridge.errors import DatabaseUnusable, WrongStoreKey
from chattor_bridge.storage.key import KEY_LENGTH, StoreKey

FORMAT = b"\x01"

IDENTITY_LENGTH = 16
"""Bytes of a database's random identity."""

LENGTH_PREFIX = 4
"""Bytes before each part of the associated data, so that no two places share one encoding."""

Part = bytes | str | int
"""What identifies a row."""


class Sealer:
    """Seals and opens the values of one database."""

    def __init__(self, key: StoreKey, identity: bytes) -> None:
        self._box = nacl.secret.Aead(derive(key, b"chattor/v1/store/values", identity))

    def seal(self, value: bytes, table: str, column: str, *row: Part) -> bytes:
        """Close ``value`` for this place. ``row`` is what identifies the row, and never changes."""
        return FORMAT + bytes(self._box.encrypt(value, _place(table, column, row)))

    def open(self, sealed: bytes, table: str, column: str, *row: Part) -> bytes:
        """The value again. Raises: DatabaseUnusable when it was not sealed for this place."""
        try:
            if sealed[:1] != FORMAT:
                raise ValueError("unknown format")
            return self._box.decrypt(sealed[1:], _place(table, column, row))
        except (nacl.exceptions.CryptoError, ValueError):
            raise DatabaseUnusable(
                f"the database was changed by something else: {table}.{column} does not open; restore a backup"
            ) from None

    def seal_text(self, value: str, table: str, column: str, *row: Part) -> bytes:
        """As `seal`, for any text, lone surrogates (as undecodable arguments of a program contain them) included."""
        return self.seal(value.encode("utf-8", "surrogatepass"), table, column, *row)

    def open_text(self, sealed: bytes, table: str, column: str, *row: Part) -> str:
        return self.open(sealed, table, column, *row).decode("utf-8", "surrogatepass")

    def seal_json(self, value: dict[str, Any], table: str, column: str, *row: Part) -> bytes:
        return self.seal(json.dumps(value, separators=(",", ":")).encode("ascii"), table, column, *row)

    def open_json(self, sealed: bytes, table: str, column: str, *row: Part) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.open(sealed, table, column, *row))
        return value


def new_key_check(key: StoreKey) -> tuple[bytes, bytes]:
    """For a new database: its identity, and the value by which a wrong key is noticed at the next start."""
    identity = secrets.token_bytes(IDENTITY_LENGTH)
    return identity, FORMAT + bytes(_check_box(key).encrypt(identity, b"key check"))


def identity_from_key_check(key: StoreKey, check: bytes) -> bytes:
    """The identity of a database. Raises: WrongStoreKey."""
    try:
        return _check_box(key).decrypt(check[1:], b"key check")
    except (nacl.exceptions.CryptoError, ValueError):
        raise WrongStoreKey(
            "this store key does not open this database: use the key file that was made with it"
        ) from None


def _check_box(key: StoreKey) -> nacl.secret.Aead:
    return nacl.secret.Aead(derive(key, b"chattor/v1/store/check", b""))


def derive(key: StoreKey, label: bytes, salt: bytes) -> bytes:
    """A key for one purpose, named by the label."""
    return HKDF(algorithm=SHA256(), length=KEY_LENGTH, salt=salt, info=label).derive(key.secret)


def _place(table: str, column: str, row: tuple[Part, ...]) -> bytes:
    encoded = (part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogatepass") for part in row)
    parts = (b"chattor/v1/store", table.encode(), column.encode(), *encoded)
    return b"".join(len(part).to_bytes(LENGTH_PREFIX, "big") + part for part in parts)
