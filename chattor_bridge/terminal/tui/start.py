"""`chattor tui`: with the daemon that runs, or, when none does, holding the node itself."""

from __future__ import annotations

import asyncio
import io
import signal
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from chattor_bridge.logs import set_up_logging
from chattor_bridge.node.patience import Pace
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.daemon import LOG_LEVEL, TransportFactory, run_daemon
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output
from chattor_bridge.terminal.tui.app import ChattorApp
from chattor_bridge.terminal.tui.desk import Desk

MAX_LOGGED = 200
"""Lines of the log that the status screen keeps: what went before is of no use to somebody who looks at it now."""


async def run_tui(home: Home, transport_factory: TransportFactory, pace: Pace | None) -> None:
    """Until the person quits, or SIGTERM.

    Raises: CommandError when there is no terminal; whatever `run_daemon` raises when the node is held here.
    """
    home.require()
    logged: deque[str] = deque(maxlen=MAX_LOGGED)
    set_up_logging(LOG_LEVEL, stream=_Lines(logged))
    if _runs(home):
        await _show(ChattorApp(Desk(home)))
        return
    async with _node_here(home, transport_factory, pace) as node:
        app = ChattorApp(Desk(home), holds_node=True, logged=logged)
        # a node that stops takes the screen with it, and says why in the terminal
        node.add_done_callback(lambda _: app.exit())
        await _show(app)


async def _show(app: ChattorApp) -> None:
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, app.exit)
    await app.run_async()
    if app.failure is not None:
        raise app.failure


def _runs(home: Home) -> bool:
    try:
        home.connect().close()
    except CommandError as error:
        if error.code is not Exit.NOT_RUNNING:
            raise
        return False
    return True


@asynccontextmanager
async def _node_here(
    home: Home, transport_factory: TransportFactory, pace: Pace | None
) -> AsyncIterator[asyncio.Task[None]]:
    """A daemon in this process, once it answers."""
    stop, output = asyncio.Event(), _Quiet()
    node = asyncio.create_task(run_daemon(home, output, transport_factory, stop, pace))
    try:
        answering = asyncio.create_task(output.answering.wait())
        await asyncio.wait([node, answering], return_when=asyncio.FIRST_COMPLETED)
        answering.cancel()
        if not node.done():
            yield node
    finally:
        stop.set()
        await node


class _Quiet(Output):
    """The daemon's words, which the screen shows in its own way: it follows `watch`."""

    def __init__(self) -> None:
        super().__init__(as_json=False)
        self.answering = asyncio.Event()

    def show(self, fields: JsonObject, *lines: str) -> None:
        if "answering" in fields:
            self.answering.set()

    def say(self, *lines: str) -> None:
        pass


class _Lines(io.StringIO):
    """A stream that keeps its last lines."""

    def __init__(self, lines: deque[str]) -> None:
        super().__init__()
        self._lines = lines

    def write(self, text: str, /) -> int:
        self._lines.extend(text.splitlines())
        return len(text)
