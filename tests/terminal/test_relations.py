"""What people do about what was said, with both programs and both databases looked at."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest_asyncio

from tests.terminal.resident import WAIT, Program, Resident, befriend, residents

JsonObject = dict[str, Any]


class Pair:
    """Alice and Bob, each the other's contact 1, with a `follow` of Bob's."""

    def __init__(self, alice: Resident, bob: Resident, alices: Program, bobs: Program, follow: Program) -> None:
        self.alice, self.bob, self.alices, self.bobs, self.follow = alice, bob, alices, bobs, follow

    async def both(self, words: list[str], **wanted: object) -> tuple[JsonObject, JsonObject]:
        """Run Alice's command; the newest message of both as soon as Bob's has these values."""
        await self.alice.get(*words)
        return (await shown(self.alice))[-1], await self.newest(self.bob, **wanted)

    async def newest(self, resident: Resident, **wanted: object) -> JsonObject:
        async with asyncio.timeout(WAIT):
            while True:
                message = (await shown(resident) or [{}])[-1]
                if all(message.get(key) == value for key, value in wanted.items()):
                    return message


async def shown(resident: Resident) -> list[JsonObject]:
    return await resident.get("history", "1", "--limit", "99")


@pytest_asyncio.fixture
async def pair(tmp_path: Path) -> AsyncIterator[Pair]:
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        yield Pair(alice, bob, alices, bobs, await bob.launch("follow"))


async def test_answers_and_threads(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    mine, theirs = await pair.both(["send", "1", "--wait", "Tea?"], text="Tea?")
    await bob.get("reply", str(theirs["order"]), "Yes, please")
    answer = await pair.newest(alice, text="Yes, please")
    assert answer["reply"] == {
        "event_id": mine["event_id"],
        "order": mine["order"],
        "sent": True,
        "text": "Tea?",
        "deleted": False,
    }
    mine, theirs = await pair.both(
        ["reply", "--thread", str(mine["order"]), "--to", str(answer["order"]), "Milk?"], text="Milk?"
    )
    assert (theirs["thread"]["text"], theirs["reply"]["text"]) == ("Tea?", "Yes, please")
    mine, theirs = await pair.both(["reply", "--thread", str(mine["order"]), "Sugar?"], text="Sugar?")
    assert theirs["thread"]["text"] == "Tea?", "a thread within a thread is the same thread"
    assert "reply" not in theirs
    lines = (await bob.do("history", "1", json=False)).output.splitlines()
    assert lines[1].endswith("you to Alice [read] (to #1 “Tea?”): Yes, please")
    assert "(to #2 “Yes, please”; in the thread of #1 “Tea?”): Milk?" in lines[2]


async def test_edits_reactions_and_their_taking_back(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    mine, theirs = await pair.both(["send", "1", "--emote", "wavs"], text="wavs", kind="emote")
    number = str(mine["order"])
    mine, theirs = await pair.both(["edit", number, "waves"], text="waves")
    assert mine["edited"] == theirs["edited"]
    assert (mine["kind"], mine["order"]) == ("emote", int(number))
    await bob.get("react", str(theirs["order"]), "👍")
    await bob.get("react", str(theirs["order"]), "👍")
    await alice.get("react", number, "❤️")
    both = [{"emoji": "👍", "sent": False}, {"emoji": "❤️", "sent": True}]
    await pair.newest(alice, reactions=both)
    line = (await alice.do("history", "1", json=False)).output
    assert "(changed): * waves\n    + 👍 Bob, ❤️ you\n" in line
    await bob.get("react", str(theirs["order"]), "👍", "--remove")
    await pair.newest(alice, reactions=both[1:])
    assert (await bob.do("react", str(theirs["order"]), "👍", "--remove")).code != 0
    refused = await bob.do("edit", str(theirs["order"]), "forged")
    assert "your friend has said that" in refused.complaint
    changes = [said["kind"] for said in pair.follow.said if "kind" in said]
    assert changes == ["emote", "edit", "reaction"]
    told = next(said for said in pair.follow.said if said.get("kind") == "edit")
    assert (told["text"], told["target"]["order"]) == ("waves", theirs["order"])


async def test_what_is_taken_back_is_on_neither_disk(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    await pair.both(["send", "1", "--wait", "stays"], text="stays")
    mine, theirs = await pair.both(["send", "1", "--wait", "the treasure is under the old oak"], state="read")
    await alice.get("edit", str(mine["order"]), "the treasure is under the new oak")
    await pair.newest(bob, text="the treasure is under the new oak")
    await bob.get("react", str(theirs["order"]), "🤫")
    await pair.newest(alice, reactions=[{"emoji": "🤫", "sent": False}])
    sealed = {resident: _texts(resident, 2) for resident in (alice, bob)}
    assert all(len(texts) == 3 for texts in sealed.values())
    await alice.get("delete", str(mine["order"]))
    async with asyncio.timeout(WAIT):
        while "deleted" not in (gone := (await shown(bob))[-1]):
            pass
    assert (gone["text"], gone["order"]) == ("", theirs["order"])
    assert "reactions" not in gone
    assert "[taken back]" in (await bob.do("history", "1", json=False)).output
    assert "this message was taken back" in (await bob.do("react", str(theirs["order"]), "👍")).complaint
    for daemon in (pair.alices, pair.bobs):
        assert await daemon.stop() == 0
    for resident, texts in sealed.items():
        files = [path.read_bytes() for path in resident.home.glob("chattor.db*")]
        assert files
        assert not any(text in content for text in texts for content in files)


def _texts(resident: Resident, first: int) -> list[bytes]:
    """What the history holds from its ``first`` entry on, as it is on disk; more than the seal of an empty text."""
    with closing(sqlite3.connect(f"file:{resident.home / 'chattor.db'}?mode=ro", uri=True)) as database:
        query = "SELECT text FROM history WHERE position >= ? ORDER BY position"
        return [text for (text,) in database.execute(query, [first])]


async def test_polls_open_and_hidden(pair: Pair) -> None:
    alice, bob = pair.alice, pair.bob
    mine, theirs = await pair.both(
        ["poll", "1", "Tea or coffee?", "Tea", "Coffee", "Both", "--choices", "2"], kind="poll"
    )
    assert theirs["poll"] == {
        "question": "Tea or coffee?",
        "answers": ["Tea", "Coffee", "Both"],
        "choices": 2,
        "disclosed": True,
        "ended": False,
        "mine": [],
        "theirs": [],
    }
    number, his = str(mine["order"]), str(theirs["order"])
    await alice.get("vote", number, "1")
    await bob.get("vote", his, "3", "1")
    async with asyncio.timeout(WAIT):
        while (poll := (await shown(alice))[-1]["poll"])["theirs"] != [0, 2]:
            pass
    assert poll["mine"] == [0]
    assert "1. Tea  [2: you, Bob]" in (await alice.do("history", "1", json=False)).output
    await bob.get("vote", his)
    await alice.get("end-poll", number)
    async with asyncio.timeout(WAIT):
        while not (poll := (await shown(bob))[-1]["poll"])["ended"]:
            pass
    assert (poll["mine"], poll["theirs"]) == ([], [0])
    assert "this poll is over" in (await bob.do("vote", his, "1")).complaint

    mine, theirs = await pair.both(["poll", "1", "Secret?", "Yes", "No", "--hidden"], text="Secret?")
    assert theirs["poll"]["theirs"] is None
    assert "choose 1 at most" in (await bob.do("vote", str(theirs["order"]), "1", "2")).complaint
    assert "has 2 answers" in (await bob.do("vote", str(theirs["order"]), "3")).complaint
    await bob.get("vote", str(theirs["order"]), "2")
    await alice.get("vote", str(mine["order"]), "1")
    await alice.get("end-poll", str(mine["order"]))
    async with asyncio.timeout(WAIT):
        while not (poll := (await shown(bob))[-1]["poll"])["ended"]:
            pass
    assert (poll["mine"], poll["theirs"]) == ([1], [0])


async def test_a_place(pair: Pair) -> None:
    _, theirs = await pair.both(
        ["place", "1", "--name", "Big Ben", "--accuracy", "35", "--", "51.5007", "-0.1246"], kind="location"
    )
    assert theirs["location"] == {"latitude": 51.5007, "longitude": -0.1246, "accuracy": 35, "name": "Big Ben"}
    assert theirs["text"] == "Big Ben (51.500700, -0.124600 ± 35 m)"
    assert "from -90 to 90" in (await pair.alice.do("place", "1", "91", "0")).complaint


async def test_what_cannot_be_done_is_said(pair: Pair) -> None:
    mine, _ = await pair.both(["send", "1", "hello"], text="hello")
    number = str(mine["order"])
    for words, complaint in {
        ("reply", "99999", "x"): "no such message",
        ("edit", "99999", "x"): "no such message",
        ("edit", number, " "): "nothing to say instead",
        ("react", number, "x" * 65): "it may have 64",
        ("vote", number, "1"): "this is no poll",
        ("end-poll", number): "no poll that could be ended",
        ("poll", "1", "Q", "A", "--choices", "2"): "from 1 to as many",
    }.items():
        outcome = await pair.alice.do(*words)
        assert outcome.code != 0
        assert complaint in outcome.complaint, words
    assert len(await shown(pair.bob)) == 1
