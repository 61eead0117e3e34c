"""Whether a tor keeps the relays next to its guards for long: https://spec.torproject.org/vanguards-spec/.

Onions live for a month and more. Whoever makes their tor build circuits often enough would by and by have a relay of
its own beside the guard, and then find that. tor's own answer, vanguards-lite, keeps four relays in the second place
for a day and more; the vanguards add-on keeps fewer in two places, for longer.
"""

from __future__ import annotations

from enum import StrEnum

from chattor_bridge.transport.tor.control import Control

TORRC_LINE = "VanguardsLiteEnabled 1"
"""Not left to the consensus of the network, which could turn it off for everybody."""


class Vanguards(StrEnum):
    """What keeps a tor's guards from being found."""

    OFF = "off"
    LITE = "vanguards-lite, tor's own"
    FULL = "full vanguards, by the add-on"


async def vanguards_of(control: Control) -> Vanguards:
    """What is on in this tor. Raises: TorUnavailable."""
    said = dict(
        line.partition("=")[::2] for line in await control.command("GETCONF HSLayer2Nodes VanguardsLiteEnabled")
    )
    if said.get("HSLayer2Nodes"):
        return Vanguards.FULL
    return Vanguards.OFF if said.get("VanguardsLiteEnabled") == "0" else Vanguards.LITE
