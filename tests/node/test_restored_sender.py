"""A sender whose database was put back uses numbers again; docs/protocol/session.md, "Acknowledgement"."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from itertools import permutations
from pathlib import Path

import pytest

from chattor_bridge.ids import EventId
from chattor_bridge.node.records import OutboxEntry
from chattor_bridge.protocol.events import Text
from chattor_bridge.protocol.renewal import Reason
from chattor_bridge.protocol.window import Ack
from tests.node.halves import Side
from tests.protocol.sources import onion_key, session_pair


class Pair:
    """What goes between the two is in the hands of the test."""

    def __init__(self, directory: Path) -> None:
        self.sender, self.friend = (
            Side(directory, name, half) for name, half in zip("ab", session_pair("restored"), strict=True)
        )

    async def begin(self) -> None:
        for side in (self.sender, self.friend):
            await side.begin(onion_key("friend"))

    async def end(self) -> None:
        for side in (self.sender, self.friend):
            await side.store.stop()

    async def say(self, *texts: str) -> list[OutboxEntry]:
        """The envelopes that go out."""
        known = {entry.seq for entry in await self.sender.outbox()}
        for text in texts:
            async with self.sender.store.transaction() as tx:
                await self.sender.mailbox.send(tx, self.sender.peer_id, self.sender.mailbox.event(Text(text)))
        return [entry for entry in await self.sender.outbox() if entry.seq not in known]

    async def take(self, *entries: OutboxEntry) -> Ack:
        """The friend takes these in; what it acknowledges."""
        async with self.friend.store.transaction() as tx:
            await self.friend.mailbox.receive(tx, self.friend.peer_id, [entry.envelope for entry in entries])
        return (await self.friend.on_disk()).received.ack()

    async def hear(self, ack: Ack, *, how: str) -> None:
        """The sender hears an acknowledgement, on a link or in an envelope."""
        session = await self.sender.on_disk()
        async with self.sender.store.transaction() as tx:
            if how == "link":
                await self.sender.mailbox.delivered(tx, self.sender.peer_id, ack, session.session_id)
            else:
                envelope = (await self.friend.on_disk()).seal_ack(ack, random=bytes)
                await self.sender.mailbox.receive(tx, self.sender.peer_id, [envelope], carried=True)

    async def restore(self, copy: tuple[bytes, list[OutboxEntry]]) -> None:
        """Put the sender back to what `copy` gave."""
        session, outbox = copy
        side = self.sender
        async with side.store.transaction() as tx:
            contact = await side.mailbox.locked(tx, side.peer_id)
            await side.store.contacts.save(tx, replace(contact, session=session))
            await side.store.outbox.remove(tx, side.node_id, side.peer_id, [(1, 1_000)])
            for entry in outbox:
                await side.store.outbox.add(tx, side.node_id, entry)

    async def copy(self) -> tuple[bytes, list[OutboxEntry]]:
        return (await self.sender.on_disk()).serialize(), await self.sender.outbox()

    async def waiting(self) -> list[EventId]:
        return [entry.event_id for entry in await self.sender.outbox()]


@pytest.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    both = Pair(tmp_path)
    await both.begin()
    yield both
    await both.end()


@pytest.mark.parametrize("how", ["link", "carried"])
async def test_a_number_used_again_is_not_acknowledged_by_one_that_came_first(pair: Pair, how: str) -> None:
    """A lost block, or a second carrier: what is new comes before what was said under a number that was used."""
    copy = await pair.copy()
    await pair.take(*await pair.say("before 1", "before 2"))
    await pair.restore(copy)
    again1, again2, new = await pair.say("after 1", "after 2", "after 3")
    await pair.take(new)
    await pair.hear(await pair.take(again1, again2), how=how)
    assert await pair.waiting() == [again1.event_id, again2.event_id, new.event_id]
    assert pair.sender.delivered == []
    assert (await pair.sender.on_disk()).renewal.wanted is Reason.CONTRADICTION


@pytest.mark.parametrize("used", range(5))
@pytest.mark.parametrize("order", list(permutations(range(3))))
async def test_nothing_is_dropped_that_has_not_arrived(pair: Pair, used: int, order: tuple[int, ...]) -> None:
    """In whatever order it comes, and however many numbers were used before; each acknowledgement is heard at once."""
    copy = await pair.copy()
    await pair.hear(await pair.take(*await pair.say(*["before"] * used)), how="carried")
    await pair.restore(copy)
    said = await pair.say("after 1", "after 2", "after 3")
    for number in order:
        await pair.hear(await pair.take(said[number]), how="carried")
        gone = {entry.event_id for entry in said} - set(await pair.waiting())
        assert gone <= await pair.friend.arrived()
    assert (gone == {entry.event_id for entry in said}) is (used == 0)


@pytest.mark.parametrize("how", ["link", "carried"])
async def test_an_acknowledgement_of_what_was_forgotten_acknowledges_nothing(pair: Pair, how: str) -> None:
    """It waited at a carrier of the sender's while that was put back."""
    copy = await pair.copy()
    of_before = await pair.take(*await pair.say("before 1", "before 2"))
    await pair.restore(copy)
    said = await pair.say("after 1", "after 2", "after 3")
    await pair.hear(of_before, how=how)
    assert await pair.waiting() == [entry.event_id for entry in said]
    assert pair.sender.delivered == []
    assert (await pair.sender.on_disk()).renewal.wanted is Reason.CONTRADICTION


async def test_an_acknowledgement_of_more_than_was_said_acknowledges_nothing(pair: Pair) -> None:
    copy = await pair.copy()
    of_before = await pair.take(*await pair.say("before 1", "before 2"))
    await pair.restore(copy)
    [said] = await pair.say("after 1")
    await pair.hear(of_before, how="carried")
    assert await pair.waiting() == [said.event_id]


async def test_an_old_acknowledgement_is_no_contradiction(pair: Pair) -> None:
    first, second, third, fourth = await pair.say("1", "2", "3", "4")
    old, older_gap = await pair.take(first), await pair.take(third)
    await pair.hear(await pair.take(second), how="carried")
    for ack in (old, older_gap):
        await pair.hear(ack, how="carried")
    assert pair.sender.delivered == [first.event_id, second.event_id, third.event_id]
    assert await pair.waiting() == [fourth.event_id]
    assert (await pair.sender.on_disk()).renewal.wanted is None
