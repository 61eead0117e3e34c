"""Files of Matrix events: where one lies, how it is encrypted, and one on its way up or down.

An event in a room that is not encrypted names its file by ``url``; one in an encrypted room by ``file``, with the key.
What other people's clients write there is looked at closely: an address becomes part of a path at the homeserver.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, Self

from chattor_bridge.bridge.records import JsonObject

KEY_BYTES = 32
"""AES-256."""

COUNTER_BYTES = 16
"""The first counter block: 8 bytes that are never used again, and 8 that count."""

HASH_BYTES = 32
"""SHA-256."""

_MXC = re.compile(
    r"mxc://(?P<server>[0-9A-Za-z][0-9A-Za-z.:-]{0,254}|\[[0-9A-Fa-f:.]{2,45}\](?::[0-9]{1,5})?)/(?P<id>[0-9A-Za-z_-]{1,255})"
)
"""A ``mxc://`` address, as narrow as the Matrix specification has it."""


@dataclass(frozen=True, slots=True)
class AttachmentKey:
    """How a file is encrypted: AES-256-CTR with ``key`` and the first counter block ``counter``; ``sha256`` is of what
    came out."""

    key: bytes = field(repr=False)
    counter: bytes
    sha256: bytes


@dataclass(frozen=True, slots=True)
class Attachment:
    """A file at the homeserver, under the name of ``server`` where it was uploaded; ``key`` is ``None`` when it lies
    there in clear."""

    server: str
    media_id: str
    key: AttachmentKey | None = None

    @classmethod
    def read(cls, content: JsonObject, url: str = "url", file: str = "file") -> Self | None:
        """What the content of an event points to by these keys; ``None`` when that is nothing one could fetch."""
        described = content.get(file)
        if not isinstance(described, dict):
            return cls._at(content.get(url), None)
        key = _read_key(described)
        return None if key is None else cls._at(described.get("url"), key)

    @classmethod
    def _at(cls, address: object, key: AttachmentKey | None) -> Self | None:
        found = _MXC.fullmatch(address) if isinstance(address, str) else None
        return None if found is None else cls(found["server"], found["id"], key)

    @property
    def address(self) -> str:
        return f"mxc://{self.server}/{self.media_id}"

    def to_content(self, url: str = "url", file: str = "file") -> JsonObject:
        """What the content of an event says of it."""
        if self.key is None:
            return {url: self.address}
        return {
            file: {
                "v": "v2",
                "url": self.address,
                "key": {
                    "kty": "oct",
                    "key_ops": ["encrypt", "decrypt"],
                    "alg": "A256CTR",
                    "k": base64.urlsafe_b64encode(self.key.key).decode().rstrip("="),
                    "ext": True,
                },
                "iv": _unpadded(self.key.counter),
                "hashes": {"sha256": _unpadded(self.key.sha256)},
            }
        }


@dataclass(frozen=True, slots=True)
class Download:
    """A file that is coming, from where it was asked for on. ``size`` is of the whole in bytes, ``None`` when the
    homeserver does not tell; ``resumed`` says that it sent no more than was asked for."""

    size: int | None
    resumed: bool
    pieces: AsyncIterator[bytes]


@dataclass(frozen=True, slots=True)
class Upload:
    """A file to be uploaded. ``pieces`` gives its ``size`` bytes, from the start each time it is called."""

    size: int
    pieces: Callable[[], AsyncIterator[bytes]] = field(repr=False)
    mime_type: str
    filename: str = field(repr=False)

    @classmethod
    def of(cls, data: bytes, mime_type: str, filename: str) -> Self:
        async def pieces() -> AsyncIterator[bytes]:
            yield data

        return cls(len(data), pieces, mime_type, filename)


@dataclass(frozen=True, slots=True)
class Picture:
    """A small picture, whole; ``mime_type`` is what its first bytes say."""

    data: bytes = field(repr=False)
    mime_type: str


def _read_key(described: JsonObject) -> AttachmentKey | None:
    if described.get("v") != "v2":
        return None
    jwk, hashes = described.get("key"), described.get("hashes")
    if not isinstance(jwk, dict) or not isinstance(hashes, dict):
        return None
    if (jwk.get("kty"), jwk.get("alg")) != ("oct", "A256CTR"):
        return None
    key = _decoded(jwk.get("k"), KEY_BYTES)
    counter = _decoded(described.get("iv"), COUNTER_BYTES)
    sha256 = _decoded(hashes.get("sha256"), HASH_BYTES)
    return None if key is None or counter is None or sha256 is None else AttachmentKey(key, counter, sha256)


def _decoded(value: Any, length: int) -> bytes | None:
    """Base64 of either alphabet, with or without padding."""
    if not isinstance(value, str) or len(value) > 2 * length:
        return None
    text = value.rstrip("=").replace("-", "+").replace("_", "/")
    try:
        data = base64.b64decode(text + "=" * (-len(text) % 4), validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if len(data) == length else None


def _unpadded(data: bytes) -> str:
    return base64.b64encode(data).decode().rstrip("=")
