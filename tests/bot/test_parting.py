"""Block, unblock and forget, by command."""

from __future__ import annotations

from tests.bridge.fake_homeserver import BOT
from tests.bridge.town import Town, code_in
from tests.peer import Peer


async def test_a_contact_is_blocked_unblocked_and_forgotten(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    await town.idle()
    assert "cannot reach you" in await town.ask(portal, "!chattor block")
    before = len(portal.bodies(BOT))
    await town.say(portal, "hello?")
    await town.homeserver.until(lambda: any("unblock" in body for body in portal.bodies(BOT)[before:]))
    assert "can reach you again" in await town.ask(portal, "!chattor unblock")
    assert "If you are sure" in await town.ask(portal, "!chattor forget")
    node = town.bridge.host.nodes()[0]
    assert len(await node.contacts()) == 1
    assert "is forgotten" in await town.ask(portal, "!chattor forget yes")
    assert await node.contacts() == []
    before = len(portal.bodies(BOT))
    await town.say(portal, "hello again?")
    await town.homeserver.until(lambda: any("could not be sent" in body for body in portal.bodies(BOT)[before:]))


async def test_a_request_is_blocked_and_gone(town: Town, friend: Peer) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    answer = await town.ask(room, "code new friends")
    await town.idle()
    await friend.add(code_in(answer), "hello")
    await town.homeserver.until(lambda: any("asks to be your contact" in body for body in room.bodies(BOT)))
    await town.idle()
    assert "You blocked the request" in await town.ask(room, "block request 1")
    assert "no contact requests" in await town.ask(room, "requests")
