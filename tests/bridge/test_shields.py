"""What Element would draw beside our messages: nothing.

Its devices are cross-signed, so that they read where only such may.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.bridge.test_road_synapse import befriended, road_to
from tests.js_person import NO_SHIELD, JsPerson
from tests.synapse import WAIT, Homestead

pytestmark = pytest.mark.synapse


async def test_neither_the_bot_nor_a_ghost_has_a_shield_before_and_after_a_restart(
    homestead: Homestead, tmp_path: Path
) -> None:
    async with road_to(homestead, tmp_path, JsPerson, only_cross_signed=True) as (road, friend):
        alice, room_id, ghost = await befriended(road, friend)
        peer_id = await friend.friend(WAIT)
        for text in ("before", "after"):
            await friend.send(peer_id, text)
            await alice.wait_for(lambda event, text=text: event["content"].get("body") == text, WAIT)  # type: ignore[misc]
            await alice.say(room_id, f"{text} too")
            await friend.ears.wait_until(lambda text=text: friend.ears.texts()[-1:] == [f"{text} too"], WAIT)  # type: ignore[misc]
            await road.restart()
        ours = [
            event
            for event in alice.timeline
            if event["sender"] in (ghost, road.bot) and event["type"].endswith("message")
        ]
        assert {event["sender"] for event in ours} == {ghost, road.bot}
        assert all(event["decrypted"] for event in ours)
        assert {event["shield"] for event in ours} == {NO_SHIELD}
        assert not [event for event in alice.timeline if event.get("failed")]
