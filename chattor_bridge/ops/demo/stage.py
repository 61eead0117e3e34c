"""Everything the demo plays on: started in the order it is needed, stopped in reverse, whatever happens."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

from chattor_bridge.ops.demo.programs import BRIDGE, Chattor, Program, run
from chattor_bridge.ops.demo.screen import Screen
from chattor_bridge.ops.person import Person
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.synapse import Account, Synapse, ensure_synapse
from chattor_bridge.ops.tornet import TorNetwork

DOMAIN = "localhost"
BOT = f"@chattorbot:{DOMAIN}"
ALICE_PASSWORD = "onions-have-layers"  # noqa: S105 - typed by whoever tries the demo on their own machine
SYNAPSE_ENVIRONMENT = Path(".venv-synapse")
READY_TIMEOUT = 60.0
"""Seconds a program may take until it is connected to Tor; 5 to 10 on two cores."""


class Stage:
    """``alice`` is a Matrix client that is logged in, ``bob`` a running `chattor`, ``bot`` whom Alice talks to."""

    def __init__(self, alice: Person, account: Account, bob: Chattor, synapse: Synapse) -> None:
        self.alice = alice
        self.bob = bob
        self.bot = BOT
        self.ghost = ""
        self._account = account
        self._synapse = synapse

    @classmethod
    @asynccontextmanager
    async def set(cls, directory: Path, screen: Screen) -> AsyncIterator[Stage]:
        """Start everything; stop it when the block is left."""
        async with AsyncExitStack() as stack:
            screen.stage("starting a private Tor network and a Synapse on this machine")
            network = TorNetwork(directory / "network", progress=screen.progress)
            booting = asyncio.create_task(stack.enter_async_context(network))
            try:
                synapse = await _synapse(directory, stack)
                screen.stage(f"Synapse is up at {synapse.address}")
                await booting
            finally:
                booting.cancel()
                await asyncio.gather(booting, return_exceptions=True)
            screen.stage("the private Tor network is up: every relay a tor process of its own")
            tor = {"CHATTOR_TOR_TORRC_LINES": json.dumps(list(network.client_torrc))}
            bob, _ = await asyncio.gather(_chattor(directory, tor, stack), _bridge(directory, synapse, tor, stack))
            screen.stage("chattor-bridge and chattor are connected to it")
            account = await synapse.register("alice", password=ALICE_PASSWORD)
            alice = await Person.login(synapse.address, account.user_id, ALICE_PASSWORD)
            stack.push_async_callback(alice.close)
            yield cls(alice, account, bob, synapse)

    def how_to_log_in(self) -> tuple[str, ...]:
        """What a person needs to take Alice's place."""
        return (
            "",
            "Take Alice's place with any Matrix client on this machine (Element Desktop, nheko ...):",
            f"  homeserver  {self._synapse.address}",
            f"  user        {self._account.user_id}",
            f"  password    {ALICE_PASSWORD}",
            "Bob answers whatever you tell him. Ctrl-C ends the demo and removes everything.",
            "",
        )


async def _synapse(directory: Path, stack: AsyncExitStack) -> Synapse:
    await ensure_synapse(SYNAPSE_ENVIRONMENT)
    bridge = directory / "bridge"
    bridge.mkdir()
    port = free_port()
    synapse = Synapse(
        SYNAPSE_ENVIRONMENT, directory / "synapse", domain=DOMAIN, registrations=[bridge / "registration.yaml"]
    )
    # The registration must exist before Synapse starts, and its address is known only then: the bridge gets that later.
    await run(
        (
            *BRIDGE,
            "init",
            "--config",
            str(bridge / "config.yaml"),
            "--homeserver",
            "http://127.0.0.1:8008",
            "--domain",
            DOMAIN,
            "--port",
            str(port),
        ),
        {},
    )
    return await stack.enter_async_context(synapse)


async def _bridge(directory: Path, synapse: Synapse, tor: dict[str, str], stack: AsyncExitStack) -> None:
    program = await Program.start(
        "chattor-bridge run",
        (*BRIDGE, "run", "--config", str(directory / "bridge" / "config.yaml")),
        directory / "bridge.log",
        # the scripted person's client does not encrypt
        tor | {"CHATTOR_HOMESERVER_ADDRESS": synapse.address, "CHATTOR_ENCRYPTION_ROOMS": "false"},
    )
    stack.push_async_callback(program.stop)
    await program.logged("ready", READY_TIMEOUT)


async def _chattor(directory: Path, tor: dict[str, str], stack: AsyncExitStack) -> Chattor:
    bob = Chattor(directory / "bob", tor)
    await bob.do("init", "--name", "Bob")
    daemon = await bob.run(directory / "bob.log")
    stack.push_async_callback(daemon.stop)
    await daemon.logged('"ready"', READY_TIMEOUT)
    return bob
