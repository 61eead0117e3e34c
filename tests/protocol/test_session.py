"""docs/protocol/session.md."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, LimitReached, MalformedData
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol import session as sessions
from chattor_bridge.protocol.limits import (
    ENVELOPE_SIZES,
    MAX_INNER,
    MAX_RANGES,
    MAX_SEQ,
    MAX_SKIPPED,
    SKIPPED_KEY_LIFETIME,
)
from chattor_bridge.protocol.primitives import aead_open, aead_seal, labelled, x25519_public
from chattor_bridge.protocol.session import Duplicate, Opened, OutOfWindow, Sealed, Session, SessionBroken
from chattor_bridge.protocol.window import NO_DIGEST, Ack, Kept, envelope_digest
from tests.protocol.sources import NOW, Source, onion_key, session_pair

_RANDOM = Source("session")
_LARGEST_ACK = Ack(
    MAX_SEQ - 4 * MAX_RANGES, tuple((MAX_SEQ - 4 * n - 1, MAX_SEQ - 4 * n) for n in range(MAX_RANGES - 1, -1, -1))
)


def _seal(session: Session, inner: bytes = b"inner", ack: Ack | None = None) -> Sealed:
    return session.seal(inner, random=_RANDOM, now=NOW, ack=ack)


def _open(session: Session, envelope: bytes) -> Opened:
    return session.open(envelope, random=_RANDOM, now=NOW)


def _forge(sender: Session, change: Callable[[list[object]], object], envelope: bytes) -> bytes:
    """An envelope that is authentic outside and changed inside, as only the friend itself could make it."""
    key = sender.epochs.sending_key()
    ad = labelled("envelope", [sender.peer_id, sender.role.encode()])
    outer = cbor.decode(aead_open(key, envelope[:12], envelope[12:], ad))
    assert isinstance(outer, list)
    changed, size = change(outer), len(envelope) - 28
    plaintext = changed if isinstance(changed, bytes) else cbor.encode(changed)
    if isinstance(changed, list) and len(plaintext) != size:  # else it would be refused for what comes after it
        body = next((at for at, part in enumerate(changed) if isinstance(part, bytes) and len(part) > 255), None)
        if body is not None:
            length = len(changed[body]) + size - len(plaintext)
            plaintext = cbor.encode(
                [*changed[:body], changed[body][:length].ljust(length, b"\0"), *changed[body + 1 :]]
            )
            assert len(plaintext) == size
    plaintext += bytes(max(0, size - len(plaintext)))
    return envelope[:12] + aead_seal(key, envelope[:12], plaintext[:size], ad)


def test_both_sides_begin_alike() -> None:
    knocker, owner = session_pair()
    assert knocker.peer_id == owner.peer_id
    assert knocker.session_id == owner.session_id != owner.peer_id
    assert knocker.link_psk == owner.link_psk
    assert (knocker.role, owner.role) == ("knocker", "owner")
    assert (knocker.epochs.newest, knocker.sent.highest, knocker.received.highest) == (0, 0, 0)
    hosted = onion_key("hosted")
    assert knocker.onion_auth_key(hosted) == owner.onion_auth_key(hosted)
    assert len(x25519_public(knocker.onion_auth_key(hosted))) == 32
    assert knocker.onion_auth_key(hosted) != knocker.onion_auth_key(onion_key("another"))
    assert session_pair("others")[0].onion_auth_key(hosted) != knocker.onion_auth_key(hosted)


def test_no_two_keys_of_a_session_are_alike() -> None:
    knocker, _ = session_pair()
    fields = cbor.decode(knocker.serialize())
    assert isinstance(fields, dict)
    keys = [fields[name] for name in ("friendship", "link_psk", "transcript")]
    keys += fields["epochs"]["keys"][0][:3]
    keys += [fields["ratchet"]["own"], fields["ratchet"]["root"][1], fields["ratchet"]["sending"][1]]
    assert len(set(keys)) == len(keys) == 9


def test_a_conversation() -> None:
    knocker, owner = session_pair()
    for n in range(1, 4):
        for sender, receiver in ((owner, knocker), (knocker, owner)):
            told = sender.received.ack()
            sealed = _seal(sender, b"text %d" % n, told)
            assert sealed.seq == n == sender.sent.highest
            opened = _open(receiver, sealed.envelope)
            assert opened == Opened(n, b"text %d" % n, told)
            assert receiver.received.cumulative == n


@pytest.mark.parametrize("ack", [None, Ack(0), Ack(7, ((9, 12),)), _LARGEST_ACK])
def test_sizes_come_in_three_steps(ack: Ack | None) -> None:
    knocker, owner = session_pair()
    previous = 0
    for size in (0, 1, 200, 300, 700, 800, 900, 1_000, 3_000, 3_500, 3_900, 4_000, MAX_INNER):
        inner = b"\x80" * size
        envelope = _seal(knocker, inner, ack).envelope
        assert len(envelope) in ENVELOPE_SIZES
        assert len(envelope) >= previous
        previous = len(envelope)
        opened = _open(owner, envelope)
        assert opened.inner == inner
        assert opened.ack == ack
    assert len(_seal(knocker, bytes(800)).envelope) == 1_000
    assert len(_seal(knocker, bytes(MAX_INNER), _LARGEST_ACK).envelope) == 16_000


def test_what_does_not_fit_is_refused_and_changes_nothing() -> None:
    knocker, _ = session_pair()
    before = knocker.serialize()
    with pytest.raises(LimitReached):
        _seal(knocker, bytes(MAX_INNER + 1))
    assert knocker.serialize() == before


@pytest.mark.parametrize("good_draws", [0, 1])
def test_a_random_source_that_fails_changes_nothing(good_draws: int) -> None:
    knocker, owner = session_pair()
    envelope = _seal(owner).envelope
    draws = 0

    def failing(size: int) -> bytes:
        nonlocal draws
        draws += 1
        if draws > good_draws:
            raise OSError("no randomness")
        return _RANDOM(size)

    before = knocker.serialize()
    with pytest.raises(OSError, match="no randomness"):
        knocker.seal(b"x", random=failing, now=NOW)
    assert knocker.serialize() == before
    with pytest.raises(OSError, match="no randomness"):
        knocker.open(envelope, random=failing, now=NOW)
    assert knocker.serialize() == before
    assert _open(owner, _seal(knocker).envelope).inner == _open(knocker, envelope).inner == b"inner"


def test_the_last_sequence_number() -> None:
    knocker, _ = session_pair()
    knocker.sent.highest = MAX_SEQ - 1
    assert _seal(knocker, b"", _LARGEST_ACK).seq == MAX_SEQ
    with pytest.raises(LimitReached):
        _seal(knocker)


def test_standalone_acknowledgements() -> None:
    knocker, owner = session_pair()
    before = owner.serialize()
    for ack in (Ack(0), Ack(3, ((5, 9),)), _LARGEST_ACK):
        envelope = knocker.seal_ack(ack, random=_RANDOM)
        assert len(envelope) == 1_000
        for _ in range(2):  # idempotent, never a duplicate
            assert _open(owner, envelope) == Opened(0, None, ack)
    assert owner.serialize() == before
    assert knocker.sent.highest == 0


def test_the_same_event_never_looks_the_same() -> None:
    knocker, _ = session_pair()
    copy = knocker.clone()
    assert _seal(knocker).envelope[:12] != _seal(copy).envelope[:12]


def test_the_first_message_of_a_ratchet_says_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever begins cannot say anything before the other has agreed to a friendship, or to a renewal."""
    with monkeypatch.context() as patched:
        patched.setattr(sessions, "_FIRST_MESSAGE", b"chattor/v1/words")
        root, transcript, private = _RANDOM(32), _RANDOM(32), _RANDOM(32)
        _, first = Session.begin_as_knocker(root, transcript, door_key=x25519_public(private), random=_RANDOM, now=NOW)
        knocker, owner = session_pair()
        _, renewed = owner.renewed_by_answering(
            root, transcript, peer_key=x25519_public(private), random=_RANDOM, now=NOW
        )
    with pytest.raises(AuthenticationFailed):
        Session.begin_as_owner(root, transcript, door_private=private, first=first, random=_RANDOM, now=NOW)
    with pytest.raises(AuthenticationFailed):
        knocker.renewed_by_starting(root, transcript, own_key=private, first=renewed, random=_RANDOM, now=NOW)


