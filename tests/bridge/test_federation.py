"""Somebody at another homeserver uses our bridge, over real federation, if who runs it said so."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from chattor_bridge.bridge.permissions import Level
from chattor_bridge.config import Permission, Permissions
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.ops.person import JsonObject, Person
from chattor_bridge.ops.synapse import Synapse
from tests.bridge.test_road_synapse import Road, accepted, hear, left, road_to
from tests.federation import two_homesteads
from tests.nio_person import NioPerson
from tests.synapse import WAIT, Somebody

pytestmark = pytest.mark.synapse


async def _visitor(road: Road, far: Synapse, name: str) -> Person:
    account = await far.register(name)
    return await road.login(
        Somebody(far.address, MatrixUserId(account.user_id), account.access_token, account.password)
    )


def _is_member(user_id: str, membership: str, event: JsonObject) -> bool:
    wanted = ("m.room.member", user_id, membership)
    return (event["type"], event.get("state_key"), event["content"].get("membership")) == wanted


async def test_who_is_permitted_talks_across_homeservers_and_nobody_else(tmp_path: Path) -> None:
    async with two_homesteads(tmp_path) as (home, far):
        permitted = {far.domain: Permission.USER, f"@mallory:{far.domain}": Permission.NONE}

        def allowed(user: MatrixUserId) -> Level:
            return Level(Permissions(permitted).of(user).value)

        async with road_to(home, tmp_path, NioPerson, allowed=allowed) as (road, friend):
            mallory = await _visitor(road, far, "mallory")
            room_id = await mallory.open_chat(road.bot)
            turned_down = await mallory.wait_for(left(road.bot, room_id), WAIT)
            assert "may not use" in turned_down["content"]["reason"]

            dora = await _visitor(road, far, "dora")
            await accepted(road, friend, dora)
            joined = partial(_is_member, dora.user_id, "join")

            def inviter(room_id: str) -> str:
                """Of the space it is the bot."""
                events = dora.invites[room_id]["invite_state"]["events"] if room_id in dora.invites else []
                return next((str(one["sender"]) for one in events if _is_member(dora.user_id, "invite", one)), road.bot)

            there = await dora.wait_for(lambda event: joined(event) and inviter(event["room_id"]) != road.bot, WAIT)
            portal = there["room_id"]
            ghost = inviter(portal)
            peer_id = await friend.friend(WAIT)
            said = [f"from the friend {number}" for number in range(3)]
            for number, text in enumerate(said):
                await friend.send(peer_id, text)
                await dora.say(portal, f"from afar {number}")
            await hear(dora, portal, ghost, said)
            await friend.ears.wait_until(lambda: len(friend.ears.texts()) == len(said), WAIT)
            assert friend.ears.texts() == [f"from afar {number}" for number in range(3)]

            del permitted[far.domain]  # by the domain alone, and at once
            await dora.say(portal, "still allowed?")
            await dora.wait_for(lambda event: "may not use" in event["content"].get("body", ""), WAIT)
            eve = await _visitor(road, far, "eve")
            room_id = await eve.open_chat(road.bot)
            await eve.wait_for(left(road.bot, room_id), WAIT)
