"""Whoever carries or is carried for is killed while an agreement ends or a shelf is replaced.

The commit boundaries: ``carry-ended`` (the carrier has closed its shelves, by its owner's word or by its friend's),
``carry-left`` (the recipient has said that it ends), ``shelf-asked`` (the recipient wants another shelf),
``shelf-opened`` and ``shelf-answered`` (at the carrier), ``shelves-told`` (the sender is told of it),
``shelf-given-up`` (the recipient has said that the old one is to be closed) and ``shelf-closed`` (the carrier did).
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chattor_bridge.terminal.exits import Exit
from tests.carrying.test_kill import Trio, dies, meet
from tests.carrying.test_programs import until_carry
from tests.terminal.resident import WAIT, Program, Resident, befriend, residents


@pytest.fixture(scope="module")
async def four() -> AsyncIterator[tuple[Trio, Resident]]:
    """With Olga, who is no friend of anybody's yet."""
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))  # short: it holds unix sockets
    async with residents(directory, "Rita", "Carl", "Sam", "Olga") as (rita, carl, sam, olga):
        yield await meet(rita, carl, sam), olga
    shutil.rmtree(directory)


async def _agree_again(trio: Trio, ritas: Program) -> None:
    await trio.rita.get("carry", "ask", "Carl")
    await until_carry(trio.rita, lambda one: one["carries"])
    await asyncio.sleep(1.0)  # Sam has been told, which nothing shows
    await ritas.stop()


async def test_the_carrier_dies_when_its_owner_has_ended_it(four: tuple[Trio, Resident]) -> None:
    """What it holds is handed over all the same, and both know that it is over."""
    trio, _ = four
    await trio.say("ended by the carrier")
    await trio.restart_carl("carry-ended")
    assert (await trio.carl.do("carry", "stop", "Rita")).code == Exit.NOT_RUNNING
    await dies(trio.carls)
    await trio.restart_carl()
    await trio.collect()
    await _is_over(trio)


@pytest.mark.parametrize(("rita", "carl"), [("carry-left", ""), ("", "carry-ended")])
async def test_either_dies_when_the_recipient_has_ended_it(four: tuple[Trio, Resident], rita: str, carl: str) -> None:
    trio, _ = four
    await trio.say(f"ended by the recipient {rita}{carl}")
    await trio.carls.stop()  # so that it holds something when it hears
    ritas = await trio.start(trio.rita, rita)
    outcome = await trio.rita.do("carry", "leave", "Carl")
    assert outcome.code == (Exit.NOT_RUNNING if rita else Exit.DONE)
    if rita:
        await dies(ritas)
    else:
        await ritas.stop()
    if not carl:
        await trio.restart_carl()
    await trio.collect(carl=carl)
    await _is_over(trio)


async def _is_over(trio: Trio) -> None:
    """Nobody carries, also after another start of all; and it can begin anew."""
    ritas, sams = await trio.start(trio.rita), await trio.start(trio.sam)
    assert not any(one["carries"] or one["asked"] for one in await trio.rita.get("carry"))
    async with asyncio.timeout(WAIT):
        while await trio.carl.get("carry"):
            pass  # each look takes a process of its own
    await _agree_again(trio, ritas)
    await sams.stop()


@pytest.mark.parametrize(
    ("rita", "carl"),
    [
        ("forget-committed", ""),
        ("shelf-asked", ""),
        ("", "shelf-opened"),
        ("", "shelf-answered"),
        ("shelves-told", ""),
        ("shelf-given-up", ""),
        ("", "shelf-closed"),
    ],
)
async def test_either_dies_while_a_shelf_is_replaced(four: tuple[Trio, Resident], rita: str, carl: str) -> None:
    """Olga shares the shelf of Sam's, and is forgotten: what Sam says afterwards comes by another, and is all."""
    trio, olga = four
    ritas, sams, olgas = await trio.start(trio.rita), await trio.start(trio.sam), await olga.start()
    await trio.carl.get("carry", "offer", "Rita", "--shelves", "1")
    await befriend(trio.rita, ritas, olga, olgas)
    await asyncio.sleep(1.0)  # Olga has been told, which nothing shows
    await olgas.stop()
    await ritas.stop()
    await trio.restart_carl(carl)
    ritas = await trio.start(trio.rita, rita)
    await trio.rita.do("forget", "Olga")
    async with asyncio.timeout(2 * WAIT):
        while True:
            await asyncio.sleep(1.0)  # Sam is told meanwhile; what is to be closed is looked at when Rita starts
            if carl and trio.carls.process.returncode is not None:
                break
            if await ritas.stop() == -signal.SIGKILL:
                break
            ritas = await trio.rita.launch("run", CHATTOR_FAILPOINT=rita)
    await dies(trio.carls if carl else ritas)
    if carl:
        await ritas.stop()
    await trio.restart_carl()
    ritas = await trio.start(trio.rita)
    async with asyncio.timeout(2 * WAIT):
        while [one["held_on"] for one in await trio.carl.get("carry")] != [1]:
            await ritas.stop()
            ritas = await trio.start(trio.rita)
    assert [one["name"] for one in await trio.rita.get("contacts")] == ["Carl", "Sam"]
    await ritas.stop()
    await sams.stop()
    await trio.say(f"replaced {rita}{carl}")
    await trio.collect()
