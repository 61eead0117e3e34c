"""Whoever carries, is carried for or sends is killed between any two steps; see docs/protocol/carriers.md.

The commit boundaries, in the order in which a message meets them: ``block-kept`` (the carrier has it and has not said
so), ``block-left`` (the sender knows), ``blocks-written`` (handed over), ``block-taken`` (the recipient has it and has
not said so), ``block-collected`` (the carrier has deleted it), ``acknowledgement-due`` (the recipient is about to leave
its acknowledgement at a carrier of the sender's). A small file is put into the sender's outbox before
(``file-enclosed``), and put together by the recipient after (``chunk-written``, ``file-arrived``).
"""

from __future__ import annotations

import asyncio
import random
import shutil
import signal
import tempfile
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from chattor_bridge.terminal.exits import Exit
from tests.carrying.test_programs import until_carry
from tests.terminal.resident import WAIT, JsonObject, Program, Resident, befriend, residents, state_of


@dataclass
class Trio:
    """Rita, whose mail Carl holds, and Sam, who writes to her: never online when she is."""

    rita: Resident
    carl: Resident
    sam: Resident
    carls: Program
    told: list[str] = field(default_factory=list)

    async def say(self, name: str, *, sam: str = "", carl: str = "") -> None:
        """Sam says three things while Rita is away, with a death of one of the two at a failpoint."""
        sams = await self.start(self.sam, sam)
        if carl:
            await self.restart_carl(carl)
        texts = [f"{name} {number}" for number in range(3)]
        for text in texts:
            outcome = await self.sam.do("send", "Rita", text)
            if outcome.code == Exit.NOT_RUNNING:
                await dies(sams)
                sams, sam = await self.start(self.sam), ""
                if text not in await self._texts(self.sam, "Rita", sent=True):
                    await self.sam.get("send", "Rita", text)
        if sam:
            await dies(sams)
            sams = await self.start(self.sam)
        if carl:
            await dies(self.carls)
            await self.restart_carl()
        await until_carry(self.carl, lambda one: one["held"] > 0)
        await _quiet(self.carl)
        await sams.stop()
        self.told += texts

    async def collect(self, *, rita: str = "", carl: str = "") -> None:
        """Rita comes back, and has everything once and in order in the end."""
        if carl:
            await self.restart_carl(carl)
        ritas = await self.start(self.rita, rita)
        if rita:
            await dies(ritas)
            ritas = await self.start(self.rita)
        if carl:
            await dies(self.carls)
            await self.restart_carl()
        async with asyncio.timeout(WAIT):
            while await _held(self.carl):
                pass
            while len(heard := await self._texts(self.rita, "Sam", sent=False)) < len(self.told):
                pass  # each look takes a process of its own
        assert heard == self.told
        await ritas.stop()

    async def give(self, picture: Path, *, sam: str = "", carl: str = "") -> None:
        """Sam sends a picture while Rita is away, with a death of one of the two."""
        sams = await self.start(self.sam, sam)
        if carl:
            await self.restart_carl(carl)
        picture.write_bytes(random.Random(picture.name).randbytes(100_000))  # noqa: ASYNC240
        await self.sam.get("file", "send", "Rita", str(picture))
        if sam:
            await dies(sams)
            sams = await self.start(self.sam)
        if carl:
            await dies(self.carls)
            await self.restart_carl()
        await _until_file(self.sam, picture.name, lambda file: file["carried"])
        await sams.stop()

    async def take(self, picture: Path, *, rita: str = "", carl: str = "") -> None:
        """Rita comes back, and has the picture, once."""
        if carl:
            await self.restart_carl(carl)
        ritas = await self.start(self.rita, rita)
        if rita:
            await dies(ritas)
            ritas = await self.start(self.rita)
        if carl:
            await dies(self.carls)
            await self.restart_carl()
        await _until_file(self.rita, picture.name, lambda file: file["state"] == "arrived")
        await until_carry(self.carl, lambda one: one["held"] == 0)
        saved = picture.parent / "saved"
        saved.mkdir()
        await self.rita.get("file", "save", picture.name, str(saved))
        assert (saved / picture.name).read_bytes() == picture.read_bytes()  # noqa: ASYNC240
        history = await self.rita.get("history", "Sam", "--limit", "100", "--no-receipts")
        assert [one["file"]["file_name"] for one in history if one["kind"] == "file"].count(picture.name) == 1
        await ritas.stop()

    async def restart_carl(self, failpoint: str = "") -> None:
        await self.carls.stop()
        self.carls = await self.start(self.carl, failpoint)

    async def start(self, who: Resident, failpoint: str = "") -> Program:
        words = ("run", "--headless") if who is self.carl else ("run",)
        program = await who.launch(*words, CHATTOR_FAILPOINT=failpoint)
        await program.saw("answering")
        return program

    async def _texts(self, who: Resident, friend: str, *, sent: bool) -> list[str]:
        history = await who.get("history", friend, "--limit", "100", "--no-receipts")
        return [one["text"] for one in history if one["sent"] is sent]


