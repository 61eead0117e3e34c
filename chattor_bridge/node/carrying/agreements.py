"""What friends agree on about carrying: what they say is taken in here, and what follows from it is said.

Nothing is answered in the transaction in which something arrives: what is to be said is found by comparing what is on
disk with what was said, again after every change, so a crash between the two loses nothing.
Implements docs/protocol/carriers.md, "Agreeing" and "Shelves".
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.errors import UsageError
from chattor_bridge.ids import NodeId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying.quota import Quota
from chattor_bridge.node.carrying.records import Carriage, Carrier, CarryingInfo, HeldShelf, OwnShelf
from chattor_bridge.node.happenings import CARRY_ASKED, CARRY_BEGUN, CARRY_ENDED, CARRY_OFFERED
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.carrying import (
    CARRIER,
    RECIPIENT,
    CarryAsk,
    CarryEnd,
    CarryEvent,
    CarryOffer,
    Deposit,
    ShelfClose,
    ShelfEvent,
    ShelfOpen,
    ShelfReady,
    Shelves,
)
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.limits import (
    CARRIER_PATIENCE,
    LINK_ONION_LIFETIME,
    MAX_CARRIED_SHELVES,
    MAX_CARRIERS,
    MAX_HELD_SHELVES,
    MAX_SHELF_BLOCKS,
    MAX_SHELVES,
    SHELF_ID_SIZE,
    SHELF_LIFETIME,
)
from chattor_bridge.protocol.primitives import KEY_SIZE, ed25519_public, hash256, x25519_public
from chattor_bridge.protocol.session import Session

ANSWER_PATIENCE: Final = 86_400
"""Seconds after which a carrier that was heard without answering is asked for a shelf again: it may have room now."""


_LONG_AGO: Final = 0
"""When a shelf was asked for that is to be asked for again at once."""

_UNKNOWN: Final = b"?"
"""Instead of the digest of what a sender knows, when that may be anything."""


class Agreements:
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
        """``wake`` is called after a commit that put something into this friend's outbox."""
        self._around = around
        self._store = around.store
        self._node_id = node_id
        self._mailbox = mailbox
        self._policy = around.carry_policy
        self.quota = Quota(around, node_id)
        self._look_again = look_again
        self._wake = wake

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
        tx.after_commit(self._look_again)

    async def offer(self, tx: Transaction, peer_id: PeerId, shelves: int, blocks: int) -> None:
        """Carry for a friend, asked or unasked, or change how much. Raises: NotFound, UsageError."""
        if not 1 <= shelves <= MAX_SHELVES or not 1 <= blocks <= MAX_SHELF_BLOCKS:
            raise UsageError(f"1 to {MAX_SHELVES} shelves can be offered, with 1 to {MAX_SHELF_BLOCKS} blocks on each")
        await self._mailbox.locked(tx, peer_id)
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
                await self._store.carriers.save_shelf(tx, self._node_id, _without(shelf, [peer_id], now))

    async def overview(self) -> list[CarryingInfo]:
        """What is agreed with each friend with whom something is, or was asked. Raises: DatabaseUnavailable."""
        async with self._store.transaction() as tx:
            peers = [one.peer_id for one in await self._store.contacts.of_node(tx, self._node_id)]
            carriers = {one.peer_id: one for one in await self._store.carriers.of_node(tx, self._node_id)}
            carriages = {one.peer_id: one for one in await self._store.carriages.of_node(tx, self._node_id)}
            held = {peer_id: await self._store.carriages.count(tx, self._node_id, peer_id) for peer_id in carriages}
            shelves = Counter(one.peer_id for one in await self._store.carriages.shelves(tx, self._node_id))
        return [
            CarryingInfo(peer_id, carriers.get(peer_id), carriages.get(peer_id), held.get(peer_id, 0), shelves[peer_id])
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
                if shelf is not None and shelf.onion is None:  # it is not moved: each move is told to its senders
                    ready = replace(shelf, onion=onion, static=static)
                    await self._store.carriers.save_shelf(tx, self._node_id, ready)
            case ShelfClose(shelf_id):
                held = await self._store.carriages.lock_shelf(tx, self._node_id, peer_id, shelf_id)
                if held is not None and held.closed_at is None:
                    closed = replace(held, closed_at=self._around.clock.now())
                    await self._store.carriages.save_shelf(tx, self._node_id, closed)
            case Shelves(deposits):
                await self._store.deposits.set_targets(tx, self._node_id, peer_id, deposits)
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
        tx.after_commit(self._look_again)

    async def _asked(self, tx: Transaction, peer_id: PeerId) -> Unknown | None:
        carriage = await self._store.carriages.get(tx, self._node_id, peer_id)
        if carriage is not None and carriage.ended_at is None:
            if carriage.shelves:
                await self._store.carriages.put(tx, self._node_id, replace(carriage, offered=False))
            return None  # our owner knows already
        policy = self._policy
        if policy.automatic:
            await self._store.carriages.put(tx, self._node_id, Carriage(peer_id, policy.shelves, policy.blocks))
            return Unknown(CARRY_BEGUN, {})
        await self._store.carriages.put(tx, self._node_id, Carriage(peer_id, 0, 0, offered=True))
        return Unknown(CARRY_ASKED, {})

    async def _offered(self, tx: Transaction, peer_id: PeerId, shelves: int, blocks: int) -> Unknown | None:
        carrier = await self._store.carriers.get(tx, self._node_id, peer_id) or Carrier(peer_id)
        await self._store.carriers.put(tx, self._node_id, replace(carrier, shelves=shelves, blocks=blocks))
        for shelf in await self._store.carriers.shelves(tx, self._node_id):
            if shelf.carrier_id == peer_id and shelf.deposit is None:  # it may have been asked before it was willing
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, opened_at=_LONG_AGO))
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
        random = self._around.random
        shelf = HeldShelf(
            peer_id, shelf_id, capability, random(KEY_SIZE), random(KEY_SIZE), opened_at=self._around.clock.now()
        )
        await self._store.carriages.open_shelf(tx, self._node_id, shelf)

    # --- what follows ------------------------------------------------------------------------------------------------

    async def settle(self) -> None:
        """Say what is to be said, as C and as R; each friend in a transaction of its own, which locks the contact
        before it reads: what that friend says and what our owner wants meanwhile come before or after, never between.

        Raises: DatabaseUnavailable.
        """
        async with self._store.transaction() as tx:
            peers = [one.peer_id for one in await self._store.contacts.of_node(tx, self._node_id)]
            carriages = await self._store.carriages.of_node(tx, self._node_id)
            await self._store.carriages.expire(tx, self._node_id, self._around.clock.now() - SHELF_LIFETIME)
        for carriage in carriages:
            async with self._store.transaction() as tx:
                await self._settle_carriage(tx, carriage.peer_id)
        async with self._store.transaction() as tx:
            used = await self._choose(tx)
        for peer_id in used:
            async with self._store.transaction() as tx:
                await self._settle_shelves(tx, peer_id)
        for peer_id in peers:
            async with self._store.transaction() as tx:
                await self._tell(tx, peer_id)

    async def _say(self, tx: Transaction, peer_id: PeerId, body: CarryEvent | ShelfEvent) -> bool:
        """Whether it could be said; what could not is tried again with the next look."""
        try:
            await self._send(tx, peer_id, body)
        except UsageError:  # blocked, retired, or too much waits
            return False
        return True

    async def _send(self, tx: Transaction, peer_id: PeerId, body: CarryEvent | ShelfEvent) -> None:
        await self._mailbox.send(tx, peer_id, self._mailbox.event(body))
        tx.after_commit(partial(self._wake, peer_id))

    async def _settle_carriage(self, tx: Transaction, peer_id: PeerId) -> None:
        """As C: say what is offered and where the shelves are; forget those that are closed and empty."""
        carriages = self._store.carriages
        await self._store.contacts.for_update(tx, self._node_id, peer_id)
        carriage = await carriages.get(tx, self._node_id, peer_id)
        if carriage is None:
            return
        offer = CarryOffer(carriage.shelves, carriage.blocks)
        if not carriage.offered and carriage.ended_at is None and await self._say(tx, peer_id, offer):
            await carriages.put(tx, self._node_id, replace(carriage, offered=True))
        left = 0
        for shelf in await carriages.shelves(tx, self._node_id, peer_id):
            if shelf.closed_at is not None:
                if await carriages.count(tx, self._node_id, peer_id, shelf.shelf_id):
                    left += 1
                else:
                    await carriages.remove_shelf(tx, self._node_id, peer_id, shelf.shelf_id)
            elif not shelf.answered:
                onion = OnionKey(ed25519_public(shelf.onion_seed))
                if await self._say(tx, peer_id, ShelfReady(shelf.shelf_id, onion, x25519_public(shelf.static))):
                    await carriages.save_shelf(tx, self._node_id, replace(shelf, answered=True))
        if carriage.ended_at is not None and not left:
            await carriages.remove(tx, self._node_id, peer_id)

    async def _choose(self, tx: Transaction) -> list[PeerId]:
        """As R: which of the willing carry from now on; what is at others is given up."""
        for carrier in await self._store.carriers.of_node(tx, self._node_id):
            await self._store.contacts.for_update(tx, self._node_id, carrier.peer_id)
        contacts = {one.peer_id: one for one in await self._friends(tx)}
        carriers = await self._store.carriers.of_node(tx, self._node_id)
        now = self._around.clock.now()

        def rank(carrier: Carrier) -> tuple[bool, bool, int]:
            heard_at = contacts[carrier.peer_id].heard_at
            fresh = now - heard_at < CARRIER_PATIENCE
            return not fresh, not carrier.used, -heard_at

        willing = sorted((one for one in carriers if one.willing and one.peer_id in contacts), key=rank)
        chosen = [one.peer_id for one in willing[:MAX_CARRIERS]]
        for carrier in carriers:
            if carrier.used != (carrier.peer_id in chosen):
                used = replace(carrier, used=not carrier.used)
                await self._store.carriers.put(tx, self._node_id, used)
        for shelf in await self._store.carriers.shelves(tx, self._node_id):
            if shelf.carrier_id not in chosen and shelf.superseded_at is None:
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, superseded_at=now))
        at_some = {one.carrier_id for one in await self._store.carriers.shelves(tx, self._node_id)}
        return [*chosen, *sorted(at_some - set(chosen))]

    async def _settle_shelves(self, tx: Transaction, carrier_id: PeerId) -> None:
        """As R: a shelf at this carrier for every friend, if it is to carry; and an end of old ones."""
        contact = await self._store.contacts.for_update(tx, self._node_id, carrier_id)
        carrier = await self._store.carriers.get(tx, self._node_id, carrier_id)
        friends = await self._friends(tx)
        now = self._around.clock.now()
        open_shelves = []
        for shelf in await self._store.carriers.shelves(tx, self._node_id):
            if shelf.carrier_id != carrier_id:
                continue
            kept = _without(shelf, [one for one in shelf.senders if not _is_among(one, friends)], now)
            if kept != shelf:
                await self._store.carriers.save_shelf(tx, self._node_id, kept)
            if kept.superseded_at is not None:
                await self._end_shelf(tx, kept, now)
            else:
                open_shelves.append(kept)
        if contact is None or carrier is None or not carrier.used:
            return
        for shelf in open_shelves:
            is_unanswered = shelf.deposit is None and contact.heard_at - shelf.opened_at >= ANSWER_PATIENCE
            if is_unanswered and await self._say(tx, carrier_id, ShelfOpen(shelf.shelf_id, shelf.capability)):
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, opened_at=now))
                continue
            is_old = now - shelf.opened_at >= LINK_ONION_LIFETIME and shelf.deposit is not None
            if is_old and await self._open_own(tx, carrier_id, shelf.senders) is not None:
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, superseded_at=now))
        await self._place(tx, carrier, friends, open_shelves)

    async def _place(
        self, tx: Transaction, carrier: Carrier, friends: Sequence[Contact], shelves: list[OwnShelf]
    ) -> None:
        """Give whoever has no shelf at this carrier one; those heard longest ago share the last."""
        placed = {sender for shelf in shelves for sender in shelf.senders}
        last = shelves[-1] if shelves else None
        room = carrier.shelves - len(shelves)
        for friend in friends:
            if friend.peer_id in placed or friend.peer_id == carrier.peer_id or Shelves.TYPE not in friend.capabilities:
                continue
            if room > 0:
                opened = await self._open_own(tx, carrier.peer_id, (friend.peer_id,))
                if opened is None:
                    return
                last, room = opened, room - 1
            elif last is not None:
                last = replace(last, senders=(*last.senders, friend.peer_id))
                await self._store.carriers.save_shelf(tx, self._node_id, last)

    async def _open_own(self, tx: Transaction, carrier_id: PeerId, senders: tuple[PeerId, ...]) -> OwnShelf | None:
        random = self._around.random
        shelf = OwnShelf(
            ShelfId(random(SHELF_ID_SIZE)), carrier_id, random(KEY_SIZE), self._around.clock.now(), senders=senders
        )
        if not await self._say(tx, carrier_id, ShelfOpen(shelf.shelf_id, shelf.capability)):
            return None
        await self._store.carriers.open_shelf(tx, self._node_id, shelf)
        return shelf

    async def _end_shelf(self, tx: Transaction, shelf: OwnShelf, now: int) -> None:
        """Close what another has taken the place of, when its senders have heard of that or have had the time to; and
        forget it when nothing can be on it any more."""
        assert shelf.superseded_at is not None
        is_due = not shelf.closed and (now - shelf.superseded_at >= SHELF_LIFETIME or await self._is_left(tx, shelf))
        if is_due and await self._say(tx, shelf.carrier_id, ShelfClose(shelf.shelf_id)):
            await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, closed=True))
        if now - shelf.superseded_at >= 2 * SHELF_LIFETIME:
            await self._store.carriers.remove_shelf(tx, self._node_id, shelf.shelf_id)

    async def _is_left(self, tx: Transaction, shelf: OwnShelf) -> bool:
        """Whether every sender of this shelf has acknowledged that it is told of it no more."""
        shelves = await self._store.carriers.shelves(tx, self._node_id)
        for sender in shelf.senders:
            deposits = _deposits(sender, shelves)
            told = await self._store.carriers.told(tx, self._node_id, sender)
            waits = await self._store.outbox.count(tx, self._node_id, sender)
            if shelf.deposit in deposits or told != _digest(deposits) or waits:
                return False
        return True

    async def _tell(self, tx: Transaction, peer_id: PeerId) -> None:
        """As R: let a sender know where it can leave something."""
        contact = await self._store.contacts.get(tx, self._node_id, peer_id)
        if contact is None or not _is_friend(contact) or Shelves.TYPE not in contact.capabilities:
            return
        deposits = _deposits(peer_id, await self._store.carriers.shelves(tx, self._node_id))
        digest = _digest(deposits)
        told = await self._store.carriers.told(tx, self._node_id, peer_id) or _digest([])
        if digest != told and await self._say(tx, peer_id, Shelves(deposits)):
            await self._store.carriers.tell(tx, self._node_id, peer_id, digest)

    async def _friends(self, tx: Transaction) -> list[Contact]:
        """Those heard last first."""
        contacts = await self._store.contacts.of_node(tx, self._node_id)
        return sorted((one for one in contacts if _is_friend(one)), key=lambda one: one.heard_at, reverse=True)


