"""What comes from strangers and peers: every structure of docs/protocol/, each behind the keys that guard it.

A decoder that only ever sees what was authenticated is given fuzzed bytes that were authenticated too: a friend can
send anything.
"""

from __future__ import annotations

import functools
from contextlib import suppress

from chattor_bridge.errors import FriendCodeError, MalformedData, PeerMisbehaved
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.door import Bundle
from chattor_bridge.protocol.events import EpochAccept, EpochOffer, Unknown, decode_event, encode_event
from chattor_bridge.protocol.frames import Hello, ResyncAnswer, ResyncDone, ResyncStart, decode_frames, encode_frame
from chattor_bridge.protocol.framing import FrameSplitter, frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import read_introduction
from chattor_bridge.protocol.knock import KnockReady
from chattor_bridge.protocol.limits import (
    BUNDLE_LIFETIME,
    ENVELOPE_SIZES,
    INTRODUCTION_SIZE,
    LINK_SIZES,
    MAX_INNER,
)
from chattor_bridge.protocol.link import FrameReceived, Pattern
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS
from chattor_bridge.protocol.padding import pad, unpad
from chattor_bridge.protocol.primitives import (
    KEY_SIZE,
    aead_seal,
    ed25519_public,
    ed25519_sign,
    kem_public,
    labelled,
    x25519_public,
)
from chattor_bridge.protocol.rekeying import UselessNegotiation, take_accept, take_offer
from chattor_bridge.protocol.resync import Starting, answer
from chattor_bridge.protocol.session import Duplicate, Session
from chattor_bridge.protocol.signals import encode_signal, read_signal
from chattor_bridge.protocol.verification import Run, Step, commit
from chattor_bridge.protocol.window import Ack, ReceiveWindow
from tests.fuzz.target import Target, from_vectors, texts_from_vectors
from tests.protocol.links import HELLO, Friendship
from tests.protocol.sources import NOW, Source, meeting, session_pair

_NONCE = bytes(12)
_TAG_SIZE = 16


def _cbor(data: bytes) -> None:
    with suppress(MalformedData):
        assert cbor.encode(cbor.decode(data)) == data


def _friend_code(data: bytes) -> None:
    with suppress(FriendCodeError):
        code = FriendCode.parse(data.decode(errors="replace"))
        assert FriendCode.parse(code.encode()) == code


def _framing(data: bytes) -> None:
    """However a stream is cut, the same messages come out of it."""
    middle = len(data) // 2
    try:
        whole = FrameSplitter().receive(data)
    except MalformedData:
        return
    splitter = FrameSplitter()
    assert splitter.receive(data[:middle]) + splitter.receive(data[middle:]) == whole
    assert data.startswith(b"".join(map(frame, whole)))


def _frames(data: bytes) -> None:
    with suppress(MalformedData):
        for each in decode_frames(data):
            assert decode_frames(encode_frame(each)) == [each]


def _signal(data: bytes) -> None:
    signal = read_signal(data)
    if signal is not None:
        assert read_signal(encode_signal(signal)) == signal


def _event(data: bytes) -> None:
    with suppress(MalformedData):
        event = decode_event(data)
        if not isinstance(event.body, Unknown):
            assert encode_event(event) == data


def _ack(data: bytes) -> None:
    with suppress(MalformedData):
        ack = Ack.from_cbor(cbor.decode(data))
        assert cbor.encode(ack.to_cbor()) == data
        assert ReceiveWindow(ack).ack() == ack
        assert all(ack.covers(first) and ack.covers(last) for first, last in ack.covered())


_ONION_SEED = meeting().secrets.onion_seed
"""Of the door in these tests."""


def _signed(bundle: bytes) -> bytes:
    """A door's message, with anything for its bundle."""
    return cbor.encode({"bundle": bundle, "signature": ed25519_sign(_ONION_SEED, "door", bundle)})


def _bundle(data: bytes) -> None:
    """As a door could sign it."""
    door = OnionKey(ed25519_public(_ONION_SEED))
    for each in (_signed(data), data):
        with suppress(PeerMisbehaved):
            assert Bundle.verify(each, door, now=NOW).door == door


def _bundle_seeds() -> tuple[bytes, ...]:
    source = Source("fuzzed bundle")
    bundle = Bundle(
        door=OnionKey(ed25519_public(_ONION_SEED)),
        identity=x25519_public(source(32)),
        ephemeral=x25519_public(source(32)),
        kem=kem_public(source(64)),
        nonce=source(32),
        work_bits=0,
        effort_bits=0,
        expires=NOW + BUNDLE_LIFETIME,
        versions=PROTOCOL_VERSIONS,
        capabilities=CAPABILITIES,
    )
    return (cbor.Fields(cbor.decode(bundle.sign(_ONION_SEED)), "door message").bytes("bundle"),)


