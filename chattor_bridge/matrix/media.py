"""The homeserver's media repository: files down and up, neither ever held as a whole.

Since Matrix 1.11 files are given only to users of the homeserver, at addresses of their own; a homeserver that does not
know those has the older ones.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from mautrix.api import MediaPath, Method, Path, PathBuilder

from chattor_bridge.bridge.attachment import Attachment, Download, Picture, Upload
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.answers import Answer, HomeserverTrouble
from chattor_bridge.matrix.client import Client
from chattor_bridge.matrix.encryption.attachments import BLOCK, Opening, Sealing
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Clock

LIMIT_LIFETIME = 3600.0
"""Seconds for which the homeserver's limit is believed: it changes with its configuration, at a restart."""

PIECE = 64 * 1024
"""Bytes given to the connection at once, at most: so much of an upload is in memory, times a few buffers."""

TOO_LARGE = "M_TOO_LARGE"
"""Matrix's error code for a file above a limit, the homeserver's or ours."""

SEALED_TYPE = "application/octet-stream"
"""What an encrypted file is to the homeserver."""

_RANGE = re.compile(r"bytes ([0-9]{1,18})-[0-9]{1,18}/([0-9]{1,18})")


class MediaRepository:
    """Downloads are asked for as ``user``: any of ours will do."""

    def __init__(self, client: Client, user: MatrixUserId, clock: Clock) -> None:
        self._client = client
        self._clock = clock
        self._user = user
        self._authenticated = True
        self._limit: tuple[int | None, float] | None = None

    async def upload_limit(self) -> int | None:
        now = self._clock.monotonic()
        if self._limit is None or now > self._limit[1]:
            async with self._get("config", (), {}, {}) as answer:
                limit = (await answer.json()).get("m.upload.size")
            self._limit = (limit if type(limit) is int and limit >= 0 else None), now + LIMIT_LIFETIME
        return self._limit[0]

    @asynccontextmanager
    async def download(self, attachment: Attachment, *, at: int = 0, at_most: int) -> AsyncIterator[Download]:
        start = at if attachment.key is None else at - at % BLOCK
        headers = {"Range": f"bytes={start}-"} if start else {}
        async with self._get("download", (attachment.server, attachment.media_id), {}, headers) as answer:
            size, resumed = _placed(answer, start)
            if size is not None and size > at_most:
                raise _too_large(at_most)
            pieces = _bounded(answer.pieces(), at_most, start if resumed else 0)
            if not resumed:
                pieces = _without_start(pieces, start)
            if attachment.key is not None:
                pieces = _without_start(_opened(pieces, Opening(attachment.key, start)), at - start)
            yield Download(size, resumed, pieces)

    async def thumbnail(
        self, attachment: Attachment, width: int, height: int, *, crop: bool, at_most: int
    ) -> Picture | None:
        if attachment.key is not None:
            return None
        query = {"width": str(width), "height": str(height), "method": "crop" if crop else "scale"}
        try:
            async with self._get("thumbnail", (attachment.server, attachment.media_id), query, {}) as answer:
                data = b"".join([piece async for piece in _bounded(answer.pieces(), at_most)])
        except HomeserverRefused:  # of something that is no picture to it, or that is not there; or too large
            return None
        mime_type = picture_type(data)
        return None if mime_type is None else Picture(data, mime_type)

    async def holds(self, address: str, data: bytes) -> bool:
        """Whether this is what lies at an address."""
        attachment = Attachment.read({"url": address})
        if attachment is None:
            return False
        try:
            async with self.download(attachment, at_most=len(data)) as download:
                return b"".join([piece async for piece in download.pieces]) == data
        except HomeserverRefused:  # something larger, or nothing any more
            return False

    async def upload(self, user: MatrixUserId, upload: Upload, *, sealed: bool) -> Attachment:
        """Raises: HomeserverUnavailable, HomeserverRefused, ValueError when the file is not of the size it was said to
        be, and whatever reading it does."""
        limit = await self.upload_limit()
        if limit is not None and upload.size > limit:
            raise HomeserverRefused(
                f"this file has {upload.size:,} bytes, and the homeserver takes {limit:,} at most", 413, TOO_LARGE
            )
        sealing: Sealing | None = None

        async def body() -> AsyncIterator[bytes]:
            nonlocal sealing
            sealing = Sealing() if sealed else None  # each try has a key of its own
            async for piece in _exactly(upload):
                yield piece if sealing is None else sealing.update(piece)

        mime_type = SEALED_TYPE if sealed else upload.mime_type
        headers = {"Content-Type": mime_type, "Content-Length": str(upload.size)}
        query = {} if sealed else {"filename": upload.filename}
        async with self._client.exchange(
            user, Method.POST, MediaPath.v3.upload, query=query, headers=headers, body=body
        ) as answer:
            address = (await answer.json()).get("content_uri")
        attachment = Attachment.read({"url": address})
        if attachment is None:
            raise HomeserverTrouble("the homeserver's answer lacks content_uri", answer.status, "")
        return attachment if sealing is None else Attachment(attachment.server, attachment.media_id, sealing.finish())

    @asynccontextmanager
    async def _get(
        self, what: str, address: tuple[str, ...], query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AsyncIterator[Answer]:
        async with AsyncExitStack() as stack:
            try:
                answer = await stack.enter_async_context(self._ask(what, address, query, headers))
            except HomeserverRefused as refusal:
                if not self._authenticated or refusal.errcode != "M_UNRECOGNIZED":
                    raise
                self._authenticated = False
                answer = await stack.enter_async_context(self._ask(what, address, query, headers))
            yield answer

    def _ask(
        self, what: str, address: tuple[str, ...], query: Mapping[str, str], headers: Mapping[str, str]
    ) -> AbstractAsyncContextManager[Answer]:
        path: PathBuilder = Path.v1.media[what] if self._authenticated else MediaPath.v3[what]
        for part in address:
            path = path[part]
        # or a proxy might compress it, and its length would say nothing
        headers = {**headers, "Accept-Encoding": "identity"}
        return self._client.exchange(self._user, Method.GET, path, query=query, headers=headers)


def _placed(answer: Answer, start: int) -> tuple[int | None, bool]:
    """The size of the whole, and whether the answer begins at ``start``."""
    found = _RANGE.fullmatch(answer.headers.get("Content-Range", "")) if answer.status == 206 else None
    if answer.status == 206 and (found is None or int(found[1]) != start):
        raise HomeserverTrouble("the homeserver sent another part of a file than it was asked for", 206, "")
    if found is not None:
        return int(found[2]), True
    length = answer.headers.get("Content-Length", "")
    told = re.fullmatch("[0-9]{1,18}", length) is not None and "Content-Encoding" not in answer.headers
    return int(length) if told else None, start == 0


async def _bounded(pieces: AsyncIterator[bytes], at_most: int, start: int = 0) -> AsyncIterator[bytes]:
    left = at_most - start
    async for piece in pieces:
        left -= len(piece)
        if left < 0:
            raise _too_large(at_most)
        yield piece


async def _without_start(pieces: AsyncIterator[bytes], length: int) -> AsyncIterator[bytes]:
    left = length
    async for piece in pieces:
        rest = piece[left:]
        left -= len(piece) - len(rest)
        if rest:
            yield rest


async def _opened(pieces: AsyncIterator[bytes], opening: Opening) -> AsyncIterator[bytes]:
    """The last piece is held back until it is known that the whole is right."""
    held = b""
    async for piece in pieces:
        if held:
            yield held
        held = opening.update(piece)
    opening.finish()
    if held:
        yield held


async def _exactly(upload: Upload) -> AsyncIterator[bytes]:
    """The file in pieces of `PIECE` at most, and not one byte more or less than was said."""
    left = upload.size
    async for piece in upload.pieces():
        left -= len(piece)
        if left < 0:
            break
        for start in range(0, len(piece), PIECE):
            yield piece[start : start + PIECE]
    if left:
        raise ValueError("a file to be uploaded is not of the size it was said to be")


def _too_large(at_most: int) -> HomeserverRefused:
    return HomeserverRefused(f"the file at the homeserver is larger than {at_most:,} bytes", 0, TOO_LARGE)
