"""docs/protocol/knock.md, Receipt."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import AuthenticationFailed, MalformedData, PeerMisbehaved
from tests.protocol.knocks import arrival, bundle_of, knock_of
from tests.protocol.sources import Source, meeting


def test_a_receipt_only_after_the_knock_and_only_once() -> None:
    met = meeting()
    with pytest.raises(ValueError, match="no knock"):
        met.door.acknowledge("stored")
    arrival(met, knock_of(met, bundle_of(met)).message)
    with pytest.raises(ValueError, match="a word"):
        met.door.acknowledge("Stored!")
    met.door.acknowledge("stored")
    with pytest.raises(ValueError, match="no knock"):
        met.door.acknowledge("stored")


def test_a_receipt_nobody_else_can_give() -> None:
    met = meeting()
    arrival(met, knock_of(met, bundle_of(met)).message)
    receipt = met.door.acknowledge("stored")
    for at in range(2, len(receipt)):
        forged = bytearray(receipt)
        forged[at] ^= 0x10
        other = meeting()
        knock_of(other, bundle_of(other))
        with pytest.raises(PeerMisbehaved):
            other.knocking.receive(bytes(forged))
    other = meeting(random=lambda name: Source("other " + name))
    knock_of(other, bundle_of(other))
    with pytest.raises(AuthenticationFailed):
        other.knocking.receive(receipt)


def test_nothing_comes_after_the_receipt() -> None:
    met = meeting()
    arrival(met, knock_of(met, bundle_of(met)).message)
    receipt = met.door.acknowledge("stored")
    met.knocking.receive(receipt)
    with pytest.raises(MalformedData):
        met.knocking.receive(receipt)
