"""Whether tor has its network, as far as it knows itself.

tor tells nobody that its network is gone: what it has published stays published in its own eyes. Two things show it.
It has connections to relays for as long as it hosts onions, so without one it is cut off. And when whatever it tries
gets no answer at all, it says that its network is not alive; a network that swallows everything shows so with the first
thing tor tries there.
"""

from __future__ import annotations

from collections.abc import Sequence

LOOK = "GETINFO network-liveness orconn-status onions/current"
"""control-spec 3.9; the last are the onions of this control connection."""

_RELAYS, _ONIONS, _DOWN = "orconn-status=", "onions/current=", "network-liveness=down"
_CONNECTED = " CONNECTED"


def has_network(said: Sequence[str]) -> bool:
    """What tor's answer to `LOOK` says."""
    hosts = any(line.startswith(_ONIONS) and line != _ONIONS for line in said)
    return _DOWN not in said and (has_relays(said) or not hosts)


def has_relays(said: Sequence[str]) -> bool:
    """Whether there is a connection to a relay. A tor that has had nothing to do for an hour has none either."""
    return any(line.startswith(_RELAYS) and _CONNECTED in line for line in said)
