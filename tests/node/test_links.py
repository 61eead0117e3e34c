"""What a link does with what a friend says on it, well-behaved or not."""

from __future__ import annotations

import secrets

import pytest

from chattor_bridge.errors import LimitReached, NotFound
from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.happenings import MISSING, UNREADABLE, ContactAdded, EventArrived, KnockReceived
from chattor_bridge.protocol.events import Text, Unknown
from chattor_bridge.protocol.frames import AckFrame, Bye, EnvelopeFrame, Hello, SignalFrame
from chattor_bridge.protocol.limits import ENVELOPE_SIZES, MAX_IN_FLIGHT
from chattor_bridge.protocol.link import Pattern
from tests.node.puppet import Puppet
from tests.node.world import Person, World


async def _greeted(anna: Person, puppet: Puppet) -> None:
    await puppet.greet(anna, AckFrame(puppet.session.received.ack()))


async def test_the_same_envelope_again_is_acknowledged_and_not_shown(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    envelope = puppet.seal(Text("once"))
    await puppet.say(*[EnvelopeFrame(envelope)] * 3)
    await puppet.hear_ack_of(puppet.session.sent.highest)
    await puppet.close()
    await _greeted(anna, puppet)
    await puppet.hear_ack_of(puppet.session.sent.highest)  # follows every hello
    await puppet.say(EnvelopeFrame(envelope))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert anna.texts() == ["once"]
    assert (await anna.node.status()).counters.duplicates == 3


async def test_the_same_event_under_a_new_seal_is_not_shown_again(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    event_id = EventId(secrets.token_bytes(16))
    await puppet.say(
        EnvelopeFrame(puppet.seal(Text("once"), event_id)), EnvelopeFrame(puppet.seal(Text("once"), event_id))
    )
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert anna.texts() == ["once"]


async def test_what_comes_out_of_order_is_shown_in_order(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    envelopes = [puppet.seal(Text(f"{number}")) for number in range(6)]
    await puppet.say(*[EnvelopeFrame(envelopes[at]) for at in (5, 3, 4, 1)])
    await puppet.hear_ack_of(puppet.session.sent.highest - 4)
    assert anna.texts() == []
    await puppet.say(EnvelopeFrame(envelopes[0]))
    await puppet.hear_ack_of(puppet.session.sent.highest - 5)
    assert anna.texts() == ["0", "1"]
    await puppet.say(EnvelopeFrame(envelopes[2]))
    await puppet.hear_ack_of(puppet.session.sent.highest - 3)
    assert anna.texts() == ["0", "1", "2", "3", "4", "5"]


async def test_what_stays_missing_is_marked_after_a_while_and_blocks_nobody(
    world: World, anna: Person, puppet: Puppet
) -> None:
    await _greeted(anna, puppet)
    lost = puppet.seal(Text("lost"))
    await puppet.say(EnvelopeFrame(puppet.seal(Text("after it"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert anna.texts() == []
    await anna.until(lambda: bool(anna.texts()), time_passes=True)
    bodies = [arrived.event.body for arrived in anna.of(EventArrived)]
    assert bodies == [Unknown(MISSING, {"count": 1}), Text("after it")]
    await puppet.say(EnvelopeFrame(lost))
    await anna.until(lambda: anna.texts() == ["after it", "lost"])


async def test_each_gap_has_its_marker(world: World, anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    envelopes = [puppet.seal(Text(f"{number}")) for number in range(6)]
    await puppet.say(*[EnvelopeFrame(envelopes[at]) for at in (1, 4, 5)])
    await puppet.hear_ack_of(puppet.session.sent.highest)
    await anna.until(lambda: "5" in anna.texts(), time_passes=True)
    bodies = [arrived.event.body for arrived in anna.of(EventArrived)]
    one, two = Unknown(MISSING, {"count": 1}), Unknown(MISSING, {"count": 2})
    assert bodies == [one, Text("1"), two, Text("4"), Text("5")]


async def test_a_gap_is_waited_for_and_marked_once(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    envelopes = [puppet.seal(Text(f"{number}")) for number in range(7)]
    await puppet.say(EnvelopeFrame(envelopes[2]))
    await anna.until(lambda: bool(anna.texts()), time_passes=True)
    await puppet.say(*[EnvelopeFrame(envelopes[at]) for at in (3, 1, 6)])
    await anna.until(lambda: anna.texts() == ["2", "3", "1"])
    await puppet.say(*[EnvelopeFrame(envelopes[at]) for at in (5, 4, 0)])
    await anna.until(lambda: anna.texts() == ["2", "3", "1", "4", "5", "6", "0"])
    markers = [one.event.body for one in anna.of(EventArrived) if isinstance(one.event.body, Unknown)]
    assert markers == [Unknown(MISSING, {"count": 2})]


async def test_what_opens_under_no_key_is_dropped_counted_and_not_acknowledged(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    good = puppet.seal(Text("good"))
    bad = bytes([good[0] ^ 1]) + good[1:]
    await puppet.say(*[EnvelopeFrame(secrets.token_bytes(size)) for size in ENVELOPE_SIZES], EnvelopeFrame(bad))
    await puppet.say(EnvelopeFrame(good))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert anna.texts() == ["good"]
    assert (await anna.node.status()).counters.undecryptable == 4


async def test_an_event_nobody_can_read_is_shown_as_just_that(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    await puppet.say(
        EnvelopeFrame(puppet.seal_bytes(b"\xff not an event")),
        EnvelopeFrame(puppet.seal(Unknown("from.the.future", {"what": "?"}))),
        EnvelopeFrame(puppet.seal(Text("readable"))),
    )
    await puppet.hear_ack_of(puppet.session.sent.highest)
    bodies = [arrived.event.body for arrived in anna.of(EventArrived)]
    assert bodies == [Unknown(UNREADABLE, {}), Unknown("from.the.future", {"what": "?"}), Text("readable")]
    assert (await anna.node.status()).counters.unreadable == 1


async def test_the_newest_link_takes_the_place_of_the_one_before(anna: Person, puppet: Puppet) -> None:
    peer_id = puppet.session.peer_id
    await _greeted(anna, puppet)
    await anna.until(lambda: anna.online(peer_id))
    older, older_stream = puppet._link, puppet._stream
    (said,) = await anna.say(peer_id, "unacknowledged on the old link")
    first = await puppet.hear(EnvelopeFrame)
    await puppet.dial(anna)
    await puppet.say(puppet.hello())
    again = await puppet.hear(EnvelopeFrame)
    assert again.envelope == first.envelope  # the stored one, not sealed anew
    await puppet.say(AckFrame(puppet.take(again)))
    await anna.until(lambda: said in anna.delivered())
    assert anna.online(peer_id)
    puppet._link, puppet._stream = older, older_stream
    assert (await puppet.hear(Bye)).reason == "replaced"


async def test_no_more_than_the_window_is_sent_before_an_acknowledgement(anna: Person, puppet: Puppet) -> None:
    peer_id = puppet.session.peer_id
    said = await anna.say(peer_id, *[f"{number}" for number in range(MAX_IN_FLIGHT + 10)])
    await puppet.dial(anna)
    await puppet.say(puppet.hello())
    heard = [await puppet.hear(EnvelopeFrame) for _ in range(MAX_IN_FLIGHT)]
    await puppet.say(EnvelopeFrame(puppet.seal(Text("ping"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert not any(isinstance(frame, EnvelopeFrame) for frame in puppet._frames)
    for frame in heard[:10]:
        ack = puppet.take(frame)
    await puppet.say(AckFrame(ack))
    heard += [await puppet.hear(EnvelopeFrame) for _ in range(10)]
    for frame in heard[10:]:
        ack = puppet.take(frame)
    await puppet.say(AckFrame(ack))
    await puppet.say(AckFrame(puppet.take(await puppet.hear(EnvelopeFrame))))  # the offer of an epoch moved all by one
    await anna.until(lambda: set(said) <= set(anna.delivered()))


async def test_a_selective_acknowledgement_keeps_what_it_does_not_name(anna: Person, puppet: Puppet) -> None:
    peer_id = puppet.session.peer_id
    said = await anna.say(peer_id, "1", "2", "3")
    await puppet.dial(anna)
    await puppet.say(puppet.hello())
    _, second, _ = [await puppet.hear(EnvelopeFrame) for _ in said]
    await puppet.say(AckFrame(puppet.take(second)))
    await anna.until(lambda: said[1] in anna.delivered())
    assert (await anna.node.contacts())[0].queued == 2


async def test_a_friend_that_breaks_the_rules_is_hung_up_on(anna: Person, puppet: Puppet) -> None:
    await puppet.dial(anna)
    stream = puppet._stream
    await puppet.say(puppet.hello())
    await puppet.hear(Hello)
    await stream.write(b"\x00\x05hello")
    with pytest.raises(EOFError):
        await puppet.hear(Bye)
    await _greeted(anna, puppet)
    await puppet.say(EnvelopeFrame(puppet.seal(Text("I shall behave"))))
    await anna.until(lambda: anna.texts() == ["I shall behave"])


async def test_a_signal_of_a_later_version_is_passed_over(anna: Person, puppet: Puppet) -> None:
    await _greeted(anna, puppet)
    await puppet.say(SignalFrame(b"typing"), EnvelopeFrame(puppet.seal(Text("done typing"))))
    await anna.until(lambda: anna.texts() == ["done typing"])


async def test_an_owner_who_never_got_the_answer_accepts_again(world: World) -> None:
    """Message 2 of the accepting handshake is lost: the knocker has the contact, the owner does not know."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.add(await ben.code())
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    await ben.house.host.stop()  # accepting is on disk, dialling is what the puppet does
    await ben.accept()
    owner = await Puppet.of(ben)
    await owner.dial(anna, Pattern.IK)
    await anna.until(lambda: bool(anna.of(ContactAdded)))
    await owner.close()

    await ben.house.start()
    peer_id = owner.session.peer_id
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    await ben.say(peer_id, "there you are")
    await anna.until(lambda: anna.texts() == ["there you are"])
    assert len(anna.of(ContactAdded)) == 1


async def test_events_past_a_gap_are_bounded_and_what_does_not_fit_comes_again(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.node.mailbox.MAX_HELD", 3)
    await _greeted(anna, puppet)
    envelopes = [puppet.seal(Text(f"{number}")) for number in range(6)]
    last = puppet.session.sent.highest
    await puppet.say(*[EnvelopeFrame(one) for one in envelopes[1:]])
    ack = (await puppet.hear_ack_of(last - 2)).ack
    assert not ack.covers(last - 1)
    assert not ack.covers(last)
    await puppet.say(EnvelopeFrame(envelopes[0]), *[EnvelopeFrame(one) for one in envelopes[4:]])
    await puppet.hear_ack_of(last)
    assert anna.texts() == ["0", "1", "2", "3", "4", "5"]


async def test_what_waits_for_one_friend_is_bounded(
    anna: Person, puppet: Puppet, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.node.sending.MAX_QUEUED", 2)
    peer_id = puppet.session.peer_id
    await anna.say(peer_id, "1", "2")
    with pytest.raises(LimitReached):
        await anna.say(peer_id, "3")
    async with anna.house.store.transaction() as tx:
        await anna.node.set_profile_name(tx, "Anna, still")  # said when there is room
    assert (await anna.node.contacts())[0].queued == 2
    with pytest.raises(LimitReached):
        await anna.say(peer_id, "x" * 20_000)
    with pytest.raises(NotFound):
        await anna.say(PeerId(bytes(16)), "nobody")
