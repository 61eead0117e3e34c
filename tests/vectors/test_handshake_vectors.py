"""friend-code.json, knock.json, one-time-knock.json and session.json, made again and verified by other means."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from nacl.exceptions import CryptoError

from tests.vectors import independent as plain
from tests.vectors.make_handshake import FILES, text_of


@pytest.mark.parametrize("name", FILES)
def test_the_files_are_what_the_code_makes(name: str) -> None:
    assert (Path(__file__).parent / name).read_text(encoding="utf-8") == text_of(name)


# --- friend codes ----------------------------------------------------------------------------------------------------


def _code_of(door: bytes, secret: bytes = b"") -> str:
    payload = _payload_of(door, secret) + secret
    return "chattor:" + plain.base32(payload + plain.crc16(payload).to_bytes(2, "big"))


def _payload_of(door: bytes, secret: bytes) -> bytes:
    return b"\x01" + door + (b"\x01" if secret else b"\x00")


def test_friend_codes() -> None:
    assert plain.crc16(b"123456789") == 0x29B1  # the check value of CRC-16/IBM-3740
    for vector in plain.load("friend-code.json")["codes"]:
        door = bytes.fromhex(vector["door"])
        secret = bytes.fromhex(vector["secret"])
        assert vector["payload"] == _payload_of(door, secret).hex()
        assert plain.crc16(bytes.fromhex(vector["payload"]) + secret) == int(vector["crc"], 16)
        assert vector["code"] == _code_of(door, secret)
        assert len(vector["code"]) == (92 if secret else 66)
        assert vector["auth_private"] == (plain.hkdf(secret, "door-auth", door).hex() if secret else None)
        for spelling in vector["also"]:
            assert "".join(spelling.lower().split()).removeprefix("chattor:") == vector["code"].removeprefix("chattor:")
        checksum = hashlib.sha3_256(b".onion checksum" + door + b"\x03").digest()[:2]
        assert vector["address"] == plain.base32(door + checksum + b"\x03") + ".onion"


def _wrong_with(text: str) -> str:
    """The first rule of friend-code.md, "Reading", that a text without prefix and spaces breaks; nothing for a code."""
    alphabet = "abcdefghijklmnopqrstuvwxyz234567"
    if not text or set(text) - set(alphabet):
        return "characters"
    bits = "".join(f"{alphabet.index(one):05b}" for one in text)
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    if plain.base32(data) != text:
        return "spare bits"
    payload, checksum = data[:-2], int.from_bytes(data[-2:], "big")
    if plain.crc16(payload) != checksum:
        return "checksum"
    if payload[0] != 1:
        return "version"
    if payload[33:34] not in (b"", b"\x00", b"\x01"):
        return "flags"
    if len(payload) != {b"": -1, b"\x00": 34, b"\x01": 50}[payload[33:34]]:
        return "length"
    return "key" if payload[1:33] == bytes(32) else ""  # y = 0 is a point of order 4


def test_refused_friend_codes() -> None:
    vectors = plain.load("friend-code.json")
    assert {_wrong_with(vector["code"].removeprefix("chattor:")) for vector in vectors["codes"]} == {""}
    wrong = {vector["why"]: _wrong_with(vector["text"]) for vector in vectors["refused"]}
    assert [why for why, what in wrong.items() if not what] == []
    assert set(wrong.values()) == {"characters", "spare bits", "checksum", "version", "flags", "length", "key"}


# --- the knock -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=["knock.json", "one-time-knock.json"])
def knock(request: pytest.FixtureRequest) -> Any:
    return plain.load(request.param)


def _secret_in(code: str) -> bytes:
    """The secret of a one-time code, or none."""
    bits = "".join(f"{'abcdefghijklmnopqrstuvwxyz234567'.index(one):05b}" for one in code.removeprefix("chattor:"))
    data = bytes(int(bits[at : at + 8], 2) for at in range(0, len(bits) - 7, 8))
    return data[34:-2]


def test_the_knock_from_the_door(knock: Any) -> None:
    """A door that has only its own secrets reads everything."""
    inputs, results = knock["inputs"], knock["results"]
    stream = {name: bytes.fromhex(value) for name, value in knock["stream"].items()}
    messages = {name: value[2:] for name, value in stream.items()}
    assert all(plain.framed(messages[name]) == stream[name] for name in stream)
    e_d, kem_seed, nonce, owner_key = (bytes.fromhex(draw["bytes"]) for draw in inputs["door_draws"])
    identity = bytes.fromhex(inputs["identity_private"])

    # the hello and the bundle
    assert plain.read_cbor(messages["hello"]) == {"want": "knock", "versions": [1]}
    door_message = plain.read_cbor(messages["door_message"])
    bundle = plain.read_cbor(door_message["bundle"])
    door = bundle["door"]
    secret = _secret_in(inputs["code"])
    assert inputs["code"] == _code_of(door, secret)
    plain.ed25519_verify(door, plain.labelled("door", door_message["bundle"]), door_message["signature"])
    assert bundle == {
        "door": door,
        "identity": plain.x25519_public(identity),
        "ephemeral": plain.x25519_public(e_d),
        "kem": plain.kem_public(kem_seed),
        "nonce": nonce,
        "work": {"sha256": inputs["work_bits"], "argon2id": inputs["effort_bits"]},
        "expires": inputs["now"] + 300,
        "versions": [1],
        "capabilities": ["profile", "receipt", "text"],
    }

    # the stamp
    sent = plain.read_cbor(messages["knock"])
    assert set(sent) == {"header", "sealed", "stamp", "proof"}
    knock_hash = plain.sha256("knock", sent["header"], sent["sealed"])
    work = plain.sha256("stamp", nonce, knock_hash, sent["stamp"])
    assert f"{int.from_bytes(work, 'big'):0256b}".startswith("0" * inputs["work_bits"])

    # the proof
    assert results["effort"] == plain.effort(nonce, knock_hash, sent["proof"]) >= inputs["effort_bits"]

    # the key agreement
    header = plain.read_cbor(sent["header"])
    assert header["version"] == 1
    assert header["static"].hex() == results["peer_static"]
    payload = _payload_of(door, secret)
    transcript = plain.sha256("knock-transcript", payload, messages["hello"], messages["door_message"], sent["header"])
    assert transcript.hex() == results["transcript"]
    shared = (
        plain.x25519(e_d, header["static"])
        + plain.x25519(identity, header["ephemeral"])
        + plain.x25519(e_d, header["ephemeral"])
        + plain.kem_decapsulate(kem_seed, header["kem"])
        + secret
    )
    root = plain.hkdf(shared, "knock-root", transcript)

    # the introduction
    opened = plain.unseal(
        plain.hkdf(root, "knock-key"), bytes(12), sent["sealed"], plain.labelled("knock-sealed", transcript)
    )
    assert len(opened) == 4_096
    introduction = plain.read_cbor(plain.unpadded(opened))
    first_header, first_ciphertext = introduction.pop("ratchet")
    introduction["onion"] = introduction["onion"].hex()
    assert introduction == inputs["introduction"]

    # the receipt
    sealed = plain.read_cbor(messages["receipt"])["receipt"]
    receipt = plain.unseal(
        plain.hkdf(root, "receipt-key"), bytes(12), sealed, plain.labelled("receipt", transcript, knock_hash)
    )
    assert len(receipt) == 64
    assert plain.read_cbor(plain.unpadded(receipt)) == {"status": results["receipt"]}

    # what both sides keep
    friendship_id = plain.sha256("friendship-id", transcript)[:16]
    assert friendship_id.hex() == results["friendship_id"]
    assert plain.sha256("session", transcript)[:16].hex() == results["session_id"]
    assert plain.hkdf(root, "link-psk").hex() == results["link_psk"]
    friendship = plain.hkdf(root, "friendship")
    onion = bytes.fromhex(introduction["onion"])
    assert plain.hkdf(friendship, "onion-auth", onion).hex() == results["onion_auth_private"]
    epoch = plain.hkdf(root, "epoch")
    for side in ("knocker", "owner"):
        proof = plain.hkdf(friendship, "merge", side.encode(), bytes(range(32)))  # of some other transcript
        assert proof.hex() == results[f"merge_proof_{side}"]
        assert plain.hkdf(epoch, "envelope-key", side.encode()).hex() == results[f"epoch_0_key_{side}"]

    # the first ratchet message
    ratchet = plain.Ratchet(plain.hkdf(root, "ratchet"), [owner_key], peer=first_header[:32])
    ratchet.begin_receiving(e_d)
    ad = plain.labelled("ratchet-ad", friendship_id, b"knocker", bytes(8))
    first = ratchet.decrypt(first_header, first_ciphertext, ad)
    assert plain.unpadded(first) == b"chattor/v1/first"


def test_the_knock_from_the_knocker(knock: Any) -> None:
    """The same bytes come out of the knocker's secrets."""
    inputs = knock["inputs"]
    hello, door_message = (bytes.fromhex(knock["stream"][name])[2:] for name in ("hello", "door_message"))
    static = bytes.fromhex(inputs["static_private"])
    e_a, ratchet_key, nonce = (bytes.fromhex(draw["bytes"]) for draw in inputs["knocker_draws"])
    bundle = plain.read_cbor(plain.read_cbor(door_message)["bundle"])
    ciphertext, kem_secret = plain.kem_encapsulate(bundle["kem"], bytes.fromhex(inputs["encapsulation_message"]))
    header = plain.cbor(
        {
            "version": 1,
            "static": plain.x25519_public(static),
            "ephemeral": plain.x25519_public(e_a),
            "kem": ciphertext,
        }
    )
    secret = _secret_in(inputs["code"])
    transcript = plain.sha256("knock-transcript", _payload_of(bundle["door"], secret), hello, door_message, header)
    root = plain.hkdf(
        plain.x25519(static, bundle["ephemeral"])
        + plain.x25519(e_a, bundle["identity"])
        + plain.x25519(e_a, bundle["ephemeral"])
        + kem_secret
        + secret,
        "knock-root",
        transcript,
    )
    ratchet = plain.Ratchet(plain.hkdf(root, "ratchet"), [ratchet_key], peer=bundle["ephemeral"])
    ratchet.begin_sending()
    ad = plain.labelled("ratchet-ad", plain.sha256("friendship-id", transcript)[:16], b"knocker", bytes(8))
    first = ratchet.encrypt(plain.padded(b"chattor/v1/first", 17), ad, nonce)
    introduction = inputs["introduction"] | {"onion": bytes.fromhex(inputs["introduction"]["onion"])}
    sealed = plain.seal(
        plain.hkdf(root, "knock-key"),
        bytes(12),
        plain.padded(plain.cbor(introduction | {"ratchet": list(first)}), 4_096),
        plain.labelled("knock-sealed", transcript),
    )
    knock_hash = plain.sha256("knock", header, sealed)
    number = 0
    while plain.sha256("stamp", bundle["nonce"], knock_hash, number.to_bytes(8, "big"))[0:2] >= b"\x00\x40":
        number += 1
    assert inputs["work_bits"] == 10  # what 00 40 above says
    stamp = number.to_bytes(8, "big")
    number = 0
    while plain.effort(bundle["nonce"], knock_hash, number.to_bytes(8, "big")) < inputs["effort_bits"]:
        number += 1
    proof = number.to_bytes(8, "big")
    message = plain.framed(plain.cbor({"header": header, "sealed": sealed, "stamp": stamp, "proof": proof}))
    assert message.hex() == knock["stream"]["knock"]


