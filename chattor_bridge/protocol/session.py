"""A friendship's keys and counters, and the envelopes they seal (docs/protocol/session.md).

An envelope is an event behind two layers, and both must fall before it can be read. Inside, the Double Ratchet heals
after a theft of keys. Outside, an epoch key, grown from ML-KEM-768 secrets (`chattor_bridge.protocol.epoch`), keeps a
recorder with a future quantum computer out, and hides sequence number, ratchet header and size. A road (link or
carrier) sees 1,000, 4,000 or 16,000 random bytes.

::

    envelope = nonce (12) || AES-256-GCM(key of epoch and direction, outer, AD = "envelope", friendship id, direction)
    outer    = [seq, ratchet header or null, ratchet ciphertext or zeros, acknowledgement or null]

What opens under no epoch key is nobody's fault that could be named: it is dropped and counted. What opens outside and
fails inside means that the two states differ.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, LimitReached, MalformedData, PeerMisbehaved
from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.epoch import Epochs, SessionRole, other
from chattor_bridge.protocol.limits import DIGEST_SIZE, ENVELOPE_SIZES, MAX_INNER, MAX_SEQ
from chattor_bridge.protocol.primitives import (
    KEY_SIZE,
    NONCE_SIZE,
    TAG_SIZE,
    RandomBytes,
    aead_open,
    aead_seal,
    hash256,
    hkdf,
    labelled,
)
from chattor_bridge.protocol.ratchet import HEADER_SIZE, OVERHEAD, Ratchet, RatchetMessage
from chattor_bridge.protocol.renewal import Renewal
from chattor_bridge.protocol.window import NO_DIGEST, Ack, Kept, ReceiveWindow, SendWindow, envelope_digest

ID_SIZE: Final = 16
"""Bytes of a friendship id and of a session id."""

_FORMAT: Final = 2
"""Version of `Session.serialize`; another one is refused, a newer program must migrate it."""

_FIRST_MESSAGE = b"chattor/v1/first"
"""Plaintext of the ratchet message inside a knock. It says nothing: it lets the owner's ratchet start."""

_BODY_HEAD_GROWTH = 2
"""Bytes by which the head of a byte string of 256 to 65,535 bytes is longer than that of an empty one."""

_MIN_BODY = 256
"""Bytes of the shortest body, so that its head always has three bytes and sizes come out exact."""


class Duplicate(Exception):
    """This envelope was accepted before: acknowledge ``seq`` again and drop it. Nobody's fault."""

    def __init__(self, seq: int) -> None:
        super().__init__("an envelope came again")
        self.seq = seq


class SessionBroken(PeerMisbehaved):
    """An envelope is authentic outside and wrong inside: the two states differ. A reason to resync, never to ack."""


class OutOfWindow(PeerMisbehaved):
    """Too much would be missing before this envelope. Not acknowledged; the sender comes again in order."""


@dataclass(frozen=True, slots=True)
class Sealed:
    """An envelope to send, of 1,000, 4,000 or 16,000 bytes: ``seq`` from 1, and what is ``kept`` of it until it is
    acknowledged."""

    seq: int
    kept: Kept

    @property
    def envelope(self) -> bytes:
        """What is sent."""
        return self.kept.envelope


@dataclass(frozen=True, slots=True)
class Opened:
    """What was in an envelope, and the number of the ``epoch`` it was sealed under. In a standalone acknowledgement
    ``seq`` is 0 and ``inner`` None. ``ack`` is to be seen to `SendWindow.means` what was sealed here, before
    `Session.acknowledged` hears of it."""

    seq: int
    inner: bytes | None
    ack: Ack | None
    epoch: int = 0


