"""docs/protocol/link.md, "Handshake"."""

from __future__ import annotations

from dataclasses import replace

import pytest
from noise.backends.default.diffie_hellmans import ED25519  # type: ignore[import-untyped]
from noise.backends.default.keypairs import KeyPair25519  # type: ignore[import-untyped]

from chattor_bridge.errors import AuthenticationFailed, MalformedData, PeerMisbehaved
from chattor_bridge.protocol import handshake
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.handshake import LinkKeys, Pattern, Purpose
from chattor_bridge.protocol.limits import HANDSHAKE_SIZE
from chattor_bridge.protocol.link import Established, Link
from chattor_bridge.protocol.primitives import x25519_public
from tests.protocol.links import Friendship, messages_in
from tests.protocol.sources import Source, onion_key

_OTHER_KEY = Source("other")(32)
_SMALL_ORDER = [bytes(32), b"\x01" + bytes(31), b"\xec" + b"\xff" * 30 + b"\x7f"]

patterns = pytest.mark.parametrize("pattern", list(Pattern))


def _refused(answering: Link, data: bytes, error: type[PeerMisbehaved] = AuthenticationFailed) -> None:
    with pytest.raises(error):
        answering.receive(data)
    with pytest.raises(error):
        answering.data_to_send()
    assert not answering.established


@patterns
def test_every_handshake_message_has_the_same_size(pattern: Pattern) -> None:
    friends = Friendship()
    dialling, answering = friends.dial(pattern), friends.answer(pattern)
    first = dialling.data_to_send()
    answering.receive(first)
    assert messages_in(first) == messages_in(answering.data_to_send()) == [HANDSHAKE_SIZE]


@patterns
def test_the_answer_waits_until_it_is_taken(pattern: Pattern) -> None:
    """So that a new contact is on disk before the owner hears of it."""
    friends = Friendship()
    dialling, answering = friends.dial(pattern), friends.answer(pattern)
    [event] = answering.receive(dialling.data_to_send())
    assert isinstance(event, Established)
    assert not dialling.established
    dialling.receive(answering.data_to_send())
    assert dialling.established


@patterns
def test_another_link_key_is_refused(pattern: Pattern) -> None:
    friends = Friendship()
    _refused(friends.answer(pattern), friends.dial(pattern, psk=_OTHER_KEY).data_to_send())


@patterns
def test_another_key_of_the_answering_side_is_refused(pattern: Pattern) -> None:
    friends = Friendship()
    dialling = friends.dial(pattern, peer_static=x25519_public(_OTHER_KEY))
    _refused(friends.answer(pattern), dialling.data_to_send())


def test_another_key_of_the_dialling_side_is_refused() -> None:
    friends = Friendship()
    _refused(friends.answer(Pattern.KK), friends.dial(Pattern.KK, own_static=_OTHER_KEY).data_to_send())
    # With IK the key is sent; the knocker learns it, unless it knows better.
    strange = friends.dial(Pattern.IK, own_static=_OTHER_KEY).data_to_send()
    [event] = friends.answer(Pattern.IK).receive(strange)
    assert isinstance(event, Established)
    assert event.peer_static == x25519_public(_OTHER_KEY)
    knowing = replace(friends.knocker(Pattern.IK), peer_static=x25519_public(friends.owner_static))
    _refused(Link.answer([knowing], friends.onion, Source("answering")), strange)


@patterns
def test_another_onion_is_refused(pattern: Pattern) -> None:
    friends = Friendship()
    dialling = Link.dial(friends.owner(pattern), onion_key("another"), Source("dialling"))
    _refused(friends.answer(pattern), dialling.data_to_send())


@patterns
def test_a_handshake_sent_back_to_its_sender_is_refused(pattern: Pattern) -> None:
    """Neither as the answer it waits for, nor by the end that answers for it where it hosts."""
    friends = Friendship()
    dialling = friends.dial(pattern)
    first = dialling.data_to_send()
    _refused(dialling, first)
    _refused(Link.answer([friends.owner(Pattern.KK)], friends.onion, Source("own")), first)


def test_another_role_is_refused() -> None:
    friends = Friendship()
    _refused(friends.answer(Pattern.KK), friends.dial(Pattern.KK, role="knocker").data_to_send())


@patterns
def test_another_version_is_refused(pattern: Pattern, monkeypatch: pytest.MonkeyPatch) -> None:
    friends = Friendship()
    with monkeypatch.context() as later:
        later.setattr(handshake, "LINK_VERSION", 2)
        data = friends.dial(pattern).data_to_send()
    _refused(friends.answer(pattern), data)


def test_the_other_pattern_is_refused() -> None:
    friends = Friendship()
    _refused(friends.answer(Pattern.KK), friends.dial(Pattern.IK).data_to_send())
    _refused(friends.answer(Pattern.IK), friends.dial(Pattern.KK).data_to_send())


def test_the_owner_may_host_too() -> None:
    """A reverse onion: the knocker dials."""
    friends = Friendship()
    dialling = Link.dial(friends.knocker(Pattern.KK), friends.onion, Source("dialling"))
    answering = Link.answer([friends.owner(Pattern.KK)], friends.onion, Source("answering"))
    answering.receive(dialling.data_to_send())
    assert dialling.receive(answering.data_to_send())


# --- candidates ----------------------------------------------------------------------------------------------------