# --- the session -----------------------------------------------------------------------------------------------------


def test_the_session_envelope_by_envelope() -> None:
    vectors = plain.load("session.json")
    inputs = vectors["inputs"]
    root, transcript, e_d = (bytes.fromhex(inputs[name]) for name in ("root", "transcript", "door_ephemeral_private"))
    friendship_id = plain.sha256("friendship-id", transcript)[:16]
    epoch = plain.hkdf(root, "epoch")
    ratchet_root = plain.hkdf(root, "ratchet")

    def ad(side: str, seq: int) -> bytes:
        return plain.labelled("ratchet-ad", friendship_id, side.encode(), seq.to_bytes(8, "big"))

    key, nonce = (bytes.fromhex(draw) for draw in inputs["knocker_draws"])
    knocker = plain.Ratchet(ratchet_root, [key], peer=plain.x25519_public(e_d))
    knocker.begin_sending()
    first = knocker.encrypt(plain.padded(b"chattor/v1/first", 17), ad("knocker", 0), nonce)
    assert [part.hex() for part in first] == list(vectors["first_ratchet_message"].values())
    owner = plain.Ratchet(ratchet_root, [bytes.fromhex(draw) for draw in inputs["owner_draws"]], peer=first[0][:32])
    owner.begin_receiving(e_d)
    assert plain.unpadded(owner.decrypt(*first, ad("knocker", 0))) == b"chattor/v1/first"

    sides = {"knocker": knocker, "owner": owner}
    heard: dict[str, list[bytes]] = {"knocker": [], "owner": []}
    for vector in vectors["envelopes"]:
        name = vector["from"]
        sender, receiver = sides[name], sides["owner" if name == "knocker" else "knocker"]
        envelope = bytes.fromhex(vector["envelope"])
        assert len(envelope) in (1_000, 4_000, 16_000)
        outer_key = plain.hkdf(epoch, "envelope-key", name.encode())
        outer_ad = plain.labelled("envelope", friendship_id, name.encode())
        plaintext = plain.unseal(outer_key, envelope[:12], envelope[12:], outer_ad)
        seq, header, body, ack = plain.read_cbor(plaintext)
        assert seq == vector["seq"]
        assert ack == (vector["ack"] and [len(heard[name]), plain.joined(heard[name])])
        assert (ack and [ack[0], ack[1].hex()]) == vector["ack"]
        assert envelope[:12].hex() == vector["sealing_draws"][0]
        if vector["inner"] is None:
            assert (seq, header, body.strip(b"\x00")) == (0, None, b"")
            continue
        inner = bytes.fromhex(vector["inner"])
        made = sender.encrypt(
            plain.padded(inner, len(body) - 28), ad(name, seq), bytes.fromhex(vector["sealing_draws"][1])
        )
        assert made == (header, body)
        receiver.keys += [bytes.fromhex(draw) for draw in vector["opening_draws"]]
        assert plain.unpadded(receiver.decrypt(header, body, ad(name, seq))) == inner
        assert receiver.keys == []
        again = plain.seal(outer_key, envelope[:12], plain.cbor([seq, header, body, ack]), outer_ad)
        assert envelope[:12] + again == envelope
        seen = plain.sha256("seen", envelope)[:16]
        assert seen.hex() == vector["seen"]
        heard["owner" if name == "knocker" else "knocker"].append(seen)

    outer_key = plain.hkdf(epoch, "envelope-key", b"knocker")
    outer_ad = plain.labelled("envelope", friendship_id, b"knocker")
    results = [vector["result"] for vector in vectors["arrivals"]]
    assert results == ["dropped", "dropped", "dropped", "broken", "accepted", "duplicate"]
    for vector in vectors["arrivals"]:
        envelope = bytes.fromhex(vector["envelope"])
        if vector["result"] == "dropped":
            with pytest.raises(CryptoError):
                plain.unseal(outer_key, envelope[:12], envelope[12:], outer_ad)
        else:
            assert plain.read_cbor(plain.unseal(outer_key, envelope[:12], envelope[12:], outer_ad))[0] == 4


