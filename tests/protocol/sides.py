"""One side of a friendship with its disk, as far as the protocol core is concerned: what a node does, without a node.

A step is a transaction: it works on a copy of what is on disk, and either all of it is kept or nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.ids import EventId
from chattor_bridge.protocol.epoch import SessionRole
from chattor_bridge.protocol.events import (
    EpochAccept,
    EpochEvent,
    EpochOffer,
    Event,
    Text,
    decode_event,
    encode_event,
)
from chattor_bridge.protocol.frames import Hello, ResyncAnswer, ResyncStart
from chattor_bridge.protocol.rekeying import Said, offer_if_due, take_accept, take_offer
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.resync import Standing, Starting, answer, contradicts, hello_of
from chattor_bridge.protocol.session import Duplicate, OutOfWindow, Session, SessionBroken
from chattor_bridge.protocol.window import Ack, Kept
from tests.protocol.sources import NOW, Source, session_pair


@dataclass
class Disk:
    """What survives: the session, the outbox (number to encoded event and envelope), the event ids seen, the texts."""

    session: bytes
    outbox: dict[int, tuple[bytes, Kept]] = field(default_factory=dict)
    ids: set[EventId] = field(default_factory=set)
    texts: list[str] = field(default_factory=list)

    def copy(self) -> Disk:
        return Disk(self.session, dict(self.outbox), set(self.ids), list(self.texts))


class Side:
    """``disk`` is what is durable; `now` is moved by the test."""

    def __init__(self, session: Session, name: str) -> None:
        self.role: SessionRole = session.role
        self.disk = Disk(session.serialize())
        self.random = Source(name)
        self.now = NOW

    @property
    def session(self) -> Session:
        """A copy of what is stored."""
        return Session.deserialize(self.disk.session)

    def say(self, text: str, *, crash: bool = False) -> list[bytes]:
        """The envelopes that go out: a text, and what it brings about. ``crash``: nothing of it is kept."""
        disk, session = self.disk.copy(), self.session
        encoded = encode_event(Event(EventId(self.random(16)), NOW, Text(text)))
        sealed = session.seal(encoded, random=self.random, now=self.now, ack=session.received.ack())
        disk.outbox[sealed.seq] = (encoded, sealed.kept)
        sent = [sealed.envelope, *self._rekey(disk, session)]
        return self._commit(disk, session, sent, crash)

    def take(self, envelope: bytes, *, crash: bool = False) -> list[bytes]:
        """The envelopes that go out because this one came in."""
        disk, session = self.disk.copy(), self.session
        try:
            opened = session.open(envelope, random=self.random, now=self.now)
        except Duplicate:
            return [self.ack()]
        except (AuthenticationFailed, OutOfWindow):
            return []
        except SessionBroken:
            session.renewal.wanted = Reason.BROKEN
            return self._commit(disk, session, [], crash)
        sent = []
        if opened.ack is not None:
            _drop(disk, session, opened.ack)
        if opened.inner is not None:
            event = decode_event(opened.inner)
            match event.body:
                case EpochOffer():
                    said = take_offer(session, event.body, opened, random=self.random, now=self.now)
                    sent.append(_put(disk, said))
                case EpochAccept():
                    take_accept(session, event.body, opened, now=self.now)
                case Text(text) if event.event_id not in disk.ids:
                    disk.ids.add(event.event_id)
                    disk.texts.append(text)
        sent += self._rekey(disk, session)
        return self._commit(disk, session, sent, crash)

    def take_ack(self, ack: Ack) -> None:
        """The acknowledgement of a link."""
        disk, session = self.disk.copy(), self.session
        _drop(disk, session, ack)
        self._commit(disk, session, [], crash=False)

    def ack(self) -> bytes:
        """A standalone acknowledgement."""
        session = self.session
        return session.seal_ack(session.received.ack(), random=self.random)

    def outbox(self) -> list[bytes]:
        """Every envelope that was not acknowledged, in order."""
        return [kept.envelope for _, (_, kept) in sorted(self.disk.outbox.items())]

    # --- a link ------------------------------------------------------------------------------------------------------

    def hello(self) -> Hello:
        return hello_of(self.session, versions=(1,), capabilities=())

    def standing(self) -> Standing:
        session = self.session
        acknowledged = min(self.disk.outbox) - 1 if self.disk.outbox else session.sent.highest
        return Standing(session.session_id, session.received.highest, acknowledged)

    def promotes(self, hello: Hello) -> bool:
        """Take the candidate that the friend's hello names, if there is one."""
        for stored in self.session.renewal.candidates:
            candidate = Session.deserialize(stored)
            if candidate.session_id == hello.session_id:
                self.renew(candidate)
                return True
        return False

    def differs(self, hello: Hello) -> bool:
        """Whether a resync is due, by the friend's hello or for a reason of our own."""
        _, kept = self.disk.outbox.get(hello.highest_received, (b"", None))
        envelope = None if kept is None else kept.envelope
        session = self.session
        return contradicts(hello, session, self.standing(), envelope) or session.renewal.wanted is not None

    def start(self, handshake_hash: bytes) -> Starting:
        return Starting(self.session, handshake_hash, random=self.random)

    def answer(self, start: ResyncStart, handshake_hash: bytes) -> ResyncAnswer:
        session = self.session
        said, candidate = answer(start, session, handshake_hash, random=self.random, now=self.now)
        session.renewal.add_candidate(candidate.serialize())
        self._commit(self.disk.copy(), session, [], crash=False)
        return said

    def finish(self, starting: Starting, said: ResyncAnswer) -> None:
        self.renew(starting.finish(said, self.session, random=self.random, now=self.now))

    def renew(self, session: Session) -> None:
        """Put this session in the place of the one there is: what was not acknowledged is sealed anew."""
        disk = self.disk.copy()
        waiting = [encoded for _, (encoded, _) in sorted(disk.outbox.items())]
        disk.outbox = {}
        for encoded in waiting:
            if not isinstance(decode_event(encoded).body, EpochEvent):
                sealed = session.seal(encoded, random=self.random, now=self.now)
                disk.outbox[sealed.seq] = (encoded, sealed.kept)
        self._commit(disk, session, [], crash=False)

    def _rekey(self, disk: Disk, session: Session) -> list[bytes]:
        said = offer_if_due(session, random=self.random, now=self.now)
        return [] if said is None else [_put(disk, said)]

    def _commit(self, disk: Disk, session: Session, sent: list[bytes], crash: bool) -> list[bytes]:
        if crash:
            return []
        disk.session = session.serialize()
        self.disk = disk
        return sent


def sides(name: str = "sides") -> dict[SessionRole, Side]:
    """Both sides of a new friendship."""
    knocker, owner = session_pair(name)
    return {"knocker": Side(knocker, f"{name} knocker"), "owner": Side(owner, f"{name} owner")}


def _put(disk: Disk, said: Said) -> bytes:
    disk.outbox[said.sealed.seq] = (said.encoded, said.sealed.kept)
    return said.sealed.envelope


def _drop(disk: Disk, session: Session, ack: Ack) -> None:
    covered = [seq for seq in disk.outbox if ack.covers(seq)]
    if session.sent.means(ack, {seq: kept for seq, (_, kept) in disk.outbox.items()}):
        session.acknowledged(ack)
        for seq in covered:
            del disk.outbox[seq]
    elif covered:
        session.renewal.want(Reason.CONTRADICTION)
