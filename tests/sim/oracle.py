"""What must be true of a simulated world, found without asking the code that is simulated.

It knows the plan, hears what was committed, and when which process was online. From these alone follows what had to
arrive, in which order, and when it could have arrived at best.
"""

from __future__ import annotations

import asyncio
import bisect
import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median

from chattor_bridge.ids import EventId
from tests.sim.plan import Message, Plan

COLLECTED_WITHIN = 45 * 60.0
"""Seconds that a carrier and a friend are online together in which it hands over all: nodes here dial each other twice
an hour at least, and a machine that lost its power is found out after some minutes."""

Spans = list[tuple[float, float]]
"""Times in which something was so, in order, none touching another."""

MANY = 20
"""Problems that are listed; the others are counted."""


@dataclass(slots=True)
class Fate:
    """What became of a message. Times in virtual seconds."""

    message: Message
    said: float
    event_id: EventId
    place: int
    """Which of what its sender said to that friend, from 0."""

    arrived: float | None = None
    acknowledged: bool = False
    left: dict[int, float] = field(default_factory=dict)
    """When which carrier said for the first time that it holds it."""


@dataclass(slots=True)
class Findings:
    """What is wrong, and figures."""

    problems: list[str] = field(default_factory=list)
    figures: dict[str, object] = field(default_factory=dict)


