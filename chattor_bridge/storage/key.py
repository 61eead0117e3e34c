"""The store key: 32 random bytes in a file of their own, without which the secrets in a database stay closed.

Keep it apart from the database and its backups: whoever has both can read what is pending and speak as its nodes.
"""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from collections.abc import Mapping
from glob import escape
from pathlib import Path
from shlex import quote

from chattor_bridge.errors import AlreadyExists, WrongStoreKey

KEY_VARIABLE = "CHATTOR_STORE_KEY"
"""The store key itself, 64 hexadecimal digits, for those who keep secrets in the environment and not in files."""

KEY_LENGTH = 32
"""Bytes; what XChaCha20-Poly1305 takes."""

FILE_MODE = 0o600
FORBIDDEN_MODE = 0o077
"""Nobody but the owner may read or write a key file, as ssh demands of its own."""

MAX_FILE_LENGTH = 200
"""Bytes read of a key file: 64 hexadecimal digits, and room for the white space an editor may add."""


MAKE = f"od -An -v -tx1 -N{KEY_LENGTH} /dev/urandom"
"""Writes a key's text form, with tools that every machine has."""


class StoreKey:
    """Opens what a database has sealed. Its text form is 64 hexadecimal digits."""

    __slots__ = ("_secret",)

    def __init__(self, secret: bytes) -> None:
        if len(secret) != KEY_LENGTH:
            raise ValueError(f"a store key has {KEY_LENGTH} bytes")
        self._secret = secret

    @property
    def secret(self) -> bytes:
        """The 32 bytes themselves."""
        return self._secret

    def __repr__(self) -> str:  # records and arguments are easily logged
        return "StoreKey()"

    @classmethod
    def parse(cls, text: str) -> StoreKey:
        """Read the text form, as an environment variable may hold it; white space around it is ignored.

        Raises: WrongStoreKey when this is not a store key.
        """
        try:
            return cls(bytes.fromhex(text))
        except ValueError:  # without a cause: that would quote the text
            raise WrongStoreKey(f"a store key is {2 * KEY_LENGTH} hexadecimal digits, and this is not one") from None

    @classmethod
    def find(cls, path: Path, environment: Mapping[str, str], database: str) -> StoreKey:
        """The key of the environment, or else of the file, for the database at this address. Raises: WrongStoreKey."""
        text = environment.get(KEY_VARIABLE)
        if text is not None:
            return cls.parse(text)
        scheme, _, file = database.partition(":")
        if scheme == "sqlite" and not os.path.lexists(file) and not os.path.lexists(path):
            raise WrongStoreKey(
                f"there is no store key at {path}, nor a database that it would open: make a new one with "
                f"(umask 077; {MAKE} > {quote(str(path))})"
            )
        return cls.load(path)

    @classmethod
    def load(cls, path: Path) -> StoreKey:
        """Read a key file.

        Raises: WrongStoreKey when there is no such file, others may read it, or it holds no key.
        """
        try:
            with path.open("rb") as file:
                mode = stat.S_IMODE(os.fstat(file.fileno()).st_mode)
                content = file.read(MAX_FILE_LENGTH + 1)
        except FileNotFoundError:
            raise WrongStoreKey(
                f"there is no store key at {path}: restore it from your backup; nothing else opens the database"
            ) from None
        except OSError as error:
            raise WrongStoreKey(f"the store key {path} cannot be read: {error.strerror}") from None
        if mode & FORBIDDEN_MODE:
            raise WrongStoreKey(f"others may read the store key {path}: run chmod 600 {path}")
        try:
            return cls.parse(content.decode("ascii"))
        except (UnicodeDecodeError, WrongStoreKey):
            raise WrongStoreKey(f"{path} is not a store key file: restore the right one from your backup") from None

    @classmethod
    def create(cls, path: Path) -> StoreKey:
        """Draw a key and put it into a new file: either the whole key is there, also after a power cut, or no file.

        Raises: AlreadyExists when there is a file, which is never replaced, because a database may need it;
        WrongStoreKey when the file cannot be written.
        """
        key = cls(secrets.token_bytes(KEY_LENGTH))
        draft = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
        try:
            for left in path.parent.glob(f".{escape(path.name)}.{'[0-9a-f]' * 16}"):
                left.unlink()  # of an attempt cut short: it may be the key that is there
            try:
                _write(draft, f"{key.secret.hex()}\n".encode("ascii"))
                os.link(draft, path)  # unlike a rename, never over an existing file
            finally:
                with contextlib.suppress(FileNotFoundError):
                    draft.unlink()
            sync_directory(path.parent)
        except FileExistsError:
            raise AlreadyExists(f"there is a store key at {path} already: use it, or move it away first") from None
        except OSError as error:
            raise WrongStoreKey(f"the store key {path} cannot be written: {error.strerror}") from None
        return key


def _write(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def sync_directory(path: Path) -> None:
    """Put the names in a directory on disk: a new file is there after a power cut only if its name is."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
