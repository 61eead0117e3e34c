"""From a line of chat to a command."""

from __future__ import annotations

import pytest

from chattor_bridge.bot.parser import Command, Commands
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.errors import UsageError


async def _run(request: Request) -> Deed:
    return nothing


COMMANDS = Commands(
    [
        Command("help", "", "Help", "this", _run),
        Command("code", "", "Codes", "list", _run, aliases=("code list",)),
        Command("code new", "[LABEL]", "Codes", "new", _run),
        Command("add", "CODE [NOTE]", "Contacts", "add", _run),
    ]
)


@pytest.mark.parametrize(
    ("text", "name", "rest"),
    [
        ("help", "help", ""),
        ("  HELP  ", "help", ""),
        ("!help", "help", ""),
        ("/help", "help", ""),
        ("!chattor help", "help", ""),
        ("!Chattor   help me", "help", "me"),
        ("code", "code", ""),
        ("code list", "code", ""),
        ("code new Old Friends", "code new", "Old Friends"),
        ("code   new\nOld Friends", "code new", "Old Friends"),
        ("add chattor:abc two\nlines ", "add", "chattor:abc two\nlines"),
    ],
)
def test_a_command_is_found_whatever_its_form(text: str, name: str, rest: str) -> None:
    command, found = COMMANDS.parse(text)
    assert (command.name, found) == (name, rest)


@pytest.mark.parametrize(
    ("text", "meant"),
    [("hlep", "help"), ("cod new x", "code"), ("codes nwe", "code new"), ("ad chattor:abc", "add")],
)
def test_a_misspelt_command_is_answered_with_the_one_that_was_meant(text: str, meant: str) -> None:
    with pytest.raises(UsageError, match=rf"Did you mean {meant}"):
        COMMANDS.parse(text)


def test_what_is_like_no_command_is_sent_to_help() -> None:
    with pytest.raises(UsageError, match="Write help"):
        COMMANDS.parse("what a lovely day")


@pytest.mark.parametrize("text", ["", "   ", "!chattor", "!chattor  "])
def test_an_empty_message_is_sent_to_help(text: str) -> None:
    with pytest.raises(UsageError, match="nothing in this message"):
        COMMANDS.parse(text)


def test_a_bare_friend_code_is_recognised_and_not_repeated() -> None:
    code = "chattor:" + "abcdefg2" * 7 + "ab"
    with pytest.raises(UsageError, match="friend code") as error:
        COMMANDS.parse(code)
    assert "abcdefg2" not in str(error.value)