async def dies(program: Program) -> None:
    assert await program.ended() == -signal.SIGKILL


async def _until_file(who: Resident, name: str, holds: Callable[[JsonObject], bool]) -> None:
    async with asyncio.timeout(WAIT):
        while not any(one["file_name"] == name and holds(one) for one in await who.get("file", "list")):
            pass  # each look takes a process of its own


async def _quiet(carl: Resident) -> None:
    """Wait until nothing more is left with Carl: what Sam has said may take more than one block."""
    held, before = await _held(carl), -1
    while held != before:
        await asyncio.sleep(1.0)  # longer than the gathering of a sender in a hurry
        held, before = await _held(carl), held


async def _held(carl: Resident) -> int:
    return sum(int(one["held"]) for one in await carl.get("carry"))


async def meet(rita: Resident, carl: Resident, sam: Resident) -> Trio:
    """They know each other, and Carl holds Rita's mail; the other two are away."""
    ritas, sams = await rita.start(), await sam.start()
    carls = await carl.launch("run", "--headless")
    await carls.saw("answering")
    code = (await carl.get("code", "new", "--once"))[0]["code"]
    await rita.get("add", stdin=f"{code}\n")
    await ritas.saw("friend")
    await befriend(rita, ritas, sam, sams)
    await rita.get("carry", "ask", "Carl")
    await until_carry(rita, lambda one: one["carries"])
    await asyncio.sleep(1.0)  # Sam has been told, which nothing shows
    await ritas.stop()
    await sams.stop()
    return Trio(rita, carl, sam, carls)


@pytest.fixture(scope="module")
async def trio() -> AsyncIterator[Trio]:
    directory = Path(tempfile.mkdtemp(prefix="chattor-"))  # short: it holds unix sockets
    async with residents(directory, "Rita", "Carl", "Sam") as (rita, carl, sam):
        yield await meet(rita, carl, sam)
    shutil.rmtree(directory)


async def test_the_sender_dies_when_its_carrier_has_it(trio: Trio) -> None:
    await trio.say("left", sam="block-left")
    await trio.collect()


async def test_the_carrier_dies_before_it_says_that_it_has_it(trio: Trio) -> None:
    await trio.say("kept", carl="block-kept")
    await trio.collect()


@pytest.mark.parametrize("failpoint", ["blocks-written", "block-collected"])
async def test_the_carrier_dies_while_it_hands_over(trio: Trio, failpoint: str) -> None:
    await trio.say(failpoint)
    await trio.collect(carl=failpoint)


async def test_the_recipient_dies_before_it_says_that_it_has_it(trio: Trio) -> None:
    await trio.say("taken")
    await trio.collect(rita="block-taken")


@pytest.mark.parametrize("failpoint", ["file-enclosed", "block-left:2"])
async def test_the_sender_of_a_picturedies(trio: Trio, tmp_path: Path, failpoint: str) -> None:
    picture = tmp_path / f"{failpoint.replace(':', '-')}.png"
    await trio.give(picture, sam=failpoint)
    await trio.take(picture)


async def test_the_carrier_of_a_picturedies(trio: Trio, tmp_path: Path) -> None:
    picture = tmp_path / "carried.png"
    await trio.give(picture, carl="block-kept:2")
    await trio.take(picture, carl="block-collected:3")


@pytest.mark.parametrize("failpoint", ["block-taken:4", "chunk-written", "file-arrived"])
async def test_the_recipient_of_a_picturedies(trio: Trio, tmp_path: Path, failpoint: str) -> None:
    picture = tmp_path / f"{failpoint.replace(':', '-')}.png"
    await trio.give(picture)
    await trio.take(picture, rita=failpoint)


async def test_the_recipient_dies_before_it_has_acknowledged(trio: Trio) -> None:
    """Carl carries for Sam too: what Rita has collected is acknowledged there, with Sam away."""
    sams = await trio.start(trio.sam)
    code = (await trio.carl.get("code", "new", "--once"))[0]["code"]
    await trio.sam.get("add", stdin=f"{code}\n")
    await sams.saw("friend")
    await trio.sam.get("carry", "ask", "Carl")
    await until_carry(trio.sam, lambda one: one["carries"])
    ritas = await trio.start(trio.rita)
    await trio.sam.get("send", "Rita", "--wait", "Carl carries for me too")
    await asyncio.sleep(1.0)  # Rita has been told where, which nothing shows
    await ritas.stop()
    await sams.stop()
    await trio.say("owed")
    ritas = await trio.start(trio.rita, "acknowledgement-due")
    await dies(ritas)
    await until_carry(trio.carl, lambda one: one["held"] == 0)
    ritas = await trio.start(trio.rita)
    await until_carry(trio.carl, lambda one: one["held"] > 0)
    await ritas.stop()
    await trio.start(trio.sam)
    said = await trio.sam.get("history", "Rita", "--no-receipts")
    await state_of(trio.sam, said[-1]["event_id"], "delivered")
