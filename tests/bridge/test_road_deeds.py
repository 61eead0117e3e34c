"""What owners and administrators do beside talking, on the real homeserver."""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

import pytest

from chattor_bridge.bridge.permissions import Level
from chattor_bridge.config import Permission, Permissions
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix import text as conversion
from chattor_bridge.ops.person import Condition, Person
from tests.bridge.test_road_synapse import accepted, asked, befriended, hear, left, road_to
from tests.bridge.town import FRIEND_NAME, until_idle
from tests.peer import Peer
from tests.postgres import Databases
from tests.synapse import DOMAIN, WAIT, Homestead

pytestmark = pytest.mark.synapse


def _said(person: Person, words: str) -> Condition:
    """Something new with these words in it."""
    seen = {event.get("event_id") for event in person.timeline}
    return lambda event: event.get("event_id") not in seen and words in str(event["content"].get("body", ""))


@pytest.mark.engines("postgres")
async def test_a_friend_is_renamed_blocked_and_unblocked_and_what_broke_is_tried_again(
    homestead: Homestead, tmp_path: Path, databases: Databases, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with road_to(homestead, tmp_path, databases=databases) as (road, friend):
        alice, portal, ghost = await befriended(road, friend)
        ask = partial(asked, road, alice, portal)
        peer_id = await friend.friend(WAIT)

        await ask("!chattor rename Bobby")
        await alice.wait_for(lambda event: event["content"].get("name") == "Bobby", WAIT)
        await alice.wait_for(
            lambda event: event.get("state_key") == ghost and event["content"].get("displayname") == "Bobby", WAIT
        )

        assert "cannot reach you" in await ask("!chattor block")
        await friend.send(peer_id, "are you there?")
        refused = _said(alice, "unblock")
        await alice.say(portal, "not to somebody blocked")
        await alice.wait_for(refused, WAIT)
        assert alice.messages(portal, ghost) == []
        assert "can reach you again" in await ask("!chattor unblock")
        await hear(alice, portal, ghost, ["are you there?"])

        with monkeypatch.context() as patched:
            patched.setattr(conversion, "html_to_markdown", _breaks)
            set_aside = _said(alice, "parked")
            await alice.say(portal, "poison", html="<b>poison</b>")
            await alice.wait_for(set_aside, WAIT)
            await until_idle(road.bridge)
            assert (await road.bridge.status()).parked == 2  # what was refused is kept, to be sent again
        assert "I try again: 2" in await ask("!chattor parked retry")
        await friend.ears.wait_until(lambda: friend.ears.texts() == ["not to somebody blocked", "**poison**"], WAIT)


def _breaks(_source: str, _names: object = None) -> str:
    raise ZeroDivisionError


async def test_permissions_count_at_once_and_an_administrator_removes_somebody(
    homestead: Homestead, tmp_path: Path
) -> None:
    entries: dict[str, Permission] = {DOMAIN: Permission.USER}

    def allowed(user: MatrixUserId) -> Level:
        return Level(Permissions(entries).of(user).value)

    async with road_to(homestead, tmp_path, allowed=allowed) as (road, friend):
        alice, operator = await road.person(), await road.person()
        entries[operator.user_id] = Permission.ADMIN
        management = await accepted(road, friend, alice)
        await alice.wait_for(lambda event: "yours alone" in event["content"].get("body", ""), WAIT)
        await _until_online(friend)

        desk = await operator.open_chat(road.bot)
        await operator.next_from(road.bot, desk, WAIT)
        entries[alice.user_id] = Permission.NONE
        assert "not use this bridge any more" in await asked(road, alice, management, "status")
        told = _said(alice, "runs this bridge has removed")
        question = await asked(road, operator, desk, f"remove {alice.user_id}")
        found = re.search(rf"remove {re.escape(alice.user_id)} \d{{4}}", question)
        assert found is not None
        await asked(road, operator, desk, found[0])
        await alice.wait_for(told, WAIT)
        portal = next(event["room_id"] for event in alice.timeline if event["content"].get("name") == FRIEND_NAME)
        await alice.wait_for(left(road.bot, portal), WAIT)
        await until_idle(road.bridge)
        assert road.bridge.host.nodes() == []

        mallory = await road.person()
        entries[mallory.user_id] = Permission.NONE
        room_id = await mallory.open_chat(road.bot)
        turned_down = await mallory.wait_for(left(road.bot, room_id), WAIT)
        assert "may not use" in turned_down["content"]["reason"]


async def _until_online(friend: Peer) -> None:
    await friend.delivered(await friend.send(await friend.friend(WAIT), "hello"), WAIT)
