"""The road with rooms that are encrypted from end to end, looked at through a client that encrypts.

It runs on PostgreSQL, since the same conversations in plain rooms run on SQLite, and the kill matrix on both.
"""

from __future__ import annotations

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import nio
import pytest
import pytest_asyncio
from mautrix.types import RoomID
from nio.crypto.attachments import decrypt_attachment

from chattor_bridge.bridge.content import CONTENT_LIMIT
from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.store_ports import NEVER_CAME
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.encryption import encryption, hearing, identity, tending
from chattor_bridge.ops.person import JsonObject
from tests.bridge.test_road_synapse import (
    Road,
    befriended,
    hear,
    road_to,
    test_receipts_tell_what_was_delivered_and_what_was_read_on_both_sides,
    test_somebody_stops_comes_back_and_has_everything_removed,
    test_stopping_in_the_middle_of_it_all_loses_and_doubles_nothing,
    test_the_chat_is_a_direct_one_named_after_the_friend,
    test_what_is_said_while_the_bridge_is_away_arrives_when_it_is_back,
)
from tests.bridge.town import MovableClock
from tests.nio_person import NioPerson
from tests.peer import Peer
from tests.postgres import Databases
from tests.synapse import WAIT, Homestead

PNG = b"\x89PNG"

__all__ = [
    "test_receipts_tell_what_was_delivered_and_what_was_read_on_both_sides",
    "test_somebody_stops_comes_back_and_has_everything_removed",
    "test_stopping_in_the_middle_of_it_all_loses_and_doubles_nothing",
    "test_the_chat_is_a_direct_one_named_after_the_friend",
    "test_what_is_said_while_the_bridge_is_away_arrives_when_it_is_back",
]

pytestmark = [pytest.mark.synapse, pytest.mark.engines("postgres")]


@pytest_asyncio.fixture
async def travelled(homestead: Homestead, tmp_path: Path, databases: Databases) -> AsyncIterator[tuple[Road, Peer]]:
    async with road_to(homestead, tmp_path, NioPerson, databases=databases) as road_and_friend:
        yield road_and_friend


async def _befriended(travelled: tuple[Road, Peer]) -> tuple[NioPerson, str, str]:
    alice, room_id, ghost = await befriended(*travelled)
    assert isinstance(alice, NioPerson)
    return alice, room_id, ghost


async def _shown(person: NioPerson, text: str) -> JsonObject:
    return await person.wait_for(lambda event: event["content"].get("body") == text, WAIT)


async def _raw(person: NioPerson, room_id: str, event_id: str) -> JsonObject:
    """The event as the homeserver has it."""
    answer = await person.nio.send("GET", f"/_matrix/client/v3/rooms/{room_id}/event/{event_id}", None, _token(person))
    event: JsonObject = await answer.json()
    return event


def _token(person: NioPerson) -> dict[str, str]:
    return {"Authorization": f"Bearer {person.nio.access_token}"}


async def test_two_people_talk_and_everything_is_encrypted(travelled: tuple[Road, Peer], homestead: Homestead) -> None:
    _, friend = travelled
    alice, room_id, ghost = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)
    said = [f"from the friend {number}" for number in range(5)]
    for number, text in enumerate(said):
        await friend.send(peer_id, text)
        await alice.say(room_id, f"from Alice {number}")
    await hear(alice, room_id, ghost, said)
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) == 5, WAIT)
    assert friend.ears.texts() == [f"from Alice {number}" for number in range(5)]
    messages = [event for event in alice.timeline if event["type"] in ("m.room.message", "m.room.encrypted")]
    assert all(event.get("decrypted") for event in messages)
    picture = next(event["content"] for event in messages if event["content"]["msgtype"] == "m.image")
    assert "url" not in picture
    file = picture["file"]
    ciphertext = await (await homestead.person()).fetch(file["url"])
    assert not ciphertext.startswith(PNG)
    assert decrypt_attachment(ciphertext, file["key"]["k"], file["hashes"]["sha256"], file["iv"]).startswith(PNG)
    raw = await _raw(alice, room_id, (await _shown(alice, said[0]))["event_id"])
    assert raw["type"] == "m.room.encrypted"
    assert set(raw["content"]) == {"algorithm", "ciphertext", "session_id", "sender_key", "device_id", MARK_KEY}


