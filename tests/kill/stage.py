"""What the kill matrix plays on: a real Synapse, the bridge in a process that can be killed, a Chattor peer."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, STDOUT, Process
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.ops.person import JsonObject, Person
from chattor_bridge.ops.synapse import Synapse
from tests.nio_person import NioPerson
from tests.peer import Peer

PATIENCE = 60.0
"""Seconds one step may take on a machine that is busy with everything else."""

BOT = "@chattorbot:localhost"

CODE = re.compile(r"chattor:[a-z2-7]{58}")


async def run_to_end(*command: str) -> None:
    """Run a command that must succeed."""
    process = await asyncio.create_subprocess_exec(*command, stdout=PIPE, stderr=STDOUT)
    output, _ = await process.communicate()
    assert process.returncode == 0, output.decode()


class BridgeProcess:
    """The bridge, started anew after every death: Python with ``arguments``, its output in ``log``. ``within``: what
    stands before the command, to run it in another place."""

    def __init__(
        self, arguments: tuple[str, ...], log: Path, settings: Mapping[str, str], *, within: Sequence[str] = ()
    ) -> None:
        self._within = within
        self._arguments = arguments
        self._log = log
        self._settings = settings
        self._process: Process | None = None

    def by(self, arguments: tuple[str, ...]) -> BridgeProcess:
        """The same bridge, run by Python with other arguments."""
        return BridgeProcess(arguments, self._log, self._settings, within=self._within)

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    async def start(self, failpoint: str = "") -> None:
        """Start it, to die at ``failpoint`` if one is named."""
        with self._log.open("ab") as output:
            self._process = await asyncio.create_subprocess_exec(
                *(*self._within, sys.executable, *self._arguments),
                stdout=output,
                stderr=output,
                env={**os.environ, **self._settings, "CHATTOR_FAILPOINT": failpoint},
            )

    async def dies(self) -> None:
        """Wait until the failpoint has killed it."""
        assert self._process is not None
        code = await asyncio.wait_for(self._process.wait(), PATIENCE)
        assert code == -signal.SIGKILL, f"the bridge ended by itself with {code}"

    async def kill(self) -> None:
        """End it wherever it is, if it runs."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def stop(self) -> None:
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), PATIENCE)
        except TimeoutError:
            await self.kill()

    async def restart(self, failpoint: str = "") -> None:
        """Stop it if it still runs, and start it."""
        await self.stop()
        await self.start(failpoint)


class Friend(Protocol):
    """Somebody in Chattor."""

    async def new_code(self) -> str: ...
    async def heard(self, count: int, timeout: float) -> list[str]:
        """Every text that arrived, in order, once that is ``count``."""


