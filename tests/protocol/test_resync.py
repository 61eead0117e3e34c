"""docs/protocol/session.md, "Resync", without a node."""

from __future__ import annotations

import secrets
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.protocol import cbor, epoch
from chattor_bridge.protocol.epoch import SessionRole, other
from chattor_bridge.protocol.events import Text, decode_event
from chattor_bridge.protocol.frames import ResyncAnswer
from chattor_bridge.protocol.limits import MAX_RESYNC_CANDIDATES, RESYNC_INTERVAL
from chattor_bridge.protocol.renewal import Reason, Renewal
from chattor_bridge.protocol.resync import answer
from chattor_bridge.protocol.session import Session
from tests.protocol.sides import Disk, Side, sides
from tests.protocol.sources import NOW

ROLES = st.sampled_from(["knocker", "owner"])
HASH = bytes(32)


@pytest.mark.parametrize("starter", ["knocker", "owner"])
def test_both_begin_anew_and_keep_what_lasts(starter: SessionRole) -> None:
    both = sides()
    ours, theirs = both[starter], both[other(starter)]
    old = ours.session
    starting = ours.start(HASH)
    said = theirs.answer(starting.frame, HASH)
    assert theirs.session.session_id == old.session_id  # until the starter is known to have the new one
    ours.finish(starting, said)
    assert theirs.promotes(ours.hello())
    for side in (ours, theirs):
        new = side.session
        assert (new.peer_id, new.link_psk, new.transcript) == (old.peer_id, old.link_psk, old.transcript)
        assert new.session_id != old.session_id
        assert new.renewal == Renewal(at=NOW, replaced=old.session_id)
        assert (new.sent.highest, new.received.highest, new.epochs.newest) == (0, 0, 0)
    for sender, receiver in ((ours, theirs), (theirs, ours)):
        for envelope in sender.say("anew"):
            receiver.take(envelope)
        assert receiver.disk.texts == ["anew"]


def test_another_link_or_changed_keys_give_nothing() -> None:
    both = sides()
    knocker, owner = both["knocker"], both["owner"]
    starting = knocker.start(HASH)
    head_of_another = owner.answer(knocker.start(HASH).frame, HASH)
    for said in (
        owner.answer(starting.frame, b"\x01" * 32),
        replace(owner.answer(starting.frame, HASH), head=head_of_another.head),
        replace(owner.answer(starting.frame, HASH), ratchet_ciphertext=bytes(45)),
    ):
        with pytest.raises(AuthenticationFailed):
            starting.finish(said, knocker.session, random=knocker.random, now=NOW)


def test_an_answer_comes_too_late_for_a_session_that_was_renewed() -> None:
    both = sides()
    knocker, owner = both["knocker"], both["owner"]
    first, second = knocker.start(HASH), knocker.start(HASH)
    late = owner.answer(first.frame, HASH)
    knocker.finish(second, owner.answer(second.frame, HASH))
    with pytest.raises(AuthenticationFailed):
        first.finish(late, knocker.session, random=knocker.random, now=NOW)


def test_damaged_answers_are_refused() -> None:
    both = sides()
    starting = both["knocker"].start(HASH)
    head = cbor.encode({"key": bytes(32), "kem": bytes(1_088)})
    with pytest.raises(AuthenticationFailed):  # of small order
        starting.finish(ResyncAnswer(head, bytes(40), bytes(45)), both["knocker"].session, random=bytes, now=NOW)
    no_key = replace(starting.frame, encoded=cbor.encode({"key": b"\x09" * 32, "kem": b"\xff" * 1_184}))
    with pytest.raises(MalformedData):
        answer(no_key, both["owner"].session, HASH, random=both["owner"].random, now=NOW)


def test_one_a_day_and_a_clock_that_was_wrong_does_not_lock_out() -> None:
    assert not Renewal().too_early(NOW)
    renewal = Renewal(at=NOW)
    assert [renewal.too_early(NOW + after) for after in (0, RESYNC_INTERVAL - 1, RESYNC_INTERVAL, -1)] == [
        True,
        True,
        False,
        False,
    ]


def test_the_date_of_a_clock_that_was_ahead_does_not_count_when_it_is_reached() -> None:
    session = sides()["knocker"].session
    session.renewal.at = NOW + 10 * RESYNC_INTERVAL
    assert session.forget_old(NOW) is False  # it may be this clock that is wrong
    assert session.forget_old(NOW, sure=True) is True  # to be stored
    assert session.forget_old(NOW, sure=True) is False
    assert not Session.deserialize(session.serialize()).renewal.too_early(NOW + 10 * RESYNC_INTERVAL)
    session.renewal.at = NOW
    assert session.forget_old(NOW, sure=True) is False
    assert session.renewal.too_early(NOW)


def test_only_so_many_candidates_are_kept() -> None:
    renewal = Renewal()
    for number in range(MAX_RESYNC_CANDIDATES + 3):
        renewal.add_candidate(bytes([number]))
    assert renewal.candidates == tuple(bytes([number]) for number in range(3, MAX_RESYNC_CANDIDATES + 3))


