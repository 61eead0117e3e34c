"""docs/protocol/knock.md."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, MalformedData, NoCommonVersion, PeerMisbehaved
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.door import Bundle
from chattor_bridge.protocol.effort import Proof, find_proof
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction, read_introduction
from chattor_bridge.protocol.knock import DoorSecrets, DoorSide, KnockArrived, KnockingSide, KnockReady, Receipt
from chattor_bridge.protocol.limits import BUNDLE_LIFETIME, CLOCK_TOLERANCE, MAX_EFFORT_BITS, MAX_WORK_BITS
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.primitives import ed25519_public, ed25519_sign, x25519_public
from chattor_bridge.protocol.ratchet import RatchetMessage
from chattor_bridge.protocol.stamp import check_stamp, find_stamp
from tests.protocol.sources import NOW, Meeting, Source, meeting, onion_key, take

_FIRST = RatchetMessage(bytes(40), bytes(45))


def _bundle(met: Meeting, *, now: int = NOW) -> bytes:
    """The door's answer to the hello, framed."""
    assert met.door.receive(met.knocking.start(), now=now) == []
    return met.door.data_to_send()


def _ready(met: Meeting, bundle: bytes) -> KnockReady:
    [ready] = met.knocking.receive(bundle)
    assert isinstance(ready, KnockReady)
    return ready


def _arrived(met: Meeting, knock: bytes, *, now: int = NOW) -> KnockArrived:
    [arrived] = take(met.door, knock, now=now)
    return arrived


def _changed(message: bytes, change: Callable[[dict[str, object]], dict[str, object]]) -> bytes:
    """A framed map with some of it changed."""
    fields = cbor.decode(message[2:])
    assert isinstance(fields, dict)
    return frame(cbor.encode(fields | change(fields)))


def test_a_knock() -> None:
    met = meeting()
    ready = _ready(met, _bundle(met))
    arrived = _arrived(met, ready.message)
    assert arrived.introduction == met.introduction
    assert arrived.peer_static == x25519_public(met.static_key)
    assert arrived.peer_id == ready.peer_id == ready.session.peer_id == arrived.session.peer_id
    assert (ready.session.role, arrived.session.role) == ("knocker", "owner")
    assert met.knocking.receive(met.door.acknowledge("stored")) == [Receipt("stored")]


def test_the_owner_can_speak_first() -> None:
    met = meeting()
    ready = _ready(met, _bundle(met))
    arrived = _arrived(met, ready.message)
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
        ready = _ready(met, _bundle(met))
        _arrived(met, ready.message)
        sizes.add((len(ready.message), len(met.door.acknowledge("known" if note else "full"))))
    assert len(sizes) == 1


def test_each_attempt_is_a_session_of_its_own_under_one_static_key() -> None:
    peers = set()
    for attempt in range(3):
        met = meeting(random=lambda name, attempt=attempt: Source(f"{name}{attempt}"))  # type: ignore[misc]
        ready = _ready(met, _bundle(met))
        peers.add((ready.peer_id, ready.session.session_id, ready.session.link_psk))
    assert len(peers) == 3


# --- the bundle ------------------------------------------------------------------------------------------------------


def _resigned(met: Meeting, message: bytes, change: dict[str, object], seed: bytes | None = None) -> bytes:
    """The door's message with a changed bundle, signed again."""
    fields = cbor.decode(message[2:])
    assert isinstance(fields, dict)
    inner = cbor.decode(fields["bundle"])
    assert isinstance(inner, dict)
    bundle = cbor.encode({key: value for key, value in (inner | change).items() if value is not ...})
    signature = ed25519_sign(seed or met.secrets.onion_seed, "door", bundle)
    return frame(cbor.encode({"bundle": bundle, "signature": signature}))


@pytest.mark.parametrize("field", ["bundle", "signature"])
def test_a_bundle_nobody_signed(field: str) -> None:
    met = meeting()
    message = _bundle(met)
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
    message = _bundle(met)
    with pytest.raises(AuthenticationFailed):  # signed by another door
        meeting().knocking.receive(_resigned(met, message, {}, seed=other))
    with pytest.raises(AuthenticationFailed):  # signed by ours, for another
        meeting().knocking.receive(_resigned(met, message, {"door": ed25519_public(other)}))


def test_a_signature_for_another_purpose() -> None:
    met = meeting()
    fields = cbor.decode(_bundle(met)[2:])
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
        met.knocking.receive(_resigned(met, _bundle(met), change))