class Oracle:
    """Of one world. Implements `tests.sim.household.Ledger`."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._fates: dict[int, Fate] = {}
        self._by_event: dict[EventId, Fate] = {}
        self._counts: Counter[tuple[int, int]] = Counter()
        self._seen: dict[tuple[int, int], int] = {}
        self._marked: set[tuple[int, int]] = set()
        self._passed_over: dict[tuple[int, int], set[int]] = {}
        self._late = 0
        self._since: dict[int, float] = {}
        self._online: list[Spans] = [[] for _ in plan.sessions]
        self._trace = hashlib.sha256()
        self._notices: Counter[str] = Counter()
        self._problems: list[str] = []

    # --- what it hears -----------------------------------------------------------------------------------------------

    def said(self, message: Message, event_id: EventId) -> None:
        pair = message.sender, message.recipient
        if message.number in self._fates:
            self._problems.append(f"message {message.number} was said twice")
        fate = Fate(message, _now(), event_id, self._counts[pair])
        self._counts[pair] += 1
        self._fates[message.number] = self._by_event[event_id] = fate
        self._note("said", message.number)

    def arrived(self, recipient: int, sender: int, text: str) -> None:
        number = int(text.split(" ", 1)[0])
        fate = self._fates.get(number)
        self._note("arrived", number, recipient)
        if fate is None or (fate.message.sender, fate.message.recipient) != (sender, recipient):
            self._problems.append(f"node {recipient} got message {number}, which nobody said to it")
            return
        if fate.message.text() != text:
            self._problems.append(f"message {number} arrived with another content")
        if fate.arrived is not None:
            self._problems.append(f"message {number} arrived twice")
            return
        fate.arrived = _now()
        self._judge_order(fate)

    def _judge_order(self, fate: Fate) -> None:
        """In order, but for what comes after a marker has shown that it is missing."""
        pair = fate.message.sender, fate.message.recipient
        expected = self._seen.get(pair, 0)
        passed_over = self._passed_over.setdefault(pair, set())
        if fate.place in passed_over:
            passed_over.remove(fate.place)
            self._late += 1
            return
        if fate.place > expected and pair in self._marked:
            passed_over.update(range(expected, fate.place))
        elif fate.place != expected:
            self._problems.append(
                f"message {fate.message.number} of {pair[0]} to {pair[1]} is number {fate.place} and came when "
                f"{expected} was next"
            )
        self._seen[pair] = max(expected, fate.place + 1)
        self._marked.discard(pair)

    def delivered(self, sender: int, event_id: EventId) -> None:
        fate = self._by_event.get(event_id)
        if fate is None:
            return  # what nodes tell each other by themselves
        self._note("delivered", fate.message.number)
        if fate.acknowledged:
            self._problems.append(f"message {fate.message.number} was acknowledged to its sender twice")
        fate.acknowledged = True

    def left(self, carrier: int, event_ids: Sequence[EventId]) -> None:
        """A carrier has said that it holds these."""
        for event_id in event_ids:
            fate = self._by_event.get(event_id)
            if fate is not None:
                self._note("left", fate.message.number, carrier)
                fate.left.setdefault(carrier, _now())

    def noticed(self, node: int, peer: int, what: str) -> None:
        """A node shows its owner that something is not as it should be, or what it agreed on."""
        self._note(what, node, peer)
        self._notices[what] += 1
        if what == "node.missing":
            self._marked.add((peer, node))

    def online(self, node: int, *, up: bool) -> None:
        self._note("up" if up else "down", node)
        if up:
            self._since[node] = _now()
        else:
            self._online[node].append((self._since.pop(node), _now()))

    def _note(self, *what: object) -> None:
        self._trace.update(f"{_now():.6f} {what}\n".encode())

    def progress(self) -> str:
        """How it goes."""
        arrived = sum(fate.arrived is not None for fate in self._fates.values())
        return f"{len(self._fates)} messages said, {arrived} arrived"

    # --- what it finds -----------------------------------------------------------------------------------------------

    def findings(self) -> Findings:
        """After everything was over."""
        for node in list(self._since):
            self._online[node].append((self._since.pop(node), _now()))
        found = Findings(self._problems)
        roads = Roads(self._plan, self._online)
        self._judge_losses(found)
        self._judge_carriers(found, roads)
        self._judge_delays(found, roads)
        if len(found.problems) > MANY:
            found.problems[MANY:] = [f"... and {len(found.problems) - MANY} more"]
        found.figures["digest of everything that happened"] = self._trace.hexdigest()[:16]
        return found

    def _judge_losses(self, found: Findings) -> None:
        planned = len(self._plan.messages)
        never = [fate for fate in self._fates.values() if fate.arrived is None]
        found.figures["messages said"] = len(self._fates)
        found.figures["messages lost"] = len(never)
        if len(self._fates) < planned:
            found.problems.append(f"{planned - len(self._fates)} messages of the plan were never said")
        for fate in never:
            found.problems.append(
                f"message {fate.message.number} of {fate.message.sender} to {fate.message.recipient}, said at "
                f"{fate.said:.0f}, never arrived"
            )
        unknown = sum(fate.arrived is not None and not fate.acknowledged for fate in self._fates.values())
        if unknown:
            found.problems.append(f"of {unknown} messages that arrived their senders never learnt it")
        found.figures["shown late, after a marker that something is missing"] = self._late
        found.figures["notices"] = dict(sorted(self._notices.items()))

    def _judge_carriers(self, found: Findings, roads: Roads) -> None:
        """What an honest carrier holds arrives as soon as it has had its time with the recipient, whatever becomes of
        the sender."""
        kept = 0
        for fate in self._fates.values():
            for carrier, since in fate.left.items():
                if carrier in self._plan.vices:
                    continue
                by = roads.long_meeting(carrier, fate.message.recipient, since, COLLECTED_WITHIN)
                if by is None:
                    continue
                kept += 1
                if fate.arrived is None or fate.arrived > by:
                    found.problems.append(
                        f"message {fate.message.number} of {fate.message.sender} to {fate.message.recipient} was left "
                        f"at {carrier} at {since:.0f}, and had not come by {by:.0f}"
                    )
        found.figures["left at honest carriers, and collected there in time or come before"] = kept

    def _judge_delays(self, found: Findings, roads: Roads) -> None:
        delays: list[float] = []
        best: list[float] = []
        never_met = 0
        for fate in self._fates.values():
            if fate.arrived is None:
                continue
            sender, recipient = fate.message.sender, fate.message.recipient
            first = roads.first(sender, recipient, fate.said)
            if first > fate.arrived + 1.0:
                found.problems.append(f"message {fate.message.number} arrived before there was a way")
                continue
            delays.append(fate.arrived - fate.said)
            best.append(first - fate.said)
            never_met += roads.meeting(sender, recipient, fate.said) > fate.arrived
        if not delays:
            return
        found.figures["arrived without sender and recipient having met"] = never_met
        for name, values in (("delay", delays), ("best possible delay", best)):
            values = sorted(values)
            found.figures[name] = (
                f"median {_in_words(median(values))}, 90th percentile {_in_words(values[len(values) * 9 // 10])}, "
                f"mean {_in_words(sum(values) / len(values))}"
            )
        later = sorted(one - other for one, other in zip(delays, best, strict=True))
        found.figures["later than possible"] = (
            f"median {_in_words(median(later))}, 90th percentile {_in_words(later[len(later) * 9 // 10])}"
        )
        online = sum(end - begin for spans in self._online for begin, end in spans)
        found.figures["online, of all time"] = f"{100 * online / (_now() * len(self._online)):.1f} %"


class Roads:
    """When there was a way from one node to another, by the times for which they were online alone."""

    def __init__(self, plan: Plan, online: list[Spans]) -> None:
        self._plan = plan
        self._online = online
        self._together: dict[tuple[int, int], Spans] = {}

    def together(self, one: int, other: int) -> Spans:
        """When these two could reach each other."""
        pair = (min(one, other), max(one, other))
        if pair not in self._together:
            spans = overlap(self._online[one], self._online[other])
            for partition in self._plan.partitions:
                if (one in partition.others) != (other in partition.others):
                    spans = without(spans, partition.begin, partition.end)
            self._together[pair] = spans
        return self._together[pair]

    def meeting(self, one: int, other: int, after: float) -> float:
        """The first moment from then on at which they could reach each other; infinite if there was none."""
        spans = self.together(one, other)
        place = bisect.bisect_left(spans, after, key=lambda span: span[1])
        return max(after, spans[place][0]) if place < len(spans) else float("inf")

    def long_meeting(self, one: int, other: int, after: float, seconds: float) -> float | None:
        """When they first have been together for that long since then; None if they never were."""
        for begin, end in self.together(one, other):
            if end - max(begin, after) >= seconds:
                return max(begin, after) + seconds
        return None

    def first(self, sender: int, recipient: int, said: float) -> float:
        """The first moment at which something that was said then could have arrived, by a carrier or without."""
        by_carriers = (
            self.meeting(carrier, recipient, self.meeting(sender, carrier, said))
            for carrier in self._plan.carriers[recipient]
            if carrier != sender
        )
        return min([self.meeting(sender, recipient, said), *by_carriers])


def overlap(ones: Spans, others: Spans) -> Spans:
    """When both were so."""
    found: Spans = []
    place = 0
    for begin, end in ones:
        while place < len(others) and others[place][1] <= begin:
            place += 1
        at = place
        while at < len(others) and others[at][0] < end:
            found.append((max(begin, others[at][0]), min(end, others[at][1])))
            at += 1
    return found


def without(spans: Spans, begin: float, end: float) -> Spans:
    """The spans, with a gap."""
    found: Spans = []
    for one, other in spans:
        if one < begin:
            found.append((one, min(other, begin)))
        if other > end:
            found.append((max(one, end), other))
    return [(one, other) for one, other in found if one < other]


def _in_words(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.1f} s"
    if seconds < 7_200:
        return f"{seconds / 60:.1f} min"
    return f"{seconds / 3_600:.1f} h"


def _now() -> float:
    return asyncio.get_running_loop().time()
