"""What happens in a simulated world besides what its nodes do: drawn from the seed before anything runs.

Times are virtual seconds. Before the first day, all are online together and become friends.
"""

from __future__ import annotations

import enum
import random
from dataclasses import dataclass, field, replace

from tests.sim.network import Weather

DAY = 86_400.0

FIRST_DAY = 5_400.0
"""When the first day begins."""

OFTEN_ONLINE = 0.6
"""Share of the time for which those are online who mostly are: a machine at home. They make good carriers."""

OFTEN = 0.12
"""Their share among all."""

SESSION = 2 * 3_600.0
"""Mean length of a session, in seconds, of those who are there now and then; of the others, so much longer that they
begin as many sessions as these."""

SHORTEST_SESSION = 300.0

BURST = 3
"""Messages that are said in a row to one friend, on average."""

BURST_PAUSE = 60.0
"""Seconds between two of these, at most."""

LONGEST_TEXT = 2_500
"""Characters: so that envelopes of each of the first two sizes come about."""


class Ending(enum.Enum):
    """How a session ends."""

    STOPPED = "stopped"
    KILLED = "killed"
    """The process dies, and the kernel closes its streams."""

    POWERLESS = "powerless"
    """The machine is gone, and nobody is told."""


class Vice(enum.Enum):
    """What is wrong with a carrier."""

    KEEPS_NOTHING = "keeps nothing"
    DROPS = "drops a third"
    DOUBLES = "hands over twice"
    REORDERS = "mixes up"
    BOASTS = "says that it holds more"
    INVENTS = "makes blocks up"
    VANISHES = "vanishes after a third of the time"


@dataclass(frozen=True, slots=True)
class Session:
    """A node is online from ``begin`` to ``end``."""

    begin: float
    end: float
    ending: Ending
    doom: int
    """For an ending that is none of its own: at which further step after ``end`` it dies, if it takes so many."""


@dataclass(frozen=True, slots=True)
class Message:
    """``number`` identifies it; it is due ``at`` then, or when the sender is online next."""

    number: int
    sender: int
    recipient: int
    at: float

    def text(self) -> str:
        """What is said: the number, and something that nobody else says."""
        dice = random.Random(f"text {self.number}")
        return f"{self.number} " + "x" * int(dice.random() ** 4 * LONGEST_TEXT) + dice.randbytes(4).hex()


@dataclass(frozen=True, slots=True)
class Partition:
    """``others`` cannot reach the rest, nor be reached, from ``begin`` to ``end``."""

    begin: float
    end: float
    others: frozenset[int]


@dataclass(frozen=True, slots=True)
class Options:
    """What makes a world; the same options are the same world."""

    seed: int = 1
    nodes: int = 300
    days: float = 30.0
    messages: int = 100_000
    online: float = 0.2
    friends: float = 6.0
    vicious: float = 0.1
    """Share of the nodes that are malicious carriers."""

    killed: float = 0.15
    powerless: float = 0.15
    """Shares of the sessions that end so."""

    crashes: float = 0.1
    """Share of the sessions in the middle of which the process dies, and starts again half a minute later."""

    partitions: float = 0.5
    """How many begin in a day."""

    weather: Weather = field(default_factory=lambda: Weather(lost_dials=0.05, stream_life=8 * 3_600.0))

    rough: bool = False
    """Made by `roughly`."""

    def roughly(self) -> Options:
        """The same with much more of everything that goes wrong."""
        return replace(
            self,
            rough=True,
            vicious=0.4,
            killed=0.4,
            powerless=0.3,
            crashes=0.5,
            partitions=4.0,
            weather=Weather(lost_dials=0.25, stream_life=1_800.0),
        )

    @property
    def end(self) -> float:
        """When the last day is over."""
        return FIRST_DAY + self.days * DAY

    def command(self) -> str:
        """Runs this world again."""
        given = f"SEED={self.seed} NODES={self.nodes} DAYS={self.days:g} MESSAGES={self.messages}"
        return f"make sim {given}" + (" ROUGH=1" if self.rough else "")


@dataclass(frozen=True, slots=True)
class Plan:
    """Of a world. Nodes are numbers."""

    options: Options
    friendships: list[tuple[int, int]]
    carriers: list[tuple[int, ...]]
    """Whom each asks to carry for it."""

    vices: dict[int, Vice]
    sessions: list[list[Session]]
    partitions: list[Partition]
    messages: list[Message]

    @property
    def end(self) -> float:
        """When the last day is over."""
        return self.options.end


