"""Answers, changes, reactions, polls and places, typing and what friends see of it, by the keys of `chattor tui`."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from PIL import Image
from textual.widgets import Input

from tests.terminal.resident import WAIT
from tests.terminal.test_chattor import Friends, two_friends
from tests.terminal.tui.spectator import Spectator, watched
from tests.terminal.tui.test_app import counted, newest, palette


@pytest_asyncio.fixture(scope="module")
async def friends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Friends]:
    async with two_friends(tmp_path_factory.mktemp("talking")) as friends:
        yield friends


async def say(spectator: Spectator, text: str) -> None:
    await spectator.write(text)
    await spectator.press("enter")


async def test_what_was_said_is_answered_changed_and_taken_back(friends: Friends) -> None:
    await friends.bob.get("send", "1", "--wait", "shall we meet?")
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("shall we meet?")
        await alice.press("escape", "r")
        await alice.sees("↪ answering Bob: “shall we meet?”")
        await say(alice, "yess")
        await alice.sees("↪ Bob: “shall we meet?”", "▸ you")
        await alice.misses("answering")
        await bob.sees("↪ you: “shall we meet?”", "yess")

        await alice.press("escape", "e")
        await alice.sees("~ changing you: “yess”")
        await alice.press("backspace")
        await say(alice, "!")
        await bob.sees("yes!", "~ changed")
        await alice.sees("~ changed")

        await bob.press("escape", "t")
        await bob.sees("⌥ in the thread of Alice: “yes!”")
        await say(bob, "in the thread")
        await alice.sees("⌥ in the thread of you: “yes!”", "in the thread")

        await alice.press("escape", "o")
        await alice.sees("One thread", "yes!", "in the thread")
        await say(alice, "and so it goes on")
        await bob.sees("and so it goes on")
        await alice.sees("and so it goes on")
        await alice.press("shift+tab", "up", "r")
        await alice.sees("↪ answering")
        await alice.press("escape")
        await alice.misses("↪ answering")
        await alice.press("shift+tab", "e")
        await alice.sees("~ changing you: “and so it goes on”")
        await alice.press("ctrl+j")
        await say(alice, "for ever")
        await bob.sees("for ever", "~ changed")
        await alice.misses("~ changing")
        await alice.press("shift+tab", "up", "r")
        await alice.sees("↪ answering Bob: “in the thread”")
        await say(alice, "answered there")
        await bob.sees("answered there", "⌥ in the thread of Alice: “yes!”", "↪ you: “in the thread”")
        await alice.misses("↪ answering")
        await say(alice, "/me shrugs")
        await bob.sees("⌥ in the thread of Alice: “yes!”", "* Alice shrugs")
        await alice.press("escape", "enter")
        await alice.misses("One thread")
        await alice.press("escape", "r")
        await alice.sees("↪ answering")
        await say(alice, "/me nods")
        await bob.sees("* Alice nods")

        await say(alice, "/me waves")
        await bob.sees("* Alice waves")
        await alice.press("escape", "d")
        await alice.sees("Take this back?")
        await alice.press("y")
        await alice.sees("taken back")
        await bob.sees("taken back")
        await bob.misses("waves")


async def test_escape_gives_an_answer_up_and_keeps_the_text(friends: Friends) -> None:
    await friends.bob.get("send", "1", "--wait", "answer me")
    async with watched(friends.alice) as alice:
        await alice.sees("answer me")
        await alice.press("escape", "r")
        await alice.write("never mind")
        await alice.press("escape")
        await alice.misses("answering")
        assert "never mind" in alice.screen
        await alice.press("enter")
        await alice.sees("▸ you", "never mind", "✓ delivered")
    last = (await friends.alice.get("history", "1"))[-1]
    assert (last["text"], "reply" in last) == ("never mind", False)


async def test_what_is_half_written_outlives_a_look_at_everything(friends: Friends) -> None:
    """As when the daemon comes back, or too much changed at once to be told one by one."""
    await friends.bob.get("send", "1", "--wait", "and this one?")
    async with watched(friends.alice) as alice:
        await alice.sees("and this one?")
        await alice.press("escape", "r")
        await alice.write("half an answer")
        await alice.app.main.load()
        await alice.write(", and the rest")
        await alice.sees("↪ answering Bob: “and this one?”", "half an answer, and the rest")


async def test_reactions_come_and_go(friends: Friends) -> None:
    await friends.bob.get("send", "1", "--wait", "good news")
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("good news")
        await alice.press("escape", "+")
        await alice.sees("React")
        await say(alice, "4")
        await alice.sees("+ 🎉 you")
        await bob.sees("+ 🎉 Alice")
        await alice.press("-")
        await bob.misses("+ 🎉 Alice")


async def test_a_poll_is_made_voted_in_and_ended(friends: Friends) -> None:
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("● Bob")
        await bob.sees("● Alice")
        await palette(alice, "poll")
        await alice.sees("A poll with Bob")
        for line in ("Lunch?", "Pizza", "Soup", "", "", "", "", "Rice;Eggs; Nuts;Figs;Cake;Fish;Beans;;Bread", "", ""):
            await say(alice, line)
        await alice.sees("? Lunch?", "1 ☐ Pizza", "(choose one)")
        await bob.sees("? Lunch?")
        await bob.press("escape", "2")
        await bob.sees("2 ☑ Soup ─ 1: you")
        await alice.sees("2 ☐ Soup ─ 1: Bob")
        await bob.press("1")
        await alice.sees("1 ☐ Pizza ─ 1: Bob")
        await bob.press("0")
        await bob.sees("The numbers of the answers")
        await say(bob, "10")
        await alice.sees("10 ☐ Bread ─ 1: Bob")
        await alice.press("escape", "x")
        await alice.sees("End this poll?")
        await alice.press("y")
        await bob.sees("(over)")


async def test_a_place_is_told(friends: Friends) -> None:
    async with watched(friends.alice) as alice:
        await alice.sees("● Bob")
        await palette(alice, "place")
        await alice.sees("Tell Bob of a place")
        for line in ("51.5007", "north", "Big Ben"):
            await say(alice, line)
        await alice.sees("must be degrees")
        await palette(alice, "place")
        for line in ("51.5007", "-0.1246", "Big Ben"):
            await say(alice, line)
        await alice.sees("⌖ Big Ben (51.500700, -0.124600)")
    assert "Big Ben" in await newest(friends.bob)


async def test_writing_is_shown_to_who_may_see_it(friends: Friends) -> None:
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await bob.sees("● Alice", "● online")
        await palette(alice, "privacy")
        await alice.sees("What Bob sees of you")
        for answer in ("y", "y", "n"):
            await say(alice, answer)
        await alice.until(lambda: "typing" in shares(alice))
        await alice.write("let me th")
        await bob.sees("Alice  is writing…")
        await alice.press(*["backspace"] * 9)
        await bob.misses("is writing…")


def shares(spectator: Spectator) -> frozenset[str]:
    contact = spectator.app.main.opened
    return frozenset() if contact is None else contact.shares


async def test_a_friend_is_muted_and_noted(friends: Friends) -> None:
    async with watched(friends.alice) as alice:
        await alice.sees("● Bob")
        await palette(alice, "mute")
        await alice.sees("· muted")
        await palette(alice, "note about")
        await say(alice, "likes [b]soup[/b]")
        await alice.until(lambda: counted(alice, "Bob") == "")
    [contact] = await friends.alice.get("contacts")
    assert (contact["muted"], contact["note"]) == (True, "likes [b]soup[/b]")


async def test_a_picture_of_oneself_is_shown_to_friends(friends: Friends, tmp_path: Path) -> None:
    file = tmp_path / "me.png"
    Image.new("RGB", (300, 200), "teal").save(file)
    async with watched(friends.alice) as alice:
        await alice.sees("Bob  ● online")
        await palette(alice, "picture")
        await say(alice, str(tmp_path / "nothing.png"))
        await alice.sees("cannot", "such")  # the path may break any line
        await alice.press("escape")
        await palette(alice, "picture")
        await say(alice, str(file))
        await alice.sees("Your friends are told")
        async with asyncio.timeout(WAIT):
            while (await friends.bob.do("avatar", "Alice")).code != 0:
                pass  # each is a process of its own


async def test_a_file_goes_over_and_is_saved(friends: Friends, tmp_path: Path) -> None:
    big = tmp_path / "holiday.bin"
    big.write_bytes(os.urandom(3_000_000))
    there = tmp_path / "there"
    there.mkdir()
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("Bob  ● online")
        await alice.press("f6")
        await alice.sees("Send a file to Bob")
        await alice.write("~nobody-here/x")
        await alice.press("enter")
        await say(alice, "")
        await alice.sees("is nowhere")
        await alice.press("f6")
        await alice.sees("Send a file to Bob")
        await alice.write(str(big)[:-4])
        typed = alice.app.screen.query(Input).first()
        while typed.value != str(big):  # completed from what is there
            await alice.press("right")
        await alice.press("enter")
        await say(alice, "by the *sea*")
        await alice.sees("▤ holiday.bin · 3.0 MB", "by the sea")
        await bob.sees("▤ holiday.bin · 3.0 MB")
        await bob.press("escape", "s")
        await bob.sees("Into which directory")
        await bob.press(*["backspace"] * len(str(Path.cwd())))
        await say(bob, str(there))
        await bob.sees("Saved:", "┃ saved")
        assert (there / "holiday.bin").read_bytes() == big.read_bytes()
        await alice.sees("your friend has it")
        await alice.press("escape", "e")
        await alice.sees("~ changing you: “by the *sea*”")
        await alice.press(*["backspace"] * len("by the *sea*"), "enter")
        await alice.sees("~ changed")
        await bob.misses("by the sea")

        await alice.press("f6")
        await say(alice, str(tmp_path / "nothing"))
        await say(alice, "")
        await alice.sees("cannot send")


async def test_messages_disappear_from_the_screen(friends: Friends) -> None:
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("Bob  ● online")
        await palette(alice, "disappearing")
        await alice.sees("now never")
        await say(alice, "4s")
        await alice.sees("⏲ 4 seconds")
        await bob.sees("⏲ 4 seconds")
        await say(alice, "see me now")
        await bob.sees("see me now")
        await alice.misses("see me now")
        await bob.misses("see me now")
        await palette(bob, "disappearing")
        await say(bob, "off")
        await alice.misses("⏲")


async def test_two_friendships_are_made_one(friends: Friends) -> None:
    [code] = await friends.bob.get("code", "new", "crossing")
    await friends.alice.get("add", code["code"])
    await friends.bob.get("accept", (await friends.bobs.saw("request", 1))["request"])
    await friends.alices.saw("friend", 2)
    async with watched(friends.alice) as alice:
        await alice.sees("● Bob")
        await palette(alice, "merge")
        await alice.sees("is the same person as another contact")
        await say(alice, "2")
        await alice.sees("Your friend is told.")
    await friends.bob.get("merge", "2")
    following = await friends.alice.launch("follow", "--after", "0")
    await following.saw_all(lambda said: "has become one with this" in said.get("text", ""), 1)
