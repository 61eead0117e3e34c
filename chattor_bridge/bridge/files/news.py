"""What happens to files, arranged in the very transaction that made it happen: see `NodeObserver`."""

from __future__ import annotations

from chattor_bridge.bridge.actions import ShowFile, WeighFile
from chattor_bridge.bridge.files.notes import Note, Notes
from chattor_bridge.bridge.files.words import outcome
from chattor_bridge.bridge.lane_names import files_lane
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.ids import EventId, FileId, MatrixEventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Event, FileOffer


class FileNews:
    """Every method is called by the observer, within its transaction."""

    def __init__(self, store: BridgeStore, voice: Voice) -> None:
        self._store = store
        self._voice = voice
        self._notes = Notes(store)

    async def offered(self, tx: Transaction, portal: Portal, event: Event, offer: FileOffer) -> None:
        """A friend offers a file: whether to fetch it depends on what the homeserver takes."""
        file_id = offer.content.file_id
        await self._notes.save(tx, portal, file_id, Note.of(event))
        action = WeighFile(portal.node_id.hex(), portal.peer_id.hex(), file_id.hex())
        await self._voice.arrange(tx, files_lane(portal), action)

    async def arrived(self, tx: Transaction, portal: Portal, file_id: FileId) -> None:
        """A friend's file is whole on our disk."""
        await self._tell_end(tx, portal, file_id)
        action = ShowFile(portal.node_id.hex(), portal.peer_id.hex(), file_id.hex())
        await self._voice.arrange(tx, files_lane(portal), action)

    async def ended(self, tx: Transaction, portal: Portal, file_id: FileId) -> str | None:
        """A file has gone over, or never will: in words, which the notice of its progress says from now on."""
        text = await self._tell_end(tx, portal, file_id)
        await self._notes.remove(tx, portal, file_id)
        return text

    async def awaited(self, tx: Transaction, portal: Portal, event_id: EventId) -> FileId | None:
        """The file that a friend has offered by this event and that is not shown yet."""
        for one in await self._store.transfers.of_node(tx, portal.node_id, over=False):
            if one.peer_id == portal.peer_id and one.event_id == event_id and not one.outgoing:
                return one.file_id
        return None

    async def taken_back(self, tx: Transaction, portal: Portal, file_id: FileId) -> None:
        """A friend does not want a file to be seen that is not shown yet."""
        await self._notes.take_back(tx, portal, file_id)
        action = WeighFile(portal.node_id.hex(), portal.peer_id.hex(), file_id.hex())
        await self._voice.arrange(tx, files_lane(portal), action)

    async def merged(self, tx: Transaction, former: Portal, portal: Portal) -> None:
        """Two conversations became one, and their files with them."""
        transfers = await self._store.transfers.of_node(tx, portal.node_id, over=False)
        file_ids = [one.file_id for one in transfers if one.peer_id == portal.peer_id]
        await self._notes.move(tx, former, portal, file_ids)

    async def _tell_end(self, tx: Transaction, portal: Portal, file_id: FileId) -> str | None:
        """How it ended. The notice that told of the progress, if there is one, says it."""
        transfer = await self._store.transfers.get(tx, portal.node_id, portal.peer_id, file_id)
        text = None if transfer is None else outcome(transfer)
        notice = (await self._notes.get(tx, portal, file_id)).notice
        if notice is not None and text is not None:
            await self._voice.edit(tx, Place.portal(portal), MatrixEventId(notice), text)
        return text
