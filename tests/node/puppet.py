"""A friend moved by hand: it has the keys and the session of a real one, and says what a test wants it to."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Sequence
from typing import TypeVar

from chattor_bridge.ids import EventId, OnionKey
from chattor_bridge.node.ports import Stream
from chattor_bridge.node.records import Contact
from chattor_bridge.protocol.events import Body, Event, encode_event
from chattor_bridge.protocol.frames import AckFrame, EnvelopeFrame, Frame, Hello
from chattor_bridge.protocol.link import Established, FrameReceived, Link, LinkKeys, Pattern
from chattor_bridge.protocol.negotiation import CAPABILITIES, PROTOCOL_VERSIONS
from chattor_bridge.protocol.resync import Starting
from chattor_bridge.protocol.session import Session
from chattor_bridge.protocol.window import Ack
from tests.clock import FakeClock
from tests.node.world import PATIENCE, Person

F = TypeVar("F", bound=Frame)


class Puppet:
    """Stands in for a person who dials a friend; that person's own house must be closed meanwhile."""

    def __init__(self, contact: Contact, clock: FakeClock) -> None:
        self.contact = contact
        self.session = Session.deserialize(contact.session)
        self._clock = clock
        self._frames: list[Frame] = []
        self._opened: list[Stream] = []
        self._stream: Stream
        self._link: Link

    @classmethod
    async def of(cls, person: Person) -> Puppet:
        """Take the place of this person towards its first friend, and close its house."""
        async with person.house.store.transaction() as tx:
            (contact, *_) = await person.house.store.contacts.of_node(tx, person.node_id)
        await person.house.stop()
        return cls(contact, person.house.world.clock)

    async def dial(self, person: Person, pattern: Pattern = Pattern.KK) -> None:
        """Dial the friend and shake hands."""
        assert self.contact.peer_onion is not None
        onion = OnionKey(self.contact.peer_onion)
        transport = person.house.world.network.transport()
        self._stream = await transport.dial(
            onion, client_key=self.session.onion_auth_key(onion), isolation="puppet", timeout=5
        )
        self._opened.append(self._stream)
        keys = LinkKeys(
            self.contact.own_static, self.contact.peer_static, self.session.link_psk, pattern, self.contact.role
        )
        self._link = Link.dial(keys, onion, secrets.token_bytes)
        self._frames = []
        await self._flush()
        while not self._link.established:
            self._take(await self._read())

    async def greet(self, person: Person, *more: Frame) -> None:
        """Dial the friend, say hello and ``more``, and hear the friend's hello."""
        await self.dial(person)
        await self.say(self.hello(), *more)
        await self.hear(Hello)

    async def say(self, *frames: Frame) -> None:
        for frame in frames:
            self._link.send(frame)
        await self._flush()

    async def pour(self, messages: Sequence[bytes]) -> None:
        """Write what `sealed` made, as fast as it is taken."""
        for message in messages:
            await self._stream.write(message)

    def sealed(self, *frames: Frame) -> bytes:
        """These frames as bytes for the stream, not sent."""
        for frame in frames:
            self._link.send(frame)
        return self._link.data_to_send()

    def hello(self, *, highest_sent: int | None = None, highest_received: int | None = None) -> Hello:
        return Hello(
            PROTOCOL_VERSIONS,
            CAPABILITIES,
            self.session.session_id,
            self.session.epochs.newest,
            self.session.sent.highest if highest_sent is None else highest_sent,
            self.session.received.highest if highest_received is None else highest_received,
            self.session.seen,
        )

    def seal(self, body: Body, event_id: EventId | None = None) -> bytes:
        """An envelope with this event, numbered by the session."""
        event = Event(event_id or EventId(secrets.token_bytes(16)), self._clock.now(), body)
        return self.seal_bytes(encode_event(event))

    def seal_bytes(self, inner: bytes) -> bytes:
        return self.session.seal(inner, random=secrets.token_bytes, now=self._clock.now()).envelope

    @property
    def handshake_hash(self) -> bytes:
        """Of the link that is up."""
        return self._link.handshake_hash

    def start_resync(self) -> Starting:
        """The puppet's part in a resync that it starts on the link that is up."""
        return Starting(self.session, self.handshake_hash, random=secrets.token_bytes)

    async def hear(self, kind: type[F]) -> F:
        """The next frame of this kind; what comes before it is passed over. Raises: EOFError when the friend hangs
        up first."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self._frames:
                    frame = self._frames.pop(0)
                    if isinstance(frame, kind):
                        return frame
                self._take(await self._read())

    def take(self, frame: EnvelopeFrame) -> Ack:
        """Open an envelope of the friend's; the acknowledgement of everything that was opened so far."""
        self.session.open(frame.envelope, random=secrets.token_bytes, now=self._clock.now())
        return self.session.received.ack()

    async def hear_ack_of(self, seq: int) -> AckFrame:
        """The next acknowledgement that covers ``seq``."""
        while True:
            frame = await self.hear(AckFrame)
            if frame.ack.covers(seq):
                return frame

    async def close(self) -> None:
        """Hang up on every link."""
        while self._opened:
            await self._opened.pop().close()

    async def _flush(self) -> None:
        await self._stream.write(self._link.data_to_send())

    async def _read(self) -> bytes:
        async with asyncio.timeout(PATIENCE):
            data = await self._stream.read()
        if not data:
            raise EOFError
        return data

    def _take(self, data: bytes) -> None:
        for event in self._link.receive(data):
            match event:
                case FrameReceived(frame):
                    self._frames.append(frame)
                case Established():
                    pass
