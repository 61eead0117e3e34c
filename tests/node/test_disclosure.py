"""What friends see of a person: docs/protocol/link.md, "Signals", and receipts as the person wants them."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import LimitReached, NotFound
from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.happenings import EventArrived
from chattor_bridge.node.preferences import MAX_CONTACT_NOTE, Preferences, Shared
from chattor_bridge.protocol.events import Receipt, Text
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame, SignalFrame
from chattor_bridge.protocol.limits import SIGNAL_BURST, SIGNAL_PAUSE, TYPING_LIFETIME, TYPING_REPEAT
from chattor_bridge.protocol.signals import Here, Presence, Typing, encode_signal
from tests.node.puppet import Puppet
from tests.node.world import Person, World


@pytest.fixture
async def puppet(puppet: Puppet, anna: Person, peer: PeerId) -> Puppet:
    """Ben, moved by hand, on a link that is up."""
    await puppet.greet(anna, AckFrame(puppet.session.received.ack()))
    await anna.until(lambda: anna.online(peer))
    return puppet


async def share(person: Person, peer: PeerId | None, shared: Shared, *, on: bool = True) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.share(tx, peer, shared, on=on)


async def contact_of(person: Person) -> tuple[bool, Here]:
    (contact, *_) = await person.node.contacts()
    return contact.typing, contact.here


async def test_typing_is_shown_while_it_lasts_and_when_it_ends(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await share(anna, peer, Shared.TYPING)
    await anna.node.type(peer, on=True)
    await ben.until(lambda: ben.signals() == [Typing(on=True)])
    assert (await contact_of(ben))[0]
    await anna.node.type(peer, on=True)  # too soon to say it again
    await world.clock.advance(TYPING_REPEAT)
    await anna.node.type(peer, on=True)
    await ben.until(lambda: ben.signals() == [Typing(on=True)] * 2)
    await world.clock.advance(SIGNAL_PAUSE)
    await anna.node.type(peer, on=False)
    await ben.until(lambda: ben.signals() == [Typing(on=True), Typing(on=True), Typing(on=False)])
    assert not (await contact_of(ben))[0]


async def test_typing_that_nobody_ends_lapses(world: World, anna: Person, ben: Person, peer: PeerId) -> None:
    await share(anna, peer, Shared.TYPING)
    await anna.node.type(peer, on=True)
    await ben.until(lambda: ben.signals() == [Typing(on=True)])
    await world.clock.advance(TYPING_LIFETIME)
    await ben.until(lambda: ben.signals()[-1] == Typing(on=False))


async def test_presence_is_shown_when_it_changes_and_when_a_link_comes_up(
    world: World, anna: Person, ben: Person, peer: PeerId
) -> None:
    await share(anna, peer, Shared.PRESENCE)
    await anna.node.be(Here.ONLINE)
    await ben.until(lambda: ben.signals() == [Presence(Here.ONLINE)])
    await ben.house.stop()
    await anna.until(lambda: not anna.online(peer))
    await anna.node.be(Here.AWAY)
    await ben.house.start()
    await ben.until(lambda: ben.signals()[-1:] == [Presence(Here.AWAY)], time_passes=True)
    assert (await contact_of(ben))[1] is Here.AWAY
    await anna.house.stop()
    await ben.until(lambda: ben.signals()[-1:] == [Presence(Here.UNKNOWN)])
    assert (await contact_of(ben))[1] is Here.UNKNOWN
    await anna.house.start()


async def test_nothing_is_shown_to_whom_nothing_was_opened(world: World, anna: Person, ben: Person) -> None:
    peer = await anna.befriend(ben)
    carl = await world.person("Carl")
    other = await carl.befriend(anna)
    await share(anna, other, Shared.TYPING)
    await share(anna, other, Shared.PRESENCE)
    for each in (peer, other):
        await anna.node.type(each, on=True)
    await carl.until(lambda: carl.signals() == [Typing(on=True)])
    await anna.node.be(Here.ONLINE)
    await world.clock.advance(SIGNAL_PAUSE)
    await carl.until(lambda: len(carl.signals()) == 2)
    await world.clock.advance(SIGNAL_PAUSE)
    await anna.say(peer, "said after it")
    await ben.until(lambda: ben.texts() == ["said after it"])
    assert ben.signals() == []


async def test_what_is_taken_back_is_gone_at_once(world: World, anna: Person, ben: Person, peer: PeerId) -> None:
    await share(anna, peer, Shared.TYPING)
    await share(anna, peer, Shared.PRESENCE)
    await anna.node.be(Here.ONLINE)
    await anna.node.type(peer, on=True)
    await world.clock.advance(SIGNAL_PAUSE)
    await ben.until(lambda: len(ben.signals()) == 2)
    await share(anna, peer, Shared.TYPING, on=False)
    await share(anna, peer, Shared.PRESENCE, on=False)
    await world.clock.advance(SIGNAL_PAUSE)
    await ben.until(lambda: len(ben.signals()) == 4)
    assert await contact_of(ben) == (False, Here.UNKNOWN)
    await anna.node.be(Here.OFFLINE)
    await anna.node.type(peer, on=True)
    await world.clock.advance(TYPING_REPEAT)
    await anna.say(peer, "said after it")
    await ben.until(lambda: ben.texts() == ["said after it"])
    assert len(ben.signals()) == 4


async def test_a_blocked_friend_sees_nothing(world: World, anna: Person, ben: Person, peer: PeerId) -> None:
    await share(anna, None, Shared.TYPING)
    await share(anna, None, Shared.PRESENCE)
    await anna.node.be(Here.ONLINE)
    await ben.until(lambda: ben.signals() == [Presence(Here.ONLINE)])
    async with anna.house.store.transaction() as tx:
        await anna.node.block(tx, peer)
    await ben.until(lambda: not ben.online(peer))
    await anna.node.type(peer, on=True)
    await anna.node.be(Here.AWAY)
    assert ben.signals() == [Presence(Here.ONLINE), Presence(Here.UNKNOWN)]  # the second by the end of the link


async def test_what_is_chosen_for_all_holds_for_friends_to_come(anna: Person, ben: Person) -> None:
    await share(anna, None, Shared.TYPING)
    await share(anna, None, Shared.RECEIPTS, on=False)
    peer = await anna.befriend(ben)
    (contact,) = await anna.node.contacts()
    assert contact.preferences.shares == {Shared.TYPING}
    await anna.node.type(peer, on=True)
    await ben.until(lambda: ben.signals() == [Typing(on=True)])


async def test_a_receipt_is_sent_unless_our_owner_keeps_it_back(anna: Person, ben: Person, peer: PeerId) -> None:
    first, second = await ben.say(peer, "first", "second")
    await anna.until(lambda: anna.texts() == ["first", "second"])
    await share(anna, peer, Shared.RECEIPTS, on=False)
    await read(anna, peer, first)
    await share(anna, peer, Shared.RECEIPTS)
    await read(anna, peer, second)
    await ben.until(lambda: len(ben.of(EventArrived)) == 1)
    assert [one.event.body for one in ben.of(EventArrived)] == [Receipt("read", (second,))]


async def read(person: Person, peer: PeerId, event_id: EventId) -> None:
    async with person.house.store.transaction() as tx:
        await person.node.read(tx, peer, [event_id])


async def test_a_flood_of_signals_is_not_looked_at(anna: Person, puppet: Puppet) -> None:
    flip = [SignalFrame(encode_signal(Typing(on=bool(number % 2)))) for number in range(1, 5_001)]
    await puppet.say(*flip, EnvelopeFrame(puppet.seal(Text("after the flood"))))
    await puppet.hear_ack_of(puppet.session.sent.highest)
    assert anna.texts() == ["after the flood"]
    assert len(anna.signals()) == SIGNAL_BURST


async def test_what_is_unknown_is_passed_over_and_the_link_goes_on(anna: Person, puppet: Puppet) -> None:
    for signal in (b"\xff", b"typing", b"\xa1dtypegsinging", bytes(1_000)):
        await puppet.say(SignalFrame(signal))
    await puppet.say(SignalFrame(encode_signal(Typing(on=True))))
    await anna.until(lambda: anna.signals() == [Typing(on=True)])


async def test_a_note_and_silence_are_kept_and_go_with_the_friend(anna: Person, ben: Person, peer: PeerId) -> None:
    async with anna.house.store.transaction() as tx:
        await anna.node.annotate(tx, peer, "from the choir")
        await anna.node.mute(tx, peer, muted=True)
    await anna.house.stop()
    await anna.house.start()
    (contact,) = await anna.node.contacts()
    assert contact.preferences == Preferences(muted=True, note="from the choir")
    with pytest.raises(LimitReached):
        async with anna.house.store.transaction() as tx:
            await anna.node.annotate(tx, peer, "x" * (MAX_CONTACT_NOTE + 1))
    async with anna.house.store.transaction() as tx:
        await anna.node.forget(tx, peer)
    async with anna.house.store.transaction() as tx:
        assert await anna.house.store.preferences.of_node(tx, anna.node_id) == {}
    with pytest.raises(NotFound):
        await anna.node.type(peer, on=True)
