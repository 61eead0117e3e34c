"""Holding mail, as its users see it: a mailbox of one's own, and `carry`."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Callable
from pathlib import Path

from tests.terminal.resident import WAIT, JsonObject, Resident, befriend, residents, state_of


async def until_carry(who: Resident, holds: Callable[[JsonObject], bool]) -> None:
    """Wait until one of its agreements is like that."""
    async with asyncio.timeout(WAIT):
        while not any(map(holds, await who.get("carry"))):
            pass  # each is a process of its own


async def test_a_mailbox_is_paired_and_keeps_the_mail(directory: Path) -> None:
    async with residents(directory, "Rita", "Mailbox", "Sam") as (rita, mailbox, sam):
        headless = await mailbox.launch("run", "--headless")
        await headless.saw("answering")
        ritas, sams = await rita.start(), await sam.start()
        code = (await mailbox.get("pair"))[0]["code"]
        steps = await rita.get("pair", code)
        assert (steps[-1]["state"], steps[-1]["name"]) == ("paired", "Mailbox")
        await befriend(rita, ritas, sam, sams)
        await until_carry(mailbox, lambda one: one["carried"])
        await ritas.stop()
        [sent] = await sam.get("send", "Rita", "while you were away")
        await until_carry(mailbox, lambda one: one["held"] == 1)
        assert (await state_of(sam, sent["event_id"], "carried"))["carriers"] == 1
        assert "you to Rita [carried by 1]: while" in (await sam.do("history", "Rita", json=False)).output
        await sams.stop()
        await headless.stop(signal.SIGKILL)
        await (await mailbox.launch("run", "--headless")).saw("answering")
        ritas = await rita.start()
        follow = await rita.launch("follow")
        await follow.saw_all(lambda said: said.get("text") == "while you were away", 1)
        await until_carry(mailbox, lambda one: one["held"] == 0)
        await sam.start()
        assert "carriers" not in await state_of(sam, sent["event_id"], "read")


async def test_a_picture_goes_by_a_carrier_between_programs(directory: Path) -> None:
    picture = directory / "picture.png"
    picture.write_bytes(random.Random("picture").randbytes(100_000))
    async with residents(directory, "Rita", "Carl", "Sam") as (rita, carl, sam):
        await (await carl.launch("run", "--headless")).saw("answering")
        ritas, sams = await rita.start(), await sam.start()
        await rita.get("pair", (await carl.get("pair"))[0]["code"])
        await befriend(rita, ritas, sam, sams)
        await ritas.stop()
        await sam.get("file", "send", "Rita", str(picture), "--caption", "look!")
        async with asyncio.timeout(WAIT):
            while not (await sam.get("file", "list"))[0]["carried"]:
                pass
        assert "carried (friends hold it and hand it over)" in (await sam.do("file", "list", json=False)).output
        await sams.stop()
        ritas = await rita.start()
        await ritas.saw_all(lambda said: said.get("state") == "arrived", 1)
        await rita.get("file", "save", "picture.png", str(directory / "carl"))
        assert (directory / "carl" / "picture.png").read_bytes() == picture.read_bytes()
        sams = await sam.start()
        async with asyncio.timeout(WAIT):
            while (await sam.get("file", "list"))[0]["state"] != "done":
                pass


async def test_what_the_command_says(directory: Path) -> None:
    async with residents(directory, "Rita", "Sam") as (rita, sam):
        ritas, sams = await rita.start(), await sam.start()
        assert "Nobody holds your mail" in (await rita.do("carry", json=False)).output
        await befriend(rita, ritas, sam, sams)
        refused = await rita.do("carry", "stop", "Sam", json=False)
        assert (refused.code, "do not carry" in refused.complaint) == (1, True)
        refused = await sam.do("carry", "offer", "Rita", "--shelves", "0")
        assert (refused.code, "from 1 to 16" in refused.complaint) == (2, True)
        await sam.get("carry", "offer", "Rita", "--shelves", "2", "--blocks", "3")
        await until_carry(rita, lambda one: one["offered"] and not one["asked"])
        assert (await rita.do("carry", json=False)).output == "1 Sam is willing to hold your mail\n"
        await rita.get("carry", "ask", "Sam")
        await until_carry(rita, lambda one: one["carries"])
        said = "0 blocks on 0 shelves now, 0.0 MB, of up to 2 shelves of 3 blocks, 0.1 MB"
        in_all = "You hold 0.0 MB of mail in all, of 201.0 MB at most."
        assert (await sam.do("carry", json=False)).output == f"1 Rita has its mail held by you: {said}\n{in_all}\n"
        [limit] = await sam.get("carry", "limit", "50")
        assert limit == {"held": 0, "limit": 3051, "most": 12268, "words": in_all.replace("201", "50")}
        complaint = (await sam.do("carry", "limit", "202")).complaint
        assert "may hold 201 MB at most; the file of its configuration says so, at carrying.in_all" in complaint
        assert await sam.get("carry", "limit") == [limit]
        assert (await sam.get("carry", "limit", "most"))[0]["limit"] == 12268
        await rita.get("carry", "leave", "Sam")
        await until_carry(rita, lambda one: not one["carries"] and one["offered"])
