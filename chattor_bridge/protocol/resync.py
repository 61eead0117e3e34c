"""Two halves of a session that no longer belong together begin anew (docs/protocol/session.md, Resync).

::

    starter                                   answerer
    start: X25519, ML-KEM key  -->            derives the candidate, stores it beside the session
    new session stored  <--                   answer: X25519, ciphertext, first ratchet message
    done  -->                                 the candidate takes the session's place

It runs inside one link, whose handshake has proved the static keys, and its root has that handshake's hash in it.
Nobody forgets the old session before the other is known to hold the new one: the answerer keeps both until ``done``,
or a later hello, names the new one. What the old one had not delivered is sealed anew by whoever calls this.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.frames import Hello, ResyncAnswer, ResyncStart
from chattor_bridge.protocol.primitives import (
    KEM_CIPHERTEXT_SIZE,
    KEM_PUBLIC_SIZE,
    KEM_SEED_SIZE,
    KEY_SIZE,
    RandomBytes,
    dh,
    hash256,
    hkdf,
    kem_decapsulate,
    kem_encapsulate,
    kem_public,
    x25519_public,
)
from chattor_bridge.protocol.ratchet import RatchetMessage
from chattor_bridge.protocol.rekeying import Encapsulate
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.window import envelope_digest


@dataclass(frozen=True, slots=True)
class Standing:
    """Where our half stood before a link was opened, so that a hello said on it cannot know less: the id of the
    session, the highest number ``received``, and up to which number the friend had ``acknowledged`` everything."""

    session_id: bytes
    received: int
    acknowledged: int


def contradicts(hello: Hello, session: Session, before: Standing, unacknowledged: bytes | None) -> bool:
    """Whether one side has lost a part of what the other remembers, by the friend's ``hello`` and our session.

    ``unacknowledged`` is the envelope with the number that the friend received last, if we still have it.
    """
    fell_back = before.session_id == session.session_id and (
        hello.highest_received < before.acknowledged or hello.highest_sent < before.received
    )
    return (
        hello.session_id != session.session_id
        or fell_back
        or hello.epoch > session.epochs.newest + 1
        or hello.highest_received > session.sent.highest
        or (unacknowledged is not None and envelope_digest(unacknowledged) != hello.seen)
    )


def hello_of(session: Session, *, versions: tuple[int, ...], capabilities: tuple[str, ...]) -> Hello:
    """What we say of our half."""
    return Hello(
        versions=versions,
        capabilities=capabilities,
        session_id=session.session_id,
        epoch=session.epochs.newest,
        highest_sent=session.sent.highest,
        highest_received=session.received.highest,
        seen=session.seen,
    )


class Starting:
    """The starting side, for as long as one link lives; ``frame`` goes out, `finish` takes the answer."""

    def __init__(self, session: Session, handshake_hash: bytes, *, random: RandomBytes) -> None:
        """``handshake_hash``: of the link's Noise handshake, 32 bytes."""
        self._secrets = _Secrets(random(KEY_SIZE), random(KEM_SEED_SIZE))
        self._session_id = session.session_id
        self._handshake_hash = handshake_hash
        self.frame = ResyncStart(
            cbor.encode({"key": x25519_public(self._secrets.private), "kem": kem_public(self._secrets.kem_seed)})
        )

    def finish(self, answer: ResyncAnswer, session: Session, *, random: RandomBytes, now: int) -> Session:
        """The new session, to be stored in the place of ``session``.

        Raises: AuthenticationFailed when the answer is not that of the friend whose link this is, or to another
        session; MalformedData.
        """
        if session.session_id != self._session_id:
            raise AuthenticationFailed("the session was renewed meanwhile")
        key, ciphertext = _read(answer.head, KEM_CIPHERTEXT_SIZE)
        secret = dh(self._secrets.private, key) + kem_decapsulate(self._secrets.kem_seed, ciphertext)
        transcript = _transcript(session, self._handshake_hash, self.frame, answer.head)
        return session.renewed_by_starting(
            _root(session, secret, transcript),
            transcript,
            own_key=self._secrets.private,
            first=RatchetMessage(answer.ratchet_header, answer.ratchet_ciphertext),
            random=random,
            now=now,
        )


@dataclass(frozen=True, slots=True)
class _Secrets:
    private: bytes = field(repr=False)
    kem_seed: bytes = field(repr=False)


def answer(
    start: ResyncStart,
    session: Session,
    handshake_hash: bytes,
    *,
    random: RandomBytes,
    now: int,
    encapsulate: Encapsulate = kem_encapsulate,
) -> tuple[ResyncAnswer, Session]:
    """The answer to ``start``, and the candidate to be stored beside ``session`` before the answer leaves.

    Raises: AuthenticationFailed, MalformedData when the keys are of small order or no keys.
    """
    key, kem = _read(start.encoded, KEM_PUBLIC_SIZE)
    private = random(KEY_SIZE)
    ciphertext, kem_secret = encapsulate(kem)
    head = cbor.encode({"key": x25519_public(private), "kem": ciphertext})
    transcript = _transcript(session, handshake_hash, start, head)
    candidate, first = session.renewed_by_answering(
        _root(session, dh(private, key) + kem_secret, transcript), transcript, peer_key=key, random=random, now=now
    )
    return ResyncAnswer(head, first.header, first.ciphertext), candidate


def _read(encoded: bytes, kem_size: int) -> tuple[bytes, bytes]:
    fields = cbor.Fields(cbor.decode(encoded), "resync")
    return fields.bytes("key", length=KEY_SIZE), fields.bytes("kem", length=kem_size)


def _transcript(session: Session, handshake_hash: bytes, start: ResyncStart, head: bytes) -> bytes:
    return hash256("resync", session.peer_id, handshake_hash, start.encoded, head)


def _root(session: Session, secret: bytes, transcript: bytes) -> bytes:
    """``secret``: the Diffie-Hellman result and the ML-KEM secret, 64 bytes."""
    return hkdf(secret + session.link_psk, label="resync-root", info=[transcript])
