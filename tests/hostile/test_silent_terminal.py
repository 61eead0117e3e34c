"""`chattor` at its loudest: a conversation, what fails in it, and strangers at its doors leave nothing in any line."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

from chattor_bridge.logs import BLOT
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.storage import StoreKey, open_store
from chattor_bridge.terminal.daemon import OWNER
from chattor_bridge.transport.memory import MemoryNetwork
from tests.hostile.attacker import secrets_of
from tests.terminal.resident import WAIT, Program, Resident, residents

SAID = [
    "planted-from-bob",
    "planted-from-alice",
    "planted-while-away",
    "planted-label",
    "planted-note",
    "planted-alias",
]


async def test_a_conversation_its_failures_and_strangers_leave_nothing_in_any_line(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice", "Bob") as (alice, bob):
        alices, bobs = await _start(alice), await _start(bob)
        code = (await alice.get("code", "new", SAID[3]))[0]["code"]
        await bob.get("add", "--note", SAID[4], stdin=f"{code}\n")
        await alice.get("accept", (await alices.saw("request"))["request"])
        await bobs.saw("friend")
        await bob.get("send", "1", "--wait", SAID[0])
        await alice.get("send", "1", "--wait", SAID[1])
        await _knock_wrongly(tmp_path / "net", code)
        assert (await alice.do("add", f"{code[:-1]}x")).code != 0
        await bobs.stop(signal.SIGKILL)
        await alice.get("send", "1", SAID[2])
        async with asyncio.timeout(WAIT):
            while not any(one["what"] == "friend" for one in (await alice.get("status"))[0]["trouble"]):
                pass
        await alices.stop()
        lines = alices.complaint + bobs.complaint
        forbidden = [*SAID, code, code.removeprefix("chattor:"), *await _secrets(alice), *await _secrets(bob)]
    assert len(forbidden) > 40
    assert "RAW chattor_bridge.node.door INFO a stream at a door was refused" in lines
    assert [secret for secret in forbidden if secret in lines] == []
    assert BLOT not in lines  # nothing even had to be hidden


async def _start(resident: Resident) -> Program:
    daemon = await resident.launch("run", CHATTOR_LOUD="1")
    await daemon.saw("answering")
    return daemon


async def _knock_wrongly(network: Path, code: str) -> None:
    """What no door takes, until it hangs up."""
    door = FriendCode.parse(code).door
    stream = await MemoryNetwork(network).transport().dial(door, client_key=None, isolation="stranger", timeout=WAIT)
    await stream.write(frame(b"planted-note, and no hello"))
    async with asyncio.timeout(WAIT):
        while await stream.read():
            pass
    await stream.close()


async def _secrets(resident: Resident) -> list[str]:
    key = StoreKey.load(resident.home / "store.key")
    async with open_store(f"sqlite:{resident.home / 'chattor.db'}", key) as store:
        async with store.transaction() as tx:
            record = await store.nodes.by_owner(tx, OWNER)
        assert record is not None
        return await secrets_of(store, record.node_id)
