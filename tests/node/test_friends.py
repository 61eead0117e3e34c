"""Two nodes become friends and talk."""

from __future__ import annotations

import pytest

from chattor_bridge.node.happenings import (
    ContactAdded,
    ContactPictured,
    ContactRenamed,
    EventArrived,
    KnockLeft,
    KnockReceived,
)
from chattor_bridge.protocol.events import Avatar, Receipt
from tests.node.world import World


async def test_a_knock_is_left_accepted_and_becomes_a_friendship(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code("for Anna")
    await anna.add(code, "It is me, Änna\nfrom school")
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    (request,) = ben.of(KnockReceived)
    assert (request.name, request.note, request.door_label) == ("Anna", "It is me, Änna\nfrom school", "for Anna")
    await anna.until(lambda: bool(anna.of(KnockLeft)))

    peer_id = await ben.accept()
    await anna.until(lambda: bool(anna.of(ContactAdded)))
    await anna.until(lambda: bool(anna.of(ContactRenamed)))

    assert [added.peer_id for added in anna.of(ContactAdded)] == [peer_id]
    assert [(added.peer_id, added.name) for added in ben.of(ContactAdded)] == [(peer_id, "Anna")]
    assert [renamed.name for renamed in anna.of(ContactRenamed)] == ["Ben"]
    assert [contact.name for contact in await anna.node.contacts()] == ["Ben"]
    assert await ben.node.requests() == []
    assert await anna.node.outgoing() == []


async def test_friends_talk_both_ways_in_order_and_learn_of_delivery(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    from_anna = [f"anna {number} = ünïcödé 🙂" for number in range(40)]
    from_ben = [f"ben {number}" for number in range(40)]

    said = await anna.say(peer_id, *from_anna)
    answered = await ben.say(peer_id, *from_ben)
    await ben.until(lambda: len(ben.texts()) == 40)
    await anna.until(lambda: len(anna.texts()) == 40)
    name_and_offer_of_an_epoch = 2
    await anna.until(lambda: len(anna.delivered()) == len(said) + name_and_offer_of_an_epoch)
    await ben.until(lambda: set(answered) <= set(ben.delivered()))

    assert ben.texts() == from_anna
    assert anna.texts() == from_ben
    assert [event_id for event_id in anna.delivered() if event_id in said] == said
    assert [contact.queued for contact in await anna.node.contacts()] == [0]


async def test_a_read_receipt_arrives_as_an_event(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    (said,) = await anna.say(peer_id, "Read me")
    await ben.until(lambda: bool(ben.texts()))
    async with ben.house.store.transaction() as tx:
        await ben.node.send(tx, peer_id, Receipt("read", (said,)))
    await anna.until(lambda: bool(anna.of(EventArrived)))
    assert anna.of(EventArrived)[0].event.body == Receipt("read", (said,))


async def test_a_new_profile_name_reaches_friends_and_an_alias_covers_it(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    async with anna.house.store.transaction() as tx:
        await anna.node.set_profile_name(tx, "Anna the Great")
    await ben.until(lambda: bool(ben.of(ContactRenamed)))
    assert ben.of(ContactRenamed)[-1].name == "Anna the Great"
    assert anna.node.profile_name == "Anna the Great"

    async with ben.house.store.transaction() as tx:
        await ben.node.rename(tx, peer_id, "Annie")
    assert ben.of(ContactRenamed)[-1].name == "Annie"
    renamed = len(ben.of(ContactRenamed))
    async with anna.house.store.transaction() as tx:
        await anna.node.set_profile_name(tx, "Anna the Small")
    await anna.say(peer_id, "after the name")
    await ben.until(lambda: "after the name" in ben.texts())
    assert len(ben.of(ContactRenamed)) == renamed
    (contact,) = await ben.node.contacts()
    assert (contact.name, contact.alias) == ("Anna the Small", "Annie")

    async with ben.house.store.transaction() as tx:
        await ben.node.rename(tx, peer_id, "")
    assert ben.of(ContactRenamed)[-1].name == "Anna the Small"


async def test_a_profile_for_which_there_is_no_room_is_told_as_it_is_when_there_is(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chattor_bridge.node.sending.MAX_QUEUED", 2)
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    await ben.house.stop()
    await anna.say(peer_id, "1", "2")
    for number in range(3):
        async with anna.house.store.transaction() as tx:
            await anna.node.set_profile_name(tx, f"Anna {number}")
            await anna.node.set_picture(tx, b"\x89PNG\r\n\x1a\n%d" % number)
    assert (await anna.node.contacts())[0].queued == 2
    await anna.house.stop()
    await anna.house.start()
    await ben.house.start()
    await ben.until(lambda: bool(ben.of(ContactPictured)), time_passes=True)
    assert [one.name for one in ben.of(ContactRenamed)] == ["Anna 2"]
    async with ben.house.store.transaction() as tx:
        picture = await ben.house.store.pictures.of_friend(tx, ben.node_id, peer_id)
    assert picture == Avatar("image/png", b"\x89PNG\r\n\x1a\n2")


async def test_what_is_said_right_after_accepting_waits_for_the_link(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    await anna.add(await ben.code())
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    async with ben.house.store.transaction() as tx:
        peer_id = await ben.node.accept(tx, ben.of(KnockReceived)[0].knock_id)
    await ben.say(peer_id, "first words")
    await anna.until(lambda: anna.texts() == ["first words"])
