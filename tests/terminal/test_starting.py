"""`chattor init` and `chattor run` before anything works: what is made, what is refused, and how it is said."""

from __future__ import annotations

import io
import secrets
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.terminal.app import main
from chattor_bridge.terminal.commands import ask_back
from chattor_bridge.terminal.exits import MEANINGS, CommandError, Exit
from chattor_bridge.terminal.parser import parse
from tests.protocol.sources import onion_key
from tests.terminal.resident import PROGRAM, WAIT, Resident

CODE = FriendCode(onion_key("door")).encode()


@pytest.fixture
def alice(tmp_path: Path) -> Resident:
    return Resident(tmp_path, "Alice")


async def test_init_makes_a_private_home_once(alice: Resident) -> None:
    assert await alice.get("init", "--name", "Alice") == [{"home": str(alice.home), "name": "Alice"}]
    assert stat.S_IMODE(alice.home.stat().st_mode) == 0o700
    for path in alice.home.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path
    before = {path: path.read_bytes() for path in alice.home.iterdir()}
    again = await alice.do("init", "--name", "Eve")
    assert again.code == Exit.REFUSED
    assert "there is an identity in" in again.complaint
    for kept in ("store.key", "config.yaml"):
        assert (alice.home / kept).read_bytes() == before[alice.home / kept]


