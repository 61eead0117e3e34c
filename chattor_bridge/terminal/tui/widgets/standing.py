"""The line on top: who we are, and how things stand."""

from __future__ import annotations

from rich.text import Text
from textual.widgets import Static

from chattor_bridge.counting import counted
from chattor_bridge.terminal.control import JsonObject
from chattor_bridge.terminal.tui.speech import shortened

NAME_WIDTH = 24
"""Columns for our own name, which may have 64 bytes."""

TOR_WIDTH = 30
"""Columns for what tor says of itself while it connects."""


class Standing(Static):
    """One line."""

    def show(self, status: JsonObject | None, *, here: bool) -> None:
        """``None`` when no daemon answers. ``here``: this process holds the node."""
        self.update(standing_line(status, here=here))


def standing_line(status: JsonObject | None, *, here: bool) -> Text:
    """The line in words."""
    if status is None:
        return Text.assemble(" chattor", ("  chattor run does not answer; trying again", "bold"))
    tor = status["tor"]
    facts = ["tor connected" if tor["ready"] else shortened(f"tor: {tor['summary']}", TOR_WIDTH)]
    facts.append(f"{status['online']} of {status['contacts']} online")
    if status["requests"]:
        facts.append(counted(status["requests"], "request"))
    if status["unread"]:
        facts.append(f"{status['unread']} unread")
    if "missed" in status:
        facts.append(f"catching up: {status['missed']['messages']:,} so far")
    if status["queued"]:
        facts.append(f"{status['queued']} on their way")
    sign = "●" if tor["ready"] else "○"
    name = shortened(status["name"], NAME_WIDTH)
    home = " (online while this runs)" if here else ""
    return Text.assemble(" chattor  ", (name, "bold"), home, "  ", sign, " ", " · ".join(facts))
