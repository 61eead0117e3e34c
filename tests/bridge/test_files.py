"""Files between a portal and a friend, both ways: whole, described, shown as what they are, and bounded."""

from __future__ import annotations

import asyncio
from pathlib import Path
from random import Random

import pytest

from chattor_bridge.bridge.attachment import Attachment, Upload
from chattor_bridge.bridge.files.offering import SMALL
from chattor_bridge.bridge.files.progress import LOOK_INTERVAL, WORTH_TELLING, Progress
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import EventId, FileId, MatrixUserId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.happenings import EventArrived, FileArrived, FileFailed, FileSent, Happening
from chattor_bridge.node.records import TransferState
from chattor_bridge.protocol.events import Body, Edit, FileOffer, Text
from chattor_bridge.protocol.files import Thumbnail
from chattor_bridge.storage.transaction import sql
from tests.bridge.fake_homeserver import BOT, WAIT, Room
from tests.bridge.town import ALICE, FETCHED_UNASKED, KEPT_OF_FRIEND, Town
from tests.clock import FakeClock
from tests.homeserver_contract import PNG
from tests.peer import Peer

ENCRYPTION = {"algorithm": "m.megolm.v1.aes-sha2"}


def of_kind(friend: Peer, kind: type[Happening]) -> list[Happening]:
    return [one for one in friend.ears.happenings if isinstance(one, kind)]


def offers(friend: Peer) -> list[FileOffer]:
    return [body for body in said_by_owner(friend) if isinstance(body, FileOffer)]


def said_by_owner(friend: Peer) -> list[Body]:
    return [one.event.body for one in friend.ears.happenings if isinstance(one, EventArrived)]


async def until(friend: Peer, kind: type[Happening], count: int = 1) -> None:
    await friend.ears.wait_until(lambda: len(of_kind(friend, kind)) >= count, WAIT)


async def upload(town: Town, room: Room, data: bytes) -> Attachment:
    """As the owner's client does, encrypted where the room is."""
    ghost = (await town.portal(room)).ghost
    return await town.homeserver.attach(ghost, room.room_id, Upload.of(data, "image/png", "a"))


async def send_file(town: Town, room: Room, data: bytes, **content: object) -> str:
    attachment = await upload(town, room, data)
    event = {"msgtype": "m.file", "body": "a file.bin", **attachment.to_content(), **content}
    return await town.send(room, event)


async def fetched(friend: Peer, number: int = 0) -> bytes:
    """What the friend gets when it accepts what was offered."""
    peer_id = await friend.friend(WAIT)
    await friend.ears.wait_until(lambda: len(offers(friend)) > number, WAIT)
    file_id = offers(friend)[number].content.file_id
    async with friend.store.transaction() as tx:
        await friend.node.files.accept(tx, peer_id, file_id)
    await friend.ears.wait_until(
        lambda: any(isinstance(one, FileArrived) and one.file_id == file_id for one in friend.ears.happenings), WAIT
    )
    return b"".join([piece async for piece in friend.node.files.read(peer_id, file_id)])


async def offer(friend: Peer, data: bytes, name: str = "a file.bin", **said: object) -> tuple[EventId, FileId]:
    """The friend offers a file."""
    peer_id = await friend.friend(WAIT)
    friend.shelf.files[name] = data
    prepared = await prepare(await friend.shelf.open(friend.node.node_id, name))
    async with friend.store.transaction() as tx:
        return await friend.node.files.offer(tx, peer_id, prepared, name, name=name, **said)  # type: ignore[arg-type]


async def shown(town: Town, room: Room, count: int = 1) -> JsonObject:
    """The newest thing the friend's ghost has said, once there are ``count``."""
    ghost = (await town.portal(room)).ghost

    def said() -> list[JsonObject]:
        return [
            event
            for event in room.timeline
            if event["sender"] == ghost and event["type"] in ("m.room.message", "m.sticker")
        ]

    await town.homeserver.until(lambda: len(said()) >= count)
    return said()[-1]


async def content_of(town: Town, event: JsonObject) -> bytes:
    attachment = Attachment.read(event["content"])
    assert attachment is not None
    async with town.homeserver.download(attachment, at_most=10**9) as download:
        return b"".join([piece async for piece in download.pieces])


async def states(peer: Peer) -> list[TransferState]:
    return [one.state for one in await peer.node.files.list()]


def parts(town: Town) -> list[Path]:
    return list((town.directory / "parts").glob("*"))


async def all_erased(town: Town) -> None:
    """Wait until nothing is kept here of any file. Raises: TimeoutError."""
    async with asyncio.timeout(WAIT):
        while parts(town):  # noqa: ASYNC110 - the disk tells nobody
            await asyncio.sleep(0.02)


# --- from Matrix -----------------------------------------------------------------------------------------------------


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


# --- from the friend -------------------------------------------------------------------------------------------------


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


async def settings(town: Town) -> list[str]:
    async with town.store.transaction() as tx:
        rows = await sql(tx).fetch("SELECT name FROM settings")
    return [row["name"] for row in rows]


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
    said = {"mime": "image/png", "kind": "image", "caption": "*Look!*", "width": 64, "height": 48}
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
    assert "is fetched" in await town.ask(room, "!chattor files accept")
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


async def test_a_portal_that_was_lost_is_opened_again_for_a_file(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.idle()
    town.homeserver.homeserver_loses_room(room.room_id)
    await offer(friend, PNG, "cat.png", kind="image", mime="image/png")
    again = await town.joined_portal()
    assert again.room_id != room.room_id
    assert await content_of(town, await shown(town, again)) == PNG


# --- progress --------------------------------------------------------------------------------------------------------


async def test_a_file_that_takes_its_time_is_told_of_in_one_notice(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    clock = FakeClock()
    progress = Progress(town.store, town.bridge.host, clock, town.bridge.observer._voice)
    friend.shelf.closed = False
    data = bytes(2_000_000)
    await offer(friend, data, "slow.bin")
    friend.shelf.closed = True
    await town.idle()
    await progress.look()
    await clock.advance(WORTH_TELLING + LOOK_INTERVAL)
    await progress.look()
    await town.homeserver.until(lambda: "slow.bin" in room.bodies(BOT)[-1].replace("\\", ""))
    notice = room.timeline[-1]
    assert "0 % of 2.0 MB" in notice["content"]["body"].replace("\\", "")
    await town.idle()
    await progress.look()  # nothing new, so nothing is said
    friend.shelf.closed = False
    await shown(town, room)
    await town.idle()
    edits = [
        event["content"]
        for event in room.timeline
        if event["content"].get("m.relates_to", {}).get("rel_type") == "m.replace"
    ]
    assert [edit["m.relates_to"]["event_id"] for edit in edits] == [notice["event_id"]]
    assert "has come" in edits[0]["body"]
