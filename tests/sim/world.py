"""A simulated world: real nodes, each with a process and a disk of its own, in virtual time."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable
from unittest.mock import patch

from chattor_bridge.node import housekeeping
from chattor_bridge.node.patience import Pace
from tests.sim import loop
from tests.sim.carriers import corrupting
from tests.sim.household import Household
from tests.sim.network import CALM, SimNetwork
from tests.sim.oracle import Findings, Oracle
from tests.sim.plan import DAY, FIRST_DAY, Ending, Message, Options, Partition, Plan, draw
from tests.sim.process import DEAD
from tests.sim.seeded import seeded_encapsulation

REUNION = 2 * 3_600.0
"""Seconds after the last day in which all are online: what is still on its way arrives, or never will."""

PACE = Pace(dial_most=1_800.0)
"""Nodes that dial friends who are away every ten minutes, as they do, are a quarter of all the work. Half an hour costs
little: whoever comes dials at once."""

HOUSEKEEPING = 3_600.0
"""Seconds between two looks at what has expired, where a node takes 600: nothing here lives for less than days."""

KNOCK_PAUSE = 2.0
"""Seconds between two requests of one node."""


def simulate(options: Options, *, tell: Callable[[str], None] = lambda line: None) -> Findings:
    """Run the world that these options mean; what was found."""
    with (
        seeded_encapsulation(options.seed),
        patch.object(housekeeping, "HOUSEKEEPING", HOUSEKEEPING),
        _Errors() as errors,
    ):
        findings = loop.run(World(draw(options), tell=tell).run())
    findings.problems += [f"logged {count} times: {line}" for line, count in errors.lines.items()]
    return findings


class World:
    """Of one plan. `run` it once, on a `tests.sim.loop.VirtualLoop`."""

    def __init__(self, plan: Plan, *, tell: Callable[[str], None] = lambda line: None) -> None:
        self._plan = plan
        self._tell = tell
        self.network = SimNetwork(random.Random(f"network {plan.options.seed}"))
        self.oracle = Oracle(plan)
        prepare = corrupting(plan)
        self.households = [
            Household(number, plan.options.seed, self.network, self.oracle, PACE, prepare)
            for number in range(plan.options.nodes)
        ]
        to_say: list[list[Message]] = [[] for _ in self.households]
        for message in plan.messages:
            to_say[message.sender].append(message)
        for household, messages in zip(self.households, to_say, strict=True):
            household.to_say.extend(sorted(messages, key=lambda message: message.at))

    async def run(self) -> Findings:
        """Everything, in order."""
        await self._meet()
        await _until(FIRST_DAY)
        self.network.weather = self._plan.options.weather
        async with asyncio.TaskGroup() as group:
            for household in self.households:
                group.create_task(self._live(household))
            for partition in self._plan.partitions:
                group.create_task(self._divide(partition))
            group.create_task(self._count_days())
        self.network.weather = CALM
        await self._be_online()
        return self.oracle.findings()

    async def _meet(self) -> None:
        """All become friends, and agree who carries for whom."""
        for household in self.households:
            await household.start()
            await household.create()
        accepting = [asyncio.create_task(household.accept_all()) for household in self.households]
        codes = [await household.code() for household in self.households]
        for one, other in self._plan.friendships:
            await self.households[one].knock(other, codes[other])
            await asyncio.sleep(KNOCK_PAUSE)
        missing = [pair for pair in self._plan.friendships if not self._are_friends(*pair)]
        while missing:
            await asyncio.sleep(60.0)
            missing = [pair for pair in missing if not self._are_friends(*pair)]
        for household in self.households:
            for carrier in self._plan.carriers[household.number]:
                await household.ask_to_carry(carrier)
        await asyncio.sleep(900.0)
        for task in accepting:
            task.cancel()
        for household in self.households:
            await household.end(Ending.STOPPED)
        self._tell(f"{len(self.households)} nodes have made {len(self._plan.friendships)} friendships")

    def _are_friends(self, one: int, other: int) -> bool:
        return other in self.households[one].friends and one in self.households[other].friends

    async def _live(self, household: Household) -> None:
        for session in self._plan.sessions[household.number]:
            await _until(session.begin)
            await household.start()
            await household.talk(session.end)
            await household.end(session.ending, session.doom)

    async def _divide(self, partition: Partition) -> None:
        await _until(partition.begin)
        self.network.apart = lambda one, other: (int(one) in partition.others) != (int(other) in partition.others)
        self.network.part()
        await _until(partition.end)
        self.network.apart = lambda one, other: False

    async def _be_online(self) -> None:
        """All of them, until nothing is left to be waited for."""
        until = asyncio.get_running_loop().time() + REUNION
        for household in self.households:
            await household.start()
        await asyncio.gather(*(household.talk(until) for household in self.households))
        for household in self.households:
            await household.end(Ending.STOPPED)

    async def _count_days(self) -> None:
        day = 0
        while (day := day + 1) <= self._plan.options.days:
            await _until(FIRST_DAY + day * DAY)
            self._tell(f"day {day}: {self.oracle.progress()}")


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - asyncio.get_running_loop().time()))


class _Errors(logging.Handler):
    """What the nodes log as errors while they live: nothing should be."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: Counter[str] = Counter()

    def emit(self, record: logging.LogRecord) -> None:
        line = record.getMessage()
        if DEAD not in line:
            self.lines[line] += 1

    def __enter__(self) -> _Errors:
        logging.getLogger("chattor_bridge").addHandler(self)
        return self

    def __exit__(self, *error: object) -> None:
        logging.getLogger("chattor_bridge").removeHandler(self)
