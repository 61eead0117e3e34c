"""Taking a contact request: the door's side of a knock (docs/protocol/knock.md).

What is said is drawn in ``knock.py``, the keys are in ``agreement.py``.

============== ======================= ===================================================
door waits     for                     then
============== ======================= ===================================================
``HELLO``      the hello               makes fresh keys, signs the bundle
``KNOCK``      the knock               checks the stamp, hands out the proof
``PROVING``    its own node            `DoorSide.open` with the effort proven; erases E_d and K_d either way
``STORING``    its own node            `DoorSide.acknowledge` after the knock is on disk
``OVER``       nothing                 anything more is a violation
============== ======================= ===================================================
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.ids import OnionKey, PeerId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.agreement import (
    ReceiptKey,
    choose_version,
    derive_root,
    hash_knock,
    open_introduction,
    transcript_hash,
)
from chattor_bridge.protocol.door import DOOR_NONCE_SIZE, Bundle
from chattor_bridge.protocol.effort import PROOF_SIZE, Proof
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction, read_introduction
from chattor_bridge.protocol.knock import MAX_HELLO, MAX_KNOCK, WANT
from chattor_bridge.protocol.limits import BUNDLE_LIFETIME, INTRODUCTION_SIZE, MAX_EFFORT_BITS, MAX_WORK_BITS
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS
from chattor_bridge.protocol.offer import read_versions
from chattor_bridge.protocol.primitives import (
    KEM_CIPHERTEXT_SIZE,
    KEM_SEED_SIZE,
    KEY_SIZE,
    TAG_SIZE,
    RandomBytes,
    dh,
    ed25519_public,
    kem_decapsulate,
    kem_public,
    x25519_public,
)
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.stamp import STAMP_SIZE, check_stamp

_MAX_HEADER: Final = 2_048


@dataclass(frozen=True, slots=True)
class DoorSecrets:
    """``onion_seed`` (Ed25519) and ``identity_key`` (X25519 private, I_d), 32 bytes each; ``code_secret`` the 16 bytes
    of a one-time code, or none."""

    onion_seed: bytes
    identity_key: bytes
    code_secret: bytes = b""

    @property
    def code(self) -> FriendCode:
        """The friend code of this door."""
        return FriendCode.of_door(OnionKey(ed25519_public(self.onion_seed)), self.code_secret)


@dataclass(frozen=True, slots=True)
class KnockArrived:
    """Store it, then send what `DoorSide.acknowledge` returns. ``peer_static`` is I_a, 32 bytes; ``effort`` what the
    knock has cost, in bits."""

    introduction: Introduction
    peer_static: bytes
    session: Session
    peer_id: PeerId
    effort: int


class _Waiting(enum.Enum):
    HELLO = enum.auto()
    KNOCK = enum.auto()
    PROVING = enum.auto()
    STORING = enum.auto()
    OVER = enum.auto()


class DoorSide:
    """The side that is asked. One object per stream."""

    def __init__(
        self,
        door: DoorSecrets,
        *,
        random: RandomBytes,
        work_bits: int,
        effort_bits: int = 0,
        capabilities: tuple[str, ...] = CAPABILITIES,
    ) -> None:
        """``work_bits`` and ``effort_bits``: leading zero bits demanded of stamp and proof.

        Raises: ValueError when they are above 24 and 10.
        """
        if not (0 <= work_bits <= MAX_WORK_BITS and 0 <= effort_bits <= MAX_EFFORT_BITS):
            raise ValueError(f"{work_bits} and {effort_bits} bits of work are out of bounds")
        self._door = door
        self._code = door.code
        self._random = random
        self._work_bits = work_bits
        self._effort_bits = effort_bits
        self._capabilities = capabilities
        self._splitter = FrameSplitter(MAX_HELLO)
        self._waiting = _Waiting.HELLO
        self._outgoing = b""
        self._hello = self._message = b""
        self._version = 0
        self._bundle: Bundle | None = None
        self._ephemeral = self._kem_seed = b""
        self._claim: _Claim | None = None
        self._receipts: ReceiptKey | None = None

    def data_to_send(self) -> bytes:
        """Bytes to write to the stream now; each is handed out once."""
        outgoing, self._outgoing = self._outgoing, b""
        return outgoing

    def receive(self, data: bytes, *, now: int) -> list[Proof]:
        """Take bytes from the stream; then write what `data_to_send` has. ``now`` in seconds since the epoch.

        A proof means that a knock has come: `open` it with the effort that the proof shows.

        Raises: AuthenticationFailed (forged, too little work, too late), MalformedData, NoCommonVersion; the stream
        is over then.
        """
        self._splitter.feed(data)
        proofs: list[Proof] = []
        try:
            while (message := self._splitter.next_message()) is not None:
                proofs += self._take(message, now)
        except Exception:
            self._end()
            raise
        return proofs

    def open(self, effort: int) -> KnockArrived:
        """The knock that has come, when its proof shows this effort, in bits.

        Raises: AuthenticationFailed (forged, too little effort), MalformedData; the stream is over then. ValueError
        when no knock waits.
        """
        claim = self._claim
        if claim is None:
            raise ValueError("no knock waits to be opened")
        try:
            if effort < self._effort_bits:
                raise AuthenticationFailed("the proof of a knock shows less effort than was asked for")
            arrived = self._open(claim, effort)
        except Exception:
            self._end()
            raise
        self._erase()
        self._waiting = _Waiting.STORING
        return arrived

    def acknowledge(self, status: str) -> bytes:
        """The receipt to write, framed; only after the knock is on disk. ``status`` is a word of ``a-z -``.

        Raises: ValueError when no knock waits for one, or for another kind of word.
        """
        if self._receipts is None:
            raise ValueError("no knock waits for a receipt")
        receipt = frame(self._receipts.seal(status))
        self._receipts = None
        self._waiting = _Waiting.OVER
        return receipt

    def _take(self, message: bytes, now: int) -> list[Proof]:
        match self._waiting:
            case _Waiting.HELLO:
                self._answer(message, now)
                self._splitter.max_length = MAX_KNOCK
                self._waiting = _Waiting.KNOCK
                return []
            case _Waiting.KNOCK:
                proof = self._check(message, now)
                self._waiting = _Waiting.PROVING
                return [proof]
            case _:
                raise MalformedData("a knocker goes on talking after its knock")

    def _answer(self, hello: bytes, now: int) -> None:
        fields = cbor.Fields(cbor.decode(hello), "hello")
        if fields.raw("want") != WANT:
            raise MalformedData("a stream at a door wants something this version does not serve")
        self._version = choose_version(PROTOCOL_VERSIONS, read_versions(fields))
        self._ephemeral = self._random(KEY_SIZE)
        self._kem_seed = self._random(KEM_SEED_SIZE)
        self._bundle = Bundle(
            door=self._code.door,
            identity=x25519_public(self._door.identity_key),
            ephemeral=x25519_public(self._ephemeral),
            kem=kem_public(self._kem_seed),
            nonce=self._random(DOOR_NONCE_SIZE),
            work_bits=self._work_bits,
            effort_bits=self._effort_bits,
            expires=now + BUNDLE_LIFETIME,
            versions=PROTOCOL_VERSIONS,
            capabilities=self._capabilities,
        )
        self._hello = hello
        self._message = self._bundle.sign(self._door.onion_seed)
        self._outgoing += frame(self._message)

    def _check(self, message: bytes, now: int) -> Proof:
        """What is cheap to check, before anything that costs."""
        bundle = self._bundle
        assert bundle is not None  # made with the answer to the hello
        if now > bundle.expires:
            raise AuthenticationFailed("a knock came after its bundle had expired")
        fields = cbor.Fields(cbor.decode(message), "knock")
        header = fields.bytes("header", at_most=_MAX_HEADER)
        sealed = fields.bytes("sealed", length=INTRODUCTION_SIZE + TAG_SIZE)
        knock_hash = hash_knock(header, sealed)
        check_stamp(bundle.nonce, knock_hash, fields.bytes("stamp", length=STAMP_SIZE), self._work_bits)
        self._claim = _Claim(header, sealed, knock_hash, now)
        return Proof(bundle.nonce, knock_hash, fields.bytes("proof", length=PROOF_SIZE))

    def _open(self, claim: _Claim, effort: int) -> KnockArrived:
        ephemeral = self._ephemeral
        parts = cbor.Fields(cbor.decode(claim.header), "knock header")
        parts.integer("version", low=self._version, high=self._version)
        peer_static = parts.bytes("static", length=KEY_SIZE)
        peer_ephemeral = parts.bytes("ephemeral", length=KEY_SIZE)
        transcript = transcript_hash(self._code, self._hello, self._message, claim.header)
        root = derive_root(
            transcript,
            dh(ephemeral, peer_static),
            dh(self._door.identity_key, peer_ephemeral),
            dh(ephemeral, peer_ephemeral),
            kem_decapsulate(self._kem_seed, parts.bytes("kem", length=KEM_CIPHERTEXT_SIZE)),
            self._code.secret,
        )
        introduction, first = read_introduction(open_introduction(root, transcript, claim.sealed))
        if introduction.onion == self._code.door:
            raise MalformedData("a knocker claims our own door as its onion")
        session = Session.begin_as_owner(
            root, transcript, door_private=ephemeral, first=first, random=self._random, now=claim.now
        )
        self._receipts = ReceiptKey.derive(root, transcript, claim.knock_hash)
        return KnockArrived(introduction, peer_static, session, session.peer_id, effort)

    def _end(self) -> None:
        self._erase()
        self._waiting = _Waiting.OVER

    def _erase(self) -> None:
        """Forget the private halves of the bundle: they serve one knock."""
        self._ephemeral = self._kem_seed = b""
        self._claim = None


@dataclass(frozen=True, slots=True)
class _Claim:
    """A knock whose stamp is right and whose proof is being checked; ``now`` is when it came."""

    header: bytes
    sealed: bytes
    knock_hash: bytes
    now: int
