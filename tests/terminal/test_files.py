"""Files in a terminal: names from friends, saving, and the commands from one person to another."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import FileChanged, UsageError
from chattor_bridge.ids import NodeId
from chattor_bridge.terminal.file_commands import Progress
from chattor_bridge.terminal.output import Output
from chattor_bridge.terminal.paths import MAX_NAME_BYTES, PathSources, safe_name, save
from tests.terminal.resident import befriend, residents

HERE = NodeId(b"n" * 16)


@pytest.mark.parametrize(
    ("name", "safe"),
    [
        ("song.ogg", "song.ogg"),
        ("Übersicht 2026.pdf", "Übersicht 2026.pdf"),
        ("../../x", "_.._x"),
        ("/etc/passwd", "_etc_passwd"),
        ("..", "file"),
        (".", "file"),
        (".bashrc", "bashrc"),
        ("-rf", "rf"),
        ("~", "file"),
        ("a\\b", "a_b"),
        ("photo\u202egpj.exe", "photo_gpj.exe"),
        ("a\x00b\nc", "a_b_c"),
        ("", "file"),
        ("trailing. . ", "trailing"),
    ],
)
def test_a_name_is_made_harmless(name: str, safe: str) -> None:
    assert safe_name(name) == safe


@given(st.text(max_size=300))
def test_whatever_the_name_it_is_one_component(name: str) -> None:
    safe = safe_name(name)
    assert safe
    assert "/" not in safe
    assert "\0" not in safe
    assert safe not in (".", "..")
    assert not safe.startswith((".", "-"))
    assert len(safe.encode()) <= MAX_NAME_BYTES


def test_a_long_name_keeps_its_ending() -> None:
    assert safe_name("é" * 300 + ".jpeg").endswith("é.jpeg")
    assert len(safe_name("x" * 300).encode()) == MAX_NAME_BYTES


async def _pieces(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def test_nothing_is_overwritten_and_nothing_leaves_the_directory(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    inside = tmp_path / "inside"
    inside.mkdir()
    outside.write_bytes(b"precious")
    (inside / "link.txt").symlink_to(outside)
    saved = [await save(inside, name, _pieces(b"one", b"two")) for name in ("../outside", "link.txt", "a.txt", "a.txt")]
    assert [path.relative_to(inside).as_posix() for path in saved] == [
        "_outside",
        "link (2).txt",
        "a.txt",
        "a (2).txt",
    ]
    assert all(path.read_bytes() == b"onetwo" and path.stat().st_mode & 0o777 == 0o600 for path in saved)
    assert outside.read_bytes() == b"precious"
    names = sorted(path.name for path in inside.iterdir())
    assert names == [
        "_outside",
        "a (2).txt",
        "a.txt",
        "link (2).txt",
        "link.txt",
    ]


async def test_what_cannot_be_finished_leaves_nothing(tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"half"
        raise RuntimeError

    with pytest.raises(RuntimeError):
        await save(tmp_path, "half.txt", broken())
    assert not any(tmp_path.iterdir())  # noqa: ASYNC240
    with pytest.raises(UsageError, match="cannot save into"):
        await save(tmp_path / "nowhere", "x", _pieces(b""))


async def test_only_a_file_can_be_sent(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing"):
        with pytest.raises(FileChanged):
            await PathSources().open(HERE, str(path))


async def test_a_file_from_one_person_to_another(tmp_path: Path) -> None:
    data = hashlib.shake_256(b"song").digest(3_000_000)
    song = tmp_path / "a song.ogg"
    song.write_bytes(data)
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        for resident in (alice, bob):
            config = resident.home / "config.yaml"
            config.write_text(config.read_text().replace("auto_accept: 10", "auto_accept: 1"))
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        [offered] = await bob.get("file", "send", "1", str(song), "--caption", "listen!", "--voice")
        assert (offered["state"], offered["file_name"], offered["size"]) == ("offered", "a song.ogg", len(data))
        while not (listed := await alice.get("file", "list")):
            pass
        assert (listed[0]["state"], listed[0]["mime"], listed[0]["sent"]) == ("offered", "audio/ogg", False)
        [said] = [message for message in await alice.get("history", "1") if message["kind"] == "file"]
        assert (said["text"], said["file"]["file_name"], said["file"]["state"]) == ("listen!", "a song.ogg", "offered")
        assert said["file"]["kind"] == "voice"
        shown = await alice.do("history", "1", json=False)
        assert "a song.ogg, 3.0 MB, offered] listen!" in shown.output
        [mine] = [message for message in await bob.get("history", "1") if message["kind"] == "file"]
        changed = ("edit", str(mine["order"]))
        for words, text in ((["louder!"], "louder!"), (["--remove"], "")):
            await bob.get(*changed, *words)
            while (await alice.get("history", "1"))[-1]["text"] != text:
                pass
        refused = await bob.do(*changed, "--remove", "louder!")
        assert (refused.code, "either changed or taken away" in refused.complaint) == (2, True)
        target = tmp_path / "saved"
        target.mkdir()
        (target / "a song.ogg").write_bytes(b"another")
        *progress, saved = await alice.get("file", "save", offered["file"][:8], str(target))
        assert saved["saved"] == str(target / "a song (2).ogg")
        assert (target / "a song (2).ogg").read_bytes() == data
        assert [one["done"] for one in progress] == sorted(one["done"] for one in progress)
        await alices.saw_all(lambda said: said.get("state") == "arrived", 1)
        assert (await alice.get("file", "list"))[0]["state"] == "done"
        again = await alice.do("file", "save", "a song.ogg", str(target))
        assert again.code == 1
        assert "saved already" in again.complaint
        assert "fetched already" in (await alice.do("file", "accept", "a song.ogg")).complaint
        while (await bob.get("file", "list"))[0]["state"] != "done":
            pass
        assert not list((alice.home / "files").glob("*"))


async def test_a_small_file_comes_unasked_and_another_is_cancelled(tmp_path: Path) -> None:
    small, large = tmp_path / "small.txt", tmp_path / "large.bin"
    small.write_bytes(b"hello")
    large.write_bytes(bytes(11 * 1_048_576))
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices, bobs = await alice.start(), await bob.start()
        await befriend(alice, alices, bob, bobs)
        *_, sent = await bob.get("file", "send", "1", str(small), "--wait")
        assert sent["state"] == "done"
        [offered] = await bob.get("file", "send", "1", str(large))
        while len(await alice.get("file", "list")) < 2:
            pass
        await alice.get("file", "cancel", "large.bin")
        failed = await bobs.saw("reason")
        assert (failed["file"], failed["reason"]) == (offered["file"], "was declined")
        [message] = [one for one in await bob.get("history", "1") if one.get("reason")]
        assert message["reason"] == "the file was declined"
        refused = await bob.do("file", "send", "1", str(tmp_path))
        assert (refused.code, "no regular file" in refused.complaint) == (1, True)


class _Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_how_far_a_file_is_is_drawn_over_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = _Screen()
    monkeypatch.setattr("sys.stdout", screen)
    monkeypatch.setattr("time.monotonic", iter(range(100)).__next__)
    progress = Progress(Output(as_json=False))
    item = {"state": "accepted", "size": 4_000_000, "done": 0, "streams": 0}
    progress.show(item)
    for done in (1_000_000, 2_000_000, 4_000_000):
        progress.show(item | {"done": done, "streams": 2})
    progress.end()
    drawn = screen.getvalue().split("\r")
    assert [line.rstrip() for line in drawn[1:]] == [
        "[........................]   0 %  waiting for your friend",
        "[######..................]  25 %",
        "[############............]  50 %  1.0 MB/s",
        "[########################] 100 %  1.5 MB/s",
    ]
    assert len(drawn[2]) == len(drawn[1])  # nothing of a longer line is left over
