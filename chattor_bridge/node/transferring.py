"""The files of one node at work: which of them go over now, on which streams.

Implements docs/protocol/files.md, "Stream". What is on disk is compared with what runs, as everywhere in a node. A file
whose friend is not there takes no place: the link says who is there, and only then is a file stream dialled.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from chattor_bridge.errors import FileUnavailable, NotFound, PeerMisbehaved, Unavailable
from chattor_bridge.ids import FileId, NodeId, OnionKey, PeerId
from chattor_bridge.node.fetching import FetchingFile
from chattor_bridge.node.fileconnection import FileConnection, FileStreamEnded
from chattor_bridge.node.filedesk import ASKED, DROPPED, FileDesk
from chattor_bridge.node.friendship import REDIAL
from chattor_bridge.node.patience import DIAL_TIMEOUT, describe, jitter, within
from chattor_bridge.node.ports import Stream, Transaction
from chattor_bridge.node.records import Contact, Transfer, TransferState
from chattor_bridge.node.serving import ServingFile
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.files import CORRUPT, FILE_CHANGED
from chattor_bridge.protocol.filestream import Begun, FileStream, Opened
from chattor_bridge.protocol.handshake import LinkKeys, Purpose, Secured
from chattor_bridge.protocol.limits import HANDSHAKE_TIMEOUT, MAX_FILE_STREAMS, MAX_OFFERS
from chattor_bridge.protocol.link import Pattern
from chattor_bridge.protocol.primitives import hash256
from chattor_bridge.protocol.session import Session

log = logging.getLogger(__name__)

FETCHED_AT_ONCE: Final = 8
"""Files that one node fetches at a time; the others wait. More would only share one line's rate."""

FETCHED_OF_FRIEND: Final = 2
"""Of these, files of one friend."""

STALLED: Final = 600.0
"""Seconds without a chunk after which a file makes room for others that wait."""

STREAMS_OF_FILE: Final = 3
"""Streams on which one side has a large file go over, each on a circuit of its own."""

LARGE: Final = 64
"""Chunks from which on a file is worth more than one circuit (3.75 MiB): building one takes seconds."""

LOOK_INTERVAL: Final = 15.0
"""Seconds between two looks for streams that have died."""

OTHER_DIALS_FIRST: Final = 60.0
"""Seconds without a stream after which the side that should be dialled dials."""

TRIES_AT_ONCE: Final = 3
"""Tries without success after which the waits grow to those for a friend who is away: the link says that this one is
there, and what makes the file known there may be on its way over it."""

Key = tuple[PeerId, FileId]


@dataclass(eq=False)
class _Job:
    """A file that goes over, or could: the friend is there."""

    file: FetchingFile | ServingFile
    streams: set[FileConnection] = field(default_factory=set)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    done: int = -1
    done_at: float = 0.0

    def advanced(self, now: float) -> float:
        """Seconds since a chunk was last seen to have come or gone."""
        if self.file.done != self.done:
            self.done, self.done_at = self.file.done, now
        return now - self.done_at


