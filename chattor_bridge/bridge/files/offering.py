"""Files that the owner of a portal sends, on their way to the friend.

A file has to be read through before it can be offered. A small one is read while its event is being worked off, so
that it is sent in the order of what was said; for a larger one, or one that the homeserver does not give at once,
nothing that follows has to wait. Nothing is copied: the node gets a reference, and reads at the homeserver when the
friend reads.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace

import imagesize

from chattor_bridge.bridge import content
from chattor_bridge.bridge.actions import OfferFile
from chattor_bridge.bridge.attachment import Attachment, Picture
from chattor_bridge.bridge.files.content import Description, described
from chattor_bridge.bridge.files.notes import Notes
from chattor_bridge.bridge.files.source import MediaFile, reference_to
from chattor_bridge.bridge.lane_names import files_lane
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import EventLink, JsonObject, PendingAction, Portal
from chattor_bridge.bridge.speech.answers import Answers
from chattor_bridge.bridge.speech.sending import Sending, said_at, why_not
from chattor_bridge.bridge.speech.targets import Targets
from chattor_bridge.bridge.speech.words import NO_RELATION
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import (
    FileChanged,
    HomeserverRefused,
    HomeserverUnavailable,
    LimitReached,
    Undecryptable,
    UsageError,
)
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, NodeId, PeerId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.files import Prepared, prepare
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import within
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import FileOffer, Text
from chattor_bridge.protocol.files import Thumbnail
from chattor_bridge.protocol.limits import MAX_CAPTION, MAX_FILE_SIZE, MAX_PIXELS, MAX_THUMBNAIL
from chattor_bridge.protocol.splitting import split_text

SMALL = 8 * 1024 * 1024
"""Bytes of a file that is sent before what is said after it: a photograph. It takes a moment to read."""

PROMPT = 10.0
"""Seconds in which a small file has to come, or what is said after it does not wait."""

GIVEN_UP_AFTER = 24 * 3600
"""Seconds for which a file that the homeserver does not give is asked for."""

THUMBNAILS = ((320, 240, False), (96, 96, True))
"""Width, height and whether it is cropped, of what the homeserver is asked for until one is small enough. Synapse makes
both of every picture."""

NO_ADDRESS = "your client has not said where its file lies, or not in a way I understand."
NOT_GIVEN = "the homeserver does not give me its file ({reason})."
TOO_LATE = "the homeserver has not given me its file for a day."


@dataclass(frozen=True, slots=True)
class _Ready:
    """A file that was read through, with what is said of it."""

    attachment: Attachment
    prepared: Prepared
    said: Description
    thumbnail: Thumbnail | None


class Offering:
    """Makes deeds of events that carry a file."""

    def __init__(
        self,
        store: BridgeStore,
        host: NodeHost,
        homeserver: Homeserver,
        conversion: TextConversion,
        clock: SteadyClock,
        voice: Voice,
        on_sent: Callable[[NodeId, PeerId], None],
    ) -> None:
        self._store = store
        self._homeserver = homeserver
        self._conversion = conversion
        self._clock = clock
        self._voice = voice
        self._answers = Answers(store, voice)
        self._sending = Sending(store, host, clock, on_sent)
        self._targets = Targets(store)
        self._notes = Notes(store)

    async def said(self, portal: Portal, event: JsonObject) -> Deed:
        """The deed for an event that the owner sent just now. Raises: UsageError."""
        event_id = MatrixEventId(event["event_id"])
        attachment = Attachment.read(event["content"])
        if attachment is None:
            return self._answers.not_sent(portal, NO_ADDRESS, event_id)
        self._sending.node(portal)
        with suppress(FileChanged, HomeserverUnavailable, TimeoutError):  # what is final is said by the next try
            ready = await within(self._clock, PROMPT, self._read(event, attachment, SMALL))
            return self._offering(portal, event, ready)

        async def later(tx: Transaction) -> None:
            action = OfferFile(portal.node_id.hex(), portal.peer_id.hex(), event)
            await self._voice.arrange(tx, files_lane(portal), action)

        return later

    async def offer(self, portal: Portal, action: OfferFile, pending: PendingAction) -> Deed:
        """The deed for one that took its time. Raises: HomeserverUnavailable."""
        event_id = MatrixEventId(action.event["event_id"])
        attachment = Attachment.read(action.event["content"])
        if attachment is None:
            return self._answers.not_sent(portal, NO_ADDRESS, event_id)
        try:
            ready = await self._read(action.event, attachment, MAX_FILE_SIZE)
        except (FileChanged, LimitReached) as error:
            reason = NOT_GIVEN.format(reason=content.literal(str(error)))
            return self._answers.not_sent(portal, reason, event_id)
        except HomeserverUnavailable:
            if self._clock.at_least() - pending.created_at < GIVEN_UP_AFTER:
                raise
            return self._answers.not_sent(portal, TOO_LATE, event_id)

        async def deed(tx: Transaction) -> None:
            if await self._notes.is_withdrawn(tx, portal, event_id):
                return
            try:
                await self._offering(portal, action.event, ready)(tx)
            except UsageError as error:
                await self._answers.say(portal, f"⚠ {error}", event_id)(tx)

        return deed

    async def _read(self, event: JsonObject, attachment: Attachment, at_most: int) -> _Ready:
        file = MediaFile(self._homeserver, attachment, at_most=at_most, proved=True)
        try:
            prepared = await prepare(file)
        finally:
            await file.close()
        said = described(self._conversion, event["type"], event["content"])
        return _Ready(attachment, prepared, said, await self._thumbnail(event["content"], attachment, said.kind))

    def _offering(self, portal: Portal, event: JsonObject, ready: _Ready) -> Deed:
        event_id = MatrixEventId(event["event_id"])
        room_id = MatrixRoomId(event["room_id"])
        said, following = ready.said, ""
        if len(said.caption.encode()) > MAX_CAPTION:
            said, following = replace(said, caption=""), said.caption

        async def deed(tx: Transaction) -> None:
            node = self._sending.node(portal)
            related = await self._targets.relations(tx, portal, event["content"])
            try:
                sent, _ = await node.files.offer(
                    tx,
                    portal.peer_id,
                    ready.prepared,
                    reference_to(ready.attachment),
                    **asdict(said),
                    thumbnail=ready.thumbnail,
                    time=said_at(event, self._clock.wall()),
                    reply=related.reply,
                    thread=related.thread,
                )
            except UsageError as error:
                raise why_not(error) from error
            events = [(sent, FileOffer.TYPE)]
            for piece in split_text(following):
                sent = await node.send(tx, portal.peer_id, Text(piece), thread=related.thread)
                events.append((sent, Text.TYPE))
            for part, (sent, kind) in enumerate(events):
                link = EventLink(portal.node_id, portal.peer_id, sent, part, room_id, event_id, ours=True, kind=kind)
                await self._store.event_links.add(tx, link)
            self._sending.announce(tx, portal)
            if related.lost:
                await self._answers.once(portal, "relation", NO_RELATION, event_id)(tx)

        return deed

    async def _thumbnail(self, event_content: JsonObject, attachment: Attachment, kind: str) -> Thumbnail | None:
        """A small picture of it, if there is one that fits an offer. It may be missing for any reason."""
        info = event_content.get("info")
        made = Attachment.read(info, "thumbnail_url", "thumbnail_file") if isinstance(info, dict) else None
        for source in (attachment if kind in ("image", "sticker") else None, made):
            with suppress(HomeserverRefused, HomeserverUnavailable, Undecryptable):
                picture = None if source is None else await self._small(source)
                thumbnail = None if picture is None else _measured(picture)
                if thumbnail is not None:
                    return thumbnail
        return None

    async def _small(self, attachment: Attachment) -> Picture | None:
        if attachment.key is None:
            for width, height, crop in THUMBNAILS:
                found = await self._homeserver.thumbnail(attachment, width, height, crop=crop, at_most=MAX_THUMBNAIL)
                if found is not None:
                    return found
            return None
        async with self._homeserver.download(attachment, at_most=MAX_THUMBNAIL) as download:
            data = b"".join([piece async for piece in download.pieces])
        mime_type = picture_type(data)
        return None if mime_type is None else Picture(data, mime_type)


def _measured(picture: Picture) -> Thumbnail | None:
    try:
        width, height = imagesize.get(io.BytesIO(picture.data))
    except ValueError:  # it only looks like a picture
        return None
    if not (0 < width <= MAX_PIXELS and 0 < height <= MAX_PIXELS):
        return None
    return Thumbnail(picture.data, picture.mime_type, width, height)
