"""Makes the vectors from friend code to verification (`FILES`) with the code under test.

``python -m tests.vectors.make_handshake`` writes them anew; a test checks that they are what is written, and
``test_handshake_vectors.py`` verifies them without this code. Byte strings are lower-case hexadecimal.
"""

from __future__ import annotations

import json
from base64 import b32encode
from binascii import crc_hqx
from collections.abc import Callable
from functools import partial
from pathlib import Path

from chattor_bridge.errors import AuthenticationFailed, FriendCodeError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.answered_knock import DoorSecrets, DoorSide
from chattor_bridge.protocol.emoji import EMOJI
from chattor_bridge.protocol.events import EpochAccept, EpochOffer, decode_event
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady
from chattor_bridge.protocol.limits import EPOCH_LIFETIME
from chattor_bridge.protocol.primitives import ed25519_public, onion_address, x25519_public
from chattor_bridge.protocol.rekeying import offer_if_due, take_accept, take_offer
from chattor_bridge.protocol.resync import Starting, answer
from chattor_bridge.protocol.session import Duplicate, Opened, Session, SessionBroken
from chattor_bridge.protocol.verification import Run, Step, safety_number
from tests.protocol.sources import NOW, Source, onion_key, session_pair, take
from tests.vectors.independent import kem_encapsulate

_HERE = Path(__file__).parent
_WORK_BITS = 10
_EFFORT_BITS = 3


def friend_codes() -> dict[str, object]:
    codes = []
    for name, secret in (("first", b""), ("second", b""), ("third", b""), ("one-time", Source("code secret")(16))):
        seed = Source(f"friend code {name}")(32)
        code = FriendCode.of_door(OnionKey(ed25519_public(seed)), secret)
        text = code.encode()
        codes.append(
            {
                "onion_seed": seed.hex(),
                "door": code.door.hex(),
                "address": onion_address(code.door),
                "payload": code.payload.hex(),
                "secret": secret.hex(),
                "auth_private": None if code.auth_key is None else code.auth_key.hex(),
                "crc": f"{crc_hqx(code.payload + secret, 0xFFFF):04x}",
                "code": text,
                "also": [
                    text.upper(),
                    text.removeprefix("chattor:"),
                    "\n".join(text[at : at + 11] for at in range(0, len(text), 11)),
                ],
            }
        )
    first = FriendCode(OnionKey(bytes.fromhex(str(codes[0]["door"]))))
    characters = first.encode().removeprefix("chattor:")

    def checksummed(payload: bytes) -> str:
        data = payload + crc_hqx(payload, 0xFFFF).to_bytes(2, "big")
        return b32encode(data).decode().rstrip("=").lower()

    refused = [
        ("empty", ""),
        ("a character outside the alphabet", characters[:-1] + "0"),
        ("one wrong character", "b" + characters[1:]),
        ("two neighbours swapped", characters[0] + characters[2] + characters[1] + characters[3:]),
        ("one character missing", characters[:-1]),
        ("one character too many", characters + "a"),
        ("spare bits that are not zero", characters[:-1] + chr(ord(characters[-1]) + 1)),
        ("version 2", checksummed(b"\x02" + first.door + b"\x00")),
        ("no flags", checksummed(b"\x01" + first.door)),
        ("a one-time code without its secret", checksummed(b"\x01" + first.door + b"\x01")),
        ("a secret of 15 bytes", checksummed(b"\x01" + first.door + b"\x01" + bytes(15))),
        ("a secret without its flag", checksummed(b"\x01" + first.door + b"\x00" + bytes(16))),
        ("an unknown flag", checksummed(b"\x01" + first.door + b"\x80")),
        ("a key of small order", checksummed(b"\x01" + bytes(32) + b"\x00")),
        ("bytes after the flags", checksummed(b"\x01" + first.door + b"\x00\x00")),
    ]
    for why, text in refused:
        try:
            FriendCode.parse(text)
        except FriendCodeError:
            continue
        raise AssertionError(why)
    return {"codes": codes, "refused": [{"why": why, "text": text} for why, text in refused]}


def one_time_knock() -> dict[str, object]:
    return knock(Source("knock code secret")(16))


