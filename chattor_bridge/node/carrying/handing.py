"""A carrier hands over, on the link with its friend, what it holds.

Implements docs/protocol/carriers.md, "Collecting".
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Final

from chattor_bridge.ids import NodeId, PeerId, ShelfId
from chattor_bridge.node.surroundings import Surroundings
from chattor_bridge.protocol.frames import Block, Collected, Frame, Holding
from chattor_bridge.protocol.limits import MAX_BLOCKS_UNCOLLECTED

HANDED_AT_ONCE: Final = 16
"""Blocks taken from the disk at a time: a quarter of a megabyte in memory."""


class Handing:
    """What goes to one friend on one link. Blocks leave the disk when the friend has said that it has them, and not
    before, so the next link begins with whatever is still there."""

    def __init__(
        self, around: Surroundings, node_id: NodeId, peer_id: PeerId, *, on_last: Callable[[], None] = lambda: None
    ) -> None:
        """``on_last`` is called when there is nothing left of what was held for a friend for whom nothing is held any
        more."""
        self._around = around
        self._node_id = node_id
        self._peer_id = peer_id
        self._on_last = on_last
        self._handed: dict[ShelfId, int] = {}
        self._uncollected: dict[ShelfId, list[int]] = {}
        self._told = False
        self._more = True

    def wake(self) -> None:
        """Something was left on a shelf."""
        self._more = True

    async def next(self) -> list[Frame]:
        """What to say now, from the shelves in turn; nothing of those of which enough is under way; to be asked for
        more once it is said. Raises: DatabaseUnavailable."""
        if not self._more:
            return []
        self._more = False  # what comes from now on may be seen below or not
        try:
            frames = await self._read()
        except BaseException:
            self._more = True
            raise
        given = [frame for frame in frames if isinstance(frame, Block)]
        for block in given:
            self._handed[block.shelf] = block.number
            self._uncollected.setdefault(block.shelf, []).append(block.number)
        self._told = True
        self._more = self._more or len(given) == HANDED_AT_ONCE
        return frames

    async def _read(self) -> list[Frame]:
        carriages, frames, handed = self._around.store.carriages, list[Frame](), dict(self._handed)
        async with self._around.store.transaction() as tx:
            carriage = await carriages.get(tx, self._node_id, self._peer_id)
            if carriage is None:
                return []
            is_over = carriage.ended_at is not None
            held = 0 if self._told and not is_over else await carriages.count(tx, self._node_id, self._peer_id)
            if is_over and not held:
                tx.after_commit(self._on_last)
            if not self._told:
                frames += [Holding(held)] if held else []
            turns = deque(shelf.shelf_id for shelf in await carriages.shelves(tx, self._node_id, self._peer_id))
            room = {one: MAX_BLOCKS_UNCOLLECTED - len(self._uncollected.get(one, [])) for one in turns}
            left = HANDED_AT_ONCE
            while turns and left:
                shelf_id = turns.popleft()
                if not room[shelf_id]:
                    continue
                after = handed.get(shelf_id, 0)
                for one in await carriages.after(tx, self._node_id, self._peer_id, shelf_id, after, 1):
                    frames.append(Block(shelf_id, one.number, one.block))
                    handed[shelf_id] = one.number
                    turns.append(shelf_id)
                    room[shelf_id] -= 1
                    left -= 1
        return frames

    async def collected(self, frame: Collected) -> None:
        """The friend has these on its disk. Raises: DatabaseUnavailable."""
        number = min(frame.number, self._handed.get(frame.shelf, 0))  # what it was not given it cannot have
        if not any(given <= number for given in self._uncollected.get(frame.shelf, [])):
            return
        async with self._around.store.transaction() as tx:
            await self._around.store.carriages.collected(tx, self._node_id, self._peer_id, frame.shelf, number)
        self._uncollected[frame.shelf] = [one for one in self._uncollected[frame.shelf] if one > number]
        self._more = True