class Acquaintance:
    """Alice in Matrix and her friend in Chattor, and everything they should have heard of each other by now."""

    def __init__(self, synapse: Synapse, bridge: BridgeProcess, alice: Person, friend: Friend) -> None:
        self.synapse = synapse
        self.bridge = bridge
        self.alice = alice
        self.management = ""
        self.room = ""
        self.ghost = ""
        self._friend = friend
        self._said: list[str] = []
        self._told: list[str] = []

    async def start(self) -> None:
        """Alice gets a node."""
        self.management = await self.alice.open_chat(BOT)
        await self.alice.next_from(BOT, self.management, PATIENCE)
        await self.alice.say(self.management, "start")
        await self.alice.next_from(BOT, self.management, PATIENCE)

    async def ask(self) -> None:
        """Alice asks to be friends."""
        code = await self._friend.new_code()
        await self.alice.say(self.management, f"add {code} hello")

    async def code_of_alice(self) -> str:
        """Have the bot make a friend code for Alice."""
        await self.alice.say(self.management, "code new kill")

        def holds_code(event: JsonObject) -> bool:
            return event["sender"] == BOT and CODE.search(str(event["content"].get("body", ""))) is not None

        event = await self.alice.wait_for(holds_code, PATIENCE)
        found = CODE.search(event["content"]["body"])
        assert found is not None
        return found.group()

    async def alice_accepts(self) -> None:
        """Wait until the bot tells of a request, and accept it with a reaction."""

        def is_request(event: JsonObject) -> bool:
            return (
                event["sender"] == BOT
                and "accept" in str(event["content"].get("body", ""))
                and "React" in str(event["content"].get("body", ""))
            )

        event = await self.alice.wait_for(is_request, PATIENCE)
        await self.alice.react(self.management, event["event_id"], "\N{WHITE HEAVY CHECK MARK}")

    def rooms_with_ghosts(self) -> int:
        """In how many rooms Alice has seen a ghost."""
        ghosts = {
            event["room_id"]
            for event in self.alice.timeline
            if event["type"] == "m.room.member" and str(event.get("state_key", "")).startswith("@chattor_")
        }
        return len(ghosts)

    async def spaces(self) -> int:
        """In how many spaces Alice has been, once there is one."""

        def is_space(event: JsonObject) -> bool:
            return bool(event["content"].get("type") == "m.space")

        await self.alice.wait_for(is_space, PATIENCE)
        return len({event["room_id"] for event in self.alice.timeline if is_space(event)})

    async def shown(self) -> None:
        """Wait for the room of the conversation."""

        def is_ghost(event: JsonObject) -> bool:
            return event["type"] == "m.room.member" and str(event.get("state_key", "")).startswith("@chattor_")

        event = await self.alice.wait_for(is_ghost, PATIENCE)
        self.room, self.ghost = event["room_id"], event["state_key"]

    async def say(self, *texts: str) -> None:
        """Alice says something, whether or not the bridge is there to hear it."""
        for text in texts:
            await self.alice.say(self.room, text)
        self._said += texts

    async def say_under_a_new_key(self, *texts: str) -> None:
        """Alice's client encrypts anew, as it does from time to time."""
        assert isinstance(self.alice, NioPerson)
        self.alice.nio.invalidate_outbound_session(self.room)
        await self.say(*texts)

    def told(self, texts: Sequence[str]) -> None:
        """The friend has said this besides."""
        self._told += texts

    async def settled(self) -> None:
        """Wait until both have heard everything; then everything was heard once and in order."""
        heard = await self._friend.heard(len(self._said), PATIENCE)
        if self._told:
            await self.alice.wait_for(lambda _: len(self._heard()) >= len(self._told), PATIENCE)
        await self.alice.sync()
        assert heard == self._said
        assert self._heard() == self._told

    async def receipted(self, event_id: str) -> None:
        """Wait for the bot's read receipt: delivered."""

        def is_receipt(event: JsonObject) -> bool:
            read = event["content"].get(event_id, {}).get("m.read", {}) if event["type"] == "m.receipt" else {}
            return BOT in read

        await self.alice.wait_for(is_receipt, PATIENCE, ephemeral=True)

    def _heard(self) -> list[str]:
        return self.alice.messages(self.room, self.ghost)


class Conversation(Acquaintance):
    """With a friend in this process."""

    def __init__(self, synapse: Synapse, bridge: BridgeProcess, alice: Person, peer: Peer) -> None:
        super().__init__(synapse, bridge, alice, peer)
        self.peer = peer
        self.friend = PeerId(b"")
        self._sent: list[EventId] = []

    async def friends(self) -> None:
        """The peer accepts; both see their new friend, and exactly one room shows it."""
        self.friend = await self.peer.accept_next(PATIENCE)
        await self.shown()

    async def be_asked(self) -> None:
        """The peer asks Alice, who accepts."""
        await self.peer.add(await self.code_of_alice(), "hello")
        await self.alice_accepts()
        self.friend = await self.peer.friend(PATIENCE)
        await self.shown()

    async def tell(self, *texts: str) -> None:
        """The friend says something."""
        for text in texts:
            self._sent.append(await self.peer.send(self.friend, text))
        self.told(texts)

    async def read(self) -> None:
        """Alice reads the last thing the friend said, whether or not the bridge is there to notice."""

        def is_it(event: JsonObject) -> bool:
            return (event["sender"], event["content"].get("body")) == (self.ghost, self._told[-1])

        event = await self.alice.wait_for(is_it, PATIENCE)
        await self.alice.mark_read(self.room, event["event_id"])

    async def told_of_reading(self) -> None:
        """Wait until the friend knows that everything it said was read; then it was told so once of each."""
        ears = self.peer.ears
        await ears.wait_until(lambda: len(ears.read()) >= len(self._told), PATIENCE)
        assert ears.read() == self._sent