async def test_init_finishes_what_an_interrupted_one_began(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    with sqlite3.connect(alice.home / "chattor.db") as database:
        database.execute("DELETE FROM nodes")
    database.close()
    interrupted = await alice.launch("run")
    assert await interrupted.ended() == Exit.CANNOT_START
    assert "run it again" in interrupted.complaint
    await alice.get("init", "--name", "Alice")
    daemon = await alice.start()
    assert await alice.get("profile") == [{"name": "Alice", "avatar": False}]
    assert await daemon.stop() == Exit.DONE


@pytest.mark.parametrize("name", ["", "x" * 65, "a\nb", "\x1b[2J"])
async def test_init_refuses_a_name_that_friends_could_not_be_shown(alice: Resident, name: str) -> None:
    outcome = await alice.do("init", "--name", name)
    assert outcome.code == Exit.REFUSED
    assert outcome.complaint.count("\n") == 1
    assert not (alice.home / "chattor.db").exists()


async def test_init_asks_nobody_when_there_is_nobody(alice: Resident) -> None:
    outcome = await alice.do("init")
    assert outcome.code == Exit.REFUSED
    assert "--name is missing" in outcome.complaint


@pytest.mark.parametrize("command", ["run", "contacts", "status", "follow"])
async def test_without_an_identity_every_command_says_how_to_make_one(alice: Resident, command: str) -> None:
    outcome = await alice.do(command, json=False)
    assert outcome.code == Exit.CANNOT_START
    assert outcome.complaint == (
        f"chattor: there is no identity in {alice.home} yet: make one with chattor --home {alice.home} init\n"
    )


async def test_a_home_of_somebody_who_is_not_there_is_refused() -> None:
    nobodys = Resident(Path("~nobody-here"), "Alice")
    outcome = await nobodys.do("status", json=False)
    assert (outcome.code, outcome.complaint) == (
        Exit.REFUSED,
        "chattor: ~nobody-here/alice is nowhere: there is no home directory ~nobody-here\n",
    )


async def test_without_a_daemon_every_command_says_how_to_start_it(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    outcome = await alice.do("contacts", json=False)
    assert outcome.code == Exit.NOT_RUNNING
    assert outcome.complaint == (
        f"chattor: chattor run is not running: start it in another terminal with chattor --home {alice.home} run\n"
    )


async def refused_start(alice: Resident, **variables: str) -> str:
    """`chattor run`, the real one, which must not start; its complaint, one line."""
    outcome = await alice.do("run", json=False, **variables)
    assert outcome.code == Exit.CANNOT_START, outcome
    assert outcome.complaint.count("\n") == 1
    return outcome.complaint


async def test_a_wrong_option_names_its_line(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    config = alice.home / "config.yaml"
    config.write_text("history:\n  keep_days: forever\n", encoding="utf-8")
    assert f"history.keep_days: must be a whole number (line 2 of {config})" in await refused_start(alice)
    config.write_text("histroy: {}\n", encoding="utf-8")
    assert "histroy: no such section" in await refused_start(alice)


async def test_tor_missing_or_old_is_said_with_the_mend(alice: Resident, tmp_path: Path) -> None:
    await alice.get("init", "--name", "Alice")
    missing = await refused_start(alice, CHATTOR_TOR_EXECUTABLE=str(tmp_path / "no-tor"))
    assert "install" in missing
    old = tmp_path / "old-tor"
    old.write_text("#!/bin/sh\necho 'Tor version 0.4.8.10.'\n", encoding="utf-8")
    old.chmod(0o755)
    assert "too old" in await refused_start(alice, CHATTOR_TOR_EXECUTABLE=str(old))


async def test_a_wrong_or_missing_key_file_is_told_apart(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    key = alice.home / "store.key"
    right = key.read_bytes()
    key.write_text(secrets.token_hex(32), encoding="ascii")
    assert "key" in await refused_start(alice)
    key.write_text("nonsense", encoding="ascii")
    assert "is not a store key file" in await refused_start(alice)
    key.unlink()
    assert "there is no store key" in await refused_start(alice)
    key.write_bytes(right)
    key.chmod(0o644)
    assert "chmod 600" in await refused_start(alice)
    key.chmod(0o600)
    assert await (await alice.start()).stop() == Exit.DONE


async def test_a_database_of_a_newer_version_is_refused(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    with sqlite3.connect(alice.home / "chattor.db") as database:
        database.execute("INSERT INTO migrations VALUES (9999, '9999-later.sql', 'x', 0)")
    database.close()
    assert "newer" in await refused_start(alice)


async def test_a_read_only_configuration_is_read(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    config = alice.home / "config.yaml"
    before = config.read_bytes()
    config.chmod(0o400)
    assert await (await alice.start()).stop() == Exit.DONE
    assert config.read_bytes() == before


async def test_old_history_is_forgotten_when_its_owner_wants(alice: Resident) -> None:
    await alice.get("init", "--name", "Alice")
    (alice.home / "config.yaml").write_text("history: {keep_days: 1}\n", encoding="utf-8")
    with sqlite3.connect(alice.home / "chattor.db") as database:
        database.execute(
            "INSERT INTO history (node_id, peer_id, event_id, direction, text, sent_at, stored_at) "
            "SELECT node_id, x'00', x'00', 'in', x'00', 1, 1 FROM nodes"
        )
    database.close()
    daemon = await alice.start()
    await alice.get("status")
    assert await daemon.stop() == Exit.DONE
    assert not (alice.home / "control.sock").exists()
    with sqlite3.connect(alice.home / "chattor.db") as database:
        assert database.execute("SELECT count(*) FROM history").fetchone() == (0,)
    database.close()


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["fly"],
        ["send"],
        ["contacts", "--loud"],
        ["history", "1", "--limit", "0"],
        ["history", "1", "--limit", "many"],
        ["follow", "--after", "-1"],
        ["send", "1", "--wait", "--timeout", "0", "hello"],
        ["contacts", "one", "two"],
        ["place", "1", "90.1", "0"],
        ["place", "1", "0", "-180.1"],
        ["carry", "offer", "1", "--shelves", "17"],
        ["carry", "offer", "1", "--blocks", "0"],
        ["pair", "--timeout", "-1"],
    ],
)
def test_a_wrong_command_line_is_code_2(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == Exit.USAGE
    assert "usage: chattor" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["send", "bob", "hello", "you", "--wait"],
        ["send", "bob", "--wait", "hello", "you"],
        ["send", "--wait", "bob", "hello", "you"],
        ["send", "--wait", "--timeout", "60", "bob", "hello", "you"],
    ],
)
def test_options_may_stand_anywhere(words: list[str]) -> None:
    for line in (["--json", "--home", "/x", *words], [*words[:1], "--json", "--home", "/x", *words[1:]]):
        arguments = parse(line)
        assert (arguments.contact, arguments.text, arguments.wait) == ("bob", ["hello", "you"], True)
        assert (arguments.json, arguments.home) == (True, Path("/x"))


@pytest.mark.parametrize(
    ("action", "rest"),
    [
        *((("file", action), words) for action, words in (("list", []), ("accept", ["a1"]), ("cancel", ["a1"]))),
        *((("file", action), words) for action, words in (("send", ["1", "/x"]), ("save", ["a1"]))),
        *((("carry", action), ["1"]) for action in ("ask", "leave", "offer", "stop")),
        (("carry", "limit"), ["50"]),
        (("code", "new"), ["work"]),
    ],
)
def test_what_every_command_takes_its_actions_take_too(action: tuple[str, str], rest: list[str]) -> None:
    for line in ([*action, "--json", "--home", "/x", *rest], [*action, *rest, "--home", "/x", "--json"]):
        arguments = parse(line)
        assert (arguments.json, arguments.home) == (True, Path("/x"))


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (["send", "1", " "], Exit.REFUSED, "nothing to send"),
        (["send", "1", "x" * (64 * 1024 + 1)], Exit.REFUSED, "64 KiB at most"),
        (["reply", "1", ""], Exit.REFUSED, "nothing to send"),
        (["edit", "1", ""], Exit.REFUSED, "delete takes a message back"),
        (["edit", "1", "é" * 7001], Exit.REFUSED, "14,000 bytes at most"),
        (["react", "1", ""], Exit.REFUSED, "what you put under a message cannot be empty"),
        (["react", "1", "x" * 65], Exit.REFUSED, "it may have 64"),
        (["poll", "1", "", "yes"], Exit.REFUSED, "a question cannot be empty"),
        (["poll", "1", "Tea?", "yes", ""], Exit.REFUSED, "an answer cannot be empty"),
        (["poll", "1", "Tea?", *("abcdefghijklmnopqrstu")], Exit.REFUSED, "20 answers at most"),
        (["poll", "1", "Tea?", "yes", "--choices", "2"], Exit.REFUSED, "as many answers as it has"),
        (["place", "1", "0", "0", "--name", "\a"], Exit.REFUSED, "control characters"),
        (["add", "chattor:nonsense"], Exit.REFUSED, "friend code"),
        (["add", "chattor:nonsense", "--note", "x" * 1001], Exit.REFUSED, "it may have 1000"),
        (["add", CODE, "hello", "--note", "it's me"], Exit.REFUSED, "leave one of them out"),
        (["add", CODE, "x" * 1001], Exit.REFUSED, "it may have 1000"),
        (["pair", "chattor:nonsense"], Exit.REFUSED, "friend code"),
        (["code", "new", "x" * 65], Exit.REFUSED, "the label of a code"),
        (["profile", ""], Exit.REFUSED, "a profile name cannot be empty"),
        (["rename", "1", "  "], Exit.REFUSED, "an alias cannot be empty"),
        (["note", "1", "x" * 4001], Exit.REFUSED, "it may have 4000"),
        (["note", "1", "x", "--remove"], Exit.USAGE, "either written or taken away"),
        (["privacy", "1", "typing"], Exit.USAGE, "on or off"),
        (["retire"], Exit.USAGE, "--all"),
    ],
)
def test_what_cannot_be_done_as_typed_is_said_before_anything_else(
    words: list[str], code: Exit, complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Here is no identity either, which would be said next."""
    assert main(["--home", str(tmp_path), *words]) == code
    said = capsys.readouterr().err
    assert complaint in said
    assert said.count("\n") == 1


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("words", "typed", "goes_on"),
    [
        (["forget", "Bob"], "yes\n", True),
        (["forget", "Bob"], "Yes \n", True),
        (["forget", "Bob"], "y\n", False),
        (["forget", "Bob"], "", False),
        (["retire", "--all"], "no\n", False),
        (["forget", "Bob", "--yes"], "", True),
        (["--json", "forget", "Bob"], "", True),
        (["contacts"], "", True),
    ],
)
def test_a_person_is_asked_back_about_what_has_no_way_back(
    words: list[str], typed: str, goes_on: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin", Terminal(typed))
    if goes_on:
        ask_back(parse(words), str.upper)
    else:
        with pytest.raises(CommandError, match="nothing was changed"):
            ask_back(parse(words), str.upper)
        asked = capsys.readouterr().err
        assert f"This ends the friendship with {'every friend' if '--all' in words else 'BOB'}" in asked
        assert "This cannot be undone" in asked


def test_a_script_is_not_asked_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO())
    ask_back(parse(["forget", "Bob"]), str.upper)


@pytest.mark.parametrize("words", [["send", "1"], ["reply", "1"], ["edit", "1"], ["add"], ["pair", "-"]])
async def test_nobody_is_made_to_write_what_nobody_would_take(alice: Resident, words: list[str]) -> None:
    await alice.get("init", "--name", "Alice")
    outcome = await alice.do(*words, stdin=b"\xff not even read")
    assert outcome.code == Exit.NOT_RUNNING
    assert "chattor run is not running" in outcome.complaint


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (["help"], "first steps:"),
        (["help", "send"], "usage: chattor send"),
        (["help", "code", "new"], "chattor code new"),
    ],
)
def test_help_is_asked_for_in_words_too(words: list[str], shown: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == Exit.DONE
    assert shown in capsys.readouterr().out


def test_who_says_nothing_is_told_of_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([])
    assert caught.value.code == Exit.USAGE
    assert capsys.readouterr().err.endswith("say what to do: chattor help lists the commands\n")


COMMANDS = (
    *("init", "run", "profile", "status", "code", "add", "requests", "accept"),
    *("ignore", "contacts", "rename", "resync", "verify", "send", "history", "follow"),
)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_a_manual_with_its_objects(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == Exit.DONE
    manual = capsys.readouterr().out
    assert "--home DIR" in manual
    assert "with --json:\n" in manual


def test_the_manual_names_every_command_and_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    manual = capsys.readouterr().out
    for command in COMMANDS:
        assert f"\n    {command} " in manual
    for code in Exit:
        assert f"\n  {int(code):<5}{MEANINGS[code]}" in manual


def test_a_command_loads_nothing_of_the_node(tmp_path: Path) -> None:
    words = [sys.executable, "-X", "importtime", "-m", PROGRAM, "--home", str(tmp_path), "status"]
    loaded = subprocess.run(words, capture_output=True, text=True, check=False, timeout=WAIT).stderr
    names = {line.rpartition("|")[2].strip() for line in loaded.splitlines() if line.startswith("import time:")}
    assert "chattor_bridge.terminal.commands" in names
    slow = {"cbor2", "cryptography", "doubleratchet", "nacl", "segno", "chattor_bridge.protocol.events"}
    assert not names & slow
