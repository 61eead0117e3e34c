"""What the devices of ghosts cost the homeserver, in requests."""

from __future__ import annotations

import asyncio
from collections import Counter

import pytest

from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.encryption import tending
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.storage import Store
from tests.clock import FakeClock
from tests.matrix.fake_homeserver import FakeHomeserver
from tests.matrix.key_server import BOT, KeyServer
from tests.synapse import Intake, new_ghost

HOUR, DAY = 3600, 24 * 3600

GHOSTS = 20

STEPS = 20
"""In which time passes; between two, everybody does what they have to."""

BREATH = 0.1
"""Real seconds without a request, after which they have."""


async def test_a_ghost_costs_what_it_says_and_one_request_a_day(
    server: FakeHomeserver, keys: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And nobody more for there being many."""
    monkeypatch.setattr(tending, "TENDING_PAUSE", 0)  # it spreads them over time, of which this has only so much
    clock, server.behave = FakeClock(), KeyServer()
    service = MatrixService(server.settings(encrypt_rooms=True), Intake().accept, clock, keys)
    await service.start()

    async def syncs(seconds: float) -> Counter[str]:
        before = len(server.asked("/sync"))
        for _ in range(STEPS):
            await clock.advance(seconds / STEPS)
            asked = -1
            while asked != len(server.requests):
                asked = len(server.requests)
                await asyncio.sleep(BREATH)
        return Counter(request.query["user_id"] for request in server.asked("/sync")[before:])

    try:
        await service._encryption.ears.caught_up.wait()
        ghosts = [new_ghost() for _ in range(GHOSTS)]
        for ghost in ghosts:
            await _says(service, ghost, "1")
        talked = await syncs(HOUR)
        assert [talked[ghost] for ghost in ghosts] == [len(tending.LISTENING)] * GHOSTS
        silent = await syncs(DAY + HOUR)
        assert [silent[ghost] for ghost in ghosts] == [1] * GHOSTS
        for number in range(10):
            await _says(service, ghosts[0], f"again {number}")
        talked = await syncs(HOUR)
        assert talked[ghosts[0]] == len(tending.LISTENING)
        assert set(talked) <= {ghosts[0], BOT}
    finally:
        await service.stop()


async def _says(service: MatrixService, ghost: MatrixUserId, text: str) -> None:
    room_id = MatrixRoomId(f"!{ghost[1:8]}:example.test")
    await service.homeserver.send(ghost, room_id, "m.room.message", {"body": text}, text)
