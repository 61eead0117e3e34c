"""Two people with `chattor` and nothing else: they become friends and talk, whatever happens to their daemons."""

from __future__ import annotations

import asyncio
import signal
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio

from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.terminal.exits import CommandError
from chattor_bridge.terminal.friend_commands import whom
from chattor_bridge.terminal.home import Home
from chattor_bridge.transport.memory import MemoryNetwork
from tests.terminal.resident import WAIT, Program, Resident, befriend, residents, state_of

MESSAGE_KEYS = {"order", "contact", "name", "peer", "event_id", "sent", "kind", "text", "time", "stored", "state"}


class Friends:
    """Alice and Bob, friends, both online."""

    def __init__(self, alice: Resident, alices: Program, bob: Resident, bobs: Program) -> None:
        self.alice = alice
        self.alices = alices
        self.bob = bob
        self.bobs = bobs


@asynccontextmanager
async def two_friends(directory: Path) -> AsyncIterator[Friends]:
    async with residents(directory, "Alice", "Bob") as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        yield Friends(alice, alices, bob, bobs)


@pytest_asyncio.fixture
async def friends(tmp_path: Path) -> AsyncIterator[Friends]:
    async with two_friends(tmp_path) as friends:
        yield friends


@pytest_asyncio.fixture(scope="module")
async def lasting_friends(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Friends]:
    """For tests that change nothing."""
    async with two_friends(tmp_path_factory.mktemp("lasting")) as friends:
        yield friends


