"""What is measured stands on this: a real Synapse, the bridge in a process of its own, a person and a friend."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from ruamel.yaml import YAML

from chattor_bridge import registration
from chattor_bridge.node.ports import Transport
from chattor_bridge.ops.person import Person
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.synapse import Synapse, ensure_synapse
from tests.kill.stage import BridgeProcess, Conversation, run_to_end
from tests.nio_person import NioPerson
from tests.peer import chattor_user
from tests.synapse import ENVIRONMENT

DOMAIN = "localhost"

ECHO_BOT = "echobot"

PASSWORD = "correct horse"


class Ground:
    """``echo`` is the registration of the bare echo, and where it is to listen."""

    def __init__(self, synapse: Synapse, bridge: BridgeProcess, talk: Conversation, echo: tuple[Path, int]) -> None:
        self.synapse = synapse
        self.bridge = bridge
        self.conversation = talk
        self.echo_registration, self.echo_port = echo

    async def person(self, name: str) -> Person:
        account = await self.synapse.register(name, password=PASSWORD)
        return await Person.login(self.synapse.address, account.user_id, PASSWORD)


@asynccontextmanager
async def laid(
    directory: Path,
    peer_transport: Transport,
    arguments: Sequence[str],
    settings: dict[str, str],
    *,
    encrypted: bool = False,
) -> AsyncIterator[Ground]:
    """Synapse, the bridge (Python with ``arguments`` and a configuration), and two people who became friends, whose
    rooms are ``encrypted`` or not."""
    await ensure_synapse(ENVIRONMENT)
    await asyncio.to_thread(directory.mkdir)
    config, echo, echo_port = directory / "config.yaml", directory / "echo.yaml", free_port()
    await run_to_end(
        *(sys.executable, "-m", "chattor_bridge.cli", "init", "--config", str(config), "--port", str(free_port())),
        *("--homeserver", "http://localhost:8008", "--domain", DOMAIN),
    )
    _write_echo_registration(echo, echo_port)
    synapse = Synapse(
        ENVIRONMENT, directory / "synapse", domain=DOMAIN, registrations=[directory / "registration.yaml", echo]
    )
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(synapse)
        bridge = BridgeProcess(
            (*arguments, "--config", str(config)),
            directory / "bridge.log",
            settings
            | {"CHATTOR_HOMESERVER_ADDRESS": synapse.address, "CHATTOR_ENCRYPTION_ROOMS": str(encrypted).lower()},
        )
        await bridge.start()
        stack.push_async_callback(bridge.stop)
        account = await synapse.register("alice", password=PASSWORD)
        client: type[Person] = NioPerson if encrypted else Person
        alice = await client.login(synapse.address, account.user_id, PASSWORD)
        stack.push_async_callback(alice.close)
        peer = await stack.enter_async_context(chattor_user(directory / "peer", peer_transport))
        talk = Conversation(synapse, bridge, alice, peer)
        await talk.start()
        await talk.ask()
        await talk.friends()
        yield Ground(synapse, bridge, talk, (echo, echo_port))


def _write_echo_registration(file: Path, port: int) -> None:
    made = registration.generate(DOMAIN, f"http://127.0.0.1:{port}", ECHO_BOT)
    document = made.as_document() | {
        "id": "echo",
        "sender_localpart": ECHO_BOT,
        "namespaces": {"users": [{"exclusive": True, "regex": f"^@{ECHO_BOT}:{DOMAIN}$"}], "aliases": [], "rooms": []},
    }
    with file.open("w", encoding="utf-8") as stream:
        YAML().dump(document, stream)
