"""What every `Homeserver` promises: run over the real Synapse and over the fake, by tests/bridge."""

from __future__ import annotations

import secrets

import pytest

from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.errors import HomeserverRefused, Undecryptable
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from tests.synapse import new_ghost

KEY = "chattor_bridge.test"


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
        first, since = await homeserver.read_receipts(None)
        for receipts in (first, (await homeserver.read_receipts(since))[0], (await homeserver.read_receipts("no"))[0]):
            assert all(receipt["room_id"] != room_id for receipt in receipts)

    async def test_what_is_uploaded_has_an_address(self, homeserver: Homeserver) -> None:
        ghost, room_id = await _room(homeserver)
        attached = await homeserver.attach(ghost, room_id, b"data", "image/png", "a.png")
        assert attached["url"].startswith("mxc://")

    async def test_what_is_uploaded_for_an_encrypted_room_is_described_as_encrypted(
        self, homeserver: Homeserver
    ) -> None:
        ghost, room_id = await _room(homeserver)
        settings = {"algorithm": "m.megolm.v1.aes-sha2"}
        await homeserver.set_state(ghost, room_id, "m.room.encryption", settings)
        attached = await homeserver.attach(ghost, room_id, b"data", "image/png", "a.png")
        assert list(attached) == ["file"]
        assert attached["file"]["url"].startswith("mxc://")

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


async def _room(homeserver: Homeserver) -> tuple[MatrixUserId, MatrixRoomId]:
    ghost = await _user(homeserver)
    room_id = await homeserver.create_room(
        ghost,
        name="A room",
        topic=None,
        invite=[],
        is_direct=True,
        initial_state=[{"type": "org.example.state", "state_key": "key", "content": {"value": 1}}],
    )
    return ghost, room_id
