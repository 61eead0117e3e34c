"""What follows from what friends agree on about carrying is said here.

What is to be said is found by comparing what is on disk with what was said, again after every change, so a crash
between the two loses nothing. Implements docs/protocol/carriers.md, "Agreeing" and "Shelves".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.errors import UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import NodeId, OnionKey, PeerId, ShelfId
from chattor_bridge.node.carrying.records import Carrier, OwnShelf
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.carrying import (
    CarryEvent,
    CarryOffer,
    Deposit,
    ShelfClose,
    ShelfEvent,
    ShelfOpen,
    ShelfReady,
    Shelves,
)
from chattor_bridge.protocol.limits import (
    CARRIER_PATIENCE,
    LINK_ONION_LIFETIME,
    MAX_CARRIERS,
    SHELF_ID_SIZE,
    SHELF_LIFETIME,
)
from chattor_bridge.protocol.primitives import KEY_SIZE, ed25519_public, hash256, x25519_public

ANSWER_PATIENCE: Final = 86_400
"""Seconds after which a carrier that was heard without answering is asked for a shelf again: it may have room now."""

ASKED_ANEW: Final = 0
"""When a shelf was asked for that is to be asked for again at once, because its carrier has just offered."""

EXPIRED_AT_ONCE: Final = 64
"""Blocks that are dropped in one transaction: what is erased goes through the database's log, a megabyte at most, and a
disk that is full of blocks has room for no more."""


class Settling:
    """Says what is to be said, as C and as R."""

    def __init__(
        self, around: Surroundings, node_id: NodeId, mailbox: Mailbox, *, wake: Callable[[PeerId], None]
    ) -> None:
        """``wake`` is called after a commit that put something into this friend's outbox."""
        self._around = around
        self._store = around.store
        self._node_id = node_id
        self._mailbox = mailbox
        self._wake = wake

    async def settle(self) -> None:
        """Say what is to be said, as C and as R; each friend in a transaction of its own, which locks the contact
        before it reads: what that friend says and what our owner wants meanwhile come before or after, never between.

        Raises: DatabaseUnavailable.
        """
        await self._expire()
        async with self._store.transaction() as tx:
            peers = [one.peer_id for one in await self._store.contacts.of_node(tx, self._node_id)]
            carriages = await self._store.carriages.of_node(tx, self._node_id)
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

    async def _expire(self) -> None:
        """As C: drop what is too old, whichever way the clock was set since."""
        clock, gone = self._around.clock, EXPIRED_AT_ONCE
        kept_before = min(clock.at_least(), clock.wall()) - SHELF_LIFETIME
        while gone == EXPIRED_AT_ONCE:
            async with self._store.transaction() as tx:
                gone = await self._store.carriages.expire(tx, self._node_id, kept_before, clock.now(), EXPIRED_AT_ONCE)

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
            tx.after_commit(lambda: failpoint("carry-offered"))
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
                    tx.after_commit(lambda: failpoint("shelf-answered"))
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
            kept = without(shelf, [one for one in shelf.senders if not _is_among(one, friends)], now)
            if kept != shelf:
                await self._store.carriers.save_shelf(tx, self._node_id, kept)
            if kept.superseded_at is not None:
                await self._end_shelf(tx, kept, now)
            else:
                open_shelves.append(kept)
        if contact is None or carrier is None or not carrier.used:
            return
        for number, shelf in enumerate(open_shelves):
            is_unanswered = shelf.deposit is None and contact.heard_at - shelf.opened_at >= ANSWER_PATIENCE
            if is_unanswered and await self._say(tx, carrier_id, ShelfOpen(shelf.shelf_id, shelf.capability)):
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, opened_at=now))
                if shelf.opened_at != ASKED_ANEW:  # it may well answer now
                    await self._lend(tx, shelf, open_shelves)
                continue
            is_old = now - shelf.opened_at >= LINK_ONION_LIFETIME and shelf.deposit is not None
            if is_old and (opened := await self._open_own(tx, carrier_id, _to_move(shelf, open_shelves))) is not None:
                await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, superseded_at=now))
                open_shelves[number] = opened  # who shares from here on shares this one
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

    async def _lend(self, tx: Transaction, unanswered: OwnShelf, shelves: list[OwnShelf]) -> None:
        """Let those for whom the carrier has had no shelf for long share the last one that there is."""
        answered = [number for number, shelf in enumerate(shelves) if shelf.deposit is not None]
        if answered:
            last = shelves[answered[-1]]
            last = replace(last, senders=tuple(dict.fromkeys((*last.senders, *unanswered.senders))))
            shelves[answered[-1]] = last
            await self._store.carriers.save_shelf(tx, self._node_id, last)

    async def _open_own(self, tx: Transaction, carrier_id: PeerId, senders: tuple[PeerId, ...]) -> OwnShelf | None:
        random = self._around.random
        shelf = OwnShelf(
            ShelfId(random(SHELF_ID_SIZE)), carrier_id, random(KEY_SIZE), self._around.clock.now(), senders=senders
        )
        if not await self._say(tx, carrier_id, ShelfOpen(shelf.shelf_id, shelf.capability)):
            return None
        await self._store.carriers.open_shelf(tx, self._node_id, shelf)
        tx.after_commit(lambda: failpoint("shelf-asked"))
        return shelf

    async def _end_shelf(self, tx: Transaction, shelf: OwnShelf, now: int) -> None:
        """Close what another has taken the place of, when its senders have heard of that or have had the time to; and
        forget it when nothing can be on it any more."""
        assert shelf.superseded_at is not None
        is_due = not shelf.closed and (now - shelf.superseded_at >= SHELF_LIFETIME or await self._is_left(tx, shelf))
        if is_due and await self._say(tx, shelf.carrier_id, ShelfClose(shelf.shelf_id)):
            await self._store.carriers.save_shelf(tx, self._node_id, replace(shelf, closed=True))
            tx.after_commit(lambda: failpoint("shelf-given-up"))
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
            tx.after_commit(lambda: failpoint("shelves-told"))

    async def _friends(self, tx: Transaction) -> list[Contact]:
        """Those heard last first."""
        contacts = await self._store.contacts.of_node(tx, self._node_id)
        return sorted((one for one in contacts if _is_friend(one)), key=lambda one: one.heard_at, reverse=True)


