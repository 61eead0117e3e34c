"""Which spare onions a process grants: docs/protocol/link.md, "Who hosts"."""

from __future__ import annotations

import pytest

from chattor_bridge.errors import LimitReached
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.budget import OnionBudget, Spare
from chattor_bridge.protocol.limits import MAX_ONIONS, ONIONS_OF_EACH, SPARE_ONIONS_UP_TO

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


def test_others_are_told_when_more_onions_are_too_many() -> None:
    budget, told = OnionBudget(), []
    budget.settle(ONE, 2, [], lambda: told.append("one"))
    budget.settle(OTHER, ROOM - 2, [], _nobody)
    assert (budget.too_many, told) == (0, [])
    for needed in (ROOM - 1, ROOM, ROOM - 1, ROOM - 2):
        budget.settle(OTHER, needed, [], _nobody)
    assert (budget.too_many, told) == (0, ["one", "one"])


def _take_all(budget: OnionBudget, node_id: NodeId) -> int:
    """How many onions somebody gets who wants all there are."""
    taken = 0
    while taken <= MAX_ONIONS:
        try:
            budget.check_room(node_id)
        except LimitReached:
            return taken
        taken += 1
        budget.settle(node_id, taken, [], lambda: None)
    raise AssertionError("there is no bound")


def test_nobody_takes_the_onions_of_everybody() -> None:
    budget = OnionBudget(shared=True)
    got = [_take_all(budget, NodeId(bytes([number]))) for number in range(4)]
    assert got == [MAX_ONIONS // 2, MAX_ONIONS // 4, 7, ONIONS_OF_EACH]
    with pytest.raises(LimitReached, match=r"30 of the 60 onion services .* your share; retire"):
        budget.check_room(NodeId(bytes([0])))


def test_who_is_alone_may_take_them_all() -> None:
    assert _take_all(OnionBudget(), ONE) == MAX_ONIONS
