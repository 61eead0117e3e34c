"""Whether two friends really talk to each other and to nobody between them (docs/protocol/verification.md).

Two ways, and a person does the comparing in both. The *safety number* is a hash of what the friendship began with; it
is long because anybody may look for keys that make part of one alike. The *emoji* are seven of sixty-four, few enough
to read aloud, and so must not depend on anything that could be searched through beforehand: each side adds a fresh key,
and the one that speaks first has only committed to its own, so whoever stands between gets one guess in 2^42::

    starter                          answerer
    verify_start {run}          -->  its person agrees
                                <--  verify_accept {run, commitment = H(answerer's key, ...)}
    verify_key {run, key}       -->
                                <--  verify_key {run, key}
    emoji                            emoji
    verify_done {run, match}   <-->  verify_done {run, match}
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Final

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.emoji import EMOJI
from chattor_bridge.protocol.limits import MAX_TIME, VERIFICATION_ID_SIZE, VERIFICATION_LIFETIME
from chattor_bridge.protocol.primitives import KEY_SIZE, dh, hash256, hkdf, x25519_public

SAFETY_DIGITS: Final = 60
EMOJI_SHOWN: Final = 7
_EMOJI_BITS: Final = 6


def safety_number(knocker_static: bytes, owner_static: bytes, transcript: bytes) -> str:
    """60 digits from both static public keys and the transcript hash of the knock, 32 bytes each; the same on both
    sides for as long as the friendship lasts."""
    number = int.from_bytes(hash256("safety-number", knocker_static, owner_static, transcript), "big")
    return f"{number % 10**SAFETY_DIGITS:0{SAFETY_DIGITS}}"


class Step(StrEnum):
    """Where a run of the emoji stands, on one side."""

    ASKED = "asked"  # we started it, and wait for the friend to agree
    INVITED = "invited"  # the friend started it, and waits for our owner
    AGREED = "agreed"  # we have committed to a key, and wait for the friend's
    REVEALED = "revealed"  # we have shown our key, and wait for the friend's, to which it is committed
    COMPARING = "comparing"  # the emoji are there


@dataclass(frozen=True, slots=True)
class Run:
    """One run. ``run_id`` is 16 random bytes, ``began`` in seconds since 1970; ``private`` our X25519 key, ``peer_key``
    the friend's public one and ``commitment`` what it has promised it will be, as far as they are there."""

    run_id: bytes
    step: Step
    began: int
    private: bytes | None = field(default=None, repr=False)
    peer_key: bytes | None = None
    commitment: bytes | None = None

    def over(self, now: int) -> bool:
        """Whether it has waited too long; a clock that was put back ends it too."""
        return not 0 <= now - self.began < VERIFICATION_LIFETIME

    def agree(self, private: bytes) -> tuple[Run, bytes]:
        """Our owner agrees to what the friend started: commit to a fresh X25519 key. The commitment is to be sent."""
        assert self.step is Step.INVITED
        return replace(self, step=Step.AGREED, private=private), commit(self.run_id, x25519_public(private))

    def take_commitment(self, commitment: bytes, private: bytes) -> tuple[Run, bytes]:
        """The friend agreed: a fresh X25519 key of ours, whose public half is to be sent now.

        Raises: MalformedData when it is not its turn.
        """
        self._expect(Step.ASKED)
        run = replace(self, step=Step.REVEALED, private=private, commitment=commitment)
        return run, x25519_public(private)

    def take_key(self, key: bytes) -> tuple[Run, bytes | None]:
        """The friend's public key; the one of ours that is to be sent now, if it has not been.

        Raises: MalformedData when it is not its turn, AuthenticationFailed when the friend had committed to another.
        """
        self._expect(Step.AGREED, Step.REVEALED)
        assert self.private is not None  # these steps have one
        if self.commitment is not None and not hmac.compare_digest(self.commitment, commit(self.run_id, key)):
            raise AuthenticationFailed("a key is not the one that was committed to")
        dh(self.private, key)  # an all-zero result is refused while there is somebody to blame
        told = x25519_public(self.private) if self.step is Step.AGREED else None
        return replace(self, step=Step.COMPARING, peer_key=key), told

    def emoji(self, number: str) -> tuple[tuple[str, str], ...]:
        """Seven emoji and their names, from both keys and the safety ``number`` of the friendship."""
        assert self.private is not None and self.peer_key is not None  # noqa: PT018
        keys = sorted((x25519_public(self.private), self.peer_key))
        drawn = hkdf(dh(self.private, self.peer_key), label="emoji", info=[self.run_id, *keys, number.encode()])
        first = int.from_bytes(drawn, "big") >> (8 * len(drawn) - EMOJI_SHOWN * _EMOJI_BITS)
        places = [first >> (_EMOJI_BITS * place) for place in reversed(range(EMOJI_SHOWN))]
        return tuple(EMOJI[place % len(EMOJI)] for place in places)

    def _expect(self, *steps: Step) -> None:
        if self.step not in steps:
            raise MalformedData("a message of a verification that is not its turn")

    def encode(self) -> bytes:
        """For storage; secret."""
        return cbor.encode([self.run_id, self.step.value, self.began, self.private, self.peer_key, self.commitment])

    @classmethod
    def decode(cls, data: bytes) -> Run:
        """Read what `encode` made. Raises: MalformedData."""
        match cbor.decode(data):
            case [
                bytes(run_id),
                str(step),
                int(began),
                (bytes() | None) as private,
                (bytes() | None) as peer_key,
                (bytes() | None) as commitment,
            ] if (
                len(run_id) == VERIFICATION_ID_SIZE
                and step in set(Step)
                and 0 <= began <= MAX_TIME
                and all(key is None or len(key) == KEY_SIZE for key in (private, peer_key, commitment))
            ):
                return cls(run_id, Step(step), began, private, peer_key, commitment)
            case _:
                raise MalformedData("a stored verification is damaged")


def commit(run_id: bytes, key: bytes) -> bytes:
    """The commitment to an X25519 public key in one run, 32 bytes."""
    return hash256("emoji-commitment", run_id, key)
