"""docs/protocol/knock.md, Stamp and Proof."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.protocol.door import Bundle
from chattor_bridge.protocol.effort import Proof, find_proof
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.knock import KnockingSide, KnockReady
from chattor_bridge.protocol.limits import MAX_EFFORT_BITS, MAX_WORK_BITS
from chattor_bridge.protocol.stamp import check_stamp, find_stamp
from tests.protocol.knocks import arrival, bundle_of, knock_of, resigned
from tests.protocol.sources import NOW, Source, meeting


@pytest.mark.parametrize("bits", [0, 1, 7, 8, 9, 12])
def test_stamps(bits: int) -> None:
    nonce, knock_hash = Source("stamp")(32), Source("hash")(32)
    stamp = find_stamp(nonce, knock_hash, bits)
    check_stamp(nonce, knock_hash, stamp, bits)
    if bits >= 7:
        for changed in ((knock_hash, nonce, stamp), (nonce, nonce, stamp), (nonce, knock_hash, bytes(7) + b"\xfe")):
            with pytest.raises(AuthenticationFailed):
                check_stamp(*changed, bits)


def test_work_out_of_bounds() -> None:
    for bits in (-1, MAX_WORK_BITS + 1):
        with pytest.raises(ValueError, match="out of bounds"):
            find_stamp(bytes(32), bytes(32), bits)
        with pytest.raises(ValueError, match="out of bounds"):
            meeting(work_bits=bits)

        with pytest.raises(ValueError, match="out of bounds"):
            find_proof(bytes(32), bytes(32), bits)
    for bits in (-1, MAX_EFFORT_BITS + 1):
        with pytest.raises(ValueError, match="out of bounds"):
            meeting(effort_bits=bits)


@pytest.mark.parametrize(("stamp", "proof"), [(0, 0), (MAX_WORK_BITS, MAX_EFFORT_BITS)])
def test_the_least_and_the_most_work_may_be_asked_for(stamp: int, proof: int) -> None:
    met = meeting(work_bits=stamp, effort_bits=proof)
    bundle = Bundle.verify(bundle_of(met)[2:], met.code.door, now=NOW)
    assert (bundle.work_bits, bundle.effort_bits) == (stamp, proof)


@pytest.mark.parametrize("bits", [0, 1, 3, 5])
def test_proofs(bits: int) -> None:
    nonce, knock_hash = Source("proof")(32), Source("hash")(32)
    proof = find_proof(nonce, knock_hash, bits)
    assert Proof(nonce, knock_hash, proof).effort() >= bits


def test_a_proof_serves_one_nonce_and_one_knock() -> None:
    """Each of the three is in it: changed, they prove something else, which is nothing but by chance."""
    nonce, knock_hash = Source("proof")(32), Source("hash")(32)
    proof = find_proof(nonce, knock_hash, 7)
    other = Source("other")
    for changed in (
        Proof(other(32), knock_hash, proof),
        Proof(nonce[:16] + other(16), knock_hash, proof),
        Proof(nonce, other(32), proof),
        Proof(nonce, knock_hash, other(8)),
    ):
        assert changed.effort() < 7


def test_too_little_effort_opens_nothing() -> None:
    met = meeting(work_bits=0, effort_bits=3)
    bundle = bundle_of(met)
    ready = knock_of(met, resigned(met, bundle, {"work": {"sha256": 0, "argon2id": 0}}))
    [proof] = met.door.receive(ready.message, now=NOW)
    with pytest.raises(AuthenticationFailed, match="less effort"):
        met.door.open(2)
    assert proof.knock_hash
    assert met.door._ephemeral == met.door._kem_seed == b""
    with pytest.raises(ValueError, match="no knock"):  # and there is no second try
        met.door.open(3)
    with pytest.raises(ValueError, match="no knock"):
        met.door.acknowledge("stored")


def test_more_effort_than_asked_for_is_seen() -> None:
    met = meeting(work_bits=0, effort_bits=1)
    knocking = KnockingSide(
        met.code, met.introduction, static_key=met.static_key, random=Source("knocker"), now=NOW, effort_bits=4
    )
    met.door.receive(knocking.start(), now=NOW)
    [ready] = knocking.receive(met.door.data_to_send())
    assert isinstance(ready, KnockReady)
    assert arrival(met, ready.message).effort >= 4


def test_nothing_is_said_while_the_proof_is_checked() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    met.door.receive(ready.message, now=NOW)
    with pytest.raises(MalformedData):
        met.door.receive(frame(b"more"), now=NOW)
    with pytest.raises(ValueError, match="no knock"):
        met.door.open(0)
