"""Files that owners send: whole, described, in their place, and not sent when they are not what they were."""

from __future__ import annotations

from random import Random

import pytest

from chattor_bridge.bridge.files.offering import SMALL
from chattor_bridge.node.happenings import EventArrived, FileFailed
from chattor_bridge.node.records import TransferState
from chattor_bridge.protocol.events import Delete, Edit, Event, FileOffer, Text
from chattor_bridge.protocol.files import Thumbnail
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.filing import (
    ENCRYPTION,
    fetched,
    offer,
    offers,
    parts,
    said_by_owner,
    send_file,
    settings,
    shown,
    states,
    until,
    upload,
)
from tests.bridge.town import ALICE, Town
from tests.homeserver_contract import PNG
from tests.peer import Peer


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("size", [0, 1, 300_001, 2 * SMALL + 11])
async def test_a_file_of_the_owners_is_offered_and_fetched(
    town: Town, friend: Peer, encrypted: bool, size: int
) -> None:
    room = await town.befriend(friend)
    if encrypted:
        town.homeserver._put_state(room, BOT, "m.room.encryption", "", ENCRYPTION)
    data = Random(size).randbytes(size)
    event_id = await send_file(town, room, data)
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    await town.idle()
    assert room.receipts.get(BOT) != event_id  # the friend knows of it, and does not have it
    assert await fetched(friend) == data
    await town.homeserver.until(lambda: room.receipts.get(BOT) == event_id)
    assert not parts(town)  # nor was a copy made here


