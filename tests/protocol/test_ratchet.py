"""docs/protocol/session.md, Ratchet."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.protocol import cbor, ratchet
from chattor_bridge.protocol.limits import MAX_SKIPPED, SKIPPED_KEY_LIFETIME
from chattor_bridge.protocol.primitives import x25519_public
from chattor_bridge.protocol.ratchet import HEADER_SIZE, OVERHEAD, Ratchet, RatchetMessage
from tests.protocol.sources import NOW, Source

_RANDOM = Source("ratchet")
_AD = b"what both know"


def _pair() -> tuple[Ratchet, Ratchet]:
    secret, private = _RANDOM(32), _RANDOM(32)
    sender, first = Ratchet.begin_sending(secret, x25519_public(private), b"first", _AD, padded_size=10, random=_RANDOM)
    receiver, plaintext = Ratchet.begin_receiving(secret, private, first, _AD, random=_RANDOM, now=NOW)
    assert plaintext == b"first"
    return sender, receiver


def _say(sender: Ratchet, text: bytes = b"text") -> RatchetMessage:
    return sender.encrypt(text, _AD, padded_size=40, random=_RANDOM)


def _hear(receiver: Ratchet, message: RatchetMessage, *, now: int = NOW) -> bytes:
    return receiver.decrypt(message, _AD, random=_RANDOM, now=now)


def _state(side: Ratchet) -> bytes:
    return cbor.encode(side.to_fields())


def _stored(side: Ratchet) -> Ratchet:
    return Ratchet.from_fields(cbor.Fields(cbor.decode(_state(side)), "ratchet"))


def test_both_can_speak_at_once_and_sizes_are_padded() -> None:
    knocker, owner = _pair()
    for sender, receiver in ((owner, knocker), (knocker, owner), (knocker, owner), (owner, knocker)):
        message = _say(sender)
        assert len(message.header) == HEADER_SIZE
        assert len(message.ciphertext) == 40 + OVERHEAD
        assert _hear(receiver, message) == b"text"


def test_every_answer_brings_a_new_key() -> None:
    knocker, owner = _pair()
    keys = set()
    for _ in range(5):
        for sender, receiver in ((owner, knocker), (knocker, owner)):
            message = _say(sender)
            keys.add(message.header[:32])
            _hear(receiver, message)
    assert len(keys) == 10


def test_out_of_order_over_a_change_of_chains() -> None:
    knocker, owner = _pair()
    early = [_say(knocker, b"%d" % n) for n in range(4)]
    assert _hear(owner, early[3]) == b"3"
    assert _hear(knocker, _say(owner)) == b"text"
    late = [_say(knocker, b"late %d" % n) for n in range(3)]
    assert _hear(owner, late[2]) == b"late 2"
    assert owner.skipped == 5
    for message, text in zip(early[:3] + late[:2], (b"0", b"1", b"2", b"late 0", b"late 1"), strict=True):
        owner = _stored(owner)
        assert _hear(owner, message) == text
    assert owner.skipped == 0


def test_nothing_changes_on_failure() -> None:
    knocker, owner = _pair()
    message = _say(knocker)
    before = _state(owner)
    wrong = [
        RatchetMessage(message.header, message.ciphertext[:-1]),
        RatchetMessage(message.header, message.ciphertext[:5]),
        RatchetMessage(message.header, b""),
        RatchetMessage(message.header, bytes(len(message.ciphertext))),
        RatchetMessage(bytes(40), message.ciphertext),  # a ratchet key of small order
        RatchetMessage(message.header[:36] + b"\x00\x00\x00\x09", message.ciphertext),
        RatchetMessage(_RANDOM(32) + message.header[32:], message.ciphertext),
        _say(owner),
    ]
    before = _state(owner)
    for bad in wrong:
        with pytest.raises(AuthenticationFailed):
            _hear(owner, bad)
        assert _state(owner) == before
    with pytest.raises(MalformedData):
        _hear(owner, RatchetMessage(message.header + b"\x00", message.ciphertext))
    with pytest.raises(AuthenticationFailed):
        owner.decrypt(message, b"something else", random=_RANDOM, now=NOW)
    assert _state(owner) == before
    assert _hear(owner, message) == b"text"
    with pytest.raises(AuthenticationFailed):
        _hear(owner, message)


def test_broken_padding_fails_before_anything_changes() -> None:
    knocker, owner = _pair()
    # a friend whose program does not pad: the same ratchet, driven past the wrapper
    coroutine = knocker._ratchet.encrypt_message(b"no padding", _AD)
    message = ratchet._to_message(ratchet._drive(coroutine, _RANDOM))
    before = _state(owner)
    with pytest.raises(MalformedData):
        _hear(owner, message)
    assert _state(owner) == before


def test_a_first_message_that_says_it_is_a_later_one_leaves_keys_that_grow_old() -> None:
    """A knocker may number it as it likes."""
    secret, private = _RANDOM(32), _RANDOM(32)
    sender, _ = Ratchet.begin_sending(secret, x25519_public(private), b"first", _AD, padded_size=40, random=_RANDOM)
    _say(sender)
    receiver, _ = Ratchet.begin_receiving(secret, private, _say(sender), _AD, random=_RANDOM, now=NOW)
    assert receiver.skipped == 2
    receiver = _stored(receiver)
    receiver.forget_old(NOW + SKIPPED_KEY_LIFETIME)
    assert receiver.skipped == 0
    assert _hear(receiver, _say(sender)) == b"text"


def test_a_long_chain_that_came_whole_is_no_reason_to_refuse_the_next() -> None:
    knocker, owner = _pair()
    for _ in range(MAX_SKIPPED + 5):
        _hear(owner, _say(knocker))
    _hear(knocker, _say(owner))
    for _ in range(3):
        assert _hear(owner, _say(knocker)) == b"text"


def test_only_so_many_are_skipped_in_a_chain() -> None:
    knocker, owner = _pair()
    messages = [_say(knocker) for _ in range(MAX_SKIPPED + 2)]
    with pytest.raises(AuthenticationFailed):
        _hear(owner, messages[MAX_SKIPPED + 1])
    assert _hear(owner, messages[MAX_SKIPPED]) == b"text"
    assert owner.skipped == MAX_SKIPPED
    owner = _stored(owner)
    assert _hear(owner, messages[0]) == b"text"


def test_a_header_cannot_claim_a_longer_chain_before() -> None:
    knocker, owner = _pair()
    _hear(knocker, _say(owner))
    message = _say(knocker)
    lie = RatchetMessage(message.header[:32] + (2**32 - 1).to_bytes(4, "big") + message.header[36:], message.ciphertext)
    with pytest.raises(AuthenticationFailed):
        _hear(owner, lie)
    assert _hear(owner, message) == b"text"


def test_keys_of_skipped_messages_grow_old() -> None:
    knocker, owner = _pair()
    skipped, heard = _say(knocker), _say(knocker)
    later_skipped, later_heard = _say(knocker), _say(knocker)
    _hear(owner, heard)
    _hear(owner, later_heard, now=NOW + 10)
    owner = _stored(owner)
    owner.forget_old(NOW + SKIPPED_KEY_LIFETIME - 1)
    assert owner.skipped == 2
    owner.forget_old(NOW + SKIPPED_KEY_LIFETIME)
    assert owner.skipped == 1
    with pytest.raises(AuthenticationFailed):
        _hear(owner, skipped)
    assert _hear(owner, later_skipped) == b"text"
    assert _hear(owner, _say(knocker)) == b"text"


def test_keys_skipped_under_a_clock_that_was_ahead_do_not_wait_for_its_time() -> None:
    knocker, owner = _pair()
    _say(knocker)
    _hear(owner, _say(knocker), now=NOW + 10 * SKIPPED_KEY_LIFETIME)
    assert owner.forget_old(NOW, sure=True) is True  # to be stored: from now on they age
    assert owner.forget_old(NOW, sure=True) is False
    owner = _stored(owner)
    assert owner.forget_old(NOW + SKIPPED_KEY_LIFETIME - 1) is False
    assert owner.skipped == 1
    assert owner.forget_old(NOW + SKIPPED_KEY_LIFETIME) is True
    assert owner.skipped == 0


def test_keys_do_not_age_by_a_clock_that_has_not_been_set_yet() -> None:
    """As after a start of a machine whose clock has no battery."""
    knocker, owner = _pair()
    _say(knocker)
    _hear(owner, _say(knocker))
    assert owner.forget_old(0) is False
    assert owner.forget_old(NOW + SKIPPED_KEY_LIFETIME - 1) is False
    assert owner.skipped == 1


def test_a_state_used_twice_makes_no_two_time_pad() -> None:
    knocker, owner = _pair()
    copy = _stored(knocker)
    one, two = _say(knocker, b"one"), _say(copy, b"two")
    assert one.header == two.header
    assert one.ciphertext[:12] != two.ciphertext[:12]
    assert _hear(_stored(owner), one) == b"one"
    assert _hear(_stored(owner), two) == b"two"


def test_all_randomness_is_ours() -> None:
    def talk() -> list[RatchetMessage]:
        source = Source("same")
        secret, private = source(32), source(32)
        sender, first = Ratchet.begin_sending(secret, x25519_public(private), b"", _AD, padded_size=1, random=source)
        receiver, _ = Ratchet.begin_receiving(secret, private, first, _AD, random=source, now=NOW)
        answer = receiver.encrypt(b"x", _AD, padded_size=9, random=source)
        sender.decrypt(answer, _AD, random=source, now=NOW)
        return [first, answer, sender.encrypt(b"y", _AD, padded_size=9, random=source)]

    assert talk() == talk()


def test_a_failing_source_changes_nothing() -> None:
    knocker, owner = _pair()

    def no_random(size: int) -> bytes:
        raise OSError(f"no {size} random bytes")

    before = _state(knocker)
    message = _say(owner)
    with pytest.raises(OSError, match="no 32 random bytes"):
        knocker.decrypt(message, _AD, random=no_random, now=NOW)
    assert _state(knocker) == before
    assert _hear(knocker, message) == b"text"


def test_the_first_message_must_open() -> None:
    secret, private = _RANDOM(32), _RANDOM(32)
    _, first = Ratchet.begin_sending(secret, x25519_public(private), b"", _AD, padded_size=1, random=_RANDOM)
    for key, message, ad in (
        (_RANDOM(32), first, _AD),
        (private, RatchetMessage(first.header, first.ciphertext[:-1]), _AD),
        (private, RatchetMessage(first.header[:36] + b"\x00\x00\x00\x01", first.ciphertext), _AD),
        (private, RatchetMessage(first.header[:36] + b"\xff\xff\xff\xff", first.ciphertext), _AD),
        (private, RatchetMessage(bytes(40), first.ciphertext), _AD),
        (private, first, b""),
    ):
        with pytest.raises(AuthenticationFailed):
            Ratchet.begin_receiving(secret, key, message, ad, random=_RANDOM, now=NOW)
    with pytest.raises(AuthenticationFailed):
        Ratchet.begin_sending(secret, bytes(32), b"", _AD, padded_size=1, random=_RANDOM)


@pytest.mark.parametrize(
    "change",
    [
        {"own": b"short"},
        {"peer": None},
        {"root": None},
        {"sending": None},
        {"sending": [-1, bytes(32)]},
        {"receiving": [0, b"short"]},
        {"previous": -1},
        {"skipped": b"\x00"},
        {"skipped": bytes(76 * (MAX_SKIPPED + 1))},
    ],
)
def test_damaged_states_are_refused(change: dict[str, object]) -> None:
    with pytest.raises(MalformedData):
        Ratchet.from_fields(cbor.Fields(_pair()[0].to_fields() | change, "ratchet"))
