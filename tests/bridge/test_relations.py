"""What refers to what was said: answers, threads, edits, reactions, and what is taken back, in both directions."""

from __future__ import annotations

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import EventId, MatrixEventId
from chattor_bridge.node.happenings import EventArrived
from chattor_bridge.protocol.events import Body, Delete, Edit, Event, Reaction, Text
from chattor_bridge.protocol.limits import MAX_TEXT
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, FRIEND_NAME, Town
from tests.peer import Peer

HTML = "org.matrix.custom.html"


def heard(friend: Peer) -> list[Event]:
    return [h.event for h in friend.ears.happenings if isinstance(h, EventArrived)]


async def next_heard(friend: Peer, count: int) -> list[Event]:
    """The last ``count`` events, once there are so many more than before."""
    await friend.ears.wait_until(lambda: len(heard(friend)) >= count, WAIT)
    return heard(friend)


async def tell(
    friend: Peer,
    body: Body,
    *,
    reply: EventId | None = None,
    thread: EventId | None = None,
    event_id: EventId | None = None,
) -> EventId:
    peer_id = await friend.friend(WAIT)
    async with friend.store.transaction() as tx:
        return await friend.node.send(tx, peer_id, body, reply=reply, thread=thread, event_id=event_id)


async def shown(town: Town, room: Room, count: int) -> list[JsonObject]:
    """The ghost's events, state left out, once there are so many."""
    ghost = (await town.portal(room)).ghost

    def said() -> list[JsonObject]:
        return [event for event in room.timeline if event["sender"] == ghost and "state_key" not in event]

    await town.homeserver.until(lambda: len(said()) >= count)
    await town.idle()
    assert len(said()) == count
    return said()


def edit_of(target: str, text: str, **more: object) -> JsonObject:
    new = {"msgtype": "m.text", "body": text, **more}
    return {
        **new,
        "body": f"* {text}",
        "m.new_content": new,
        "m.relates_to": {"rel_type": "m.replace", "event_id": target},
    }


def reply_to(target: str, text: str) -> JsonObject:
    return {"msgtype": "m.text", "body": text, "m.relates_to": {"m.in_reply_to": {"event_id": target}}}


# --- the owner ---------------------------------------------------------------------------------------------------


