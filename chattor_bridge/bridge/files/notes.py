"""What the bridge remembers of a file on its way, beside what the node knows: the offer as the friend made it, where it
was uploaded, and which notice tells how far it is. One sealed setting for each, gone with the file."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, replace

from chattor_bridge.bridge.lane_names import files_lane
from chattor_bridge.bridge.records import JsonObject, Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import FileId, MatrixEventId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.events import Event, decode_event, encode_event


@dataclass(frozen=True, slots=True)
class Note:
    """``said`` is the event of an incoming file, encoded, in base64; ``uploaded`` what an event's content says of the
    file that was uploaded for ``room`` already; ``notice`` the Matrix event that tells of the progress;
    ``taken_back`` says that the friend has thought better of it."""

    said: str | None = None
    uploaded: JsonObject | None = None
    room: str | None = None
    notice: str | None = None
    taken_back: bool = False

    @classmethod
    def of(cls, event: Event) -> Note:
        return cls(base64.b64encode(encode_event(event)).decode())

    @property
    def event(self) -> Event | None:
        """``None`` when there is none that this version can read."""
        try:
            return None if self.said is None else decode_event(base64.b64decode(self.said))
        except MalformedData:
            return None


class Notes:
    """Reads and writes notes in the caller's transaction."""

    def __init__(self, store: BridgeStore) -> None:
        self._store = store

    async def get(self, tx: Transaction, portal: Portal, file_id: FileId) -> Note:
        """An empty one when there is none."""
        return _read(await self._store.get_setting(tx, _name(portal, file_id)))

    async def save(self, tx: Transaction, portal: Portal, file_id: FileId, note: Note) -> None:
        await self._store.set_setting(tx, _name(portal, file_id), json.dumps(asdict(note)))

    async def uploaded(self, tx: Transaction, portal: Portal, file_id: FileId, room: str, content: JsonObject) -> None:
        note = await self._locked(tx, portal, file_id)
        await self.save(tx, portal, file_id, replace(note, uploaded=content, room=room))

    async def noticed(self, tx: Transaction, portal: Portal, file_id: FileId, notice: str) -> None:
        await self.save(tx, portal, file_id, replace(await self._locked(tx, portal, file_id), notice=notice))

    async def take_back(self, tx: Transaction, portal: Portal, file_id: FileId) -> None:
        await self.save(tx, portal, file_id, replace(await self._locked(tx, portal, file_id), taken_back=True))

    async def _locked(self, tx: Transaction, portal: Portal, file_id: FileId) -> Note:
        """To be changed: its friend takes it back while it is uploaded."""
        return _read(await self._store.setting_for_update(tx, _name(portal, file_id)))

    async def remove(self, tx: Transaction, portal: Portal, file_id: FileId) -> None:
        await self._store.remove_settings(tx, _name(portal, file_id))

    async def withdraw(self, tx: Transaction, portal: Portal, event_id: MatrixEventId) -> None:
        """The owner has removed an event that may carry a file which is not offered yet."""
        waiting, aside = self._store.actions.count, self._store.actions.count_parked
        if await waiting(tx, files_lane(portal)) or await aside(tx, files_lane(portal)):
            await self._store.set_setting(tx, _withdrawn(portal, event_id), "1")

    async def is_withdrawn(self, tx: Transaction, portal: Portal, event_id: MatrixEventId) -> bool:
        """Whether it was; asked once."""
        name = _withdrawn(portal, event_id)
        found = await self._store.get_setting(tx, name)
        await self._store.remove_settings(tx, name)
        return found is not None

    async def remove_all(self, tx: Transaction, portal: Portal) -> None:
        """Those of every file of this conversation."""
        await self._store.remove_settings(tx, _prefix(portal))

    async def move(self, tx: Transaction, former: Portal, portal: Portal, file_ids: list[FileId]) -> None:
        """Two conversations have become one."""
        for file_id in file_ids:
            note = await self.get(tx, former, file_id)
            if note != Note():
                await self.save(tx, portal, file_id, note)
        await self.remove_all(tx, former)


def _read(stored: str | None) -> Note:
    return Note() if stored is None else Note(**json.loads(stored))


def _prefix(portal: Portal) -> str:
    return f"file:{portal.ghost}:"


def _withdrawn(portal: Portal, event_id: MatrixEventId) -> str:
    return f"{_prefix(portal)}withdrawn:{event_id}"


def _name(portal: Portal, file_id: FileId) -> str:
    return _prefix(portal) + file_id.hex()
