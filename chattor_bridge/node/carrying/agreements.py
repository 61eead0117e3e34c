"""What friends agree on about carrying: what our owner wants and what friends say is taken in here.

Nothing is answered in the transaction in which something arrives: see `chattor_bridge.node.carrying.settling`.
Implements docs/protocol/carriers.md, "Agreeing" and "Shelves".
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Final

from chattor_bridge.errors import LimitReached, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, PeerId, ShelfId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.carrying.quota import Quota
from chattor_bridge.node.carrying.records import Carriage, Carrier, CarryingInfo, HeldShelf, OwnShelf
from chattor_bridge.node.carrying.settling import ASKED_ANEW, Settling, without
from chattor_bridge.node.happenings import CARRY_ASKED, CARRY_BEGUN, CARRY_ENDED, CARRY_OFFERED, CarriersLost
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.carrying import (
    CARRIER,
    RECIPIENT,
    CarryAsk,
    CarryEnd,
    CarryEvent,
    CarryOffer,
    ShelfClose,
    ShelfEvent,
    ShelfOpen,
    ShelfReady,
    Shelves,
)
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.limits import (
    MAX_CARRIED_SHELVES,
    MAX_HELD_SHELVES,
    MAX_SHELF_BLOCKS,
    MAX_SHELVES,
    MAX_SHELVES_OPENED,
)
from chattor_bridge.protocol.primitives import KEY_SIZE
from chattor_bridge.protocol.session import Session

log = logging.getLogger(__name__)

MOST_OWN_SHELVES: Final = 4 * MAX_SHELVES
"""Shelves at one carrier of which a note is kept, up to which it may name some that we know nothing of: twice as many
as it can have open for us."""

NO_SHELF: Final = (
    f"this program hosts {MAX_CARRIED_SHELVES} shelves for friends, as many as it can: carry shows whose mail you "
    "hold, and carry stop ends that for one"
)

_UNKNOWN: Final = b"?"
"""Instead of the digest of what a sender knows, when that may be anything."""


class Agreements(Settling):
    """Of one node, in all three parts."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        mailbox: Mailbox,
        *,
        look_again: Callable[[], None],
        wake: Callable[[PeerId], None],
    ) -> None:
        """``look_again`` is called after a commit from which something follows; ``wake`` as for `Settling`."""
        super().__init__(around, node_id, mailbox, wake=wake)
        self._policy = around.carry_policy
        self.quota = Quota(around, node_id)
        self._look_again = look_again
        self._opened: dict[PeerId, Allowance] = {}

    # --- what our owner wants ----------------------------------------------------------------------------------------

    async def ask(self, tx: Transaction, peer_id: PeerId) -> None:
        """Ask a friend to carry for us. Raises: NotFound, UsageError, LimitReached."""
        await self._mailbox.locked(tx, peer_id)
        carrier = await self._store.carriers.get(tx, self._node_id, peer_id) or Carrier(peer_id)
        await self._send(tx, peer_id, CarryAsk())
        await self._store.carriers.put(tx, self._node_id, replace(carrier, asked=True))
        tx.after_commit(self._look_again)

    async def leave(self, tx: Transaction, peer_id: PeerId) -> None:
        """Have a friend carry for us no more. Raises: NotFound when it does not, UsageError, LimitReached."""
        await self._mailbox.locked(tx, peer_id)
        carrier = await self._store.carriers.get(tx, self._node_id, peer_id)
        if carrier is None or not carrier.asked:
            raise UsageError("this friend does not carry for you, and was not asked to")
        await self._send(tx, peer_id, CarryEnd(RECIPIENT))
        await self._store.carriers.put(tx, self._node_id, replace(carrier, asked=False, used=False))
        tx.after_commit(lambda: failpoint("carry-left"))
        tx.after_commit(self._look_again)

    async def offer(
        self, tx: Transaction, peer_id: PeerId, shelves: int | None = None, blocks: int = MAX_SHELF_BLOCKS
    ) -> None:
        """Carry for a friend, asked or unasked, or change how much; without ``shelves`` so that there is something for
        those who ask later. Raises: NotFound, UsageError; LimitReached when there is no shelf."""
        await self._mailbox.locked(tx, peer_id)
        most = await self._fair(tx, peer_id, MAX_SHELVES)
        if not most:
            raise LimitReached(NO_SHELF)
        shelves = most if shelves is None else shelves
        if not 1 <= shelves <= MAX_SHELVES or not 1 <= blocks <= MAX_SHELF_BLOCKS:
            raise UsageError(f"1 to {MAX_SHELVES} shelves can be offered, with 1 to {MAX_SHELF_BLOCKS} blocks on each")
        await self._store.carriages.put(tx, self._node_id, Carriage(peer_id, shelves, blocks))
        tx.after_commit(self._look_again)

    async def stop(self, tx: Transaction, peer_id: PeerId) -> None:
        """Carry for a friend no more; what is held can still be collected. Raises: NotFound, UsageError."""
        await self._mailbox.locked(tx, peer_id)
        carriage = await self._store.carriages.get(tx, self._node_id, peer_id)
        if carriage is None or not carriage.shelves or carriage.ended_at is not None:
            raise UsageError("you do not carry for this friend")
        await self._send(tx, peer_id, CarryEnd(CARRIER))
        await self._end_carriage(tx, carriage)

    async def part(self, tx: Transaction, peer_id: PeerId) -> None:
        """A friendship ends: nothing more is to be left where this friend could."""
        now = self._around.clock.now()
        for shelf in await self._store.carriers.shelves(tx, self._node_id):
            if peer_id in shelf.senders:
                await self._store.carriers.save_shelf(tx, self._node_id, without(shelf, [peer_id], now))

    async def join(self, tx: Transaction, survivor: PeerId, former: PeerId) -> None:
        """Two friendships become one, on both sides: who carries for the other in the former goes on in the survivor,
        with shelves of its own. The carrier offers that anew, which no one has to ask for."""
        carriages, carriers = self._store.carriages, self._store.carriers
        ours, theirs = [await carriages.get(tx, self._node_id, one) for one in (survivor, former)]
        holds = ours is not None and ours.shelves and ours.ended_at is None
        if theirs is not None and theirs.ended_at is None and not holds:
            offered = not theirs.shelves  # or there is nothing to offer until our owner has answered
            await carriages.put(tx, self._node_id, Carriage(survivor, theirs.shelves, theirs.blocks, offered))
        wanted = await carriers.get(tx, self._node_id, former)
        if wanted is not None and wanted.asked:
            known = await carriers.get(tx, self._node_id, survivor) or Carrier(survivor)
            await carriers.put(tx, self._node_id, replace(known, asked=True))

    async def overview(self) -> list[CarryingInfo]:
        """What is agreed with each friend with whom something is, or was asked. Raises: DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            peers = [one.peer_id for one in await self._store.contacts.of_node(tx, self._node_id)]
            carriers = {one.peer_id: one for one in await self._store.carriers.of_node(tx, self._node_id)}
            carriages = {one.peer_id: one for one in await self._store.carriages.of_node(tx, self._node_id)}
            held = {peer_id: await self._store.carriages.count(tx, self._node_id, peer_id) for peer_id in carriages}
            shelves = Counter(one.peer_id for one in await self._store.carriages.shelves(tx, self._node_id))
            ours = [one for one in await self._store.carriers.shelves(tx, self._node_id) if one.superseded_at is None]
        answered = {one.carrier_id for one in ours if one.deposit is not None}
        unheard = {one.carrier_id for one in ours} - answered
        return [
            CarryingInfo(
                peer_id,
                carriers.get(peer_id),
                carriages.get(peer_id),
                held.get(peer_id, 0),
                shelves[peer_id],
                is_ready=peer_id not in unheard,
            )
            for peer_id in peers
            if peer_id in carriers or peer_id in carriages
        ]

    # --- what friends say --------------------------------------------------------------------------------------------

    async def take(self, tx: Transaction, contact: Contact, body: CarryEvent | ShelfEvent) -> Unknown | None:
        """What to show our owner for it. In the transaction in which it arrives."""
        peer_id = contact.peer_id
        tx.after_commit(self._look_again)
        match body:
            case CarryAsk():
                return await self._asked(tx, peer_id)
            case CarryOffer(shelves, blocks):
                return await self._offered(tx, peer_id, shelves, blocks)
            case CarryEnd(role):
                return await self._ended(tx, peer_id, role)
            case ShelfOpen(shelf_id, capability):
                await self._open_held(tx, peer_id, shelf_id, capability)
            case ShelfReady(shelf_id, onion, static):
                shelf = await self._store.carriers.shelf(tx, self._node_id, peer_id, shelf_id)
                if shelf is None:
                    await self._disown(tx, peer_id, shelf_id)
                elif shelf.onion is None:  # it is not moved: each move is told to its senders
                    opened_at = shelf.opened_at or self._around.clock.now()  # it crossed an offer
                    ready = replace(shelf, onion=onion, static=static, opened_at=opened_at)
                    await self._store.carriers.save_shelf(tx, self._node_id, ready)
            case ShelfClose(shelf_id):
                held = await self._store.carriages.lock_shelf(tx, self._node_id, peer_id, shelf_id)
                if held is not None and held.closed_at is None:
                    closed = replace(held, closed_at=self._around.clock.now())
                    await self._store.carriages.save_shelf(tx, self._node_id, closed)
                    tx.after_commit(lambda: failpoint("shelf-closed"))
            case Shelves(deposits):
                before = len(await self._store.deposits.targets(tx, self._node_id, peer_id))
                await self._store.deposits.set_targets(tx, self._node_id, peer_id, deposits)
                if len(deposits) < before:
                    await self._around.observer.record(tx, self._node_id, CarriersLost(peer_id, len(deposits)))
        return None

    async def begin_anew(self, tx: Transaction, peer_id: PeerId, session: Session) -> None:
        """Whichever of the two was put back to a backup knows less than was agreed since, or holds for agreed what is
        over: say all of it again, and let other shelves take the place of ours at this friend. The caller stores the
        session."""
        carrier = await self._store.carriers.get(tx, self._node_id, peer_id)
        if carrier is not None and carrier.willing:
            await self._mailbox.put(tx, peer_id, session, self._mailbox.event(CarryAsk()))
        for shelf in await self._store.carriers.shelves(tx, self._node_id):
            if shelf.carrier_id == peer_id and shelf.superseded_at is None:
                superseded = replace(shelf, superseded_at=self._around.clock.now())
                await self._store.carriers.save_shelf(tx, self._node_id, superseded)
        await self._store.carriers.tell(tx, self._node_id, peer_id, _UNKNOWN)
        for held in await self._store.carriages.shelves(tx, self._node_id, peer_id):
            if held.closed_at is None:
                await self._store.carriages.save_shelf(tx, self._node_id, replace(held, answered=False))
        tx.after_commit(self._look_again)

    async def _disown(self, tx: Transaction, carrier_id: PeerId, shelf_id: ShelfId) -> None:
        """A carrier hosts a shelf for us of which we know nothing: we asked for it after the backup that we were put
        back to. It is to be closed."""
        shelves = await self._store.carriers.shelves(tx, self._node_id)
        if sum(one.carrier_id == carrier_id for one in shelves) >= MOST_OWN_SHELVES:
            return
        if not any(one.shelf_id == shelf_id for one in shelves):
            now = self._around.clock.now()
            unknown = OwnShelf(shelf_id, carrier_id, self._around.random(KEY_SIZE), now, superseded_at=now)
            await self._store.carriers.open_shelf(tx, self._node_id, unknown)

    async def _asked(self, tx: Transaction, peer_id: PeerId) -> Unknown | None:
        carriage = await self._store.carriages.get(tx, self._node_id, peer_id)
        if carriage is not None and carriage.ended_at is None:
            if carriage.shelves:
                await self._store.carriages.put(tx, self._node_id, replace(carriage, offered=False))
            return None  # our owner knows already
        policy = self._policy
        shelves = await self._fair(tx, peer_id, policy.shelves) if policy.automatic else 0
        if shelves:
            await self._store.carriages.put(tx, self._node_id, Carriage(peer_id, shelves, policy.blocks))
            tx.after_commit(lambda: failpoint("carry-agreed"))
            return Unknown(CARRY_BEGUN, {})
        await self._store.carriages.put(tx, self._node_id, Carriage(peer_id, 0, 0, offered=True))
        return Unknown(CARRY_ASKED, {})

    async def _fair(self, tx: Transaction, peer_id: PeerId, most: int) -> int:
        """How many shelves a friend is offered when nobody says how many: up to ``most``, of those of the process that
        it has not itself, half of what the others leave; the last one too, and none when there is none."""
        hosted, _ = await self._store.carriages.count_shelves(tx)
        shelves = await self._store.carriages.shelves(tx, self._node_id, peer_id)
        left = MAX_CARRIED_SHELVES - hosted + sum(shelf.closed_at is None for shelf in shelves)
        return min(most, max(1, left // 2)) if left > 0 else 0

    async def _offered(self, tx: Transaction, peer_id: PeerId, shelves: int, blocks: int) -> Unknown | None:
        carrier = await self._store.carriers.get(tx, self._node_id, peer_id) or Carrier(peer_id)
        await self._store.carriers.put(tx, self._node_id, replace(carrier, shelves=shelves, blocks=blocks))
        for shelf in await self._store.carriers.shelves(tx, self._node_id):
            if shelf.carrier_id == peer_id and shelf.deposit is None:  # it may have been asked before it was willing
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, opened_at=ASKED_ANEW))
        if carrier.shelves:
            return None
        return Unknown(CARRY_OFFERED, {"wanted": carrier.asked})

    async def _ended(self, tx: Transaction, peer_id: PeerId, role: str) -> Unknown | None:
        if role == RECIPIENT:
            carriage = await self._store.carriages.get(tx, self._node_id, peer_id)
            if carriage is None or carriage.ended_at is not None:
                return None
            await self._end_carriage(tx, carriage)
            return Unknown(CARRY_ENDED, {"ours": True}) if carriage.shelves else None
        carrier = await self._store.carriers.get(tx, self._node_id, peer_id)
        if carrier is None or not carrier.shelves:
            return None
        # It is not asked any more: who ends and offers by turns would have us tell all our friends each time.
        await self._store.carriers.put(tx, self._node_id, Carrier(peer_id))
        return Unknown(CARRY_ENDED, {"ours": False})

    async def _end_carriage(self, tx: Transaction, carriage: Carriage) -> None:
        now = self._around.clock.now()
        await self._store.carriages.put(tx, self._node_id, replace(carriage, ended_at=now))
        for shelf in await self._store.carriages.shelves(tx, self._node_id, carriage.peer_id):
            if shelf.closed_at is None:
                await self._store.carriages.save_shelf(tx, self._node_id, replace(shelf, closed_at=now))
        tx.after_commit(lambda: failpoint("carry-ended"))
        tx.after_commit(self._look_again)

    async def _open_held(self, tx: Transaction, peer_id: PeerId, shelf_id: ShelfId, capability: bytes) -> None:
        """As C. Who asks for more than it was offered gets no answer, and so does one for whom there is no room."""
        held = await self._store.carriages.lock_shelf(tx, self._node_id, peer_id, shelf_id)
        if held is not None:
            if held.capability == capability and held.closed_at is None:
                await self._store.carriages.save_shelf(tx, self._node_id, replace(held, answered=False))
            return
        carriage = await self._store.carriages.get(tx, self._node_id, peer_id)
        if carriage is None or carriage.ended_at is not None:
            return
        shelves = await self._store.carriages.shelves(tx, self._node_id, peer_id)
        # Twice as many while others take the place of old ones; closed ones count until they are empty.
        if len(shelves) >= 2 * carriage.shelves:
            return
        hosted, kept = await self._store.carriages.count_shelves(tx)
        if hosted >= MAX_CARRIED_SHELVES or kept >= MAX_HELD_SHELVES:
            return
        opened = self._opened.setdefault(peer_id, Allowance(self._around.clock, MAX_SHELVES_OPENED))
        if not opened.grants(1):
            log.warning("a friend wants more shelves opened than one may have in a day; it has to wait")
            return
        random = self._around.random
        shelf = HeldShelf(
            peer_id, shelf_id, capability, random(KEY_SIZE), random(KEY_SIZE), opened_at=self._around.clock.now()
        )
        await self._store.carriages.open_shelf(tx, self._node_id, shelf)
        tx.after_commit(lambda: failpoint("shelf-opened"))