def test_fields_of_later_versions_are_passed_over_but_bound() -> None:
    met = meeting()
    message = _resigned(met, _bundle(met), {"something": ["new"]})
    ready = _ready(met, message)
    with pytest.raises(AuthenticationFailed):  # the door did not say that
        take(met.door, ready.message, now=NOW)


@pytest.mark.parametrize("off", [-CLOCK_TOLERANCE - 1, CLOCK_TOLERANCE + 1])
def test_clocks_more_than_a_day_apart(off: int) -> None:
    met = meeting(knocker_now=NOW + off)
    with pytest.raises(AuthenticationFailed, match="more than a day apart"):
        met.knocking.receive(_bundle(met))


@pytest.mark.parametrize("off", [-CLOCK_TOLERANCE, -BUNDLE_LIFETIME - 1, BUNDLE_LIFETIME + 1, CLOCK_TOLERANCE])
def test_a_wrong_clock_keeps_nobody_out(off: int) -> None:
    met = meeting(knocker_now=NOW + off)
    _arrived(met, _ready(met, _bundle(met)).message)


def test_the_door_judges_expiry_by_its_own_clock() -> None:
    met = meeting()
    ready = _ready(met, _bundle(met))
    with pytest.raises(AuthenticationFailed, match="expired"):
        take(met.door, ready.message, now=NOW + BUNDLE_LIFETIME + 1)
    met = meeting()
    ready = _ready(met, _bundle(met))
    _arrived(met, ready.message, now=NOW + BUNDLE_LIFETIME)


# --- the knock -------------------------------------------------------------------------------------------------------


def test_a_knock_opens_at_its_own_stream_only() -> None:
    """Replay: the same door, the same hello, another stream."""
    met = meeting(work_bits=0)
    ready = _ready(met, _bundle(met))
    _arrived(met, ready.message)
    again = DoorSide(met.secrets, random=Source("another stream"), work_bits=0)
    again.receive(KnockingSide.start(met.knocking), now=NOW)
    with pytest.raises(AuthenticationFailed):
        take(again, ready.message, now=NOW)


def test_a_second_knock_on_one_stream() -> None:
    met = meeting()
    ready = _ready(met, _bundle(met))
    _arrived(met, ready.message)
    with pytest.raises(MalformedData):
        take(met.door, ready.message, now=NOW)


def test_a_knock_carried_to_another_door() -> None:
    """Unknown key share: whoever runs one door hands on what it got to another, which made the same ephemeral keys."""
    met = meeting(work_bits=0)
    ready = _ready(met, _bundle(met))
    other = DoorSide(
        DoorSecrets(Source("other onion")(32), met.secrets.identity_key), random=Source("door"), work_bits=0
    )
    other.receive(met.knocking.start(), now=NOW)
    with pytest.raises(AuthenticationFailed):
        take(other, ready.message, now=NOW)


def test_nobody_can_put_his_static_key_under_anothers_knock() -> None:
    """Identity misbinding: the sealed part opens only with the static key in the header."""
    met = meeting(work_bits=0)
    ready = _ready(met, _bundle(met))

    def put(fields: dict[str, object]) -> dict[str, object]:
        header = cbor.decode(fields["header"])  # type: ignore[arg-type]
        assert isinstance(header, dict)
        return {"header": cbor.encode(header | {"static": x25519_public(Source("mallory")(32))})}

    with pytest.raises(AuthenticationFailed):
        take(met.door, _changed(ready.message, put), now=NOW)


def test_what_was_said_before_is_bound() -> None:
    """A hello or a bundle that somebody in between replaced makes the sealed part unreadable."""
    met = meeting(work_bits=0)
    met.door.receive(frame(cbor.encode({"want": "knock", "versions": [1, 2]})), now=NOW)
    ready = _ready(met, met.door.data_to_send())
    with pytest.raises(AuthenticationFailed):
        take(met.door, ready.message, now=NOW)


def test_work_cannot_be_talked_down() -> None:
    """A bundle with less work, even signed, gets the knock refused by the door that asked for more."""
    met = meeting(work_bits=12)
    ready = _ready(met, _resigned(met, _bundle(met), {"work": {"sha256": 0, "argon2id": 0}}))
    with pytest.raises(AuthenticationFailed, match="less work"):
        take(met.door, ready.message, now=NOW)


