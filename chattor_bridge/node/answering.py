"""Who comes to an onion we host for a friend, or for somebody who may become one.

Until the first handshake message fits one of the keys we know for exactly this onion, nothing is said at all: a
stranger learns neither whose onion it is nor that there is one identity behind several. Implements
docs/protocol/link.md, "Handshake", answering side.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import partial

from chattor_bridge.errors import AuthenticationFailed, NotFound, PeerMisbehaved, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import KnockId, NodeId, OnionKey, PeerId
from chattor_bridge.node.antechamber import Antechamber
from chattor_bridge.node.friendship import Friendship, shake_hands
from chattor_bridge.node.happenings import ContactAdded
from chattor_bridge.node.mailbox import Mailbox
from chattor_bridge.node.patience import describe, within
from chattor_bridge.node.ports import Stream, Transaction
from chattor_bridge.node.records import NO_VERSION, Contact, KnockAttempt, OutgoingKnock, Role
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.transferring import Transferring
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.events import Profile
from chattor_bridge.protocol.handshake import Purpose
from chattor_bridge.protocol.limits import HANDSHAKE_TIMEOUT, MAX_UNPROVEN_STREAMS
from chattor_bridge.protocol.link import Established, Link, LinkKeys, Pattern
from chattor_bridge.protocol.resync import Standing
from chattor_bridge.protocol.session import Session

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Candidate:
    """Somebody who may come to an onion of ours, and what that makes of it: a friend, or the owner accepting a knock
    (then ``contact`` is None and ``knock`` and ``attempt`` say which)."""

    keys: LinkKeys
    before: Standing
    contact: Contact | None = None
    knock: OutgoingKnock | None = None
    attempt: KnockAttempt | None = None


class LinkOnion:
    """The answering side of one onion that is not a door. ``peer_id`` names the friend it is hosted for, ``knock_id``
    the knock of ours it waits for an answer to; the second becomes the first when the owner dials."""

    def __init__(
        self,
        around: Surroundings,
        node_id: NodeId,
        onion: OnionKey,
        mailbox: Mailbox,
        counters: Counters,
        *,
        befriend: Callable[[PeerId], Friendship],
        ask_to_carry: Callable[[Transaction, PeerId], Awaitable[None]],
        transferring: Transferring,
    ) -> None:
        """``befriend`` gives the live half of a contact on disk; ``ask_to_carry`` has a new friend asked to hold our
        mail; ``transferring`` takes the streams that are for files."""
        self._around = around
        self._node_id = node_id
        self._onion = onion
        self._mailbox = mailbox
        self._counters = counters
        self._befriend = befriend
        self._ask_to_carry = ask_to_carry
        self._transferring = transferring
        self._unproven = Antechamber(MAX_UNPROVEN_STREAMS)
        self.peer_id: PeerId | None = None
        self.knock_id: KnockId | None = None

    async def serve(self, stream: Stream) -> None:
        """Answer one stream, to its end. Never raises but for cancellation."""
        try:
            await self._unproven.enter(stream)
            candidates = await self._candidates()
            link = Link.answer([one.keys for one in candidates], self._onion, self._around.random)
            events = await within(self._around.clock, HANDSHAKE_TIMEOUT, shake_hands(stream, link))
            established = next(event for event in events if isinstance(event, Established))
            candidate = candidates[established.candidate]
            peer_id = await self._know(candidate, established.peer_static)
            if candidate.keys.purpose is Purpose.FILE:
                proven = partial(self._unproven.leave, stream)
                await self._transferring.answer(peer_id, stream, *link.hand_over(), on_proven=proven)
                return
            friendship = self._befriend(peer_id)
            await friendship.answer(
                stream,
                link,
                events,
                before=candidate.before,
                keys=candidate.keys,
                on_proven=lambda: self._unproven.leave(stream),
            )
        except (PeerMisbehaved, TimeoutError) as error:
            self._counters.strangers += 1
            log.info("a stream to an onion of a friend ended: %s", describe(error) or "it stalled")
        except (Unavailable, NotFound) as error:
            log.info("a stream to an onion of a friend ended: %s", describe(error))
        finally:
            self._unproven.leave(stream)
            await stream.close()

    async def _candidates(self) -> list[Candidate]:
        async with self._around.store.transaction() as tx:
            if self.peer_id is not None:
                contact = await self._around.store.contacts.get(tx, self._node_id, self.peer_id)
                if contact is None:
                    return []
                session = Session.deserialize(contact.session)
                return _of_contact(contact, session, await self._mailbox.standing(tx, contact, session))
            if self.knock_id is None:
                return []
            knock = await self._around.store.knocks.get_outgoing(tx, self.knock_id)
            attempts = await self._around.store.knocks.attempts(tx, self.knock_id)
        return [] if knock is None else [_of_attempt(knock, attempt) for attempt in attempts]

    async def _know(self, candidate: Candidate, peer_static: bytes) -> PeerId:
        """The friend behind a candidate. The contact is on disk when this returns, so message 2 may leave.

        Raises: AuthenticationFailed, NotFound, DatabaseUnavailable.
        """
        if candidate.contact is not None:
            if candidate.contact.peer_static != peer_static:
                raise AuthenticationFailed("an accepted knock was accepted again by somebody else")
            return candidate.contact.peer_id
        assert candidate.knock is not None  # one of the two is set
        assert candidate.attempt is not None
        async with self._around.store.transaction() as tx:
            await self._store_contact(tx, candidate.knock, candidate.attempt, peer_static)
        failpoint("contact-stored")
        self.peer_id, self.knock_id = candidate.attempt.peer_id, None
        return candidate.attempt.peer_id

    async def _store_contact(
        self, tx: Transaction, knock: OutgoingKnock, attempt: KnockAttempt, peer_static: bytes
    ) -> None:
        if await self._around.store.knocks.get_outgoing(tx, knock.knock_id) is None:
            raise NotFound("this knock has been answered or given up already")
        record = await self._around.store.nodes.for_update(tx, self._node_id)  # as in `Node.accept`
        contact = Contact(
            peer_id=attempt.peer_id,
            node_id=self._node_id,
            role=Role.KNOCKER,
            own_static=knock.static_key,
            peer_static=peer_static,
            hosted_seed=knock.onion_seed,
            peer_onion=None,
            session=attempt.session,
            peer_name="",
            alias="",
            version=NO_VERSION,
            capabilities=(),
            established=False,
            created_at=self._around.clock.now(),
            hosted_since=knock.created_at,
            keeps=True,
        )
        await self._around.store.contacts.add(tx, contact)
        await self._around.store.knocks.remove_outgoing(tx, knock.knock_id)
        profile = Profile(record.profile_name, await self._around.store.pictures.own(tx, contact.node_id))
        await self._mailbox.send(tx, contact.peer_id, self._mailbox.event(profile))
        if knock.pairs:
            await self._ask_to_carry(tx, contact.peer_id)
        added = ContactAdded(contact.peer_id, knock.knock_id, contact.peer_name)
        await self._around.observer.record(tx, self._node_id, added)


def _of_contact(contact: Contact, session: Session, before: Standing) -> list[Candidate]:
    """KK for a link and for a file, and until a KK was seen IK too: the friend may not have learnt that its accepting
    was answered. Only the owner of a code accepts."""
    accepting = contact.role is Role.KNOCKER and not contact.established
    expected = [(Pattern.KK, Purpose.LINK), (Pattern.KK, Purpose.FILE)]
    if accepting:
        expected.append((Pattern.IK, Purpose.LINK))
    return [
        Candidate(
            LinkKeys(contact.own_static, contact.peer_static, session.link_psk, pattern, contact.role, purpose),
            before,
            contact=contact,
        )
        for pattern, purpose in expected
    ]


def _of_attempt(knock: OutgoingKnock, attempt: KnockAttempt) -> Candidate:
    session = Session.deserialize(attempt.session)
    keys = LinkKeys(knock.static_key, None, session.link_psk, Pattern.IK, Role.KNOCKER)
    return Candidate(keys, Standing(session.session_id, 0, 0), knock=knock, attempt=attempt)
