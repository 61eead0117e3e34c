"""A mailbox is paired over real tor, as confined as its systemd unit has it, and opens a shelf."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.terminal.exits import Exit
from tests.programs.no_new_code import NOT_HERE
from tests.terminal.resident import JsonObject, Resident, residents

pytestmark = pytest.mark.tor

PATIENCE = 240.0
"""Seconds for what crosses the private Tor network, as in tests/terminal/test_over_tor.py."""

CONFINED = (sys.executable, "-m", "tests.programs.no_new_code")


@pytest.fixture(scope="module")
def within() -> tuple[str, ...]:
    """What stands before every command."""
    tried = subprocess.run([*CONFINED, "/bin/true"], check=False).returncode
    if tried == NOT_HERE:
        pytest.skip("this kernel cannot keep a program from writing code into its memory")
    assert tried == 0
    return CONFINED


async def _has_a_shelf(mailbox: Resident) -> bool:
    now: JsonObject = (await mailbox.get("status"))[0]["mailbox"]
    return now["shelves"] == 1 and now["tor"] is not None and now["tor"]["ready"] is True


async def test_two_commands_over_tor(tor_network: TorNetwork, directory: Path, within: tuple[str, ...]) -> None:
    names = ("Rita", "Sam", "Mailbox")
    async with residents(directory, *names, torrc=tor_network.client_torrc, within=within) as (rita, sam, mailbox):
        headless = await mailbox.launch("run", "--headless")
        await headless.saw("answering")
        ritas, _ = await rita.start(), await sam.start()
        await sam.get("add", (await rita.get("code", "new"))[0]["code"])
        await rita.get("accept", (await ritas.saw("request", timeout=PATIENCE))["request"])

        code = (await mailbox.get("pair"))[0]["code"]
        pairing = await rita.launch("pair", code, "--timeout", str(int(PATIENCE)))
        (paired,) = await pairing.saw_all(lambda step: step.get("state") == "paired", 1, timeout=PATIENCE)
        assert (paired["name"], await pairing.ended()) == ("Mailbox", Exit.DONE)

        # a shelf for Sam, in a tor that was started for it
        async with asyncio.timeout(PATIENCE):
            while not await _has_a_shelf(mailbox):
                pass  # each look is a process of its own
        assert await headless.stop() == Exit.DONE
