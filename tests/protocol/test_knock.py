"""docs/protocol/knock.md, Messages."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, MalformedData, NoCommonVersion, PeerMisbehaved
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide, KnockArrived
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady, Receipt
from chattor_bridge.protocol.primitives import x25519_public
from tests.protocol.knocks import altered, arrival, bundle_of, knock_of, resigned
from tests.protocol.sources import NOW, Meeting, Source, meeting, onion_key, take


def test_a_knock() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    arrived = arrival(met, ready.message)
    assert arrived.introduction == met.introduction
    assert arrived.peer_static == x25519_public(met.static_key)
    assert arrived.peer_id == ready.peer_id == ready.session.peer_id == arrived.session.peer_id
    assert (ready.session.role, arrived.session.role) == ("knocker", "owner")
    assert met.knocking.receive(met.door.acknowledge("stored")) == [Receipt("stored")]


def test_the_owner_can_speak_first() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    arrived = arrival(met, ready.message)
    source = Source("talk")
    for sender, receiver in ((arrived.session, ready.session), (ready.session, arrived.session)):
        envelope = sender.clone().seal(b"hello", random=source, now=NOW).envelope
        assert receiver.clone().open(envelope, random=source, now=NOW).inner == b"hello"


def test_byte_by_byte() -> None:
    met = meeting()
    for byte in met.knocking.start():
        assert met.door.receive(bytes([byte]), now=NOW) == []
    events: list[object] = []
    for byte in met.door.data_to_send():
        events += met.knocking.receive(bytes([byte]))
    [ready] = events
    assert isinstance(ready, KnockReady)
    arrived: list[KnockArrived] = []
    for byte in ready.message:
        arrived += take(met.door, bytes([byte]))
    assert arrived[0].peer_id == ready.peer_id
    receipts: list[object] = []
    for byte in met.door.acknowledge("full"):
        receipts += met.knocking.receive(bytes([byte]))
    assert receipts == [Receipt("full")]


def test_sizes_tell_nothing() -> None:
    sizes = set()
    for name, note in (("A", ""), ("é" * 32, "n" * 1_000)):
        met = meeting(introduction=Introduction(name, note, onion_key("alice")))
        ready = knock_of(met, bundle_of(met))
        arrival(met, ready.message)
        sizes.add((len(ready.message), len(met.door.acknowledge("known" if note else "full"))))
    assert len(sizes) == 1


def test_each_attempt_is_a_session_of_its_own_under_one_static_key() -> None:
    peers = set()
    for attempt in range(3):
        met = meeting(random=lambda name, attempt=attempt: Source(f"{name}{attempt}"))  # type: ignore[misc]
        ready = knock_of(met, bundle_of(met))
        peers.add((ready.peer_id, ready.session.session_id, ready.session.link_psk))
    assert len(peers) == 3


# --- the knock --------------------------------------------------------------------------------------------------------


def test_a_knock_opens_at_its_own_stream_only() -> None:
    """Replay: the same door, the same hello, another stream."""
    met = meeting(work_bits=0)
    ready = knock_of(met, bundle_of(met))
    arrival(met, ready.message)
    again = DoorSide(met.secrets, random=Source("another stream"), work_bits=0)
    again.receive(KnockingSide.start(met.knocking), now=NOW)
    with pytest.raises(AuthenticationFailed):
        take(again, ready.message, now=NOW)


def test_a_second_knock_on_one_stream() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    arrival(met, ready.message)
    with pytest.raises(MalformedData):
        take(met.door, ready.message, now=NOW)


def test_a_second_knock_while_the_first_is_checked() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    met.door.receive(ready.message, now=NOW)
    with pytest.raises(MalformedData):
        met.door.receive(ready.message, now=NOW)
    with pytest.raises(ValueError, match="no knock"):
        met.door.open(256)


def test_a_knock_carried_to_another_door() -> None:
    """Unknown key share: whoever runs one door hands on what it got to another, which made the same ephemeral keys."""
    met = meeting(work_bits=0)
    ready = knock_of(met, bundle_of(met))
    other = DoorSide(
        DoorSecrets(Source("other onion")(32), met.secrets.identity_key), random=Source("door"), work_bits=0
    )
    other.receive(met.knocking.start(), now=NOW)
    with pytest.raises(AuthenticationFailed):
        take(other, ready.message, now=NOW)


def test_nobody_can_put_his_static_key_under_anothers_knock() -> None:
    """Identity misbinding: the sealed part opens only with the static key in the header."""
    met = meeting(work_bits=0)
    ready = knock_of(met, bundle_of(met))

    def put(fields: dict[str, object]) -> dict[str, object]:
        header = cbor.decode(fields["header"])  # type: ignore[arg-type]
        assert isinstance(header, dict)
        return {"header": cbor.encode(header | {"static": x25519_public(Source("mallory")(32))})}

    with pytest.raises(AuthenticationFailed):
        take(met.door, altered(ready.message, put), now=NOW)


def test_what_was_said_before_is_bound() -> None:
    """A hello or a bundle that somebody in between replaced makes the sealed part unreadable."""
    met = meeting(work_bits=0)
    met.door.receive(frame(cbor.encode({"want": "knock", "versions": [1, 2]})), now=NOW)
    ready = knock_of(met, met.door.data_to_send())
    with pytest.raises(AuthenticationFailed):
        take(met.door, ready.message, now=NOW)


def test_work_cannot_be_talked_down() -> None:
    """A bundle with less work, even signed, gets the knock refused by the door that asked for more."""
    met = meeting(work_bits=12)
    ready = knock_of(met, resigned(met, bundle_of(met), {"work": {"sha256": 0, "argon2id": 0}}))
    with pytest.raises(AuthenticationFailed, match="less work"):
        take(met.door, ready.message, now=NOW)


def test_a_version_cannot_be_talked_down() -> None:
    met = meeting(work_bits=0)
    ready = knock_of(met, bundle_of(met))

    def older(fields: dict[str, object]) -> dict[str, object]:
        header = cbor.decode(fields["header"])  # type: ignore[arg-type]
        assert isinstance(header, dict)
        return {"header": cbor.encode(header | {"version": 2})}

    with pytest.raises(MalformedData, match="version"):
        take(met.door, altered(ready.message, older), now=NOW)


def test_the_stamp_comes_before_everything_that_costs() -> None:
    met = meeting(work_bits=16)
    ready = knock_of(met, bundle_of(met))
    for wrong in (
        {"stamp": bytes(8)},
        {"sealed": bytes(4_112)},
        {"header": b"not even CBOR"},
    ):
        door = meeting(work_bits=16).door
        door.receive(met.knocking.start(), now=NOW)
        with pytest.raises(AuthenticationFailed, match="less work"):
            door.receive(altered(ready.message, lambda _, wrong=wrong: wrong), now=NOW)  # type: ignore[misc]


@pytest.mark.parametrize(
    "change",
    [
        {"stamp": bytes(7)},
        {"stamp": None},
        {"proof": bytes(9)},
        {"proof": None},
        {"sealed": b""},
        {"sealed": bytes(4_111)},
        {"sealed": bytes(4_112)},
        {"header": b""},
        {"header": bytes(2_049)},
        {"header": cbor.encode([])},
        {"header": cbor.encode({"version": 1})},
    ],
)
def test_malformed_knocks(change: dict[str, object]) -> None:
    met = meeting(work_bits=0)
    ready = knock_of(met, bundle_of(met))
    with pytest.raises(PeerMisbehaved):
        take(met.door, altered(ready.message, lambda _: change), now=NOW)
    with pytest.raises(MalformedData):  # and the stream is over
        take(met.door, ready.message, now=NOW)
    with pytest.raises(ValueError, match="no knock"):
        met.door.acknowledge("stored")


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"static": bytes(32)}, AuthenticationFailed),
        ({"ephemeral": bytes(32)}, AuthenticationFailed),
        ({"ephemeral": b"\xec" + b"\xff" * 30 + b"\x7f"}, AuthenticationFailed),  # p - 1, of order 2
        ({"kem": bytes(1_088)}, AuthenticationFailed),
        ({"kem": bytes(1_087)}, MalformedData),
        ({"static": bytes(33)}, MalformedData),
        ({"version": 0}, MalformedData),
        ({"version": None}, MalformedData),
    ],
)
def test_headers_that_lead_nowhere(change: dict[str, object], error: type[PeerMisbehaved]) -> None:
    met = meeting(work_bits=0)
    ready = knock_of(met, bundle_of(met))

    def changed(fields: dict[str, object]) -> dict[str, object]:
        header = cbor.decode(fields["header"])  # type: ignore[arg-type]
        assert isinstance(header, dict)
        return {"header": cbor.encode(header | change)}

    with pytest.raises(error):
        take(met.door, altered(ready.message, changed), now=NOW)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_flipped_bit_and_every_truncation(data: st.DataObject) -> None:
    met = meeting(work_bits=0)
    bundle = bundle_of(met)
    knock = knock_of(met, bundle).message
    at = data.draw(st.integers(0, (len(knock) - 2) * 8 - 1))
    flipped = bytearray(knock)
    flipped[2 + at // 8] ^= 1 << at % 8
    # a stamp or proof that no work is asked for may be anything: it proves nothing and binds nothing
    if not any(knock.index(name) + 6 <= 2 + at // 8 < knock.index(name) + 14 for name in (b"stamp", b"proof")):
        with pytest.raises(PeerMisbehaved):
            take(met.door, bytes(flipped), now=NOW)
    cut = data.draw(st.integers(1, len(bundle) - 3))
    with pytest.raises(PeerMisbehaved):
        meeting().knocking.receive(frame(bundle[2 : 2 + cut]))
    cut = data.draw(st.integers(1, len(knock) - 3))
    door = meeting(work_bits=0).door
    door.receive(met.knocking.start(), now=NOW)
    with pytest.raises(PeerMisbehaved):
        take(door, frame(knock[2 : 2 + cut]), now=NOW)


@pytest.mark.parametrize(
    "hello",
    [
        b"\x00",
        cbor.encode([]),
        cbor.encode({"want": "knock"}),
        cbor.encode({"versions": [1]}),
        cbor.encode({"want": "wall", "versions": [1]}),
        cbor.encode({"want": "knock", "versions": ["1"]}),
        cbor.encode({"want": "knock", "versions": [1]}) + b"\x00",
    ],
)
def test_malformed_hellos(hello: bytes) -> None:
    door = meeting().door
    with pytest.raises(MalformedData):
        door.receive(frame(hello), now=NOW)
    assert door.data_to_send() == b""


def test_no_common_version() -> None:
    door = meeting().door
    with pytest.raises(NoCommonVersion):
        door.receive(frame(cbor.encode({"want": "knock", "versions": [7]})), now=NOW)


def test_oversized_messages_are_refused_by_their_length() -> None:
    met = meeting()
    with pytest.raises(MalformedData):
        met.door.receive(b"\x01\x01", now=NOW)
    met = meeting()
    with pytest.raises(MalformedData):
        met.knocking.receive(b"\x10\x01")
    met = meeting()
    bundle_of(met)
    with pytest.raises(MalformedData):
        met.door.receive(b"\x20\x01", now=NOW)
    met = meeting()
    knock_of(met, bundle_of(met))
    with pytest.raises(MalformedData):
        met.knocking.receive(b"\x01\x01")


def test_the_doors_private_keys_serve_once() -> None:
    met = meeting()
    ready = knock_of(met, bundle_of(met))
    assert len(met.door._ephemeral) == 32
    arrival(met, ready.message)
    assert met.door._ephemeral == met.door._kem_seed == b""
    met = meeting()
    bundle_of(met)
    with pytest.raises(PeerMisbehaved):
        met.door.receive(frame(b"nonsense"), now=NOW)
    assert met.door._ephemeral == met.door._kem_seed == b""


def test_a_knocker_that_claims_our_own_door() -> None:
    met = meeting()
    liar = Introduction("Eve", "", met.code.door)
    eve = meeting(introduction=liar)
    ready = knock_of(eve, bundle_of(eve))
    with pytest.raises(MalformedData, match="our own door"):
        take(eve.door, ready.message, now=NOW)


def _knock_with(met: Meeting, code: FriendCode) -> KnockReady:
    """What a knocker makes who has this code and not the owner's."""
    knocking = KnockingSide(code, met.introduction, static_key=met.static_key, random=Source("knocker"), now=NOW)
    met.door.receive(knocking.start(), now=NOW)
    [ready] = knocking.receive(met.door.data_to_send())
    assert isinstance(ready, KnockReady)
    return ready


def test_a_code_binds_what_it_says() -> None:
    """The flags and version of the code are in the transcript."""
    met = meeting(work_bits=0)
    ready = _knock_with(met, FriendCode(met.code.door, flags=4))
    with pytest.raises(AuthenticationFailed):
        take(met.door, ready.message, now=NOW)


def test_a_one_time_code() -> None:
    met = meeting(code_secret=bytes(range(16)))
    assert met.code.auth_key is not None
    ready = knock_of(met, bundle_of(met))
    arrived = arrival(met, ready.message)
    assert arrived.peer_id == ready.peer_id
    assert met.knocking.receive(met.door.acknowledge("stored")) == [Receipt("stored")]


@pytest.mark.parametrize("secret", [b"", bytes(16), bytes(range(1, 17))])
def test_without_the_secret_of_a_one_time_code_nothing_opens(secret: bytes) -> None:
    """Somebody who learnt the door's key and got past its descriptor still cannot knock."""
    met = meeting(work_bits=0, code_secret=bytes(range(16)))
    ready = _knock_with(met, FriendCode(met.code.door, met.code.flags, secret=secret))
    with pytest.raises(AuthenticationFailed):
        take(met.door, ready.message)