def _at_a_door(data: bytes) -> None:
    """The first byte chooses whether a hello comes before: its bit 0, a good one."""
    meet = meeting(work_bits=0)
    try:
        if data[:1] and data[0] & 1:
            meet.door.receive(meet.knocking.start(), now=NOW)
        for _ in meet.door.receive(data[1:], now=NOW):
            meet.door.open(0)
    except PeerMisbehaved:
        return


def _from_a_door(data: bytes) -> None:
    """What comes to a knocker, and what the door that it means could sign; to do the work of it is not the point."""
    with suppress(PeerMisbehaved):
        bundle = Bundle.verify(_signed(data), OnionKey(ed25519_public(_ONION_SEED)), now=NOW)
        if bundle.work_bits + bundle.effort_bits == 0:
            meet = meeting(work_bits=0)
            meet.knocking.start()
            [ready] = meet.knocking.receive(frame(_signed(data)))
            assert isinstance(ready, KnockReady)
    meet = meeting(work_bits=0)
    meet.knocking.start()
    with suppress(PeerMisbehaved):
        meet.knocking.receive(data)


def _introduction(data: bytes) -> None:
    for padded in (data, pad(data, INTRODUCTION_SIZE) if len(data) < INTRODUCTION_SIZE else b""):
        with suppress(PeerMisbehaved):
            introduction, first = read_introduction(padded)
            assert read_introduction(introduction.encode(first)) == (introduction, first)


def _stored_session(data: bytes) -> None:
    with suppress(MalformedData):
        session = Session.deserialize(data)
        assert Session.deserialize(session.serialize()).serialize() == session.serialize()


@functools.cache
def _stored_pair() -> tuple[bytes, bytes]:
    knocker, owner = session_pair("fuzzed")
    return knocker.serialize(), owner.serialize()


def _envelope(data: bytes) -> None:
    """As it comes, and as the outer plaintext of an authentic one; what fails changes nothing."""
    knocker, owner = (Session.deserialize(each) for each in _stored_pair())
    before = owner.serialize()
    key = knocker.epochs.sending_key()
    ad = labelled("envelope", [knocker.peer_id, knocker.role.encode()])
    size = next((each for each in ENVELOPE_SIZES if len(data) <= each - len(_NONCE) - _TAG_SIZE), None)
    envelopes = [data]
    if size is not None:
        outer = data + bytes(size - len(_NONCE) - _TAG_SIZE - len(data))
        envelopes += [_NONCE + aead_seal(key, _NONCE, text, ad) for text in (data, outer)]
    for envelope in envelopes:
        try:
            opened = owner.open(envelope, random=Source("opening"), now=NOW)
        except (PeerMisbehaved, Duplicate):
            assert owner.serialize() == before
        else:
            assert opened.seq == 0  # nobody without the ratchet's keys makes any other
            assert owner.serialize() == before


def _negotiation(data: bytes) -> None:
    """An event between the two sessions, as a friend could seal it."""
    if len(data) > MAX_INNER:
        return
    knocker, owner = (Session.deserialize(each) for each in _stored_pair())
    opened = owner.open(knocker.seal(data, random=Source("sealing"), now=NOW).envelope, random=Source("o"), now=NOW)
    with suppress(MalformedData, UselessNegotiation):
        match decode_event(data).body:
            case EpochOffer() as offer:
                take_offer(owner, offer, opened, random=Source("answering"), now=NOW)
            case EpochAccept() as accept:
                take_accept(owner, accept, opened, now=NOW)


@functools.cache
def _starting() -> Starting:
    return Starting(Session.deserialize(_stored_pair()[0]), bytes(32), random=Source("fuzzed resync"))


def _resync(data: bytes) -> None:
    """A frame of a resync at either end; nothing changes by what fails."""
    knocker, owner = (Session.deserialize(each) for each in _stored_pair())
    with suppress(PeerMisbehaved):
        for each in decode_frames(data):
            match each:
                case ResyncStart():
                    answer(each, owner, bytes(32), random=Source("answering"), now=NOW)
                case ResyncAnswer():
                    _starting().finish(each, knocker, random=Source("finishing"), now=NOW)
    assert (knocker.serialize(), owner.serialize()) == _stored_pair()


