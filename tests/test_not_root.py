"""Files that belong to somebody else, met by programs without root's powers: each is named, with what mends it.

The programs keep our user, so that they can read themselves wherever they lie, but none of root's capabilities, which
makes that user one like any other; what they must not touch is given to somebody else.
"""

from __future__ import annotations

import asyncio
import os
import pwd
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from chattor_bridge.cli import Exit
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.terminal.exits import Exit as TerminalExit
from chattor_bridge.terminal.home import Home
from tests.test_app import OFFLINE, WAIT, Configured

ROOT = Path(__file__).parents[1]

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="gives files away, for which one has to be root")

POWERLESS = ("setpriv", "--bounding-set", "-all", "--inh-caps", "-all")


def _run(*words: str) -> tuple[int, str]:
    """Run a module of ours; its exit code and what it wrote on standard error, but for its log."""
    done = subprocess.run(
        [*POWERLESS, sys.executable, "-m", *words],
        cwd=ROOT,
        env=os.environ | OFFLINE,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=WAIT,
        check=False,
    )
    return done.returncode, "\n".join(line for line in done.stderr.splitlines() if " INFO " not in line)


@contextmanager
def _somebody_elses(path: Path) -> Iterator[None]:
    """Given away, and ours again afterwards."""
    os.chown(path, pwd.getpwnam("nobody").pw_uid, -1)
    try:
        yield
    finally:
        os.chown(path, os.geteuid(), -1)


def test_what_the_bridge_may_not_use_is_named(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    bridge = Configured(tmp_path)
    database = tmp_path / "chattor-bridge.db"

    def refused(taken: Path, words: str) -> None:
        with _somebody_elses(taken):
            code, complaint = _run("chattor_bridge.cli", "run", "--config", str(bridge.file))
        assert code == Exit.CANNOT_START
        assert complaint.startswith("chattor-bridge: ")
        assert words in complaint
        assert "\n" not in complaint

    async def make_database() -> None:
        async with open_store(bridge.config.database.url, StoreKey.load(bridge.config.store_key_file)):
            pass

    refused(bridge.file, "config.yaml: cannot be read: Permission denied")
    refused(bridge.config.store_key_file, "store.key cannot be read: Permission denied")
    refused(tmp_path, f"{database} cannot be opened: Permission denied: run this as the user")
    asyncio.run(make_database())
    refused(database, f"{database} cannot be opened: it cannot be written: run this as the user")
    refused(tmp_path, f"{database} cannot be opened: it cannot be written: run this as the user")


def test_what_chattor_may_not_use_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    chattor = ("chattor_bridge.terminal.app", "--home", str(home))
    assert _run(*chattor, "init", "--name", "Alice") == (TerminalExit.DONE, "")

    def refused(taken: Path, command: str, words: str) -> None:
        with _somebody_elses(taken):
            code, complaint = _run(*chattor, command)
        assert code == TerminalExit.CANNOT_START
        assert complaint.startswith("chattor: ")
        assert words in complaint
        assert "\n" not in complaint

    refused(home / "chattor.db", "run", "chattor.db cannot be opened: it cannot be written: run this as the user")
    refused(home / "lock", "run", "lock cannot be used: Permission denied: run this as the user")
    refused(home, "run", "chattor.db cannot be used: Permission denied: run this as the user")
    refused(home, "contacts", "chattor.db cannot be used: Permission denied: run this as the user")


def test_a_home_or_socket_of_somebody_elses_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    chattor = ("chattor_bridge.terminal.app", "--home", str(home))
    home.mkdir()
    with _somebody_elses(home):
        code, complaint = _run(*chattor, "init", "--name", "Alice")
    assert code == TerminalExit.REFUSED
    assert f"cannot use {home}: Operation not permitted: choose another --home" in complaint
    assert _run(*chattor, "init", "--name", "Alice") == (TerminalExit.DONE, "")
    with Home(home).listen(), _somebody_elses(home / "control.sock"):
        code, complaint = _run(*chattor, "contacts")
    assert code == TerminalExit.CANNOT_START
    assert f"{home / 'control.sock'} cannot be used: Permission denied: run this as the user" in complaint