def test_the_candidate_that_fits_is_named() -> None:
    """Several attempts of one knock share static key and onion and differ in the link key."""
    friends = Friendship()
    attempts = [replace(friends.knocker(Pattern.IK), psk=Source(f"attempt {number}")(32)) for number in range(4)]
    candidates = [*attempts, friends.knocker(Pattern.KK)]
    for number, candidate in enumerate(candidates):
        dialling = friends.dial(candidate.pattern, psk=candidate.psk)
        answering = Link.answer(candidates, friends.onion, Source("answering"))
        [event] = answering.receive(dialling.data_to_send())
        assert isinstance(event, Established)
        assert (event.candidate, event.peer_static) == (number, x25519_public(friends.owner_static))
        assert dialling.receive(answering.data_to_send())


def test_without_a_candidate_that_fits_nobody_is_answered() -> None:
    friends, others = Friendship(), Friendship("others")
    candidates = [others.knocker(Pattern.IK), others.knocker(Pattern.KK)]
    _refused(Link.answer(candidates, friends.onion, Source("x")), friends.dial(Pattern.KK).data_to_send())
    _refused(Link.answer([], friends.onion, Source("x")), friends.dial(Pattern.KK).data_to_send())


# --- what is not a handshake ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 48, 96, HANDSHAKE_SIZE - 1])
def test_a_first_message_of_another_size_is_refused(size: int) -> None:
    _refused(Friendship().answer(Pattern.IK, Pattern.KK), frame(bytes(size)), MalformedData)


def test_an_oversized_first_message_is_refused_at_its_length() -> None:
    _refused(Friendship().answer(Pattern.KK), (HANDSHAKE_SIZE + 1).to_bytes(2, "big"), MalformedData)


@patterns
def test_a_damaged_handshake_is_refused(pattern: Pattern) -> None:
    friends = Friendship()
    first = friends.dial(pattern).data_to_send()
    for at in (2, 33, 34, 81, 82, len(first) - 1):
        damaged = bytearray(first)
        damaged[at] ^= 1
        _refused(friends.answer(pattern), bytes(damaged))
    dialling, answering = friends.dial(pattern), friends.answer(pattern)
    answering.receive(dialling.data_to_send())
    reply = bytearray(answering.data_to_send())
    reply[40] ^= 1
    _refused(dialling, bytes(reply))


@patterns
def test_more_than_one_message_before_the_answer_is_refused(pattern: Pattern) -> None:
    friends = Friendship()
    first = friends.dial(pattern).data_to_send()
    with pytest.raises(PeerMisbehaved):
        friends.answer(pattern).receive(first + first)


@patterns
def test_a_payload_in_the_handshake_is_refused(pattern: Pattern, monkeypatch: pytest.MonkeyPatch) -> None:
    friends = Friendship()
    with monkeypatch.context() as chatty:
        chatty.setattr(handshake, "pad", lambda data, size: b"hello".ljust(size, b"\0"))
        first = friends.dial(pattern).data_to_send()
    _refused(friends.answer(pattern), first, MalformedData)


@pytest.mark.parametrize("small", _SMALL_ORDER, ids=bytes.hex)
def test_the_library_under_noise_refuses_agreements_without_a_secret(small: bytes) -> None:
    """Its refusal, not the tag that would fail later, is what we rely on: a friend could make the tag fit."""
    private = KeyPair25519.from_private_bytes(_OTHER_KEY).private
    with pytest.raises(ValueError, match="shared key"):
        ED25519().dh(private, KeyPair25519.from_public_bytes(small).public)


@pytest.mark.parametrize("small", _SMALL_ORDER, ids=bytes.hex)
@patterns
def test_an_ephemeral_key_of_small_order_is_refused(pattern: Pattern, small: bytes) -> None:
    _refused(Friendship().answer(pattern), frame(small + bytes(HANDSHAKE_SIZE - 32)))
    dialling = Friendship().dial(pattern)
    dialling.data_to_send()
    _refused(dialling, frame(small + bytes(HANDSHAKE_SIZE - 32)))


@pytest.mark.parametrize("small", _SMALL_ORDER, ids=bytes.hex)
@patterns
def test_a_static_key_of_small_order_is_refused(pattern: Pattern, small: bytes) -> None:
    with pytest.raises(AuthenticationFailed):
        Friendship().dial(pattern, peer_static=small)


# --- misuse --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"own_static": bytes(31)},
        {"peer_static": bytes(33)},
        {"psk": b""},
        {"role": "friend"},
        {"peer_static": None},
    ],
    ids=str,
)
def test_keys_that_cannot_be_are_a_mistake(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"key|role"):
        replace(Friendship().owner(Pattern.KK), **change)  # type: ignore[arg-type]


@pytest.mark.parametrize(("pattern", "role"), [(Pattern.KK, "knocker"), (Pattern.KK, "owner"), (Pattern.IK, "owner")])
def test_only_a_knocker_being_accepted_does_not_know_its_friend(pattern: Pattern, role: str) -> None:
    LinkKeys(bytes(32), None, bytes(32), Pattern.IK, "knocker")
    with pytest.raises(ValueError, match="static key"):
        LinkKeys(bytes(32), None, bytes(32), pattern, role)


def test_nobody_comes_for_a_file_who_is_being_accepted() -> None:
    with pytest.raises(ValueError, match="no files"):
        replace(Friendship().owner(Pattern.IK), purpose=Purpose.FILE)


def test_a_knocker_does_not_dial_with_ik() -> None:
    friends = Friendship()
    keys = LinkKeys(friends.knocker_static, x25519_public(friends.owner_static), friends.psk, Pattern.IK, "knocker")
    with pytest.raises(ValueError, match="IK"):
        Link.dial(keys, friends.onion, Source("x"))


def test_keys_show_no_secret() -> None:
    shown = repr(Friendship().owner(Pattern.KK))
    assert shown == "LinkKeys(pattern=<Pattern.KK: 'KKpsk0'>, role='owner', purpose=<Purpose.LINK: 'chattor/v1/link'>)"