def knock(code_secret: bytes = b"") -> dict[str, object]:
    secrets = DoorSecrets(Source("knock onion")(32), Source("knock identity")(32), code_secret)
    code = secrets.code
    hosted = onion_key("knock hosted onion")
    introduction = Introduction("Zoë", "We met at the market.\nCall me.", hosted, ("receipt", "text"))
    static_key, kem_message = Source("knock static")(32), Source("knock encapsulation")(32)
    random, door_random = Source("knock knocker"), Source("knock door")
    knocking = KnockingSide(
        code,
        introduction,
        static_key=static_key,
        random=random,
        now=NOW,
        encapsulate=lambda public: kem_encapsulate(public, kem_message),
    )
    door = DoorSide(
        secrets,
        random=door_random,
        work_bits=_WORK_BITS,
        effort_bits=_EFFORT_BITS,
        capabilities=("profile", "receipt", "text"),
    )
    hello = knocking.start()
    door.receive(hello, now=NOW)
    door_message = door.data_to_send()
    [ready] = knocking.receive(door_message)
    assert isinstance(ready, KnockReady)
    [arrived] = take(door, ready.message, now=NOW + 20)
    receipt = door.acknowledge("stored")
    knocking.receive(receipt)
    return {
        "inputs": {
            "code": code.encode(),
            "onion_seed": secrets.onion_seed.hex(),
            "identity_private": secrets.identity_key.hex(),
            "static_private": static_key.hex(),
            "now": NOW,
            "work_bits": _WORK_BITS,
            "effort_bits": _EFFORT_BITS,
            "introduction": {
                "name": introduction.name,
                "note": introduction.note,
                "onion": introduction.onion.hex(),
                "versions": list(introduction.versions),
                "capabilities": list(introduction.capabilities),
            },
            "door_draws": [
                {"what": what, "bytes": drawn.hex()}
                for what, drawn in zip(
                    ("E_d private", "K_d seed", "bundle nonce", "first ratchet private key of the owner"),
                    door_random.drawn,
                    strict=True,
                )
            ],
            "knocker_draws": [
                {"what": what, "bytes": drawn.hex()}
                for what, drawn in zip(
                    ("E_a private", "first ratchet private key of the knocker", "nonce of the first ratchet message"),
                    random.drawn,
                    strict=True,
                )
            ],
            "encapsulation_message": kem_message.hex(),
        },
        "stream": {
            "hello": hello.hex(),
            "door_message": door_message.hex(),
            "knock": ready.message.hex(),
            "receipt": receipt.hex(),
        },
        "results": {
            "transcript": ready.session.transcript.hex(),
            "friendship_id": ready.peer_id.hex(),
            "session_id": ready.session.session_id.hex(),
            "link_psk": ready.session.link_psk.hex(),
            "onion_auth_private": ready.session.onion_auth_key(hosted).hex(),
            "merge_proof_knocker": ready.session.merge_proof(bytes(range(32)), ours=True).hex(),
            "merge_proof_owner": ready.session.merge_proof(bytes(range(32)), ours=False).hex(),
            "epoch_0_key_knocker": ready.session.epochs.sending_key().hex(),
            "epoch_0_key_owner": arrived.session.epochs.sending_key().hex(),
            "peer_static": arrived.peer_static.hex(),
            "effort": arrived.effort,
            "receipt": "stored",
        },
    }


def session() -> dict[str, object]:
    start = Source("session start")
    root, transcript, door_private = start(32), start(32), start(32)
    begin = Source("session begin")
    knocker, first = Session.begin_as_knocker(
        root, transcript, door_key=x25519_public(door_private), random=begin, now=NOW
    )
    owner_begin = Source("session owner begin")
    owner = Session.begin_as_owner(
        root, transcript, door_private=door_private, first=first, random=owner_begin, now=NOW
    )
    sides = {"knocker": knocker, "owner": owner}
    envelopes = []
    script: list[tuple[str, bytes | None, bool]] = [
        ("owner", b"the owner may speak first", False),
        ("knocker", b"an answer", True),
        ("knocker", b"and more", True),
        ("owner", b"x" * 900, True),
        ("owner", b"", False),
        ("knocker", None, True),
        ("knocker", b"y" * 15_000, True),
        ("owner", "naïve \u2603".encode(), True),
    ]
    for number, (name, inner, acknowledges) in enumerate(script):
        sender, receiver = sides[name], sides["owner" if name == "knocker" else "knocker"]
        ack = sender.received.ack() if acknowledges else None
        sealing, opening = Source(f"session sealing {number}"), Source(f"session opening {number}")
        if inner is None:
            assert ack is not None
            seq, envelope = 0, sender.seal_ack(ack, random=sealing)
        else:
            sealed = sender.seal(inner, random=sealing, now=NOW, ack=ack)
            seq, envelope = sealed.seq, sealed.envelope
        opened = receiver.open(envelope, random=opening, now=NOW)
        assert (opened.inner, opened.ack) == (inner, ack)
        envelopes.append(
            {
                "from": name,
                "seq": seq,
                "inner": None if inner is None else inner.hex(),
                "ack": None if ack is None else [ack.cumulative, ack.digest.hex()],
                "sealing_draws": [drawn.hex() for drawn in sealing.drawn],
                "opening_draws": [drawn.hex() for drawn in opening.drawn],
                "envelope": envelope.hex(),
                "seen": receiver.seen.hex(),
            }
        )
    return {
        "inputs": {
            "root": root.hex(),
            "transcript": transcript.hex(),
            "door_ephemeral_private": door_private.hex(),
            "knocker_draws": [drawn.hex() for drawn in begin.drawn],
            "owner_draws": [drawn.hex() for drawn in owner_begin.drawn],
        },
        "first_ratchet_message": {"header": first.header.hex(), "ciphertext": first.ciphertext.hex()},
        "envelopes": envelopes,
        "arrivals": _arrivals(sides["knocker"], sides["owner"]),
    }


