"""Stopping one's node and bringing it back; removing everything, one's own or as an administrator."""

from __future__ import annotations

import asyncio
import re

import pytest

from chattor_bridge.bridge.permissions import Level
from chattor_bridge.errors import OnionUnreachable
from chattor_bridge.ids import MatrixUserId, OnionKey
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.storage.transaction import sql
from tests.bridge.fake_homeserver import BOT, DOMAIN, WAIT, Room
from tests.bridge.town import ALICE, FRIEND_NAME, Town, code_in
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")

OPERATOR = MatrixUserId(f"@operator:{DOMAIN}")

KEPT = {"migrations", "ownership", "store", "secrets", "known_matrix_events", "management_rooms"}
"""Tables in which something may be left of somebody who is gone: ids of events and one room, nothing that was said."""


def _management(town: Town, portal: Room) -> Room:
    return next(room for room in town.homeserver.rooms.values() if room is not portal)


async def _online(friend: Peer, *, up: bool) -> None:
    """Wait until the friend sees us online or offline."""
    async with asyncio.timeout(WAIT):
        while [contact.online for contact in await friend.node.contacts()] != [up]:  # noqa: ASYNC110 - polled, no event
            await asyncio.sleep(0.02)


async def _confirm(town: Town, room: Room, command: str, person: str = ALICE) -> str:
    """Ask for it, and write what the bot says to write."""
    question = await town.ask(room, command, person)
    found = re.search(rf"`?({re.escape(command)} \d{{4}})`?", question)
    assert found is not None
    return await town.ask(room, found[1], person)


async def _door(town: Town, room: Room) -> OnionKey:
    """The onion behind a new friend code, once it is there."""
    code = code_in(await town.ask(room, "code new door"))
    node = town.bridge.host.nodes()[0]
    for info in await node.codes():
        await asyncio.wait_for(node.code_published(info.door_id), WAIT)
    return FriendCode.parse(code).door


async def _is_there(town: Town, onion: OnionKey) -> bool:
    transport = town.network.transport()
    try:
        await (await transport.dial(onion, client_key=None, isolation="test", timeout=WAIT)).close()
    except OnionUnreachable:
        return False
    finally:
        await transport.stop()
    return True


async def _until_withdrawn(town: Town) -> None:
    """Wait until no friend code is open: onions go after the links."""
    (node,) = town.bridge.host.nodes()
    async with asyncio.timeout(WAIT):
        while any(code.published for code in await node.codes()):  # noqa: ASYNC110 - polled, no event
            await asyncio.sleep(0.02)


async def _rows(town: Town) -> dict[str, int]:
    """How many rows each table has that has any."""
    async with town.store.transaction() as tx:
        tables = await sql(tx).tables()
        counts = {name: await sql(tx).fetch_value(f"SELECT COUNT(*) AS value FROM {name}") for name in sorted(tables)}
    return {name: count for name, count in counts.items() if count}


async def test_logout_takes_the_node_down_and_start_brings_it_back(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    ghost = (await town.portal(portal)).ghost
    peer_id = await friend.friend(WAIT)
    door = await _door(town, room)
    await _online(friend, up=True)

    assert "stopped" in await town.ask(room, "logout")
    await _online(friend, up=False)
    await _until_withdrawn(town)
    assert not await _is_there(town, door)
    await friend.send(peer_id, "are you there?")
    assert "start" in await town.ask(room, "contacts")
    assert "stopped" in await town.ask(room, "status")
    before = len(portal.bodies(BOT))
    await town.say(portal, "into the void")
    await town.homeserver.until(lambda: len(portal.bodies(BOT)) > before)
    assert "not sent" in portal.bodies(BOT)[-1]

    await town.restart()
    assert "start" in await town.ask(room, "code")
    assert not await _is_there(town, door)

    assert "running again" in await town.ask(room, "start")
    await town.homeserver.until(lambda: portal.bodies(ghost) == ["are you there?"])
    await town.say(portal, "back again")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["back again"], WAIT)
    assert "running" in await town.ask(room, "status")


async def test_logging_out_and_in_again_at_once_leaves_a_node_that_works(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    await town.idle()
    for command in ("logout", "start", "logout", "start"):
        town.homeserver.person_says(ALICE, room.room_id, command)
    await town.deliver()
    await town.idle()
    await town.say(portal, "still there")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["still there"], WAIT)


