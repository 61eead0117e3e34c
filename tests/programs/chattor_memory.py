"""`chattor` over the memory network: ``python -m tests.programs.chattor_memory NETWORK chattor's own words``.

``NETWORK`` is the directory in which the programs of one test meet. With ``CHATTOR_PATIENT`` in the environment it
waits for minutes before it dials again, and a second is a sleep; with ``CHATTOR_LOUD`` it logs all it can, each line of
this project's once as it is and once as it was before anything was blotted out. Everything else is the program its
users run.
"""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path

from chattor_bridge.logs import PACKAGE, set_up_logging
from chattor_bridge.node import waking
from chattor_bridge.terminal import daemon
from chattor_bridge.terminal.app import main
from chattor_bridge.terminal.connection import DONE, Connection
from chattor_bridge.terminal.settings import TerminalSettings
from chattor_bridge.transport.memory import MemoryNetwork
from chattor_bridge.transport.on_demand import ManagedTransport
from tests.programs.paces import PATIENT, QUICK


def _loudly(_level: str) -> None:
    set_up_logging("DEBUG")
    raw = logging.StreamHandler()
    raw.setFormatter(logging.Formatter("RAW %(name)s %(levelname)s %(message)s"))
    logging.getLogger(PACKAGE).addHandler(raw)


def run(network: Path, words: list[str]) -> int:
    def factory(_settings: TerminalSettings, connection: Connection) -> ManagedTransport:
        connection.update(DONE, "memory")
        return MemoryNetwork(network).transport()

    if "CHATTOR_LOUD" in os.environ:
        daemon.set_up_logging = _loudly  # type: ignore[assignment,attr-defined]
    if "CHATTOR_PATIENT" in os.environ:
        waking.LOOK, waking.OVERSLEPT = 0.2, 1.0  # type: ignore[misc]
        return main(words, transport_factory=factory, pace=PATIENT)
    return main(words, transport_factory=factory, pace=QUICK)


if __name__ == "__main__":
    sys.exit(run(Path(sys.argv[1]), sys.argv[2:]))
