"""Somebody who recorded everything and later breaks X25519, as a quantum computer would: docs/threat-model.md."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable

import pytest

from chattor_bridge.errors import AuthenticationFailed
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import agreement, cbor, ratchet, resync
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide, KnockArrived
from chattor_bridge.protocol.epoch import EpochKeys, Epochs, Offered, next_epoch_secret
from chattor_bridge.protocol.events import EpochAccept, EpochOffer, decode_event
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady
from chattor_bridge.protocol.limits import EPOCH_LIFETIME
from chattor_bridge.protocol.primitives import aead_seal, ed25519_public, hkdf, kem_decapsulate
from chattor_bridge.protocol.rekeying import offer_if_due, take_accept, take_offer
from chattor_bridge.protocol.session import Session, SessionBroken
from chattor_bridge.protocol.window import ReceiveWindow
from chattor_bridge.storage.sealing import Part, Sealer
from chattor_bridge.storage.transaction import sql
from tests.bridge.fake_homeserver import WAIT
from tests.bridge.town import Town
from tests.peer import Peer

NOW = 1_760_000_000


def test_the_keys_of_a_knock_are_worth_nothing_without_the_kem_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four X25519 keys of a recorded knock are broken; the introduction stays closed, and every envelope."""
    inputs: list[tuple[bytes, ...]] = []
    derive = agreement.derive_root

    def overheard(*parts: bytes) -> bytes:
        inputs.append(parts)
        return derive(*parts)

    monkeypatch.setattr("chattor_bridge.protocol.answered_knock.derive_root", overheard)
    arrived, ready, sealed = _knock()
    transcript, static_dh, identity_dh, ephemeral_dh, kem_secret = inputs[0][:5]
    root = derive(transcript, static_dh, identity_dh, ephemeral_dh, kem_secret, *inputs[0][5:])
    assert agreement.open_introduction(root, transcript, sealed)
    broken = derive(transcript, static_dh, identity_dh, ephemeral_dh, secrets.token_bytes(32), *inputs[0][5:])
    with pytest.raises(AuthenticationFailed):
        agreement.open_introduction(broken, transcript, sealed)

    # and neither does the session that grows from the root
    guessed, _ = Session.begin_as_knocker(
        broken, transcript, door_key=secrets.token_bytes(32), random=secrets.token_bytes, now=NOW
    )
    envelope = arrived.session.seal(b"said in confidence", random=secrets.token_bytes, now=NOW).envelope
    with pytest.raises(AuthenticationFailed):
        guessed.open(envelope, random=secrets.token_bytes, now=NOW)
    assert ready.session.open(envelope, random=secrets.token_bytes, now=NOW).inner == b"said in confidence"
    assert guessed.link_psk != ready.session.link_psk


def test_what_was_delivered_does_not_open_with_the_keys_that_are_left() -> None:
    """A recording of the wire, and the whole state of both sides after delivery."""
    arrived, ready, _ = _knock()
    envelope = arrived.session.seal(b"said in confidence", random=secrets.token_bytes, now=NOW).envelope
    assert ready.session.open(envelope, random=secrets.token_bytes, now=NOW).inner == b"said in confidence"
    stolen = Session.deserialize(ready.session.serialize())
    stolen.received = ReceiveWindow()  # what would tell that it was delivered stands in nobody's way
    with pytest.raises(SessionBroken):
        stolen.open(envelope, random=secrets.token_bytes, now=NOW)