async def test_what_is_said_of_a_picture_goes_with_it(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    info = {"mimetype": "image/png", "w": 640, "h": 480, "size": 1, "xyz.amorgan.blurhash": "LEHV6nWB2yk8pyo0adR*"}
    await send_file(town, room, PNG, msgtype="m.image", body="*Look!*", filename="../cat.png", info=info)
    assert await fetched(friend) == PNG
    [said] = offers(friend)
    assert (said.name, said.kind, said.mime, said.caption) == ("_cat.png", "image", "image/png", "\\*Look!\\*")
    assert (said.width, said.height, said.blurhash) == (640, 480, "LEHV6nWB2yk8pyo0adR*")
    assert said.thumbnail == Thumbnail(PNG, "image/png", 1, 1)


async def test_an_encrypted_picture_has_the_thumbnail_its_client_made(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver._put_state(room, BOT, "m.room.encryption", "", ENCRYPTION)
    small = await upload(town, room, PNG)
    info = small.to_content("thumbnail_url", "thumbnail_file")
    await send_file(town, room, PNG + bytes(10_000), msgtype="m.image", info=info)
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    assert offers(friend)[0].thumbnail == Thumbnail(PNG, "image/png", 1, 1)


async def test_a_long_caption_follows_whole(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    caption = "word " * 5_000
    await send_file(town, room, b"data", body=caption, filename="a.txt")
    await friend.ears.wait_until(lambda: len("".join(friend.ears.texts())) >= len(caption) - 1, WAIT)
    assert "".join(friend.ears.texts()).split() == caption.split()
    assert offers(friend)[0].caption == ""


async def test_a_small_file_keeps_its_place_and_a_large_one_holds_up_nothing(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    small, large = await upload(town, room, b"small"), await upload(town, room, bytes(SMALL + 1))
    for attachment in (large, small):
        content = {"msgtype": "m.file", "body": "a", **attachment.to_content()}
        town.homeserver.person_sends(ALICE, room.room_id, content)
    town.homeserver.person_says(ALICE, room.room_id, "and then this")
    await town.deliver()
    await friend.ears.wait_until(lambda: len(offers(friend)) == 2 and bool(friend.ears.texts()), WAIT)
    said = said_by_owner(friend)
    order = [body.content.size if isinstance(body, FileOffer) else body for body in said]
    assert order.index(5) < order.index(Text("and then this"))
    assert SMALL + 1 in order


async def test_a_file_that_is_not_what_was_encrypted_is_not_sent(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver._put_state(room, BOT, "m.room.encryption", "", ENCRYPTION)
    attachment = await upload(town, room, PNG)
    town.homeserver.media[attachment.address] = bytes(len(PNG))
    await town.send(room, {"msgtype": "m.image", "body": "a", **attachment.to_content()})
    await town.homeserver.until(lambda: "could not be sent" in room.bodies(BOT)[-1])
    assert "not the one it was sent with" in room.bodies(BOT)[-1].replace("\\", "")
    assert not offers(friend)


@pytest.mark.parametrize(
    "url", [None, "https://example.test/a.png", "mxc://example.test/../x", "mxc://example.test/gone"]
)
async def test_a_file_that_is_nowhere_is_answered(town: Town, friend: Peer, url: object) -> None:
    room = await town.befriend(friend)
    event_id = await town.send(room, {"msgtype": "m.image", "body": "a", "url": url})
    await town.homeserver.until(lambda: "could not be sent" in room.bodies(BOT)[-1])
    answer = room.timeline[-1]["content"]
    assert answer["m.relates_to"]["m.in_reply_to"]["event_id"] == event_id
    assert not offers(friend)


async def test_a_homeserver_that_gives_no_file_today_is_asked_again(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    town.homeserver.breaks = 3
    await send_file(town, room, PNG)
    assert await fetched(friend) == PNG


async def test_a_file_is_fetched_after_a_restart_of_the_bridge(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    data = Random(1).randbytes(3_000_000)
    await send_file(town, room, data)
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    await town.restart()
    assert await fetched(friend) == data


async def test_what_the_owner_removes_is_not_fetched_any_more(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    event_id = await send_file(town, room, b"oops")
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    await town.send(room, {"redacts": event_id}, "m.room.redaction")
    await until(friend, FileFailed)
    assert await states(friend) == [TransferState.FAILED]


async def test_what_the_owner_removes_before_it_could_be_read_is_never_offered(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    town.homeserver.breaks = 3
    event_id = await send_file(town, room, b"oops")
    await town.send(room, {"redacts": event_id}, "m.room.redaction")
    await send_file(town, room, b"this instead")
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    await town.idle()
    assert [one.content.size for one in offers(friend)] == [len(b"this instead")]
    assert not [name for name in await settings(town) if name.startswith("file:")]


async def test_a_caption_is_changed_both_ways(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)
    event_id = await send_file(town, room, b"data", body="first", filename="a.txt")
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    new = {"msgtype": "m.file", "body": "second", "filename": "a.txt"}
    relation = {"rel_type": "m.replace", "event_id": event_id}
    await town.send(room, {**new, "body": "* second", "m.new_content": new, "m.relates_to": relation})
    await friend.ears.wait_until(
        lambda: any(
            isinstance(one, EventArrived) and isinstance(one.event.body, Edit) for one in friend.ears.happenings
        ),
        WAIT,
    )
    theirs, _ = await offer(friend, PNG, "b.png", kind="image", mime="image/png", caption="first")
    original = await shown(town, room)
    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Edit(theirs, "**second**"))
    edit = await shown(town, room, 2)
    assert edit["content"]["m.relates_to"] == {"rel_type": "m.replace", "event_id": original["event_id"]}
    replaced = edit["content"]["m.new_content"]
    assert (replaced["msgtype"], replaced["body"], replaced["filename"]) == ("m.image", "**second**", "b.png")
    assert replaced["formatted_body"] == "<p><strong>second</strong></p>"
    assert replaced["url"] == original["content"]["url"]


async def test_a_caption_is_taken_away_both_ways(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)

    def heard() -> list[Event]:
        return [one.event for one in friend.ears.happenings if isinstance(one, EventArrived)]

    event_id = await send_file(town, room, b"data", body="word " * 5_000, filename="a.txt")
    await friend.ears.wait_until(lambda: len(heard()) == 3, WAIT)
    new = {"msgtype": "m.file", "body": "a.txt", "filename": "a.txt"}
    relation = {"rel_type": "m.replace", "event_id": event_id}
    await town.send(room, {**new, "body": "* a.txt", "m.new_content": new, "m.relates_to": relation})
    await friend.ears.wait_until(lambda: len(heard()) == 6, WAIT)
    file, *followed = heard()[:3]
    gone = [Delete(text.event_id) for text in followed]  # what was too long to stand with the file
    assert [event.body for event in heard()[3:]] == [Edit(file.event_id, ""), *gone]

    theirs, _ = await offer(friend, PNG, "b.png", kind="image", mime="image/png", caption="**first**")
    await shown(town, room)
    async with friend.store.transaction() as tx:
        text = await friend.node.send(tx, peer_id, Text("no file"))
        await friend.node.send(tx, peer_id, Edit(text, ""))
        await friend.node.send(tx, peer_id, Edit(theirs, ""))
    replaced = (await shown(town, room, 3))["content"]["m.new_content"]
    assert (replaced["body"], replaced["filename"]) == ("b.png", "b.png")
    assert "formatted_body" not in replaced


async def test_what_a_friend_says_with_a_sticker_later_is_said_below_it(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)
    theirs, _ = await offer(friend, PNG, "cat.png", kind="sticker", mime="image/png")
    sticker = await shown(town, room)
    assert sticker["type"] == "m.sticker"
    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Edit(theirs, "my *cat*"))
    words = await shown(town, room, 2)
    assert words["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": sticker["event_id"]}}
    assert words["content"]["formatted_body"] == "<p>my <em>cat</em></p>"