def _arrivals(knocker: Session, owner: Session) -> list[dict[str, str]]:
    """What may come to the owner after the conversation above, and what it makes of it."""
    broken = knocker._seal_outer(Source("session broken")(12), [4, bytes(40), bytes(924), None], 1_000)
    good = knocker.seal(b"good", random=Source("session good"), now=NOW).envelope
    flipped = bytearray(good)
    flipped[500] ^= 4
    own = owner.seal(b"own", random=Source("session own"), now=NOW).envelope
    arrivals = [
        ("one bit is wrong", bytes(flipped)),
        ("one byte is missing", good[:-1]),
        ("the owner's own", own),
        ("authentic outside, wrong inside", broken),
        ("nothing is wrong", good),
        ("the same again", good),
    ]
    return [
        {"why": why, "result": _result_of(owner, envelope), "envelope": envelope.hex()} for why, envelope in arrivals
    ]


def _result_of(session: Session, envelope: bytes) -> str:
    try:
        session.open(envelope, random=Source("session last"), now=NOW)
    except AuthenticationFailed:
        return "dropped"
    except SessionBroken:
        return "broken"
    except Duplicate:
        return "duplicate"
    return "accepted"


def epochs() -> dict[str, object]:
    """Two changes of epoch in one conversation: the knocker offers the first, the owner the second."""
    start = Source("epochs start")
    root, transcript, door_private = start(32), start(32), start(32)
    begin = Source("epochs begin")
    knocker, first = Session.begin_as_knocker(
        root, transcript, door_key=x25519_public(door_private), random=begin, now=NOW
    )
    owner = Session.begin_as_owner(
        root, transcript, door_private=door_private, first=first, random=Source("epochs owner"), now=NOW
    )
    envelopes: list[dict[str, object]] = []

    def carry(sender: Session, receiver: Session, envelope: bytes) -> Opened:
        opened = receiver.open(envelope, random=Source(f"epochs opening {len(envelopes)}"), now=NOW + EPOCH_LIFETIME)
        assert opened.inner is not None
        epoch, event = opened.epoch, opened.inner.hex()
        envelopes.append({"from": sender.role, "epoch": epoch, "event": event, "envelope": envelope.hex()})
        return opened

    changes = []
    for number, (offerer, accepter) in enumerate([(knocker, owner), (owner, knocker)]):
        now = NOW + (number + 1) * EPOCH_LIFETIME
        random, message = Source(f"epochs offer {number}"), Source(f"epochs encapsulation {number}")(32)
        offered = offer_if_due(offerer, random=random, now=now)
        assert offered is not None
        opened = carry(offerer, accepter, offered.sealed.envelope)
        offer = decode_event(offered.encoded).body
        assert isinstance(offer, EpochOffer)
        accepted = take_offer(
            accepter,
            offer,
            opened,
            random=Source(f"epochs accept {number}"),
            now=now,
            encapsulate=partial(kem_encapsulate, message=message),
        )
        accept = decode_event(accepted.encoded).body
        assert isinstance(accept, EpochAccept)
        take_accept(offerer, accept, carry(accepter, offerer, accepted.sealed.envelope), now=now)
        changes.append({"kem_seed": random.drawn[0].hex(), "encapsulation_message": message.hex()})
        said = offerer.seal(b"under the new epoch", random=Source(f"epochs said {number}"), now=now)
        carry(offerer, accepter, said.envelope)
        answered = accepter.seal(b"so is this", random=Source(f"epochs answered {number}"), now=now)
        carry(accepter, offerer, answered.envelope)
    return {
        "inputs": {"root": root.hex(), "transcript": transcript.hex()},
        "changes": changes,
        "envelopes": envelopes,
    }