def test_no_key_that_opens_what_was_delivered_is_left_on_either_side(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither the key that sealed it nor the chain keys it could be made from again."""
    arrived, ready, _ = _knock()
    sides = arrived.session, ready.session
    keys: list[bytes] = []

    def noted(key: bytes, nonce: bytes, plaintext: bytes, ad: bytes) -> bytes:
        keys.append(key)
        return aead_seal(key, nonce, plaintext, ad)

    monkeypatch.setattr(ratchet, "aead_seal", noted)
    for sender, receiver in (sides, sides[::-1], sides):
        chain = sender._ratchet.to_fields()["sending"]
        assert isinstance(chain, list)
        assert chain[1] in sender.serialize()
        keys.append(chain[1])
        envelope = sender.seal(b"said in confidence", random=secrets.token_bytes, now=NOW).envelope
        receiver.open(envelope, random=secrets.token_bytes, now=NOW)
    assert len(keys) == 6
    for side in sides:
        left = side.serialize()
        assert not [key for key in keys if key in left]


def test_an_epoch_is_worth_nothing_for_the_next_without_the_kem_secret() -> None:
    """The secret of an epoch is known, and what was said in it, the offer and the accept of the next one included."""
    arrived, ready, _ = _knock()
    owner, knocker = arrived.session, ready.session
    stolen = knocker.epochs.keys[0].secret
    assert stolen is not None
    offer = offer_if_due(knocker, random=secrets.token_bytes, now=NOW + EPOCH_LIFETIME)
    assert offer is not None
    opened = owner.open(offer.sealed.envelope, random=secrets.token_bytes, now=NOW)
    said = decode_event(offer.encoded).body
    assert isinstance(said, EpochOffer)
    accept = take_offer(owner, said, opened, random=secrets.token_bytes, now=NOW)
    answered = knocker.open(accept.sealed.envelope, random=secrets.token_bytes, now=NOW)
    accepted = decode_event(accept.encoded).body
    assert isinstance(accepted, EpochAccept)
    seed = knocker.epochs.negotiation
    assert isinstance(seed, Offered)
    take_accept(knocker, accepted, answered, now=NOW)
    known = next_epoch_secret(stolen, kem_decapsulate(seed.seed, accepted.ciphertext), offer.encoded, accept.encoded)
    guessed = next_epoch_secret(stolen, secrets.token_bytes(32), offer.encoded, accept.encoded)
    sending = knocker.epochs.sending_key()
    assert EpochKeys.derive(known, "knocker", NOW).sending == sending
    assert EpochKeys.derive(guessed, "knocker", NOW).sending != sending
    assert EpochKeys.derive(stolen, "knocker", NOW).sending != sending


def test_a_resync_is_worth_nothing_without_the_kem_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything else of it is known, the link key of the friendship as well."""
    arrived, ready, _ = _knock()
    roots: list[tuple[bytes, bytes]] = []
    derive = resync._root

    def overheard(session: Session, secret: bytes, transcript: bytes) -> bytes:
        root = derive(session, secret, transcript)
        roots.append((root, derive(session, secret[:32] + secrets.token_bytes(32), transcript)))
        return root

    monkeypatch.setattr(resync, "_root", overheard)
    hash_of_link = secrets.token_bytes(32)
    starting = resync.Starting(ready.session, hash_of_link, random=secrets.token_bytes)
    said, renewed = resync.answer(starting.frame, arrived.session, hash_of_link, random=secrets.token_bytes, now=NOW)
    other = starting.finish(said, ready.session, random=secrets.token_bytes, now=NOW)
    envelope = renewed.seal(b"said in confidence", random=secrets.token_bytes, now=NOW).envelope
    right, guess = (Epochs.begin(hkdf(root, label="epoch"), "knocker", NOW) for root in roots[0])
    for epochs, is_right in ((right, True), (guess, False)):
        assert (epochs.sending_key() == other.epochs.sending_key()) is is_right
        assert (epochs.receiving_keys() == other.epochs.receiving_keys()) is is_right
    assert other.open(envelope, random=secrets.token_bytes, now=NOW).inner == b"said in confidence"


async def test_what_was_said_and_is_done_with_is_nowhere_in_the_database_of_a_bridge(
    town: Town, friend: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever has the key file opens every value of every row."""
    opened: dict[bytes, bytes] = {}
    seal = Sealer.seal

    def noted(self: Sealer, value: bytes, table: str, column: str, *row: Part) -> bytes:
        sealed = seal(self, value, table, column, *row)
        opened[sealed] = value
        return sealed

    monkeypatch.setattr(Sealer, "seal", noted)
    room = await town.befriend(friend)
    portal = await town.portal(room)
    await town.say(room, "under the old oak")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["under the old oak"], WAIT)
    sent = await friend.send(await friend.friend(WAIT), "beside the well")
    await friend.delivered(sent, WAIT)
    await town.homeserver.until(lambda: room.bodies(portal.ghost) == ["beside the well"])
    await town.idle()
    left: list[bytes] = []
    async with town.store.transaction() as tx:
        for table in await sql(tx).tables():
            for row in await sql(tx).fetch(f'SELECT * FROM "{table}"'):
                values = dict(row).values()  # type: ignore[call-overload]  # rows of both engines have keys
                left += [opened.get(one, one) if isinstance(one, bytes) else str(one).encode() for one in values]
    assert len(left) > 100
    for said in (b"under the old oak", b"beside the well"):
        assert _holding(said, opened.values())  # it was there
        assert not _holding(said, left)


def _holding(said: bytes, values: Iterable[bytes]) -> list[bytes]:
    """Those of these values that have it in them, also in base64, wherever in it it begins."""
    forms = [said]
    for before in range(3):
        encoded = base64.b64encode(bytes(before) + said)
        forms.append(encoded[(8 * before + 5) // 6 : 8 * (before + len(said)) // 6])
    return [value for value in values if any(form in value for form in forms)]


def _knock() -> tuple[KnockArrived, KnockReady, bytes]:
    """A knock, both sides of it, and its sealed part."""
    seed = secrets.token_bytes(32)
    introduction = Introduction("Anna", "", OnionKey(ed25519_public(secrets.token_bytes(32))))
    code = FriendCode(OnionKey(ed25519_public(seed)))
    knocker = KnockingSide(code, introduction, static_key=secrets.token_bytes(32), random=secrets.token_bytes, now=NOW)
    door = DoorSide(DoorSecrets(seed, secrets.token_bytes(32)), random=secrets.token_bytes, work_bits=0)
    door.receive(knocker.start(), now=NOW)
    (ready,) = knocker.receive(door.data_to_send())
    assert isinstance(ready, KnockReady)
    door.receive(ready.message, now=NOW)
    sealed = cbor.decode(ready.message[2:])["sealed"]  # type: ignore[index]  # it is a map
    return door.open(0), ready, sealed
