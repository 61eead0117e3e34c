"""Files of friends: whole, shown as what they are, bounded, and there whatever fails."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from random import Random

import pytest

from chattor_bridge.bridge.files import taking
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.happenings import FileFailed, FileSent
from chattor_bridge.protocol.files import Thumbnail
from tests.bot.test_merging import second_portal
from tests.bridge.fake_homeserver import BOT, WAIT
from tests.bridge.filing import (
    ENCRYPTION,
    all_erased,
    content_of,
    fetched,
    offer,
    offers,
    parts,
    send_file,
    settings,
    shown,
    until,
    upload,
)
from tests.bridge.town import FETCHED_UNASKED, KEPT_OF_FRIEND, Town
from tests.homeserver_contract import PNG
from tests.peer import Peer


@pytest.mark.parametrize("encrypted", [False, True])
@pytest.mark.parametrize("size", [0, 1, 300_001])
async def test_a_file_of_a_friend_comes_into_the_room(town: Town, friend: Peer, encrypted: bool, size: int) -> None:
    room = await town.befriend(friend)
    if encrypted:
        town.homeserver._put_state(room, BOT, "m.room.encryption", "", ENCRYPTION)
    data = Random(size).randbytes(size)
    await offer(friend, data, "report.pdf", mime="application/pdf")
    event = await shown(town, room)
    assert await content_of(town, event) == data
    assert ("file" in event["content"]) == encrypted
    assert event["content"]["msgtype"] == "m.file"
    assert event["content"]["filename"] == "report.pdf"
    assert event["content"]["info"] == {"mimetype": "application/pdf", "size": size}
    await until(friend, FileSent)
    await town.idle()
    await all_erased(town)
    assert not [name for name in await settings(town) if name.startswith("file:")]


async def test_what_is_said_of_a_voice_message_is_shown(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await offer(friend, b"OggS", "voice.ogg", mime="audio/ogg", kind="voice", duration=3_000, waveform=(0, 512, 1024))
    content = (await shown(town, room))["content"]
    assert content["msgtype"] == "m.audio"
    assert content["org.matrix.msc3245.voice"] == {}
    assert content["org.matrix.msc1767.audio"] == {"duration": 3_000, "waveform": [0, 512, 1024]}
    assert content["info"]["duration"] == 3_000


async def test_a_picture_is_shown_with_caption_and_thumbnail(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    thumbnail = Thumbnail(PNG, "image/png", 1, 1)
    said: JsonObject = {"mime": "image/png", "kind": "image", "caption": "*Look!*", "width": 64, "height": 48}
    await offer(friend, PNG * 2, "cat.png", **said, thumbnail=thumbnail)
    content = (await shown(town, room))["content"]
    assert (content["msgtype"], content["body"], content["formatted_body"]) == (
        "m.image",
        "*Look!*",
        "<p><em>Look!</em></p>",
    )
    assert (content["info"]["w"], content["info"]["h"]) == (64, 48)
    assert town.homeserver.media[content["info"]["thumbnail_url"]] == PNG


async def test_what_only_says_that_it_is_a_picture_is_shown_as_none(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await offer(friend, b"<svg onload='alert(1)'/>", "cat.svg", mime="image/svg+xml", kind="image")
    content = (await shown(town, room))["content"]
    assert (content["msgtype"], content["info"]["mimetype"]) == ("m.file", "application/octet-stream")


async def test_a_file_answers_what_it_answers(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)
    question = await friend.send(peer_id, "look at this")
    first = await shown(town, room)
    await offer(friend, PNG, "cat.png", mime="image/png", kind="image", reply=question)
    event = await shown(town, room, 2)
    assert event["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == first["event_id"]


async def test_a_reaction_to_a_file_waits_for_it_and_one_taken_back_is_never_shown(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)
    await town.idle()
    town.homeserver.down = True
    kept, _ = await offer(friend, b"kept", "kept.txt")
    gone, _ = await offer(friend, b"gone", "gone.txt")
    from chattor_bridge.protocol.events import Delete, Reaction

    async with friend.store.transaction() as tx:
        await friend.node.send(tx, peer_id, Reaction(kept, "👍"))
        last = await friend.node.send(tx, peer_id, Delete(gone))
    await friend.delivered(last, WAIT)
    town.homeserver.down = False
    town.bridge.hurry()
    event = await shown(town, room)
    await town.homeserver.until(lambda: any(each["type"] == "m.reaction" for each in room.timeline))
    reaction = next(each for each in room.timeline if each["type"] == "m.reaction")
    assert reaction["content"]["m.relates_to"]["event_id"] == event["event_id"]
    await until(friend, FileFailed)
    await town.idle()
    assert "gone.txt" not in str([each["content"] for each in room.timeline if each["sender"] != BOT])


async def test_what_the_homeserver_does_not_take_is_not_fetched(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver.largest = 1_000
    await offer(friend, bytes(1_001), "large.bin")
    await until(friend, FileFailed)
    await town.homeserver.until(lambda: "1.0 kB at most" in room.bodies(BOT)[-1].replace("\\", ""))
    await offer(friend, bytes(1_000), "small.bin")
    assert await content_of(town, await shown(town, room)) == bytes(1_000)


async def test_what_the_homeserver_takes_no_more_is_thrown_away_with_a_word(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    town.homeserver.refusals.append(lambda method, _user, _room: "M_TOO_LARGE" if method == "attach" else None)
    await offer(friend, bytes(1_000), "large.bin")
    await town.homeserver.until(lambda: "could not be shown" in room.bodies(BOT)[-1])
    await town.idle()
    await all_erased(town)


async def test_for_a_large_file_the_owner_is_asked(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    data = bytes(FETCHED_UNASKED + 1)
    await offer(friend, data, "film.mp4", kind="video", mime="video/mp4")
    await town.homeserver.until(lambda: "files accept" in room.bodies(BOT)[-1])
    assert "film.mp4" in (await town.ask(room, "!chattor files")).replace("\\", "")
    assert "is fetched" in await town.ask(room, "!chattor files fetch")
    event = await shown(town, room)
    assert event["content"]["msgtype"] == "m.video"
    assert await content_of(town, event) == data


async def test_an_offer_is_declined_and_a_file_withdrawn_by_command(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await offer(friend, bytes(FETCHED_UNASKED + 1), "film.mp4")
    await town.homeserver.until(lambda: "files accept" in room.bodies(BOT)[-1])
    assert "was declined" in await town.ask(room, "!chattor files decline")
    await until(friend, FileFailed)
    await send_file(town, room, b"data", body="mine.txt")
    await friend.ears.wait_until(lambda: bool(offers(friend)), WAIT)
    assert "mine.txt" in (await town.ask(room, "!chattor files")).replace("\\", "")
    await town.ask(room, "!chattor files cancel mine.txt")
    await until(friend, FileFailed, 2)
    assert "No file is on its way" in await town.ask(room, "!chattor files")


async def test_more_than_is_kept_is_not_fetched(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await offer(friend, bytes(KEPT_OF_FRIEND + 1), "huge.bin")
    await until(friend, FileFailed)
    await town.homeserver.until(lambda: "larger than the receiver takes" in room.bodies(BOT)[-1])


async def test_a_file_that_its_friend_withdraws_is_told(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    peer_id = await friend.friend(WAIT)
    _, file_id = await offer(friend, bytes(FETCHED_UNASKED + 1), "film.mp4")
    await town.homeserver.until(lambda: "files accept" in room.bodies(BOT)[-1])
    async with friend.store.transaction() as tx:
        await friend.node.files.cancel(tx, peer_id, file_id)
    await town.homeserver.until(lambda: "was cancelled" in room.bodies(BOT)[-1])


async def test_a_file_survives_a_homeserver_that_is_down_and_a_restart(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    town.homeserver.refusals.append(_down_for_uploads)
    data = Random(2).randbytes(1_000_000)
    await offer(friend, data, "a.bin")
    await until(friend, FileSent)
    await town.restart()
    town.homeserver.refusals.clear()
    assert await content_of(town, await shown(town, room)) == data
    await town.idle()
    await all_erased(town)


def _down_for_uploads(method: str, _user: MatrixUserId, _room: str) -> str | None:
    if method == "upload piece":
        raise HomeserverUnavailable("it is down")
    return None


async def _has_come_and_cannot_be_shown(town: Town, friend: Peer) -> None:
    """A file has come whole, and its upload has failed just now: whoever reads it from now on opens it anew."""
    await town.idle()
    failed = asyncio.Event()

    def down(method: str, user: MatrixUserId, room: str) -> str | None:
        if method == "upload piece":
            failed.set()
        return _down_for_uploads(method, user, room)

    town.homeserver.refusals.append(down)
    await offer(friend, bytes(100_000), "a.bin")
    await until(friend, FileSent)
    failed.clear()
    await asyncio.wait_for(failed.wait(), WAIT)


@pytest.mark.parametrize("damage", [Path.unlink, lambda part: part.write_bytes(bytes(part.stat().st_size))])
async def test_what_is_lost_on_our_disk_is_told(town: Town, friend: Peer, damage: Callable[[Path], object]) -> None:
    room = await town.befriend(friend)
    await _has_come_and_cannot_be_shown(town, friend)
    for part in parts(town):
        damage(part)
    town.homeserver.refusals.clear()
    await town.homeserver.until(lambda: "missing or damaged" in room.bodies(BOT)[-1])
    await town.idle()
    await all_erased(town)


async def test_what_cannot_be_read_for_a_day_is_told(town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch) -> None:
    room = await town.befriend(friend)
    await _has_come_and_cannot_be_shown(town, friend)
    monkeypatch.setattr(taking, "GIVEN_UP_AFTER", -1)
    for part in parts(town):
        part.unlink()
        part.mkdir()
    town.homeserver.refusals.clear()
    await town.homeserver.until(lambda: "could not be shown" in room.bodies(BOT)[-1])
    for part in parts(town):
        part.rmdir()


async def test_a_portal_that_was_lost_is_opened_again_for_a_file(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    town.homeserver.homeserver_loses_room(room.room_id)
    await offer(friend, PNG, "cat.png", kind="image", mime="image/png")
    again = await town.joined_portal()
    assert again.room_id != room.room_id
    assert await content_of(town, await shown(town, again)) == PNG


async def test_stickers_go_both_ways(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    attachment = await upload(town, room, PNG)
    await town.send(room, {"body": "wave", "url": attachment.address, "info": {"mimetype": "image/png"}}, "m.sticker")
    assert await fetched(friend) == PNG
    assert (offers(friend)[0].kind, offers(friend)[0].name) == ("sticker", "wave")
    await offer(friend, PNG, "wave back", kind="sticker", mime="image/png")
    event = await shown(town, room)
    assert (event["type"], event["content"]["body"]) == ("m.sticker", "wave back")
    assert await content_of(town, event) == PNG


async def test_a_file_the_homeserver_refuses_is_kept_and_can_be_tried_again(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    ghost = (await town.portal(room)).ghost
    refuse = partial(_refused, ghost)
    town.homeserver.refusals.append(refuse)
    await offer(friend, b"data", "a.txt")
    management = next(each for each in town.homeserver.rooms.values() if each is not room)
    await town.homeserver.until(lambda: "could not be shown" in management.bodies(BOT)[-1])
    assert "a file of theirs" in await town.ask(management, "parked")
    town.homeserver.refusals.remove(refuse)
    await town.ask(management, "parked retry")
    assert await content_of(town, await shown(town, room)) == b"data"
    assert len(town.homeserver.media) == 1  # nor was it uploaded again


def _refused(ghost: str, method: str, user: MatrixUserId, _room: str) -> str | None:
    return "M_BAD_JSON" if method == "send" and user == ghost else None


async def test_files_follow_into_the_conversation_that_remains(town: Town, friend: Peer) -> None:
    first = await town.befriend(friend)
    management, second = await second_portal(town, friend)
    portals = {(await town.portal(room)).peer_id: room for room in (first, second)}
    survivor, former = sorted(portals)
    await offer(friend, bytes(FETCHED_UNASKED + 1), "film.mp4", to=former, caption="*Look!*")
    await town.homeserver.until(lambda: "files accept" in portals[former].bodies(BOT)[-1])
    await town.ask(management, "merge 1 2")
    async with friend.store.transaction() as tx:
        await friend.node.merge(tx, survivor, former)
    await town.homeserver.until(lambda: any("has become one with this" in x for x in portals[survivor].bodies(BOT)))
    await town.idle()
    await town.ask(portals[survivor], "!chattor files accept")
    content = (await shown(town, portals[survivor]))["content"]
    assert (content["filename"], content["formatted_body"]) == ("film.mp4", "<p><em>Look!</em></p>")
