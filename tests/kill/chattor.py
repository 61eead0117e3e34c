"""The friend in a process of its own, that can be killed as the bridge is: `chattor` as its users run it."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Sequence

from chattor_bridge.terminal.exits import Exit
from tests.kill.stage import PATIENCE
from tests.terminal.resident import JsonObject, Program, Resident


class ChattorProcess:
    """One home, its daemon started anew after every death. Its friend is contact 1."""

    def __init__(self, resident: Resident, *options: str) -> None:
        """``options`` are those of `chattor run`."""
        self.resident = resident
        self._options = options
        self._daemon: Program

    async def init(self) -> None:
        """Make the identity and start."""
        await self.resident.get("init", "--name", self.resident.name)
        await self.start()

    async def start(self, failpoint: str = "") -> None:
        """Start the daemon, to die at ``failpoint`` if one is named."""
        self._daemon = await self.resident.launch("run", *self._options, CHATTOR_FAILPOINT=failpoint)
        await self._daemon.saw("answering", timeout=PATIENCE)

    async def kill(self) -> None:
        """End it wherever it is, if it runs."""
        await self._daemon.stop(signal.SIGKILL)

    async def restart(self, failpoint: str = "") -> None:
        await self._daemon.stop()
        await self.start(failpoint)

    async def dies(self) -> None:
        """Wait until the failpoint has killed it."""
        async with asyncio.timeout(PATIENCE):
            code = await self._daemon.process.wait()
        assert code == -signal.SIGKILL, f"chattor ended by itself with {code}"

    async def leave(self) -> None:
        await self.resident.leave()

    async def new_code(self, *options: str) -> str:
        [code] = await self.resident.get("code", "new", *options)
        return str(code["code"])

    async def add(self, code: str) -> None:
        """Ask with a code, and wait for the friend it makes."""
        await self.resident.get("add", stdin=f"{code}\n")
        await self._daemon.saw("friend", timeout=PATIENCE)

    async def accept_next(self, timeout: float) -> None:
        """Wait for a request and accept it."""
        request = await self._daemon.saw("request", timeout=timeout)
        await self.resident.get("accept", request["request"])

    async def say(self, texts: Sequence[str], *, to: str = "1") -> list[str]:
        """Send each to this contact; those for which the command said that it is sent. A daemon may die while it is
        told."""
        sent = []
        for text in texts:
            outcome = await self.resident.do("send", to, "--", text)
            assert outcome.code in (Exit.DONE, Exit.NOT_RUNNING), outcome
            if outcome.code == Exit.DONE:
                sent.append(text)
        return sent

    async def said(self) -> list[str]:
        """Everything it believes to have sent, in order."""
        return [message["text"] for message in await self._history() if message["sent"]]

    async def heard(self, count: int, timeout: float) -> list[str]:
        """Everything that arrived, once that is ``count`` texts."""
        async with asyncio.timeout(timeout):
            while True:  # each look takes a process of its own, which is pause enough
                history = [message for message in await self._history() if message["kind"] == "text"]
                texts = [message["text"] for message in history if not message["sent"]]
                if len(texts) >= count:
                    return texts

    async def _history(self) -> list[JsonObject]:
        return await self.resident.get("history", "1", "--limit", "1000", "--no-receipts")
