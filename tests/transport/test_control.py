"""The control connection, to a tor that keeps us waiting."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any, cast

import pytest

from chattor_bridge.errors import TorUnavailable
from chattor_bridge.transport.tor import control as control_module
from chattor_bridge.transport.tor.control import Control, ControlAbsent, ControlRefused

WAIT = 10.0
"""Seconds that any one thing may take on a busy machine; each takes well under one."""


class Slow:
    """Stands for stem's controller: answers nothing until it may."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.may_answer = threading.Event()

    def msg(self, line: str) -> Slow:
        self.asked.append(line)
        assert self.may_answer.wait(WAIT)
        return self

    def content(self) -> list[tuple[str, str, str]]:
        return [("250", " ", "OK")]

    def close(self) -> None:
        self.may_answer.set()


async def test_commands_are_sent_in_the_order_in_which_they_were_given_also_when_nobody_waits_any_more() -> None:
    slow = Slow()
    control = Control(cast("Any", slow))
    first, second, third = (asyncio.create_task(control.command(line)) for line in ("one", "two", "three"))
    await asyncio.sleep(0)
    first.cancel()
    second.cancel()
    await asyncio.wait({first, second}, timeout=WAIT)
    slow.may_answer.set()
    assert await asyncio.wait_for(third, WAIT) == ["OK"]
    assert slow.asked == ["one", "two", "three"]
    await control.close()
    with pytest.raises(TorUnavailable, match="is lost"):
        await control.command("four")


async def test_one_that_accepts_a_connection_and_says_nothing_is_no_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_module, "COMMAND_TIMEOUT", 0.2)
    with pytest.raises(ControlAbsent):
        await Control.connect(tmp_path / "control", lambda action, address: None)

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    async with await asyncio.start_unix_server(hold, tmp_path / "control"):
        with pytest.raises(TorUnavailable, match="does not answer") as silence:
            await asyncio.wait_for(Control.connect(tmp_path / "control", lambda action, address: None), WAIT)
    assert not isinstance(silence.value, ControlAbsent | ControlRefused)
