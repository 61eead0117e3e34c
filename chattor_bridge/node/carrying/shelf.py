"""The onion of one shelf that we hold: whoever knows its capability may leave blocks there.

Implements docs/protocol/carriers.md, "Depositing", the carrier's side.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from chattor_bridge.errors import LimitReached, NotFound, PeerMisbehaved, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, OnionKey
from chattor_bridge.node.antechamber import Antechamber
from chattor_bridge.node.carrying.quota import Quota
from chattor_bridge.node.carrying.records import HeldShelf
from chattor_bridge.node.patience import describe, within
from chattor_bridge.node.ports import Stream, Transaction
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.deposit import CarrierEnd, auth_key
from chattor_bridge.protocol.limits import DEPOSIT_TIMEOUT, HANDSHAKE_TIMEOUT, MAX_DEPOSIT_STREAMS
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public

log = logging.getLogger(__name__)

_GONE: Final = "a shelf was closed while somebody left something"


class Shelf:
    """Answers every stream to the onion of a shelf."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        record: HeldShelf,
        counters: Counters,
        quota: Quota,
        on_kept: Callable[[], None],
    ) -> None:
        """``on_kept`` is called when there is something to hand over."""
        self._around = around
        self._node_id = node_id
        self._record = record
        self._counters = counters
        self._quota = quota
        self._on_kept = on_kept
        self._streams = Antechamber(MAX_DEPOSIT_STREAMS)
        self._closed = False
        self.onion = OnionKey(ed25519_public(record.onion_seed))
        self.clients = frozenset({x25519_public(auth_key(record.capability, self.onion))})

    async def serve(self, stream: Stream) -> None:
        """Answer one stream, to its end. Never raises but for cancellation."""
        try:
            await self._streams.enter(stream)
            if self._closed:  # while this stream was on its way in
                raise NotFound(_GONE)
            end = CarrierEnd(self._record.static, self.onion, self._record.capability, self._around.random)
            await within(self._around.clock, HANDSHAKE_TIMEOUT, self._shake_hands(stream, end))
            await self._take(stream, end)
        except (PeerMisbehaved, TimeoutError) as error:
            self._counters.strangers += 1
            log.info("a stream to a shelf ended: %s", describe(error) or "it stalled")
        except (Unavailable, NotFound, LimitReached) as error:
            log.info("a stream to a shelf ended: %s", describe(error))
        finally:
            self._streams.leave(stream)
            await stream.close()

    async def close(self) -> None:
        """Nothing is taken any more: end every stream. What is on disk decides; this only tells whoever waits."""
        self._closed = True
        await self._streams.turn_out()

    async def _shake_hands(self, stream: Stream, end: CarrierEnd) -> None:
        while not end.established:
            data = await stream.read()
            if not data:
                raise NotFound("whoever came to a shelf hung up during the handshake")
            end.receive(data)

    async def _take(self, stream: Stream, end: CarrierEnd) -> None:
        kept = 0
        async with self._around.store.transaction() as tx:
            end.stored(0, await self._room(tx))
        while True:
            await stream.write(end.data_to_send())
            if kept:
                failpoint("deposit-answered")
            blocks = await within(self._around.clock, DEPOSIT_TIMEOUT, _hear(stream, end))
            if not blocks:
                return
            room = await self._keep(blocks)
            failpoint("block-kept")
            kept += len(blocks)
            end.stored(kept, room)

    async def _keep(self, blocks: list[bytes]) -> int:
        """Put blocks on the shelf; for how many more there is room. Raises: LimitReached when others have come in
        between, NotFound."""
        async with self._around.store.transaction() as tx:
            room = await self._room(tx) - len(blocks)
            if room < 0:
                raise LimitReached("there is no room on a shelf, or for anything more")
            record, now = self._record, self._around.clock.now()
            await self._around.store.carriages.keep(tx, self._node_id, record.peer_id, record.shelf_id, blocks, now)
            tx.after_commit(self._on_kept)
        return room

    async def _room(self, tx: Transaction) -> int:
        """For how many blocks there is room until the end of ``tx``: the shelf is locked. Raises: NotFound."""
        record, carriages = self._record, self._around.store.carriages
        shelf = await carriages.lock_shelf(tx, self._node_id, record.peer_id, record.shelf_id)
        carriage = await carriages.get(tx, self._node_id, record.peer_id)
        if shelf is None or shelf.closed_at is not None or carriage is None:
            raise NotFound(_GONE)
        held = await carriages.count(tx, self._node_id, record.peer_id, record.shelf_id)
        return max(0, min(carriage.blocks - held, await self._quota.room(tx)))


async def _hear(stream: Stream, end: CarrierEnd) -> list[bytes]:
    """The next blocks, none at the end of the stream; bytes that come to no block are no sign of life."""
    while data := await stream.read():
        if events := end.receive(data):
            return [event.block for event in events]
    return []
