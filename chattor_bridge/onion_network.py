"""The onion network as a configuration has it: over a tor of our own, or over one that runs already."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

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
