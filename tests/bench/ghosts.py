"""What the devices of many ghosts cost: each with a room of its own, in which it has given a person its keys.

A request is compared with the cheapest that names a device, in the same moment: how it grows is what is asked.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

from mautrix.api import Method
from mautrix.api import Path as MatrixPath

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.encryption.identity import Identity
from chattor_bridge.matrix.encryption.stream import slide
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.ops.synapse import ensure_synapse
from chattor_bridge.storage import StoreKey, open_store
from tests.bench.figures import Figure, p50
from tests.nio_person import NioPerson
from tests.synapse import ENVIRONMENT, Intake, new_ghost, prepare

AT_ONCE = 4
"""Ghosts that are made side by side."""

REQUESTS = 100
"""Of each kind that is measured."""


async def measure(directory: Path, counts: tuple[int, ...], settling: float) -> list[Figure]:
    """``settling``: the seconds after which a homeserver is done with what the making of them has left it to do."""
    await ensure_synapse(ENVIRONMENT)
    homestead = prepare(directory)
    figures = []
    key = StoreKey(secrets.token_bytes(32))
    async with homestead.synapse, open_store(f"sqlite:{directory / 'bridge.db'}", key) as store:
        settings = replace(homestead.settings(), encrypt_rooms=True)
        service = MatrixService(settings, Intake().accept, SystemClock(), store)
        await service.start()
        somebody = await homestead.person()
        person = await NioPerson.login(somebody.address, somebody.user_id, somebody.password)
        try:
            await service.reachable()
            await service._encryption.ears.caught_up.wait()
            ghosts: list[MatrixUserId] = []
            for count in counts:
                ghosts += await _made(service, person.user_id, count - len(ghosts))
                await asyncio.sleep(settling)
                figures += await _measured(service, ghosts)
        finally:
            await person.close()
            await service.stop()
    return figures


async def _made(service: MatrixService, person: str, count: int) -> list[MatrixUserId]:
    homeserver, turns = service.homeserver, asyncio.Semaphore(AT_ONCE)

    async def make(ghost: MatrixUserId) -> None:
        async with turns:
            people = [homeserver.bot, MatrixUserId(person)]
            room_id = await homeserver.create_room(ghost, name=None, topic=None, invite=people, is_direct=True)
            await homeserver.join(homeserver.bot, room_id)
            await homeserver.send(ghost, room_id, "m.room.message", {"msgtype": "m.text", "body": "boo"}, "1")

    ghosts = [new_ghost() for _ in range(count)]
    await asyncio.gather(*(make(ghost) for ghost in ghosts))
    return ghosts


async def _measured(service: MatrixService, ghosts: list[MatrixUserId]) -> list[Figure]:
    bot, client = service._encryption.ears._bot, service._client
    tending = service._encryption._tending
    beside = f", {len(ghosts)} ghosts"
    stream = _Stream(bot)
    await stream.ask()
    some = iter(ghosts * (1 + REQUESTS // len(ghosts)))
    floor, of_bot, of_ghost = await _timed(
        lambda: client.call(bot.user, Method.GET, MatrixPath.v3.account.whoami, device=bot.device),
        stream.ask,
        lambda: tending._read(next(some)),
    )
    return [
        Figure(f"the bot asks for keys{beside}", p50(of_bot), "ms", p50(floor)),
        Figure(f"a ghost looks for requests{beside}", p50(of_ghost), "ms", p50(floor)),
    ]


class _Stream:
    """What the bot's device is told of, from one request to the next."""

    def __init__(self, bot: Identity) -> None:
        self._bot = bot
        self._place: JsonObject | None = None

    async def ask(self) -> None:
        _, self._place = await slide(self._bot.api, self._place, 0)


async def _timed(*requests: Callable[[], Awaitable[object]]) -> list[list[float]]:
    """Of each, in turns, so that what else the machine does meets them all."""
    times: list[list[float]] = [[] for _ in requests]
    for _ in range(REQUESTS):
        for request, of_it in zip(requests, times, strict=True):
            begun = time.monotonic()
            await request()
            of_it.append(time.monotonic() - begun)
    return times
