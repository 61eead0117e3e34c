"""What happens in a portal besides the owner's words: nothing somebody believes to have sent disappears silently."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixEventId, MatrixUserId, PeerId
from chattor_bridge.node.happenings import EventFailed
from chattor_bridge.protocol.events import Unknown
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, STRANGER, Town
from tests.peer import Peer


async def _notice_after(town: Town, room: Room, content: JsonObject, kind: str = "m.room.message") -> JsonObject:
    """The bot's next message after the owner sent this."""
    await town.idle()
    before = len(room.timeline)
    await town.send(room, content, kind)
    await town.homeserver.until(lambda: any(event["sender"] == BOT for event in room.timeline[before:]))
    return next(event for event in room.timeline[before:] if event["sender"] == BOT)


UNCARRIED: dict[str, tuple[JsonObject, str]] = {
    "picture": ({"msgtype": "m.image", "body": "cat.png", "url": "mxc://x/y"}, "m.room.message"),
    "file": ({"msgtype": "m.file", "body": "cat.pdf", "url": "mxc://x/y"}, "m.room.message"),
    "voice message": ({"msgtype": "m.audio", "body": "cat.ogg", "url": "mxc://x/y"}, "m.room.message"),
    "video": ({"msgtype": "m.video", "body": "cat.mp4", "url": "mxc://x/y"}, "m.room.message"),
    "place that is none": ({"msgtype": "m.location", "body": "here", "geo_uri": "geo:91,2"}, "m.room.message"),
    "sticker": ({"body": "cat", "url": "mxc://x/y"}, "m.sticker"),
    "poll without answers": ({"m.text": []}, "m.poll.start"),
    "reaction to nothing": ({"m.relates_to": {"rel_type": "m.annotation", "event_id": "$1", "key": "x"}}, "m.reaction"),
    "edit of nothing": (
        {
            "msgtype": "m.text",
            "body": "* b",
            "m.new_content": {"msgtype": "m.text", "body": "b"},
            "m.relates_to": {"rel_type": "m.replace", "event_id": "$1"},
        },
        "m.room.message",
    ),
    "edit without new content": (
        {"msgtype": "m.text", "body": "* b", "m.relates_to": {"rel_type": "m.replace", "event_id": "$1"}},
        "m.room.message",
    ),
    "vote in nothing": (
        {"m.selections": ["1"], "m.relates_to": {"rel_type": "m.reference", "event_id": "$1"}},
        "m.poll.response",
    ),
    "end of nothing": ({"m.relates_to": {"rel_type": "m.reference", "event_id": "$1"}}, "org.matrix.msc3381.poll.end"),
    "message that cannot be decrypted": ({"algorithm": "m.megolm.v1.aes-sha2", "ciphertext": ""}, "m.room.encrypted"),
    "text without text": ({"msgtype": "m.text", "body": "  "}, "m.room.message"),
    "call": ({"call_id": "1"}, "m.call.invite"),
    "unheard-of message": ({"msgtype": "org.example.hologram", "body": "x"}, "m.room.message"),
}


@pytest.mark.parametrize("name", UNCARRIED)
async def test_what_cannot_be_carried_is_answered(town: Town, friend: Peer, name: str) -> None:
    room = await town.befriend(friend)
    content, kind = UNCARRIED[name]
    notice = await _notice_after(town, room, content, kind)
    assert notice["content"]["msgtype"] == "m.notice"
    assert "⚠" in notice["content"]["body"]
    await town.say(room, "after")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["after"], WAIT)


async def test_an_unknown_kind_is_answered_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await _notice_after(town, room, {"call_id": "1"}, "m.call.invite")
    before = len(room.bodies(BOT))
    await town.send(room, {"call_id": "2"}, "m.call.invite")
    await town.idle()
    assert len(room.bodies(BOT)) == before


async def test_taking_back_what_was_never_sent_is_nobodys_business(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    before = len(room.timeline)
    await town.send(room, {"redacts": "$unknown"}, "m.room.redaction")
    await town.idle()
    assert len(room.timeline) == before + 1


async def test_an_answer_arrives_as_a_message_without_its_quotation(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    content = {
        "msgtype": "m.text",
        "body": "> <@bob:x> old words\n\nnew words",
        "m.relates_to": {"m.in_reply_to": {"event_id": "$1"}},
    }
    notice = await _notice_after(town, room, content)
    assert "not as an answer" in notice["content"]["body"]
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["new words"], WAIT)


async def test_a_strangers_words_stay_in_the_room_and_he_is_told_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    before = len(room.bodies(BOT))
    await town.say(room, "I am not Alice", STRANGER)
    await town.say(room, "!chattor code new", STRANGER)
    await town.say(room, "I am", ALICE)
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["I am"], WAIT)
    await town.idle()
    assert [body for body in room.bodies(BOT)[before:] if STRANGER in body] == room.bodies(BOT)[before:]
    assert len(room.bodies(BOT)) == before + 1


