"""One friendship at work: dial the friend's onion, or answer at ours, and keep one live link.

Who hosts follows docs/protocol/knock.md, "Who hosts": the knocker hosts, the owner of the code dials. A contact that
has both onions would do both; the link whose friend was heard last takes the place of the other, which loses nothing
because whatever is not acknowledged goes out again on the link that stays.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from chattor_bridge.errors import NotFound, OnionUnreachable, PeerMisbehaved, Unavailable
from chattor_bridge.ids import NodeId, OnionKey, PeerId
from chattor_bridge.node.connection import Connection
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.patience import describe, jitter, within
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import Contact
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.views import Phase, Trouble
from chattor_bridge.protocol.limits import HANDSHAKE_TIMEOUT
from chattor_bridge.protocol.link import Established, Link, LinkEvent, LinkKeys, Pattern
from chattor_bridge.protocol.primitives import hash256
from chattor_bridge.protocol.resync import Standing
from chattor_bridge.protocol.session import Session

log = logging.getLogger(__name__)

DIAL_TIMEOUT: Final = 120.0
"""Seconds for opening a stream to an onion: tor itself gives up after two minutes."""

GOOD_LINK: Final = 60.0
"""Seconds a link must have lived for its end to be an accident, after which the back-off begins anew."""

REDIAL: Final = (1.0, 4.0)
"""Seconds, drawn evenly, before dialling again after a good link ended: circuits break, friends restart."""


class Friendship:
    """The live half of a contact; everything that lasts is in its row."""

    def __init__(self, around: Surroundings, node_id: NodeId, peer_id: PeerId, mailbox: Mailbox) -> None:
        self._around = around
        self._node_id = node_id
        self.peer_id = peer_id
        self._mailbox = mailbox
        self._current: Connection | None = None
        self._up_since: float | None = None
        self._renewed = False
        self._parted = False
        self.trouble = Trouble()

    @property
    def online(self) -> bool:
        """Whether a link to the friend is up."""
        return self._current is not None

    def wake(self) -> None:
        """Something was put into the outbox."""
        if self._current is not None:
            self._current.wake()

    def renew(self) -> None:
        """Our owner wants the session renewed; it is on disk, and happens on the next link if there is none now."""
        if self._current is not None:
            self._current.renew()

    def part(self) -> None:
        """Our owner wants no more of this friend: end the link, and take up no other."""
        self._parted = True
        if self._current is not None:
            self._current.end("closing")

    async def run(self, *, spread: bool) -> None:
        """Dial for as long as the contact exists, when the friend is the one who hosts. ``spread``: begin at a random
        moment, because others begin now too."""
        contact = await self._contact()
        if contact is None or contact.peer_onion is None:
            if not self.online:
                self.trouble.well(Phase.LISTENING)
            return
        if spread:
            await self._around.clock.sleep(jitter(self._around.random, 0, self._around.pace.start_jitter))
        backoff = self._around.dialling()
        while True:
            self._up_since = None
            reason = await self._dial()
            if reason is None:
                return
            if self._lived() >= GOOD_LINK or self._renewed:
                self._renewed = False
                backoff.reset()
                delay = min(jitter(self._around.random, *REDIAL), self._around.pace.dial_first)
            else:
                delay = backoff.next()
            self.trouble.failed(reason, self._around.clock.monotonic() + delay)
            await self._around.clock.sleep(delay)

    async def answer(
        self,
        stream: Stream,
        link: Link,
        events: Sequence[LinkEvent],
        *,
        before: Standing,
        pattern: Pattern,
        on_proven: Callable[[], None],
    ) -> None:
        """Work on a link that the friend dialled and whose handshake is through on our side. ``on_proven`` is called
        once it is certain that this was no replay."""

        def greeted(connection: Connection) -> None:
            on_proven()
            self._adopt(connection)

        connection = self._connection(stream, link, before, pattern, greeted)
        try:
            reason = await self._work(connection, events)
        except (PeerMisbehaved, Unavailable, NotFound) as error:
            reason = describe(error)
        if not self.online:
            self.trouble.well(Phase.LISTENING)
            self.trouble.reason = reason

    # --- dialling ----------------------------------------------------------------------------------------------------

    async def _dial(self) -> str | None:
        """Dial once and work on the link; why it ended. None when the contact is gone."""
        self.trouble.trying()
        try:
            async with self._around.store.transaction() as tx:
                contact = await self._mailbox.locked(tx, self.peer_id)
                before = await self._mailbox.standing(tx, contact)
            if contact.peer_onion is None:
                return None
            return await self._dial_onion(contact, contact.peer_onion, before)
        except NotFound:
            return None
        except TimeoutError:
            return "the friend did not answer the handshake in time"
        except Exception as error:
            if not isinstance(error, (Unavailable, PeerMisbehaved)):
                log.error("a link failed: %s", describe(error))
            return describe(error)

    async def _dial_onion(self, contact: Contact, onion: OnionKey, before: Standing) -> str:
        session = Session.deserialize(contact.session)
        pattern = Pattern.KK if contact.established else Pattern.IK
        keys = LinkKeys(contact.own_static, contact.peer_static, session.link_psk, pattern, contact.role)
        stream = await self._around.transport.dial(
            onion,
            client_key=session.onion_auth_key(onion),
            isolation=hash256("node/isolation", self._node_id, self.peer_id).hex(),
            timeout=DIAL_TIMEOUT,
        )
        try:
            link = Link.dial(keys, onion, self._around.random)
            await stream.write(link.data_to_send())
            events = await within(self._around.clock, HANDSHAKE_TIMEOUT, shake_hands(stream, link))
            if not contact.established:
                await self._mark_established()
            connection = self._connection(stream, link, before, pattern, self._adopt)
            return await self._work(connection, events)
        finally:
            await stream.close()

    async def _mark_established(self) -> None:
        """From now on KK: the friend has stored the contact before its answer left."""
        async with self._around.store.transaction() as tx:
            contact = await self._mailbox.locked(tx, self.peer_id)
            await self._around.store.contacts.save(tx, replace(contact, established=True))

    def _lived(self) -> float:
        """Seconds since the last link came up, 0 when the last dial gave none."""
        return 0.0 if self._up_since is None else self._around.clock.monotonic() - self._up_since

    # --- both --------------------------------------------------------------------------------------------------------

    def _connection(
        self,
        stream: Stream,
        link: Link,
        before: Standing,
        pattern: Pattern,
        on_greeted: Callable[[Connection], None],
    ) -> Connection:
        return Connection(
            self._around,
            self._node_id,
            self.peer_id,
            self._mailbox,
            link,
            stream,
            self.trouble,
            before=before,
            settles=pattern is Pattern.KK,
            on_greeted=on_greeted,
        )

    async def _work(self, connection: Connection, events: Sequence[LinkEvent]) -> str:
        try:
            return await connection.run(events)
        finally:
            self._renewed = connection.renewed
            if self._current is connection:
                self._current = None
                self._tell(up=False)

    def _adopt(self, connection: Connection) -> None:
        """The friend is there, on this link: it is the one that counts from now on."""
        if self._parted:
            connection.end("closing")
            return
        before, self._current = self._current, connection
        self._up_since = self._around.clock.monotonic()
        self.trouble.well()
        if before is None:
            self._tell(up=True)
        else:
            before.end("replaced")

    def _tell(self, *, up: bool) -> None:
        try:
            self._around.observer.link_changed(self._node_id, self.peer_id, up=up)
        except Exception as error:
            log.error("the observer failed at a changed link: %s", describe(error))

    async def _contact(self) -> Contact | None:
        async with self._around.store.transaction() as tx:
            return await self._around.store.contacts.get(tx, self._node_id, self.peer_id)


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
