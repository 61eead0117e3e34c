"""Which SOCKS port of a tor that is not ours keeps our friends apart."""

from __future__ import annotations

import os
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.errors import TorUnusable
from chattor_bridge.transport.tor.address import WILDCARDS, Address, is_loopback, parse_address

UNFIT = frozenset({"noisolatesocksauth", "prefersocksnoauth", "nooniontraffic"})
"""Flags, in lower case, of a port that lets streams of different friends share a circuit, or leads to no onion."""

EXTENDED = "extendederrors"

NO_EXTENDED = (
    "the SOCKS port of tor has no ExtendedErrors, so who is offline cannot be told from whose onion is closed: add "
    "ExtendedErrors to its SocksPort line in torrc"
)


@dataclass(frozen=True, slots=True)
class Socks:
    """Where to dial, and what could be better about it."""

    address: Address
    advice: tuple[str, ...]


def choose_socks(listeners: str, lines: Sequence[str], control: Address) -> Socks:
    """The best of ``listeners`` (as GETINFO net/listeners/socks has them), by their flags in ``lines`` (the values of
    SocksPort in torrc), reached from where ``control`` is.

    Raises: TorUnusable when none will do.
    """
    fit: list[tuple[bool, bool, Address]] = []
    flags_of, unknown = _flags(lines)
    for listener in _words(listeners.partition("=")[2]):
        try:
            said = parse_address(listener)
        except ValueError:  # of a kind this version does not know
            continue
        flags = flags_of.get(said, unknown)
        address = _reachable(said, control)
        if address is not None and not flags & UNFIT:
            fit.append((EXTENDED in flags, isinstance(address, Path), address))
    if not fit:
        raise TorUnusable(
            "no SOCKS port of the tor at tor.control can be used that keeps friends on circuits of their own: add the "
            "line SocksPort 9050 IsolateSOCKSAuth ExtendedErrors to its torrc"
        )
    extended, _, address = max(fit, key=lambda one: one[:2])
    return Socks(address, () if extended else (NO_EXTENDED,))


def _words(line: str) -> list[str]:
    """As a shell reads them; where a quote has no end, as they stand."""
    try:
        return shlex.split(line)
    except ValueError:
        return line.split()


def _flags(lines: Sequence[str]) -> tuple[dict[Address, frozenset[str]], frozenset[str]]:
    """The flags of each address; and those that a listener may have whose port tor chose itself."""
    of: dict[Address, frozenset[str]] = {}
    unknown: frozenset[str] = frozenset()
    for line in lines:
        where, *words = _words(line) or [""]
        flags = frozenset(word.lower() for word in words)
        if where.isdigit():
            where = f"127.0.0.1:{where}"
        try:
            of[parse_address(where)] = flags
        except ValueError:  # auto
            unknown |= flags
    return of, unknown


def _reachable(address: Address, control: Address) -> Address | None:
    """As we can reach it, who reach ``control``; ``None`` when we cannot."""
    if isinstance(address, Path):
        return address if os.access(address, os.W_OK) else None
    host, port = address
    here = isinstance(control, Path) or is_loopback(control[0])
    if host in WILDCARDS:
        return ("127.0.0.1" if isinstance(control, Path) else control[0]), port
    return None if is_loopback(host) and not here else address