@pytest.mark.parametrize("how", ["sealing", "opening", "looking"])
def test_the_key_of_what_never_came_is_erased_by_whatever_happens_next(how: str) -> None:
    knocker, owner = session_pair()
    _seal(knocker)
    _open(owner, _seal(knocker).envelope)
    [kept] = owner._ratchet._ratchet.kept.values()
    later = NOW + SKIPPED_KEY_LIFETIME
    envelope = _seal(knocker).envelope
    for now, is_there in ((later - 1, True), (later, False)):
        match how:
            case "sealing":
                owner.seal(b"", random=_RANDOM, now=now)
            case "opening" if is_there:
                owner.clone().open(envelope, random=_RANDOM, now=now)
            case "opening":
                owner.open(envelope, random=_RANDOM, now=now)
            case _:
                assert owner.forget_old(now) is not is_there
        assert (kept in owner.serialize()) is is_there
        assert owner.skipped == is_there


def test_what_is_beyond_the_next_can_be_left_unread() -> None:
    knocker, owner = session_pair()
    first, second = _seal(knocker).envelope, _seal(knocker).envelope
    before = owner.serialize()
    with pytest.raises(OutOfWindow):
        owner.open(second, random=_no_randomness, now=NOW, at_most=1)
    assert owner.serialize() == before
    assert owner.open(first, random=_RANDOM, now=NOW, at_most=1).seq == 1