async def test_they_become_friends_by_code_and_talk_both_ways(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()

        [code] = await alice.get("code", "new", "work")
        assert set(code) == {
            *("id", "label", "code", "published", "once", "expires", "uses", "max_uses", "parked", "created")
        }
        assert code["code"].startswith("chattor:")
        assert code["label"] == "work"

        [asked] = await bob.get("add", "--note", "from school", "--", *code["code"].upper().replace(":", ": ").split())
        assert set(asked) == {"request"}
        told = await alices.saw("request")
        assert (told["name"], told["note"]) == ("Bob", "from school")
        [request] = await alice.get("requests")
        assert request == {
            "direction": "received",
            "number": told["number"],
            "id": told["request"],
            "name": "Bob",
            "note": "from school",
            "label": "work",
            "ignored": False,
            "blocked": False,
            "effort": request["effort"],
            "time": request["time"],
        }
        [waiting] = await bob.get("requests")
        assert set(waiting) == {"direction", "id", "state", "reason", "note", "time"}
        assert waiting["id"] == asked["request"]

        assert await alice.get("accept", "bob") == [{"contact": 1, "name": "Bob"}]
        await bobs.saw("friend")

        listening = await alice.launch("follow")
        sent = (await bob.get("send", "1", "Hello,", "Alice!", "--wait"))[0]
        message = await listening.saw("text")
        assert set(message) == MESSAGE_KEYS
        assert message["event_id"] == sent["event_id"]
        assert (message["contact"], message["name"], message["sent"]) == (1, "Bob", False)
        assert message["text"] == "Hello, Alice!"

        outcome = await alice.do("send", "bob", "--wait", "Grüße, **Bob** 日本")
        assert outcome.code == 0
        assert [each["state"] for each in outcome.objects] == ["queued", "delivered"]
        assert len({(each["event_id"], each["order"]) for each in outcome.objects}) == 1
        texts = [(each["sent"], each["text"]) for each in await bob.get("history", "alice")]
        assert texts == [(True, "Hello, Alice!"), (False, "Grüße, **Bob** 日本")]
        await state_of(bob, sent["event_id"], "read")  # because Alice's follow showed it

        [contact] = await alice.get("contacts")
        assert contact == {
            "contact": 1,
            "name": "Bob",
            "alias": "",
            "online": True,
            "blocked": False,
            "retired": False,
            "verification": "unverified",
            "here": "unknown",
            "typing": False,
            "shares": ["receipts"],
            "muted": False,
            "note": "",
            "timer": 0,
            "queued": 0,
            "unread": 0,
            "since": contact["since"],
            "last": (await alice.get("history", "1"))[-1]["order"],
        }
        assert await alice.get("requests") == []


async def test_what_was_shown_is_read_and_what_was_not_is_not(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    sent = [(await bob.get("send", "1", "--wait", text))[0]["event_id"] for text in ("one", "two", "three")]
    assert (await alice.get("contacts"))[0]["unread"] == 3
    assert (await alice.get("status"))[0]["unread"] == 3
    shown = await alice.get("history", "bob", "--no-receipts")
    assert [each["state"] for each in shown] == ["received"] * 3
    assert (await alice.get("contacts"))[0]["unread"] == 3

    assert [each["text"] for each in await alice.get("history", "bob", "--limit", "1")] == ["three"]
    await state_of(bob, sent[2], "read")
    assert [each["state"] for each in await bob.get("history", "1")] == ["delivered", "delivered", "read"]

    following = await alice.launch("follow", "--sent")
    assert [each["text"] for each in await following.saw_all(lambda said: "text" in said, 2)] == ["one", "two"]
    await state_of(bob, sent[0], "read")
    await state_of(bob, sent[1], "read")
    await alice.get("send", "bob", "my own words")
    assert (await following.saw("text", 3))["text"] == "my own words"
    assert (await alice.get("contacts"))[0]["unread"] == 0


async def test_a_script_that_remembers_the_order_misses_nothing_and_sees_nothing_twice(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    texts = [f"message {number}" for number in range(6)]
    for text in texts[:2]:
        await bob.get("send", "1", "--wait", text)
    first = await alice.launch("follow", "bob", "--after", "0", "--no-receipts")
    seen = await first.saw_all(lambda said: "text" in said, 2)
    assert await first.stop(signal.SIGINT) == 130
    for text in texts[2:4]:
        await bob.get("send", "1", "--wait", text)
    second = await alice.launch("follow", "bob", "--after", str(seen[-1]["order"]))
    for text in texts[4:]:
        await bob.get("send", "1", "--wait", text)
    seen += await second.saw_all(lambda said: "text" in said, 4)
    assert [each["text"] for each in seen] == texts
    assert [each["order"] for each in seen] == sorted({each["order"] for each in seen})
    pages = []
    after = "0"
    while page := await alice.get("history", "bob", "--after", after, "--limit", "4"):
        pages.append(len(page))
        after = str(page[-1]["order"])
    assert pages == [4, 2]


async def test_what_is_said_to_somebody_offline_waits_and_arrives(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    assert await friends.bobs.stop() == 0
    waited = await alice.do("send", "1", "--wait", "--timeout", "1", "are you there?")
    assert waited.code == 5
    assert [each["state"] for each in waited.objects] == ["queued"]
    assert "not delivered yet" in waited.complaint
    assert (await alice.get("contacts"))[0]["queued"] >= 1
    await bob.start()
    following = await bob.launch("follow")
    assert (await following.saw("text"))["text"] == "are you there?"
    await state_of(alice, waited.objects[0]["event_id"], "read")


async def test_who_was_away_is_told_how_many_messages_that_missed(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    assert await friends.bobs.stop() == 0
    for _ in range(4):
        await alice.get("send", "1", stdin="a long letter " * 4_600)  # each is five messages
    friends.bobs = await bob.start()
    words = "Catching up: 20 missed messages so far, from a friend."
    missed = {"messages": 20, "friends": 1, "over": False, "words": words}
    assert (await friends.bobs.saw("missed"))["missed"] == missed
    assert (await bob.get("status"))[0]["missed"] == missed
    assert f"missed    {words}\n" in (await bob.do("status", json=False)).output


@pytest.mark.parametrize("killed", ["sender", "receiver"])
async def test_a_killed_daemon_loses_nothing_and_doubles_nothing(friends: Friends, killed: str) -> None:
    alice, bob = friends.alice, friends.bob
    texts = [f"{killed} {number}" for number in range(12)]
    ids = []
    for number, text in enumerate(texts):
        ids += [each["event_id"] for each in await alice.get("send", "1", text)]
        if number % 4 == 1:
            victim, resident = (friends.alices, alice) if killed == "sender" else (friends.bobs, bob)
            assert await victim.stop(signal.SIGKILL) == -signal.SIGKILL
            restarted = await resident.start()
            if killed == "sender":
                friends.alices = restarted
            else:
                friends.bobs = restarted
    await state_of(alice, ids[-1], "delivered")
    arrived = [each["text"] for each in await bob.get("history", "1", "--after", "0", "--limit", "1000")]
    assert arrived == texts


async def test_a_follower_is_told_when_the_daemon_stops(friends: Friends) -> None:
    following = await friends.alice.launch("follow")
    await friends.bob.get("send", "1", "--wait", "hello")
    await following.saw("text")
    assert await friends.alices.stop() == 0
    assert await following.ended() == 3
    assert "chattor run stopped" in following.complaint
    outcome = await friends.alice.do("history", "1")
    assert outcome.code == 3
    assert "chattor run is not running: start it" in outcome.complaint


async def test_a_second_daemon_is_refused_and_the_first_goes_on(friends: Friends) -> None:
    second = await friends.alice.launch("run")
    assert await second.ended() == 4
    assert f"process {friends.alices.process.pid}" in second.complaint
    assert second.complaint.count("\n") == 1
    assert (await friends.alice.get("status"))[0]["name"] == "Alice"
    again = await friends.alice.do("init", "--name", "Eve")
    assert again.code == 1
    assert "there is an identity in" in again.complaint


async def test_nothing_that_was_said_lies_open_on_disk(friends: Friends) -> None:
    planted = "the treasure is under the old oak"
    await friends.alice.get("send", "1", "--wait", planted)
    [code] = await friends.alice.get("code")
    for resident in (friends.alice, friends.bob):
        assert stat.S_IMODE(resident.home.stat().st_mode) == 0o700
        for path in resident.home.rglob("*"):
            assert path.is_dir() or stat.S_IMODE(path.stat().st_mode) == 0o600, path
            if path.is_file():
                content = path.read_bytes()
                for secret in (planted, code["code"], code["code"].removeprefix("chattor:"), "it is me"):
                    assert secret.encode() not in content, path
    for daemon in (friends.alices, friends.bobs):
        assert await daemon.stop() == 0
        assert daemon.complaint == ""
        assert planted not in str(daemon.said)
        assert code["code"] not in str(daemon.said)


async def test_nobody_commands_the_terminal_of_a_friend(friends: Friends) -> None:
    nasty = "\x1b[2J\x1b]0;owned\x07harmless\u202e\n2026-01-01 10:00  Mallory: forged"
    await friends.alice.get("send", "1", "--wait", stdin=nasty)
    [exact] = await friends.bob.get("history", "1")
    assert exact["text"] == nasty
    shown = (await friends.bob.do("history", "1", json=False)).output
    assert "\x1b" not in shown
    assert "\x07" not in shown
    assert "\u202e" not in shown
    assert "\n2026-01-01" not in shown
    assert "harmless" in shown


async def _emoji(chattor: Resident) -> object:
    async with asyncio.timeout(WAIT):
        while (emoji := (await chattor.get("verify", "1"))[0]["emoji"]) is None:
            pass
    return emoji


async def test_friends_make_sure_of_each_other(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    [hers], [his] = await alice.get("verify", "bob"), await bob.get("verify", "alice")
    assert hers["number"] == his["number"]
    assert [each["verification"] for each in (hers, his)] == ["unverified"] * 2
    shown = (await alice.do("verify", "bob", json=False)).output
    assert hers["number"] == "".join(shown.splitlines()[1].split())

    await alice.get("verify", "bob", "emoji")
    await bob.get("verify", "alice", "emoji")
    assert await _emoji(alice) == await _emoji(bob)
    assert (await alice.get("verify", "bob", "match"))[0]["verification"] == "verified"
    assert (await alice.get("contacts"))[0]["verification"] == "verified"
    assert (await bob.get("verify", "alice", "mismatch"))[0]["verification"] == "mismatch"
    async with asyncio.timeout(WAIT):
        while (await alice.get("contacts"))[0]["verification"] != "mismatch":
            pass
    assert "COMPARISON FAILED" in (await alice.do("contacts", json=False)).output
    assert any("comparing with this friend failed" in each["text"] for each in await alice.get("history", "1"))


async def test_a_session_is_begun_anew_and_both_read_of_it(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    assert await alice.get("resync", "bob") == [{"contact": 1, "name": "Bob"}]
    for person, reason in ((alice, "you asked for it"), (bob, "your friend's side asked for it")):
        async with asyncio.timeout(WAIT):
            while not any(reason in each["text"] for each in await person.get("history", "1")):
                pass
    await alice.get("send", "bob", "--wait", "and on we go")
    assert (await bob.get("history", "1"))[-1]["text"] == "and on we go"


async def test_names_codes_and_requests_are_managed(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    assert await alice.get("rename", "bob", "Bobby") == [{"contact": 1, "name": "Bob", "alias": "Bobby"}]
    await alice.get("send", "bobby", "--wait", "hello")
    assert await alice.get("rename", "1") == [{"contact": 1, "name": "Bob", "alias": ""}]
    assert await alice.get("profile") == [{"name": "Alice", "avatar": False}]
    assert await alice.get("profile", "Alicia") == [{"name": "Alicia", "avatar": False}]
    assert (await alice.do("profile", json=False)).output == "Friends see you as Alicia, without a picture.\n"
    assert (await alice.do("note", "1", json=False)).output == "No note.\n"
    async with asyncio.timeout(WAIT):
        while (await bob.get("contacts"))[0]["name"] != "Alicia":
            pass

    [code] = await alice.get("code", "new")
    assert code["label"] == "code 1"
    drawn = await alice.do("code", "--qr", json=False)
    assert code["code"] in drawn.output
    assert "█" in drawn.output
    await bob.get("add", code["code"])
    request = await friends.alices.saw("request", 2)
    assert await alice.get("ignore", request["request"][:8]) == [{"id": request["request"]}]
    assert [each["ignored"] for each in await alice.get("requests")] == [True]
    assert await alice.get("code", "retire", code["id"][:6]) == [{"id": code["id"], "label": "code 1"}]
    assert [each["label"] for each in await alice.get("code")] == ["for bob"]

    [status] = await alice.get("status")
    assert status == {
        "name": "Alicia",
        "tor": {"ready": True, "summary": "memory"},
        "codes": 1,
        "published": 1,
        "onions": status["onions"],
        "contacts": 1,
        "online": 1,
        "requests": 0,
        "asked": 0,
        "queued": 0,
        "unread": 0,
        "uptime": status["uptime"],
        "trouble": status["trouble"],
    }


async def test_status_says_what_was_dropped(friends: Friends, tmp_path: Path) -> None:
    [code] = await friends.alice.get("code", "new")
    assert "dropped" not in (await friends.alice.get("status"))[0]
    door = FriendCode.parse(code["code"]).door
    transport = MemoryNetwork(tmp_path / "net").transport()
    stream = await transport.dial(door, client_key=None, isolation="stranger", timeout=WAIT)
    await stream.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await stream.read() == b""
    await stream.close()
    [status] = await friends.alice.get("status")
    words = "1 caller at friend codes who broke the rules"
    assert (status["dropped"]["door_refused"], status["dropped"]["words"]) == (1, words)
    assert f"dropped   {words}\n" in (await friends.alice.do("status", json=False)).output


async def test_a_friend_is_blocked_unblocked_and_forgotten(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    sent = await bob.do("send", "1", "--wait", "before", json=False)
    assert sent.output == "#1 is on its way.\n#1 is delivered.\n"
    assert await alice.get("block", "bob") == [{"contact": 1, "name": "Bob"}]
    assert (await alice.get("contacts"))[0]["blocked"]
    assert "blocked" in (await alice.do("contacts", json=False)).output
    refused = await alice.do("send", "bob", "hello")
    assert refused.code == 1
    assert "unblock" in refused.complaint
    assert (await bob.do("send", "1", "--wait", "--timeout", "1", "during")).code == 5
    await alice.get("unblock", "1")
    following = await alice.launch("follow", "--after", "0")
    await following.saw_all(lambda said: said.get("text") == "during", 1)

    assert await whom(Home(alice.home), "bob") == "Bob (contact 1)"
    with pytest.raises(CommandError, match="no such contact"):
        await whom(Home(alice.home), "2")
    assert await alice.get("forget", "1") == [{"contact": 1, "name": "Bob"}]
    assert await alice.get("contacts") == []
    assert (await alice.do("history", "1")).code == 1
    [code] = await alice.get("code", "new", "again")
    await bob.get("add", code["code"])
    request = await friends.alices.saw("request", 2)
    number = str(request["number"])
    assert await alice.get("block", "--request", number) == [{"id": request["request"]}]
    assert [(item["number"], item["blocked"]) for item in await alice.get("requests")] == [(int(number), True)]
    assert await alice.get("unblock", "--request", number) == [{"id": request["request"]}]
    assert [item["blocked"] for item in await alice.get("requests")] == [False]
    assert (await alice.do("requests", json=False)).output.startswith(f"{number}  from Bob through again, ")
    assert (await alice.do("accept", str(int(number) - 1))).code == 1
    await alice.get("accept", number)


async def test_two_friendships_become_one(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    [code] = await bob.get("code", "new", "crossing")
    await alice.get("add", code["code"])
    request = await friends.bobs.saw("request", 1)
    await bob.get("accept", request["request"][:8])
    await friends.alices.saw("friend", 2)
    await bob.get("send", "2", "--wait", "said in the second")
    refused = await alice.do("merge", "1")
    assert (refused.code, "has said nothing" in refused.complaint) == (1, True)
    assert await alice.get("merge", "1", "2") == [{"contact": 1, "name": "Bob"}]
    following = await bob.launch("follow", "--after", "0", "--sent")
    await following.saw_all(lambda said: "wants the two to become one" in said.get("text", ""), 2)
    await bob.get("merge", "2")
    await following.saw_all(lambda said: "has become one with this" in said.get("text", ""), 1)
    [left] = await bob.get("contacts")
    assert "said in the second" in [said["text"] for said in await bob.get("history", str(left["contact"]))]


async def test_a_friendship_is_retired(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    assert (await alice.do("retire")).code == 2
    assert await alice.get("retire", "--all") == [{"contact": 1, "name": "Bob"}]
    following = await bob.launch("follow", "--after", "0")
    await following.saw_all(lambda said: "has ended this friendship" in said.get("text", ""), 1)
    refused = await bob.do("send", "1", "why?")
    assert (refused.code, "new friend code" in refused.complaint) == (1, True)
    assert (await bob.get("contacts"))[0]["retired"]
    assert "ended" in (await alice.do("contacts", json=False)).output
    assert await alice.get("code") == []


async def test_codes_are_bounded_parked_and_rotated(friends: Friends) -> None:
    alice, bob = friends.alice, friends.bob
    [once] = await alice.get("code", "new", "for Carol", "--once", "--expires", "2h")
    assert once["once"]
    assert once["max_uses"] == 1
    assert once["expires"] - once["created"] == 7_200
    assert len(once["code"]) == len("chattor:") + 84
    await bob.get("add", once["code"], "through", "the small door")
    assert (await friends.alices.saw("request", 2))["note"] == "through the small door"
    listed = (await alice.do("code", json=False)).output
    assert "one-time, used up" in listed

    [bounded] = await alice.get("code", "new", "club", "--uses", "5")
    assert (bounded["uses"], bounded["max_uses"]) == (0, 5)
    [parked] = await alice.get("code", "park", "club")
    assert parked["parked"]
    assert "parked" in (await alice.do("code", json=False)).output
    [unparked] = await alice.get("code", "unpark", "club")
    assert not unparked["parked"]
    [rotated] = await alice.get("code", "rotate", "club", "--grace", "0d")
    assert rotated["code"] != bounded["code"]
    assert (rotated["label"], rotated["max_uses"]) == ("club", 5)
    assert [each["id"] for each in await alice.get("code") if each["label"] == "club"] == [rotated["id"]]
    for words in (("--once", "--uses", "2"), ("--expires", "400d"), ("--expires", "soon"), ("--uses", "0")):
        assert (await alice.do("code", "new", "x", *words)).code in (1, 2)
    assert (await alice.do("code", "rotate", "club", "--grace", "8d")).code == 1


async def test_a_long_text_becomes_several_messages_and_loses_nothing(friends: Friends) -> None:
    text = "\n".join(f"line {number}: " + "длинный текст " * 20 for number in range(90))
    assert 40_000 < len(text.encode()) <= 64 * 1024
    sent = await friends.alice.do("send", "1", "--wait", stdin=text)
    assert sent.code == 0
    assert len({each["event_id"] for each in sent.objects}) > 1
    arrived = await friends.bob.get("history", "1")
    assert "".join(each["text"] for each in arrived) == text


@pytest.mark.parametrize(
    ("words", "stdin", "complaint"),
    [
        (("send", "nobody", "hello"), None, "alice contacts"),
        (("send", "1"), "", "nothing to send"),
        (("send", "1"), " \n ", "nothing to send"),
        (("send", "1"), "x" * (64 * 1024 + 1), "64 KiB at most"),
        (("send", "1"), "x" * (256 * 1024 + 1), "longer than 256 KiB"),
        (("send", "1"), b"\xff\xfe", "not UTF-8"),
        (("history", "2"), None, "no such contact"),
        (("add", "chattor:nonsense"), None, "friend code"),
        (("add",), "", "friend code"),
        (("accept", "nobody"), None, "alice requests"),
        (("ignore", "ffff"), None, "no such request"),
        (("code", "retire", "nothing"), None, "no such friend code"),
        (("rename", "1", "x" * 65), None, "alias"),
        (("profile", ""), None, "name"),
        (("profile", "a\nb"), None, "name"),
    ],
)
async def test_what_cannot_be_done_is_refused_in_one_line(
    lasting_friends: Friends, words: tuple[str, ...], stdin: str | bytes | None, complaint: str
) -> None:
    alice = lasting_friends.alice
    outcome = await alice.do(*words, stdin=stdin)
    assert outcome.code == 1, outcome
    assert outcome.output == ""
    assert complaint in outcome.complaint
    assert outcome.complaint.count("\n") == 1
    assert (await alice.get("status"))[0]["queued"] == 0