class Transferring:
    """Every file of one node. `run` must be running for anything to happen."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        desk: FileDesk,
        *,
        online: Callable[[PeerId], bool],
        follow: Callable[[PeerId, OnionKey], Awaitable[None]],
    ) -> None:
        """``online`` says whether a link to this friend is up; call `look_again` when that changes. ``follow`` as
        `Friendship.follow`."""
        self._around = around
        self._store = around.store
        self._node_id = node_id
        self._desk = desk
        self._online = online
        self._follow = follow
        self._jobs: dict[Key, _Job] = {}
        self._rested: dict[Key, float] = {}
        self._crowded = False
        self._streams: dict[PeerId, int] = {}
        self._look = asyncio.Event()

    def look_again(self) -> None:
        """Something changed on disk, or a friend came or went."""
        self._look.set()

    async def woken(self) -> None:
        """The machine slept: no stream has lived through that."""
        for connection in [one for job in self._jobs.values() for one in job.streams]:
            await connection.drop()

    def progress(self, transfer: Transfer) -> tuple[int, int, str]:
        """Of a file: chunks that have gone over, streams at work, and what is in its way."""
        job = self._jobs.get((transfer.peer_id, transfer.file_id))
        if job is None:
            return transfer.came, 0, ""
        return job.file.done, len(job.streams), job.file.trouble.reason

    async def run(self) -> None:
        """Work until cancelled."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._watch())
                while True:
                    self._look.clear()
                    for transfer, contact in (await self._around.insist(self._read, on_failure=_log)).values():
                        self._begin(group, transfer, contact)
                    await self._sweep()
                    await self._look.wait()
        finally:
            self._jobs.clear()

    # --- what is to be done ------------------------------------------------------------------------------------------

    async def _read(self) -> dict[Key, tuple[Transfer, Contact]]:
        """What could go over now and does not yet; what runs and should not is ended."""
        async with self._store.transaction() as tx:
            contacts = {
                contact.peer_id: contact
                for contact in await self._store.contacts.of_node(tx, self._node_id)
                if not contact.blocked and contact.retired is None
            }
            known = Counter[PeerId]()
            for transfer in await self._store.transfers.of_node(tx, self._node_id, over=False):
                known[transfer.peer_id] += 1
                if transfer.state is TransferState.OFFERED and not transfer.outgoing and transfer.peer_id in contacts:
                    await self._desk.decide(tx, transfer, many=known[transfer.peer_id] > MAX_OFFERS)
                elif transfer.reason in (DROPPED, ASKED) and transfer.peer_id in contacts:
                    await self._desk.ask_again(tx, transfer)
            in_envelopes = {(one.peer_id, one.file_id) for one in await self._store.outbox.slices(tx, self._node_id)}
            under_way = {
                key: transfer
                for transfer in await self._store.transfers.of_node(tx, self._node_id, over=False)
                if transfer.state is TransferState.ACCEPTED
                and transfer.peer_id in contacts
                and (key := (transfer.peer_id, transfer.file_id)) not in in_envelopes
            }
        if self._around.files is None:  # they were set up once
            under_way.clear()
        self._crowded = False
        for key, job in list(self._jobs.items()):
            now = under_way.get(key)
            if now is None or now.is_here != job.file.transfer.is_here or not (job.streams or self._can_begin(now)):
                await self._end(key)
        self._rested = {key: at for key, at in self._rested.items() if key in under_way}
        fetched = Counter(key[0] for key, job in self._jobs.items() if isinstance(job.file, FetchingFile))
        beginning = {}
        for key in sorted(under_way, key=lambda key: self._rested.get(key, 0.0)):  # oldest first of equals
            if key in self._jobs or not self._can_begin(under_way[key]):
                continue
            if not under_way[key].outgoing and not under_way[key].is_here:
                if fetched[key[0]] >= FETCHED_OF_FRIEND or fetched.total() >= FETCHED_AT_ONCE:
                    self._crowded = True
                    continue
                fetched[key[0]] += 1
            beginning[key] = (under_way[key], contacts[key[0]])
        return beginning

    def _can_begin(self, transfer: Transfer) -> bool:
        """Whether the friend is there, or not needed."""
        return transfer.is_here or self._online(transfer.peer_id)

    def _begin(self, group: asyncio.TaskGroup, transfer: Transfer, contact: Contact) -> None:
        settings = self._around.files
        assert settings is not None  # else nothing is under way
        file: FetchingFile | ServingFile
        if transfer.outgoing:
            file = ServingFile(self._around, settings.sources, transfer, changed=partial(self._give_up, FILE_CHANGED))
        else:
            file = FetchingFile(
                self._around, settings.parts, transfer, arrived=self._arrived, corrupt=partial(self._give_up, CORRUPT)
            )
        job = self._jobs[transfer.peer_id, transfer.file_id] = _Job(file)
        if isinstance(file, FetchingFile):
            job.tasks.append(group.create_task(self._keep_running(job, file)))
        if contact.peer_onion is not None and not transfer.is_here:
            first = not transfer.outgoing or contact.hosted_seed is None
            wanted = STREAMS_OF_FILE if transfer.content.count >= LARGE else 1
            for number in range(wanted):
                dialling = self._keep_dialling(job, number, 0.0 if first else OTHER_DIALS_FIRST)
                job.tasks.append(group.create_task(dialling))

    async def _end(self, key: Key) -> None:
        job = self._jobs.pop(key, None)
        if job is None:
            return  # whoever else looks after the files has ended it
        for task in job.tasks:
            task.cancel()
        for connection in list(job.streams):
            await connection.drop()
        # A part that is just being made would come after the sweep.
        await asyncio.gather(*job.tasks, return_exceptions=True)

    async def _keep_running(self, job: _Job, file: FetchingFile) -> None:
        def failed(error: Exception, delay: float) -> None:
            file.trouble.failed(describe(error), self._around.clock.monotonic() + delay)

        await self._around.insist(file.run, on_failure=failed)
        for connection in list(job.streams):
            await connection.close("done")

    async def _arrived(self, transfer: Transfer) -> None:
        await self._insist(lambda tx: self._desk.arrived(tx, transfer))

    async def _give_up(self, reason: str, transfer: Transfer) -> None:
        await self._insist(lambda tx: self._desk.give_up(tx, transfer, reason))

    async def _insist(self, decision: Callable[[Transaction], Awaitable[None]]) -> None:
        """Until the database and the observer have it, or the friend was forgotten meanwhile."""

        async def decide() -> None:
            async with self._store.transaction() as tx:
                await decision(tx)

        with suppress(NotFound):
            await self._around.insist(decide, on_failure=_log, give_up=(NotFound,))

    async def _sweep(self) -> None:
        """Erase from disk what no file that is under way or to be taken needs."""
        settings = self._around.files
        if settings is None:
            return
        there = await settings.parts.all()  # before asking what is needed: what comes meanwhile stays
        if not there:
            return
        needed = await self._around.insist(self._needed, on_failure=_log)
        for part_id in there - needed:
            await settings.parts.remove(part_id)

    async def _needed(self) -> set[bytes]:
        async with self._store.transaction() as tx:
            return await self._store.transfers.parts(tx)

    async def _watch(self) -> None:
        while True:
            await self._around.clock.sleep(LOOK_INTERVAL)
            for key, job in list(self._jobs.items()):
                for connection in [one for one in job.streams if one.stale]:
                    await connection.drop()
                if job.advanced(self._around.clock.monotonic()) >= STALLED and self._crowded:
                    self._rested[key] = self._around.clock.monotonic()
                    await self._end(key)
                    self.look_again()

    # --- streams -----------------------------------------------------------------------------------------------------

    async def answer(
        self, peer_id: PeerId, stream: Stream, secured: Secured, first: bytes, *, on_proven: Callable[[], None]
    ) -> None:
        """Work on a file stream that the friend dialled, to its end. ``on_proven`` as in `Friendship.answer`.

        Raises: PeerMisbehaved, Unavailable, TimeoutError.
        """
        connection = FileConnection(stream, FileStream.answered(secured, first), self._around.clock)
        await connection.flush()
        opened = await within(self._around.clock, HANDSHAKE_TIMEOUT, connection.first())
        assert isinstance(opened, Opened)  # an answering file stream lets nothing else come first
        on_proven()
        job = self._jobs.get((peer_id, opened.file_id))
        if job is None or self._streams.get(peer_id, 0) >= MAX_FILE_STREAMS:
            await connection.close("later" if job is not None else await self._refusal(peer_id, opened.file_id))
            return
        connection.file_stream.ready(job.file.role, job.file.have)
        await self._work(job, connection, opened.have)

    async def _refusal(self, peer_id: PeerId, file_id: FileId) -> str:
        async with self._store.transaction() as tx:
            transfer = await self._store.transfers.get(tx, self._node_id, peer_id, file_id)
        if transfer is None or transfer.state is not TransferState.ACCEPTED:
            return "unknown"
        self.look_again()  # what waited in envelopes may have gone over without this file
        return "later"

    async def _keep_dialling(self, job: _Job, number: int, delay: float) -> None:
        """Have a stream dialled whenever this one is not there."""
        trouble, clock = job.file.trouble, self._around.clock
        backoff, soon, tries = self._around.dialling(), self._around.repairing(), 0
        while True:
            await clock.sleep(delay)
            if number < len(job.streams):  # the friend dials, or another of ours
                delay = OTHER_DIALS_FIRST
                continue
            before = job.file.done
            try:
                await self._dial(job, number)
            except FileStreamEnded as ended:
                tries += 1
                trouble.reason = "the friend's program asks for patience" if ended.reason == "later" else ""
            except (Unavailable, NotFound, PeerMisbehaved, TimeoutError) as error:
                tries += 1
                trouble.failed(describe(error) or "the friend did not answer in time", clock.monotonic())
            if job.file.done > before:
                backoff.reset()
                soon.reset()
                tries = 0
                delay = min(jitter(self._around.random, *REDIAL), self._around.pace.dial_first)
            else:
                delay = soon.next() if tries < TRIES_AT_ONCE else backoff.next()

    async def _dial(self, job: _Job, number: int) -> None:
        """Dial the friend's onion for a file, and work on the stream to its end. Raises: what went wrong."""
        transfer = job.file.transfer
        async with self._store.transaction() as tx:
            contact = await self._store.contacts.get(tx, self._node_id, transfer.peer_id)
        if contact is None or contact.peer_onion is None:
            raise NotFound("this friend hosts no onion now")
        onion, session = contact.peer_onion, Session.deserialize(contact.session)
        await self._follow(transfer.peer_id, onion)
        keys = LinkKeys(
            contact.own_static, contact.peer_static, session.link_psk, Pattern.KK, contact.role, Purpose.FILE
        )
        isolation = hash256("node/file", self._node_id, transfer.peer_id, transfer.file_id, bytes([number]))
        stream = await self._around.transport.dial(
            onion, client_key=session.onion_auth_key(onion), isolation=isolation.hex(), timeout=DIAL_TIMEOUT
        )
        try:
            file_stream = FileStream.dial(
                keys, onion, self._around.random, transfer.file_id, job.file.role, job.file.have
            )
            connection = FileConnection(stream, file_stream, self._around.clock)
            await connection.flush()
            begun = await within(self._around.clock, HANDSHAKE_TIMEOUT, connection.first())
            assert isinstance(begun, Begun)  # as above
            await self._work(job, connection, begun.have)
        finally:
            await stream.close()

    async def _work(self, job: _Job, connection: FileConnection, have: int | None) -> None:
        """Have the file go over on an open stream, to its end. Raises: PeerMisbehaved, Unavailable."""
        peer_id = job.file.transfer.peer_id
        if isinstance(job.file, ServingFile):
            job.file.begins(have)
        job.streams.add(connection)
        self._streams[peer_id] = self._streams.get(peer_id, 0) + 1
        last_word = ""
        try:
            await connection.flush()
            last_word = await job.file.serve(connection)
        except (FileUnavailable, FileStreamEnded) as error:
            last_word = "" if isinstance(error, FileStreamEnded) else "later"
            raise
        finally:
            job.streams.discard(connection)
            self._streams[peer_id] -= 1
            if not self._streams[peer_id]:
                del self._streams[peer_id]
            await connection.close(last_word)
            if not job.streams:
                self.look_again()


def _log(error: Exception, delay: float) -> None:
    log.error("the files of a node have to wait: %s", describe(error))
