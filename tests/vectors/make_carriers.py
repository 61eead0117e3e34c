"""Makes carriers.json with the code under test.

``python -m tests.vectors.make_carriers`` writes it anew; ``test_carrier_vectors.py`` checks that it is what is written,
and verifies it without this code. Byte strings are lower-case hexadecimal.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.blocks import seal_block
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.deposit import NOISE_NAME, CarrierEnd, DepositorEnd, auth_key, prologue
from chattor_bridge.protocol.primitives import x25519_public
from tests.protocol.sources import Source, onion_key, session_pair

_PATH = Path(__file__).parent / "carriers.json"
_ONION = onion_key("shelf")
_CAPABILITY = Source("capability")(32)


def blocks() -> list[dict[str, Any]]:
    """One block of each side of a friendship, at the same shelf."""
    knocker, owner = session_pair()
    friendship = cbor.Fields(cbor.decode(knocker.serialize()), "session").bytes("friendship", length=32)
    vectors = []
    for sender, session, sizes in (("knocker", knocker, [1_000, 4_000, 1_000]), ("owner", owner, [16_000])):
        key, source = session.block_key(_ONION, ours=True), Source(f"block of the {sender}")
        envelopes = [Source(f"envelope {number}")(size) for number, size in enumerate(sizes)]
        vectors.append(
            {
                "friendship_secret": friendship.hex(),
                "onion": _ONION.hex(),
                "sender": sender,
                "key": key.hex(),
                "envelopes": [envelope.hex() for envelope in envelopes],
                "block": seal_block(key, envelopes, source).hex(),
            }
        )
    return vectors


def stream() -> dict[str, Any]:
    """Two blocks are left at a shelf that has room for two."""
    static = Source("shelf static")(32)
    dialling_random, answering_random = Source("depositor"), Source("carrier")
    depositor = DepositorEnd(Deposit(_ONION, x25519_public(static), _CAPABILITY), dialling_random)
    carrier = CarrierEnd(static, _ONION, _CAPABILITY, answering_random)
    first = depositor.data_to_send()
    carrier.receive(first)
    second = carrier.data_to_send()
    depositor.receive(second)
    said: list[tuple[str, bytes, bytes]] = [("dialling", b"", first), ("answering", b"", second)]

    def tell(count: int, room: int) -> None:
        carrier.stored(count, room)
        said.append(("answering", cbor.encode({"stored": count, "room": room}), data := carrier.data_to_send()))
        depositor.receive(data)

    tell(0, 2)
    for number in (1, 2):
        block = Source(f"block {number}")(16_384)
        depositor.send(block)
        said.append(("dialling", block, data := depositor.data_to_send()))
        carrier.receive(data)
        tell(number, 2 - number)
    return {
        "protocol_name": NOISE_NAME.decode(),
        "dialled_onion": _ONION.hex(),
        "prologue": prologue(_ONION).hex(),
        "psk": _CAPABILITY.hex(),
        "auth_private": auth_key(_CAPABILITY, _ONION).hex(),
        "answering_static_private": static.hex(),
        "dialling_ephemeral_private": dialling_random.drawn[0].hex(),
        "answering_ephemeral_private": answering_random.drawn[0].hex(),
        "handshake_hash": depositor.handshake_hash.hex(),
        "stream": [
            {"from": side, "frames": [plain.hex()] if plain else [], "bytes": data.hex()} for side, plain, data in said
        ],
    }


def text() -> str:
    """What carriers.json must hold."""
    return json.dumps({"blocks": blocks(), "stream": stream()}, indent=2, ensure_ascii=True) + "\n"


if __name__ == "__main__":
    _PATH.write_text(text(), encoding="utf-8")
