"""`chattor tui` by its keys, with a real daemon behind it and a friend at the other end."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Coroutine
from inspect import CORO_CLOSED, getcoroutinestate
from pathlib import Path

import pytest
import pytest_asyncio
from textual.worker import WorkerFailed

from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.tui import timeline as timeline_module
from chattor_bridge.terminal.tui.desk import Desk
from chattor_bridge.terminal.tui.timeline import PAGE, Timeline
from chattor_bridge.terminal.tui.widgets.composer import Composer
from chattor_bridge.terminal.tui.widgets.timeline import TimelineView
from tests.terminal.resident import Resident, befriend, residents, state_of
from tests.terminal.test_chattor import Friends, two_friends
from tests.terminal.tui.spectator import Spectator, watched

HOSTILE = "[red]x[/red] [@click=app.exit]y[/]"


@pytest_asyncio.fixture(scope="module")
async def friends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Friends]:
    """For tests that leave them friends, under their own names."""
    async with two_friends(tmp_path_factory.mktemp("tui")) as friends:
        yield friends


async def newest(resident: Resident) -> str:
    return str((await resident.get("history", "1", "--no-receipts"))[-1]["text"])


async def test_two_people_talk(friends: Friends) -> None:
    bob = friends.bob
    heard = (await bob.get("send", "1", "--wait", "Hello **Alice**"))[0]["event_id"]
    async with watched(friends.alice) as alice:
        await alice.sees("chattor  Alice", "tor connected", "● Bob", "◂ Bob", "Hello Alice", "── new ──")
        await state_of(bob, heard, "read")

        await alice.write("Hi Bob,\nhow are you?")
        await alice.sees("Hi Bob,", "how are you?")
        await alice.press("enter")
        await alice.sees("▸ you", "✓ delivered")
        assert await newest(bob) == "Hi Bob,\nhow are you?"
        await alice.misses("── new ──")
        await bob.get("history", "1")
        await alice.sees("✓✓ read")

        await bob.get("send", "1", "--wait", HOSTILE)
        await alice.sees(HOSTILE)
        # what another command says belongs to the conversation too
        await friends.alice.get("send", "1", "by another command")
        await alice.sees("by another command")


async def test_an_empty_text_is_not_sent_and_a_refused_one_stays(friends: Friends) -> None:
    before = await newest(friends.alice)
    async with watched(friends.alice) as alice:
        await alice.sees("◂ Bob")
        await alice.write("  \n")
        await alice.press("enter")
        await friends.alice.get("block", "1")
        await alice.sees("⊘ blocked")
        await alice.write("kept")
        await alice.press("enter")
        await alice.sees("unblock")  # which says what to do
        assert "kept" in alice.screen
        await friends.alice.get("unblock", "1")
        await alice.sees("● online")
        await alice.press("enter")
        await alice.sees("▸ you", "kept")
        await alice.until(lambda: alice.app.screen.query_one(Composer).text == "")
    assert before != "kept" == (await newest(friends.alice)).strip()


async def test_a_long_history_is_read_backwards_and_forwards(friends: Friends) -> None:
    await friends.bob.get("send", "1", "--wait", stdin="long " * 12_000)
    desk = Desk(Home(friends.alice.home))
    for number in range(3 * PAGE):
        await desk.send(1, f"number {number}")
    async with watched(friends.alice) as alice:
        await alice.sees("number 149")
        await alice.press("escape")
        for _ in range(2):
            oldest = timeline(alice).messages[0]
            await alice.press("home")
            await alice.until(lambda: timeline(alice).messages[0] != oldest)  # noqa: B023
            await alice.sees(oldest.text)  # what was on the screen stays there
        await alice.press("end")
        await alice.sees("number 149")
        await alice.press("up", "up")
        await alice.sees("┃ number 148")


async def test_from_far_back_one_comes_to_the_newest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where more was said since than is held."""
    monkeypatch.setattr(timeline_module, "MAX_HELD", 2 * PAGE)
    async with two_friends(tmp_path) as friends:
        desk = Desk(Home(friends.alice.home))
        for number in range(4 * PAGE):
            await desk.send(1, f"number {number}")
        async with watched(friends.alice) as alice:
            await alice.sees("number 199")
            for come_back in ("end", "enter"):
                await alice.press("escape")
                for _ in range(3):
                    oldest = timeline(alice).messages[0]
                    await alice.press("home")
                    await alice.until(lambda: timeline(alice).messages[0] != oldest)  # noqa: B023
                await alice.misses("number 199")
                if come_back == "enter":
                    await alice.press("enter")
                    await alice.write("the newest")
                await alice.press(come_back)
                await alice.sees("number 199")
            await alice.sees("the newest")


