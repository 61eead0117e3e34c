"""A knock of ours on its way to a door. Implements docs/protocol/knock.md, knocker's side.

Every attempt makes a session of its own, and any of them may be the one the owner accepts: a receipt can get lost. So
an attempt is on disk, and the onion the owner will dial is open to its key, before its bytes leave.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Final

from chattor_bridge.errors import OnionUnreachable, PeerMisbehaved, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import KnockId, OnionKey
from chattor_bridge.node.door import CLOSED, FULL, KNOWN, STORED
from chattor_bridge.node.happenings import KnockFailed, KnockLeft
from chattor_bridge.node.hosting import Hostings
from chattor_bridge.node.patience import DIAL_TIMEOUT, Alarm, describe, jitter, within
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import KnockAttempt, KnockState, OutgoingKnock
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Trouble
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady, Receipt
from chattor_bridge.protocol.limits import DOOR_STREAM_TIMEOUT, EFFORT_BITS, MAX_EFFORT_BITS, MAX_KNOCK_ATTEMPTS
from chattor_bridge.protocol.primitives import ed25519_public, hash256, x25519_public

log = logging.getLogger(__name__)

USED_UP: Final = "this friend code has been used up or has expired; ask for a new one"

PUBLICATION_PATIENCE: Final = 30.0
"""Seconds to wait until our onion is published before the knock leaves all the same: an owner who accepts at once
should find it, but a door does not wait for ever (`DOOR_STREAM_TIMEOUT`)."""


class Knocking:
    """One outgoing knock, from `add` to its receipt. `run` it."""

    def __init__(
        self,
        around: Surroundings,
        knock_id: KnockId,
        hostings: Hostings,
        *,
        profile_name: Callable[[], str],
        on_attempt: Callable[[], None],
    ) -> None:
        """``on_attempt``: another key may read our onion's descriptor; look at the attempts again."""
        self._around = around
        self._knock_id = knock_id
        self._hostings = hostings
        self._profile_name = profile_name
        self._on_attempt = on_attempt
        self._effort_bits = 0
        self._alarm = Alarm(around.clock)
        self.trouble = Trouble()

    def woken(self) -> None:
        """The machine slept, or its clock jumped: knock again now."""
        self._alarm.ring()

    async def run(self) -> None:
        """Knock, with back-off, until the door has it or the knock is gone."""
        backoff = self._around.knocking()
        knock = await self._standing()
        if knock is None:
            return
        # The wall clock may have jumped since the next attempt was planned.
        planned = min(max(0, knock.next_attempt_at - self._around.clock.now()), self._around.pace.knock_most)
        await self._alarm.sleep(planned)
        while True:
            self.trouble.trying()
            try:
                knock = await self._standing()
                if knock is None:
                    return
                await self._attempt(knock)
                self.trouble.well()
                return
            except (Unavailable, PeerMisbehaved) as error:
                reason = describe(error)
            except TimeoutError:
                reason = "the door did not answer in time"
            delay = backoff.next()
            self.trouble.failed(reason, self._around.clock.monotonic() + delay)
            await self._around.insist(partial(self._plan, reason, delay), on_failure=self._held_up)
            if await self._alarm.sleep(delay):
                backoff.reset()
                await self._around.clock.sleep(jitter(self._around.random, 0, self._around.pace.start_jitter))

    async def _attempt(self, knock: OutgoingKnock) -> None:
        """One stream to the door, to the receipt.

        Raises: OnionUnreachable, TorUnavailable, DatabaseUnavailable, PeerMisbehaved, TimeoutError.
        """
        code = FriendCode.parse(knock.code)
        introduction = Introduction(self._profile_name(), knock.note, OnionKey(ed25519_public(knock.onion_seed)))
        side = KnockingSide(
            code,
            introduction,
            static_key=knock.static_key,
            random=self._around.random,
            now=self._around.clock.wall(),
            effort_bits=self._effort_bits,
        )
        try:
            stream = await self._around.transport.dial(
                code.door,
                client_key=code.auth_key,
                isolation=hash256("node/isolation", knock.node_id, knock.knock_id).hex(),
                timeout=DIAL_TIMEOUT,
            )
            try:
                await within(self._around.clock, DOOR_STREAM_TIMEOUT, self._knock(stream, side, introduction.onion))
            finally:
                await stream.close()
        finally:
            await self._around.transport.forget(code.door)

    async def _knock(self, stream: Stream, side: KnockingSide, onion: OnionKey) -> None:
        await stream.write(side.start())
        while data := await stream.read():
            # Finding stamp and proof is the work of a core for a while: not on the event loop.
            for event in await self._around.labour.make(partial(side.receive, data)):
                match event:
                    case KnockReady():
                        await self._prepare(event, onion)
                        await stream.write(event.message)
                    case Receipt(status):
                        await self._take_receipt(status)
                        return
        raise OnionUnreachable("the door hung up")

    async def _prepare(self, ready: KnockReady, onion: OnionKey) -> None:
        """Everything that must be true when the owner reads the knock."""
        attempt = KnockAttempt(self._knock_id, ready.peer_id, ready.session.serialize(), self._around.clock.now())
        async with self._around.store.transaction() as tx:
            if await self._around.store.knocks.get_outgoing(tx, self._knock_id) is None:
                raise OnionUnreachable("the knock was given up meanwhile")
            await self._around.store.knocks.add_attempt(tx, attempt, keep=MAX_KNOCK_ATTEMPTS)
        failpoint("knock-attempt-stored")
        self._on_attempt()
        client = x25519_public(ready.session.onion_auth_key(onion))
        try:
            await within(self._around.clock, PUBLICATION_PATIENCE, self._hostings.reachable(onion, client))
        except TimeoutError:
            log.info("a knock leaves before its onion is published")

    async def _take_receipt(self, status: str) -> None:
        """What the door said, on disk. Raises: OnionUnreachable when it wants us to come again."""
        if status == FULL:
            self._effort_bits = min(MAX_EFFORT_BITS, max(EFFORT_BITS, self._effort_bits) + 1)
            raise OnionUnreachable("too many requests are waiting at this door; trying again later, with more work")
        if status == CLOSED:
            await self._around.insist(self._give_up, on_failure=self._held_up)
            return
        if status not in (STORED, KNOWN):
            raise OnionUnreachable("this door says something that only a newer program understands; trying again later")
        await self._around.insist(self._leave, on_failure=self._held_up)

    async def _give_up(self) -> None:
        async with self._around.store.transaction() as tx:
            knock = await self._around.store.knocks.get_outgoing(tx, self._knock_id)
            if knock is None or knock.state is not KnockState.CALLING:
                return
            await self._around.store.knocks.save_outgoing(tx, replace(knock, state=KnockState.FAILED, reason=USED_UP))
            await self._around.observer.record(tx, knock.node_id, KnockFailed(self._knock_id, USED_UP))
            tx.after_commit(self._on_attempt)  # its onion is not needed any more

    async def _leave(self) -> None:
        async with self._around.store.transaction() as tx:
            knock = await self._around.store.knocks.get_outgoing(tx, self._knock_id)
            if knock is None or knock.state is not KnockState.CALLING:
                return  # the owner was quicker than the receipt
            left = replace(knock, state=KnockState.LEFT, reason="", attempts=knock.attempts + 1)
            await self._around.store.knocks.save_outgoing(tx, left)
            await self._around.observer.record(tx, knock.node_id, KnockLeft(self._knock_id))

    async def _plan(self, reason: str, delay: float) -> None:
        async with self._around.store.transaction() as tx:
            knock = await self._around.store.knocks.get_outgoing(tx, self._knock_id)
            if knock is None or knock.state is not KnockState.CALLING:
                return
            next_attempt_at = self._around.clock.now() + int(delay)
            planned = replace(knock, reason=reason, attempts=knock.attempts + 1, next_attempt_at=next_attempt_at)
            await self._around.store.knocks.save_outgoing(tx, planned)

    async def _standing(self) -> OutgoingKnock | None:
        """The knock as it is on disk, if it still has to be left."""
        return await self._around.insist(self._look_up, on_failure=self._held_up)

    async def _look_up(self) -> OutgoingKnock | None:
        async with self._around.store.transaction() as tx:
            knock = await self._around.store.knocks.get_outgoing(tx, self._knock_id)
        return knock if knock is not None and knock.state is KnockState.CALLING else None

    def _held_up(self, error: Exception, delay: float) -> None:
        self.trouble.failed(describe(error), self._around.clock.monotonic() + delay)
