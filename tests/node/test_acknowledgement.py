"""Two mailboxes on disk and a network that loses, repeats and disorders, with crashes before any commit.

Whatever happens between them: nothing is acknowledged that is not on disk, nothing leaves an outbox that its friend
does not have, everything is handed on once and in order, no key seals twice what it may seal once, and once the network
behaves nothing is left to do. An epoch lasts three events here, so that there are several.
"""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections import Counter
from collections.abc import Awaitable
from functools import partial
from pathlib import Path
from typing import ClassVar, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from chattor_bridge.node.mailbox import Taken
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.sending import Of
from chattor_bridge.protocol import epoch, ratchet, session
from chattor_bridge.protocol.events import Event, Text
from chattor_bridge.protocol.primitives import aead_seal
from chattor_bridge.protocol.window import Ack
from tests.node.halves import Side
from tests.protocol.sources import onion_key, session_pair

SIDES = (0, 1)

HAPPENS = {
    *("sent", "lost", "crash", "acknowledged", "out of order", "a gap is closed", "again", "a later epoch"),
    *("a crash on arrival", "a crash on acknowledgement"),
}
"""What must have happened for a run to show anything."""

T = TypeVar("T")


class Seals:
    """Watches what seals. A key never meets a nonce again, and of the message keys of the ratchet, one that has sealed
    what is on disk, and so may have left, never seals anything else."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._pairs: set[tuple[bytes, bytes]] = set()
        self._spent: set[bytes] = set()
        self._under_way: list[bytes] = []
        for layer in (session, ratchet):
            patch.setattr(layer, "aead_seal", partial(self._seal, inner=layer is ratchet))

    def _seal(self, key: bytes, nonce: bytes, plaintext: bytes, ad: bytes, *, inner: bool) -> bytes:
        assert (key, nonce) not in self._pairs
        self._pairs.add((key, nonce))
        if inner:
            assert key not in self._spent
            self._under_way.append(key)
        return aead_seal(key, nonce, plaintext, ad)

    def committed(self, *, crash: bool) -> None:
        if not crash:
            assert len(set(self._under_way)) == len(self._under_way)
            self._spent.update(self._under_way)
        self._under_way.clear()


class Acknowledgement(RuleBasedStateMachine):
    happened: ClassVar[Counter[str]] = Counter()
    """In all runs: what a machine that finds nothing wrong may not have come to."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.directory = Path(tempfile.mkdtemp(prefix="chattor-ack-"))
        halves = session_pair()
        self.patch = pytest.MonkeyPatch()
        self.patch.setattr(epoch, "EPOCH_MESSAGES", 3)
        seals = Seals(self.patch).committed
        self.sides = [
            Side(self.directory, name, half, committed=seals) for name, half in zip("ab", halves, strict=True)
        ]
        self.envelopes: list[list[bytes]] = [[], []]  # on their way to a side, for ever: a network may repeat anything
        self.acks: list[list[Ack]] = [[], []]

    @initialize()
    def begin(self) -> None:
        for side in self.sides:
            self.run(side.begin(onion_key("friend")))

    def run(self, work: Awaitable[T]) -> T:
        async def awaited() -> T:
            return await work

        return self.loop.run_until_complete(awaited())

    @rule(who=st.sampled_from(SIDES), count=st.integers(1, 3), fate=st.sampled_from(["sent", "sent", "lost", "crash"]))
    def say(self, who: int, count: int, fate: str) -> None:
        side = self.sides[who]
        known = {entry.seq for entry in self.run(side.outbox())}
        for _ in range(count):
            event = side.mailbox.event(Text(f"message {len(side.said)}"))

            async def send(tx: Transaction, event: Event = event) -> bool:
                await side.mailbox.send(tx, side.peer_id, event)
                return True

            if self.run(side.do(send, crash=fate == "crash")):
                side.said.append(event.event_id)
        if fate == "sent":
            self.envelopes[1 - who] += [one.envelope for one in self.run(side.outbox()) if one.seq not in known]
        self.happened[fate] += 1

    @rule(who=st.sampled_from(SIDES))
    def say_again(self, who: int) -> None:
        """A new link: everything that waits leaves once more."""
        self.envelopes[1 - who] += [entry.envelope for entry in self.run(self.sides[who].outbox())]

    @rule(who=st.sampled_from(SIDES))
    def a_good_link(self, who: int) -> None:
        """Everything that waits arrives in order, and is acknowledged."""
        self.take(1 - who, [entry.envelope for entry in self.run(self.sides[who].outbox())])
        if self.acks[who]:
            self.absorb(who, self.acks[who][-1])

    @precondition(lambda self: any(self.envelopes))
    @rule(picks=st.lists(st.integers(0, 999), min_size=1, max_size=6), crash=st.booleans(), who=st.sampled_from(SIDES))
    def arrive(self, who: int, picks: list[int], crash: bool) -> None:
        """Some of what ever travelled arrives, in any order, more than once; 0 is the newest of it."""
        who = who if self.envelopes[who] else 1 - who
        self.take(who, [self.envelopes[who][-1 - pick % len(self.envelopes[who])] for pick in picks], crash=crash)

    @precondition(lambda self: any(self.acks))
    @rule(
        who=st.sampled_from(SIDES),
        pick=st.integers(0, 999),
        fate=st.sampled_from(["acknowledged", "acknowledged", "a crash on acknowledgement"]),
    )
    def be_acknowledged(self, who: int, pick: int, fate: str) -> None:
        """An acknowledgement arrives: an old one, the same again, or the newest."""
        who = who if self.acks[who] else 1 - who
        self.absorb(who, self.acks[who][pick % len(self.acks[who])], crash=fate != "acknowledged")
        self.happened[fate] += 1

    def take(self, who: int, batch: list[bytes], *, crash: bool = False) -> None:
        side = self.sides[who]
        before = self.run(side.on_disk()).received

        async def receive(tx: Transaction) -> Taken:
            return await side.mailbox.receive(tx, side.peer_id, batch)

        taken = self.run(side.do(receive, crash=crash))
        after = self.run(side.on_disk()).received
        self.happened["a crash on arrival"] += crash
        self.happened["out of order"] += after.missing > before.missing
        self.happened["a gap is closed"] += 0 == after.missing < before.missing
        self.happened["again"] += bool(batch) and not crash and after.ack() == before.ack()
        if taken is not None:
            assert taken.renew is None
            if taken.ack is not None:
                self.acks[1 - who].append(taken.ack)

    def absorb(self, who: int, ack: Ack, *, crash: bool = False) -> None:
        side = self.sides[who]
        session_id = self.run(side.on_disk()).session_id

        async def delivered(tx: Transaction) -> Of:
            of, _ = await side.mailbox.delivered(tx, side.peer_id, ack, session_id)
            return of

        assert self.run(side.do(delivered, crash=crash)) is not Of.OTHERS

    @invariant()
    def handed_on_once_and_in_order(self) -> None:
        for side, friend in ((self.sides[0], self.sides[1]), (self.sides[1], self.sides[0])):
            assert side.shown == friend.said[: len(side.shown)]

    @invariant()
    def nothing_is_acknowledged_that_is_not_on_disk(self) -> None:
        for who, side in enumerate(self.sides):
            if self.acks[1 - who]:
                received = self.run(side.on_disk()).received
                for first, last in {runs for ack in self.acks[1 - who] for runs in ack.covered()}:
                    assert all(received.contains(seq) for seq in range(first, last + 1))

    @invariant()
    def nothing_leaves_the_outbox_that_has_not_arrived(self) -> None:
        for side, friend in ((self.sides[0], self.sides[1]), (self.sides[1], self.sides[0])):
            if side.said:
                waiting = {entry.event_id for entry in self.run(side.outbox())}
                assert len(side.delivered) == len(set(side.delivered))
                assert waiting | set(side.delivered) >= set(side.said)
                assert not waiting & set(side.delivered)
                assert set(side.delivered) & set(side.said) <= self.run(friend.arrived())

    def teardown(self) -> None:
        """The network behaves from here on: everything arrives, both outboxes end empty, both are in a later epoch."""
        try:
            self.happened["a later epoch"] += any(self.run(side.on_disk()).epochs.sending for side in self.sides)
            for who in (*SIDES, *SIDES):
                self.say(who, 3, "lost")
            for _ in range(8):  # what they agree on for their keys is said in events, too
                for who in SIDES:
                    self.a_good_link(who)
            for side, friend in ((self.sides[0], self.sides[1]), (self.sides[1], self.sides[0])):
                assert side.shown == friend.said
                assert set(side.delivered) >= set(side.said)
                assert self.run(side.outbox()) == []
                epochs = self.run(side.on_disk()).epochs
                assert epochs.negotiation is None
                assert epochs.sending == self.run(friend.on_disk()).epochs.sending > 0
        finally:
            self.patch.undo()
            for side in self.sides:
                self.run(side.store.stop())
            self.loop.close()
            shutil.rmtree(self.directory)


def test_whatever_happens_between_them() -> None:
    Acknowledgement.happened.clear()
    run_state_machine_as_test(
        Acknowledgement, settings=settings(max_examples=60, stateful_step_count=30, deadline=None, derandomize=True)
    )
    assert {what for what, times in Acknowledgement.happened.items() if times} == HAPPENS