def test_a_version_cannot_be_talked_down() -> None:
    met = meeting(work_bits=0)
    ready = _ready(met, _bundle(met))

    def older(fields: dict[str, object]) -> dict[str, object]:
        header = cbor.decode(fields["header"])  # type: ignore[arg-type]
        assert isinstance(header, dict)
        return {"header": cbor.encode(header | {"version": 2})}

    with pytest.raises(MalformedData, match="version"):
        take(met.door, _changed(ready.message, older), now=NOW)


def test_the_stamp_comes_before_everything_that_costs() -> None:
    met = meeting(work_bits=16)
    ready = _ready(met, _bundle(met))
    for wrong in (
        {"stamp": bytes(8)},
        {"sealed": bytes(4_112)},
        {"header": b"not even CBOR"},
    ):
        door = meeting(work_bits=16).door
        door.receive(met.knocking.start(), now=NOW)
        with pytest.raises(AuthenticationFailed, match="less work"):
            door.receive(_changed(ready.message, lambda _, wrong=wrong: wrong), now=NOW)  # type: ignore[misc]


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
    ready = _ready(met, _bundle(met))
    with pytest.raises(PeerMisbehaved):
        take(met.door, _changed(ready.message, lambda _: change), now=NOW)
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
    ready = _ready(met, _bundle(met))

    def changed(fields: dict[str, object]) -> dict[str, object]:
        header = cbor.decode(fields["header"])  # type: ignore[arg-type]
        assert isinstance(header, dict)
        return {"header": cbor.encode(header | change)}

    with pytest.raises(error):
        take(met.door, _changed(ready.message, changed), now=NOW)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_every_flipped_bit_and_every_truncation(data: st.DataObject) -> None:
    met = meeting(work_bits=0)
    bundle = _bundle(met)
    knock = _ready(met, bundle).message
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
    _bundle(met)
    with pytest.raises(MalformedData):
        met.door.receive(b"\x20\x01", now=NOW)
    met = meeting()
    _ready(met, _bundle(met))
    with pytest.raises(MalformedData):
        met.knocking.receive(b"\x01\x01")


def test_the_doors_private_keys_serve_once() -> None:
    met = meeting()
    ready = _ready(met, _bundle(met))
    assert len(met.door._ephemeral) == 32
    _arrived(met, ready.message)
    assert met.door._ephemeral == met.door._kem_seed == b""
    met = meeting()
    _bundle(met)
    with pytest.raises(PeerMisbehaved):
        met.door.receive(frame(b"nonsense"), now=NOW)
    assert met.door._ephemeral == met.door._kem_seed == b""


# --- the receipt -----------------------------------------------------------------------------------------------------


def test_a_receipt_only_after_the_knock_and_only_once() -> None:
    met = meeting()
    with pytest.raises(ValueError, match="no knock"):
        met.door.acknowledge("stored")
    _arrived(met, _ready(met, _bundle(met)).message)
    with pytest.raises(ValueError, match="a word"):
        met.door.acknowledge("Stored!")
    met.door.acknowledge("stored")
    with pytest.raises(ValueError, match="no knock"):
        met.door.acknowledge("stored")


def test_a_receipt_nobody_else_can_give() -> None:
    met = meeting()
    _arrived(met, _ready(met, _bundle(met)).message)
    receipt = met.door.acknowledge("stored")
    for at in range(2, len(receipt)):
        forged = bytearray(receipt)
        forged[at] ^= 0x10
        other = meeting()
        _ready(other, _bundle(other))
        with pytest.raises(PeerMisbehaved):
            other.knocking.receive(bytes(forged))
    other = meeting(random=lambda name: Source("other " + name))
    _ready(other, _bundle(other))
    with pytest.raises(AuthenticationFailed):
        other.knocking.receive(receipt)


def test_nothing_comes_after_the_receipt() -> None:
    met = meeting()
    _arrived(met, _ready(met, _bundle(met)).message)
    receipt = met.door.acknowledge("stored")
    met.knocking.receive(receipt)
    with pytest.raises(MalformedData):
        met.knocking.receive(receipt)


