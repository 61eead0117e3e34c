"""The oracle finds what is wrong: each of its checks fires, and none on what is right."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable

import pytest

from chattor_bridge.ids import EventId
from tests.sim.loop import run
from tests.sim.oracle import COLLECTED_WITHIN, Findings, Oracle, Roads, overlap, without
from tests.sim.plan import Message, Options, Partition, Plan, Vice, draw

SENDER, RECIPIENT, CARRIER = range(3)

FIRST, SECOND = Message(0, SENDER, RECIPIENT, 0.0), Message(1, SENDER, RECIPIENT, 0.0)


def plan(*, vices: dict[int, Vice] | None = None, partitions: list[Partition] | None = None) -> Plan:
    options = Options(nodes=3, messages=2)
    messages = [FIRST, SECOND]
    return Plan(options, [], [(), (CARRIER,), ()], vices or {}, [[], [], []], partitions or [], messages)


def event(message: Message) -> EventId:
    return EventId(bytes([message.number]) * 16)


def judge(story: Callable[[Oracle], None], a_plan: Plan | None = None, *, all_online: bool = True) -> Findings:
    """What the oracle finds when ``story`` has happened to it."""

    async def tell() -> Findings:
        oracle = Oracle(a_plan or plan())
        if all_online:
            for node in range(3):
                oracle.online(node, up=True)
        for message in (FIRST, SECOND):
            oracle.said(message, event(message))
        story(oracle)
        await asyncio.sleep(2 * COLLECTED_WITHIN)
        return oracle.findings()

    return run(tell())


def arrive(oracle: Oracle, *messages: Message) -> None:
    """At the recipient, and the sender learns of it."""
    for message in messages:
        oracle.arrived(RECIPIENT, SENDER, message.text())
        oracle.delivered(SENDER, event(message))


def test_what_is_right_is_no_problem() -> None:
    findings = judge(lambda oracle: arrive(oracle, FIRST, SECOND))
    assert not findings.problems
    assert findings.figures["messages lost"] == 0


def test_what_is_lost() -> None:
    findings = judge(lambda oracle: arrive(oracle, FIRST))
    assert "never arrived" in findings.problems[0]
    assert findings.figures["messages lost"] == 1


def test_what_is_doubled() -> None:
    def repeat(oracle: Oracle) -> None:
        arrive(oracle, FIRST, SECOND)
        oracle.arrived(RECIPIENT, SENDER, FIRST.text())

    assert "arrived twice" in judge(repeat).problems[0]


def test_what_is_changed() -> None:
    def change(oracle: Oracle) -> None:
        oracle.arrived(RECIPIENT, SENDER, "0 something else")
        arrive(oracle, SECOND)

    assert "another content" in judge(change).problems[0]


def test_what_is_acknowledged_twice_or_never() -> None:
    def twice(oracle: Oracle) -> None:
        arrive(oracle, FIRST, SECOND)
        oracle.delivered(SENDER, event(FIRST))

    def never(oracle: Oracle) -> None:
        arrive(oracle, FIRST)
        oracle.arrived(RECIPIENT, SENDER, SECOND.text())

    assert "acknowledged to its sender twice" in judge(twice).problems[0]
    assert "of 1 messages" in judge(never).problems[0]


def test_what_comes_to_somebody_else() -> None:
    assert "nobody said" in judge(lambda oracle: oracle.arrived(CARRIER, SENDER, FIRST.text())).problems[0]


def test_what_is_out_of_order() -> None:
    assert "came when" in judge(lambda oracle: arrive(oracle, SECOND, FIRST)).problems[0]


def test_what_is_shown_late_behind_a_marker_is_not() -> None:
    def mark(oracle: Oracle) -> None:
        oracle.noticed(RECIPIENT, SENDER, "node.missing")
        arrive(oracle, SECOND, FIRST)

    findings = judge(mark)
    assert not findings.problems
    assert findings.figures["shown late, after a marker that something is missing"] == 1


def test_what_arrives_where_there_was_no_way() -> None:
    findings = judge(lambda oracle: arrive(oracle, FIRST, SECOND), all_online=False)
    assert "before there was a way" in findings.problems[0]


@pytest.mark.parametrize("honest", [True, False])
def test_what_an_honest_carrier_holds_and_does_not_hand_over(honest: bool) -> None:
    vices = {} if honest else {CARRIER: Vice.DROPS}
    findings = judge(lambda oracle: oracle.left(CARRIER, [event(FIRST)]), plan(vices=vices))
    assert any("was left at 2" in problem for problem in findings.problems) is honest


def test_what_is_handed_over_in_time() -> None:
    def hand_over(oracle: Oracle) -> None:
        oracle.left(CARRIER, [event(FIRST), event(SECOND)])
        arrive(oracle, FIRST, SECOND)

    findings = judge(hand_over)
    assert not findings.problems
    assert findings.figures["left at honest carriers, and collected there in time or come before"] == 2


def test_the_first_way_is_the_shortest_there_was() -> None:
    online = [[(0.0, 10.0), (90.0, 99.0)], [(40.0, 50.0), (95.0, 99.0)], [(5.0, 45.0)]]
    roads = Roads(plan(), online)
    assert roads.meeting(SENDER, RECIPIENT, 0.0) == 95.0
    assert roads.first(SENDER, RECIPIENT, 0.0) == 40.0  # left at 5, collected at 40
    assert roads.first(SENDER, RECIPIENT, 20.0) == 95.0  # the sender meets the carrier no more
    assert roads.first(RECIPIENT, SENDER, 41.0) == 95.0  # for the sender nobody carries
    assert roads.meeting(SENDER, CARRIER, 46.0) == float("inf")


def test_those_who_are_apart_do_not_meet() -> None:
    apart = Partition(40.0, 48.0, frozenset({RECIPIENT}))
    roads = Roads(plan(partitions=[apart]), [[(0.0, 100.0)], [(30.0, 60.0)], []])
    assert roads.together(SENDER, RECIPIENT) == [(30.0, 40.0), (48.0, 60.0)]
    assert roads.long_meeting(SENDER, RECIPIENT, 32.0, 10.0) == 58.0
    assert roads.long_meeting(SENDER, RECIPIENT, 32.0, 20.0) is None


def test_spans() -> None:
    assert overlap([(0, 5), (6, 9)], [(1, 2), (4, 7), (8, 20)]) == [(1, 2), (4, 5), (6, 7), (8, 9)]
    assert without([(0, 5), (6, 9)], 4, 7) == [(0, 4), (7, 9)]


def test_a_plan_keeps_what_was_asked_for() -> None:
    made = draw(Options(seed=4, nodes=200, days=20, messages=5_000))
    online = sum(one.end - one.begin for some in made.sessions for one in some)
    assert 0.17 < online / (200 * 20 * 86_400) < 0.23
    assert len(made.messages) == 5_000
    assert len(made.friendships) == 600
    assert set(made.vices.values()) == set(Vice)
    assert all(one.end < later.begin for some in made.sessions for one, later in itertools.pairwise(some))
    assert all(one.end <= made.options.end for one in made.partitions)
    assert made == draw(Options(seed=4, nodes=200, days=20, messages=5_000))
