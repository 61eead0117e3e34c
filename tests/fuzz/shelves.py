"""What comes to a shelf and from it: streams of depositors and carriers, and blocks."""

from __future__ import annotations

from contextlib import suppress

from chattor_bridge.errors import MalformedData, PeerMisbehaved
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.blocks import ROOM, fitting, open_block
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.deposit import CarrierEnd, DepositorEnd
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.limits import (
    BLOCK_SIZE,
    HANDSHAKE_SIZE,
    LINK_SIZES,
)
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.primitives import (
    aead_seal,
    ed25519_public,
    labelled,
    x25519_public,
)
from tests.fuzz.target import Target
from tests.protocol.sources import Source

_NONCE = bytes(12)


def _block(data: bytes) -> None:
    """Whoever has the key of a shelf can put anything into a block of the right size."""
    content = pad(data[:ROOM], ROOM + 1)
    with suppress(MalformedData):
        envelopes = open_block(bytes(32), _NONCE + aead_seal(bytes(32), _NONCE, content, labelled("block")))
        assert fitting([len(envelope) for envelope in envelopes]) == len(envelopes) > 0


def _deposit(data: bytes) -> None:
    """A carrier may say anything to a depositor, and a depositor to a carrier."""
    static, onion, capability = Source("static")(32), OnionKey(ed25519_public(bytes(32))), bytes(32)
    depositor = DepositorEnd(Deposit(onion, x25519_public(static), capability), Source("depositor"))
    carrier = CarrierEnd(static, onion, capability, Source("carrier"))
    carrier.receive(depositor.data_to_send())
    depositor.receive(carrier.data_to_send())
    carrier._say(data[:1_000], LINK_SIZES[0])
    with suppress(MalformedData):
        assert all(said.count == 0 for said in depositor.receive(carrier.data_to_send()))
    carrier.stored(0, 1)
    depositor._say(data[:BLOCK_SIZE], LINK_SIZES[2])
    carrier.data_to_send()
    with suppress(MalformedData):
        assert all(len(received.block) == BLOCK_SIZE for received in carrier.receive(depositor.data_to_send()))


def _at_a_shelf(data: bytes) -> None:
    """The first bytes on a stream to a shelf, at either end: nobody without the capability gets further."""
    static, onion, capability = Source("static")(32), OnionKey(ed25519_public(bytes(32))), bytes(32)
    depositor = DepositorEnd(Deposit(onion, x25519_public(static), capability), Source("depositor"))
    carrier = CarrierEnd(static, onion, capability, Source("carrier"))
    for end in (depositor, carrier):
        with suppress(PeerMisbehaved):
            assert end.receive(data) == []
    assert not carrier.established
    assert not depositor.told


TARGETS = (
    Target("block", _block, ((1_000).to_bytes(2, "big") + bytes(1_000), bytes(2))),
    Target("deposit", _deposit, (b"\xa2droom\x01fstored\x00",)),
    Target("at_a_shelf", _at_a_shelf, (frame(bytes(HANDSHAKE_SIZE)), frame(Source("first")(HANDSHAKE_SIZE)))),
)