async def test_an_event_of_a_newer_version_is_shown_as_such(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    peer_id = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Unknown("hologram", {"data": b"x"}))
    await town.homeserver.until(lambda: any("hologram" in body for body in room.bodies(BOT)))
    assert "newer version" in room.bodies(BOT)[-1]


async def test_an_important_event_of_a_newer_version_is_a_warning(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    peer_id = await friend.friend(WAIT)
    mailbox = friend.node.work.mailbox
    async with friend.store.transaction() as tx:
        event = replace(mailbox.event(Unknown("recall", {})), critical=True)
        await mailbox.send(tx, peer_id, event)
        tx.after_commit(lambda: friend.node.work.wake(peer_id))
    await town.homeserver.until(lambda: any("recall" in body for body in room.bodies(BOT)))
    assert "Do not go on as if it had not been said" in room.bodies(BOT)[-1]


async def test_a_session_begun_anew_is_told_in_the_room(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    assert "begins anew" in await town.ask(room, "!chattor resync")
    await town.homeserver.until(lambda: any("you asked for it" in body for body in room.bodies(BOT)))
    await town.say(room, "and on we go", ALICE)
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["and on we go"], WAIT)
    assert "less than a day ago" in await town.ask(room, "!chattor resync")


async def test_what_becomes_of_a_friendship_while_its_room_is_made_stays_so(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It becomes one with another while the homeserver is asked."""
    room = await town.befriend(friend)
    portal = await town.portal(room)
    await town.idle()
    ensure_user, other = town.homeserver.ensure_user, PeerId(bytes(16))

    async def slow(user: MatrixUserId, display_name: str) -> None:
        async with town.store.transaction() as tx:
            await town.store.portals.merge(tx, portal.node_id, portal.peer_id, other)
        await ensure_user(user, display_name)

    monkeypatch.setattr(town.homeserver, "ensure_user", slow)
    async with town.store.transaction() as tx:
        await town.store.portals.leave(tx, room.room_id)
        await town.bridge._conversations.open(tx, portal)
    await town.idle()
    async with town.store.transaction() as tx:
        now = await town.store.portals.by_peer(tx, portal.node_id, portal.peer_id)
    assert now == replace(portal, merged_into=other)


async def test_the_portal_follows_the_friends_name_and_the_owners(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    async with friend.store.transaction() as tx:
        await friend.node.set_profile_name(tx, "Robert")
    await town.homeserver.until(lambda: room.state["m.room.name", ""] == {"name": "Robert"})
    await town.say(room, "!chattor rename Bobby")
    await town.homeserver.until(lambda: room.state["m.room.name", ""] == {"name": "Bobby"})
    await town.homeserver.until(lambda: town.homeserver.names[ghost] == "Bobby")


async def test_a_command_in_a_portal_is_answered_there_and_not_sent(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    answer = await town.ask(room, "!chattor contacts")
    assert "Your contacts" in answer
    await town.say(room, "after")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["after"], WAIT)


async def test_a_message_that_will_never_arrive_is_told_where_it_was_said(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    event_id = await town.say(room, "hello")
    await town.homeserver.until(lambda: room.receipts.get(BOT) == event_id)
    portal = await town.portal(room)
    async with town.store.transaction() as tx:
        link = (await town.store.event_links.by_matrix_event(tx, MatrixEventId(event_id)))[0]
        # nothing in this version gives an event up, so the node's part is played
        failed = EventFailed(portal.peer_id, link.event_id, "the friend is gone")
        await town.bridge.observer.record(tx, portal.node_id, failed)
    await town.homeserver.until(lambda: any("the friend is gone" in body for body in room.bodies(BOT)))
    notice = room.timeline[-1]
    assert notice["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == event_id


async def test_what_cannot_be_queued_is_answered(town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    room = await town.befriend(friend)
    monkeypatch.setattr("chattor_bridge.node.sending.MAX_QUEUED", 0)
    notice = await _notice_after(town, room, {"msgtype": "m.text", "body": "too much"})
    assert "could not be sent" in notice["content"]["body"]


async def test_who_may_not_use_the_bridge_any_more_is_told(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    room = await town.befriend(friend)
    monkeypatch.setattr("tests.bridge.town.HOME", "elsewhere.test")
    notice = await _notice_after(town, room, {"msgtype": "m.text", "body": "hello?"})
    assert "may not use" in notice["content"]["body"]
    assert friend.ears.texts() == []


async def test_a_ghost_turns_down_invitations_to_other_rooms(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    other = town.homeserver.rooms[town.homeserver.person_creates_room(ALICE, ghost)]
    await town.deliver()
    await town.homeserver.until(lambda: other.membership(ghost) == "leave")


async def test_two_owners_with_one_friend_see_two_ghosts(town: Town, friend: Peer) -> None:
    carol = f"@carol:{town.homeserver.domain}"
    room = await town.befriend(friend)
    other = await town.befriend(friend, carol)
    assert (await town.portal(room)).ghost != (await town.portal(other)).ghost
    assert other.membership(ALICE) is None
