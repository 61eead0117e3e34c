"""Two ends of a link, joined by nothing but a test."""

from __future__ import annotations

from dataclasses import dataclass, replace

from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.frames import Frame, Hello
from chattor_bridge.protocol.link import FrameReceived, Link, LinkEvent, LinkKeys, Pattern
from chattor_bridge.protocol.primitives import x25519_public
from tests.protocol.sources import Source, onion_key

HELLO = Hello((1,), ("profile", "receipt", "text"), bytes(range(16)), 0, 0, 0)


@dataclass
class Friendship:
    """What both sides of one friendship hold; the knocker hosts the onion."""

    name: str = "friendship"

    def __post_init__(self) -> None:
        source = Source(self.name)
        self.knocker_static, self.owner_static, self.psk = source(32), source(32), source(32)
        self.onion: OnionKey = onion_key(f"{self.name} onion")

    def owner(self, pattern: Pattern) -> LinkKeys:
        return LinkKeys(self.owner_static, x25519_public(self.knocker_static), self.psk, pattern, "owner")

    def knocker(self, pattern: Pattern) -> LinkKeys:
        known = None if pattern is Pattern.IK else x25519_public(self.owner_static)
        return LinkKeys(self.knocker_static, known, self.psk, pattern, "knocker")

    def dial(self, pattern: Pattern, **changes: object) -> Link:
        """The owner's end of a link to the knocker's onion."""
        keys = replace(self.owner(pattern), **changes)  # type: ignore[arg-type]
        return Link.dial(keys, self.onion, Source(f"{self.name} dialling"))

    def answer(self, *patterns: Pattern) -> Link:
        """The knocker's end."""
        candidates = [self.knocker(pattern) for pattern in patterns]
        return Link.answer(candidates, self.onion, Source(f"{self.name} answering"))

    def joined(self, pattern: Pattern = Pattern.KK) -> tuple[Link, Link]:
        """Both ends, established and past their hellos: the dialling one first."""
        dialling, answering = self.dial(pattern), self.answer(pattern)
        answering.receive(dialling.data_to_send())
        dialling.receive(answering.data_to_send())
        for one, other in ((dialling, answering), (answering, dialling)):
            one.send(HELLO)
            assert frames_in(other.receive(one.data_to_send())) == [HELLO]
        return dialling, answering


def frames_in(events: list[LinkEvent]) -> list[Frame]:
    return [event.frame for event in events if isinstance(event, FrameReceived)]


def messages_in(data: bytes) -> list[int]:
    """The sizes of the length-prefixed messages in some bytes of a stream."""
    sizes = []
    while data:
        sizes.append(int.from_bytes(data[:2], "big"))
        data = data[2 + sizes[-1] :]
    return sizes