# --- epochs ----------------------------------------------------------------------------------------------------------


def test_the_epochs_change_by_change() -> None:
    vectors = plain.load("epochs.json")
    root, transcript = (bytes.fromhex(vectors["inputs"][name]) for name in ("root", "transcript"))
    friendship_id = plain.sha256("friendship-id", transcript)[:16]
    secrets = [plain.hkdf(root, "epoch")]
    envelopes = iter(vectors["envelopes"])

    def opened(sender: str) -> bytes:
        vector = next(envelopes)
        assert vector["from"] == sender
        envelope = bytes.fromhex(vector["envelope"])
        key = plain.hkdf(secrets[vector["epoch"]], "envelope-key", sender.encode())
        plain.unseal(key, envelope[:12], envelope[12:], plain.labelled("envelope", friendship_id, sender.encode()))
        return bytes.fromhex(vector["event"])

    for number, change in enumerate(vectors["changes"]):
        offerer, accepter = ("knocker", "owner") if number % 2 == 0 else ("owner", "knocker")
        seed = bytes.fromhex(change["kem_seed"])
        offer, accept = opened(offerer), opened(accepter)
        offered, accepted = plain.read_cbor(offer), plain.read_cbor(accept)
        assert (offered["type"], accepted["type"]) == ("epoch_offer", "epoch_accept")
        assert offered["epoch"] == accepted["epoch"] == number
        assert offered["kem"] == plain.kem_public(seed)
        ciphertext, secret = plain.kem_encapsulate(offered["kem"], bytes.fromhex(change["encapsulation_message"]))
        assert accepted["kem"] == ciphertext
        assert plain.kem_decapsulate(seed, ciphertext) == secret
        info = plain.labelled("next-epoch", plain.sha256("epoch", offer, accept))
        secrets.append(plain.hkdf_raw(secret, info, salt=secrets[-1]))
        assert opened(offerer) == b"under the new epoch"
        assert opened(accepter) == b"so is this"
    assert [vector["epoch"] for vector in vectors["envelopes"]] == [0, 0, 1, 1, 1, 1, 2, 2]


