"""Two conversations with one person become one, and friendships are ended for good, by command."""

from __future__ import annotations

from functools import partial
from urllib.parse import quote

import pytest

from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.records import InboxItem
from chattor_bridge.bridge.router import Router, Situation
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, Town, code_in
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")


def _management(town: Town) -> Room:
    (room,) = [one for one in town.homeserver.rooms.values() if any("Hello!" in said for said in one.bodies(BOT))]
    return room


async def second_portal(town: Town, friend: Peer) -> tuple[Room, Room]:
    """The friend adds Alice as well; the management room and the new portal."""
    (management,) = [
        room for room in town.homeserver.rooms.values() if any("Hello!" in said for said in room.bodies(BOT))
    ]
    answer = await town.ask(management, "code new friends")
    await town.idle()
    await friend.add(code_in(answer), "hello")
    await town.homeserver.until(lambda: any("asks to be your contact" in body for body in management.bodies(BOT)))
    await town.idle()
    await town.ask(management, "accept 1")
    return management, await town.joined_portal(ALICE)


async def test_two_conversations_become_one(town: Town, friend: Peer) -> None:
    first = await town.befriend(friend)
    management, second = await second_portal(town, friend)
    portals = {(await town.portal(room)).peer_id: room for room in (first, second)}
    survivor, former = sorted(portals)
    assert "become one as soon as" in await town.ask(management, "merge 1 2")
    await town.say(portals[former], "before")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["before"], WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.merge(tx, survivor, former)
    said_there, said_here = partial(portals[former].bodies, BOT), partial(portals[survivor].bodies, BOT)
    await town.homeserver.until(lambda: any("has become one with" in said for said in said_there()))
    assert quote(portals[survivor].room_id) in str(portals[former].timeline)
    await town.homeserver.until(lambda: any("has become one with this" in said for said in said_here()))

    await town.idle()
    assert "goes on in" in await town.ask(portals[former], "still here?")
    await town.say(portals[survivor], "after")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["before", "after"], WAIT)
    await friend.send(survivor, "and so am I")
    await town.homeserver.until(lambda: "and so am I" in portals[survivor].bodies())
    assert len(await town.bridge.host.nodes()[0].contacts()) == 1


async def test_what_is_said_at_that_moment_is_not_sent_for_the_reason_that_is_true(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two conversations become one while what is to be done about it has been found out and is not done."""
    first = await town.befriend(friend)
    management, second = await second_portal(town, friend)
    portals = {(await town.portal(room)).peer_id: room for room in (first, second)}
    survivor, former = sorted(portals)
    said_there = partial(portals[former].bodies, BOT)
    await town.ask(management, "merge 1 2")
    find_deed, late = Router.deed, list[InboxItem]()

    async def found_out(router: Router, item: InboxItem, situation: Situation) -> Deed:
        deed = await find_deed(router, item, situation)
        if item.event["content"].get("body") == "at that moment" and not late:
            late.append(item)
            async with friend.store.transaction() as tx:
                await friend.node.merge(tx, survivor, former)
            await town.homeserver.until(lambda: any("has become one with" in said for said in said_there()))
        return deed

    monkeypatch.setattr(Router, "deed", found_out)
    await town.say(portals[former], "at that moment")
    await town.homeserver.until(lambda: any(said.startswith("⚠") for said in said_there()))
    await town.idle()
    [answer] = [said for said in said_there() if said.startswith("⚠")]
    assert "goes on in" in answer


async def test_nobody_said_so(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    assert "has said nothing of another" in await town.ask(portal, "!chattor merge")


async def test_a_friendship_is_retired_after_asking_back(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    assert "If you are sure" in await town.ask(portal, "!chattor retire")
    assert "is ended" in await town.ask(portal, "!chattor retire yes")
    assert "new friend code" in await town.ask(portal, "hello?")

    await friend.ears.wait_until(lambda: "node.retired" in str(friend.ears.happenings), WAIT)
    assert [contact.retired for contact in await friend.node.contacts()] == [True]


async def test_a_friend_ends_it(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.retire(tx, peer_id)
    await town.homeserver.until(lambda: any("has ended this friendship" in said for said in portal.bodies(BOT)))
    await town.idle()
    assert "could not be sent" in await town.ask(portal, "why?")


async def test_everything_is_retired(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    (management,) = [
        room for room in town.homeserver.rooms.values() if any("Hello!" in said for said in room.bodies(BOT))
    ]
    await town.ask(management, "code new friends")
    assert "every contact" in await town.ask(management, "retire all")
    assert "1 friendship is ended" in await town.ask(management, "retire all yes")
    assert ", ended" in await town.ask(management, "contacts")
    assert await town.bridge.host.nodes()[0].codes() == []
