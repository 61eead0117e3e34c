"""What every worker of a node is given: the ports it works through."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TypeVar

from chattor_bridge.node.budget import OnionBudget
from chattor_bridge.node.carrying.records import CarryPolicy
from chattor_bridge.node.clock import SteadyClock
from chattor_bridge.node.filesettings import FileSettings
from chattor_bridge.node.labour import Labour
from chattor_bridge.node.patience import Backoff, Pace, heed_cancellation
from chattor_bridge.node.ports import Observer, RandomBytes, Transport
from chattor_bridge.node.store_ports import NodeStore
from chattor_bridge.protocol.limits import EFFORT_BITS, WORK_BITS

T = TypeVar("T")

GiveUp = tuple[type[Exception], ...]


@dataclass(frozen=True, slots=True)
class Surroundings:
    """The ports of a process's nodes, how patient they are, and the onions they share. ``work_bits`` and
    ``effort_bits`` are what our doors ask of a knocker's stamp and proof. Without ``files`` none is offered or
    taken."""

    store: NodeStore
    transport: Transport
    clock: SteadyClock
    random: RandomBytes
    observer: Observer
    pace: Pace = field(default_factory=Pace)
    work_bits: int = WORK_BITS
    effort_bits: int = EFFORT_BITS
    budget: OnionBudget = field(default_factory=OnionBudget)
    labour: Labour = field(default_factory=Labour)
    carry_policy: CarryPolicy = field(default_factory=CarryPolicy)
    carrying_transport: Transport | None = None
    files: FileSettings | None = None

    @property
    def shelf_transport(self) -> Transport:
        """Where shelves are hosted: on a tor of their own, if there is one."""
        return self.carrying_transport or self.transport

    def dialling(self) -> Backoff:
        return Backoff(self.pace.dial_first, self.pace.dial_most, self.random)

    def knocking(self) -> Backoff:
        return Backoff(self.pace.knock_first, self.pace.knock_most, self.random)

    def repairing(self) -> Backoff:
        return Backoff(self.pace.repair_first, self.pace.repair_most, self.random)

    async def insist(
        self, work: Callable[[], Awaitable[T]], *, on_failure: Callable[[Exception, float], None], give_up: GiveUp = ()
    ) -> T:
        """Do ``work`` again, with back-off, until it does not fail: for what must not be skipped on our own side, such
        as a transaction the database or the observer would not have.

        ``on_failure`` is told of each failure and of the seconds until the next try. Errors of the types in
        ``give_up`` are raised instead.
        """
        backoff = self.repairing()
        while True:
            try:
                return await work()
            except give_up:
                raise
            except Exception as error:
                heed_cancellation()
                delay = backoff.next()
                on_failure(error, delay)
            await self.clock.sleep(delay)