class Nheko(NioPerson):
    """Encrypts reactions as well, as some clients do."""

    async def react(self, room_id: str, event_id: str, key: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        event_type, content = self.nio.encrypt(room_id, "m.reaction", {"m.relates_to": relation})
        path = f"/_matrix/client/v3/rooms/{room_id}/send/{event_type}/{secrets.token_hex(8)}"
        answer = await self.nio.send("PUT", path, json.dumps(content), _token(self))
        assert answer.status == 200


async def test_a_reaction_counts_when_it_is_encrypted_too(homestead: Homestead, tmp_path: Path) -> None:
    async with road_to(homestead, tmp_path, Nheko) as (road, friend):
        _, room_id, _ = await befriended(road, friend)  # which is done by a reaction
        assert room_id


async def test_the_longest_texts_fit_an_encrypted_event(travelled: tuple[Road, Peer]) -> None:
    """Of letters that JSON may write as six, and of signs that HTML writes as six."""
    _, friend = travelled
    alice, _, _ = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)
    signs = '**b** "'.ljust(5 + (CONTENT_LIMIT - 400) // 8, '"')
    for text in (f"**жирный** {'ы' * 6_980}", f"**{'🧅' * 3_400}**", signs):
        await friend.send(peer_id, text)
        assert "formatted_body" in (await _shown(alice, text))["content"]


async def test_a_device_that_is_new_reads_what_is_said_from_then_on(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)
    await friend.send(peer_id, "before")
    await _shown(alice, "before")
    phone = await road.login_again(alice)
    assert isinstance(phone, NioPerson)
    await friend.send(peer_id, "after")
    assert (await _shown(phone, "after"))["decrypted"]
    assert (await _shown(alice, "after"))["decrypted"]
    await phone.say(room_id, "from the phone")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["from the phone"], WAIT)


async def test_a_client_that_lost_a_key_is_given_it_again_when_it_asks(
    travelled: tuple[Road, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "LISTENING", (0.5, 0.5, 0.5, 0.5))
    monkeypatch.setattr(tending, "LISTENING_ROUND", 0.1)
    road, friend = travelled
    alice, _, ghost = await _befriended(travelled)
    await friend.send(await friend.friend(WAIT), "from the ghost")
    await _shown(alice, "from the ghost")
    for sender in (ghost, road.bot):
        shown = next(event for event in alice.timeline if event.get("decrypted") and event["sender"] == sender)
        event = nio.MegolmEvent.from_dict(await _raw(alice, shown["room_id"], shown["event_id"]))
        assert isinstance(event, nio.MegolmEvent)
        event.room_id = shown["room_id"]
        del alice.nio.olm.inbound_group_store[event.room_id][event.sender_key][event.session_id]
        with pytest.raises(nio.EncryptionError):
            alice.nio.decrypt_event(event)
        await alice.nio.to_device(event.as_key_request(sender, alice.nio.device_id, device_id=event.device_id))
        async with asyncio.timeout(WAIT):
            while alice.nio.olm.inbound_group_store.get(event.room_id, event.sender_key, event.session_id) is None:
                await alice.sync()
        assert alice.nio.decrypt_event(event).body == shown["content"]["body"]


async def test_who_has_left_is_given_no_more_keys(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)
    await friend.send(peer_id, "for Alice")
    first = (await _shown(alice, "for Alice"))["session"]
    carol = await road.person()
    assert isinstance(carol, NioPerson)
    await alice.nio.room_invite(room_id, carol.user_id)
    await carol.wait_for(lambda event: event["room_id"] == room_id, WAIT)
    await friend.send(peer_id, "for both")
    second = (await _shown(carol, "for both"))["session"]
    await carol.nio.room_leave(room_id)
    await alice.wait_for(
        lambda event: event.get("state_key") == carol.user_id and event["content"]["membership"] == "leave", WAIT
    )
    await alice.say(room_id, "are you still there?")  # once this is through, the bridge has heard of it too
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["are you still there?"], WAIT)
    await friend.send(peer_id, "for Alice again")
    third = (await _shown(alice, "for Alice again"))["session"]
    assert len({first, second, third}) == 3


