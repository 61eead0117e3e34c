"""How many onions the nodes of one process host. Implements docs/protocol/link.md, "Who hosts"."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from chattor_bridge.errors import LimitReached
from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.protocol.limits import MAX_ONIONS, ONIONS_OF_EACH, SPARE_ONIONS_UP_TO


@dataclass(frozen=True, slots=True)
class Spare:
    """An onion a node may host for a friend who hosts one for it too. ``hosted``: it does so now."""

    peer_id: PeerId
    hosted: bool
    heard_at: int


@dataclass(frozen=True, slots=True)
class _Claim:
    needed: int
    spares: tuple[Spare, ...]
    on_change: Callable[[], None]


class OnionBudget:
    """Grants spare onions while there are few onions in all. What is hosted stays as long as it can, so that a crowded
    process does not keep publishing and withdrawing."""

    def __init__(self, *, shared: bool = False) -> None:
        """``shared``: the nodes are different people's, and none may take what the others need."""
        self._shared = shared
        self._claims: dict[NodeId, _Claim] = {}
        self._granted: dict[NodeId, frozenset[PeerId]] = {}
        self.too_many = 0
        """Onions that friends should host instead."""

    @property
    def needed(self) -> int:
        """Onions that no node can do without."""
        return sum(claim.needed for claim in self._claims.values())

    def check_room(self, node_id: NodeId) -> None:
        """Raises: LimitReached when this node may need no onion more."""
        if self.needed >= MAX_ONIONS:
            raise LimitReached(
                f"this program hosts {MAX_ONIONS} onion services, as many as its Tor serves well, and no friend has "
                "taken one over yet; retire a friend code that is not needed any more, or try again later"
            )

        own = self._claims[node_id].needed if node_id in self._claims else 0
        if self._shared and own >= max(ONIONS_OF_EACH, (MAX_ONIONS - (self.needed - own)) // 2):
            raise LimitReached(
                f"you have {own} of the {MAX_ONIONS} onion services that this program hosts for everybody who uses it, "
                "which is your share; retire a friend code that is not needed any more, and try again"
            )

    def settle(
        self, node_id: NodeId, needed: int, spares: Sequence[Spare], on_change: Callable[[], None]
    ) -> frozenset[PeerId]:
        """State what one node needs and would like; the friends it may host a spare for. ``on_change`` is called when
        another node's claim changes that, or makes more onions too many."""
        self._claims[node_id] = _Claim(needed, tuple(spares), on_change)
        self._share(asking=node_id)
        return self._granted[node_id]

    def leave(self, node_id: NodeId) -> None:
        """This node hosts nothing any more."""
        if self._claims.pop(node_id, None) is not None:
            self._share(asking=node_id)

    def _share(self, asking: NodeId) -> None:
        wishes = [(node_id, spare) for node_id, claim in self._claims.items() for spare in claim.spares]
        wishes.sort(key=lambda wish: (wish[1].hosted, wish[1].heard_at), reverse=True)
        fulfilled = wishes[: max(0, SPARE_ONIONS_UP_TO - self.needed)]
        before, self._granted = self._granted, {node_id: frozenset() for node_id in self._claims}
        too_many_before, self.too_many = self.too_many, max(0, self.needed - SPARE_ONIONS_UP_TO)
        for node_id, spare in fulfilled:
            self._granted[node_id] |= {spare.peer_id}
        for node_id, claim in self._claims.items():
            regranted = self._granted[node_id] != before.get(node_id)
            if node_id != asking and (regranted or self.too_many > too_many_before):
                claim.on_change()