def _resync_seeds() -> tuple[bytes, ...]:
    owner = Session.deserialize(_stored_pair()[1])
    said, _ = answer(_starting().frame, owner, bytes(32), random=Source("answering"), now=NOW)
    return encode_frame(_starting().frame), encode_frame(said), encode_frame(ResyncDone())


def _verification(data: bytes) -> None:
    """A stored run, and in its place what a friend may send."""
    with suppress(MalformedData):
        run = Run.decode(data)
        assert Run.decode(run.encode()) == run
    for step in (Step.ASKED, Step.AGREED, Step.REVEALED):
        run = Run(bytes(16), step, NOW, Source("own key")(32), commitment=commit(bytes(16), data[:32]))
        if len(key := data[:32]) == KEY_SIZE:
            with suppress(PeerMisbehaved):
                run.take_key(key)[0].emoji("0" * 60)
            with suppress(PeerMisbehaved):
                run.take_commitment(key, Source("another key")(32))


def _handshake(data: bytes) -> None:
    """The first bytes on a link, at either end."""
    for link in (
        Friendship().answer(Pattern.IK, Pattern.KK),
        Friendship().dial(Pattern.KK),
    ):
        with suppress(PeerMisbehaved):
            link.receive(data)


def _established(data: bytes) -> None:
    """What a friend can put into an authentic message of a link, before its hello and after."""
    for is_greeted in (False, True):
        dialling, answering = Friendship().dial(Pattern.KK), Friendship().answer(Pattern.KK)
        answering.receive(dialling.data_to_send())
        dialling.receive(answering.data_to_send())
        if is_greeted:
            dialling.send(HELLO)
            answering.receive(dialling.data_to_send())
        room = LINK_SIZES[0] - _TAG_SIZE
        assert dialling._secured is not None
        with suppress(PeerMisbehaved):
            for event in answering.receive(frame(dialling._secured.seal(pad(data[: room - 1], room)))):
                assert isinstance(event, FrameReceived)
                assert isinstance(event.frame, Hello) is not is_greeted
                is_greeted = True


def _outer_seeds() -> tuple[bytes, ...]:
    return (
        cbor.encode([0, None, b"", [5, 7, 9]]),
        cbor.encode([1, bytes(40), bytes(32), None]),
        cbor.encode([1, bytes(40), bytes(32), [5]]),
    )


def _introduction_seeds() -> tuple[bytes, ...]:
    source = Source("introduction")
    _, first = Session.begin_as_knocker(
        source(32), source(32), door_key=x25519_public(source(32)), random=source, now=NOW
    )
    return (unpad(meeting().introduction.encode(first)),)


TARGETS = (
    Target("cbor", _cbor, (*from_vectors("events.json", "bytes"), *_outer_seeds())),
    Target("friend_code", _friend_code, texts_from_vectors("friend-code.json", "code", "also", "text")),
    Target("framing", _framing, (frame(b"one") + frame(b"two") + frame(bytes(1_024)), b"\0\0", b"\xff\xff")),
    Target("frames", _frames, from_vectors("frames.json", "bytes")),
    Target("signal", _signal, from_vectors("signals.json", "bytes")),
    Target("event", _event, from_vectors("events.json", "bytes")),
    Target(
        "ack",
        _ack,
        tuple(
            cbor.encode(each)
            for each in ([0, bytes(16)], [5, bytes(16)], [5, bytes(16), 7, 9], [0, bytes(16), 2, 2, 4, 100])
        ),
    ),
    Target("bundle", _bundle, _bundle_seeds()),
    Target("at_a_door", _at_a_door, tuple(b"\x01" + each for each in from_vectors("knock.json", "hello", "knock"))),
    Target("from_a_door", _from_a_door, (*_bundle_seeds(), *from_vectors("knock.json", "door_message", "receipt"))),
    Target("introduction", _introduction, _introduction_seeds()),
    Target("stored_session", _stored_session, _stored_pair()),
    Target("envelope", _envelope, (*_outer_seeds(), *from_vectors("session.json", "envelope"))),
    Target("negotiation", _negotiation, from_vectors("epochs.json", "event")),
    Target("resync", _resync, _resync_seeds()),
    Target("verification", _verification, (Run(bytes(16), Step.INVITED, NOW).encode(), x25519_public(bytes(32)))),
    Target("handshake", _handshake, from_vectors("link.json", "bytes")[:4]),
    Target("link_message", _established, from_vectors("frames.json", "bytes")),
)
