"""`chattor-bridge run` over the memory network: ``python -m tests.programs.bridge_memory --config FILE --network DIR``.

``DIR`` is the directory in which the programs of one test meet. Everything else is the program its users run.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
from collections.abc import Callable
from pathlib import Path

from chattor_bridge.app import TransportFactory, run_bridge
from chattor_bridge.config import TorOptions, load_config
from chattor_bridge.errors import ChattorError
from chattor_bridge.logs import set_up_logging
from chattor_bridge.node.patience import Pace
from chattor_bridge.registration import load as load_registration
from chattor_bridge.transport.memory import MemoryNetwork
from chattor_bridge.transport.on_demand import ManagedTransport
from chattor_bridge.transport.tor import TorState, TorStatus
from tests.programs.paces import QUICK


def run(config_file: Path, factory: TransportFactory, pace: Pace) -> int:
    """`chattor-bridge run` over what ``factory`` makes, until it is told to stop; its exit code."""
    try:
        asyncio.run(_run(config_file, factory, pace))
    except ChattorError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


async def _run(config_file: Path, factory: TransportFactory, pace: Pace) -> None:
    config = load_config(config_file)
    homeserver, appservice = config.homeserver, config.appservice
    registration = load_registration(appservice.registration_file, homeserver.domain, appservice.bot_localpart)
    set_up_logging(config.logging.level, secrets=(registration.as_token, registration.hs_token))
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await run_bridge(config, registration, stop=stop, transport_factory=factory, pace=pace)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--network", type=Path, required=True)
    arguments = parser.parse_args()

    def factory(_options: TorOptions, told: Callable[[TorStatus], None]) -> ManagedTransport:
        told(TorStatus(TorState.READY))
        return MemoryNetwork(arguments.network).transport()

    return run(arguments.config, factory, QUICK)


if __name__ == "__main__":
    sys.exit(main())