def _no_randomness(_size: int) -> bytes:
    raise AssertionError("the ratchet was used")


# --- what can come in ------------------------------------------------------------------------------------------------


def test_another_envelope_under_the_last_number_shows_that_a_copy_is_at_work() -> None:
    knocker, owner = session_pair()
    copy = knocker.clone()
    _open(owner, _seal(knocker, b"from the live one").envelope)
    before = owner.serialize()
    with pytest.raises(SessionBroken):
        _open(owner, _seal(copy, b"from the copy").envelope)
    assert owner.serialize() == before


def test_a_duplicate_is_told_before_the_ratchet_sees_it() -> None:
    knocker, owner = session_pair()
    first, second = _seal(knocker), _seal(knocker)
    _open(owner, second.envelope)
    _open(owner, first.envelope)
    after = owner.serialize()
    for sealed in (first, second):
        with pytest.raises(Duplicate) as caught:
            _open(owner, sealed.envelope)
        assert caught.value.seq == sealed.seq
    assert owner.serialize() == after


def test_our_own_envelopes_do_not_come_back() -> None:
    knocker, owner = session_pair()
    for session in (knocker, owner):
        with pytest.raises(AuthenticationFailed):
            _open(session, _seal(session).envelope)
        with pytest.raises(AuthenticationFailed):
            _open(session, session.seal_ack(Ack(1), random=_RANDOM))


def test_envelopes_of_another_friendship() -> None:
    knocker, _ = session_pair("one")
    _, owner = session_pair("another")
    before = owner.serialize()
    with pytest.raises(AuthenticationFailed):
        _open(owner, _seal(knocker).envelope)
    assert owner.serialize() == before


def test_every_truncation_and_every_size_but_three() -> None:
    knocker, owner = session_pair()
    envelope = _seal(knocker).envelope
    before = owner.serialize()
    for size in range(len(envelope)):
        with pytest.raises(AuthenticationFailed):
            _open(owner, envelope[:size])
    for longer in (envelope + b"\x00", envelope * 4, envelope * 16, envelope * 100):
        with pytest.raises(AuthenticationFailed):
            _open(owner, longer)
    assert owner.serialize() == before
    assert _open(owner, envelope).inner == b"inner"


def test_every_flipped_bit() -> None:
    knocker, owner = session_pair()
    envelope = _seal(knocker).envelope
    before = owner.serialize()
    for bit in range(len(envelope) * 8):
        flipped = bytearray(envelope)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(AuthenticationFailed):
            _open(owner, bytes(flipped))
    assert owner.serialize() == before
    assert _open(owner, envelope).inner == b"inner"


