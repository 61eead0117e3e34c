"""A door of ours: strangers knock, and a knock is answered when it is on disk. Implements docs/protocol/knock.md,
door's side.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from chattor_bridge.errors import LimitReached, PeerMisbehaved, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import KnockId, OnionKey
from chattor_bridge.node.antechamber import Antechamber
from chattor_bridge.node.happenings import CodeClosed, KnockGone, KnockReceived
from chattor_bridge.node.patience import describe, within
from chattor_bridge.node.ports import Stream, Transaction
from chattor_bridge.node.proving import Proving
from chattor_bridge.node.records import DoorRecord, PendingKnock
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide, KnockArrived
from chattor_bridge.protocol.effort import Proof
from chattor_bridge.protocol.limits import DOOR_STREAM_TIMEOUT, MAX_DOOR_STREAMS, MAX_PENDING_KNOCKS, USED_UP_GRACE
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public

log = logging.getLogger(__name__)

ID_SIZE: Final = 16
"""Bytes of every identifier we draw."""

STORED, KNOWN, FULL, CLOSED = "stored", "known", "full", "closed"
"""What a receipt says: it waits for its owner; it has been accepted already; come again later; this code serves nobody
any more."""


MADE_ROOM: Final = "more requests came than can wait, and this one had cost its sender the least"
USED_UP: Final = "has brought as many requests as it was made for; nobody else can use it"


class Door:
    """Serves the streams of one door."""

    def __init__(self, around: Surroundings, record: DoorRecord, counters: Counters, proving: Proving) -> None:
        self._around = around
        self._record = record
        self._counters = counters
        self._proving = proving
        self._secrets = DoorSecrets(record.onion_seed, record.identity_key, record.secret)
        self._antechamber = Antechamber(MAX_DOOR_STREAMS)
        self.onion = OnionKey(ed25519_public(record.onion_seed))
        auth_key = self._secrets.code.auth_key
        self.clients = None if auth_key is None else frozenset({x25519_public(auth_key)})

    async def serve(self, stream: Stream) -> None:
        """Serve one stream, to its end. Never raises but for cancellation."""
        try:
            await self._antechamber.enter(stream)
            await within(self._around.clock, DOOR_STREAM_TIMEOUT, self._serve(stream))
        except (PeerMisbehaved, LimitReached, TimeoutError) as error:
            self._counters.door_refused += 1
            log.info("a stream at a door was refused: %s", describe(error) or "it stalled")
        except Unavailable as error:
            log.info("a stream at a door ended: %s", describe(error))
        except Exception as error:
            # The observer or the store would not have it: no receipt, so the knocker comes again.
            log.error("a knock could not be stored: %s", describe(error))
        finally:
            self._antechamber.leave(stream)
            await stream.close()

    async def _serve(self, stream: Stream) -> None:
        around = self._around
        side = DoorSide(self._secrets, random=around.random, work_bits=around.work_bits, effort_bits=around.effort_bits)
        proof = await self._listen(stream, side)
        if proof is None:
            return
        self._antechamber.leave(stream)  # only a stream that has shown no work makes room for others
        arrived = side.open(await self._proving.effort(proof))
        status = await self._store(arrived)
        failpoint("knock-stored")
        await stream.write(side.acknowledge(status))

    async def _listen(self, stream: Stream, side: DoorSide) -> Proof | None:
        """Talk until a knock has come, whose proof is to be checked; None when the stream ends first."""
        while data := await stream.read():
            for proof in side.receive(data, now=self._around.clock.wall()):
                return proof
            answer = side.data_to_send()
            if answer:
                await stream.write(answer)
        return None

    async def _store(self, arrived: KnockArrived) -> str:
        """Put the knock on disk; the word for the receipt."""
        knock = PendingKnock(
            knock_id=KnockId(self._around.random(ID_SIZE)),
            node_id=self._record.node_id,
            door_id=self._record.door_id,
            peer_id=arrived.peer_id,
            peer_static=arrived.peer_static,
            peer_onion=arrived.introduction.onion,
            name=arrived.introduction.name,
            note=arrived.introduction.note,
            capabilities=arrived.introduction.capabilities,
            session=arrived.session.serialize(),
            received_at=self._around.clock.now(),
            effort=arrived.effort,
            exempt=bool(self._record.secret),
        )
        async with self._around.store.transaction() as tx:
            return await self._put(tx, knock)

    async def _put(self, tx: Transaction, knock: PendingKnock) -> str:
        store, now = self._around.store, self._around.clock.now()
        await store.knocks.decide_pending(tx, knock.node_id)
        door = await store.doors.for_update(tx, knock.door_id)
        if await store.contacts.by_static(tx, knock.node_id, knock.peer_static) is not None:
            return KNOWN
        waiting = await store.knocks.pending(tx, knock.node_id)
        if any(one.blocked and one.peer_static == knock.peer_static for one in waiting):
            return KNOWN
        again = next((one for one in waiting if one.peer_static == knock.peer_static), None)
        if again is None or again.door_id != knock.door_id:  # with another code, it is a use of that one
            if door is None or door.has_expired(now) or door.is_used_up:
                return CLOSED
            if again is None and len(waiting) >= MAX_PENDING_KNOCKS and not knock.exempt:
                weaker = _weakest(waiting, than=knock)
                if weaker is None:
                    return FULL
                await store.knocks.remove_pending(tx, weaker.knock_id)
                await self._around.observer.record(tx, knock.node_id, KnockGone(weaker.knock_id, MADE_ROOM))
            await self._use(tx, door, now)
        knock_id = await store.knocks.put_pending(tx, knock)
        standing = await store.knocks.get_pending(tx, knock_id)
        if standing is not None and not standing.ignored:
            received = KnockReceived(knock_id, knock.name, knock.note, self._record.label, standing.order)
            await self._around.observer.record(tx, knock.node_id, received)
        return STORED

    async def _use(self, tx: Transaction, door: DoorRecord, now: int) -> None:
        """Count a request. After the last one the door stays for those whose receipt gets lost, but not for ever."""
        used = replace(door, uses=door.uses + 1)
        if used.is_used_up:
            used = used.closing(now + USED_UP_GRACE)
            if not door.secret:  # of a one-time code, the request tells that it was used
                await self._around.observer.record(tx, door.node_id, CodeClosed(door.label, USED_UP))
        await self._around.store.doors.save(tx, used)


def _weakest(waiting: Sequence[PendingKnock], *, than: PendingKnock) -> PendingKnock | None:
    """Which of these, most effort first, makes room for ``than``; None when it must come again.

    What its owner ignored goes first, whatever it has cost. What its owner has seen, or was left with a one-time code,
    stays, and of the rest the newest of those with the least effort goes, if ``than`` shows more.
    """
    for one in reversed(waiting):
        if one.ignored:
            return one
    for one in reversed(waiting):
        if not one.seen and not one.exempt:
            return one if one.effort < than.effort else None
    return None
