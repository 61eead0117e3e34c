"""A picture of a conversation in nheko, a Matrix client that draws a shield beside everything that is encrypted:
``python -m tests.screenshot FILE``, or with ``--rich`` of one in which more is said than words.

Alice sits at nheko on a display that nobody sees, before a real Synapse and the bridge; her friend is across the
memory network. What she says is typed into nheko, and what is in the picture was read by it. It needs
``apt install nheko xvfb xdotool imagemagick``.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import sys
import tempfile
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from chattor_bridge.errors import Unusable
from chattor_bridge.ids import EventId, MatrixUserId, PeerId
from chattor_bridge.ops.person import JsonObject
from chattor_bridge.ops.synapse import ensure_synapse
from chattor_bridge.protocol.events import Body, Edit, Reaction, Text
from tests.bridge.test_road_synapse import Road, accepted, road_to
from tests.bridge.town import FRIEND_NAME
from tests.nio_person import NioPerson
from tests.peer import Peer
from tests.synapse import ENVIRONMENT, WAIT, Homestead, Somebody, prepare

PROGRAMS = ("nheko", "Xvfb", "xdotool", "import")

WIDTH, HEIGHT = 960, 640
"""Pixels of the display, which nheko fills."""

OK_OF_SETUP = (WIDTH - 152, HEIGHT - 39)
OK_OF_RECOVERY_KEY = (WIDTH - 55, HEIGHT // 2 + 34)
"""Where nheko 0.11 has what is clicked."""

PAUSE = 2.0
"""Seconds for nheko to draw what it was told, of which it tells nobody."""

COLOURS = 256
"""In the picture, which makes it a small file."""

Deed = Callable[[Peer, PeerId], Awaitable[None]]
"""Something that the friend does besides saying words."""


async def _answer(friend: Peer, peer_id: PeerId) -> None:
    last = friend.ears.arrived()[-1].event_id
    await _tell(friend, peer_id, Text("A reply shows **what** it answers"), reply=last)


async def _react(friend: Peer, peer_id: PeerId) -> None:
    for emoji in ("🧅", "👍"):
        await _tell(friend, peer_id, Reaction(friend.ears.arrived()[-1].event_id, emoji))


async def _correct(friend: Peer, peer_id: PeerId) -> None:
    said = await _tell(friend, peer_id, Text("What I tpye wrong"))
    await _tell(friend, peer_id, Edit(said, "What I typed wrong, I correct"))


async def _wave(friend: Peer, peer_id: PeerId) -> None:
    await _tell(friend, peer_id, Text("waves from the other side of Tor", "emote"))


async def _tell(friend: Peer, peer_id: PeerId, body: Body, *, reply: EventId | None = None) -> EventId:
    async with friend.store.transaction() as tx:
        return await friend.node.send(tx, peer_id, body, reply=reply)


RICH: tuple[tuple[str, str | Deed], ...] = (
    (FRIEND_NAME, "**Bold**, *slanted*, `code`, [links](https://example.org), and\n\n> what somebody said"),
    ("Alice", "And answers, too?"),
    (FRIEND_NAME, _answer),
    ("Alice", "And what about reactions?"),
    (FRIEND_NAME, _react),
    (FRIEND_NAME, _correct),
    (FRIEND_NAME, _wave),
)

CONVERSATION: tuple[tuple[str, str | Deed], ...] = (
    (FRIEND_NAME, "Hello **Alice**! I am in a terminal, with no Matrix at all 🧅"),
    ("Alice", "And I am in nheko. Can you read this?"),
    (FRIEND_NAME, "Every word:\n\n- encrypted from your client to the bridge\n- and from there to me, through *Tor*"),
    ("Alice", "There is a shield beside every message, and none is red"),
    (FRIEND_NAME, "Then nheko knows whose keys they are 🔐"),
)


async def _run(*command: str, environment: dict[str, str]) -> None:
    process = await asyncio.create_subprocess_exec(*command, env=os.environ | environment, stdout=DEVNULL)
    if await process.wait() != 0:
        raise Unusable(f"{' '.join(command[:2])} failed")


async def _until(condition: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(WAIT):
        while not await condition():  # noqa: ASYNC110 - what is waited for is on the other side of HTTP
            await asyncio.sleep(0.2)


class Nheko:
    """A nheko of somebody's own, looked at and typed into."""

    def __init__(self, environment: dict[str, str]) -> None:
        self._environment = environment

    async def fill(self) -> None:
        """Make it as large as its display, and let it have the keyboard."""
        window = ("search", "--sync", "--onlyvisible", "--name", "nheko")
        size = ("windowmove", "0", "0", "windowsize", str(WIDTH), str(HEIGHT))
        await self._xdotool(*window, *size, "windowfocus")
        await asyncio.sleep(PAUSE)

    async def click(self, place: tuple[int, int]) -> None:
        across, down = place
        await self._xdotool("mousemove", str(across), str(down), "click", "1")
        await asyncio.sleep(PAUSE)

    async def open(self, room: str) -> None:
        """Go to the room of this name."""
        for keys in (("key", "ctrl+k"), ("type", room), ("key", "Return")):
            await self._xdotool(*keys)
            await asyncio.sleep(PAUSE)

    async def say(self, text: str) -> None:
        """In the room that is open."""
        await self._xdotool("type", "--delay", "20", text)
        await self._xdotool("key", "Return")

    async def picture(self, file: Path) -> None:
        """Of all of it, as a PNG."""
        await self._xdotool("mousemove", "0", str(HEIGHT - 1))  # what it rests on looks otherwise
        await asyncio.sleep(PAUSE)
        await _run(
            "import",
            "-window",
            "root",
            "+dither",
            "-colors",
            str(COLOURS),
            f"png8:{file}",
            environment=self._environment,
        )

    async def _xdotool(self, *command: str) -> None:
        await _run("xdotool", *command, environment=self._environment)


