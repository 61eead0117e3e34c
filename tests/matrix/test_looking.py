"""A look at what was missed ends, however much the homeserver would have to gather for it."""

from __future__ import annotations

import json

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.matrix import client as client_module
from chattor_bridge.matrix.homeserver import MOST_MISSED, SLOW_LOOKS
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.storage import Store
from tests.matrix.fake_homeserver import Answer, FakeHomeserver, Request
from tests.synapse import Intake

DONE = Answer(body={"next_batch": "now"})
DOWN = Answer(502, b"Bad Gateway")


@pytest.mark.parametrize("too_slow", [Answer(504, b"Gateway Timeout"), Answer(never=True)])
async def test_fewer_are_asked_for_when_many_take_too_long(
    server: FakeHomeserver, keys: Store, monkeypatch: pytest.MonkeyPatch, too_slow: Answer
) -> None:
    monkeypatch.setattr(client_module, "ANSWER_TIMEOUT", 0.2)
    asked: list[JsonObject] = []
    given: list[Answer] = []

    def behave(request: Request) -> Answer:
        if "m.receipt" not in request.query.get("filter", ""):
            return DOWN
        asked.append(json.loads(request.query["filter"])["room"]["timeline"])
        return given.pop(0)

    server.behave = behave
    service = MatrixService(server.settings(), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        for answer in (DOWN,) * 2 * SLOW_LOOKS + (too_slow,) * 2 * SLOW_LOOKS + (DONE, DONE):
            given.append(answer)
            if answer is DONE:
                await service.homeserver.missed("before")
            else:
                with pytest.raises(HomeserverUnavailable):
                    await service.homeserver.missed("before")
    finally:
        await service.stop()
    many, one, _ = ({"limit": most} for most in MOST_MISSED)
    assert asked == [many] * 2 * SLOW_LOOKS + [many] * SLOW_LOOKS + [one] * SLOW_LOOKS + [{"types": []}, many]
