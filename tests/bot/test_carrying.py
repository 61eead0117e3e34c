"""Holding mail, in words to the bot: a mailbox is paired by one message, and a bridge's node holds for who asks."""

from __future__ import annotations

from chattor_bridge.node.happenings import CARRY_ASKED, CARRY_OFFERED
from chattor_bridge.protocol.events import Unknown
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.town import FRIEND_NAME, Town
from tests.peer import Peer


def _told(peer: Peer) -> list[str]:
    return [event.body.type for event in peer.ears.arrived() if isinstance(event.body, Unknown)]


async def test_one_message_pairs_a_mailbox(town: Town, friend: Peer) -> None:
    management = await town.open_management()
    await town.ask(management, "start Alice")
    assert "`chattor pair` shows" in await town.ask(management, "pair")
    async with friend.store.transaction() as tx:
        code = (await friend.node.create_code(tx, "pairing", one_time=True)).code
    assert "bringing the code there" in await town.ask(management, f"pair {code}")
    # as a mailbox does by itself
    alice = await friend.accept_next(WAIT)
    await friend.ears.wait_until(lambda: CARRY_ASKED in _told(friend), WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.carrying.offer(tx, alice, 16, 128)
    portal = await town.joined_portal()
    await town.homeserver.until(lambda: any("holds your mail from now on" in said for said in portal.bodies(BOT)))
    assert "holds your mail" in await town.ask(management, "carry")
    await town.idle()
    refused = await town.ask(management, f"pair {code}")
    assert "bringing the code there" in refused
    await town.homeserver.until(lambda: any("used up" in said for said in management.bodies(BOT)))


async def test_a_node_of_a_bridge_holds_mail_for_a_friend_who_asks(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    alice = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.carrying.ask(tx, alice)
    await friend.ears.wait_until(lambda: CARRY_OFFERED in _told(friend), WAIT)
    await town.homeserver.until(lambda: any("You hold this friend's mail" in said for said in portal.bodies(BOT)))
    [info] = await friend.node.carrying.overview()
    assert info.carrier is not None
    assert (info.carrier.shelves, info.carrier.blocks) == (16, 128)


async def test_what_is_held_is_shown_and_bounded(town: Town, friend: Peer) -> None:
    await town.befriend(friend)
    room = await town.open_management()
    assert "Nobody holds your mail" in await town.ask(room, "carry")
    assert "is told" in await town.ask(room, "Carry Offer 1 2 3")
    await friend.ears.wait_until(lambda: any("carry" in str(one) for one in friend.ears.happenings), WAIT)
    listed = await town.ask(room, "carry")
    assert f"**{FRIEND_NAME}** has its mail held by you: 0 blocks on 0 shelves now" in listed
    assert "of up to 2 shelves of 3 blocks, 0.1 MB" in listed
    assert "You hold 0.0 MB of mail in all, of 201.3 MB at most." in listed
    assert "of 50.0 MB at most" in await town.ask(room, "carry limit 50")
    assert "of 50.0 MB at most" in await town.ask(room, "carry limit")
    assert "201 MB at most" in await town.ask(room, "carry limit 202")
    assert "how many megabytes" in await town.ask(room, "carry limit much")
    assert "of 201.3 MB at most" in await town.ask(room, "Carry limit Most")