# --- resync ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("vector", plain.load("resync.json"), ids=lambda vector: vector["starter"])
def test_the_resync_step_by_step(vector: Any) -> None:
    starter = vector["starter"]
    answerer = "owner" if starter == "knocker" else "knocker"
    inputs, results = vector["inputs"], vector["results"]
    friendship_id, psk, handshake_hash, message = (
        bytes.fromhex(inputs[name]) for name in ("friendship_id", "link_psk", "handshake_hash", "encapsulation_message")
    )
    private_s, kem_seed, next_s = map(bytes.fromhex, inputs["starter_draws"])
    private_a, ratchet_a, nonce_a = map(bytes.fromhex, inputs["answerer_draws"])
    start, head = bytes.fromhex(vector["start"]), bytes.fromhex(vector["answer"]["head"])
    assert plain.read_cbor(start) == {"key": plain.x25519_public(private_s), "kem": plain.kem_public(kem_seed)}
    ciphertext, kem_secret = plain.kem_encapsulate(plain.kem_public(kem_seed), message)
    assert plain.read_cbor(head) == {"key": plain.x25519_public(private_a), "kem": ciphertext}

    transcript = plain.sha256("resync", friendship_id, handshake_hash, start, head)
    shared = plain.x25519(private_a, plain.x25519_public(private_s))
    root = plain.hkdf(shared + kem_secret + psk, "resync-root", transcript)
    assert plain.sha256("session", transcript)[:16].hex() == results["session_id"]
    assert results["link_psk"] == inputs["link_psk"]
    epoch = plain.hkdf(root, "epoch")
    for name, side in (("starter", starter), ("answerer", answerer)):
        assert plain.hkdf(epoch, "envelope-key", side.encode()).hex() == results[f"epoch_0_key_{name}"]

    def ad(side: str, seq: int) -> bytes:
        return plain.labelled("ratchet-ad", friendship_id, side.encode(), seq.to_bytes(8, "big"))

    theirs = plain.Ratchet(plain.hkdf(root, "ratchet"), [ratchet_a], peer=plain.x25519_public(private_s))
    theirs.begin_sending()
    first = theirs.encrypt(plain.padded(b"chattor/v1/first", 17), ad(answerer, 0), nonce_a)
    assert [part.hex() for part in first] == vector["answer"]["ratchet"]
    ours = plain.Ratchet(plain.hkdf(root, "ratchet"), [next_s], peer=first[0][:32])
    ours.begin_receiving(private_s)
    assert plain.unpadded(ours.decrypt(*first, ad(answerer, 0))) == b"chattor/v1/first"

    envelope = bytes.fromhex(vector["envelope"])
    key = plain.hkdf(epoch, "envelope-key", starter.encode())
    opened = plain.unseal(
        key, envelope[:12], envelope[12:], plain.labelled("envelope", friendship_id, starter.encode())
    )
    seq, header, body, _ = plain.read_cbor(opened)
    assert seq == 1
    theirs.keys.append(bytes(32))  # of its next ratchet key, which this envelope brings about
    assert plain.unpadded(theirs.decrypt(header, body, ad(starter, 1))).hex() == vector["inner"]


# --- verification ----------------------------------------------------------------------------------------------------


def test_the_safety_number_and_the_emoji() -> None:
    vector = plain.load("verification.json")
    knocker, owner, transcript, run_id, starter, answerer, commitment, starter_key, answerer_key = (
        bytes.fromhex(vector[name])
        for name in (
            *("knocker_static", "owner_static", "transcript", "run", "starter_private", "answerer_private"),
            *("commitment", "starter_key", "answerer_key"),
        )
    )
    digits = str(int.from_bytes(plain.sha256("safety-number", knocker, owner, transcript), "big"))[-60:].zfill(60)
    assert digits == vector["safety_number"]
    assert starter_key == plain.x25519_public(starter)
    assert answerer_key == plain.x25519_public(answerer)
    assert commitment == plain.sha256("emoji-commitment", run_id, answerer_key)

    table = vector["table"]
    assert len({tuple(pair) for pair in table}) == 64
    keys = sorted([starter_key, answerer_key])
    drawn = plain.hkdf(plain.x25519(starter, answerer_key), "emoji", run_id, *keys, digits.encode())
    bits = "".join(f"{byte:08b}" for byte in drawn)
    assert [table[int(bits[at : at + 6], 2)] for at in range(0, 42, 6)] == vector["emoji"]
