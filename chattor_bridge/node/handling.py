"""What a friend's event does once it is its turn.

Most are told to whoever embeds the node; some change what we know of the friend, and those between the two nodes are
answered. Database work only, in the transaction in which the event was received.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import EventId, NodeId, PeerId
from chattor_bridge.node.catching_up import CatchingUp
from chattor_bridge.node.claims import survivor_of, take_claim
from chattor_bridge.node.expiry import agreed, preferences_of
from chattor_bridge.node.happenings import RETIRED, TIMER_SET, UNREADABLE, ContactPictured, ContactRenamed, EventArrived
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import Contact, HeldEvent, Retired
from chattor_bridge.node.sending import Sending
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.verifying import REFUSED, Turn, Verifying
from chattor_bridge.node.views import Counters
from chattor_bridge.protocol.events import (
    NO_AVATAR,
    Avatar,
    CarryEvent,
    EpochAccept,
    EpochOffer,
    Event,
    FileNews,
    FileOffer,
    Merge,
    MergeDone,
    Profile,
    Retire,
    ShelfEvent,
    Timer,
    Unknown,
    VerifyAccept,
    VerifyDone,
    VerifyEvent,
    VerifyKey,
    VerifyStart,
    decode_event,
)
from chattor_bridge.protocol.limits import EVENT_ID_SIZE
from chattor_bridge.protocol.primitives import hash256
from chattor_bridge.protocol.rekeying import take_accept, take_offer
from chattor_bridge.protocol.session import Opened, Session

TakeFile = Callable[[Transaction, Contact, Event], Awaitable[bool]]

TakeCarrying = Callable[[Transaction, Contact, CarryEvent | ShelfEvent], Awaitable[Unknown | None]]

BeginAnew = Callable[[Transaction, PeerId, Session], Awaitable[None]]


class Handling(Sending):
    """Hands on what friends say, and answers what their nodes say."""

    def __init__(
        self,
        node_id: NodeId,
        around: Surroundings,
        counters: Counters,
        *,
        on_change: Callable[[], None],
        on_parted: Callable[[Contact], None],
        on_carrying: TakeCarrying | None,
        on_file: TakeFile | None,
        on_expiry: Callable[[], None],
        on_renewed: BeginAnew | None,
    ) -> None:
        """As for `chattor_bridge.node.mailbox.Mailbox`."""
        super().__init__(node_id, around, on_change=on_change, on_parted=on_parted, on_expiry=on_expiry)
        self._counters = counters
        self._on_carrying = on_carrying
        self._on_file = on_file
        self._on_renewed = on_renewed
        self.verifying = Verifying(around)
        self.catching_up = CatchingUp(around, node_id)

    async def renewed(self, tx: Transaction, peer_id: PeerId, session: Session) -> None:
        """The session with this friend begins anew with ``session``, which the caller stores: one of the two may have
        been put back to a backup."""
        if self._on_renewed is not None:
            await self._on_renewed(tx, peer_id, session)

    async def arrive(self, tx: Transaction, contact: Contact, held: HeldEvent) -> Contact:
        """Hand one event on; the contact as it is afterwards. After `Retire` nothing is: only whoever else has the keys
        goes on talking."""
        if contact.retired is Retired.OVER:
            return contact
        event = self._read(held)
        peer_id, received = contact.peer_id, self._store.received
        survivor = survivor_of(contact)
        if survivor != peer_id:  # should it come to nothing
            await received.remember(tx, self._node_id, peer_id, event.event_id, held.received_at)
        if not await received.remember(tx, self._node_id, survivor, event.event_id, held.received_at):
            return contact  # the same event under a new seal, or in a friendship that becomes one with this
        if isinstance(event.body, Retire):
            return await self._retired(tx, contact)
        if isinstance(event.body, CarryEvent | ShelfEvent) and self._on_carrying is not None:
            notice = await self._on_carrying(tx, contact, event.body)
            if notice is not None:
                shown = replace(event, body=notice)
                await self._around.observer.record(tx, self._node_id, EventArrived(peer_id, shown, held.received_at))
            return contact
        if isinstance(event.body, FileOffer | FileNews) and self._on_file is not None:
            to_be_shown = await self._on_file(tx, contact, event)
            if not to_be_shown:
                return contact
        if isinstance(event.body, Timer):
            await self._take_timer(tx, peer_id, event.body)
            return contact
        if not isinstance(event.body, Profile):
            await self._will_expire(tx, peer_id, event, held.received_at, begins=False)
            happening = EventArrived(peer_id, event, received_at=held.received_at)
            await self._around.observer.record(tx, self._node_id, happening)
            await self.catching_up.arrived(tx, peer_id, held.seq, event.body)
            return contact
        if event.body.avatar is not None:
            await self._take_picture(tx, peer_id, event.body.avatar)
        name = event.body.name
        if name != contact.peer_name and not contact.alias:
            await self._around.observer.record(tx, self._node_id, ContactRenamed(peer_id, name))
        return replace(contact, peer_name=name)

    async def _take_picture(self, tx: Transaction, peer_id: PeerId, avatar: Avatar) -> None:
        """A friend shows another picture of itself. One that nobody could show changes nothing."""
        if avatar != NO_AVATAR and picture_type(avatar.data) != avatar.mime_type:
            return
        picture = None if avatar == NO_AVATAR else avatar
        if picture != await self._store.pictures.of_friend(tx, self._node_id, peer_id):
            await self._store.pictures.save_of_friend(tx, self._node_id, peer_id, picture)
            await self._around.observer.record(tx, self._node_id, ContactPictured(peer_id))

    async def _take_timer(self, tx: Transaction, peer_id: PeerId, timer: Timer) -> None:
        """A friend has set the timer: our owner is told what holds now."""
        before = await preferences_of(self._store, tx, self._node_id, peer_id)
        after = agreed(before, timer)
        await self._store.preferences.save(tx, self._node_id, peer_id, after)
        fields = {"seconds": after.timer, "ours": False, "wanted": timer.seconds}
        happening = EventArrived(peer_id, self.event(Unknown(TIMER_SET, fields)), received_at=self.now())
        await self._around.observer.record(tx, self._node_id, happening)

    async def _retired(self, tx: Transaction, contact: Contact) -> Contact:
        """The friend believes its keys to be in other hands: nothing more goes there."""
        happening = EventArrived(contact.peer_id, self.event(Unknown(RETIRED, {})), received_at=self.now())
        await self._around.observer.record(tx, self._node_id, happening)
        return await self.end(tx, contact)

    def _read(self, held: HeldEvent) -> Event:
        """What a friend sealed but nobody can read is shown as just that: it must neither block nor vanish."""
        try:
            return decode_event(held.event)
        except MalformedData:
            self._counters.unreadable += 1
            return Event(derived_id("unreadable", held.peer_id, held.seq), held.received_at, Unknown(UNREADABLE, {}))

    async def control(
        self, tx: Transaction, contact: Contact, session: Session, opened: Opened, event: Event
    ) -> Contact | None:
        """The contact after an event between the two nodes, None when this is none. It is dealt with at once, whatever
        is missing before it. Raises: UselessNegotiation."""
        now = self._around.clock.now()
        match event.body:
            case EpochOffer():
                said = take_offer(session, event.body, opened, random=self._around.random, now=now)
                await self.put_said(tx, contact.peer_id, said)
            case EpochAccept():
                take_accept(session, event.body, opened, now=now)
            case VerifyStart() | VerifyAccept() | VerifyKey() | VerifyDone():
                if await self._store.received.remember(tx, self._node_id, contact.peer_id, event.event_id, now):
                    return await self._verify(tx, contact, session, event.body)
            case Merge(proof):
                if await self._store.received.remember(tx, self._node_id, contact.peer_id, event.event_id, now):
                    return await self._take_claim(tx, contact, proof)
            case MergeDone() if contact.merging is not None:
                tx.after_commit(self._on_change)
                return replace(contact, merge_done=True)
            case MergeDone():
                return contact
            case _:
                return None
        return contact

    async def _take_claim(self, tx: Transaction, contact: Contact, proof: bytes) -> Contact:
        contact, notice = await take_claim(self._store, tx, contact, proof)
        if notice is not None:
            happening = EventArrived(contact.peer_id, self.event(notice), received_at=self.now())
            await self._around.observer.record(tx, self._node_id, happening)
        tx.after_commit(self._on_change)
        return contact

    async def _verify(self, tx: Transaction, contact: Contact, session: Session, event: VerifyEvent) -> Contact:
        try:
            turn = self.verifying.take(contact, event)
        except REFUSED:
            turn = self.verifying.abandon(contact)
        return await self.perform(tx, turn, session)

    async def perform(self, tx: Transaction, turn: Turn, session: Session) -> Contact:
        """Say and show what a turn of a verification leads to; the contact, to be stored with ``session``."""
        peer_id, now = turn.contact.peer_id, self._around.clock.now()
        for body in turn.said:
            await self.put(tx, peer_id, session, self.event(body))
        if turn.notice is not None:
            happening = EventArrived(peer_id, self.event(turn.notice), received_at=now)
            await self._around.observer.record(tx, self._node_id, happening)
        return turn.contact


def derived_id(what: str, peer_id: PeerId, *numbers: int) -> EventId:
    """The id of an event that we make for our owner: the same however often it is made."""
    parts = [number.to_bytes(8, "big") for number in numbers]
    return EventId(hash256(f"node/{what}", peer_id, *parts)[:EVENT_ID_SIZE])
