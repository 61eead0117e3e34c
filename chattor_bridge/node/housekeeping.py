"""What a node looks at now and then: keys, codes and requests whose time is over, and what has waited too long."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.filedesk import FileDesk
from chattor_bridge.node.happenings import CodeClosed, EventsForgotten, KnockFailed, KnockGone
from chattor_bridge.node.hosted import HostedOnions
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.patience import describe, heed_cancellation, unless
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import KnockState, OutgoingKnock
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.limits import KNOCK_LIFETIME, MAX_REMEMBERED
from chattor_bridge.protocol.session import Session

log = logging.getLogger(__name__)

HOUSEKEEPING: Final = 600.0
"""Seconds between two looks at what has expired: lifetimes are counted in days."""

FORGOTTEN_AT_ONCE: Final = 1_000
"""Event ids forgotten in one transaction: a fraction of a second."""

FAILED_KNOCK_KEPT: Final = 7 * 86_400
"""Seconds a knock that was given up stays in the list, so that its owner sees why."""

NOT_ANSWERED = "it has waited for 30 days"
CODE_EXPIRED = "has expired; nobody can use it any more"
EXPIRED = "nobody has answered this request for 30 days; ask for a new code and add it again"


class Housekeeping:
    """Tidies up after one node. `run` it."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        mailbox: Mailbox,
        desk: FileDesk,
        hosted: HostedOnions,
        *,
        friends: Callable[[], dict[PeerId, bool]],
        look_again: Callable[[], None],
        on_failure: Callable[[Exception, float], None],
    ) -> None:
        """``friends``: those with whom something runs, and whether a link is up. ``look_again`` is called after a
        commit that changed what there is to do; ``on_failure`` as for `Surroundings.insist`."""
        self._around = around
        self._node_id = node_id
        self._mailbox = mailbox
        self._desk = desk
        self._hosted = hosted
        self._friends = friends
        self._look_again = look_again
        self._on_failure = on_failure
        self._woken = asyncio.Event()

    def woken(self) -> None:
        """The machine slept, or its clock jumped: see what is due now."""
        self._woken.set()

    async def run(self) -> None:
        """Until cancelled."""
        clock = self._around.clock
        while True:
            self._woken.clear()
            await unless(self._woken, clock.sleep(HOUSEKEEPING))
            for peer_id in [peer_id for peer_id, online in self._friends().items() if online]:
                await self._around.insist(partial(self._note_presence, peer_id), on_failure=self._on_failure)
            await self._forget_keys()
            for peer_id in self._friends():
                await self._around.insist(partial(self._show_old_gaps, peer_id), on_failure=self._on_failure)
                for what in (self._forget_events, self._give_up_old):
                    while await self._around.insist(partial(what, peer_id), on_failure=self._on_failure):
                        pass
            await self._around.insist(self._expire, on_failure=self._on_failure)

    async def _note_presence(self, peer_id: PeerId) -> None:
        """A friend whose link has been up for long was heard from just now, and not when it came up."""
        contacts = self._around.store.contacts
        async with self._around.store.transaction() as tx:
            contact = await contacts.for_update(tx, self._node_id, peer_id)
            if contact is not None:
                await contacts.save(tx, replace(contact, heard_at=self._around.clock.now()))

    async def _forget_keys(self) -> None:
        """Erase the keys whose time is over, also those of friends who never come back. What fails comes again."""
        contacts = self._around.store.contacts
        try:
            async with self._around.store.transaction() as tx:
                friends = [one.peer_id for one in await contacts.of_node(tx, self._node_id)]
            for peer_id in friends:
                async with self._around.store.transaction() as tx:
                    contact = await self._mailbox.locked(tx, peer_id)
                    session = Session.deserialize(contact.session)
                    if session.forget_old(self._around.clock.at_least(), sure=self._around.clock.is_sure):
                        await contacts.save(tx, replace(contact, session=session.serialize()))
        except Exception as error:
            heed_cancellation()
            log.error("keys whose time is over could not be erased yet: %s", describe(error))

    async def _show_old_gaps(self, peer_id: PeerId) -> None:
        async with self._around.store.transaction() as tx:
            await self._mailbox.show_old_gaps(tx, peer_id)

    async def _forget_events(self, peer_id: PeerId) -> bool:
        """Forget some of the oldest events of a friend who has said more than is remembered; whether there were any."""
        async with self._around.store.transaction() as tx:
            forgotten = await self._around.store.received.forget(
                tx, self._node_id, peer_id, keep=MAX_REMEMBERED, at_most=FORGOTTEN_AT_ONCE
            )
            if forgotten:
                happening = EventsForgotten(peer_id, tuple(forgotten))
                await self._around.observer.record(tx, self._node_id, happening)
        return bool(forgotten)

    async def _give_up_old(self, peer_id: PeerId) -> bool:
        """Give up some of what has waited too long for a friend who is not there; whether there was any."""
        if self._friends().get(peer_id):
            return False
        async with self._around.store.transaction() as tx:
            return await self._mailbox.give_up_old(tx, peer_id)

    async def _expire(self) -> None:
        """Give up what has waited too long, and retire the codes whose time is over."""
        knocks, doors = self._around.store.knocks, self._around.store.doors
        now, at_least = self._around.clock.now(), self._around.clock.at_least()
        expired_before = at_least - KNOCK_LIFETIME
        async with self._around.store.transaction() as tx:
            await self._desk.expire(tx)
            await self._hosted.renew(tx)
            tx.after_commit(self._look_again)  # a friend may have had the time to hear that a friendship is over
            for door in await doors.of_node(tx, self._node_id):
                if door.has_expired(at_least):
                    await doors.retire(tx, door.door_id, now)
                    if not door.is_used_up:  # or our owner has been told
                        await self._around.observer.record(tx, self._node_id, CodeClosed(door.label, CODE_EXPIRED))
                    tx.after_commit(self._look_again)
            for knock_id in await knocks.expire_pending(tx, self._node_id, expired_before, now):
                await self._around.observer.record(tx, self._node_id, KnockGone(knock_id, NOT_ANSWERED))
            for listed in await knocks.outgoing(tx, self._node_id):
                knock = await knocks.get_outgoing(tx, listed.knock_id)
                if knock is None:  # answered just now
                    continue
                if knock.created_at > now:  # by a clock that was wrong
                    await knocks.save_outgoing(tx, replace(knock, created_at=now))
                elif knock.state is not KnockState.FAILED and knock.created_at < expired_before:
                    await self._give_up(tx, knock)
                elif knock.created_at < expired_before - FAILED_KNOCK_KEPT:
                    await knocks.remove_outgoing(tx, knock.knock_id)

    async def _give_up(self, tx: Transaction, knock: OutgoingKnock) -> None:
        failed = replace(knock, state=KnockState.FAILED, reason=EXPIRED)
        await self._around.store.knocks.save_outgoing(tx, failed)
        await self._around.observer.record(tx, self._node_id, KnockFailed(knock.knock_id, EXPIRED))
        tx.after_commit(self._look_again)
