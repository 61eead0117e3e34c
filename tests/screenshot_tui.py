"""A picture of a conversation in `chattor tui`: ``python -m tests.screenshot_tui FILE.png``.

Two people talk over the memory network, each with a daemon of their own; one of the two screens is drawn. It needs
``apt install librsvg2-bin fonts-dejavu-core``.
"""

from __future__ import annotations

import argparse
import asyncio
import re
import shutil
import sys
import tempfile
from pathlib import Path

from PIL import Image

from tests.terminal.resident import Resident, befriend, residents
from tests.terminal.tui.spectator import Spectator, watched

SIZE = (92, 30)
"""Columns and lines."""

FONT = "DejaVu Sans Mono"

WIDTH = 1_000
"""Pixels."""

COLOURS = 256
"""In the picture, which makes it a small file."""


async def _befriend(directory: Path, alice: Resident, *others: Resident) -> None:
    alices = await alice.start()
    for number, other in enumerate(others, 1):
        theirs = await other.start()
        if number == 1:
            await befriend(alice, alices, other, theirs)
            continue
        [code] = await alice.get("code", "new", other.name)
        await other.get("add", stdin=f"{code['code']}\n")
        await alice.get("accept", (await alices.saw("request", number))["request"])
        await theirs.saw("friend")


async def _talk(alice: Spectator, bob: Spectator, directory: Path) -> None:
    """What is in the picture."""
    photo = directory / "lighthouse.jpg"
    photo.write_bytes(b"\xff\xd8" + bytes(1_400_000))
    await bob.write(
        "Hello **Alice**! The *whole* way through Tor, and no server in between:\n\n- no account\n- no address"
    )
    await bob.press("enter")
    await alice.sees("no address")
    await alice.press("escape", "r")
    await alice.write("And from `chattor tui`, with all my heart")
    await alice.press("enter")
    await bob.sees("with all my heart")
    await bob.press("escape", "+")
    await bob.sees("React")
    await bob.press("2", "enter")
    await alice.sees("+ ❤️ Bob")
    await bob.app.desk.send_file(1, str(photo), "From the island, yesterday")
    await alice.sees("lighthouse.jpg")
    await bob.app.desk.poll(1, "When do we meet?", ["Friday", "Saturday"], 1, hidden=False)
    await alice.sees("When do we meet?")
    await alice.press("escape", "2")
    await alice.sees("☑ Saturday")
    await bob.app.desk.vote((await bob.app.desk.last(1, 1))[0], [1])
    await alice.sees("2: you, Bob")
    await alice.press("enter")
    await alice.write("See you there")


async def make(file: Path) -> None:
    """Write the picture."""
    with tempfile.TemporaryDirectory() as place:
        directory = Path(place)
        async with residents(directory, "Alice", "Bob", "Carol", "Dora") as (alice, bob, carol, dora):
            await _befriend(directory, alice, bob, carol, dora)
            await carol.get("send", "1", "--wait", "Did you get my letter?")
            await dora.get("privacy", "all", "presence", "on")
            async with watched(bob, SIZE) as his:
                await his.sees("Alice  ● online")
                await bob.get("send", "1", "--wait", "Are you there?")
                async with watched(alice, SIZE) as hers:
                    await hers.sees("Are you there?")
                    await _talk(hers, his, directory)
                    picture = hers.app.export_screenshot(title="chattor tui")
        # drawn from fonts that are here, and without the spaces of a line falling together
        picture = re.sub(r"@font-face \{.*?\}", "", picture, flags=re.DOTALL).replace("Fira Code", FONT)
        drawing = directory / "picture.svg"
        drawing.write_text(picture.replace("<svg ", '<svg xml:space="preserve" ', 1), encoding="utf-8")
        process = await asyncio.create_subprocess_exec(
            "rsvg-convert", "--width", str(WIDTH), "--output", str(file), str(drawing)
        )
        if await process.wait() != 0:
            sys.exit("rsvg-convert failed")
        with Image.open(file) as drawn:
            drawn.convert("RGB").quantize(COLOURS).save(file, optimize=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    if shutil.which("rsvg-convert") is None:
        sys.exit("rsvg-convert is missing: apt install librsvg2-bin fonts-dejavu-core")
    asyncio.run(make(parser.parse_args().file.absolute()))