def resyncs() -> list[dict[str, object]]:
    """One that the knocker starts, and one that the owner starts."""
    return [_resync("knocker"), _resync("owner")]


def _resync(starter_role: str) -> dict[str, object]:
    sides = {side.role: side for side in session_pair(f"resync {starter_role}")}
    starter = next(side for role, side in sides.items() if role == starter_role)
    answerer = next(side for role, side in sides.items() if role != starter_role)
    handshake_hash, message = Source("resync handshake hash")(32), Source("resync encapsulation")(32)
    start_random, answer_random = Source(f"resync start {starter_role}"), Source(f"resync answer {starter_role}")
    finish_random = Source(f"resync finish {starter_role}")
    starting = Starting(starter, handshake_hash, random=start_random)
    said, theirs = answer(
        starting.frame,
        answerer,
        handshake_hash,
        random=answer_random,
        now=NOW,
        encapsulate=partial(kem_encapsulate, message=message),
    )
    ours = starting.finish(said, starter, random=finish_random, now=NOW)
    envelope = ours.seal(b"after the resync", random=Source("resync seal"), now=NOW).envelope
    assert theirs.open(envelope, random=Source("resync open"), now=NOW).inner == b"after the resync"
    return {
        "starter": starter_role,
        "inputs": {
            "friendship_id": starter.peer_id.hex(),
            "link_psk": starter.link_psk.hex(),
            "handshake_hash": handshake_hash.hex(),
            "encapsulation_message": message.hex(),
            "starter_draws": [drawn.hex() for drawn in (*start_random.drawn, *finish_random.drawn)],
            "answerer_draws": [drawn.hex() for drawn in answer_random.drawn],
        },
        "start": starting.frame.encoded.hex(),
        "answer": {
            "head": said.head.hex(),
            "ratchet": [said.ratchet_header.hex(), said.ratchet_ciphertext.hex()],
        },
        "results": {
            "session_id": ours.session_id.hex(),
            "link_psk": ours.link_psk.hex(),
            "epoch_0_key_starter": ours.epochs.sending_key().hex(),
            "epoch_0_key_answerer": theirs.epochs.sending_key().hex(),
        },
        "inner": b"after the resync".hex(),
        "envelope": envelope.hex(),
    }


def verification() -> dict[str, object]:
    """A safety number, and one comparing of emoji."""
    source = Source("verification")
    statics = {"knocker": source(32), "owner": source(32)}
    transcript, run_id = source(32), source(16)
    number = safety_number(x25519_public(statics["knocker"]), x25519_public(statics["owner"]), transcript)
    starter_private, answerer_private = source(32), source(32)
    starter, answerer = Run(run_id, Step.ASKED, NOW), Run(run_id, Step.INVITED, NOW)
    answerer, commitment = answerer.agree(answerer_private)
    starter, key = starter.take_commitment(commitment, starter_private)
    answerer, answer_key = answerer.take_key(key)
    assert answer_key is not None
    starter, _ = starter.take_key(answer_key)
    emoji = starter.emoji(number)
    assert emoji == answerer.emoji(number)
    return {
        "knocker_static": x25519_public(statics["knocker"]).hex(),
        "owner_static": x25519_public(statics["owner"]).hex(),
        "transcript": transcript.hex(),
        "safety_number": number,
        "run": run_id.hex(),
        "starter_private": starter_private.hex(),
        "answerer_private": answerer_private.hex(),
        "commitment": commitment.hex(),
        "starter_key": key.hex(),
        "answerer_key": answer_key.hex(),
        "emoji": [list(pair) for pair in emoji],
        "table": [list(pair) for pair in EMOJI],
    }


FILES: dict[str, Callable[[], object]] = {
    "friend-code.json": friend_codes,
    "knock.json": knock,
    "one-time-knock.json": one_time_knock,
    "session.json": session,
    "epochs.json": epochs,
    "resync.json": resyncs,
    "verification.json": verification,
}


def text_of(name: str) -> str:
    """What the file of that name must hold."""
    return json.dumps(FILES[name](), indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    for file_name in FILES:
        (_HERE / file_name).write_text(text_of(file_name), encoding="utf-8")