async def test_who_comes_back_with_another_device_reads_what_is_said_from_then_on(
    travelled: tuple[Road, Peer],
) -> None:
    """While somebody shares no room with the bridge, nobody tells it of their devices."""
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)
    carol = await road.person()
    assert isinstance(carol, NioPerson)
    await alice.nio.room_invite(room_id, carol.user_id)
    await carol.wait_for(lambda event: event["room_id"] == room_id, WAIT)
    await friend.send(peer_id, "for both")
    await _shown(carol, "for both")
    await carol.nio.room_leave(room_id)
    phone = await road.login_again(carol)
    assert isinstance(phone, NioPerson)
    await alice.nio.room_invite(room_id, carol.user_id)
    await phone.wait_for(lambda event: event["room_id"] == room_id, WAIT)
    await friend.send(peer_id, "for the phone")
    assert (await _shown(phone, "for the phone"))["decrypted"]


async def test_a_key_that_never_comes_is_told_of_and_holds_up_nothing_for_ever(
    travelled: tuple[Road, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hearing, "KEY_PATIENCE", 2)
    monkeypatch.setattr(hearing, "SYNC_TIMEOUT", 1)
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    for device in alice.nio.device_store.active_user_devices(road.bot):
        alice.nio.blacklist_device(device)
    alice.nio.invalidate_outbound_session(room_id)
    await alice.say(room_id, "for your eyes only")
    await alice.wait_for(lambda event: "could not read this" in event["content"].get("body", ""), WAIT)
    assert (await road.bridge.status()).parked == 1
    for device in alice.nio.device_store.active_user_devices(road.bot):
        alice.nio.unblacklist_device(device)
    alice.nio.invalidate_outbound_session(room_id)
    await alice.say(room_id, "and now?")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["and now?"], WAIT)


async def test_a_key_is_not_waited_for_until_the_date_of_a_clock_that_was_ahead(
    travelled: tuple[Road, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its message came while the clock was wrong, and the room would stand still until that date."""
    monkeypatch.setattr(hearing, "KEY_PATIENCE", 2)
    monkeypatch.setattr(hearing, "SYNC_TIMEOUT", 1)
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    for device in alice.nio.device_store.active_user_devices(road.bot):
        alice.nio.blacklist_device(device)
    alice.nio.invalidate_outbound_session(room_id)
    with monkeypatch.context() as wrong:
        (clock := MovableClock()).ahead = 31 * 86_400
        wrong.setattr(road.bridge._intake, "_clock", clock)
        await alice.say(room_id, "for your eyes only")
        await alice.wait_for(lambda event: "could not read this" in event["content"].get("body", ""), WAIT)
    for device in alice.nio.device_store.active_user_devices(road.bot):
        alice.nio.unblacklist_device(device)
    alice.nio.invalidate_outbound_session(room_id)
    await alice.say(room_id, "and now?")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["and now?"], WAIT)


async def test_a_message_that_is_played_again_is_not_sent_again(travelled: tuple[Road, Peer]) -> None:
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    raw = await _raw(alice, room_id, await alice.say(room_id, "once"))
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["once"], WAIT)
    await road.bridge.accept("again", [{**raw, "room_id": room_id, "event_id": f"${secrets.token_hex(8)}"}], [])
    await alice.wait_for(lambda event: "could not read this" in event["content"].get("body", ""), WAIT)
    await alice.say(room_id, "twice")
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) == 2, WAIT)
    assert friend.ears.texts() == ["once", "twice"]


async def test_words_put_into_somebodys_mouth_are_not_sent(
    travelled: tuple[Road, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Encrypted by a device of another person in the room, and said to be the owner's by the homeserver."""
    monkeypatch.setattr(hearing, "KEY_PATIENCE", 2)
    monkeypatch.setattr(hearing, "SYNC_TIMEOUT", 1)
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    carol = await road.person()
    assert isinstance(carol, NioPerson)
    await alice.nio.room_invite(room_id, carol.user_id)
    await carol.wait_for(lambda event: event["room_id"] == room_id, WAIT)
    raw = await _raw(carol, room_id, await carol.say(room_id, "I am Alice"))
    forged = {**raw, "room_id": room_id, "event_id": f"${secrets.token_hex(8)}", "sender": alice.user_id}
    await road.bridge.accept("forged", [forged], [])
    await alice.wait_for(lambda event: NEVER_CAME in str(event["content"]), WAIT)
    await alice.say(room_id, "I am")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["I am"], WAIT)


async def test_only_devices_that_are_cross_signed_can_read_if_so_wanted(homestead: Homestead, tmp_path: Path) -> None:
    async with road_to(homestead, tmp_path, NioPerson, only_cross_signed=True) as (road, _friend):
        alice = await road.person()  # whose client does not know of cross-signing
        room_id = await alice.open_chat(road.bot)
        await alice.wait_for(lambda event: event["sender"] == road.bot and event["type"] == "m.room.encrypted", WAIT)
        assert not [event for event in alice.timeline if event["room_id"] == room_id and event.get("decrypted")]


async def test_a_database_that_was_put_back_speaks_under_new_keys(travelled: tuple[Road, Peer], tmp_path: Path) -> None:
    road, friend = travelled
    alice, room_id, _ = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)
    await friend.send(peer_id, "before")
    session = (await _shown(alice, "before"))["session"]
    await road.restart()
    await friend.send(peer_id, "after")
    assert (await _shown(alice, "after"))["session"] != session
    await alice.say(room_id, "heard")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["heard"], WAIT)


