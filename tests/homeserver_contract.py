"""What every `Homeserver` promises: run over the real Synapse and over the fake, by tests/bridge."""

from __future__ import annotations

import asyncio
import base64
import secrets
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from chattor_bridge.bridge.attachment import Attachment, Picture, Upload
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.errors import HomeserverRefused, NotFound, Undecryptable
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from tests.synapse import WAIT, new_ghost

KEY = "chattor_bridge.test"

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
GIF = base64.b64decode("R0lGODlhAQABAIAAAAAAAP///yH5BAEAAAAALAAAAAABAAEAAAIBRAA7")
"""Pictures of one dot."""


def message(body: str, mark: str = "") -> dict[str, str]:
    return {"msgtype": "m.text", "body": body, KEY: mark}


class HomeserverContract:
    """Subclasses provide the fixture ``homeserver``."""

    async def test_the_creator_and_nobody_else_is_in_a_new_room(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        assert room_id in await homeserver.joined_rooms(ghost)
        assert await homeserver.joined_members(ghost, room_id) == [ghost]

    async def test_a_room_carries_its_initial_state_and_name(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        assert await homeserver.get_state(ghost, room_id, "org.example.state", "key") == {"value": 1}
        assert await homeserver.get_state(ghost, room_id, "m.room.name") == {"name": "A room"}

    async def test_state_that_is_not_there_is_none(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        assert await homeserver.get_state(ghost, room_id, "org.example.state", "other") is None

    async def test_what_somebody_said_is_read_back_oldest_first(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        other = await _user(homeserver)
        await homeserver.invite(ghost, room_id, other)
        await homeserver.join(other, room_id)
        sent = [
            await homeserver.send(ghost, room_id, "m.room.message", message(f"{number}"), secrets.token_hex())
            for number in range(3)
        ]
        await homeserver.send(other, room_id, "m.room.message", message("not this"), secrets.token_hex())
        said = await homeserver.said_by(other, room_id, ghost)
        assert [(event["event_id"], event["room_id"]) for event in said] == [(one, room_id) for one in sent]

    async def test_the_whole_state_says_who_wrote_it(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        state = {(event["type"], event["state_key"]): event for event in await homeserver.room_state(ghost, room_id)}
        assert state["m.room.create", ""]["sender"] == ghost
        assert state["org.example.state", "key"]["content"] == {"value": 1}
        assert state["m.room.name", ""]["content"] == {"name": "A room"}

    async def test_a_space_is_a_space_and_not_encrypted(self, homeserver: Homeserver) -> None:
        user = await _user(homeserver)
        room_id = await homeserver.create_room(
            user, name="Space", topic=None, invite=[], is_direct=False, is_space=True
        )
        create = await homeserver.get_state(user, room_id, "m.room.create")
        assert create is not None
        assert create["type"] == "m.space"
        assert await homeserver.get_state(user, room_id, "m.room.encryption") is None

    async def test_state_can_be_set_again(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        await homeserver.set_state(ghost, room_id, "m.room.name", {"name": "Another"})
        assert await homeserver.get_state(ghost, room_id, "m.room.name") == {"name": "Another"}

    async def test_inviting_twice_succeeds_and_who_is_invited_can_join(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        other = await _user(homeserver)
        for _ in range(2):
            await homeserver.invite(ghost, room_id, other)
        await homeserver.join(other, room_id)
        await homeserver.invite(ghost, room_id, other)
        assert set(await homeserver.joined_members(ghost, room_id)) == {ghost, other}

    async def test_an_invitation_written_as_state_can_say_that_it_is_to_a_direct_chat(
        self, homeserver: Homeserver
    ) -> None:
        ghost, room_id = await _room(homeserver)
        other = await _user(homeserver)
        invitation = {"membership": "invite", "is_direct": True}
        await homeserver.set_state(ghost, room_id, "m.room.member", invitation, other)
        member = await homeserver.get_state(ghost, room_id, "m.room.member", other)
        assert member is not None
        assert (member["membership"], member["is_direct"]) == ("invite", True)
        await homeserver.join(other, room_id)

    async def test_nobody_joins_uninvited(self, homeserver: Homeserver) -> None:
        _, room_id = await _room(homeserver)
        with pytest.raises(HomeserverRefused) as refusal:
            await homeserver.join(await _user(homeserver), room_id)
        assert refusal.value.errcode == "M_FORBIDDEN"

    async def test_who_left_is_refused(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        await homeserver.leave(ghost, room_id)
        with pytest.raises(HomeserverRefused) as refusal:
            await homeserver.send(ghost, room_id, "m.room.message", message("gone"), secrets.token_hex())
        assert refusal.value.errcode == "M_FORBIDDEN"
        assert room_id not in await homeserver.joined_rooms(ghost)

    async def test_an_invitation_is_turned_down_with_a_reason_and_without_coming_in(
        self, homeserver: Homeserver
    ) -> None:
        ghost, room_id = await _room(homeserver)
        other = await _user(homeserver)
        await homeserver.invite(ghost, room_id, other)
        await homeserver.leave(other, room_id, "no, thank you")
        member = await homeserver.get_state(ghost, room_id, "m.room.member", other)
        assert member is not None
        assert (member["membership"], member["reason"]) == ("leave", "no, thank you")

    async def test_the_same_transaction_id_sends_once(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        txn_id = secrets.token_hex()
        first = await homeserver.send(ghost, room_id, "m.room.message", message("once"), txn_id)
        assert await homeserver.send(ghost, room_id, "m.room.message", message("once"), txn_id) == first
        other = await homeserver.send(ghost, room_id, "m.room.message", message("twice"), secrets.token_hex())
        assert other != first

    async def test_the_same_reaction_of_one_user_is_refused(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        said = await homeserver.send(ghost, room_id, "m.room.message", message("hi"), secrets.token_hex())
        reaction = {"m.relates_to": {"rel_type": "m.annotation", "event_id": said, "key": "👍"}}
        await homeserver.send(ghost, room_id, "m.reaction", reaction, secrets.token_hex())
        with pytest.raises(HomeserverRefused) as refused:
            await homeserver.send(ghost, room_id, "m.reaction", reaction, secrets.token_hex())
        assert refused.value.errcode == "M_DUPLICATE_ANNOTATION"

    async def test_what_is_removed_loses_its_content_however_often(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        said = await homeserver.send(ghost, room_id, "m.room.message", message("oops"), secrets.token_hex())
        for txn_id in ("once", "once", "twice"):
            await homeserver.redact(ghost, room_id, said, txn_id)
        events = await homeserver.said_by(ghost, room_id, ghost)
        assert [event["content"] for event in events if event["event_id"] == said] in ([{}], [])

    async def test_a_message_is_found_by_its_mark_among_its_senders_own(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        other = await _user(homeserver)
        await homeserver.invite(ghost, room_id, other)
        await homeserver.join(other, room_id)
        sent = await homeserver.send(ghost, room_id, "m.room.message", message("mine", "a"), secrets.token_hex())
        await homeserver.send(other, room_id, "m.room.message", message("theirs", "b"), secrets.token_hex())
        assert await homeserver.find_sent(ghost, room_id, KEY, "a", 0) == sent
        assert await homeserver.find_sent(ghost, room_id, KEY, "b", 0) is None
        assert await homeserver.find_sent(ghost, room_id, KEY, "c", 0) is None
        assert await homeserver.find_sent(ghost, room_id, KEY, "a", 2**40) is None

    async def test_a_message_can_be_marked_read(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        sent = await homeserver.send(ghost, room_id, "m.room.message", message("read"), secrets.token_hex())
        await homeserver.mark_read(ghost, room_id, sent)

    async def test_receipts_of_our_own_users_are_no_receipts(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        await homeserver.ensure_user(homeserver.bot, "The bot")
        await homeserver.invite(ghost, room_id, homeserver.bot)
        await homeserver.join(homeserver.bot, room_id)
        sent = await homeserver.send(ghost, room_id, "m.room.message", message("read"), secrets.token_hex())
        await homeserver.mark_read(ghost, room_id, sent)
        # Other rooms of the bot may have receipts: Synapse answers an equal `/sync` from a cache for two minutes,
        # so that the first answer, and with it `since`, may be older than this test.
        _, first, since = await homeserver.missed(None)
        await homeserver.bring_again(room_id, sent)
        for receipts in (first, (await homeserver.missed(since))[1], (await homeserver.missed("no"))[1]):
            assert all(receipt["room_id"] != room_id for receipt in receipts)

    async def test_what_was_missed_is_what_was_sent_since_the_bot_came(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        await homeserver.ensure_user(homeserver.bot, "The bot")
        await homeserver.invite(ghost, room_id, homeserver.bot)

        async def say(body: str) -> str:
            return await homeserver.send(ghost, room_id, "m.room.message", message(body), secrets.token_hex())

        async def missed(since: str | None) -> tuple[list[str], str]:
            found, _, now = await homeserver.missed(since)
            return [event["event_id"] for event in found if event["room_id"] == room_id], now

        before = await say("before")
        _, since = await missed(None)
        await homeserver.join(homeserver.bot, room_id)
        said = [await say("one"), await say("two")]
        assert (await missed(None))[0] == (await missed("no"))[0] == []
        found: list[str] = []
        async with asyncio.timeout(WAIT):  # it may lag behind
            while len(found) < len(said):
                more, since = await missed(since)
                found += more
        assert found == said
        said.append(await say("three"))
        renamed = {"membership": "join", "displayname": secrets.token_hex()}
        said.append(await homeserver.set_state(homeserver.bot, room_id, "m.room.member", renamed, homeserver.bot))
        async with asyncio.timeout(WAIT):
            while len(found) < len(said):
                more, since = await missed(since)
                found += more
        assert found == said
        assert before not in found

    @pytest.mark.parametrize("encrypted", [False, True])
    @pytest.mark.parametrize("size", [0, 1, 300_001])
    async def test_what_was_uploaded_is_downloaded_from_anywhere(
        self, homeserver: Homeserver, encrypted: bool, size: int
    ) -> None:
        ghost, room_id = await _room(homeserver, encrypted=encrypted)
        data = secrets.token_bytes(size)
        attachment = await homeserver.attach(ghost, room_id, Upload.of(data, "text/plain", "a.txt"))
        assert (attachment.key is not None) == encrypted
        for at in {0, size // 2, size - 1} if size else {0}:
            async with homeserver.download(attachment, at=at, at_most=size) as download:
                assert b"".join([piece async for piece in download.pieces]) == data[at:]
                assert download.size == size

    async def test_no_more_is_downloaded_than_was_wanted(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        attachment = await homeserver.attach(ghost, room_id, Upload.of(b"data", "text/plain", "a.txt"))
        with pytest.raises(HomeserverRefused) as refusal:
            async with homeserver.download(attachment, at_most=3):
                pass
        assert refusal.value.errcode == "M_TOO_LARGE"

    async def test_what_is_not_there_is_not_downloaded(self, homeserver: Homeserver) -> None:
        with pytest.raises(HomeserverRefused) as refusal:
            async with homeserver.download(Attachment(homeserver.domain, "nothing"), at_most=3):
                pass
        assert refusal.value.errcode == "M_NOT_FOUND"

    async def test_another_file_than_was_encrypted_is_not_taken_for_it(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver, encrypted=True)
        upload = Upload.of(b"data", "text/plain", "a.txt")
        one, other = [await homeserver.attach(ghost, room_id, upload) for _ in range(2)]
        assert one.key != other.key
        mixed = Attachment(one.server, one.media_id, other.key)
        async with homeserver.download(mixed, at_most=4) as download:
            with pytest.raises(Undecryptable):
                await anext(download.pieces)

    async def test_an_upload_of_another_size_than_was_said_is_broken_off(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        for lie in (3, 5):
            with pytest.raises(ValueError):
                await homeserver.attach(ghost, room_id, replace(Upload.of(b"data", "text/plain", "a.txt"), size=lie))

    async def test_why_a_file_could_not_be_read_is_told_to_whoever_uploads_it(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)

        async def broken() -> AsyncIterator[bytes]:
            yield b"da"
            raise NotFound("it is gone")

        with pytest.raises(NotFound):
            await homeserver.attach(ghost, room_id, Upload(4, broken, "text/plain", "a.txt"))

    async def test_only_of_a_picture_in_clear_there_is_a_thumbnail(self, homeserver: Homeserver) -> None:
        for encrypted, data, shown in ((False, PNG, True), (False, b"data", False), (True, PNG, False)):
            ghost, room_id = await _room(homeserver, encrypted=encrypted)
            attachment = await homeserver.attach(ghost, room_id, Upload.of(data, "image/png", "a.png"))
            picture = await homeserver.thumbnail(attachment, 96, 96, crop=True, at_most=8_000)
            assert (picture is not None) == shown
            if picture is not None:
                assert picture.mime_type == "image/png"
                assert await homeserver.thumbnail(attachment, 96, 96, crop=True, at_most=10) is None

    async def test_a_picture_is_uploaded_unless_it_is_shown_already(self, homeserver: Homeserver) -> None:
        ghost = await _user(homeserver)
        png, gif = Picture(PNG, "image/png"), Picture(GIF, "image/gif")
        first = await homeserver.picture_address(ghost, png, None)
        assert await homeserver.picture_address(ghost, png, first) == first
        second = await homeserver.picture_address(ghost, gif, first)
        assert second != first
        for wrong in (second, f"mxc://{homeserver.domain}/nothing", "no address"):
            assert await homeserver.picture_address(ghost, png, wrong) not in (first, wrong)
        attachment = Attachment.read({"url": second})
        assert attachment is not None
        async with homeserver.download(attachment, at_most=len(GIF)) as download:
            assert b"".join([piece async for piece in download.pieces]) == GIF

    async def test_what_only_looks_encrypted_cannot_be_opened(self, homeserver: Homeserver) -> None:
        _, room_id = await _room(homeserver)
        event = {"type": "m.room.encrypted", "room_id": room_id, "sender": "@a:b", "event_id": "$1"}
        with pytest.raises(Undecryptable):
            async with homeserver.opened({**event, "content": {"algorithm": "rot13"}}, 0):
                pass


async def _user(homeserver: Homeserver) -> MatrixUserId:
    ghost = new_ghost(homeserver.domain)
    await homeserver.ensure_user(ghost, "A ghost")
    return ghost


async def _room(homeserver: Homeserver, *, encrypted: bool = False) -> tuple[MatrixUserId, MatrixRoomId]:
    ghost = await _user(homeserver)
    encryption = {"type": "m.room.encryption", "state_key": "", "content": {"algorithm": "m.megolm.v1.aes-sha2"}}
    room_id = await homeserver.create_room(
        ghost,
        name="A room",
        topic=None,
        invite=[],
        is_direct=True,
        initial_state=[
            {"type": "org.example.state", "state_key": "key", "content": {"value": 1}},
            *([encryption] if encrypted else []),
        ],
    )
    return ghost, room_id
