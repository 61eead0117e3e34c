"""Friend codes with bounds, by command; and codes of both lengths, however they are typed."""

from __future__ import annotations

import re

import pytest

from chattor_bridge.node.happenings import KnockLeft
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.typed_code import split_code
from tests.bridge.fake_homeserver import WAIT, Room
from tests.bridge.town import Town
from tests.peer import Peer
from tests.protocol.sources import onion_key

PLAIN = FriendCode(onion_key("door")).encode()
ONE_TIME = FriendCode.of_door(onion_key("door"), bytes(range(16))).encode()


async def _started(town: Town) -> Room:
    room = await town.open_management()
    await town.ask(room, "start Alice")
    return room


def _code_in(text: str) -> str:
    found = re.search(r"chattor:[a-z2-7]+", text)
    assert found is not None
    return found[0]


@pytest.mark.parametrize("dashes", ["--", "\N{EM DASH}"])
async def test_a_one_time_code_is_made_used_and_listed_as_such(town: Town, friend: Peer, dashes: str) -> None:
    room = await _started(town)
    answer = await town.ask(room, f"code new for Bob {dashes}once")
    assert "good for one request" in answer
    assert len(_code_in(answer)) == len(ONE_TIME)
    assert "“for Bob”" in await town.ask(room, "code")
    await friend.add(_code_in(answer), "hello")
    await friend.ears.wait_until(lambda: any(isinstance(one, KnockLeft) for one in friend.ears.happenings), WAIT)
    assert "one-time; used up" in await town.ask(room, "code")


async def test_bounds_parking_and_rotation(town: Town) -> None:
    room = await _started(town)
    made = await town.ask(room, "code new club --uses 5 --expires 3w")
    listed = await town.ask(room, "code")
    assert "0 of 5 uses; closes in 3 weeks" in listed
    assert "is parked" in await town.ask(room, "code park club")
    assert "parked" in await town.ask(room, "code")
    assert "is open again" in await town.ask(room, "code unpark 1")
    assert "closes in 3 days" in await town.ask(room, "code rotate club --grace 3d")
    assert listed.count("chattor:") + 1 == (await town.ask(room, "code")).count("chattor:")
    assert "More than one" in await town.ask(room, "code retire club")
    assert "is retired" in await town.ask(room, "code rotate 2 --grace 0d")
    await town.ask(room, "code retire 1")
    last = await town.ask(room, "code")
    assert last.count("chattor:") == 1
    assert _code_in(last) != _code_in(made)


async def test_the_number_of_a_code_that_is_gone_is_not_the_beginning_of_a_label(town: Town) -> None:
    room = await _started(town)
    for label in ("one", "1st of May", "7"):
        await town.ask(room, f"code new {label}")
        await town.idle()
    await town.ask(room, "code retire one")
    assert "no such code" in await town.ask(room, "code retire 1")
    assert "is retired" in await town.ask(room, "code retire 1st")
    assert "is retired" in await town.ask(room, "code retire 7")


@pytest.mark.parametrize(
    ("command", "complaint"),
    [
        ("code new x --twice", "no option --twice"),
        ("code new x --uses", "missing after --uses"),
        ("code new x --uses many", "whole number"),
        ("code new x --uses 9999", "1 to 1000"),
        ("code new x --expires soon", "30m, 12h"),
        ("code new x --once --uses 2", "good for one request"),
        ("code rotate 9", "no such code"),
        ("code park nothing", "no such code"),
    ],
)
async def test_what_cannot_be_is_explained(town: Town, command: str, complaint: str) -> None:
    room = await _started(town)
    await town.ask(room, "code new one")
    await town.idle()
    await town.ask(room, "code new two")
    assert complaint in await town.ask(room, command)


@pytest.mark.parametrize("code", [PLAIN, ONE_TIME], ids=["58", "84"])
def test_a_code_ends_where_it_ends(code: str) -> None:
    spelled = " ".join(re.findall(".{1,8}", code.removeprefix("chattor:").upper()))
    assert split_code(f"{code} hello") == (code, "hello")
    assert split_code(f"{spelled} Hello, 2") == (spelled, "Hello, 2")
    assert split_code(code) == (code, "")
    # words that could be more of a code are none
    words = "hello this is ada from the choir"
    assert split_code(f"{code} {words}") == (code, words)
    assert split_code(f"{code}x") is None


def test_what_is_no_code_is_left_alone() -> None:
    assert split_code("hello") is None
    assert split_code("") is None
