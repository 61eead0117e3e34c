"""What is kept of keys, and what is not used again."""

from __future__ import annotations

from mautrix.crypto import InboundGroupSession, OlmAccount, OutboundGroupSession
from mautrix.types import DeviceID, DeviceIdentity, IdentityKey, RoomID, SessionID, SigningKey, TrustState, UserID

from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.encryption.keystore import KeyStore
from chattor_bridge.storage import Store

BOT = MatrixUserId("@bot:example.test")
ALICE, CAROL = UserID("@alice:example.test"), UserID("@carol:example.test")
ROOM, ELSEWHERE = RoomID("!room:example.test"), RoomID("!elsewhere:example.test")


def _key_store(keys: Store) -> KeyStore:
    return KeyStore(keys, BOT, reads=True)


async def test_what_an_earlier_run_encrypted_with_is_not_encrypted_with_again(keys: Store) -> None:
    """That run may have gone on after the copy was made that this one has."""
    theirs = OlmAccount()
    theirs.generate_one_time_keys(1)
    (one_time_key,) = theirs.one_time_keys["curve25519"].values()
    first = _key_store(keys)
    session = OlmAccount().new_outbound_session(theirs.identity_key, one_time_key)
    await first.add_session(theirs.identity_key, session)
    await first.save()
    assert await first.has_session(theirs.identity_key)

    second = _key_store(keys)
    assert not await second.has_session(theirs.identity_key)
    (restored,) = await second.get_sessions(theirs.identity_key)
    assert restored.id == session.id
    await second.update_session(theirs.identity_key, restored)  # as after something was decrypted with it
    assert not await second.has_session(theirs.identity_key)
    assert await second.get_latest_session(theirs.identity_key) is None


def _session(said: OutboundGroupSession, room_id: RoomID, device: str) -> InboundGroupSession:
    return InboundGroupSession(
        said.session_key, SigningKey(device), IdentityKey(device), room_id, max_age=0, max_messages=0
    )


async def test_nobody_takes_somebody_elses_key_away_by_giving_it_out_as_their_own(keys: Store) -> None:
    """Carol is in the room, so she has the key of Alice's messages."""
    store = _key_store(keys)
    said = OutboundGroupSession(ROOM)
    session_id = SessionID(said.id)
    for first, second in ((ALICE, CAROL), (CAROL, ALICE)):
        store.abandon()
        for speaker in (first, second):
            store.speaker = speaker
            room_id = ROOM if speaker == ALICE else ELSEWHERE
            assert not await store.has_group_session(room_id, session_id)
            await store.put_group_session(room_id, IdentityKey(speaker), session_id, _session(said, room_id, speaker))
        store.speaker = ALICE
        found = await store.get_group_session(ROOM, session_id)
        assert found is not None
        assert str(found.sender_key) == ALICE


async def test_devices_that_changed_while_we_asked_for_them_are_asked_for_again(keys: Store) -> None:
    device = DeviceIdentity(
        ALICE, DeviceID("A"), IdentityKey("i"), SigningKey("s"), TrustState.UNVERIFIED, deleted=False, name=""
    )
    ghost, bot = _key_store(keys), _key_store(keys)
    await ghost.put_devices(ALICE, {DeviceID("A"): device})
    await ghost.save()
    assert await bot.get_devices(ALICE) == {"A": device}

    await ghost.put_devices(ALICE, {DeviceID("A"): device})  # what it was told before the change
    await bot.forget_person(ALICE)
    await bot.save()
    await ghost.save()
    assert await ghost.get_devices(ALICE) is None
    await ghost.put_devices(ALICE, {DeviceID("A"): device})
    await ghost.save()
    assert await bot.get_devices(ALICE) == {"A": device}