@asynccontextmanager
async def nheko(somebody: Somebody, directory: Path) -> AsyncIterator[Nheko]:
    """nheko as a new device of somebody, cross-signed, with everything of it in ``directory``."""
    identifier = {"type": "m.id.user", "user": somebody.user_id}
    device = await somebody.ask(
        "POST",
        "/login",
        {"type": "m.login.password", "identifier": identifier, "password": somebody.password},
    )
    file = directory / ".config" / "nheko" / "nheko.conf"
    await asyncio.to_thread(file.parent.mkdir, parents=True)
    await asyncio.to_thread(
        file.write_text,
        f"[General]\nrun_without_secure_secrets_service=true\n[auth]\naccess_token={device['access_token']}\n"
        f"device_id={device['device_id']}\nhome_server={somebody.address}\nuser_id={somebody.user_id}\n"
        f"[user]\ntheme=light\nwindow\\tray=false\n",
    )
    async with _display() as display:
        environment = {"DISPLAY": display, "HOME": str(directory), "XDG_RUNTIME_DIR": str(directory)}
        environment |= {"QT_QUICK_BACKEND": "software", "LANG": "C.UTF-8"}
        process = await asyncio.create_subprocess_exec(
            "nheko", env=os.environ | environment, stdout=DEVNULL, stderr=DEVNULL
        )
        try:
            screen = Nheko(environment)
            query: JsonObject = {"device_keys": {somebody.user_id: []}}

            async def has_device() -> bool:
                return bool((await somebody.ask("POST", "/keys/query", query))["device_keys"][somebody.user_id])

            async def is_cross_signed() -> bool:
                await screen.click(OK_OF_SETUP)  # until it is there to be clicked
                answer = await somebody.ask("POST", "/keys/query", query)
                return bool(answer.get("user_signing_keys", {}).get(somebody.user_id))

            await _until(has_device)
            await screen.fill()
            await _until(is_cross_signed)
            await asyncio.sleep(PAUSE)
            await screen.click(OK_OF_RECOVERY_KEY)
            yield screen
        finally:
            await _end(process)


@asynccontextmanager
async def _display() -> AsyncIterator[str]:
    reading, writing = os.pipe()
    process = await asyncio.create_subprocess_exec(
        *("Xvfb", "-displayfd", str(writing), "-screen", "0", f"{WIDTH}x{HEIGHT}x24", "-nolisten", "tcp"),
        pass_fds=[writing],
        stderr=DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as told:
            yield f":{(await asyncio.to_thread(told.readline)).strip()}"
    finally:
        await _end(process)


async def _end(process: Process) -> None:
    process.terminate()
    try:
        await asyncio.wait_for(process.wait(), WAIT)
    except TimeoutError:
        process.kill()
        await process.wait()


async def _become_friends(road: Road, friend: Peer, alice: Somebody) -> None:
    """By another device of Alice's, which is signed out afterwards."""
    person = await NioPerson.login(alice.address, alice.user_id, alice.password)
    try:
        await accepted(road, friend, person)
        await person.wait_for(lambda event: "yours alone" in event["content"].get("body", ""), WAIT)
        await person.nio.logout()
    finally:
        await person.close()


async def _converse(screen: Nheko, friend: Peer, conversation: Sequence[tuple[str, str | Deed]]) -> None:
    peer_id = await friend.friend(WAIT)
    for who, what in conversation:
        if not isinstance(what, str):
            await what(friend, peer_id)
        elif who == FRIEND_NAME:
            await friend.send(peer_id, what)
        else:
            await screen.say(what)
            await friend.ears.wait_until(lambda text=what: friend.ears.texts()[-1:] == [text], WAIT)  # type: ignore[misc]
        await asyncio.sleep(PAUSE)


async def take(file: Path, conversation: Sequence[tuple[str, str | Deed]]) -> None:
    """Play the conversation and take its picture. Raises: Unusable when a program is missing."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        raise Unusable(f"{', '.join(missing)} missing: apt install nheko xvfb xdotool imagemagick")
    await ensure_synapse(ENVIRONMENT)
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        homestead: Homestead = prepare(directory)
        async with homestead.synapse, road_to(homestead, directory, NioPerson) as (road, friend):
            account = await homestead.synapse.register("alice")
            address = homestead.synapse.address
            alice = Somebody(address, MatrixUserId(account.user_id), account.access_token, account.password)
            await alice.ask("PUT", f"/profile/{alice.user_id}/displayname", {"displayname": "Alice"})
            async with nheko(alice, directory / "nheko") as screen:
                await _become_friends(road, friend, alice)
                await screen.open(FRIEND_NAME)
                await _converse(screen, friend, conversation)
                await screen.picture(file)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--rich", action="store_true")
    arguments = parser.parse_args()
    try:
        asyncio.run(take(arguments.file, RICH if arguments.rich else CONVERSATION))
    except Unusable as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
