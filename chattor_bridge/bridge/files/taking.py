"""Files of friends, on their way into the room: whether they are fetched, and how they are shown.

Like everything an action does, each method may be cut off anywhere and run again from its start. A file is uploaded
straight from where the node keeps its chunks, which are erased in the transaction that notes the message. An upload
that was cut off leaves nothing, and one whose address could not be saved any more a file at the homeserver that nobody
knows.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing, suppress

from chattor_bridge.bridge import content
from chattor_bridge.bridge.actions import OpenPortal, ShowFile, TellProgress, WeighFile
from chattor_bridge.bridge.attachment import Attachment, Upload
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.display import Display
from chattor_bridge.bridge.early import Early
from chattor_bridge.bridge.files.content import Description, Shape, file_name, shown_type, written
from chattor_bridge.bridge.files.notes import Note, Notes
from chattor_bridge.bridge.files.words import called, outcome
from chattor_bridge.bridge.ghosts import transaction_id
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.ports import Homeserver, TextConversion
from chattor_bridge.bridge.records import JsonObject, PendingAction, Portal
from chattor_bridge.bridge.rooms import ROOM_LOST
from chattor_bridge.bridge.sender import Sender
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.counting import sized
from chattor_bridge.errors import (
    AuthenticationFailed,
    FileUnavailable,
    HomeserverRefused,
    NotFound,
    Unavailable,
    UsageError,
)
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import FileId, MatrixRoomId
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.node import Node
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Transfer, TransferState
from chattor_bridge.protocol.events import Event, FileOffer

TOO_LARGE = (
    "⚠ Your friend offers {name} ({size}). Your homeserver takes files of {limit} at most, so I have declined it. "
    "Whoever runs the homeserver can raise that (`max_upload_size` in Synapse)."
)
ASKS = (
    "📎 Your friend offers {name} ({size}). It is larger than what I fetch unasked. Write `!chattor files accept` to "
    "have it, or `!chattor files decline`."
)
NO_ROOM = "⚠ Your friend offers {name} ({size}), and it was not fetched: {reason}"
NOT_TAKEN = "⚠ Your friend's file {name} has come, and could not be shown: {reason}. It was thrown away."

DAMAGED = "what was kept of it on this bridge's disk is missing or damaged, so it has to be sent again"

GIVEN_UP_AFTER = 24 * 3600
"""Seconds for which a file that came and cannot be read from our own disk is tried again."""


class Taking:
    """Does what actions want done with files of friends. ``unasked`` is how large a file may be that is fetched without
    asking, in bytes."""

    def __init__(
        self,
        store: BridgeStore,
        host: NodeHost,
        homeserver: Homeserver,
        conversion: TextConversion,
        sender: Sender,
        display: Display,
        clock: SteadyClock,
        voice: Voice,
        unasked: int,
    ) -> None:
        self._store = store
        self._host = host
        self._homeserver = homeserver
        self._conversion = conversion
        self._sender = sender
        self._display = display
        self._clock = clock
        self._voice = voice
        self._unasked = unasked
        self._notes = Notes(store)
        self._early = Early(store, voice)

    async def weigh(self, portal: Portal, action: WeighFile) -> Deed:
        """Decide about an offer. Raises: HomeserverUnavailable, Unavailable while the node is stopped."""
        node, file, note = await self._find(portal, action.file)
        if file is None or file.state.over:
            return nothing
        if note.taken_back:
            return self._forgotten(portal, node, file)
        if file.state is not TransferState.OFFERED:
            return nothing
        limit = await self._homeserver.upload_limit()
        said = {"name": called(file.name), "size": sized(file.size)}

        async def deed(tx: Transaction) -> None:
            try:
                if limit is not None and file.size > limit:
                    await node.files.cancel(tx, file.peer_id, file.file_id)
                    text = TOO_LARGE.format(**said, limit=sized(limit))
                elif file.size > self._unasked:
                    text = ASKS.format(**said)
                else:
                    await node.files.accept(tx, file.peer_id, file.file_id)
                    return
            except NotFound:
                return
            except UsageError as error:
                text = NO_ROOM.format(**said, reason=literal(str(error)))
            await self._voice.say(tx, Place.portal(portal), text)

        return deed

    async def show(self, portal: Portal, action: ShowFile, pending: PendingAction) -> Deed:
        """Upload what has come, and say it as the ghost.

        Raises: HomeserverUnavailable, HomeserverRefused, FileUnavailable; Unavailable while the node is stopped or the
        room not there.
        """
        node, file, note = await self._find(portal, action.file)
        if file is None or file.state is not TransferState.ARRIVED:
            return nothing
        if note.taken_back:
            return self._forgotten(portal, node, file)
        if portal.room_id is None:
            raise Unavailable("the room of this conversation is about to be opened")
        offer = FileOffer(file.content, file.name, file.mime, file.kind)  # for a note of another version
        event = note.event or Event(file.event_id, file.created_at, offer)
        said = Description.of(event.body if isinstance(event.body, FileOffer) else offer)
        try:
            mime = shown_type(said.kind, said.mime, await _beginning(node, file))
            attachment = await self._upload(portal, portal.room_id, node, file, note, said, mime)
            small = await self._thumbnail(portal, portal.room_id, event.body)
        except HomeserverRefused as refusal:
            if refusal.errcode in ROOM_LOST:
                await self._open_again(portal)
                raise Unavailable("the room of this conversation is about to be opened again") from None
            if refusal.errcode != "M_TOO_LARGE":
                raise
            return self._thrown_away(portal, node, file, str(refusal))
        except AuthenticationFailed:
            return self._thrown_away(portal, node, file, DAMAGED)
        except FileUnavailable as error:
            if self._clock.at_least() - pending.created_at < GIVEN_UP_AFTER:
                raise
            return self._thrown_away(portal, node, file, str(error))
        shape = Shape(file.size, mime, said.width, said.height)

        def form(room_id: MatrixRoomId, mark: str) -> tuple[str, JsonObject]:
            if room_id != portal.room_id:  # which may be encrypted where the other was not
                raise Unavailable("the room of this conversation was opened again")
            return written(self._conversion, said, attachment, shape, small, mark)

        detail = {"content": form(portal.room_id, "")[1]}  # for when the caption changes
        shown = await self._display.talk(portal, event, pending, form, detail)

        async def deed(tx: Transaction) -> None:
            await shown(tx)
            await self._early.has_come(tx, portal, file.event_id)
            await self._release(tx, portal, node, file.file_id)

        return deed

    async def progress(self, portal: Portal, action: TellProgress, pending: PendingAction) -> Deed:
        """Say for the first time how far a file is. Raises: HomeserverUnavailable, HomeserverRefused."""
        file_id = FileId(bytes.fromhex(action.file))
        async with self._store.transaction() as tx:
            transfer = await self._store.transfers.get(tx, portal.node_id, portal.peer_id, file_id)
        if portal.room_id is None or transfer is None or outcome(transfer) is not None:
            return nothing
        bot, room_id = self._homeserver.bot, portal.room_id
        mark = transaction_id(bot, room_id, file_id, "progress")
        message = content.written(self._conversion, action.text, mark, notice=True)
        notice = await self._sender.send(bot, room_id, "m.room.message", message, mark, pending)

        async def deed(tx: Transaction) -> None:
            await self._store.unread.add(tx, room_id, notice, None)
            transfer = await self._store.transfers.get(tx, portal.node_id, portal.peer_id, file_id)
            ended = None if transfer is None else outcome(transfer)
            if ended is None:
                await self._notes.noticed(tx, portal, file_id, notice)
            else:
                await self._voice.edit(tx, Place.portal(portal), notice, ended)

        return deed

    async def _upload(
        self,
        portal: Portal,
        room_id: MatrixRoomId,
        node: Node,
        file: Transfer,
        note: Note,
        said: Description,
        mime: str,
    ) -> Attachment:
        known = Attachment.read(note.uploaded) if note.uploaded is not None else None
        if known is not None and note.room == room_id:
            return known

        def pieces() -> AsyncIterator[bytes]:
            return node.files.read(file.peer_id, file.file_id)

        upload = Upload(file.size, pieces, mime, file_name(said.name, mime, said.kind))
        attachment = await self._homeserver.attach(portal.ghost, room_id, upload)
        async with self._store.transaction() as tx:
            await self._notes.uploaded(tx, portal, file.file_id, room_id, attachment.to_content())
        failpoint("file-uploaded")
        return attachment

    async def _thumbnail(self, portal: Portal, room_id: MatrixRoomId, body: object) -> tuple[Attachment, Shape] | None:
        thumbnail = body.thumbnail if isinstance(body, FileOffer) else None
        mime = None if thumbnail is None else picture_type(thumbnail.data)
        if thumbnail is None or mime is None:
            return None
        upload = Upload.of(thumbnail.data, mime, "thumbnail")
        shape = Shape(len(thumbnail.data), mime, thumbnail.width, thumbnail.height)
        return await self._homeserver.attach(portal.ghost, room_id, upload), shape

    async def _open_again(self, portal: Portal) -> None:
        action = OpenPortal(portal.node_id.hex(), portal.peer_id.hex())
        async with self._store.transaction() as tx:
            await self._voice.arrange(tx, portal_lane(portal), action)

    def _thrown_away(self, portal: Portal, node: Node, file: Transfer, reason: str) -> Deed:
        async def deed(tx: Transaction) -> None:
            text = NOT_TAKEN.format(name=called(file.name), reason=literal(reason))
            await self._voice.say(tx, Place.portal(portal), text)
            await self._release(tx, portal, node, file.file_id)

        return deed

    async def _release(self, tx: Transaction, portal: Portal, node: Node, file_id: FileId) -> None:
        with suppress(UsageError):  # it was given up at this very moment
            await node.files.release(tx, portal.peer_id, file_id)
        await self._notes.remove(tx, portal, file_id)

    def _forgotten(self, portal: Portal, node: Node, file: Transfer) -> Deed:
        async def deed(tx: Transaction) -> None:
            await self._notes.remove(tx, portal, file.file_id)
            with suppress(UsageError):
                await node.files.cancel(tx, portal.peer_id, file.file_id)

        return deed

    async def _find(self, portal: Portal, file: str) -> tuple[Node, Transfer | None, Note]:
        node = self._host.node(portal.node_id)
        if node is None or not node.running:
            raise Unavailable("the node whose file this is has been stopped")
        file_id = FileId(bytes.fromhex(file))
        async with self._store.transaction() as tx:
            found = await self._store.transfers.get(tx, portal.node_id, portal.peer_id, file_id)
            return node, found, await self._notes.get(tx, portal, file_id)


async def _beginning(node: Node, file: Transfer) -> bytes:
    async with aclosing(node.files.read(file.peer_id, file.file_id)) as pieces:
        return await anext(pieces, b"")
