"""One node over the memory network, which dies at a step of a resync:
``python -m tests.programs.mortal_node NETWORK DATABASE KEY DEATH TEXT...``.

``NETWORK`` is the directory in which the programs of one test meet, ``DATABASE`` the URL of the node's, ``KEY`` its
store key in hexadecimal. ``DEATH`` is a step, and whether that is committed by then: ``finish:before``, or ``never``.
It says each ``TEXT`` to its one friend, and notes what was said and heard in a table of the same database.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import sys
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from chattor_bridge.ids import NodeId, PeerId
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.node.happenings import EventArrived, Happening
from chattor_bridge.node.host import NodeHost
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.resyncing import Resyncing
from chattor_bridge.protocol.events import Text, Unknown
from chattor_bridge.protocol.signals import Signal
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.storage.engine import EngineConnection
from chattor_bridge.storage.holding import start_patiently
from chattor_bridge.storage.transaction import SqlTransaction, Transactions, sql
from chattor_bridge.transport.memory import MemoryNetwork
from tests.programs.paces import QUICK

STEPS = {"begin": "begin", "answer": "_answer", "finish": "_finish", "done": "_done"}
"""The methods of `Resyncing` with a transaction of their own. ``hello`` is that of a hello with the new session."""

_step: ContextVar[str] = ContextVar("step", default="")


class Notebook:
    """An observer that writes down, with the commit that made it so, what was heard and that a session was renewed."""

    async def record(self, tx: Transaction, node_id: NodeId, happening: Happening) -> None:
        match happening:
            case EventArrived(event=event) if isinstance(event.body, Text):
                await note(tx, "heard", event.body.text)
            case EventArrived(event=event) if isinstance(event.body, Unknown):
                await note(tx, "told", event.body.type)

    def link_changed(self, node_id: NodeId, peer_id: PeerId, *, up: bool) -> None:
        pass

    def signalled(self, node_id: NodeId, peer_id: PeerId, signal: Signal) -> None:
        pass


async def open_notes(tx: Transaction) -> None:
    """Make the table, once."""
    await sql(tx).execute("CREATE TABLE notes (line BIGINT NOT NULL, kind TEXT NOT NULL, text TEXT NOT NULL)")


async def note(tx: Transaction, kind: str, text: str) -> None:
    """One more line of the notebook."""
    line = "INSERT INTO notes (line, kind, text) SELECT COUNT(*) + 1, $1, $2 FROM notes"
    await sql(tx).execute(line, kind, text)


async def notes(tx: Transaction, kind: str) -> list[str]:
    """Every line of this kind, in order."""
    rows = await sql(tx).fetch("SELECT text FROM notes WHERE kind = $1 ORDER BY line", kind)
    return [row["text"] for row in rows]


def _die(death: str) -> None:
    """Be killed before the commit of a step, or as soon as that is through."""
    wanted, _, when = death.partition(":")
    commit = Transactions._commit

    async def commits(self: Transactions, connection: EngineConnection, tx: SqlTransaction) -> None:
        if when == "after":
            await commit(self, connection, tx)
        if _step.get() == wanted:
            os.kill(os.getpid(), signal.SIGKILL)
        if when != "after":
            await commit(self, connection, tx)

    def follow(step: str, method: str) -> None:
        work = getattr(Resyncing, method)

        async def follows(self: Resyncing, *arguments: object) -> object:
            before = _step.set(step)
            try:
                return await work(self, *arguments)
            finally:
                _step.reset(before)

        setattr(Resyncing, method, follows)

    compare: Any = Resyncing.compare

    async def compares(self: Resyncing, *arguments: object) -> object:
        compared = await compare(self, *arguments)
        if self.renewed:
            _step.set("hello")
        return compared

    for step, method in STEPS.items():
        follow(step, method)
    Resyncing.compare = compares  # type: ignore[method-assign,assignment]
    Transactions._commit = commits  # type: ignore[method-assign]


async def run(network: Path, database: str, key: StoreKey, texts: list[str]) -> None:
    store = open_store(database, key)
    await start_patiently(store, asyncio.Event())  # a server may not have noticed yet who died before
    transport = MemoryNetwork(network).transport()
    await transport.start()
    host = NodeHost(store, transport, SystemClock(), secrets.token_bytes, Notebook(), pace=QUICK)
    await host.start()
    [node] = host.nodes()
    [contact] = await node.contacts()
    async with store.transaction() as tx:
        for text in texts:
            await node.send(tx, contact.peer_id, Text(text))
            await note(tx, "said", text)
    await asyncio.Event().wait()


if __name__ == "__main__":
    _die(sys.argv[4])
    asyncio.run(run(Path(sys.argv[1]), sys.argv[2], StoreKey(bytes.fromhex(sys.argv[3])), sys.argv[5:]))