@pytest.mark.parametrize(
    "stored",
    [
        None,
        [],
        [-1, None, None, False],
        [0, bytes(15), None, False],
        [0, None, "whim", False],
        [0, None, None, 0],
        [0, None, None, False, "text"],
        [0, None, None, False, *[b""] * (MAX_RESYNC_CANDIDATES + 1)],
    ],
)
def test_what_is_stored_is_checked(stored: object) -> None:
    with pytest.raises(MalformedData):
        Renewal.from_fields(cbor.Fields({"renewal": stored}, "session"), "renewal")


def test_a_renewal_survives_storage() -> None:
    renewal = Renewal(NOW, bytes(16), Reason.BROKEN, True, (b"one", b"two"))
    assert Renewal.from_fields(cbor.Fields({"renewal": renewal.to_list()}, "session"), "renewal") == renewal


class Amnesia(RuleBasedStateMachine):
    """Disks are restored from old copies, again and again, while two sides talk over links that break at any step of
    a resync. What one life of a side said and could not deliver before it was forgotten is lost with it, and what it
    was told and forgot is not told again; everything else arrives, once in each life."""

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(epoch, "EPOCH_MESSAGES", 5)
        self.sides = sides("amnesia")
        self.copies: dict[SessionRole, Disk] = {role: side.disk.copy() for role, side in self.sides.items()}
        self.said = 0
        self.heard: dict[SessionRole, set[str]] = {"knocker": set(), "owner": set()}  # in any life

    @rule(role=ROLES, times=st.integers(1, 4))
    def say(self, role: SessionRole, times: int) -> None:
        for _ in range(times):
            self.sides[role].say(f"{role} {self.said}")
            self.said += 1

    @rule(role=ROLES)
    def copy(self, role: SessionRole) -> None:
        self.copies[role] = self.sides[role].disk.copy()

    @rule(role=ROLES)
    def restore(self, role: SessionRole) -> None:
        self.sides[role].disk = self.copies[role].copy()

    @rule(role=ROLES, forgotten=st.integers(0, 3), answers=st.integers(0, 2), again=st.integers(0, 4))
    def forget(self, role: SessionRole, forgotten: int, answers: int, again: int) -> None:
        """A life of a few words, which is forgotten, and another one that begins where it did."""
        self.copy(role)
        self.say(role, forgotten)
        self.say(other(role), answers)
        self.link(role, 4, 6, True)
        self.restore(role)
        self.say(role, again)

    @rule(starter=ROLES, steps=st.integers(0, 4), passes=st.integers(0, 6), acks=st.booleans())
    def link(self, starter: SessionRole, steps: int, passes: int, acks: bool) -> None:
        """A link that breaks after so many steps of a resync, or after so many envelopes of each side."""
        for side in self.sides.values():
            side.now += RESYNC_INTERVAL
        self._link(starter, steps, passes, acks)

    @precondition(lambda self: self.said > 0)
    @rule(role=ROLES)
    def ask(self, role: SessionRole) -> None:
        side = self.sides[role]
        session = side.session
        session.renewal.wanted = Reason.ASKED
        side.disk.session = session.serialize()

    def _link(self, starter: SessionRole, steps: int, passes: int, acks: bool) -> bool:
        """Whether the halves belonged together."""
        ours, theirs = self.sides[starter], self.sides[other(starter)]
        our_hello, their_hello = ours.hello(), theirs.hello()
        if ours.promotes(their_hello) or theirs.promotes(our_hello):
            return False
        if ours.differs(their_hello) or theirs.differs(our_hello):
            handshake_hash = secrets.token_bytes(32)
            if steps > 0:
                starting = ours.start(handshake_hash)
            if steps > 1:
                said = theirs.answer(starting.frame, handshake_hash)
            if steps > 2:
                ours.finish(starting, said)
            if steps > 3:
                assert theirs.promotes(ours.hello())
            return False
        before = {side.role: _waiting(side) for side in (ours, theirs)}
        for sender, receiver in ((ours, theirs), (theirs, ours)):
            for envelope in sender.outbox()[:passes]:
                receiver.take(envelope)
            self.heard[receiver.role] |= set(receiver.disk.texts)
            if acks:
                sender.take_ack(receiver.session.received.ack())
        for side in (ours, theirs):  # nothing is taken for delivered that was not
            assert before[side.role] - _waiting(side) <= self.heard[other(side.role)]
        return True

    def teardown(self) -> None:
        try:
            waiting = {role: _waiting(side) for role, side in self.sides.items()}
            for _ in range(12):
                for side in self.sides.values():
                    side.now += RESYNC_INTERVAL
                self._link("knocker", 4, 1_000, True)
            for role, side in self.sides.items():
                peer = self.sides[other(role)]
                assert not side.disk.outbox
                assert waiting[role] <= self.heard[peer.role]
                assert len(side.disk.texts) == len(set(side.disk.texts))
            assert self._link("owner", 4, 1_000, True)
        finally:
            self.patch.undo()


def _waiting(side: Side) -> set[str]:
    """The texts that were not acknowledged."""
    bodies = [decode_event(encoded).body for encoded, _ in side.disk.outbox.values()]
    return {body.text for body in bodies if isinstance(body, Text)}


TestAmnesia = Amnesia.TestCase
TestAmnesia.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