def _is_friend(contact: Contact) -> bool:
    return not contact.blocked and contact.retired is None


def _is_among(peer_id: PeerId, friends: Sequence[Contact]) -> bool:
    return any(friend.peer_id == peer_id for friend in friends)


def _without(shelf: OwnShelf, senders: Sequence[PeerId], now: int) -> OwnShelf:
    """A shelf as it is when these may use it no more. They know its capability: another takes its place, if it was
    somebody else's too."""
    left = tuple(one for one in shelf.senders if one not in senders)
    if left == shelf.senders and left:
        return shelf
    return replace(shelf, senders=left, superseded_at=now if shelf.superseded_at is None else shelf.superseded_at)


def _digest(deposits: Sequence[Deposit]) -> bytes:
    return hash256("node/shelves", cbor.encode([one.to_fields() for one in deposits]))


def _deposits(sender: PeerId, shelves: Sequence[OwnShelf]) -> tuple[Deposit, ...]:
    """Where this sender can leave something: at each carrier the newest shelf that is there, one that is being replaced
    until then."""
    found: dict[PeerId, Deposit] = {}
    for shelf in sorted(shelves, key=lambda shelf: (shelf.superseded_at is None, shelf.opened_at)):
        if sender in shelf.senders and not shelf.closed and shelf.deposit is not None:
            found[shelf.carrier_id] = shelf.deposit
    current = {one.carrier_id for one in shelves if one.superseded_at is None}
    return tuple(deposit for carrier_id, deposit in sorted(found.items()) if carrier_id in current)[:MAX_CARRIERS]
