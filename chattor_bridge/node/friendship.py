"""One friendship at work: dial the friend's onion, or answer at ours, and keep one live link.

Implements docs/protocol/link.md, "Who hosts", "Two links" and "Dialling": the knocker hosts, the owner of the code may
host a spare, and each side dials what the other hosts. Of several links one stays, which loses nothing because whatever
is not acknowledged goes out again on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Final

from chattor_bridge.errors import NotFound, OnionUnreachable, PeerMisbehaved, Unavailable
from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.allowance import Allowance
from chattor_bridge.node.connection import Carry, Connection
from chattor_bridge.node.mailbox import Mailbox, Taken
from chattor_bridge.node.patience import DIAL_TIMEOUT, Alarm, describe, jitter, unless, within
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import Contact, Retired, Role
from chattor_bridge.node.resyncing import Attempts
from chattor_bridge.node.signalling import Signalling
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Phase, Trouble
from chattor_bridge.protocol.limits import HANDSHAKE_TIMEOUT, MAX_LINKS, MAX_NEW_ONIONS
from chattor_bridge.protocol.link import Established, Link, LinkEvent, LinkKeys, Pattern
from chattor_bridge.protocol.primitives import hash256
from chattor_bridge.protocol.resync import Standing
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.signals import Signal, Typing

log = logging.getLogger(__name__)

GOOD_LINK: Final = 60.0
"""Seconds a link must have lived for its end to be an accident, after which the back-off begins anew."""

REDIAL: Final = (1.0, 4.0)
"""Seconds, drawn evenly, before dialling again after a good link ended: circuits break, friends restart."""


DAY: Final = 86_400.0
"""Seconds in which `MAX_NEW_ONIONS` of a friend are dialled."""


class Friendship:
    """The live half of a contact; everything that lasts is in its row."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        peer_id: PeerId,
        mailbox: Mailbox,
        *,
        asks: Callable[[], bool],
        carry: Carry,
        on_change: Callable[[], None],
        on_greeted: Callable[[PeerId], None],
        on_link: Callable[[], None],
    ) -> None:
        """``asks``: whether the friend is to host for both. ``on_change`` is called when there may be another onion to
        host, or one less; ``on_greeted`` whenever a link has come up; ``on_link`` when the friend has come or gone."""
        self._around = around
        self._node_id = node_id
        self.peer_id = peer_id
        self._mailbox = mailbox
        self._asks = asks
        self._carry = carry
        self._on_change = on_change
        self._on_greeted = on_greeted
        self._on_link = on_link
        self._live: list[Connection] = []
        self._at_work: set[Connection] = set()
        self._up, self._down = asyncio.Event(), asyncio.Event()
        self._down.set()
        self._alarm = Alarm(around.clock)
        self._up_since = 0.0
        self._lived = 0.0
        self._renewed = False
        self._parted = False
        self._dialled: OnionKey | None = None
        self._followed: list[float] = []
        self.trouble = Trouble()
        self._allowance = Allowance(around.clock)
        self._attempts = Attempts(around.clock)
        self.signalling = Signalling(around.clock, self._signalled)

    @property
    def linked(self) -> asyncio.Event:
        """Set while a link to the friend is up; to be waited for only."""
        return self._up

    @property
    def unlinked(self) -> asyncio.Event:
        """Set while none is; to be waited for only."""
        return self._down

    def spend(self, size: int) -> float:
        """Bytes of the friend's envelopes were stored that came by a carrier; for how many seconds it has said too
        much."""
        return self._allowance.spend(size)

    def took(self, taken: Taken) -> None:
        """Something of the friend's came by a carrier, and is on disk: answer on the link if there is one."""
        for connection in self._live:
            connection.took(taken)

    @property
    def online(self) -> bool:
        """Whether a link to the friend is up."""
        return bool(self._live)

    def wake(self) -> None:
        """Something was put into the outbox."""
        for connection in self._live:
            connection.wake()

    def tell_onions(self) -> None:
        """What we host for the friend may have changed."""
        for connection in self._live:
            connection.tell_onions()

    def hand_over(self) -> None:
        """Something was left for the friend that we hold."""
        for connection in self._live:
            connection.hand_over()

    def signal(self, signal: Signal) -> None:
        """Say this on the link that is up, if there is one."""
        if self._live and (not isinstance(signal, Typing) or self.signalling.is_due(signal)):
            self._live[-1].signal(signal)

    def renew(self) -> None:
        """Our owner wants the session renewed; it is on disk, and happens on the next link if there is none now."""
        self._attempts.try_again()
        for connection in self._live:
            connection.renew()

    def woken(self) -> None:
        """The machine slept, or its clock jumped: the road may be gone, and nobody tells. Try it, or dial again."""
        for connection in self._live:
            connection.woken()
        self._alarm.ring()

    def part(self) -> None:
        """Our owner wants no more of this friend: end the link, and take up no other."""
        self._parted = True
        for connection in self._live:
            connection.end("closing")

    async def run(self, delay: float) -> None:
        """See to it that there is a link for as long as the contact exists: dial while the friend hosts and none is up.
        Begin after ``delay`` seconds, because others begin now too, or when the friend has come."""
        if delay and (known := await self._look_up()) is not None and known.contact.peer_onion is not None:
            await unless(self._up, self._around.clock.sleep(delay))
        backoff = self._around.dialling()
        while (known := await self._look_up()) is not None:
            self._lived = 0.0
            reason = await self._dial(known)
            await self._down.wait()
            if self._lived >= GOOD_LINK or self._renewed:
                self._renewed = False
                backoff.reset()
                delay = min(jitter(self._around.random, *REDIAL), self._around.pace.dial_first)
            else:
                delay = backoff.next()
            if reason is not None:
                self.trouble.failed(reason, self._around.clock.monotonic() + delay)
            if await self._alarm.sleep(delay):
                backoff.reset()
                await self._pause_at_random(self._around.pace.start_jitter)

    async def answer(
        self,
        stream: Stream,
        link: Link,
        events: Sequence[LinkEvent],
        *,
        before: Standing,
        keys: LinkKeys,
        on_proven: Callable[[], None],
    ) -> None:
        """Work on a link that the friend dialled and whose handshake is through on our side. ``on_proven`` is called
        once it is certain that this was no replay."""
        connection = self._connection(stream, link, before, keys, on_proven)
        try:
            reason = await self._work(connection, events)
        except (PeerMisbehaved, Unavailable, NotFound) as error:
            reason = describe(error)
        if not self.online:
            self.trouble.well(Phase.LISTENING)
            self.trouble.reason = reason

    async def _pause_at_random(self, longest: float) -> None:
        """Others begin now too."""
        await unless(self._up, self._around.clock.sleep(jitter(self._around.random, 0, longest)))

    # --- dialling ----------------------------------------------------------------------------------------------------

    async def _dial(self, known: _Known) -> str | None:
        """Get a link, by dialling if the friend hosts, and work on it. Why there is none any more; None when it was the
        friend who dialled."""
        contact = known.contact
        if contact.peer_onion is None and not self.online:
            self.trouble.well(Phase.LISTENING)
        if contact.peer_onion is None or self.online:
            await self._up.wait()
            return None
        self.trouble.trying()
        try:
            await self.follow(contact.peer_onion)
            return await self._dial_onion(known, contact.peer_onion)
        except TimeoutError:
            return "the friend did not answer the handshake in time"
        except Exception as error:
            if not isinstance(error, (Unavailable, PeerMisbehaved, NotFound)):
                log.error("a link failed: %s", describe(error))
            return describe(error)

    async def follow(self, onion: OnionKey) -> None:
        """To be called before each dial: this is where the friend says that it is now, and the former is forgotten.

        Raises: OnionUnreachable when it moved too often today.
        """
        former = self._dialled
        if onion == former:
            return
        if former is not None and not self._may_follow():
            raise OnionUnreachable("the friend changes its onion too often; it is followed no more today")
        self._dialled = onion
        if former is not None:
            await self._around.transport.forget(former)

    def _may_follow(self) -> bool:
        """Whether to dial where the friend has moved to: only so often in a day, for it could move us to build circuits
        until one betrays our guard."""
        now = self._around.clock.monotonic()
        self._followed = [at for at in self._followed if now - at < DAY]
        if len(self._followed) >= MAX_NEW_ONIONS:
            return False
        self._followed.append(now)
        return True

    async def _dial_onion(self, known: _Known, onion: OnionKey) -> str | None:
        contact, session = known.contact, known.session
        accepting = contact.role is Role.OWNER and not contact.established
        pattern = Pattern.IK if accepting else Pattern.KK
        keys = LinkKeys(contact.own_static, contact.peer_static, session.link_psk, pattern, contact.role)
        async with AsyncExitStack() as streams:  # closed also when what was reached comes too late to be taken
            reached = await unless(self._up, self._reach(session, keys, onion, streams))
            if reached is None:
                return None
            stream, link, events = reached
            if accepting:
                await self._mark_established()
            return await self._work(self._connection(stream, link, known.before, keys), events)

    async def _reach(
        self, session: Session, keys: LinkKeys, onion: OnionKey, streams: AsyncExitStack
    ) -> tuple[Stream, Link, list[LinkEvent]]:
        """Open a stream, which ``streams`` closes, and shake hands."""
        stream = await self._around.transport.dial(
            onion,
            client_key=session.onion_auth_key(onion),
            isolation=hash256("node/isolation", self._node_id, self.peer_id).hex(),
            timeout=DIAL_TIMEOUT,
        )
        streams.push_async_callback(stream.close)
        link = Link.dial(keys, onion, self._around.random)
        await stream.write(link.data_to_send())
        return stream, link, await within(self._around.clock, HANDSHAKE_TIMEOUT, shake_hands(stream, link))

    async def _mark_established(self) -> None:
        """From now on KK: the friend has stored the contact before its answer left."""
        async with self._around.store.transaction() as tx:
            contact = await self._mailbox.locked(tx, self.peer_id)
            await self._around.store.contacts.save(tx, replace(contact, established=True))
            tx.after_commit(self._on_change)

    # --- both --------------------------------------------------------------------------------------------------------

    def _connection(
        self,
        stream: Stream,
        link: Link,
        before: Standing,
        keys: LinkKeys,
        on_proven: Callable[[], None] = lambda: None,
    ) -> Connection:
        return Connection(
            self._around,
            self._node_id,
            self.peer_id,
            self._mailbox,
            link,
            stream,
            self.trouble,
            allowance=self._allowance,
            attempts=self._attempts,
            before=before,
            settles=keys.pattern is Pattern.KK,
            asks=self._asks,
            carry=self._carry,
            on_greeted=partial(self._adopt, decides=keys.role == Role.KNOCKER, on_proven=on_proven),
            on_moved=self._on_change,
            on_renewed=self._renewed_on,
            on_signal=self.signalling.heard,
        )

    async def _work(self, connection: Connection, events: Sequence[LinkEvent]) -> str:
        self._at_work.add(connection)
        try:
            return await connection.run(events)
        finally:
            self._at_work.discard(connection)
            self._renewed = self._renewed or connection.renewed
            if connection in self._live:
                self._live.remove(connection)
                if not self._live:
                    self._lived = self._around.clock.monotonic() - self._up_since
                    self._up.clear()
                    self._down.set()
                    self.signalling.ended()
                    self._tell(up=False)

    def _adopt(self, connection: Connection, *, decides: bool, on_proven: Callable[[], None]) -> None:
        """The friend is there, on this link. The knocker ends every other; see docs/protocol/link.md, "Two links"."""
        on_proven()
        if self._parted:
            connection.end("closing")
            return
        self._live.append(connection)
        self.trouble.well()
        if not self._up.is_set():
            self._up_since = self._around.clock.monotonic()
            self._down.clear()
            self._up.set()
            self._tell(up=True)
        self._on_greeted(self.peer_id)
        for other in self._live[:-1] if decides else self._live[:-MAX_LINKS]:
            other.end("replaced")

    def _renewed_on(self, connection: Connection) -> None:
        """Every other link has named the session before in its hello, or was about to: on it the friend would go on
        with that one, and neither would understand the other."""
        for other in self._at_work - {connection}:
            other.end("renewed")

    def _tell(self, *, up: bool) -> None:
        self._on_link()
        try:
            self._around.observer.link_changed(self._node_id, self.peer_id, up=up)
        except Exception as error:
            log.error("the observer failed at a changed link: %s", describe(error))

    def _signalled(self, signal: Signal) -> None:
        try:
            self._around.observer.signalled(self._node_id, self.peer_id, signal)
        except Exception as error:
            log.error("the observer failed at a signal: %s", describe(error))

    async def _look_up(self) -> _Known | None:
        async with self._around.store.transaction() as tx:
            contact = await self._around.store.contacts.get(tx, self._node_id, self.peer_id)
            if contact is None or contact.retired is Retired.OVER:
                return None
            session = Session.deserialize(contact.session)
            return _Known(contact, session, await self._mailbox.standing(tx, contact, session))


@dataclass(frozen=True, slots=True)
class _Known:
    """A contact as it stood at one moment, with its session opened and where our half of that stood."""

    contact: Contact
    session: Session
    before: Standing


async def shake_hands(stream: Stream, link: Link) -> list[LinkEvent]:
    """Read until the handshake is through; the events, `Established` first.

    Raises: PeerMisbehaved, OnionUnreachable.
    """
    while True:
        data = await stream.read()
        if not data:
            raise OnionUnreachable("the friend hung up during the handshake")
        events = link.receive(data)
        if any(isinstance(event, Established) for event in events):
            return events
