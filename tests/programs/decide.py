"""A node that decides one thing, for tests that kill it right after the commit (CHATTOR_FAILPOINT).

Arguments: the database, its key in hexadecimal, the directory of the memory network, the owner, what to decide (`code`,
`block` or `forget`) and the friend it is about, in hexadecimal.
"""

from __future__ import annotations

import asyncio
import secrets
import sys
from pathlib import Path

from chattor_bridge.ids import PeerId
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.host import NodeHost
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.transport.memory import MemoryNetwork
from tests.node.world import Diary


async def decide(url: str, key: str, network: str, owner: str, what: str, peer: str) -> None:
    async with open_store(url, StoreKey(bytes.fromhex(key))) as store:
        transport = MemoryNetwork(Path(network)).transport()
        await transport.start()
        host = NodeHost(store, transport, SystemClock(), secrets.token_bytes, Diary())
        await host.start()
        node = host.node_of(owner)
        assert node is not None
        async with store.transaction() as tx:
            match what:
                case "code":
                    await node.create_code(tx, "decided", one_time=True)
                case "block":
                    await node.block(tx, PeerId(bytes.fromhex(peer)))
                case "forget":
                    await node.forget(tx, PeerId(bytes.fromhex(peer)))


if __name__ == "__main__":
    asyncio.run(decide(*sys.argv[1:]))
