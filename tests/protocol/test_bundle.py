"""docs/protocol/knock.md, Bundle."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import AuthenticationFailed, MalformedData, NoCommonVersion, PeerMisbehaved
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.door import Bundle
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.limits import BUNDLE_LIFETIME, CLOCK_TOLERANCE, MAX_EFFORT_BITS, MAX_WORK_BITS
from chattor_bridge.protocol.primitives import ed25519_public, ed25519_sign
from tests.protocol.knocks import arrival, bundle_of, knock_of, resigned
from tests.protocol.sources import NOW, Source, meeting, take


@pytest.mark.parametrize("field", ["bundle", "signature"])
def test_a_bundle_nobody_signed(field: str) -> None:
    met = meeting()
    message = bundle_of(met)
    fields = cbor.decode(message[2:])
    assert isinstance(fields, dict)
    for at in range(0, len(fields[field]), 7):
        changed = bytearray(fields[field])
        changed[at] ^= 1
        with pytest.raises(AuthenticationFailed):
            Bundle.verify(cbor.encode(fields | {field: bytes(changed)}), met.code.door, now=NOW)


def test_a_bundle_of_another_door() -> None:
    met = meeting()
    other = Source("another door")(32)
    message = bundle_of(met)
    with pytest.raises(AuthenticationFailed):  # signed by another door
        meeting().knocking.receive(resigned(met, message, {}, seed=other))
    with pytest.raises(AuthenticationFailed):  # signed by ours, for another
        meeting().knocking.receive(resigned(met, message, {"door": ed25519_public(other)}))


def test_a_signature_for_another_purpose() -> None:
    met = meeting()
    fields = cbor.decode(bundle_of(met)[2:])
    assert isinstance(fields, dict)
    signature = ed25519_sign(met.secrets.onion_seed, "other", fields["bundle"])
    with pytest.raises(AuthenticationFailed):
        met.knocking.receive(frame(cbor.encode(fields | {"signature": signature})))


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"identity": bytes(31)}, MalformedData),
        ({"identity": bytes(32)}, AuthenticationFailed),  # forces an all-zero result
        ({"ephemeral": bytes(32)}, AuthenticationFailed),
        ({"ephemeral": b"\x01" + bytes(31)}, AuthenticationFailed),
        ({"ephemeral": ...}, MalformedData),
        ({"kem": bytes(1_183)}, MalformedData),
        ({"kem": b"\xff" * 1_184}, MalformedData),  # coefficients out of range
        ({"nonce": bytes(16)}, MalformedData),
        ({"versions": [2, 3]}, NoCommonVersion),
        ({"versions": []}, MalformedData),
        ({"versions": [2, 1]}, MalformedData),
        ({"versions": [1, 1]}, MalformedData),
        ({"versions": [True]}, MalformedData),
        ({"versions": list(range(1, 18))}, MalformedData),
        ({"capabilities": ["b", "a"]}, MalformedData),
        ({"capabilities": ["A"]}, MalformedData),
        ({"capabilities": ["a" * 33]}, MalformedData),
        ({"capabilities": [1]}, MalformedData),
        ({"capabilities": [""]}, MalformedData),
        ({"work": 4}, MalformedData),
        ({"work": {"sha256": -1, "argon2id": 0}}, MalformedData),
        ({"work": {"sha256": 0, "argon2id": -1}}, MalformedData),
        ({"work": {"sha256": MAX_WORK_BITS + 1, "argon2id": 0}}, MalformedData),
        ({"work": {"sha256": 0, "argon2id": MAX_EFFORT_BITS + 1}}, MalformedData),
        ({"work": {"sha256": 1}}, NoCommonVersion),
        ({"work": {"sha256": 1, "argon2id": 1, "equihash": 1}}, NoCommonVersion),
        ({"work": {}}, NoCommonVersion),
        ({"expires": -1}, MalformedData),
        ({"expires": "soon"}, MalformedData),
        ({"door": bytes(32)}, AuthenticationFailed),
    ],
)
def test_signed_and_wrong(change: dict[str, object], error: type[PeerMisbehaved]) -> None:
    met = meeting()
    with pytest.raises(error):
        met.knocking.receive(resigned(met, bundle_of(met), change))


def test_fields_of_later_versions_are_passed_over_but_bound() -> None:
    met = meeting()
    message = resigned(met, bundle_of(met), {"something": ["new"]})
    ready = knock_of(met, message)
    with pytest.raises(AuthenticationFailed):  # the door did not say that
        take(met.door, ready.message, now=NOW)


@pytest.mark.parametrize("off", [-CLOCK_TOLERANCE - 1, CLOCK_TOLERANCE + 1])
def test_clocks_more_than_a_day_apart(off: int) -> None:
    met = meeting(knocker_now=NOW + off)
    with pytest.raises(AuthenticationFailed, match="more than a day apart"):
        met.knocking.receive(bundle_of(met))


@pytest.mark.parametrize("off", [-CLOCK_TOLERANCE, -BUNDLE_LIFETIME - 1, BUNDLE_LIFETIME + 1, CLOCK_TOLERANCE])
def test_a_wrong_clock_keeps_nobody_out(off: int) -> None:
    met = meeting(knocker_now=NOW + off)
    arrival(met, knock_of(met, bundle_of(met)).message)


def test_the_door_judges_expiry_by_its_own_clock() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    with pytest.raises(AuthenticationFailed, match="expired"):
        take(met.door, ready.message, now=NOW + BUNDLE_LIFETIME + 1)
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    arrival(met, ready.message, now=NOW + BUNDLE_LIFETIME)