async def test_an_answer_and_a_thread_name_what_they_refer_to(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    mine = await town.say(room, "mine")
    theirs_id = await tell(friend, Text("theirs"))
    theirs = (await shown(town, room, 1))[0]["event_id"]
    await town.send(room, reply_to(theirs, "> <@x:y> theirs\n\nto yours"))
    thread = {"rel_type": "m.thread", "event_id": mine, "m.in_reply_to": {"event_id": theirs}}
    await town.send(room, {"msgtype": "m.text", "body": "a", "m.relates_to": {**thread, "is_falling_back": True}})
    await town.send(room, {"msgtype": "m.text", "body": "b", "m.relates_to": {**thread, "is_falling_back": False}})
    first, answer, in_thread, answer_in_thread = await next_heard(friend, 4)
    assert (answer.body, answer.reply, answer.thread) == (Text("to yours"), theirs_id, None)
    assert (in_thread.reply, in_thread.thread) == (None, first.event_id)
    assert (answer_in_thread.reply, answer_in_thread.thread) == (theirs_id, first.event_id)


async def test_an_edit_and_an_edit_of_the_edit_change_the_first_version(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    event_id = await town.say(room, "helo")
    edit_id = await town.send(room, edit_of(event_id, "hello", format=HTML, formatted_body="<b>hello</b>"))
    await town.send(room, edit_of(edit_id, "hello!"))
    said, first, second = await next_heard(friend, 3)
    assert first.body == Edit(said.event_id, "**hello**")
    assert second.body == Edit(said.event_id, "hello!")


async def test_a_long_text_is_edited_piece_by_piece_and_shrinks_and_grows(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    event_id = await town.say(room, "x" * (MAX_TEXT + 5))
    await town.send(room, edit_of(event_id, "y" * 3))
    await town.send(room, edit_of(event_id, "z" * (MAX_TEXT + 7)))
    await town.send(room, {"redacts": event_id}, "m.room.redaction")
    one, two, edit, gone, again, more, *deleted = await next_heard(friend, 8)
    assert (edit.body, gone.body) == (Edit(one.event_id, "yyy"), Delete(two.event_id))
    assert (again.body, more.body) == (Edit(one.event_id, "z" * MAX_TEXT), Text("z" * 7))
    assert [event.body for event in deleted] == [Delete(one.event_id), Delete(more.event_id)]


async def test_only_ones_own_texts_can_be_edited(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await tell(friend, Text("theirs"))
    theirs = (await shown(town, room, 1))[0]["event_id"]
    await town.send(room, edit_of(theirs, "forged"))
    await town.homeserver.until(lambda: "nothing your friend has from you" in room.bodies(BOT)[-1])
    place = await town.send(room, {"msgtype": "m.location", "body": "here", "geo_uri": "geo:1,2"})
    await town.send(room, edit_of(place, "there"))
    await town.homeserver.until(lambda: "only texts can be changed" in room.bodies(BOT)[-1])
    assert len(await next_heard(friend, 1)) == 1


async def test_reactions_go_to_what_either_side_said_and_are_taken_back(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    mine = await town.say(room, "mine")
    theirs_id = await tell(friend, Text("theirs"))
    theirs = (await shown(town, room, 1))[0]["event_id"]

    def reaction(target: str, key: str, **more: str) -> JsonObject:
        return {"m.relates_to": {"rel_type": "m.annotation", "event_id": target, "key": key}, **more}

    await town.send(room, reaction(mine, "👍"), "m.reaction")
    heart = await town.send(room, reaction(theirs, "❤️"), "m.reaction")
    await town.send(room, reaction(theirs, "mxc://x/y", shortcode="parrot"), "m.reaction")
    await town.send(room, {"redacts": heart}, "m.room.redaction")
    said, thumb, love, parrot, back = await next_heard(friend, 5)
    assert thumb.body == Reaction(said.event_id, "👍")
    assert love.body == Reaction(theirs_id, "❤️")
    assert parrot.body == Reaction(theirs_id, ":parrot:")
    assert back.body == Delete(love.event_id)
    await town.send(room, reaction(theirs, "x" * 65), "m.reaction")
    await town.homeserver.until(lambda: "no emoji or short word" in room.bodies(BOT)[-1])


async def test_what_is_removed_is_taken_back_and_an_edit_alone_too(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    event_id = await town.say(room, "one")
    edit = await town.send(room, edit_of(event_id, "two"))
    await town.send(room, {"redacts": edit}, "m.room.redaction")
    await town.send(room, {"redacts": event_id}, "m.room.redaction")
    await town.send(room, edit_of(event_id, "three"))
    said, changed, unchanged, gone = await next_heard(friend, 4)
    assert changed.body == Edit(said.event_id, "two")
    assert (unchanged.body, gone.body) == (Delete(changed.event_id), Delete(said.event_id))
    await town.homeserver.until(lambda: "nothing your friend has" in room.bodies(BOT)[-1])
    assert len(heard(friend)) == 4


async def test_removing_what_the_friend_said_is_a_hint_and_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    for text in ("one", "two"):
        await tell(friend, Text(text))
    for event in await shown(town, room, 2):
        await town.send(room, {"redacts": event["event_id"]}, "m.room.redaction")
    await town.idle()
    assert sum("your friend still has it" in body for body in room.bodies(BOT)) == 1
    assert heard(friend) == []


async def test_emotes_and_notices_are_told_as_such(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.send(room, {"msgtype": "m.emote", "body": "waves"})
    await town.send(room, {"msgtype": "m.notice", "body": "beep"})
    assert [event.body for event in await next_heard(friend, 2)] == [Text("waves", "emote"), Text("beep", "notice")]


async def test_who_is_mentioned_is_called_as_the_friend_calls_them(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.say(room, "!chattor rename My secret name for Bob")
    ghost = (await town.portal(room)).ghost
    pills = [f'<a href="https://matrix.to/#/{user}">some name</a>' for user in (ghost, ALICE, "@carol:x.test")]
    await town.send(room, {"msgtype": "m.text", "body": "?", "format": HTML, "formatted_body": " ".join(pills)})
    assert [event.body for event in await next_heard(friend, 1)] == [Text(f"@{FRIEND_NAME} @Alice some name")]


async def test_what_an_old_program_does_not_know_is_said_in_words(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    event_id = await town.say(room, "helo")
    await next_heard(friend, 1)
    await town.forget_capabilities(room, "edit", "delete", "reaction", "poll", "location")
    await town.send(room, edit_of(event_id, "hello"))
    relation = {"rel_type": "m.annotation", "event_id": event_id, "key": "x"}
    await town.send(room, {"m.relates_to": relation}, "m.reaction")
    await town.homeserver.until(lambda: "does not know reactions" in room.bodies(BOT)[-1])
    await town.send(room, {"redacts": event_id}, "m.room.redaction")
    await town.homeserver.until(lambda: "removed here only" in room.bodies(BOT)[-1])
    await town.send(room, {"msgtype": "m.location", "body": "Big Ben", "geo_uri": "geo:51.5,-0.12"})
    poll = {
        "question": {"m.text": [{"body": "Tea?"}]},
        "answers": [{"m.id": "y", "m.text": [{"body": "yes"}]}, {"m.id": "n", "m.text": [{"body": "no"}]}],
    }
    await town.send(room, {"m.poll": poll}, "m.poll.start")
    said, corrected, place, asked = await next_heard(friend, 4)
    assert (corrected.body, corrected.reply) == (Text("✏️ hello"), said.event_id)
    assert place.body == Text("📍 Big Ben \\(51\\.5\\, \\-0\\.12\\) geo:51.5,-0.12")
    assert asked.body == Text("**Tea\\?**\n\n1. yes\n2. no\n\nAnswer with a number.")


# --- the friend --------------------------------------------------------------------------------------------------


async def test_a_friends_answer_and_thread_are_shown_as_such(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    mine = await town.say(room, "mine")
    [said] = await next_heard(friend, 1)
    first = await tell(friend, Text("theirs"), reply=said.event_id)
    await tell(friend, Text("in a thread"), thread=said.event_id)
    await tell(friend, Text("both"), reply=first, thread=said.event_id)
    await tell(friend, Text("to what nobody knows"), reply=EventId(bytes(16)))
    one, two, three, four = [event["content"] for event in await shown(town, room, 4)]
    shown_id = (await shown(town, room, 4))[0]["event_id"]
    assert one["m.relates_to"] == {"m.in_reply_to": {"event_id": mine}}
    thread = {"rel_type": "m.thread", "event_id": mine}
    assert two["m.relates_to"] == {**thread, "is_falling_back": True, "m.in_reply_to": {"event_id": mine}}
    assert three["m.relates_to"] == {**thread, "is_falling_back": False, "m.in_reply_to": {"event_id": shown_id}}
    assert "m.relates_to" not in four


async def test_a_friends_edit_replaces_its_own_text_alone(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.say(room, "mine")
    [said] = await next_heard(friend, 1)
    text_id = await tell(friend, Text("helo"))
    await tell(friend, Edit(text_id, "**hello**"))
    await tell(friend, Edit(said.event_id, "forged"))
    await tell(friend, Text("after"))
    first, edit, _after = await shown(town, room, 3)
    assert edit["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": first["event_id"]}
    assert edit["content"]["m.new_content"]["formatted_body"] == "<p><strong>hello</strong></p>"
    assert edit["content"]["body"] == "* **hello**"


async def test_the_longest_edit_is_not_shortened(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    text_id = await tell(friend, Text("short"))
    await tell(friend, Edit(text_id, '"' * MAX_TEXT))
    _, edit = await shown(town, room, 2)
    assert edit["content"]["m.new_content"]["body"] == '"' * MAX_TEXT
    assert edit["content"]["body"].endswith("…")


async def test_what_a_friend_takes_back_is_removed_with_its_edits(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.say(room, "mine")
    [said] = await next_heard(friend, 1)
    text_id = await tell(friend, Text("secret"))
    await tell(friend, Edit(text_id, "more secret"))
    reaction_id = await tell(friend, Reaction(said.event_id, "👍"))
    for target in (text_id, reaction_id, said.event_id, EventId(bytes(16))):
        await tell(friend, Delete(target))
    await tell(friend, Edit(text_id, "back again"))
    await tell(friend, Text("after"))
    text, edit, reaction, _after = await shown(town, room, 4)
    assert [text["content"], edit["content"], reaction["content"]] == [{}, {}, {}]
    assert [
        event["content"]["body"] for event in room.timeline if event["sender"] == ALICE and event["content"].get("body")
    ] == ["mine"]


async def test_a_friends_reaction_is_put_where_it_belongs_once(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    mine = await town.say(room, "mine")
    [said] = await next_heard(friend, 1)
    theirs_id = await tell(friend, Text("theirs"))
    for target in (said.event_id, said.event_id, theirs_id):
        await tell(friend, Reaction(target, "👍"))
    await tell(friend, Text("after"))
    theirs, first, second, _after = await shown(town, room, 4)
    assert [event["type"] for event in (first, second)] == ["m.reaction"] * 2
    keys = [event["content"]["m.relates_to"] for event in (first, second)]
    assert keys == [
        {"rel_type": "m.annotation", "event_id": target, "key": "👍"} for target in (mine, theirs["event_id"])
    ]


async def test_a_friends_emote_notice_and_mention_are_shown_as_such(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await tell(friend, Text("waves", "emote"))
    await tell(friend, Text("beep", "notice"))
    await tell(friend, Text("whatever", "song"))
    await tell(friend, Text("Hey @alice, and @alicent; `@Alice`"))
    emote, notice, other, mention = [event["content"] for event in await shown(town, room, 4)]
    assert [one["msgtype"] for one in (emote, notice, other)] == ["m.emote", "m.notice", "m.text"]
    assert other["m.mentions"] == {}
    assert mention["m.mentions"] == {"user_ids": [ALICE]}
    assert mention["formatted_body"].count(f'<a href="https://matrix.to/#/{ALICE}">') == 1


async def test_what_changes_an_event_that_is_still_to_come_is_done_when_it_has(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    later = EventId(b"later".ljust(16, b"."))
    await tell(friend, Edit(later, "second version"))
    await tell(friend, Reaction(later, "👍"))
    await tell(friend, Text("first version"), event_id=later)
    text, edit, reaction = await shown(town, room, 3)
    assert edit["content"]["m.new_content"]["body"] == "second version"
    assert reaction["content"]["m.relates_to"]["event_id"] == text["event_id"]


async def test_who_uses_an_id_of_ours_changes_nothing_of_ours(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    mine = await town.say(room, "mine")
    [said] = await next_heard(friend, 1)
    await tell(friend, Text("forged"), event_id=said.event_id)
    await tell(friend, Delete(said.event_id))
    await tell(friend, Reaction(said.event_id, "👍"))
    _forged, reaction = await shown(town, room, 2)
    assert reaction["content"]["m.relates_to"]["event_id"] == mine
    async with town.store.transaction() as tx:
        links = await town.store.event_links.by_matrix_event(tx, MatrixEventId(mine))
    assert len(links) == 1
