"""Which onion is hosted for which friend: decided here, on disk. Implements docs/protocol/link.md, "Who hosts"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.budget import Spare
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, Role
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.limits import LINK_ONION_LIFETIME
from chattor_bridge.protocol.primitives import KEY_SIZE


class HostedOnions:
    """Gives friends' onions, and takes them away. Every method belongs to a transaction its caller commits."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        mailbox: Mailbox,
        *,
        look_again: Callable[[], None],
        tell: Callable[[PeerId], None],
    ) -> None:
        """``tell`` is called after a commit that changed what this friend should know."""
        self._around = around
        self._node_id = node_id
        self._mailbox = mailbox
        self._look_again = look_again
        self._tell = tell
        self._asked: frozenset[PeerId] = frozenset()

    def asks(self, peer_id: PeerId) -> bool:
        """Whether this friend is to host for both, because this process hosts more onions than it should."""
        return peer_id in self._asked

    async def settle(self, tx: Transaction, others: int, contacts: Sequence[Contact]) -> list[Contact]:
        """Host spares as far as there is room beside ``others``, the onions that are not for friends; the contacts as
        they are then."""
        needed = others
        spares = []
        for contact in contacts:
            needed += contact.former_seed is not None
            if _is_spare(contact):
                spares.append(Spare(contact.peer_id, contact.hosted_seed is not None, contact.heard_at))
            else:
                needed += contact.hosted_seed is not None
        budget = self._around.budget
        granted = budget.settle(self._node_id, needed, spares, self._look_again)
        self._ask(tx, [contact for contact in contacts if _can_be_left(contact)], budget.too_many)
        return [
            await self._change(tx, contact.peer_id)
            if _is_spare(contact) and (contact.peer_id in granted) != (contact.hosted_seed is not None)
            else contact
            for contact in contacts
        ]

    def _ask(self, tx: Transaction, hosts: Sequence[Contact], too_many: int) -> None:
        """Ask as many of those who can host as there are onions too many, the ones heard last first."""
        latest_first = sorted(hosts, key=lambda contact: contact.heard_at, reverse=True)
        before = self._asked
        self._asked = frozenset(contact.peer_id for contact in latest_first[:too_many])
        for peer_id in self._asked - before:
            tx.after_commit(partial(self._tell, peer_id))

    async def renew(self, tx: Transaction) -> None:
        """Put another onion in the place of each that is old, and keep the old one until the friend has heard."""
        now = self._around.clock.now()
        due = now - LINK_ONION_LIFETIME
        for contact in await self._around.store.contacts.lock_all(tx, self._node_id):
            if contact.hosted_since > now:  # by a clock that was wrong
                contact = await self._mailbox.locked(tx, contact.peer_id)
                await self._around.store.contacts.save(tx, replace(contact, hosted_since=now))
            elif contact.hosted_seed is not None and contact.former_seed is None and contact.hosted_since <= due:
                await self._change(tx, contact.peer_id, former=contact.hosted_seed)
                tx.after_commit(self._look_again)

    async def _change(self, tx: Transaction, peer_id: PeerId, *, former: bytes | None = None) -> Contact:
        """A new onion where there is none or ``former`` is old; none where there is one too many."""
        contact = await self._mailbox.locked(tx, peer_id)
        hosting = contact.hosted_seed is None or former is not None
        if contact.keeps and not hosting:
            return contact  # the friend has left it to us meanwhile
        changed = replace(
            contact,
            hosted_seed=self._around.random(KEY_SIZE) if hosting else None,
            hosted_since=self._around.clock.now(),
            former_seed=former,
        )
        await self._around.store.contacts.save(tx, changed)
        tx.after_commit(partial(self._tell, peer_id))
        return changed


def _is_spare(contact: Contact) -> bool:
    """Whether an onion for this friend is a convenience: the friend keeps one."""
    return not contact.keeps and (contact.established or contact.role is Role.KNOCKER)


def _can_be_left(contact: Contact) -> bool:
    """Whether the friend hosts too. Who was knocked on never asks: then both might leave it to each other."""
    return contact.keeps and contact.role is Role.KNOCKER and contact.peer_onion is not None