@pytest.mark.parametrize(
    "change",
    [
        lambda outer: b"",
        lambda outer: b"\xff",
        lambda outer: bytes(972),
        lambda outer: outer[:3],
        lambda outer: [*outer, None],
        lambda outer: {"seq": 1},
        lambda outer: [0, *outer[1:]],
        lambda outer: [False, *outer[1:]],
        lambda outer: [True, *outer[1:]],
        lambda outer: [-1, *outer[1:]],
        lambda outer: [MAX_SEQ + 1, *outer[1:]],
        lambda outer: ["1", *outer[1:]],
        lambda outer: [2, *outer[1:]],  # another number than the ratchet message was made for
        lambda outer: [outer[0], None, *outer[2:]],
        lambda outer: [outer[0], outer[1][:-1] + b"\x07", *outer[2:]],
        lambda outer: [outer[0], bytes(40), *outer[2:]],
        lambda outer: [outer[0], outer[1] + b"\x00", outer[2][:-1], outer[3]],
        lambda outer: [outer[0], outer[1], bytes(len(outer[2])), outer[3]],
        lambda outer: [outer[0], outer[1], None, outer[3]],
        lambda outer: [outer[0], outer[1], outer[2], [1, 2]],
        lambda outer: [outer[0], outer[1], outer[2], 5],
        lambda outer: [0, None, bytes(len(outer[2])), None],  # acknowledges nothing
        lambda outer: [0, None, outer[2], [1]],  # something where zeros belong
        lambda outer: [False, None, bytes(len(outer[2])), [1]],
    ],
)
def test_authentic_outside_and_wrong_inside(change: Callable[[list[object]], object]) -> None:
    knocker, owner = session_pair()
    sealed = _seal(knocker)
    before = owner.serialize()
    with pytest.raises(SessionBroken):
        _open(owner, _forge(knocker, change, sealed.envelope))
    assert owner.serialize() == before
    assert _open(owner, sealed.envelope).inner == b"inner"


def test_the_forger_of_these_tests_forges_nothing_by_itself() -> None:
    knocker, owner = session_pair()
    assert _open(owner, _forge(knocker, lambda outer: outer, _seal(knocker).envelope)).inner == b"inner"


def test_a_gap_too_wide_is_refused_unread() -> None:
    knocker, owner = session_pair()
    envelopes = [_seal(knocker, b"").envelope for _ in range(MAX_SKIPPED + 2)]
    before = owner.serialize()
    with pytest.raises(OutOfWindow):
        _open(owner, envelopes[MAX_SKIPPED + 1])
    assert owner.serialize() == before
    assert _open(owner, envelopes[MAX_SKIPPED]).seq == MAX_SKIPPED + 1
    assert _open(owner, envelopes[MAX_SKIPPED + 1]).seq == MAX_SKIPPED + 2  # nothing more is missing
    owner = owner.clone()
    for number in (0, 999, 500):
        assert _open(owner, envelopes[number]).seq == number + 1


def test_no_key_is_lost_at_the_edge_of_the_window() -> None:
    """What the window lets in never pushes a key of something still missing out of the ratchet."""
    knocker, owner = session_pair()
    sent = []
    for chain in range(6):  # answers in between start new chains
        sent += [_seal(knocker, b"%d" % (300 * chain + n)).envelope for n in range(300)]
        try:
            _open(owner, sent[-1])
        except OutOfWindow:
            break
        _open(knocker, _seal(owner).envelope)
    assert owner.received.missing == MAX_SKIPPED - (MAX_SKIPPED % 299)
    for number, envelope in enumerate(sent):
        if not owner.received.contains(number + 1):
            assert _open(owner, envelope).inner == b"%d" % number
    assert owner.received.missing == 0


# --- keeping ----------------------------------------------------------------------------------------------------------


def test_a_session_that_was_stored_before_there_were_digests_is_read() -> None:
    """Of what was under way then no acknowledgement is right; of what is said afterwards each is."""
    for session in session_pair():
        stored = cbor.decode(session.serialize())
        assert isinstance(stored, dict)
        del stored["sent_digest"]
        stored["sent"], stored["received"] = 3, [1, 3, 3]
        read = Session.deserialize(cbor.encode(stored))
        assert read.received.ack() == Ack(1, ((3, 3),))
        assert (read.sent.highest, read.sent.digest) == (3, NO_DIGEST)


def test_a_session_survives_storage() -> None:
    knocker, owner = session_pair()
    envelopes = [_seal(knocker, b"%d" % n).envelope for n in range(5)]
    _open(owner, envelopes[4])
    restored = Session.deserialize(owner.serialize())
    assert restored.serialize() == owner.serialize()
    assert restored.received.ack() == Ack(0, ((5, 5),), envelope_digest(envelopes[4]))
    assert Session.deserialize(knocker.serialize()).sent.digest == knocker.sent.digest != NO_DIGEST
    assert _open(restored, envelopes[1]).inner == b"1"
    assert not owner.received.contains(2)  # a clone is its own
    assert _open(knocker, _seal(restored).envelope).inner == b"inner"


def test_damaged_storage_is_refused() -> None:
    stored = session_pair()[0].serialize()
    for size in range(len(stored)):
        with pytest.raises(MalformedData):
            Session.deserialize(stored[:size])
    with pytest.raises(MalformedData):
        Session.deserialize(stored + b"\x00")


