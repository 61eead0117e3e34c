"""Friends who hold mail, on the whole screen."""

from __future__ import annotations

from pathlib import Path

from tests.terminal.resident import residents
from tests.terminal.test_chattor import two_friends
from tests.terminal.tui.spectator import watched


async def test_two_friends_agree_and_end_it(tmp_path: Path) -> None:
    async with two_friends(tmp_path) as friends, watched(friends.alice) as alice, watched(friends.bob) as bob:
        await alice.sees("Bob")
        await alice.press("f7")
        await alice.sees("Carriers: friends who hold your mail", "nothing is agreed", "You hold 0.0 MB")
        await alice.press("a")
        await alice.sees("Asked. Your friend decides", "was asked to hold your mail")

        await bob.sees("Your friend asks you to hold its mail")
        await bob.press("f7")
        await bob.sees("asks you to hold its mail")
        await bob.press("o")
        await bob.sees("Hold the mail of Alice", "Shelves, one for each")
        await bob.press("backspace", "backspace", "4", "enter", "enter")
        await bob.sees("has its mail held by you: 0 blocks on 0 shelves now", "4 shelves of 128 blocks")
        await alice.sees("holds your mail on up to 4 shelves of 128 blocks")

        await bob.press("m")
        await bob.sees("How much to hold for all friends together")
        await bob.press("5", "0", "enter")
        await bob.sees("You hold 0.0 MB of mail in all, of 50.0 MB at most.")

        await bob.press("m")
        await bob.sees("How much to hold for all friends together")
        await bob.press("9", "9", "9", "enter")
        await bob.sees("may hold 201 MB")

        await alice.press("l")
        await alice.sees("is willing to hold your mail")
        await bob.sees("nothing is agreed")


async def test_a_mailbox_is_paired(tmp_path: Path) -> None:
    async with residents(tmp_path, "Mailbox", "Alice") as (mailbox, alice):
        await (await mailbox.launch("run", "--headless")).saw("ready")
        await alice.start()
        [code] = await mailbox.get("pair")
        async with watched(alice) as screen:
            await screen.sees("No friends yet.")
            await screen.press("f7")
            await screen.sees("p pairs with a mailbox of your own")
            await screen.press("p")
            await screen.sees("Have a mailbox of your own hold your mail")
            await screen.write("chattor:nonsense")
            await screen.press("enter")
            await screen.sees("This friend code is not complete")
            await screen.press("ctrl+p")
            await screen.write("pair with")
            await screen.sees("Pair with a mailbox")
            await screen.press("enter")
            await screen.sees("Have a mailbox of your own hold your mail")
            await screen.write(code["code"])
            await screen.press("enter")
            await screen.sees("Paired. Mailbox holds")
            await screen.press("f7")
            await screen.sees("holds your mail on up to 16 shelves")
