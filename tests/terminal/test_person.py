"""What friends see of a person, silence and notes, in two terminals."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from tests.terminal.resident import WAIT, Resident, residents
from tests.terminal.test_chattor import two_friends


async def contact_with(resident: Resident, **wanted: Any) -> dict[str, Any]:
    """The resident's first contact, once it is like this."""
    async with asyncio.timeout(WAIT):
        while True:
            (contact,) = await resident.get("contacts")
            if {key: contact[key] for key in wanted} == wanted:
                return contact


async def test_what_is_shown_silenced_and_noted(tmp_path: Path) -> None:
    async with two_friends(tmp_path) as friends:
        alice, bob = friends.alice, friends.bob
        assert (await contact_with(bob, shares=["receipts"], here="unknown", typing=False))["note"] == ""
        await alice.get("typing", "1")
        for what in ("typing", "presence"):
            (shown,) = await alice.get("privacy", "all", what, "on")
        assert shown["shares"] == ["presence", "receipts", "typing"]
        await alice.get("presence", "online")
        await alice.get("typing", "1")
        await contact_with(bob, here="online", typing=True)
        await alice.get("typing", "1", "off")
        await contact_with(bob, here="online", typing=False)

        await bob.get("mute", "1")
        await bob.get("note", "1", "met", "at", "the choir")
        assert await contact_with(bob, muted=True, note="met at the choir")
        await alice.get("send", "1", "hello", "--wait")
        assert await contact_with(bob, unread=1)
        (status,) = await bob.get("status")
        assert status["unread"] == 0
        (contact,) = await bob.get("unmute", "1")
        assert not contact["muted"]
        (contact,) = await bob.get("note", "1", "--remove")
        assert contact["note"] == ""

        await bob.get("privacy", "1", "receipts", "off")
        await bob.get("history", "1")
        await contact_with(bob, unread=0)
        await bob.get("send", "1", "said after it", "--wait")
        history = await alice.get("history", "1", "--no-receipts")
        assert [each["state"] for each in history] == ["delivered", "received"]


async def test_what_holds_for_friends_to_come_is_said_to_be_noted(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice") as (alice,):
        await alice.start()
        assert (await alice.do("privacy", json=False)).output == "No friends yet.\n"
        noted = await alice.do("privacy", "all", "typing", "on", json=False)
        assert noted.output == "Noted, for every friend to come.\n"
        assert await alice.get("privacy", "all", "typing", "off") == []