def timeline(spectator: Spectator) -> Timeline:
    """What is held of the open conversation."""
    return spectator.app.screen_stack[1].query_one(TimelineView).timeline


async def test_the_highlight_stays_on_the_code_it_was_on(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice") as (alice,):
        await alice.start()
        labels = ("first", "second", "third")
        ids = {label: (await alice.get("code", "new", label))[0]["id"] for label in labels}
        async with watched(alice, (80, 40)) as hers:
            await hers.press("f3")
            await hers.sees(*labels)
            await hers.press("down")
            await alice.get("code", "retire", ids["first"])
            await hers.misses("first")
            await hers.press("p")
            await hers.sees("parked")
        assert {code["label"]: code["parked"] for code in await alice.get("code")} == {"second": True, "third": False}


async def test_codes_requests_and_a_new_friend(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob", "Carol") as (alice, bob, carol):
        await alice.start()
        await bob.start()
        await carol.start()
        async with watched(alice) as hers, watched(bob) as his:
            await hers.sees("No friends yet")
            await hers.press("f3")
            await hers.sees("No friend code yet")
            await hers.press("n")
            await hers.sees("A new friend code")
            await hers.write("work")
            await hers.press("enter", "enter", "enter", "enter")
            await hers.sees("work", "chattor:", "█▀▀▀▀▀█")
            [code] = await alice.get("code")
            assert code["code"] in hers.screen
            await hers.press("y")
            assert hers.app.clipboard == code["code"]
            await hers.press("escape", "escape")

            await his.press("f4")
            await his.sees("Ask somebody")
            await his.write(code["code"])
            await his.press("enter")
            await his.write(HOSTILE)
            await his.press("enter")
            await his.sees("Asked")
            await hers.sees("1 request")
            await hers.press("f2")
            await hers.sees("Bob through work", HOSTILE)
            await hers.press("i")
            await hers.sees("(ignored)")
            await hers.press("b")
            await hers.sees("(blocked)")
            await hers.press("u")
            await hers.misses("(blocked)")
            await hers.press("a")
            await hers.sees("Bob is your friend now", "Nobody asks")
            await hers.press("escape")
            await hers.sees("● Bob", "● online")
            await his.sees("● Alice")

            await carol.get("add", "--note", "me too", stdin=f"{code['code']}\n")
            await hers.sees("1 request")
            await hers.press("f2")
            await hers.sees("Carol")
            await hers.press("a", "escape")
            await hers.sees("● Carol", "● Bob")


async def test_a_friend_is_renamed_verified_and_forgotten(friends: Friends) -> None:
    await friends.bob.get("send", "1", "--wait", "is it you?")
    async with watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("◂ Bob")
        await palette(alice, "rename")
        await alice.sees("Your own name for Bob")
        await alice.write("Bobby [b]")
        await alice.press("enter")
        await alice.sees("● Bobby [b]", "◂ Bobby [b]")
        await friends.alice.get("rename", "1")
        await alice.sees("◂ Bob")

        for each, name in ((alice, "Bob"), (bob, "Alice")):
            await palette(each, "verify")
            await each.sees(f"Is it really {name}?", "not compared yet")
        [found] = await friends.alice.get("verify", "1")
        assert found["number"][:5] in alice.screen
        assert found["number"][:5] in bob.screen
        await alice.press("e")
        await bob.press("e")
        await alice.sees("Compare these")
        await bob.sees("Compare these")
        [found] = await friends.alice.get("verify", "1")
        for sign, word in found["emoji"]:
            assert f"{sign}  {word}" in alice.screen
        await alice.press("m")
        await alice.sees("So far: verified")
        await alice.press("escape")
        await alice.sees("✓ verified")
        await alice.until(lambda: counted(alice, "Bob").startswith("✓"))


async def palette(spectator: Spectator, words: str) -> None:
    """Do the first thing that the command palette finds for these words."""
    await spectator.press("ctrl+p")
    await spectator.until(lambda: "CommandPalette" in str(spectator.app.screen))
    await spectator.write(words)
    await spectator.sees(words.capitalize())
    await spectator.press("enter")


async def test_a_conversation_beside_another_keeps_what_was_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with residents(tmp_path, "Alice", "Bob", "Carol") as (alice, bob, carol):
        alices = await alice.start()
        for number, friend in enumerate((bob, carol), 1):
            theirs = await friend.start()
            code = (await alice.get("code", "new", friend.name))[0]["code"]
            await friend.get("add", stdin=f"{code}\n")
            await alice.get("accept", (await alices.saw("request", number))["request"])
            await theirs.saw("friend")
            await friend.get("send", "1", "--wait", f"I am {friend.name}")
        await alice.get("privacy", "all", "typing", "on")
        async with watched(alice) as hers:
            told = typing_told(hers, monkeypatch)
            # who spoke last is on top, and open
            await hers.sees("I am Carol", "Bob")
            await hers.write("half a thou")
            await hers.press("ctrl+down")
            await hers.sees("I am Bob")
            assert "half a thou" not in hers.screen
            assert told == [(2, True), (2, False)]
            sent = (await carol.get("send", "1", "--wait", "are you there?"))[0]["event_id"]
            await hers.until(lambda: counted(hers, "Carol") == "1")
            assert "are you there?" not in hers.screen
            assert [one["state"] for one in await carol.get("history", "1") if one["event_id"] == sent] == ["delivered"]
            await hers.press("ctrl+up")
            await hers.sees("are you there?", "half a thou")
            await state_of(carol, sent, "read")
            await hers.until(lambda: counted(hers, "Carol") == "")
            assert told == [(2, True), (2, False)]  # nobody writes when what was begun is shown


def typing_told(spectator: Spectator, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    """The contacts that are told from now on whether something is being written to them."""
    desk, told = spectator.app.desk, list[tuple[int, bool]]()

    async def typing(
        contact: int, *, on: bool, inner: Callable[..., Coroutine[None, None, None]] = desk.typing
    ) -> None:
        told.append((contact, on))
        await inner(contact, on=on)

    monkeypatch.setattr(desk, "typing", typing)
    return told


def counted(spectator: Spectator, name: str) -> str:
    """What stands behind a name in the list of contacts."""
    return (
        next(line[:26] for line in spectator.screen.splitlines()[1:] if name in line[:26])
        .partition(name)[2]
        .strip(" ▕")
    )


async def test_a_daemon_that_stops_is_waited_for(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        async with watched(alice) as hers:
            await hers.sees("Bob  ● online")
            await alices.stop()
            await hers.sees("chattor run does not answer")
            await hers.write("not lost")
            await hers.press("enter")
            await hers.sees("chattor run is not running")
            assert "not lost" in hers.screen
            await alice.start()
            await hers.sees("tor connected", "● online")
            await hers.press("enter")
            await hers.sees("▸ you", "✓ delivered")


async def test_a_mistake_of_ours_puts_nothing_that_was_said_into_the_terminal(friends: Friends) -> None:
    async def fail(said: str) -> None:
        raise RuntimeError

    with pytest.raises(WorkerFailed):  # noqa: PT012 - it is raised when the program ends
        async with watched(friends.alice) as alice:
            await alice.sees("Bob  ● online")
            alice.app.do(fail("the treasure is under the old oak"))
            await alice.until(lambda: alice.app.failure is not None)
    assert isinstance(alice.app.failure, RuntimeError)
    assert alice.app._exit_renderables == []


async def test_what_the_end_comes_before_is_complained_of_nowhere(friends: Friends) -> None:
    async with watched(friends.alice) as alice:
        begun = alice.app.desk.presence("away")
        alice.app.do(begun)
        alice.app.workers.cancel_all()
    assert getcoroutinestate(begun) == CORO_CLOSED  # nothing warns that it was never awaited


async def test_it_fits_whatever_the_size(friends: Friends) -> None:
    for size in ((80, 24), (40, 12), (20, 6), (200, 60)):
        async with watched(friends.alice, size) as alice:
            await alice.until(lambda: "Bob" in alice.screen)
            for key in ("f1", "f2", "f3", "f5"):
                await alice.press(key)
                await alice.press("escape")
            await alice.press("f5")
            if size[0] >= 80:
                await alice.sees("friends   1, 1 of them online")