class Session:
    """One side's state of a friendship. Mutable: `seal` and a successful `open` change it; store it with what they
    returned, in one transaction. A failing call changes nothing.
    """

    def __init__(
        self,
        *,
        role: SessionRole,
        peer_id: PeerId,
        session_id: bytes,
        transcript: bytes,
        friendship_secret: bytes,
        link_psk: bytes,
        epochs: Epochs,
        ratchet: Ratchet,
        sent: SendWindow,
        received: ReceiveWindow,
        seen: bytes,
        renewal: Renewal,
    ) -> None:
        self.role = role
        self.peer_id = peer_id
        self.session_id = session_id
        self.transcript = transcript
        self.link_psk = link_psk
        self.epochs = epochs
        self.sent = sent
        self.received = received
        self.seen = seen
        self.renewal = renewal
        self._friendship_secret = friendship_secret
        self._ratchet = ratchet

    @classmethod
    def _begin(cls, role: SessionRole, root: bytes, transcript: bytes, ratchet: Ratchet, now: int) -> Session:
        return cls(
            role=role,
            peer_id=friendship_id(transcript),
            session_id=hash256("session", transcript)[:ID_SIZE],
            transcript=transcript,
            friendship_secret=hkdf(root, label="friendship"),
            link_psk=hkdf(root, label="link-psk"),
            epochs=Epochs.begin(hkdf(root, label="epoch"), role, now),
            ratchet=ratchet,
            sent=SendWindow(),
            received=ReceiveWindow(),
            seen=NO_DIGEST,
            renewal=Renewal(),
        )

    @classmethod
    def begin_as_knocker(
        cls, root: bytes, transcript: bytes, *, door_key: bytes, random: RandomBytes, now: int
    ) -> tuple[Session, RatchetMessage]:
        """Begin from the root and the transcript hash of a knock (32 bytes each) and the door's E_d.

        The ratchet message goes into the sealed part of the knock.
        """
        ratchet, first = Ratchet.begin_sending(
            hkdf(root, label="ratchet"),
            door_key,
            _FIRST_MESSAGE,
            _ratchet_ad(friendship_id(transcript), "knocker", 0),
            padded_size=len(_FIRST_MESSAGE) + 1,
            random=random,
        )
        return cls._begin("knocker", root, transcript, ratchet, now), first

    @classmethod
    def begin_as_owner(
        cls,
        root: bytes,
        transcript: bytes,
        *,
        door_private: bytes,
        first: RatchetMessage,
        random: RandomBytes,
        now: int,
    ) -> Session:
        """The other side: ``door_private`` is E_d, not needed afterwards. Raises: AuthenticationFailed."""
        ratchet, plaintext = Ratchet.begin_receiving(
            hkdf(root, label="ratchet"),
            door_private,
            first,
            _ratchet_ad(friendship_id(transcript), "knocker", 0),
            random=random,
            now=now,
        )
        if plaintext != _FIRST_MESSAGE:
            raise AuthenticationFailed("the first message of a ratchet is not its first")
        return cls._begin("owner", root, transcript, ratchet, now)

    # --- beginning anew ----------------------------------------------------------------------------------------------

    def renewed_by_answering(
        self, root: bytes, transcript: bytes, *, peer_key: bytes, random: RandomBytes, now: int
    ) -> tuple[Session, RatchetMessage]:
        """The session of a resync on the answering side, from its root and transcript (32 bytes each) and the X25519
        key of the starting one, which becomes its first ratchet key. The message goes into the answer.

        Raises: AuthenticationFailed on a key of small order.
        """
        ratchet, first = Ratchet.begin_sending(
            hkdf(root, label="ratchet"),
            peer_key,
            _FIRST_MESSAGE,
            _ratchet_ad(self.peer_id, self.role, 0),
            padded_size=len(_FIRST_MESSAGE) + 1,
            random=random,
        )
        return self._renewed(root, transcript, ratchet, now), first

    def renewed_by_starting(
        self, root: bytes, transcript: bytes, *, own_key: bytes, first: RatchetMessage, random: RandomBytes, now: int
    ) -> Session:
        """The other side: ``own_key`` is its X25519 private key. Raises: AuthenticationFailed, MalformedData."""
        ratchet, plaintext = Ratchet.begin_receiving(
            hkdf(root, label="ratchet"),
            own_key,
            first,
            _ratchet_ad(self.peer_id, other(self.role), 0),
            random=random,
            now=now,
        )
        if plaintext != _FIRST_MESSAGE:
            raise AuthenticationFailed("the first message of a ratchet is not its first")
        return self._renewed(root, transcript, ratchet, now)

    def _renewed(self, root: bytes, transcript: bytes, ratchet: Ratchet, now: int) -> Session:
        """What lasts as long as the friendship stays: its id and secret, and the link key, without which two sides of
        which one has lost the resync could never meet again."""
        return Session(
            role=self.role,
            peer_id=self.peer_id,
            session_id=hash256("session", transcript)[:ID_SIZE],
            transcript=self.transcript,
            friendship_secret=self._friendship_secret,
            link_psk=self.link_psk,
            epochs=Epochs.begin(hkdf(root, label="epoch"), self.role, now),
            ratchet=ratchet,
            sent=SendWindow(),
            received=ReceiveWindow(),
            seen=NO_DIGEST,
            renewal=Renewal(at=now, replaced=self.session_id),
        )

    def onion_auth_key(self, onion: OnionKey) -> bytes:
        """The X25519 private key, 32 bytes, that opens the descriptor of this friendship's ``onion``.

        Both sides derive it: the host gives tor the public half, the dialler the private one.
        """
        return hkdf(self._friendship_secret, label="onion-auth", info=[onion])

    def block_key(self, onion: OnionKey, *, ours: bool) -> bytes:
        """The key, 32 bytes, of blocks left at the shelf with this ``onion``; ``ours``: left by our side."""
        sender = self.role if ours else other(self.role)
        return hkdf(self._friendship_secret, label="block-key", info=[onion, sender.encode()])

    def merge_proof(self, transcript: bytes, *, ours: bool) -> bytes:
        """32 bytes by which one side says that the friendship whose knock had this ``transcript`` hash is between the
        same two people as this one; ``ours``: as our side says it. Compare them in constant time."""
        sender = self.role if ours else other(self.role)
        return hkdf(self._friendship_secret, label="merge", info=[sender.encode(), transcript])

    # --- sealing -------------------------------------------------------------------------------------------------

    def seal(self, inner: bytes, *, random: RandomBytes, now: int | None = None, ack: Ack | None = None) -> Sealed:
        """Seal an encoded event as the next envelope, with an acknowledgement when there is one to give. Keys whose
        time is over ``now`` are erased.

        Raises: LimitReached when ``inner`` exceeds 15,000 bytes, or the sequence numbers have come to their end.
        """
        if len(inner) > MAX_INNER:
            raise LimitReached(f"An event of {len(inner)} bytes is too large; {MAX_INNER} fit.")
        if self.sent.highest == MAX_SEQ:
            raise LimitReached("This friendship has used all its sequence numbers.")
        seq = self.sent.highest + 1
        told = None if ack is None else ack.to_cbor()
        size, body_size = _choose_size(
            len(inner) + 1 + OVERHEAD, len(cbor.encode([seq, bytes(HEADER_SIZE), b"", told]))
        )
        nonce = random(NONCE_SIZE)
        if now is not None:
            self._ratchet.forget_old(now)
        message = self._ratchet.encrypt(
            inner, _ratchet_ad(self.peer_id, self.role, seq), padded_size=body_size - OVERHEAD, random=random
        )
        self.epochs.counted += 1
        envelope = self._seal_outer(nonce, [seq, message.header, message.ciphertext, told], size)
        return Sealed(seq, self.sent.add(envelope))

    def seal_ack(self, ack: Ack, *, random: RandomBytes) -> bytes:
        """An envelope that only acknowledges: sequence number 0, no ratchet step, never acknowledged itself."""
        told = ack.to_cbor()
        size, body_size = _choose_size(0, len(cbor.encode([0, None, b"", told])))
        return self._seal_outer(random(NONCE_SIZE), [0, None, bytes(body_size), told], size)

    def _seal_outer(self, nonce: bytes, outer: list[object], size: int) -> bytes:
        envelope = nonce + aead_seal(self.epochs.sending_key(), nonce, cbor.encode(outer), self._envelope_ad(self.role))
        assert len(envelope) == size
        return envelope

    # --- opening -------------------------------------------------------------------------------------------------

    def open(self, envelope: bytes, *, random: RandomBytes, now: int, at_most: int = MAX_SEQ) -> Opened:
        """Open an envelope of the other side and note its sequence number. ``random`` makes the next ratchet key.
        Nothing beyond ``at_most`` is taken, at no more cost than that of the outer layer.

        Raises:
            Duplicate: it was accepted before; acknowledge it and drop it.
            AuthenticationFailed: it opens under no live epoch key; drop and count it, nothing more.
            OutOfWindow: too much would be missing before it; do not acknowledge it.
            SessionBroken: authentic outside, wrong inside, or another one under the number last accepted; do not
                acknowledge it.
        """
        epoch, outer = self._open_outer(envelope)
        seq, header, body, ack = self._read_outer(outer)
        if header is None:
            self._note(epoch, 0, now)
            return Opened(0, None, ack, epoch)
        if self.received.contains(seq):
            if seq == self.received.highest and envelope_digest(envelope) != self.seen:
                raise SessionBroken("two authentic envelopes have the same number")
            raise Duplicate(seq)
        if seq > at_most:
            raise OutOfWindow("an envelope is not taken before those still missing")
        if self.received.would_overflow(seq):
            raise OutOfWindow("an envelope comes too far ahead of those still missing")
        self._ratchet.forget_old(now)
        try:
            inner = self._ratchet.decrypt(
                RatchetMessage(header, body),
                _ratchet_ad(self.peer_id, other(self.role), seq),
                random=random,
                now=now,
            )
        except PeerMisbehaved as error:
            raise SessionBroken("an authentic envelope does not continue this session") from error
        digest = envelope_digest(envelope)
        self.received.accept(seq, digest)
        if seq == self.received.highest:
            self.seen = digest
        self._note(epoch, seq, now)
        return Opened(seq, inner, ack, epoch)

    def acknowledged(self, ack: Ack) -> bool:
        """The friend has these of ours on disk. Whether that changed the state, which must be stored then."""
        return self.epochs.acknowledged(ack)

    @property
    def skipped(self) -> int:
        """How many keys of skipped messages are kept."""
        return self._ratchet.skipped

    def forget_old(self, now: int, *, sure: bool = False) -> bool:
        """Erase the keys whose time is over. Whether that changed the state, which must be stored then.

        ``sure``: ``now`` has proved right, so a later date is that of a clock which was ahead, and becomes ``now``. Put
        back by a clock that is behind, it would have its key erased, and a message lost, once that one is put right.
        That of a renewal is forgotten.
        """
        skipped = self._ratchet.forget_old(now, sure=sure)
        renewal = sure and self.renewal.put_right(now)
        return self.epochs.forget_old(self.received.cumulative, now, sure=sure) or skipped or renewal

    def _note(self, epoch: int, seq: int, now: int) -> None:
        self.epochs.opened(epoch, seq, up_to=self.received.cumulative, now=now)

    def _open_outer(self, envelope: bytes) -> tuple[int, bytes]:
        """The number of the epoch, and the plaintext."""
        if len(envelope) not in ENVELOPE_SIZES:
            raise AuthenticationFailed("an envelope has no size an envelope can have")
        nonce, sealed = envelope[:NONCE_SIZE], envelope[NONCE_SIZE:]
        ad = self._envelope_ad(other(self.role))
        for number, key in self.epochs.receiving_keys():
            try:
                return number, aead_open(key, nonce, sealed, ad)
            except AuthenticationFailed:
                continue
        raise AuthenticationFailed("an envelope opens under no key of this session")

    @staticmethod
    def _read_outer(outer: bytes) -> tuple[int, bytes | None, bytes, Ack | None]:
        """Sequence number, ratchet header (None in a standalone acknowledgement), body, acknowledgement."""
        try:
            match cbor.decode(outer):
                case [int(seq), bytes(header), bytes(body), told] if 1 <= seq <= MAX_SEQ and seq is not True:
                    return seq, header, body, None if told is None else Ack.from_cbor(told)
                case [0 as seq, None, bytes(body), told] if seq is not False and not body.strip(b"\0"):
                    return 0, None, body, Ack.from_cbor(told)
        except MalformedData as error:
            raise SessionBroken("an authentic envelope is malformed inside") from error
        raise SessionBroken("an authentic envelope is malformed inside")

    def _envelope_ad(self, sender: SessionRole) -> bytes:
        return labelled("envelope", [self.peer_id, sender.encode()])

    # --- keeping -------------------------------------------------------------------------------------------------

    def serialize(self) -> bytes:
        """The whole state as deterministic CBOR. Secret: seal it before it touches a disk."""
        return cbor.encode(
            {
                "format": _FORMAT,
                "role": self.role,
                "peer_id": self.peer_id,
                "session_id": self.session_id,
                "transcript": self.transcript,
                "friendship": self._friendship_secret,
                "link_psk": self.link_psk,
                "epochs": self.epochs.to_fields(),
                "ratchet": self._ratchet.to_fields(),
                "sent": self.sent.highest,
                "sent_digest": self.sent.digest,
                "received": self.received.ack().to_cbor(),
                "given_up": self.received.given_up,
                "seen": self.seen,
                "renewal": self.renewal.to_list(),
            }
        )

    @classmethod
    def deserialize(cls, data: bytes) -> Session:
        """Read what `serialize` made. Raises: MalformedData, also for a format of another version."""
        fields = cbor.Fields(cbor.decode(data), "stored session")
        fields.integer("format", low=_FORMAT, high=_FORMAT)
        role: SessionRole
        match fields.raw("role"):
            case "knocker":
                role = "knocker"
            case "owner":
                role = "owner"
            case _:
                raise fields.wrong("role")
        given_up = fields.integer("given_up", low=0, high=MAX_SEQ) if "given_up" in fields else 0
        digest, received = NO_DIGEST, fields.raw("received")
        if "sent_digest" in fields:
            digest = fields.bytes("sent_digest", length=DIGEST_SIZE)
        elif isinstance(received, list):  # stored before there were digests: what is on its way will have none
            received.insert(1, NO_DIGEST)
        return cls(
            role=role,
            peer_id=PeerId(fields.bytes("peer_id", length=ID_SIZE)),
            session_id=fields.bytes("session_id", length=ID_SIZE),
            transcript=fields.bytes("transcript", length=KEY_SIZE),
            friendship_secret=fields.bytes("friendship", length=KEY_SIZE),
            link_psk=fields.bytes("link_psk", length=KEY_SIZE),
            epochs=Epochs.from_fields(role, cbor.Fields(fields.raw("epochs"), "stored epochs")),
            ratchet=Ratchet.from_fields(cbor.Fields(fields.raw("ratchet"), "stored ratchet")),
            sent=SendWindow(fields.integer("sent", low=0, high=MAX_SEQ), digest),
            received=ReceiveWindow(Ack.from_cbor(received), given_up),
            seen=fields.bytes("seen", length=DIGEST_SIZE),
            renewal=Renewal.from_fields(fields, "renewal"),
        )

    def clone(self) -> Session:
        """An independent copy."""
        return Session.deserialize(self.serialize())


def friendship_id(transcript: bytes) -> PeerId:
    """The id under which both sides know a friendship, 16 bytes, from the transcript hash of its knock."""
    return PeerId(hash256("friendship-id", transcript)[:ID_SIZE])


def _ratchet_ad(peer_id: PeerId, sender: SessionRole, seq: int) -> bytes:
    """Binds a ratchet message to its friendship, direction and sequence number."""
    return labelled("ratchet-ad", [peer_id, sender.encode(), seq.to_bytes(8, "big")])


def _choose_size(body: int, rest: int) -> tuple[int, int]:
    """The smallest envelope size for a body of that many bytes, and the size that fills the envelope exactly.

    ``rest`` is the size of the encoded outer part with an empty body.
    """
    for size in ENVELOPE_SIZES:
        room = size - NONCE_SIZE - TAG_SIZE - rest - _BODY_HEAD_GROWTH
        if room >= max(body, _MIN_BODY):
            return size, room
    raise AssertionError("MAX_INNER leaves room for the largest header and acknowledgement")