async def test_a_ghosts_device_is_signed_by_the_ghost_and_its_one_key_renewed(
    travelled: tuple[Road, Peer], homestead: Homestead, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tending, "TENDING_ROUND", 0.2)
    monkeypatch.setattr(tending, "TENDING_INTERVAL", 0)
    road, friend = travelled
    alice, _, ghost = await _befriended(travelled)
    await friend.send(await friend.friend(WAIT), "now I need a device")
    await _shown(alice, "now I need a device")
    somebody = await homestead.person()
    answer = await somebody.ask("POST", "/keys/query", {"device_keys": {ghost: []}})
    own_key = next(iter(answer["self_signing_keys"][ghost]["keys"]))
    (device,) = [one for one in answer["device_keys"][ghost].values() if own_key in one["signatures"][ghost]]
    assert len(device["device_id"]) == identity.DEVICE_LETTERS
    claim = {"one_time_keys": {ghost: {device["device_id"]: "signed_curve25519"}}}
    first = await somebody.ask("POST", "/keys/claim", claim)
    await road.restart()
    while await somebody.ask("POST", "/keys/claim", claim) == first:
        await alice.sync()


async def test_keys_are_changed_by_count_and_by_time(
    travelled: tuple[Road, Peer], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(identity, "MAX_MESSAGES", 2)
    road, friend = travelled
    alice, room_id, ghost = await _befriended(travelled)
    peer_id = await friend.friend(WAIT)

    async def session(text: str) -> str:
        await friend.send(peer_id, text)
        return str((await _shown(alice, text))["session"])

    first, second, third = [await session(text) for text in ("1", "2", "3")]
    assert first == second != third
    outbound = road.encryption._identities[MatrixUserId(ghost)].keys._outbound[RoomID(room_id)]
    outbound.creation_time -= timedelta(seconds=identity.MAX_AGE + 1)
    assert await session("4") != third


async def test_a_room_that_turns_encryption_on_is_followed(travelled: tuple[Road, Peer]) -> None:
    road, _ = travelled
    alice = await road.person()
    assert isinstance(alice, NioPerson)
    room_id = await alice.open_chat(road.bot, encrypted=False)
    assert "decrypted" not in await alice.next_from(road.bot, room_id, WAIT)
    await alice.nio.room_put_state(room_id, "m.room.encryption", {"algorithm": encryption.ALGORITHM})
    await alice.wait_for(lambda event: (event["type"], event["room_id"]) == ("m.room.encryption", room_id), WAIT)
    await alice.say(room_id, "help")
    assert (await alice.next_from(road.bot, room_id, WAIT))["decrypted"]
