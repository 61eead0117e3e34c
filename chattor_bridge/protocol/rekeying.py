"""How the next epoch is agreed on in-band (docs/protocol/session.md, Epochs).

The state is `chattor_bridge.protocol.epoch.Epochs`; here are the two events that move it. Whatever is returned is
sealed already and goes to disk with the session, in the transaction of whatever led to it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import EventId
from chattor_bridge.protocol.events import EpochAccept, EpochOffer, Event, encode_event
from chattor_bridge.protocol.limits import EVENT_ID_SIZE
from chattor_bridge.protocol.primitives import (
    KEM_SEED_SIZE,
    RandomBytes,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
)
from chattor_bridge.protocol.session import Opened, Sealed, Session

Encapsulate = Callable[[bytes], tuple[bytes, bytes]]
"""A KEM ciphertext for a public key, and the secret in it."""


class UselessNegotiation(MalformedData):
    """An offer or an accept that cannot be used. It is acknowledged and dropped, and the epoch goes on."""


@dataclass(frozen=True, slots=True)
class Said:
    """An event that goes out: its id, its encoding, and its envelope."""

    event_id: EventId
    encoded: bytes
    sealed: Sealed


def offer_if_due(session: Session, *, random: RandomBytes, now: int) -> Said | None:
    """Offer the next epoch, if it is our turn and time (seconds since 1970)."""
    if not session.epochs.offer_due(now):
        return None
    seed = random(KEM_SEED_SIZE)
    event = Event(EventId(random(EVENT_ID_SIZE)), now, EpochOffer(session.epochs.sending, kem_public(seed)))
    said = say(session, event, random=random)
    session.epochs.offered(seed, said.encoded)
    return said


def take_offer(
    session: Session,
    offer: EpochOffer,
    opened: Opened,
    *,
    random: RandomBytes,
    now: int,
    encapsulate: Encapsulate = kem_encapsulate,
) -> Said:
    """Accept the friend's offer, which came as ``opened``.

    Raises: UselessNegotiation when it is not its turn, or what it offers is no ML-KEM-768 key.
    """
    assert opened.inner is not None  # an offer is an event
    if not session.epochs.may_accept(offer.epoch, opened.epoch):
        raise UselessNegotiation("an epoch was offered out of turn")
    try:
        ciphertext, secret = encapsulate(offer.key)
    except MalformedData as error:
        raise UselessNegotiation("an epoch was offered without a key") from error
    event = Event(EventId(random(EVENT_ID_SIZE)), now, EpochAccept(offer.epoch, ciphertext))
    said = say(session, event, random=random)
    session.epochs.accepted(secret, opened.inner, said.encoded, seq=said.sealed.seq, now=now)
    return said


def take_accept(session: Session, accept: EpochAccept, opened: Opened, *, now: int) -> None:
    """The friend accepted our offer: we seal under the next epoch from now on.

    Raises: UselessNegotiation when nothing of the kind was offered.
    """
    assert opened.inner is not None  # an accept is an event
    offered = session.epochs.offer_answered(accept.epoch, opened.epoch)
    if offered is None:
        raise UselessNegotiation("an epoch was accepted that was not offered")
    secret = kem_decapsulate(offered.seed, accept.ciphertext)
    session.epochs.finish(secret, offered.offer, opened.inner, now=now)


def say(session: Session, event: Event, *, random: RandomBytes, now: int | None = None) -> Said:
    """Seal an event, with an acknowledgement of what has come. Raises: as `encode_event` and `Session.seal`."""
    encoded = encode_event(event)
    sealed = session.seal(encoded, random=random, now=now, ack=session.received.ack())
    return Said(event.event_id, encoded, sealed)
