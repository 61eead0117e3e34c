"""docs/protocol/link.md, "Messages" and "Order of frames"."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, MalformedData, PeerMisbehaved, UsageError
from chattor_bridge.protocol.frames import AckFrame, Bye, EnvelopeFrame, Frame, KeepAlive, SignalFrame, encode_frame
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.limits import ENVELOPE_SIZES, LINK_SIZES, MAX_FRAME, MAX_SIGNAL
from chattor_bridge.protocol.link import Established, FrameReceived, Link, LinkEvent, Pattern
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.window import Ack
from tests.protocol.links import HELLO, Friendship, frames_in, messages_in
from tests.protocol.sources import Source

_SMALL: list[Frame] = [AckFrame(Ack(3)), SignalFrame(b"typing"), KeepAlive()]


@pytest.mark.parametrize("pattern", list(Pattern))
def test_a_conversation(pattern: Pattern) -> None:
    friends = Friendship()
    dialling, answering = friends.dial(pattern), friends.answer(pattern)
    [answered] = answering.receive(dialling.data_to_send())
    [established] = dialling.receive(answering.data_to_send())
    assert isinstance(answered, Established)
    assert isinstance(established, Established)
    assert answered.handshake_hash == established.handshake_hash
    assert answered.peer_static == friends.knocker(Pattern.KK).peer_static
    assert established.peer_static == friends.owner(pattern).peer_static
    assert dialling.established
    assert answering.established
    for one, other in ((dialling, answering), (answering, dialling)):
        said: list[Frame] = [HELLO, *_SMALL, EnvelopeFrame(bytes(16_000)), Bye("closing")]
        for each in said:
            one.send(each)
        assert frames_in(other.receive(one.data_to_send())) == said


@pytest.mark.parametrize("pattern", list(Pattern))
def test_byte_by_byte_it_is_the_same_conversation(pattern: Pattern) -> None:
    friends = Friendship()
    dialling, answering = friends.dial(pattern), friends.answer(pattern)
    events: dict[Link, list[LinkEvent]] = {dialling: [], answering: []}

    def deliver(one: Link, other: Link) -> None:
        for byte in one.data_to_send():
            events[other] += other.receive(bytes([byte]))

    deliver(dialling, answering)
    deliver(answering, dialling)
    for link in (dialling, answering):
        for each in (HELLO, *_SMALL, Bye("closing")):
            link.send(each)
    deliver(dialling, answering)
    deliver(answering, dialling)
    for seen in events.values():
        assert isinstance(seen[0], Established)
        assert seen[1:] == [FrameReceived(each) for each in (HELLO, *_SMALL, Bye("closing"))]


_frames = st.lists(
    st.sampled_from(
        [*_SMALL, SignalFrame(bytes(MAX_SIGNAL)), *(EnvelopeFrame(bytes(size)) for size in ENVELOPE_SIZES)]
    ),
    min_size=1,
    max_size=12,
)


@given(batches=st.lists(_frames, max_size=3), cuts=st.lists(st.integers(1, 3_000), max_size=20))
@settings(max_examples=50, deadline=None)
def test_however_it_is_batched_and_cut_everything_arrives_in_order(batches: list[list[Frame]], cuts: list[int]) -> None:
    one, other = Friendship().joined()
    data = b""
    for batch in batches:
        for each in batch:
            one.send(each)
        data += one.data_to_send()
    assert set(messages_in(data)) <= set(LINK_SIZES)
    arrived: list[Frame] = []
    for cut in cuts:
        arrived += frames_in(other.receive(data[:cut]))
        data = data[cut:]
    arrived += frames_in(other.receive(data))
    assert arrived == [each for batch in batches for each in batch]


# --- sizes ---------------------------------------------------------------------------------------------------------


def test_small_frames_of_any_kind_look_alike_and_share_a_message() -> None:
    one, _ = Friendship().joined()
    for each in (*_SMALL, EnvelopeFrame(bytes(1_000)), Bye("closing")):
        one.send(each)
    assert messages_in(one.data_to_send()) == [4_096]
    for each in (*_SMALL, EnvelopeFrame(bytes(1_000))):
        one, _ = Friendship().joined()
        one.send(each)
        assert messages_in(one.data_to_send()) == [1_024]


@pytest.mark.parametrize(
    ("envelopes", "messages"),
    [
        ([1_000], [1_024]),
        ([4_000], [4_096]),
        ([16_000], [18_432]),
        ([16_000, 1_000, 1_000], [18_432]),
        ([16_000] * 2, [18_432] * 2),
        ([16_000] * 3, [18_432] * 3),
        ([16_000] * 4, [65_535]),
        ([16_000] * 9, [65_535, 65_535, 18_432]),
    ],
)
def test_messages_are_filled_without_waste(envelopes: list[int], messages: list[int]) -> None:
    one, _ = Friendship().joined()
    for size in envelopes:
        one.send(EnvelopeFrame(bytes(size)))
    assert messages_in(one.data_to_send()) == messages


def test_nothing_waits_twice() -> None:
    one, _ = Friendship().joined()
    one.send(KeepAlive())
    assert one.data_to_send()
    assert one.data_to_send() == b""


# --- order of frames -----------------------------------------------------------------------------------------------


def test_nothing_is_said_before_the_handshake_is_through() -> None:
    for link in (Friendship().dial(Pattern.KK), Friendship().answer(Pattern.KK)):
        with pytest.raises(UsageError):
            link.send(HELLO)


def test_hello_is_said_first_and_once_and_bye_last() -> None:
    friends = Friendship()
    dialling, answering = friends.dial(Pattern.KK), friends.answer(Pattern.KK)
    answering.receive(dialling.data_to_send())
    with pytest.raises(UsageError):
        answering.send(KeepAlive())
    answering.send(HELLO)
    with pytest.raises(UsageError):
        answering.send(HELLO)
    answering.send(Bye("closing"))
    with pytest.raises(UsageError):
        answering.send(KeepAlive())
    [_, *rest] = dialling.receive(answering.data_to_send())
    assert rest == [FrameReceived(HELLO), FrameReceived(Bye("closing"))]


def test_a_frame_that_breaks_a_rule_leaves_the_link_as_it_was() -> None:
    one, other = Friendship().joined()
    with pytest.raises(ValueError, match="envelope"):
        one.send(EnvelopeFrame(b"short"))
    one.send(KeepAlive())
    assert frames_in(other.receive(one.data_to_send())) == [KeepAlive()]


def _say(link: Link, plaintext: bytes) -> bytes:
    """A message of this link with any plaintext, as only the friend itself could make it."""
    assert link._secured is not None
    return frame(link._secured.seal(plaintext))


def _message(*said: Frame) -> bytes:
    return pad(b"".join(map(encode_frame, said)), 1_008)


@pytest.mark.parametrize(
    "plaintext",
    [
        _message(HELLO),
        _message(Bye("closing"), KeepAlive()),
        _message(),
        bytes(1_008),
        encode_frame(KeepAlive()).ljust(1_008, b"\x01"),
        pad(encode_frame(KeepAlive())[:2], 1_008),
        pad(b"\x07\x00\x00", 1_008),
        pad(encode_frame(KeepAlive()), 1_009),
        pad(encode_frame(KeepAlive()), 16),
        b"",
    ],
    ids=[
        "second hello",
        "after bye",
        "no frame",
        "no padding mark",
        "other padding",
        "half a frame",
        "unknown frame",
        "odd size",
        "small size",
        "empty",
    ],
)
def test_a_friend_that_breaks_a_rule_ends_the_link(plaintext: bytes) -> None:
    one, other = Friendship().joined()
    other.send(KeepAlive())
    with pytest.raises(MalformedData):
        other.receive(_say(one, plaintext))
    _assert_dead(other, MalformedData)


def test_a_frame_before_hello_ends_the_link() -> None:
    friends = Friendship()
    dialling, answering = friends.dial(Pattern.KK), friends.answer(Pattern.KK)
    answering.receive(dialling.data_to_send())
    dialling.receive(answering.data_to_send())
    with pytest.raises(MalformedData):
        answering.receive(_say(dialling, _message(KeepAlive())))
    _assert_dead(answering, MalformedData)


def test_a_message_after_bye_ends_the_link() -> None:
    one, other = Friendship().joined()
    assert frames_in(other.receive(_say(one, _message(Bye("closing"))))) == [Bye("closing")]
    other.send(KeepAlive())
    with pytest.raises(MalformedData):
        other.receive(_say(one, _message(KeepAlive())))


# --- whoever is in between -----------------------------------------------------------------------------------------


def _assert_dead(link: Link, error: type[PeerMisbehaved]) -> None:
    for call in (lambda: link.receive(b""), lambda: link.send(KeepAlive()), link.data_to_send):
        with pytest.raises(error):
            call()


def _two_messages() -> tuple[Link, bytes, bytes]:
    one, other = Friendship().joined()
    one.send(KeepAlive())
    first = one.data_to_send()
    one.send(SignalFrame(b"second"))
    return other, first, one.data_to_send()


def test_replayed_swapped_lost_and_reflected_messages_end_the_link() -> None:
    other, first, second = _two_messages()
    assert other.receive(first + second)
    with pytest.raises(AuthenticationFailed):
        other.receive(first)
    other, first, second = _two_messages()
    with pytest.raises(AuthenticationFailed):
        other.receive(second + first)
    _assert_dead(other, AuthenticationFailed)
    one, _ = Friendship().joined()
    one.send(KeepAlive())
    with pytest.raises(AuthenticationFailed):
        one.receive(one.data_to_send())


def test_a_hello_of_another_link_of_the_same_friends_ends_the_link() -> None:
    friends, hellos = Friendship(), []
    for name in ("one link", "another"):
        dialling = Link.dial(friends.owner(Pattern.KK), friends.onion, Source(name))
        answering = friends.answer(Pattern.KK)
        answering.receive(dialling.data_to_send())
        dialling.receive(answering.data_to_send())
        dialling.send(HELLO)
        hellos.append(dialling.data_to_send())
    with pytest.raises(AuthenticationFailed):
        answering.receive(hellos[0])
    _assert_dead(answering, AuthenticationFailed)


@given(st.integers(0, 1_025), st.integers(1, 255))
@settings(max_examples=50, deadline=None)
def test_a_damaged_message_is_noticed(at: int, change: int) -> None:
    other, first, _ = _two_messages()
    damaged = bytearray(first)
    damaged[at] ^= change
    try:
        # A longer length makes the reader wait for bytes that never come: a broken stream, not a message.
        assert other.receive(bytes(damaged)) == []
        assert at < 2
    except PeerMisbehaved:
        _assert_dead(other, PeerMisbehaved)


@given(st.lists(st.binary(max_size=3_000), max_size=5), st.sampled_from(["dialling", "answering", "joined"]))
@settings(max_examples=100, deadline=None)
def test_any_bytes_are_waited_on_or_refused(pieces: list[bytes], stage: str) -> None:
    match stage:
        case "dialling":
            link = Friendship().dial(Pattern.IK)
        case "answering":
            link = Friendship().answer(Pattern.IK, Pattern.KK)
        case _:
            link, _ = Friendship().joined()
    try:
        for piece in pieces:
            assert link.receive(piece) == []
    except PeerMisbehaved as error:
        _assert_dead(link, type(error))


@pytest.mark.parametrize("size", [0, 1, 16, 17, 1_023, 1_025, 5_000, MAX_FRAME - 1])
def test_a_message_of_a_size_that_none_may_have_ends_the_link(size: int) -> None:
    _, other = Friendship().joined()
    with pytest.raises(MalformedData):
        other.receive(size.to_bytes(2, "big") + bytes(size))