def _is_friend(contact: Contact) -> bool:
    return not contact.blocked and contact.retired is None


def _is_among(peer_id: PeerId, friends: Sequence[Contact]) -> bool:
    return any(friend.peer_id == peer_id for friend in friends)


def without(shelf: OwnShelf, senders: Sequence[PeerId], now: int) -> OwnShelf:
    """A shelf as it is when these may use it no more. They know its capability: another takes its place, if it was
    somebody else's too."""
    left = tuple(one for one in shelf.senders if one not in senders)
    if left == shelf.senders and left:
        return shelf
    return replace(shelf, senders=left, superseded_at=now if shelf.superseded_at is None else shelf.superseded_at)


def _digest(deposits: Sequence[Deposit]) -> bytes:
    return hash256("node/shelves", cbor.encode([one.to_fields() for one in deposits]))


def _to_move(shelf: OwnShelf, shelves: Sequence[OwnShelf]) -> tuple[PeerId, ...]:
    """Whom the next shelf is for: not those to whom this one was lent until they had their own."""
    own = {other.senders[0] for other in shelves if other is not shelf and other.senders and other.deposit is not None}
    return tuple(sender for sender in shelf.senders if sender not in own)


def _deposits(sender: PeerId, shelves: Sequence[OwnShelf]) -> tuple[Deposit, ...]:
    """Where this sender can leave something: at each carrier the newest shelf that is there, one that is being replaced
    until then."""
    found: dict[PeerId, Deposit] = {}
    for shelf in sorted(shelves, key=lambda shelf: (shelf.superseded_at is None, shelf.opened_at)):
        if sender in shelf.senders and not shelf.closed and shelf.deposit is not None:
            found[shelf.carrier_id] = shelf.deposit
    current = {one.carrier_id for one in shelves if one.superseded_at is None}
    return tuple(deposit for carrier_id, deposit in sorted(found.items()) if carrier_id in current)[:MAX_CARRIERS]
