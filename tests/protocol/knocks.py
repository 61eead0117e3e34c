"""The messages of a knock, taken apart and changed."""

from __future__ import annotations

from collections.abc import Callable

from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.answered_knock import KnockArrived
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.knock import KnockReady
from chattor_bridge.protocol.primitives import ed25519_sign
from tests.protocol.sources import NOW, Meeting, take


def bundle_of(met: Meeting, *, now: int = NOW) -> bytes:
    """The door's answer to the hello, framed."""
    assert met.door.receive(met.knocking.start(), now=now) == []
    return met.door.data_to_send()


def knock_of(met: Meeting, bundle: bytes) -> KnockReady:
    [ready] = met.knocking.receive(bundle)
    assert isinstance(ready, KnockReady)
    return ready


def arrival(met: Meeting, knock: bytes, *, now: int = NOW) -> KnockArrived:
    [arrived] = take(met.door, knock, now=now)
    return arrived


def altered(message: bytes, change: Callable[[dict[str, object]], dict[str, object]]) -> bytes:
    """A framed map with some of it changed."""
    fields = cbor.decode(message[2:])
    assert isinstance(fields, dict)
    return frame(cbor.encode(fields | change(fields)))


def resigned(met: Meeting, message: bytes, change: dict[str, object], seed: bytes | None = None) -> bytes:
    """The door's message with a changed bundle, signed again."""
    fields = cbor.decode(message[2:])
    assert isinstance(fields, dict)
    inner = cbor.decode(fields["bundle"])
    assert isinstance(inner, dict)
    bundle = cbor.encode({key: value for key, value in (inner | change).items() if value is not ...})
    signature = ed25519_sign(seed or met.secrets.onion_seed, "door", bundle)
    return frame(cbor.encode({"bundle": bundle, "signature": signature}))
