"""Leaving a contact request at a door: what is said, and the knocker's side (docs/protocol/knock.md).

::

    knocker                                     door
      hello {want: "knock", versions}  ------->
                                      <-------  {bundle, signature}         fresh E_d, K_d; signed by the onion key
      {header, sealed, stamp, proof}   ------->                             fresh E_a; header carries I_a, E_a, KEM
                                      <-------  {receipt}                   once the knock is on disk

The door's side is in ``answered_knock.py``, the keys are in ``agreement.py``.

============== ======================= ===================================================
knocker waits  for                     then
============== ======================= ===================================================
``BUNDLE``     the door's message      checks it, makes the knock, finds stamp and proof
``RECEIPT``    the receipt             done
``OVER``       nothing                 anything more is a violation
============== ======================= ===================================================
"""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chattor_bridge.errors import MalformedData
from chattor_bridge.ids import PeerId
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.agreement import (
    ReceiptKey,
    choose_version,
    derive_root,
    hash_knock,
    seal_introduction,
    transcript_hash,
)
from chattor_bridge.protocol.door import Bundle
from chattor_bridge.protocol.effort import find_proof
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.negotiation import PROTOCOL_VERSIONS
from chattor_bridge.protocol.primitives import (
    KEY_SIZE,
    RandomBytes,
    dh,
    kem_encapsulate,
    x25519_public,
)
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.stamp import find_stamp

MAX_HELLO: Final = 256
"""Bytes of a hello: the longest list of versions and room to add to it."""

MAX_DOOR_MESSAGE: Final = 4_096
"""Bytes of a door's message: the largest bundle and its signature."""

MAX_KNOCK: Final = 8_192
"""Bytes of a knock: the sealed introduction, a header with an ML-KEM ciphertext, and room to add to it."""

MAX_RECEIPT: Final = 256
"""Bytes of a receipt."""

WANT: Final = "knock"
"""What a stream at a door wants, in its hello."""


@dataclass(frozen=True, slots=True)
class KnockReady:
    """Store ``session`` as an attempt, then write ``message`` (framed bytes) to the stream."""

    message: bytes
    session: Session
    peer_id: PeerId


@dataclass(frozen=True, slots=True)
class Receipt:
    """The door's authenticated answer: ``stored``, ``known`` or ``full``; later versions may have others."""

    status: str


class _Waiting(enum.Enum):
    BUNDLE = enum.auto()
    RECEIPT = enum.auto()
    OVER = enum.auto()


class KnockingSide:
    """The side that asks. One object per stream; ``static_key`` is the friendship's X25519 private key, I_a."""

    def __init__(
        self,
        code: FriendCode,
        introduction: Introduction,
        *,
        static_key: bytes,
        random: RandomBytes,
        now: int,
        effort_bits: int = 0,
        encapsulate: Callable[[bytes], tuple[bytes, bytes]] = kem_encapsulate,
    ) -> None:
        """``now`` in seconds since the epoch; ``effort_bits``: the effort to make where the door asks for less;
        ``encapsulate`` is ML-KEM-768's, replaced where vectors are made."""
        self._code = code
        self._introduction = introduction
        self._static_key = static_key
        self._random = random
        self._now = now
        self._effort_bits = effort_bits
        self._encapsulate = encapsulate
        self._hello = cbor.encode({"want": WANT, "versions": PROTOCOL_VERSIONS})
        self._splitter = FrameSplitter(MAX_DOOR_MESSAGE)
        self._waiting = _Waiting.BUNDLE
        self._receipts: ReceiptKey | None = None

    def start(self) -> bytes:
        """The first bytes to write to the stream."""
        return frame(self._hello)

    def receive(self, data: bytes) -> list[KnockReady | Receipt]:
        """Take bytes from the stream.

        The bytes that complete the door's message cost stamp and proof, most of a minute of one core in the worst case:
        call this in a thread.

        Raises: AuthenticationFailed, MalformedData, NoCommonVersion; the stream is over then.
        """
        self._splitter.feed(data)
        events: list[KnockReady | Receipt] = []
        try:
            while (message := self._splitter.next_message()) is not None:
                events.append(self._take(message))
        except Exception:
            self._waiting = _Waiting.OVER
            raise
        return events

    def _take(self, message: bytes) -> KnockReady | Receipt:
        match self._waiting:
            case _Waiting.BUNDLE:
                ready = self._knock(message)
                self._splitter.max_length = MAX_RECEIPT
                self._waiting = _Waiting.RECEIPT
                return ready
            case _Waiting.RECEIPT:
                receipt = self._read_receipt(message)
                self._waiting = _Waiting.OVER
                return receipt
            case _:
                raise MalformedData("a door goes on talking after everything was said")

    def _knock(self, door_message: bytes) -> KnockReady:
        bundle = Bundle.verify(door_message, self._code.door, now=self._now)
        ephemeral = self._random(KEY_SIZE)
        ciphertext, kem_secret = self._encapsulate(bundle.kem)
        header = cbor.encode(
            {
                "version": choose_version(PROTOCOL_VERSIONS, bundle.versions),
                "static": x25519_public(self._static_key),
                "ephemeral": x25519_public(ephemeral),
                "kem": ciphertext,
            }
        )
        transcript = transcript_hash(self._code, self._hello, door_message, header)
        root = derive_root(
            transcript,
            dh(self._static_key, bundle.ephemeral),
            dh(ephemeral, bundle.identity),
            dh(ephemeral, bundle.ephemeral),
            kem_secret,
            self._code.secret,
        )
        session, first = Session.begin_as_knocker(
            root, transcript, door_key=bundle.ephemeral, random=self._random, now=self._now
        )
        sealed = seal_introduction(root, transcript, self._introduction.encode(first))
        knock_hash = hash_knock(header, sealed)
        stamp = find_stamp(bundle.nonce, knock_hash, bundle.work_bits)
        proof = find_proof(bundle.nonce, knock_hash, max(bundle.effort_bits, self._effort_bits))
        self._receipts = ReceiptKey.derive(root, transcript, knock_hash)
        message = frame(cbor.encode({"header": header, "sealed": sealed, "stamp": stamp, "proof": proof}))
        return KnockReady(message, session, session.peer_id)

    def _read_receipt(self, message: bytes) -> Receipt:
        assert self._receipts is not None
        return Receipt(self._receipts.open(message))
