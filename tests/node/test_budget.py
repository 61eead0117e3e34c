"""Which spare onions a process grants: docs/protocol/link.md, "Who hosts"."""

from __future__ import annotations

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.budget import OnionBudget, Spare
from chattor_bridge.protocol.limits import SPARE_ONIONS_UP_TO

ONE, OTHER = NodeId(b"one"), NodeId(b"other")
ROOM = SPARE_ONIONS_UP_TO


def _spares(*numbers: int, hosted: bool = False) -> list[Spare]:
    """Friends of whom the highest number was heard last."""
    return [Spare(PeerId(bytes([number])), hosted, number) for number in numbers]


def _peers(*numbers: int) -> frozenset[PeerId]:
    return frozenset(PeerId(bytes([number])) for number in numbers)


def _nobody() -> None:
    raise AssertionError("nobody else's grant changes here")


def test_everybody_has_one_while_there_is_room() -> None:
    budget = OnionBudget()
    assert budget.settle(ONE, 2, _spares(1, 2, 3), _nobody) == _peers(1, 2, 3)
    assert budget.needed == 2


def test_what_is_free_goes_to_those_heard_last() -> None:
    assert OnionBudget().settle(ONE, ROOM - 2, _spares(5, 9, 1, 7), _nobody) == _peers(7, 9)


def test_those_heard_longest_ago_go_first() -> None:
    assert OnionBudget().settle(ONE, ROOM - 2, _spares(5, 9, 1, hosted=True), _nobody) == _peers(5, 9)


def test_a_newcomer_drives_nobody_out() -> None:
    spares = [*_spares(1, 2, hosted=True), *_spares(9)]
    assert OnionBudget().settle(ONE, ROOM - 2, spares, _nobody) == _peers(1, 2)


def test_none_are_granted_beyond_the_bound() -> None:
    assert OnionBudget().settle(ONE, ROOM + 5, _spares(1, 2, hosted=True), _nobody) == _peers()


def test_another_node_is_told_when_its_grant_changes() -> None:
    budget, told = OnionBudget(), []
    assert budget.settle(ONE, 0, _spares(1, 2), lambda: told.append("one")) == _peers(1, 2)
    budget.settle(OTHER, ROOM - 2, [], _nobody)
    assert told == []
    budget.settle(OTHER, ROOM - 1, [], _nobody)
    assert told == ["one"]
    assert budget.settle(ONE, 0, _spares(1, 2), lambda: told.append("one")) == _peers(2)
    budget.leave(OTHER)
    assert told == ["one", "one"]
    assert budget.settle(ONE, 0, _spares(1, 2), _nobody) == _peers(1, 2)
