"""The tor program on this machine: is it there, and is it new enough."""

from __future__ import annotations

import asyncio
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import TorUnusable


@dataclass(frozen=True, slots=True, order=True)
class TorVersion:
    """A version of tor, comparable: ``0.4.9.11``."""

    major: int
    minor: int
    micro: int
    patch: int

    def __str__(self) -> str:
        return f"{self.major}.{self.minor}.{self.micro}.{self.patch}"


OLDEST_TOR = TorVersion(0, 4, 9, 11)
"""Before it, a rendezvous point could impersonate the onion service (docs/protocol/transport.md)."""

VERSION_TIMEOUT = 20.0
"""Seconds ``tor --version`` may take; it takes milliseconds unless the disk or the machine is in trouble."""

_VERSION = re.compile(r"Tor version (\d+)\.(\d+)\.(\d+)\.(\d+)")

_INSTALL = "install it, on Debian with: apt install tor"
_UPGRADE = (
    "upgrade it: apt update && apt install tor; where that is not newer, take the Tor Project's own packages, "
    "https://support.torproject.org/apt/"
)


def find_program(name: str) -> Path:
    """The path of a program of the tor package.

    Raises: TorUnusable when it is not there.
    """
    found = shutil.which(name) or shutil.which(name, path="/usr/local/sbin:/usr/sbin:/sbin")
    if found is None:
        raise TorUnusable(f"there is no program {name!r}: {_INSTALL}")
    return Path(found)


async def tor_version(program: Path) -> TorVersion:
    """Ask a tor for its version.

    Raises: TorUnusable when it is not tor or does not answer.
    """
    try:
        asked = await asyncio.create_subprocess_exec(
            program, "--version", stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE
        )
    except OSError as error:
        raise TorUnusable(f"{program} cannot be run ({error.strerror}): {_INSTALL}") from error
    try:
        answer, _ = await asyncio.wait_for(asked.communicate(), VERSION_TIMEOUT)
    except TimeoutError as error:
        asked.kill()
        await asked.wait()
        raise TorUnusable(f"{program} --version does not answer") from error
    match = _VERSION.search(answer.decode(errors="replace"))
    if match is None:
        raise TorUnusable(f"{program} is not tor, or does not say its version")
    return TorVersion(*(int(part) for part in match.groups()))


async def usable_tor(name: str, *, allow_old: bool) -> tuple[Path, TorVersion]:
    """Find tor and check its version; ``allow_old`` accepts one that is too old.

    Raises: TorUnusable.
    """
    program = find_program(name)
    version = await tor_version(program)
    if version < OLDEST_TOR and not allow_old:
        raise TorUnusable(f"tor {version} is too old, {OLDEST_TOR} or newer is needed: {_UPGRADE}")
    return program, version
