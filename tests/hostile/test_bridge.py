"""What a friend, or a stranger with a code, can do to the people of a bridge, and to their rooms."""

from __future__ import annotations

from html.parser import HTMLParser

import pytest

from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.ids import MatrixUserId
from tests.bridge.fake_homeserver import BOT, DOMAIN, WAIT
from tests.bridge.town import Town, chattor_friend
from tests.peer import Peer

PREVIEWS = "org.matrix.room.preview_urls"

CAROL = MatrixUserId(f"@carol:{DOMAIN}")

LIMIT = 20
"""`LANE_LIMIT` in these tests: more than a link stores in one go, as the real one is."""

FLOOD = 40
"""Messages of a flood, as many again being changes of a name."""

INJECTION = "<b>*x*</b> [l](https://evil.test) ![i](mxc://a/b) <img src=x onerror=y> `c` @room \u202eback"
"""HTML, CommonMark, a mention and a trick in one; 64 bytes of a name hold a part of it."""


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.found: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.add(tag)


async def test_a_friend_who_floods_is_kept_waiting_and_nobody_else_is(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The homeserver takes nothing for a while. What waits for it is bounded friend by friend."""
    async with chattor_friend(town.directory, town.network, "Carol's friend") as honest:
        flooded, quiet = await town.befriend(friend), await town.befriend(honest, CAROL)
        await town.idle()
        monkeypatch.setattr("chattor_bridge.bridge.voice.LANE_LIMIT", LIMIT)
        town.homeserver.down = True
        peer_id = await friend.friend(WAIT)
        for number in range(FLOOD):
            await friend.send(peer_id, f"flood {number}")
            async with friend.store.transaction() as tx:
                await friend.node.set_profile_name(tx, f"Flood {number}")
        for number in range(2):
            await honest.delivered(await honest.send(await honest.friend(WAIT), f"honest {number}"), WAIT)
        lane = portal_lane(await town.portal(flooded))
        async with town.store.transaction() as tx:
            assert await town.store.actions.count(tx, lane) <= LIMIT
        town.homeserver.down = False
        town.bridge.hurry()
        ghost = (await town.portal(quiet)).ghost
        await town.homeserver.until(lambda: quiet.bodies(ghost) == ["honest 0", "honest 1"])
        ghost = (await town.portal(flooded)).ghost
        await town.homeserver.until(lambda: len(flooded.bodies(ghost)) == FLOOD)  # held up, and nothing lost


async def test_words_of_others_are_never_formatting_of_ours(town: Town, friend: Peer) -> None:
    """A name and a note full of HTML and CommonMark, in every place where the bot and the ghost show them."""
    name = INJECTION.encode()[:60].decode(errors="ignore")
    async with friend.store.transaction() as tx:
        await friend.node.set_profile_name(tx, name)
    management = await town.open_management()
    await town.ask(management, "start Alice")
    code = await town.ask(management, "code new")
    await friend.add(code[code.index("chattor:") :][:66], INJECTION)
    await town.homeserver.until(lambda: any("asks to be your contact" in body for body in management.bodies(BOT)))
    await town.ask(management, "requests")
    await town.ask(management, "accept 1")
    portal = await town.joined_portal()
    await town.ask(management, "contacts")
    said = [event["content"] for event in management.timeline if event["sender"] == BOT]
    shown = [content for content in said if "onerror" in content.get("body", "") or "<b>" in content.get("body", "")]
    assert len(shown) >= 4
    for content in shown:
        tags = Tags()
        tags.feed(content.get("formatted_body", ""))
        assert tags.found <= {"strong", "p", "ul", "li", "blockquote", "code", "br", "ol"}
        assert "\u202e" not in content["body"]
        assert content["m.mentions"] == {}
    ghost = (await town.portal(portal)).ghost
    assert "\u202e" not in town.homeserver.names[ghost]
    assert "\u202e" not in portal.state["m.room.name", ""]["name"]


@pytest.mark.parametrize("name", ["Chattor", "Сhattor", "chattor\u200b"])  # noqa: RUF001
async def test_a_friend_cannot_pass_for_the_bot(town: Town, name: str) -> None:
    async with chattor_friend(town.directory, town.network, name) as friend:
        portal = await town.befriend(friend)
        ghost = (await town.portal(portal)).ghost
        await town.homeserver.until(lambda: "(contact " in town.homeserver.names[ghost])
        assert "(contact " in portal.state["m.room.name", ""]["name"]


async def test_a_friend_that_takes_the_name_of_another_is_told_apart(town: Town, friend: Peer) -> None:
    async with chattor_friend(town.directory, town.network, "Mallory") as other:
        await town.befriend(friend)
        portal = await town.befriend(other)
        ghost = (await town.portal(portal)).ghost
        async with other.store.transaction() as tx:
            await other.node.set_profile_name(tx, "B\u043eb")
        await town.homeserver.until(lambda: town.homeserver.names[ghost].startswith("B\u043eb (contact "))


async def test_a_link_makes_no_homeserver_fetch_anything(town: Town, friend: Peer) -> None:
    """Clients ask the homeserver for a preview of a link; whoever runs the site would learn its address."""
    portal = await town.befriend(friend)
    await town.idle()
    assert portal.state[PREVIEWS, ""] == {"disable": True}
    # a management room that the bot opened itself
    async with town.store.transaction() as tx:
        for room_id in [room.room_id for room in town.homeserver.rooms.values() if room is not portal]:
            await town.store.management_rooms.remove(tx, room_id)
    async with chattor_friend(town.directory, town.network, "Another") as other:
        async with town.store.transaction() as tx:
            node = town.bridge.host.node_of("@alice:example.test")
            assert node is not None
            code = (await node.create_code(tx, "more")).code
        await other.add(code, "see https://evil.test/")
        rooms = town.homeserver.rooms
        await town.homeserver.until(lambda: any("evil.test" in b for r in rooms.values() for b in r.bodies(BOT)))
        (room,) = [room for room in rooms.values() if any("evil.test" in body for body in room.bodies(BOT))]
        assert room.state[PREVIEWS, ""] == {"disable": True}
