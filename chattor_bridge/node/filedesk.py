"""What is decided about files, on disk. Implements docs/protocol/files.md from "Files" to "Slices".

Every method does database work only and belongs to a transaction its caller commits.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.errors import LimitReached, NotFound, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import EventId, FileId, NodeId, PeerId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.happenings import FileArrived, FileFailed, FileSent
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import NO_VERSION, Contact, Transfer, TransferState
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.events import Body, Event, FileAccept, FileCancel, FileDone, FileNews, FileOffer, FileSlice
from chattor_bridge.protocol.files import (
    CANCELLED,
    CORRUPT,
    DECLINED,
    EXPIRED,
    FILE_CHANGED,
    QUOTA,
    TOO_LARGE,
    TOO_MANY,
)
from chattor_bridge.protocol.limits import (
    MAX_OFFERS,
    MAX_QUEUED,
    MAX_SLICED_AGAIN,
    MAX_SLICES_KEPT,
    MAX_SLICES_WAITING,
    OFFER_LIFETIME,
)
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.slices import is_slice, slice_count

PART_ID_SIZE: Final = 16
"""Bytes of the random name of a file's place on disk."""

IN_WORDS: Final = {
    CANCELLED: "was cancelled",
    CORRUPT: "did not come as it was offered",
    DECLINED: "was declined",
    EXPIRED: "did not go over within 30 days",
    FILE_CHANGED: "has changed since it was offered, or is gone; it can be offered again",
    QUOTA: "does not fit: the receiver keeps as much as it may already",
    TOO_LARGE: "is larger than the receiver takes",
    TOO_MANY: "is one too many: other files have to go over first",
}
"""The end of a sentence that begins with the file, for every reason there is."""

DROPPED: Final = "dropped"
"""Instead of the reason why it ended, of an incoming file of which there was no room for a slice."""

ASKED: Final = "asked"
"""The same once the friend was asked for its slices again, the last time when it changed last."""

ASK_AGAIN: Final = 86_400
"""Seconds after which it is asked once more: it puts only so many files a day into envelopes again."""

REMEMBERED: Final = 7 * 86_400
"""Seconds for which a file that went over or failed is still listed."""


def in_words(reason: str) -> str:
    """A reason as the end of a sentence that begins with the file."""
    return IN_WORDS.get(reason, IN_WORDS[CANCELLED])