# --- the introduction ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""},
        {"name": "a" * 65},
        {"name": "é" * 33},
        {"name": "a\nb"},
        {"name": "a\x7f"},
        {"name": "a\x85"},
        {"note": "n" * 1_001},
        {"note": "bell\x07"},
        {"onion": OnionKey(bytes(32))},
        {"onion": OnionKey(b"short")},
        {"versions": ()},
        {"capabilities": ("B",)},
        {"capabilities": tuple(f"c{n:02}" for n in range(33))},
    ],
)
def test_introductions_nobody_takes(change: dict[str, object]) -> None:
    good = Introduction("Alice", "", onion_key("alice"))
    read_introduction(good.encode(_FIRST))
    with pytest.raises(MalformedData):
        replace(good, **change).encode(_FIRST)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "padded",
    [
        b"",
        bytes(4_096),
        pad(b"", 4_096),
        pad(cbor.encode({}), 4_096),
        pad(cbor.encode({"name": "A"}), 4_096),
        pad(cbor.encode({"name": "A"}), 4_095),
    ],
)
def test_malformed_introductions(padded: bytes) -> None:
    with pytest.raises(MalformedData):
        read_introduction(padded)


def test_the_largest_introduction_fits() -> None:
    largest = Introduction(
        "n" * 64,
        "n" * 1_000,
        onion_key("alice"),
        tuple(f"{n:02}" + "c" * 30 for n in range(32)),
        tuple(range(65_520, 65_536)),
    )
    assert read_introduction(largest.encode(_FIRST)) == (largest, _FIRST)


@pytest.mark.parametrize("ratchet", [None, [], [bytes(39), b""], [bytes(40)], [bytes(40), bytes(129)], [bytes(40), 5]])
def test_malformed_first_messages(ratchet: object) -> None:
    fields = {"name": "A", "note": "", "onion": onion_key("alice"), "versions": [1], "capabilities": []}
    with pytest.raises(MalformedData, match="ratchet"):
        read_introduction(pad(cbor.encode(fields | {"ratchet": ratchet}), 4_096))


def test_a_knocker_that_claims_our_own_door() -> None:
    met = meeting()
    liar = Introduction("Eve", "", met.code.door)
    eve = meeting(introduction=liar)
    ready = _ready(eve, _bundle(eve))
    with pytest.raises(MalformedData, match="our own door"):
        take(eve.door, ready.message, now=NOW)


def test_a_code_binds_what_it_says() -> None:
    """The flags and version of the code are in the transcript."""
    met = meeting(work_bits=0)
    knocking = KnockingSide(
        FriendCode(met.code.door, flags=4),
        met.introduction,
        static_key=met.static_key,
        random=Source("knocker"),
        now=NOW,
    )
    met.door.receive(knocking.start(), now=NOW)
    [ready] = knocking.receive(met.door.data_to_send())
    assert isinstance(ready, KnockReady)
    with pytest.raises(AuthenticationFailed):
        take(met.door, ready.message, now=NOW)


def test_a_one_time_code() -> None:
    met = meeting(code_secret=bytes(range(16)))
    assert met.code.auth_key is not None
    ready = _ready(met, _bundle(met))
    arrived = _arrived(met, ready.message)
    assert arrived.peer_id == ready.peer_id
    assert met.knocking.receive(met.door.acknowledge("stored")) == [Receipt("stored")]


@pytest.mark.parametrize("secret", [b"", bytes(16), bytes(range(1, 17))])
def test_without_the_secret_of_a_one_time_code_nothing_opens(secret: bytes) -> None:
    """Somebody who learnt the door's key and got past its descriptor still cannot knock."""
    met = meeting(work_bits=0, code_secret=bytes(range(16)))
    knocking = KnockingSide(
        FriendCode(met.code.door, met.code.flags, secret=secret),
        met.introduction,
        static_key=met.static_key,
        random=Source("knocker"),
        now=NOW,
    )
    met.door.receive(knocking.start(), now=NOW)
    [ready] = knocking.receive(met.door.data_to_send())
    assert isinstance(ready, KnockReady)
    with pytest.raises(AuthenticationFailed):
        take(met.door, ready.message)


# --- the stamp -------------------------------------------------------------------------------------------------------


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


# --- the proof -------------------------------------------------------------------------------------------------------


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
    bundle = _bundle(met)
    ready = _ready(met, _resigned(met, bundle, {"work": {"sha256": 0, "argon2id": 0}}))
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
    assert _arrived(met, ready.message).effort >= 4


def test_nothing_is_said_while_the_proof_is_checked() -> None:
    met = meeting()
    ready = _ready(met, _bundle(met))
    met.door.receive(ready.message, now=NOW)
    with pytest.raises(MalformedData):
        met.door.receive(frame(b"more"), now=NOW)
    with pytest.raises(ValueError, match="no knock"):
        met.door.open(0)