@pytest.mark.parametrize(
    "change",
    [
        {"format": 3},
        {"format": 0},
        {"role": "friend"},
        {"role": 5},
        {"peer_id": bytes(15)},
        {"session_id": bytes(17)},
        {"transcript": b""},
        {"friendship": None},
        {"link_psk": bytes(31)},
        {"epochs": {}},
        {"epochs": []},
        {"ratchet": []},
        {"sent": -1},
        {"received": [1, 2]},
    ],
)
def test_every_stored_field_is_checked(change: dict[str, object]) -> None:
    fields = cbor.decode(session_pair()[0].serialize())
    assert isinstance(fields, dict)
    with pytest.raises(MalformedData):
        Session.deserialize(cbor.encode(fields | change))


# --- two of them, joined by a road that does everything wrong ------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_every_event_once_whatever_the_road_does(data: st.DataObject) -> None:
    """Loss, reordering, duplication, damage, and both ends restarting from what they stored last."""
    names = ("knocker", "owner")
    live = dict(zip(names, session_pair("storm"), strict=True))
    stored = {name: session.serialize() for name, session in live.items()}
    outbox: dict[str, dict[int, tuple[bytes, Kept]]] = {name: {} for name in names}  # durable
    road: dict[str, list[bytes]] = {name: [] for name in names}  # towards that side
    seen: dict[str, list[bytes]] = {name: [] for name in names}  # durable
    said: dict[str, list[bytes]] = {name: [] for name in names}

    def other(name: str) -> str:
        return names[1 - names.index(name)]

    def store(name: str) -> None:
        stored[name] = live[name].serialize()

    def absorb(name: str, ack: Ack | None) -> None:
        kept = {seq: kept for seq, (_, kept) in outbox[name].items()}
        if ack and live[name].sent.means(ack, kept):
            outbox[name] = {seq: one for seq, one in outbox[name].items() if not ack.covers(seq)}
        elif ack:
            assert not any(ack.covers(seq) for seq in outbox[name])

    def deliver(name: str, envelope: bytes) -> None:
        try:
            opened = _open(live[name], envelope)
        except Duplicate:
            road[other(name)].append(live[name].seal_ack(live[name].received.ack(), random=_RANDOM))
            return
        absorb(name, opened.ack)
        if opened.inner is None:
            return
        seen[name].append(opened.inner)
        store(name)
        road[other(name)].append(live[name].seal_ack(live[name].received.ack(), random=_RANDOM))

    steps = st.sampled_from(["say", "deliver", "lose", "repeat", "crash while saying", "crash", "damage", "resend"])
    for _ in range(data.draw(st.integers(5, 60), label="steps")):
        name = data.draw(st.sampled_from(names), label="side")
        step = data.draw(steps, label="step")
        pick = data.draw(st.integers(0, 10**6), label="pick")
        if step == "say":
            inner = b"%s %d" % (name.encode(), len(said[name]))
            sealed = _seal(live[name], inner, live[name].received.ack())
            store(name)
            outbox[name][sealed.seq] = (inner, sealed.kept)
            said[name].append(inner)
            road[other(name)].append(sealed.envelope)
        elif step == "crash while saying":
            _seal(live[name])  # sealed, never stored, never sent
            live[name] = Session.deserialize(stored[name])
        elif step == "crash":
            live[name] = Session.deserialize(stored[name])
        elif step == "resend":
            road[other(name)] += [kept.envelope for _, kept in outbox[name].values()]
        elif road[name]:
            at = pick % len(road[name])
            if step == "lose":
                del road[name][at]
            elif step == "repeat":
                deliver(name, road[name][at])
            elif step == "damage":
                flipped = bytearray(road[name][at])
                flipped[pick % len(flipped)] ^= 1
                with pytest.raises(AuthenticationFailed):
                    _open(live[name], bytes(flipped))
            else:
                deliver(name, road[name].pop(at))

    for name in names:  # the road is good at last
        for _, kept in list(outbox[name].values()):
            deliver(other(name), kept.envelope)
        while road[name]:
            deliver(name, road[name].pop(0))
    for name in names:
        while road[name]:
            deliver(name, road[name].pop(0))
        assert sorted(seen[other(name)]) == sorted(said[name])
        assert live[other(name)].received.ack() == Ack(len(said[name]), (), live[name].sent.digest)
        assert not outbox[name]
