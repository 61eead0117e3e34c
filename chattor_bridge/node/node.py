"""A node, as whoever embeds it sees it: codes, requests, contacts, and what to say to them.

Reads open a short transaction of their own. Writes take the caller's transaction, do database work only, and take
effect on the network when it is committed; rolled back, they never happened.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from chattor_bridge.errors import AlreadyExists, FriendshipEnded, LimitReached, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import EventId, KnockId, PeerId
from chattor_bridge.node.carrying.agreements import Agreements
from chattor_bridge.node.codes import Codes
from chattor_bridge.node.disappearing import Disappearing
from chattor_bridge.node.disclosure import Disclosure
from chattor_bridge.node.door import ID_SIZE
from chattor_bridge.node.files import Files
from chattor_bridge.node.happenings import ContactAdded, ContactRenamed
from chattor_bridge.node.parting import Parting
from chattor_bridge.node.pictures import picture_type
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.preferences import Preferences
from chattor_bridge.node.records import (
    NO_VERSION,
    Contact,
    KnockState,
    NodeRecord,
    OutgoingKnock,
    Role,
)
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.node.texts import check_alias, check_profile_name, check_text
from chattor_bridge.node.verifying import Turn, number_of, state_of
from chattor_bridge.node.views import ContactInfo, NodeStatus, OutgoingInfo, RequestInfo, VerificationInfo
from chattor_bridge.node.work import NodeWork
from chattor_bridge.protocol.events import NO_AVATAR, Avatar, Body, Profile
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.limits import MAX_AVATAR, MAX_NOTE, MAX_OUTGOING_KNOCKS
from chattor_bridge.protocol.primitives import KEY_SIZE, ed25519_public
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.session import Session


class Node(Codes, Parting, Disclosure, Disappearing):
    """One Chattor identity. Made by `chattor_bridge.node.host.NodeHost`."""

    def __init__(self, around: Surroundings, record: NodeRecord, *, spread: bool = False) -> None:
        """``spread``: it is one of several that start together."""
        super().__init__(around, record.node_id, NodeWork(around, record, spread=spread))
        self._owner = record.owner
        self.files = Files(around, record.node_id, self.work)

    @property
    def owner(self) -> str:
        """Whose node it is, as told to `NodeHost.create`."""
        return self._owner

    @property
    def running(self) -> bool:
        """Whether it is to be at work: its owner has not stopped it."""
        return self.work.record.running

    @property
    def profile_name(self) -> str:
        """What friends are told to call us."""
        return self.work.record.profile_name

    # --- reading -----------------------------------------------------------------------------------------------------

    async def requests(self, *, blocked: bool = False) -> list[RequestInfo]:
        """Contact requests waiting for an answer, ignored ones included; or with ``blocked`` those that were blocked.
        Those on which the most work was spent come first, the older first of equals."""
        async with self._store.transaction() as tx:
            pending = await self._store.knocks.pending(tx, self.node_id)
            doors = await self._store.doors.of_node(tx, self.node_id)
        labels = {door.door_id: door.label for door in doors}
        return [
            RequestInfo(
                one.knock_id,
                one.name,
                one.note,
                labels.get(one.door_id, ""),
                one.received_at,
                one.ignored,
                one.effort,
                one.exempt,
                one.order,
            )
            for one in pending
            if one.blocked is blocked
        ]

    async def outgoing(self) -> list[OutgoingInfo]:
        """Contact requests of ours that are not answered; those that failed stay for a week."""
        async with self._store.transaction() as tx:
            knocks = await self._store.knocks.outgoing(tx, self.node_id)
        return [OutgoingInfo(one.knock_id, one.state, one.reason, one.note, one.created_at) for one in knocks]

    async def contacts(self) -> list[ContactInfo]:
        """Friends, oldest first."""
        async with self._store.transaction() as tx:
            contacts = await self._store.contacts.of_node(tx, self.node_id)
            preferences = await self._store.preferences.of_node(tx, self.node_id)
            queued = {
                contact.peer_id: await self._store.outbox.count(tx, self.node_id, contact.peer_id)
                for contact in contacts
            }
        return [
            ContactInfo(
                one.peer_id,
                one.peer_name,
                one.alias,
                self.work.friendships.online(one.peer_id),
                queued[one.peer_id],
                one.created_at,
                one.blocked,
                one.order,
                state_of(one),
                one.retired is not None,
                None if one.version == NO_VERSION else one.capabilities,
                preferences.get(one.peer_id, Preferences(self.work.record.shares)),
                *self.work.friendships.shown_by(one.peer_id),
            )
            for one in contacts
        ]

    def online(self, peer_id: PeerId) -> bool:
        """Whether a link with this friend is up."""
        return self.work.friendships.online(peer_id)

    async def understands(self, tx: Transaction, peer_id: PeerId, event_type: str) -> bool:
        """Whether the friend's program knows this type of event, as far as we know. Raises: NotFound."""
        contact = await self.work.mailbox.locked(tx, peer_id)
        return contact.version == NO_VERSION or event_type in contact.capabilities

    async def verification(self, peer_id: PeerId) -> VerificationInfo:
        """How to make sure of a friend, and whether that was done. Raises: NotFound."""
        async with self._store.transaction() as tx:
            contact = await self.work.mailbox.locked(tx, peer_id)
        return VerificationInfo(state_of(contact), number_of(contact), self.work.mailbox.verifying.emoji_of(contact))

    async def status(self) -> NodeStatus:
        """How the node is doing, and what its workers wait for."""
        codes, contacts = await self.codes(), await self.contacts()
        requests, outgoing = await self.requests(), await self.outgoing()
        onions, published = self.work.hostings.counts
        async with self._store.transaction() as tx:
            missed = await self.work.mailbox.catching_up.so_far(tx, self.work.mailbox.collecting)
        return NodeStatus(
            node_id=self.node_id,
            owner=self._owner,
            profile_name=self.profile_name,
            running=self.work.record.running,
            codes=len(codes),
            codes_published=sum(code.published for code in codes),
            contacts=len(contacts),
            contacts_online=sum(contact.online for contact in contacts),
            requests=sum(not request.ignored for request in requests),
            outgoing=sum(one.state is not KnockState.FAILED for one in outgoing),
            queued=sum(contact.queued for contact in contacts),
            onions=onions,
            onions_published=published,
            work=self.work.work_status(),
            counters=replace(self.work.counters),
            missed=missed,
        )

    # --- becoming friends --------------------------------------------------------------------------------------------

    async def add(self, tx: Transaction, code_text: str, note: str, *, pair: bool = False) -> KnockId:
        """Ask the owner of a friend code to be our friend. ``note`` goes with the request, up to `MAX_NOTE` bytes;
        with ``pair`` it is asked to hold our mail as soon as it is a friend.

        Raises: FriendCodeError; UsageError when it is a code of ours or the note cannot be sent; AlreadyExists when it
        waits for an answer already; LimitReached when `MAX_OUTGOING_KNOCKS` wait for an answer.
        """
        code = FriendCode.parse(code_text)
        check_text(note, MAX_NOTE, "the note", allowed="\n\t")
        self._around.budget.check_room(self.node_id)
        await self._store.nodes.for_update(tx, self.node_id)  # whoever adds the same code meanwhile comes second
        for door in await self._store.doors.of_node(tx, self.node_id):
            if ed25519_public(door.onion_seed) == code.door:
                raise UsageError("this is a friend code of your own")
        waiting = 0
        for knock in await self._store.knocks.outgoing(tx, self.node_id):
            if knock.state is not KnockState.FAILED:
                waiting += 1
                if FriendCode.parse(knock.code) == code:
                    raise AlreadyExists("this friend code was added already; the request waits for its owner's answer")
        if waiting >= MAX_OUTGOING_KNOCKS:
            raise LimitReached(f"{waiting} requests wait for an answer, as many as there can be")
        random, now = self._around.random, self._around.clock.now()
        knock = OutgoingKnock(
            knock_id=KnockId(random(ID_SIZE)),
            node_id=self.node_id,
            code=code.encode(),
            note=note,
            static_key=random(KEY_SIZE),
            onion_seed=random(KEY_SIZE),
            state=KnockState.CALLING,
            reason="",
            attempts=0,
            next_attempt_at=now,
            created_at=now,
            pairs=pair,
        )
        await self._store.knocks.add_outgoing(tx, knock)
        tx.after_commit(self.work.look_again)
        return knock.knock_id

    async def accept(self, tx: Transaction, knock_id: KnockId) -> PeerId:
        """Make a friend of whoever left this request. What is said from now on waits until the link is up.

        Raises: NotFound when there is no such request (any more).
        """
        await self._store.knocks.decide_pending(tx, self.node_id)
        pending = await self._request(tx, knock_id)
        record = await self._store.nodes.for_update(tx, self.node_id)  # whoever renames us meanwhile tells this one too
        contact = Contact(
            peer_id=pending.peer_id,
            node_id=self.node_id,
            role=Role.OWNER,
            own_static=self._around.random(KEY_SIZE),
            peer_static=pending.peer_static,
            hosted_seed=None,
            peer_onion=pending.peer_onion,
            session=pending.session,
            peer_name=pending.name,
            alias="",
            version=NO_VERSION,
            capabilities=pending.capabilities,
            established=False,
            created_at=self._around.clock.now(),
        )
        await self._store.contacts.add(tx, contact)
        await self._store.knocks.remove_pending(tx, knock_id)
        await self._around.observer.record(tx, self.node_id, ContactAdded(contact.peer_id, knock_id, contact.peer_name))
        profile = Profile(record.profile_name, await self._store.pictures.own(tx, self.node_id))
        await self.work.mailbox.send(tx, contact.peer_id, self.work.mailbox.event(profile))
        tx.after_commit(lambda: failpoint("accept-committed"))
        tx.after_commit(self.work.look_again)
        return contact.peer_id

    async def see_requests(self, tx: Transaction, knock_ids: Sequence[KnockId]) -> None:
        """Our owner has seen these requests: from now on no other pushes them out."""
        await self._store.knocks.see_pending(tx, self.node_id, knock_ids)

    async def ignore(self, tx: Transaction, knock_id: KnockId) -> None:
        """Set a request aside, silently: whoever left it is not told, and its coming again is not mentioned.

        Raises: NotFound.
        """
        await self._request(tx, knock_id)
        await self._store.knocks.ignore_pending(tx, knock_id)

    # --- contacts ----------------------------------------------------------------------------------------------------

    async def rename(self, tx: Transaction, peer_id: PeerId, alias: str) -> None:
        """Call a friend by a name of our own, up to `MAX_LABEL` bytes; ``""`` for the name it gives itself.

        Raises: NotFound, UsageError.
        """
        check_alias(alias)
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self._store.contacts.save(tx, replace(contact, alias=alias))
        shown = alias or contact.peer_name
        if shown != (contact.alias or contact.peer_name):
            await self._around.observer.record(tx, self.node_id, ContactRenamed(peer_id, shown))

    async def compare_emoji(self, tx: Transaction, peer_id: PeerId) -> None:
        """Ask a friend to compare emoji, or agree when the friend has asked. Raises: NotFound."""
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self._verify(tx, self.work.mailbox.verifying.begin(contact))

    async def confirm(self, tx: Transaction, peer_id: PeerId, *, match: bool) -> None:
        """Our owner has compared: the emoji if there are some to compare now, else the safety number.

        Raises: NotFound.
        """
        contact = await self.work.mailbox.locked(tx, peer_id)
        await self._verify(tx, self.work.mailbox.verifying.confirm(contact, match=match))

    async def _verify(self, tx: Transaction, turn: Turn) -> None:
        session = Session.deserialize(turn.contact.session)
        contact = await self.work.mailbox.perform(tx, turn, session)
        await self._store.contacts.save(tx, replace(contact, session=session.serialize()))
        tx.after_commit(lambda: self.work.wake(contact.peer_id))

    async def renew_session(self, tx: Transaction, peer_id: PeerId) -> None:
        """Begin the session with a friend anew, on the link that is up or on the next one.

        Raises: NotFound; UsageError when it was done less than a day ago, or the friendship is over.
        """
        contact = await self.work.mailbox.locked(tx, peer_id)
        if contact.retired is not None:
            raise FriendshipEnded("this friendship was ended; there is nothing to renew")
        session = Session.deserialize(contact.session)
        if session.renewal.too_early(self._around.clock.now()):
            raise UsageError(
                "the session with this friend was renewed less than a day ago; that can be done once a day"
            )
        session.renewal.want(Reason.ASKED)
        await self._store.contacts.save(tx, replace(contact, session=session.serialize()))
        tx.after_commit(lambda: self.work.friendships.renew(peer_id))

    async def set_profile_name(self, tx: Transaction, name: str) -> None:
        """Let every friend know what to call us from now on; 1 to `MAX_NAME` bytes. Raises: UsageError."""
        check_profile_name(name)
        record = await self._store.nodes.for_update(tx, self.node_id)
        if record.profile_name == name:
            return
        await self._store.nodes.save(tx, replace(record, profile_name=name))
        for contact in await self._store.contacts.lock_all(tx, self.node_id):
            await self.send(tx, contact.peer_id, Profile(name))
        tx.after_commit(lambda: self._renamed(name))

    @property
    def carrying(self) -> Agreements:
        """What this node and its friends agree on about holding mail for each other."""
        return self.work.carrying.agreements

    async def set_picture(self, tx: Transaction, data: bytes | None) -> None:
        """Let every friend see this picture of our owner, up to `MAX_AVATAR` bytes; None takes it back.

        Raises: LimitReached, UsageError when it is no picture.
        """
        picture = None
        if data is not None:
            if len(data) > MAX_AVATAR:
                raise LimitReached(f"this picture is {len(data)} bytes long; one may have {MAX_AVATAR}")
            mime_type = picture_type(data)
            if mime_type is None:
                raise UsageError("this is no PNG, JPEG, WebP or GIF picture")
            picture = Avatar(mime_type, data)
        record = await self._store.nodes.for_update(tx, self.node_id)
        if picture == await self._store.pictures.own(tx, self.node_id):
            return
        await self._store.pictures.save_own(tx, self.node_id, picture)
        for contact in await self._store.contacts.lock_all(tx, self.node_id):
            await self.send(tx, contact.peer_id, Profile(record.profile_name, picture or NO_AVATAR))

    async def send(
        self,
        tx: Transaction,
        peer_id: PeerId,
        body: Body,
        *,
        event_id: EventId | None = None,
        time: int | None = None,
        reply: EventId | None = None,
        thread: EventId | None = None,
    ) -> EventId:
        """Say something to a friend: sealed and in the outbox when ``tx`` is committed, delivered when it can be.

        ``event_id`` is drawn and ``time`` (seconds since the epoch) is now unless given; ``reply`` is what it answers,
        ``thread`` the first event of its thread.

        Raises: NotFound; LimitReached when too much waits for this friend or the event is too large; UsageError when
        it is no valid event.
        """
        event = self.work.mailbox.event(body, event_id, time, reply, thread)
        await self.work.mailbox.send(tx, peer_id, event)
        tx.after_commit(lambda: failpoint("send-committed"))
        tx.after_commit(lambda: self.work.wake(peer_id))
        return event.event_id

    # --- inside ------------------------------------------------------------------------------------------------------

    def _renamed(self, name: str) -> None:
        self.work.record = replace(self.work.record, profile_name=name)
