"""The onion network as a configuration has it: over a tor of our own, or over one that runs already."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

from chattor_bridge.config import TorOptions
from chattor_bridge.transport.tor import (
    ExternalSettings,
    ExternalTor,
    ManagedTor,
    TorSettings,
    TorStatus,
)
from chattor_bridge.transport.tor.address import parse_address
from chattor_bridge.transport.tor.supervised import SupervisedTor

SHELVES: Final = "shelves"
"""Directory beside what our tor keeps, for the tor of shelves. Short: it holds unix sockets."""


def for_shelves(options: TorOptions) -> TorOptions | None:
    """How to start the tor that hosts what we hold for friends, who must not be able to tell by its uptime which onions
    are ours. None with a tor that is not ours, which then hosts both."""
    if options.external is not None:
        return None
    return replace(options, data_directory=options.data_directory.with_name(f"{options.data_directory.name}-{SHELVES}"))


def tor_of(
    options: TorOptions, told: Callable[[TorStatus], None] | None = None, *, directory: Path | None = None
) -> SupervisedTor:
    """The tor to use. One of our own gets ``directory`` instead of the one in ``options``, when given.

    Raises: UsageError when the path of a directory cannot be used.
    """
    if (external := options.external) is not None:
        return ExternalTor(
            ExternalSettings(
                parse_address(external.control),
                external.socket_directory,
                external.password_file,
                allow_old=options.allow_old,
            ),
            told=told,
        )
    settings = TorSettings(
        directory or options.data_directory,
        program=options.executable,
        extra_torrc=options.torrc_lines,
        allow_old=options.allow_old,
    )
    return ManagedTor(settings, told=told)
