"""Block, unblock and forget, by command."""

from __future__ import annotations

import pytest

from chattor_bridge.node.happenings import CodeClosed, KnockGone
from tests.bridge.fake_homeserver import BOT
from tests.bridge.town import Town, code_in
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")


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


async def test_the_notice_of_a_request_that_is_gone_says_so_and_answers_a_reaction(town: Town, friend: Peer) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    await friend.add(code_in(await town.ask(room, "code new friends")), "hello")
    await town.homeserver.until(lambda: any("asks to be your contact" in body for body in room.bodies(BOT)))
    await town.idle()
    node = town.bridge.host.nodes()[0]
    (waiting,) = await node.requests()
    async with town.store.transaction() as tx:
        notice = await town.store.knock_notices.by_knock(tx, waiting.knock_id)
        assert notice is not None
        await town.store.knocks.remove_pending(tx, waiting.knock_id)
        observer = town.bridge.host._around.observer
        await observer.record(tx, node.node_id, KnockGone(waiting.knock_id, "it has waited for 30 days"))
        await observer.record(tx, node.node_id, CodeClosed("friends", "has expired"))
    await town.homeserver.until(lambda: any("not open any more: it has" in body for body in room.bodies(BOT)))
    await town.homeserver.until(lambda: any("“friends” has expired" in body for body in room.bodies(BOT)))
    relation = {"rel_type": "m.annotation", "event_id": notice.matrix_event_id, "key": "\N{WHITE HEAVY CHECK MARK}"}
    await town.send(room, {"m.relates_to": relation}, "m.reaction")
    await town.homeserver.until(lambda: any("Write requests to see" in body for body in room.bodies(BOT)))


async def test_a_request_is_blocked_and_gone(town: Town, friend: Peer) -> None:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    answer = await town.ask(room, "code new friends")
    await town.idle()
    await friend.add(code_in(answer), "hello")
    await town.homeserver.until(lambda: any("asks to be your contact" in body for body in room.bodies(BOT)))
    await town.idle()
    assert "You blocked the request" in await town.ask(room, "block request 1")
    assert "Blocked" in await town.ask(room, "requests")
    assert "is not blocked any more" in await town.ask(room, "unblock request 1")
    await town.ask(room, "accept 1")
    await town.joined_portal()
