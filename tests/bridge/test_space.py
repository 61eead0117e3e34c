"""The space that groups an owner's conversations follows them, and is made once."""

from __future__ import annotations

import asyncio

from chattor_bridge.bridge.actions import TendSpace, to_json
from chattor_bridge.bridge.lane_names import space_lane
from chattor_bridge.bridge.space import SPACE_STATE
from chattor_bridge.ids import MatrixUserId
from tests.bot.test_merging import second_portal
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, Town, chattor_friend
from tests.peer import Peer

CAROL = f"@carol:{ALICE.partition(':')[2]}"


def spaces(town: Town) -> list[Room]:
    return [room for room in town.homeserver.rooms.values() if room.is_space and room.membership(BOT) == "join"]


def children(space: Room) -> set[str]:
    return {key for (kind, key), content in space.state.items() if kind == "m.space.child" and content.get("via")}


async def space_of(town: Town) -> Room:
    await town.homeserver.until(lambda: any(room.membership(ALICE) == "invite" for room in spaces(town)))
    await town.idle()
    (space,) = spaces(town)
    return space


async def test_the_first_conversation_brings_a_space_with_it_and_the_room_with_the_bot(
    town: Town, friend: Peer
) -> None:
    room = await town.befriend(friend)
    space = await space_of(town)
    management = next(iter(town.homeserver.rooms.values()))
    assert children(space) == {room.room_id, management.room_id}
    assert room.state["m.space.parent", space.room_id] == {"via": [town.homeserver.domain], "canonical": True}
    levels = space.state["m.room.power_levels", ""]
    assert set(levels["users"]) == {BOT}
    assert {levels[what] for what in ("events_default", "state_default", "invite")} == {100}
    assert space.state["m.room.history_visibility", ""] == {"history_visibility": "invited"}
    assert space.state["m.room.guest_access", ""] == {"guest_access": "forbidden"}


async def test_every_owner_has_a_space_and_every_conversation_of_theirs_is_in_it(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    async with chattor_friend(town.directory, town.network, "Second") as second:
        other = await town.befriend(second)
        carols = await town.befriend(friend, CAROL)
        await town.homeserver.until(lambda: len(spaces(town)) == 2)
        await town.idle()
        mine, hers = spaces(town)
        assert {room.room_id, other.room_id} < children(mine)
        assert carols.room_id in children(hers)
        assert carols.room_id not in children(mine)
        assert mine.membership(CAROL) is hers.membership(ALICE) is None


async def test_a_conversation_that_was_left_is_taken_out_and_comes_back(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    space = await space_of(town)
    town.homeserver.person_sets_membership(ALICE, room.room_id, "leave")
    await town.deliver()
    await town.homeserver.until(lambda: room.room_id not in children(space))
    await friend.send(await friend.friend(WAIT), "come back")
    await town.homeserver.until(lambda: room.room_id in children(space))


async def test_of_two_conversations_that_became_one_the_other_is_taken_out(town: Town, friend: Peer) -> None:
    first = await town.befriend(friend)
    _, second = await second_portal(town, friend)
    space = await space_of(town)
    assert {first.room_id, second.room_id} < children(space)
    peers = [(await town.portal(room)).peer_id for room in (first, second)]
    theirs = [contact.peer_id for contact in await friend.node.contacts()]
    async with friend.store.transaction() as tx:
        await friend.node.merge(tx, *theirs)
    node = town.bridge.host.nodes()[0]
    async with town.store.transaction() as tx:
        await node.merge(tx, *peers)
    await town.homeserver.until(lambda: len({first.room_id, second.room_id} & children(space)) == 1)


async def test_who_leaves_the_space_has_none_until_they_ask_for_it(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    space = await space_of(town)
    management = next(iter(town.homeserver.rooms.values()))
    town.homeserver.person_sets_membership(ALICE, space.room_id, "leave")
    await town.deliver()
    await town.homeserver.until(lambda: space.membership(BOT) == "leave")
    async with chattor_friend(town.directory, town.network, "Second") as second:
        await town.befriend(second)
        await town.idle()
        assert spaces(town) == []
        assert "invite you" in await town.ask(management, "space")
        another = await space_of(town)
        assert another is not space
        assert len(children(another)) == 3
    assert "no space" in await town.ask(management, "space off")
    await town.homeserver.until(lambda: another.membership(BOT) == "leave")
    assert another.membership(ALICE) == "leave"


async def test_a_crash_while_a_space_is_made_leaves_one(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await space_of(town)
    async with town.store.transaction() as tx:
        await town.store.spaces.remove(tx, ALICE)
    made = spaces(town)
    # Somebody marks a room of theirs as if it were that space.
    forged = town.homeserver.rooms[town.homeserver.person_creates_room(CAROL, BOT)]
    await town.deliver()
    await town.homeserver.until(lambda: forged.membership(BOT) == "join")
    town.homeserver.person_sends_state(CAROL, forged.room_id, SPACE_STATE, {"owner": ALICE})
    forged.timeline.insert(0, {**forged.timeline[0], "type": "m.room.create", "state_key": "", "sender": CAROL})
    town.homeserver.rooms = {forged.room_id: forged, **town.homeserver.rooms}
    await _begin_to_tend(town)
    async with town.store.transaction() as tx:
        found = await town.store.spaces.of_owner(tx, ALICE)
    assert [found.room_id] == [space.room_id for space in made]
    assert room.room_id in children(made[0])
    assert spaces(town) == made


async def _begin_to_tend(town: Town) -> None:
    """Tend Alice's space, the second try being the one that succeeds."""
    town.homeserver.down = True
    async with town.store.transaction() as tx:
        await town.store.actions.add(tx, space_lane(ALICE), to_json(TendSpace(ALICE)), town.clock.now())
    await town.restart()
    async with asyncio.timeout(WAIT):
        while not await _begun(town):  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    town.homeserver.down = False
    town.bridge.hurry()
    await town.idle()


async def _begun(town: Town) -> bool:
    async with town.store.transaction() as tx:
        pending = await town.store.actions.next(tx, space_lane(ALICE))
    return pending is not None and pending.attempts > 0


async def test_an_answer_that_is_lost_makes_no_second_space(town: Town, friend: Peer) -> None:
    lost: list[MatrixUserId] = []

    def lose_the_first_space(method: str, user: MatrixUserId, room_id: str) -> None:
        if method == "create_room" and user == BOT and not lost:
            lost.append(user)
            town.homeserver.lose_answers = 1

    management = await town.open_management()
    await town.ask(management, "start Alice")
    town.homeserver.refusals.append(lose_the_first_space)
    await town.ask(management, f"add {await friend.new_code()}")
    await friend.accept_next(WAIT)
    await town.joined_portal()
    await space_of(town)
    assert lost == [BOT]


async def test_a_space_that_was_purged_is_replaced(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    space = await space_of(town)
    town.homeserver.homeserver_loses_room(space.room_id)
    async with chattor_friend(town.directory, town.network, "Second") as second:
        await town.befriend(second)
        another = await space_of(town)
        assert len(children(another)) == 3


async def test_a_homeserver_that_refuses_spaces_keeps_nobody_from_talking(town: Town, friend: Peer) -> None:
    town.homeserver.refusals.append(
        lambda method, user, _room: "M_FORBIDDEN" if method == "create_room" and user == BOT else None
    )
    room = await town.befriend(friend)
    await town.say(room, "hello")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["hello"], WAIT)
    await town.idle()
    assert spaces(town) == []
    assert (await town.bridge.status()).parked == 0