def draw(options: Options) -> Plan:
    """The plan that these options mean."""
    dice = random.Random(f"plan {options.seed}")
    often = _often(options, dice)
    friendships = _friendships(options, dice)
    circles: list[list[int]] = [[] for _ in range(options.nodes)]
    for one, other in friendships:
        circles[one].append(other)
        circles[other].append(one)
    carriers = [
        tuple(sorted(circle, key=lambda friend: (friend not in often, dice.random()))[:2]) if len(circle) > 1 else ()
        for circle in circles
    ]
    vicious = dice.sample(range(options.nodes), round(options.nodes * options.vicious))
    vices = {node: list(Vice)[place % len(Vice)] for place, node in enumerate(sorted(vicious))}
    sessions = [_sessions(options, dice, node in often) for node in range(options.nodes)]
    for node, vice in vices.items():
        if vice is Vice.VANISHES:
            sessions[node] = [one for one in sessions[node] if one.end < FIRST_DAY + options.days * DAY / 3]
    partitions = _partitions(options, dice)
    return Plan(
        options, friendships, carriers, vices, sessions, partitions, _messages(options, dice, circles, sessions)
    )


def _often(options: Options, dice: random.Random) -> set[int]:
    return set(dice.sample(range(options.nodes), round(options.nodes * OFTEN)))


def _friendships(options: Options, dice: random.Random) -> list[tuple[int, int]]:
    """A ring, so that nobody is alone, and friendships at random up to the mean that is wanted."""
    nodes = options.nodes
    found = {(node, (node + 1) % nodes): None for node in range(nodes)}
    wanted = min(round(nodes * options.friends / 2), nodes * (nodes - 1) // 2)
    while len(found) < wanted:
        one, other = dice.randrange(nodes), dice.randrange(nodes)
        if one != other and (one, other) not in found and (other, one) not in found:
            found[one, other] = None
    return list(found)


def _sessions(options: Options, dice: random.Random, often: bool) -> list[Session]:
    rarely_online = max(0.02, (options.online - OFTEN * OFTEN_ONLINE) / (1 - OFTEN))
    share = OFTEN_ONLINE if often else rarely_online
    length = SESSION * share / rarely_online
    found: list[Session] = []
    now = FIRST_DAY - dice.uniform(0, length / share)
    while now < options.end:
        begin, end = now, now + SHORTEST_SESSION + dice.expovariate(1 / length)
        now = end + 60.0 + dice.expovariate(1 / (length / share - length))
        if end < FIRST_DAY + SHORTEST_SESSION or begin > options.end - SHORTEST_SESSION:
            continue
        begin, end = max(FIRST_DAY, begin), min(end, options.end)
        if dice.random() < options.crashes and end - begin > 3 * SHORTEST_SESSION:
            middle = dice.uniform(begin + SHORTEST_SESSION, end - SHORTEST_SESSION)
            found.append(Session(begin, middle, Ending.KILLED, _doom(dice)))
            begin = middle + 60.0 + 30.0
        found.append(Session(begin, end, _ending(options, dice), _doom(dice)))
    return found


def _ending(options: Options, dice: random.Random) -> Ending:
    drawn = dice.random()
    if drawn < options.killed:
        return Ending.KILLED
    return Ending.POWERLESS if drawn < options.killed + options.powerless else Ending.STOPPED


def _doom(dice: random.Random) -> int:
    return dice.randint(1, 60)


def _partitions(options: Options, dice: random.Random) -> list[Partition]:
    found: list[Partition] = []
    now = FIRST_DAY
    while options.partitions and (now := now + dice.expovariate(options.partitions / DAY)) < options.end:
        others = dice.sample(range(options.nodes), dice.randint(options.nodes // 10, options.nodes // 2))
        end = min(options.end, now + dice.uniform(600.0, 4 * 3_600.0))
        found.append(Partition(now, end, frozenset(others)))
        now = end  # one at a time
    return found


def _messages(
    options: Options, dice: random.Random, circles: list[list[int]], sessions: list[list[Session]]
) -> list[Message]:
    """Said by whoever is online, as people talk: several in a row."""
    chosen = [(node, session) for node, some in enumerate(sessions) for session in some]
    weights = [session.end - session.begin for _, session in chosen]
    found: list[Message] = []
    while len(found) < options.messages:
        for node, session in dice.choices(chosen, weights, k=1_000):
            recipient = dice.choice(circles[node])
            at = dice.uniform(session.begin, session.end)
            for _ in range(dice.randint(1, 2 * BURST - 1)):
                if len(found) < options.messages:
                    found.append(Message(len(found), node, recipient, at))
                at += dice.uniform(2.0, BURST_PAUSE)
    return found