async def test_delete_everything_asks_back_and_a_wrong_number_deletes_nothing(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    question = await town.ask(room, "delete-everything")
    assert "1 contact," in question
    assert "ten minutes" in question
    for wrong in ("delete-everything yes", "delete-everything 0"):
        assert "ten minutes" in await town.ask(room, wrong)
    assert "running" in await town.ask(room, "status")
    right = re.search(r"delete-everything \d{4}", question)
    assert right is not None
    assert "ten minutes" in await town.ask(room, right[0])  # it was asked anew since


async def test_delete_everything_leaves_nothing_and_friends_see_it_offline(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    ghost = (await town.portal(portal)).ghost
    door = await _door(town, room)
    await friend.send(await friend.friend(WAIT), "hello")
    await town.homeserver.until(lambda: portal.bodies(ghost) == ["hello"])
    await town.say(portal, "hello yourself")
    await town.send(portal, {"m.relates_to": {"rel_type": "m.annotation"}}, "m.reaction")
    await town.idle()
    await _online(friend, up=True)

    assert "removed" in await _confirm(town, room, "delete-everything")
    await _online(friend, up=False)
    await town.homeserver.until(lambda: portal.membership(BOT) == "leave")
    await town.idle()
    assert portal.membership(ghost) == "leave"
    assert "over" in portal.bodies(BOT)[-1]
    assert portal.state["m.bridge", f"chattor_bridge:{ghost}"] == {}
    assert FRIEND_NAME not in town.homeserver.names[ghost]
    assert not await _is_there(town, door)
    rows = await _rows(town)
    assert set(rows) <= KEPT | {"settings"}
    assert rows["management_rooms"] == 1
    async with town.store.transaction() as tx:
        settings = {row["name"] for row in await sql(tx).fetch("SELECT name FROM settings")}
    assert settings <= {"receipts:since", "features", "clock"}  # of the program, not of anybody

    await town.restart()
    assert "Write start" in await town.ask(room, "status")
    await town.ask(room, "start Alice anew")
    assert "no contacts" in await town.ask(room, "contacts")


async def test_a_room_that_is_just_being_opened_is_left_too(town: Town, friend: Peer) -> None:
    management = await town.open_management()
    await town.ask(management, "start Alice")
    code = code_in(await town.ask(management, "code new"))
    await town.idle()
    found = re.search(r"delete-everything \d{4}", await town.ask(management, "delete-everything"))
    assert found is not None
    await friend.add(code)
    await town.homeserver.until(lambda: any("asks to be your contact" in body for body in management.bodies(BOT)))
    await town.idle()
    # the room is made, and the answer is lost; nothing else that is sent is to lose it instead
    town.homeserver.refusals.append(lambda method, _user, _room: "M_TOO_LARGE" if method == "send" else None)
    town.homeserver.lose_answers = 1
    town.homeserver.person_says(ALICE, management.room_id, "accept")
    await town.deliver()
    await town.homeserver.until(lambda: len(town.homeserver.rooms) == 2)
    portal = next(room for room in town.homeserver.rooms.values() if room is not management)
    ghost = next(user for user in town.homeserver.names if user.startswith("@chattor_"))
    town.homeserver.refusals.clear()
    town.homeserver.person_says(ALICE, management.room_id, found[0])
    await town.deliver()
    await town.homeserver.until(lambda: portal.membership(ghost) == "leave")
    await town.homeserver.until(lambda: "removed" in management.bodies(BOT)[-1])
    await town.idle()
    assert set(await _rows(town)) <= KEPT | {"settings"}


async def test_somebody_without_permission_can_still_have_everything_removed(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    await _online(friend, up=True)
    town.levels[ALICE] = Level.NONE
    await town.restart()
    await _online(friend, up=False)
    assert "not use this bridge any more" in await town.ask(room, "status")
    before = len(portal.bodies(BOT))
    await town.say(portal, "hello?")
    await town.homeserver.until(lambda: len(portal.bodies(BOT)) > before)
    assert "may not use" in portal.bodies(BOT)[-1]
    del town.levels[ALICE]
    await town.restart()
    await _online(friend, up=True)
    town.levels[ALICE] = Level.NONE
    assert "removed" in await _confirm(town, room, "delete-everything")
    assert town.bridge.host.nodes() == []


@pytest.mark.parametrize("command", ["nodes", f"remove {ALICE}", "help nodes"])
async def test_what_is_for_administrators_is_for_them_alone(town: Town, command: str) -> None:
    room = await town.open_management()
    assert "nodes" not in await town.ask(room, "help")
    assert "Only who runs this bridge" in await town.ask(room, command)


async def test_an_administrator_sees_every_node_and_nothing_of_what_is_said(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    await town.idle()
    await town.ask(_management(town, portal), "code new secret label")
    await town.ask(_management(town, portal), f"rename {friend.node.profile_name} Bobby")
    town.levels[OPERATOR] = Level.ADMIN
    room = await town.open_management(OPERATOR)
    assert "nodes" in await town.ask(room, "help", OPERATOR)
    text = await town.ask(room, "nodes", OPERATOR)
    assert "Nodes: 1, of them 1 running" in text
    assert f"{ALICE}**: running, 1 contact " in text
    assert "1 code " in text
    for secret in ("Bob", "secret label", "chattor:"):
        assert secret not in text


async def test_an_administrator_removes_somebody_who_is_told(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    alices = _management(town, portal)
    town.levels[OPERATOR] = Level.ADMIN
    room = await town.open_management(OPERATOR)
    assert "Nobody of that id" in await town.ask(room, "remove @nobody:example.test", OPERATOR)
    assert "by the full Matrix id" in await town.ask(room, "remove", OPERATOR)
    assert "is removed" in await _confirm(town, room, f"remove {ALICE}", OPERATOR)
    await town.homeserver.until(lambda: "runs this bridge has removed" in alices.bodies(BOT)[-1])
    await _online(friend, up=False)
    assert town.bridge.host.nodes() == []
