"""docs/protocol/session.md, "Epochs"."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chattor_bridge.errors import AuthenticationFailed, MalformedData
from chattor_bridge.ids import EventId
from chattor_bridge.protocol import cbor, epoch
from chattor_bridge.protocol.epoch import Accepted, EpochKeys, Epochs, Offered, SessionRole
from chattor_bridge.protocol.events import EpochAccept, EpochOffer, Event, decode_event, encode_event
from chattor_bridge.protocol.limits import EPOCH_KEY_LIFETIME, EPOCH_LIFETIME, EPOCH_MESSAGES, MAX_LIVE_EPOCHS
from chattor_bridge.protocol.primitives import kem_public
from chattor_bridge.protocol.rekeying import UselessNegotiation, offer_if_due, take_accept, take_offer
from chattor_bridge.protocol.session import Opened
from tests.protocol.sides import Side, sides
from tests.protocol.sources import NOW

DAY = 86_400


@pytest.fixture
def both() -> dict[SessionRole, Side]:
    return sides()


def _epochs(side: Side) -> Epochs:
    return side.session.epochs


def _offering(both: dict[SessionRole, Side]) -> tuple[Side, Side, bytes]:
    """The knocker has said enough, and its offer is on the road; everything before it has arrived."""
    knocker, owner = both["knocker"], both["owner"]
    sent: list[bytes] = []
    while _epochs(knocker).negotiation is None:
        sent += knocker.say("text")
    for envelope in sent[:-1]:
        owner.take(envelope)
    return knocker, owner, sent[-1]


def _exchange(sender: Side, receiver: Side, envelopes: list[bytes]) -> None:
    """Deliver these, whatever they bring about, and the acknowledgements of a link."""
    while envelopes:
        answers = [answer for envelope in envelopes for answer in receiver.take(envelope)]
        sender.take_ack(receiver.session.received.ack())
        sender, receiver, envelopes = receiver, sender, answers


def test_an_epoch_is_offered_after_fifty_events_either_way(both: dict[SessionRole, Side]) -> None:
    knocker, owner = both["knocker"], both["owner"]
    for number in range(EPOCH_MESSAGES // 2):
        _exchange(owner, knocker, owner.say("from the owner"))
        assert (_epochs(knocker).negotiation is None) == (_epochs(knocker).newest == 0)
        _exchange(knocker, owner, knocker.say("from the knocker"))
        assert _epochs(owner).newest == _epochs(knocker).newest == (number == EPOCH_MESSAGES // 2 - 1)


def test_an_epoch_is_offered_after_a_week_at_the_next_occasion(both: dict[SessionRole, Side]) -> None:
    knocker = both["knocker"]
    session = knocker.session
    assert offer_if_due(session, random=knocker.random, now=NOW + EPOCH_LIFETIME - 1) is None
    assert offer_if_due(session, random=knocker.random, now=NOW + EPOCH_LIFETIME) is not None
    assert offer_if_due(session, random=knocker.random, now=NOW + EPOCH_LIFETIME) is None  # one at a time
    owner = both["owner"]
    assert offer_if_due(owner.session, random=owner.random, now=NOW + EPOCH_LIFETIME) is None  # not its turn


def test_an_epoch_from_the_future_is_offered_on_and_does_not_wait_for_its_date(both: dict[SessionRole, Side]) -> None:
    knocker = both["knocker"]  # its clock was years ahead when the session began
    assert offer_if_due(knocker.session, random=knocker.random, now=NOW - EPOCH_LIFETIME) is not None


def test_who_may_seal_under_the_next_epoch_and_when(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    assert isinstance(_epochs(knocker).negotiation, Offered)
    (accept,) = owner.take(offer)
    assert (_epochs(owner).sending, _epochs(owner).newest) == (0, 1)  # opens it, does not use it
    early = owner.say("still under epoch 0")
    knocker.take(accept)
    assert _epochs(knocker).sending == 1
    assert [knocker.session.open(one, random=knocker.random, now=NOW).epoch for one in early] == [0]
    (late,) = knocker.say("under epoch 1")
    owner.take(late)
    assert _epochs(owner).sending == 1
    assert _epochs(owner).negotiation is None


def test_whatever_comes_under_the_next_epoch_is_enough(both: dict[SessionRole, Side]) -> None:
    """Also without an acknowledgement of the accept."""
    knocker, owner, offer = _offering(both)
    (accept,) = owner.take(offer)
    knocker.take(accept)
    envelope = knocker.session.seal(b"no event", random=knocker.random, now=NOW).envelope
    session = owner.session
    assert session.open(envelope, random=owner.random, now=NOW).ack is None
    assert session.epochs.sending == 1


@pytest.mark.parametrize("how", ["link", "field", "standalone"])
def test_an_acknowledgement_of_the_accept_is_enough(both: dict[SessionRole, Side], how: str) -> None:
    knocker, owner, offer = _offering(both)
    (accept,) = owner.take(offer)
    before = knocker.session.received.ack()
    owner.take_ack(before)
    assert _epochs(owner).sending == 0  # it did not cover the accept
    knocker.take(accept)
    if how == "link":
        owner.take_ack(knocker.session.received.ack())
    else:
        owner.take(knocker.ack() if how == "standalone" else knocker.say("with an acknowledgement")[0])
    assert _epochs(owner).sending == 1


def test_silence_extends_the_epoch_and_blocks_nobody(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    lost = owner.take(offer)  # the accept never comes, for a long time
    for day in range(30):
        knocker.now = owner.now = NOW + day * DAY
        for text in knocker.say(f"{day}"):
            owner.take(text)
        for text in owner.say(f"{day}"):
            knocker.take(text)
    assert (_epochs(knocker).newest, _epochs(owner).sending) == (0, 0)
    assert knocker.disk.texts == owner.disk.texts[-30:] == [f"{day}" for day in range(30)]
    _exchange(owner, knocker, lost)  # it was in the outbox all the time
    assert _epochs(knocker).sending == 1


def test_old_keys_stay_until_everything_under_them_has_come(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    (late,) = owner.say("late")
    (accept,) = owner.take(offer)
    knocker.take(accept)
    owner.take_ack(knocker.session.received.ack())
    (after,) = owner.say("under epoch 1")
    knocker.take(after)
    assert sorted(_epochs(knocker).keys) == [0, 1]
    knocker.take(late)
    assert sorted(_epochs(knocker).keys) == [1]
    assert knocker.disk.texts == ["under epoch 1", "late"]
    assert knocker.take(late) == []  # dropped and counted: its key is gone


def test_old_keys_go_whatever_is_still_missing_under_the_new_ones(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    (late,) = owner.say("late")
    (accept,) = owner.take(offer)
    knocker.take(accept)
    owner.take_ack(knocker.session.received.ack())
    first, _missing, last = (owner.say(text)[0] for text in ("first", "missing", "last"))
    for envelope in (first, last, late):
        assert sorted(_epochs(knocker).keys) == [0, 1]
        knocker.take(envelope)
    assert sorted(_epochs(knocker).keys) == [1]


def test_old_keys_are_erased_after_35_days_at_most(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    (lost,) = owner.say("lost")
    (accept,) = owner.take(offer)
    knocker.take(accept)
    knocker.now = NOW + 1_000 * DAY  # nothing shows yet that the owner has left epoch 0
    for envelope in owner.say("still under epoch 0"):
        knocker.take(envelope)
    assert sorted(_epochs(knocker).keys) == [0, 1]
    owner.take_ack(knocker.session.received.ack())
    for days, left in ((0, [0, 1]), (34, [0, 1]), (35, [1])):
        knocker.now = NOW + 1_000 * DAY + days * DAY
        for envelope in owner.say("under epoch 1"):
            knocker.take(envelope)
        assert sorted(_epochs(knocker).keys) == left
    with pytest.raises(AuthenticationFailed):
        knocker.session.open(lost, random=knocker.random, now=knocker.now)
    assert EPOCH_KEY_LIFETIME == 35 * DAY


def test_old_keys_are_erased_without_a_word_from_the_friend(both: dict[SessionRole, Side]) -> None:
    """The daily look at every friendship."""
    knocker, owner, offer = _offering(both)
    owner.say("lost")
    (accept,) = owner.take(offer)
    knocker.take(accept)
    owner.take_ack(knocker.session.received.ack())
    for envelope in owner.say("under epoch 1"):
        knocker.take(envelope)
    session = knocker.session
    old = session.epochs.keys[0].receiving
    assert session.forget_old(NOW + EPOCH_KEY_LIFETIME - 1) is False
    assert old in session.serialize()
    assert session.forget_old(NOW + EPOCH_KEY_LIFETIME) is True
    assert old not in session.serialize()
    assert session.forget_old(NOW + EPOCH_KEY_LIFETIME) is False


def test_what_came_under_a_clock_that_was_ahead_does_not_keep_old_keys_until_then() -> None:
    later = NOW + 10 * EPOCH_KEY_LIFETIME
    epochs = Epochs.begin(bytes(32), "knocker", NOW)
    epochs.offered(bytes(64), b"offer")
    epochs.finish(bytes(32), b"offer", b"accept", now=later)
    epochs.opened(1, 3, up_to=1, now=later)  # number 2 is missing, and may be sealed under epoch 0
    assert sorted(epochs.keys) == [0, 1]
    assert epochs.forget_old(1, NOW) is False  # it may be this clock that is wrong
    assert epochs.forget_old(1, NOW, sure=True) is True  # to be stored: from now on it ages
    assert epochs.forget_old(1, NOW + EPOCH_KEY_LIFETIME - 1) is False
    assert sorted(epochs.keys) == [0, 1]
    assert epochs.forget_old(1, NOW + EPOCH_KEY_LIFETIME) is True
    assert sorted(epochs.keys) == [1]


def test_keys_that_have_done_their_work_are_erased(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    seed = _epochs(knocker).negotiation
    assert isinstance(seed, Offered)
    assert seed.seed in knocker.disk.session
    first = _epochs(knocker).keys[0]
    (accept,) = owner.take(offer)
    knocker.take(accept)
    for gone in (seed.seed, first.secret, first.sending):
        assert gone is not None
        assert gone not in knocker.disk.session
    assert first.receiving in knocker.disk.session


def test_only_so_many_epochs_are_kept(both: dict[SessionRole, Side]) -> None:
    """A friend who lets everything but negotiations go missing does not make us keep keys without end."""
    epochs = Epochs.begin(bytes(32), "knocker", NOW)
    for number in range(MAX_LIVE_EPOCHS + 10):
        epochs.offered(bytes(64), b"offer")
        epochs.finish(bytes(32), b"offer", b"accept", now=NOW)
        assert epochs.sending == number + 1
    assert len(epochs.keys) == MAX_LIVE_EPOCHS
    assert epochs.sending in epochs.keys


def _opened(body: EpochOffer | EpochAccept, under: int = 0) -> Opened:
    return Opened(9, encode_event(Event(EventId(bytes(16)), NOW, body)), None, under)


def test_an_offer_out_of_turn_is_dropped(both: dict[SessionRole, Side]) -> None:
    knocker, owner = both["knocker"], both["owner"]
    good = EpochOffer(0, kem_public(bytes(64)))
    for side, offer, under in (
        (knocker, good, 0),  # the knocker is the one who offers under epoch 0
        (owner, EpochOffer(1, good.key), 0),
        (owner, EpochOffer(1, good.key), 1),
        (owner, good, 1),
        (owner, EpochOffer(0, b"\xff" * 1_184), 0),  # no ML-KEM key: its numbers are too large
    ):
        session = side.session
        before = session.serialize()
        with pytest.raises(UselessNegotiation):
            take_offer(session, offer, _opened(offer, under), random=side.random, now=NOW)
        assert session.serialize() == before
    session = owner.session
    take_offer(session, good, _opened(good), random=owner.random, now=NOW)
    with pytest.raises(UselessNegotiation):  # one at a time
        take_offer(session, good, _opened(good), random=owner.random, now=NOW)


def test_an_accept_of_what_was_not_offered_is_dropped(both: dict[SessionRole, Side]) -> None:
    knocker, owner, offer = _offering(both)
    for side, accept, under in (
        (owner, EpochAccept(0, bytes(1_088)), 0),
        (knocker, EpochAccept(1, bytes(1_088)), 0),
        (knocker, EpochAccept(0, bytes(1_088)), 1),
    ):
        session = side.session
        before = session.serialize()
        with pytest.raises(UselessNegotiation):
            take_accept(session, accept, _opened(accept, under), now=NOW)
        assert session.serialize() == before
    owner.take(offer)
    with pytest.raises(UselessNegotiation):  # it has accepted one itself
        take_accept(owner.session, EpochAccept(0, bytes(1_088)), _opened(EpochAccept(0, bytes(1_088))), now=NOW)


def test_whoever_changes_offer_or_accept_shares_no_epoch(both: dict[SessionRole, Side]) -> None:
    _, owner, offer = _offering(both)
    session = owner.session
    opened = session.open(offer, random=owner.random, now=NOW)
    assert opened.inner is not None
    body = decode_event(opened.inner).body
    assert isinstance(body, EpochOffer)
    said = take_offer(session, body, opened, random=owner.random, now=NOW)
    other = dataclasses.replace(opened, inner=opened.inner[:-1] + bytes([opened.inner[-1] ^ 1]))
    again = owner.session
    again.open(offer, random=owner.random, now=NOW)
    take_offer(again, body, other, random=owner.random, now=NOW)
    assert again.epochs.keys[1].receiving != session.epochs.keys[1].receiving
    assert said.sealed.seq == session.sent.highest


@pytest.mark.parametrize(
    "change",
    [
        {"keys": {}},
        {"keys": []},
        {"keys": {0: [bytes(32), bytes(32), bytes(31), 0, 0, 0]}},
        {"keys": {0: [bytes(32), None, bytes(32), 0, 0, 0]}},
        {"keys": {0: [None, bytes(32), bytes(32), 0, 0, 0]}},
        {"keys": {0: [bytes(32), bytes(32), 0]}},
        {"sending": 1},
        {"counted": -1},
        {"negotiation": [bytes(63), b"offer"]},
        {"negotiation": [bytes(64), bytes(2_049)]},
        {"negotiation": []},
        {"negotiation": 1},
    ],
)
def test_every_stored_field_is_checked(change: dict[str, object]) -> None:
    fields = Epochs.begin(bytes(32), "owner", NOW).to_fields()
    with pytest.raises(MalformedData):
        Epochs.from_fields("owner", cbor.Fields(fields | change, "epochs"))


def test_a_negotiation_survives_storage() -> None:
    epochs = Epochs("knocker", {3: EpochKeys.derive(bytes(32), "knocker", NOW)}, 3, 7, Accepted(12))
    assert Epochs.from_fields("knocker", cbor.Fields(epochs.to_fields(), "epochs")) == epochs
    epochs.negotiation = Offered(bytes(64), b"offer")
    assert Epochs.from_fields("knocker", cbor.Fields(epochs.to_fields(), "epochs")) == epochs


class Storm(RuleBasedStateMachine):
    """Two sides and a road that loses, repeats and reorders; both die at any moment, before or after a commit. An
    epoch lasts three events here, so that there are many."""

    sides_ = st.sampled_from(["knocker", "owner"])

    def __init__(self) -> None:
        super().__init__()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(epoch, "EPOCH_MESSAGES", 3)
        self.sides = sides("storm")
        self.road: dict[SessionRole, list[bytes]] = {"knocker": [], "owner": []}  # towards that side
        self.said: dict[SessionRole, list[str]] = {"knocker": [], "owner": []}
        self.days = 0

    @rule(role=sides_, fate=st.sampled_from(["sent", "sent", "sent", "crash", "stored"]))
    def say(self, role: SessionRole, fate: str) -> None:
        text = f"{role} {len(self.said[role])}"
        envelopes = self.sides[role].say(text, crash=fate == "crash")
        if fate != "crash":
            self.said[role].append(text)
        if fate == "sent":
            self.road[epoch.other(role)] += envelopes

    @precondition(lambda self: any(self.road.values()))
    @rule(role=sides_, pick=st.integers(0, 999), fate=st.sampled_from(["sent", "sent", "crash", "stored", "again"]))
    def deliver(self, role: SessionRole, pick: int, fate: str) -> None:
        if self.road[role]:
            at = pick % len(self.road[role])
            envelope = self.road[role][at] if fate == "again" else self.road[role].pop(at)
            answers = self.sides[role].take(envelope, crash=fate == "crash")
            if fate != "stored":
                self.road[epoch.other(role)] += answers

    @rule(role=sides_)
    def in_order(self, role: SessionRole) -> None:
        """Everything that is under way arrives."""
        waiting, self.road[role] = self.road[role], []
        for envelope in waiting:
            self.road[epoch.other(role)] += self.sides[role].take(envelope)

    @rule(role=sides_, pick=st.integers(0, 999))
    def lose(self, role: SessionRole, pick: int) -> None:
        if self.road[role]:
            del self.road[role][pick % len(self.road[role])]

    @rule(role=sides_)
    def new_link(self, role: SessionRole) -> None:
        """What was on the road is gone; the other side says what it has and this one sends the rest again."""
        peer = epoch.other(role)
        self.road[peer] = []
        self.sides[role].take_ack(self.sides[peer].session.received.ack())
        self.road[peer] += self.sides[role].outbox()

    @rule(role=sides_)
    def acknowledge(self, role: SessionRole) -> None:
        self.road[epoch.other(role)].append(self.sides[role].ack())

    @precondition(lambda self: self.days < 30)
    @rule(days=st.integers(1, 4))
    def wait(self, days: int) -> None:
        self.days += days
        for side in self.sides.values():
            side.now += days * DAY

    @invariant()
    def epochs_are_never_apart(self) -> None:
        knocker, owner = (_epochs(side) for side in self.sides.values())
        assert abs(knocker.newest - owner.newest) <= 1
        assert abs(knocker.sending - owner.sending) <= 1
        for ours, theirs in ((knocker, owner), (owner, knocker)):
            assert ours.sending in theirs.keys
            assert ours.keys[ours.sending].sending == theirs.keys[ours.sending].receiving
            assert not (ours.negotiation and isinstance(ours.negotiation, Offered) and ours.newest > ours.sending)

    def teardown(self) -> None:
        """The road is good at last: everything arrives once, both agree, and old keys are gone."""
        try:
            for _ in range(4):
                for role in self.sides:
                    self.new_link(role)
                while any(self.road.values()):
                    for role in self.sides:
                        self.in_order(role)
            for role, side in self.sides.items():
                peer = self.sides[epoch.other(role)]
                assert sorted(side.disk.texts) == sorted(self.said[epoch.other(role)])
                assert not peer.disk.outbox
                assert _epochs(side).sending == _epochs(peer).sending
                assert len(_epochs(side).keys) <= 2
        finally:
            self.patch.undo()


TestStorm = Storm.TestCase
TestStorm.settings = settings(max_examples=40, stateful_step_count=60, deadline=None)
