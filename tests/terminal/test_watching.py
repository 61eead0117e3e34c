"""`chattor watch`: whoever looks at all of it knows how things are, however slow it reads."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, cast

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.happenings import Missed
from chattor_bridge.node.node import Node
from chattor_bridge.node.views import ContactInfo
from chattor_bridge.terminal.bell import MAX_CHANGES, Bell, Changed, ContactChanged, MessageChanged
from chattor_bridge.terminal.control import Item
from chattor_bridge.terminal.friends import Friends
from chattor_bridge.terminal.ports import TerminalStore
from chattor_bridge.terminal.watching import Watching
from tests.terminal.resident import Program, befriend, residents

PEER = PeerId(b"p" * 16)


def test_a_change_is_told_once_and_in_its_place() -> None:
    bell = Bell()
    with bell.watch() as watch:
        assert watch.take() == [Changed.EVERYTHING]
        said = MessageChanged(PEER, EventId(b"1"))
        bell.ring(said, ContactChanged(PEER))
        bell.ring(Changed.STATUS, said)
        assert watch.take() == [said, ContactChanged(PEER), Changed.STATUS]
        assert watch.take() == []
    bell.ring(Changed.STATUS)
    assert watch.take() == []


def test_who_is_slow_looks_at_everything_anew() -> None:
    bell = Bell()
    with bell.watch() as slow, bell.watch() as quick:
        slow.take()
        quick.take()
        for number in range(MAX_CHANGES + 10):
            bell.ring(MessageChanged(PEER, EventId(number.to_bytes(2))))
            assert len(quick.take()) == 1
        assert slow.take() == [Changed.EVERYTHING]


class _Alone:
    """A node without friends, as far as `Watching` asks it."""

    async def contacts(self) -> list[ContactInfo]:
        return []


async def test_how_far_catching_up_is_is_told() -> None:
    bell, gone = Bell(), asyncio.Event()
    watching = Watching(cast(Node, _Alone()), cast(TerminalStore, None), bell, cast(Friends, None))
    answers = watching.watch({}, gone)
    assert await anext(answers) == Item({"change": "everything"})
    bell.ring(missed := Missed(2310, 3, over=True))
    told = {"change": "missed", "messages": 2310, "friends": 3, "over": True, "words": missed.in_words}
    assert await anext(answers) == Item(told)
    gone.set()
    await answers.aclose()


async def test_messages_states_friends_and_requests_are_told_as_they_are(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()
        watching = await alice.launch("watch")
        assert await watching.saw("change") == {"change": "everything"}
        await befriend(alice, alices, bob, bobs)
        for what in ("codes", "requests", "contacts"):
            await told(watching, change=what)

        sent = (await alice.get("send", "1", "--wait", "hello"))[0]["event_id"]
        await message(watching, sent, "delivered")
        reading = await bob.launch("follow")
        await message(watching, sent, "read")

        heard = (await bob.get("send", "1", "--wait", "well met"))[0]["event_id"]
        assert (await message(watching, heard, "received"))["text"] == "well met"
        await contact(watching, unread=1, online=True)
        await alice.get("history", "1")
        await message(watching, heard, "read")
        await contact(watching, unread=0, online=True)

        await reading.stop()
        assert await bobs.stop() == 0
        await contact(watching, online=False)
        await alice.get("rename", "1", "Bobby")
        await told(watching, change="contacts")
        assert (await alice.do("history", "1", "--before", "3", "--after", "1")).code == 2
        orders = [each["order"] for each in await alice.get("history", "1")]
        assert [each["order"] for each in await alice.get("history", "1", "--before", str(orders[-1]))] == orders[:-1]


async def told(watching: Program, **fields: object) -> None:
    await watching.saw_all(lambda said: fields.items() <= said.items(), 1)


async def message(watching: Program, event_id: str, state: str) -> dict[str, Any]:
    """Wait until this message was told in this state."""

    def wanted(said: dict[str, Any]) -> bool:
        message = said.get("message", {})
        return (message.get("event_id"), message.get("state")) == (event_id, state)

    found: dict[str, Any] = (await watching.saw_all(wanted, 1))[0]["message"]
    return found


async def contact(watching: Program, **fields: object) -> None:
    """Wait until the last thing told of the contact has these fields."""
    async with asyncio.timeout(30):
        while True:
            told = [said["contact"] for said in watching.said if said["change"] == "contact"]
            if told and fields.items() <= told[-1].items():
                return
            await watching.saw_all(lambda said: said["change"] == "contact", len(told) + 1)
