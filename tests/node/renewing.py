"""Words for tests of a resync: what a person was told of it, and friends that are moved by hand."""

from __future__ import annotations

import secrets
from dataclasses import dataclass

from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import SESSION_RENEWED, EventArrived
from chattor_bridge.protocol.events import Unknown
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame, ResyncAnswer, ResyncStart
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.resync import answer
from chattor_bridge.protocol.session import Session
from tests.node.puppet import Puppet
from tests.node.world import Person, World

Friends = tuple[Person, Person, PeerId]


async def session_of(person: Person, peer_id: PeerId) -> Session:
    async with person.house.store.transaction() as tx:
        contact = await person.house.store.contacts.get(tx, person.node_id, peer_id)
    assert contact is not None
    return Session.deserialize(contact.session)


def told(person: Person, what: str) -> list[object]:
    bodies = [arrived.event.body for arrived in person.of(EventArrived)]
    return [body.fields.get("reason") for body in bodies if isinstance(body, Unknown) and body.type == what]


def has(person: Person, *texts: str) -> bool:
    return set(texts) <= set(person.texts())


async def until_both_are_told(*people: Person, times: int = 1) -> None:
    for person in people:
        await person.until(
            lambda person=person: len(told(person, SESSION_RENEWED)) >= times,  # type: ignore[misc]
            time_passes=True,
        )


async def greet(anna: Person, puppet: Puppet) -> None:
    await puppet.greet(anna, AckFrame(puppet.session.received.ack()))


def broken(session: Session) -> EnvelopeFrame:
    """An envelope that is authentic outside and wrong inside."""
    outer = [session.sent.highest + 1, bytes(40), bytes(924), None]
    return EnvelopeFrame(session._seal_outer(secrets.token_bytes(12), outer, 1_000))


@dataclass(frozen=True, slots=True)
class Crossing:
    """A resync is under way on both of two links between ``owner``, who has sent ``start`` on the first, and a puppet,
    which is about to start one on the second."""

    owner: Person
    peer_id: PeerId
    first: Puppet
    second: Puppet
    start: ResyncStart

    def answer(self) -> tuple[ResyncAnswer, Session]:
        now = self.first.contact.created_at
        return answer(self.start, self.first.session, self.first.handshake_hash, random=secrets.token_bytes, now=now)

    async def close(self) -> None:
        for puppet in (self.first, self.second):
            await puppet.close()


async def cross(world: World, *, lower: bool) -> Crossing:
    """``lower``: whether the owner's static key is the lower of the two."""
    for number in range(20):
        owner, knocker = await world.person(f"Ben {number}"), await world.person(f"Anna {number}")
        peer_id = await knocker.befriend(owner)
        async with owner.house.store.transaction() as tx:
            contact = await owner.house.store.contacts.get(tx, owner.node_id, peer_id)
        assert contact is not None
        if (x25519_public(contact.own_static) < contact.peer_static) is lower:
            break
    first = await Puppet.of(knocker)
    second = Puppet(first.contact, world.clock)
    await owner.until(lambda: not owner.online(peer_id))
    await greet(owner, second)
    await greet(owner, first)
    await first.say(broken(first.session))
    return Crossing(owner, peer_id, first, second, await first.hear(ResyncStart))