class FileDesk:
    """Offers, acceptances and ends of one node's files."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        mailbox: Mailbox,
        *,
        wake: Callable[[PeerId], None],
        look_again: Callable[[], None],
    ) -> None:
        """``wake`` is called after a commit that has something for a friend, ``look_again`` after one that makes or
        ends work."""
        self._around = around
        self._store = around.store
        self._node_id = node_id
        self._mailbox = mailbox
        self._wake = wake
        self._look_again = look_again
        self._again: dict[PeerId, Allowance] = {}

    # --- by our owner ------------------------------------------------------------------------------------------------

    async def offer(self, tx: Transaction, peer_id: PeerId, offer: Event, outline: bytes, reference: str) -> None:
        """Offer a file by this event. Raises: NotFound, LimitReached, UsageError."""
        assert isinstance(offer.body, FileOffer)
        if self._around.files is None:
            raise UsageError("files are not set up here")
        contact = await self._mailbox.locked(tx, peer_id)
        if contact.version != NO_VERSION and FileOffer.TYPE not in contact.capabilities:
            raise UsageError("this friend's program is of a version that cannot take files yet")
        if await self._store.transfers.count_open(tx, self._node_id, peer_id) >= MAX_OFFERS:
            raise LimitReached(
                f"{MAX_OFFERS} files are offered already; cancel some, or wait until they have gone over"
            )
        transfer = self._new(contact, offer, offer.body, outgoing=True, reference=reference)
        if not await self._store.transfers.add(tx, transfer, outline):
            raise UsageError("a file of this id was offered before")
        await self._mailbox.send(tx, peer_id, offer)
        tx.after_commit(lambda: failpoint("file-offered"))
        tx.after_commit(partial(self._wake, peer_id))

    async def accept(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> None:
        """Fetch this file. Raises: NotFound; LimitReached when there is no room for it; UsageError."""
        transfer = await self._locked(tx, peer_id, file_id)
        if transfer.outgoing:
            raise UsageError("this is a file of your own")
        if transfer.state is TransferState.DONE:
            raise UsageError("this file was fetched already; it can be offered again")
        if transfer.state.over:
            raise UsageError(f"this file cannot be fetched any more: it {in_words(transfer.reason)}")
        if transfer.state is not TransferState.OFFERED:
            return
        if (full := await self._has_no_room(tx, transfer)) is not None:
            raise LimitReached(full)
        await self._accept(tx, transfer)

    async def cancel(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> None:
        """End this transfer, whoever offered the file. Raises: NotFound, UsageError when it is over."""
        transfer = await self._locked(tx, peer_id, file_id)
        if transfer.state.over:
            raise UsageError("this file has gone over or failed already")
        if transfer.state is TransferState.ARRIVED:
            await self.release(tx, peer_id, file_id)
            return
        declined = not transfer.outgoing and transfer.state is TransferState.OFFERED
        await self.give_up(tx, transfer, DECLINED if declined else CANCELLED)

    async def release(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> None:
        """An incoming file was taken: keep it no longer. Raises: NotFound, UsageError when it has not arrived."""
        transfer = await self.get(tx, peer_id, file_id)
        if transfer.state is TransferState.DONE:
            return
        if transfer.state is not TransferState.ARRIVED:
            raise UsageError("this file has not arrived")
        await self._save(tx, transfer, TransferState.DONE)

    async def get(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> Transfer:
        """Raises: NotFound."""
        transfer = await self._store.transfers.get(tx, self._node_id, peer_id, file_id)
        if transfer is None:
            raise NotFound("no such file")
        return transfer

    # --- by the friend -----------------------------------------------------------------------------------------------

    async def take(self, tx: Transaction, contact: Contact, event: Event) -> bool:
        """Take an event about a file; whether our owner is to be shown it."""
        body = event.body
        if isinstance(body, FileOffer):
            transfer = self._new(contact, event, body, outgoing=False, reference="")
            if await self._store.transfers.add(tx, transfer, b""):
                tx.after_commit(self._look_again)
            return True
        if not isinstance(body, FileNews):
            return True
        known = await self._store.transfers.get(tx, self._node_id, contact.peer_id, body.file_id)
        if known is None or known.state.over:
            return False
        match body:
            case FileAccept() if known.outgoing:
                if known.state is TransferState.OFFERED:  # what has gone over in slices may be all there
                    await self._save(tx, known, TransferState.ACCEPTED)
                else:
                    await self._slice_again(tx, known)
            case FileDone() if known.outgoing:
                await self._save(tx, known, TransferState.DONE)
                await self._record(tx, FileSent(contact.peer_id, known.event_id, known.file_id))
            case FileCancel(_, reason) if known.state is not TransferState.ARRIVED:
                await self._fail(tx, known, reason)
            case FileSlice(_, number, data) if not known.outgoing and known.state is not TransferState.ARRIVED:
                await self._take_slice(tx, known, number, data)
        return False

    async def _take_slice(self, tx: Transaction, transfer: Transfer, number: int, data: bytes) -> None:
        """Keep it, if this file can have it and there is room; else the file may still come on a stream, or in slices
        again when there is."""
        if self._around.files is None or not is_slice(transfer.content, number, len(data)):
            return
        if await self._store.transfers.count_slices(tx, self._node_id, transfer.peer_id) >= MAX_SLICES_KEPT:
            await self._store.transfers.save(tx, replace(transfer, reason=DROPPED))
            return
        kept = await self._store.transfers.keep_slice(tx, transfer, number, data)
        if kept == slice_count(transfer.content):
            tx.after_commit(self._look_again)

    async def _slice_again(self, tx: Transaction, transfer: Transfer) -> None:
        """The friend has not, or not any more, what went to it in slices: let it have them once more."""
        waiting = await self._store.outbox.slices(tx, self._node_id)
        if not transfer.slices or any(transfer.file_id == one.file_id for one in waiting):
            return
        allowance = self._again.setdefault(transfer.peer_id, Allowance(self._around.clock, MAX_SLICED_AGAIN))
        if allowance.grants(1):
            await self._store.transfers.note_sliced(tx, transfer, 0)
            tx.after_commit(partial(self._wake, transfer.peer_id))

    async def taken_back(self, tx: Transaction, peer_id: PeerId, event_id: EventId) -> None:
        """The friend has taken the offer back: what came of the file is erased. The friend knows; nobody is told."""
        for transfer in await self._store.transfers.of_node(tx, self._node_id, over=False):
            if (transfer.peer_id, transfer.event_id, transfer.outgoing) == (peer_id, event_id, False):
                await self._save(tx, transfer, TransferState.FAILED, CANCELLED)

    # --- by the node -------------------------------------------------------------------------------------------------

    async def decide(self, tx: Transaction, offered: Transfer, *, many: bool) -> None:
        """Take or refuse what a friend offers, if that is not for our owner to say. ``many``: as much is offered
        already as may be."""
        settings = self._around.files
        if settings is None:
            await self.give_up(tx, offered, DECLINED)
        elif offered.size > min(settings.per_friend, settings.in_all):
            await self.give_up(tx, offered, TOO_LARGE)
        elif many:
            await self.give_up(tx, offered, TOO_MANY)
        elif offered.size <= settings.auto_accept and await self._has_no_room(tx, offered) is None:
            current = await self._locked(tx, offered.peer_id, offered.file_id)
            if current.state is TransferState.OFFERED:
                await self._accept(tx, current)

    async def ask_again(self, tx: Transaction, transfer: Transfer) -> None:
        """Have the friend put a file into slices again of which there was no room for some, if there is now; a day
        later once more, should it not have come."""
        current = await self._locked(tx, transfer.peer_id, transfer.file_id)
        now = self._around.clock.now()
        is_due = current.reason == DROPPED or (current.reason == ASKED and now - current.changed_at >= ASK_AGAIN)
        if current.state is not TransferState.ACCEPTED or not is_due:
            return
        kept = await self._store.transfers.count_slices(tx, self._node_id, current.peer_id)
        if kept - current.slices + slice_count(current.content) <= MAX_SLICES_KEPT:
            with suppress(LimitReached):  # too much waits for this friend: at one of the next looks
                await self._send(tx, current.peer_id, FileAccept(current.file_id))
                await self._store.transfers.save(tx, replace(current, reason=ASKED, changed_at=now))

    async def enclose(self, tx: Transaction, transfer: Transfer, slices: Sequence[bytes]) -> bool:
        """Put a file of ours into the outbox, unless it is there or over; whether there was room. Raises: NotFound."""
        current = await self._locked(tx, transfer.peer_id, transfer.file_id)
        contact = await self._mailbox.locked(tx, transfer.peer_id)
        if current.state.over or current.slices or contact.blocked or contact.retired is not None:
            return True
        waiting = await self._store.outbox.slices(tx, self._node_id)
        room = MAX_SLICES_WAITING - sum(one.slices for one in waiting if one.peer_id == contact.peer_id)
        queued = await self._store.outbox.count(tx, self._node_id, contact.peer_id)
        if len(slices) > min(room, MAX_QUEUED - queued):
            return False
        session = Session.deserialize(contact.session)
        for number, data in enumerate(slices):
            event = self._mailbox.event(FileSlice(current.file_id, number, data))
            await self._mailbox.put(tx, contact.peer_id, session, event, file_id=current.file_id)
        contact = await self._mailbox.rekey(tx, replace(contact, session=session.serialize()))
        await self._store.contacts.save(tx, contact)
        await self._store.transfers.note_sliced(tx, current, len(slices))
        tx.after_commit(lambda: failpoint("file-enclosed"))
        tx.after_commit(partial(self._wake, contact.peer_id))
        return True

    async def arrived(self, tx: Transaction, transfer: Transfer) -> None:
        """Every chunk of an incoming file is on disk. Raises: NotFound."""
        current = await self._locked(tx, transfer.peer_id, transfer.file_id)
        if current.state is not TransferState.ACCEPTED:
            return
        await self._save(tx, current, TransferState.ARRIVED)
        await self._send(tx, current.peer_id, FileDone(current.file_id))
        await self._record(tx, FileArrived(current.peer_id, current.event_id, current.file_id))
        tx.after_commit(lambda: failpoint("file-arrived"))

    async def give_up(self, tx: Transaction, transfer: Transfer, reason: str) -> None:
        """End a transfer from our side, for a reason, and tell the friend. Raises: NotFound."""
        current = await self._locked(tx, transfer.peer_id, transfer.file_id)
        if current.state.over:
            return
        await self._fail(tx, current, reason)
        contact = await self._mailbox.locked(tx, current.peer_id)
        if not contact.blocked and contact.retired is None:
            await self._send(tx, current.peer_id, FileCancel(current.file_id, reason))

    async def disappeared(self, tx: Transaction, peer_id: PeerId, event_ids: Collection[EventId]) -> None:
        """These offers are to be seen no more: what they offered is neither sent nor kept any longer."""
        for transfer in await self._store.transfers.of_node(tx, self._node_id, over=False):
            if transfer.peer_id != peer_id or transfer.event_id not in event_ids:
                continue
            if transfer.state is TransferState.ARRIVED:
                await self._save(tx, transfer, TransferState.DONE)
            else:
                await self.give_up(tx, transfer, CANCELLED)

    async def expire(self, tx: Transaction) -> None:
        """Give up what has waited too long, have what may be asked for again looked at, and forget what has been over
        for long."""
        now = self._around.clock.at_least()
        transfers = await self._store.transfers.of_node(tx, self._node_id, over=False)
        for transfer in sorted(transfers, key=lambda one: one.peer_id):  # each locks its contact
            if transfer.state is not TransferState.ARRIVED and transfer.created_at < now - OFFER_LIFETIME:
                await self.give_up(tx, transfer, EXPIRED)
            elif transfer.reason == ASKED:
                tx.after_commit(self._look_again)
        await self._store.transfers.forget(tx, self._node_id, now - REMEMBERED)

    # --- inside ------------------------------------------------------------------------------------------------------

    async def _locked(self, tx: Transaction, peer_id: PeerId, file_id: FileId) -> Transfer:
        """The transfer, and before it the contact, locked, as `take` finds them. Raises: NotFound."""
        await self._mailbox.locked(tx, peer_id)
        return await self.get(tx, peer_id, file_id)

    def _new(self, contact: Contact, event: Event, offer: FileOffer, *, outgoing: bool, reference: str) -> Transfer:
        now = self._around.clock.now()
        return Transfer(
            node_id=self._node_id,
            peer_id=contact.peer_id,
            file_id=offer.content.file_id,
            event_id=event.event_id,
            part_id=self._around.random(PART_ID_SIZE),
            outgoing=outgoing,
            key=offer.content.key,
            size=offer.content.size,
            root=offer.content.root,
            name=offer.name,
            mime=offer.mime,
            kind=offer.kind,
            reference=reference,
            state=TransferState.OFFERED,
            reason="",
            created_at=now,
            changed_at=now,
        )

    async def _has_no_room(self, tx: Transaction, transfer: Transfer) -> str | None:
        """Why there is no room for an incoming file, None when there is."""
        settings = self._around.files
        if settings is None:
            return "files are not set up here"
        of_friend = await self._store.transfers.kept(tx, self._node_id, transfer.peer_id)
        if of_friend + transfer.size > settings.per_friend:
            return "there is no room for more files of this friend: save or cancel others first"
        if await self._store.transfers.kept(tx) + transfer.size > settings.in_all:
            return "there is no room for more files: save or cancel others first"
        return None

    async def _accept(self, tx: Transaction, transfer: Transfer) -> None:
        await self._save(tx, transfer, TransferState.ACCEPTED, transfer.reason)  # what was dropped is asked for next
        await self._send(tx, transfer.peer_id, FileAccept(transfer.file_id))

    async def _fail(self, tx: Transaction, transfer: Transfer, reason: str) -> None:
        await self._save(tx, transfer, TransferState.FAILED, reason)
        failed = FileFailed(transfer.peer_id, transfer.event_id, transfer.file_id, in_words(reason))
        await self._record(tx, failed)

    async def _save(self, tx: Transaction, transfer: Transfer, state: TransferState, reason: str = "") -> None:
        now = self._around.clock.now()
        await self._store.transfers.save(tx, replace(transfer, state=state, reason=reason, changed_at=now))
        tx.after_commit(self._look_again)

    async def _send(self, tx: Transaction, peer_id: PeerId, body: Body) -> EventId:
        event = self._mailbox.event(body)
        await self._mailbox.send(tx, peer_id, event)
        tx.after_commit(partial(self._wake, peer_id))
        return event.event_id

    async def _record(self, tx: Transaction, happening: FileArrived | FileSent | FileFailed) -> None:
        await self._around.observer.record(tx, self._node_id, happening)
