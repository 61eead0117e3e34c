"""One process of nodes, measured from inside: python -m tests.bench.crowd DIRECTORY NODES FRIENDS [TOR TORRC JITTER].

It makes idle nodes, hands out a code, accepts everybody, and says how much memory each step took; started again on the
same directory it says how long its links took to come up, and its onions to be published. TOR is the directory of its
tor, TORRC its torrc lines in JSON and JITTER the seconds over which it spreads its beginnings; in all else it is as
patient then as any node. Without them it is on the memory network.
JSON, a line for each thing that happened, on its standard output; it ends when its standard input does.
"""

from __future__ import annotations

import asyncio
import json
import secrets
import sys
from collections.abc import Sequence
from pathlib import Path

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.happenings import Happening, KnockReceived
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.patience import Pace
from chattor_bridge.node.ports import Transaction
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.transport.memory import MemoryNetwork, MemoryTransport
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from tests.bench.figures import own_age, own_memory
from tests.peer import PACE

SETTLING = 2.0
"""Seconds after the last link for whatever follows it."""


class Greeter:
    """Accepts every knock, and notices when enough links are up."""

    def __init__(self, wanted: int) -> None:
        self._wanted = wanted
        self._up: set[PeerId] = set()
        self.knocks: asyncio.Queue[KnockReceived] = asyncio.Queue()
        self.all_up = asyncio.Event()

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        if isinstance(happening, KnockReceived):
            tx.after_commit(lambda: self.knocks.put_nowait(happening))

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        (self._up.add if up else self._up.discard)(peer_id)
        if len(self._up) >= self._wanted:
            self.all_up.set()

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        """Nobody is shown anything here."""


def say(**said: object) -> None:
    sys.stdout.write(json.dumps(said) + "\n")
    sys.stdout.flush()


OWNER = "first"
"""Of the node that has the friends."""

POLL = 0.02
"""Seconds between two looks at how many onions are published."""


def road_of(directory: Path, tor: Sequence[str]) -> tuple[TorTransport | MemoryTransport, Pace]:
    if not tor:
        return MemoryNetwork(directory / "network").transport(), PACE
    place, torrc, start_jitter = tor
    settings = TorSettings(Path(place), extra_torrc=json.loads(torrc))
    return TorTransport(ManagedTor(settings)), Pace(start_jitter=float(start_jitter))


async def run(directory: Path, nodes: int, friends: int, *tor: str) -> None:
    greeter, key_file = Greeter(friends), directory / "store.key"
    known = key_file.exists()
    key = StoreKey.load(key_file) if known else StoreKey.create(key_file)
    transport, pace = road_of(directory, tor)
    await transport.start()
    async with open_store(f"sqlite:{directory / 'crowd.db'}", key) as store:
        host = NodeHost(
            store, transport, SystemClock(), secrets.token_bytes, greeter, pace=pace, work_bits=1, effort_bits=0
        )
        await host.start()
        accepting = None
        try:
            if not known:
                async with store.transaction() as tx:
                    node = await host.create(tx, OWNER, "First")
                alone = own_memory()
                for number in range(nodes):
                    async with store.transaction() as tx:
                        await host.create(tx, f"idle {number}", "Idle")
                together = own_memory()
                async with store.transaction() as tx:
                    code = (await node.create_code(tx, "bench")).code
                say(code=code, node=(together - alone) / nodes)

                async def accept() -> None:
                    while True:
                        knock = await greeter.knocks.get()
                        async with store.transaction() as tx:
                            await node.accept(tx, knock.knock_id)

                before = own_memory()
                accepting = asyncio.create_task(accept())
                await greeter.all_up.wait()
                await asyncio.sleep(SETTLING)
                say(friendship=(own_memory() - before) / friends)
            else:
                await greeter.all_up.wait()
                say(up=own_age())
                first = host.node_of(OWNER)
                assert first is not None
                while (counts := first.work.hostings.counts)[1] < counts[0]:  # noqa: ASYNC110 - it has no event
                    await asyncio.sleep(POLL)
                say(published=own_age(), onions=counts[0])
            await asyncio.to_thread(sys.stdin.read)
        finally:
            if accepting is not None:
                accepting.cancel()
            await host.stop()
            await transport.stop()


if __name__ == "__main__":
    asyncio.run(run(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))
