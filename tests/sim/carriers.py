"""Carriers that do not do what they said they would: each vice where a carrier keeps blocks and hands them over."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import Any, cast

from chattor_bridge.ids import NodeId, PeerId, ShelfId
from chattor_bridge.node.carrying.records import HeldBlock
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.limits import BLOCK_SIZE
from chattor_bridge.storage.carriages import SqlCarriages
from tests.sim.household import Household
from tests.sim.plan import Plan, Vice

BOAST = 1_000
"""Blocks that a boaster says it holds besides those it does."""


def corrupting(plan: Plan) -> Callable[[Household], None]:
    """Gives those who have a vice the store to go with it."""
    sources = {node: random.Random(f"vice {plan.options.seed} {node}") for node in plan.vices}

    def prepare(household: Household) -> None:
        vice = plan.vices.get(household.number)
        if vice in _WAYS:
            honest = household.store.carriages
            household.store.carriages = cast(SqlCarriages, _WAYS[vice](honest, sources[household.number]))

    return prepare


class _Carriages:
    """An honest carrier's, to be spoilt."""

    def __init__(self, honest: SqlCarriages, dice: random.Random) -> None:
        self._honest = honest
        self._dice = dice

    def __getattr__(self, name: str) -> Any:
        return getattr(self._honest, name)


class _KeepsNothing(_Carriages):
    async def keep(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, blocks: Sequence[bytes], at: int
    ) -> None:
        await self._honest.keep(tx, node_id, peer_id, shelf_id, self._kept(blocks), at)

    def _kept(self, blocks: Sequence[bytes]) -> list[bytes]:
        return []


class _Drops(_KeepsNothing):
    def _kept(self, blocks: Sequence[bytes]) -> list[bytes]:
        return [block for block in blocks if self._dice.random() > 1 / 3]


class _Doubles(_KeepsNothing):
    def _kept(self, blocks: Sequence[bytes]) -> list[bytes]:
        return [block for block in blocks for _ in range(2)]


class _Invents(_KeepsNothing):
    def _kept(self, blocks: Sequence[bytes]) -> list[bytes]:
        return [self._dice.randbytes(BLOCK_SIZE), *blocks]


class _Reorders(_Carriages):
    """Hands over the newest that it has first, each once on every link, and takes what is said about it as it may."""

    async def after(
        self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId, number: int, limit: int
    ) -> list[HeldBlock]:
        waiting = await self._honest.after(tx, node_id, peer_id, shelf_id, number, limit + 1)
        if len(waiting) < 2:
            return waiting
        one, other, *rest = waiting
        swapped = [HeldBlock(shelf_id, one.number, other.block), HeldBlock(shelf_id, other.number, one.block), *rest]
        return swapped[:limit]


class _Boasts(_Carriages):
    async def count(self, tx: Transaction, node_id: NodeId, peer_id: PeerId, shelf_id: ShelfId | None = None) -> int:
        held = await self._honest.count(tx, node_id, peer_id, shelf_id)
        return held if shelf_id is not None else held + BOAST


_WAYS: dict[Vice | None, Callable[[SqlCarriages, random.Random], _Carriages]] = {
    Vice.KEEPS_NOTHING: _KeepsNothing,
    Vice.DROPS: _Drops,
    Vice.DOUBLES: _Doubles,
    Vice.REORDERS: _Reorders,
    Vice.BOASTS: _Boasts,
    Vice.INVENTS: _Invents,
}
