"""What `chattor run` tells where it was started: what asks for an answer of the person's."""

from __future__ import annotations

from chattor_bridge.node.happenings import (
    CodeClosed,
    ContactAdded,
    FileArrived,
    FileFailed,
    KnockFailed,
    KnockReceived,
    Missed,
)
from chattor_bridge.terminal.control import SHORT_ID
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.identity import missed_item
from chattor_bridge.terminal.output import Output, neutralised, neutralised_lines
from chattor_bridge.terminal.recorder import Notice


class Notices:
    """``named``: somebody reads this, or a script has asked for it. Otherwise it is the log of a service, which keeps
    what is written there for long: neither names nor anybody's words belong in it, and the commands show them."""

    def __init__(self, home: Home, output: Output, *, named: bool) -> None:
        self._home = home
        self._output = output
        self._named = named

    def notify(self, notice: Notice) -> None:
        show = self._output.show
        match notice:
            case KnockReceived() if not self._named:
                show({}, f"Somebody asks to be your friend: {self._home.command('requests')} shows who.")
            case ContactAdded() if not self._named:
                show({}, f"You have a new friend: {self._home.command('contacts')} lists them.")
            case CodeClosed(_, reason) if not self._named:
                show({}, f"A friend code {neutralised(reason)}.")
            case KnockReceived(knock_id, name, note, _label, number):
                show(
                    {"request": knock_id.hex(), "number": number, "name": name, "note": note},
                    f"{neutralised(name)} asks to be your friend: {self._home.command(f'accept {number}')}",
                    *([f"    {neutralised_lines(note)}"] if note else []),
                )
            case ContactAdded(_, _, name):
                # who accepted a request of ours tells its name with its first words
                said = f"{neutralised(name)} is your friend now." if name else "A request of yours was accepted."
                show({"friend": name}, f"{said} {self._home.command('contacts')} lists your friends.")
            case CodeClosed(label, reason):
                show(
                    {"closed": label, "reason": reason}, f"The friend code {neutralised(label)} {neutralised(reason)}."
                )
            case FileArrived(_, _, file_id):
                ident = file_id.hex()
                save = self._home.command(f"file save {ident[:SHORT_ID]}")
                show({"file": ident, "state": "arrived"}, f"A file has arrived: {save} writes it to where you are.")
            case FileFailed(_, _, file_id, reason):
                ident = file_id.hex()
                show({"file": ident, "state": "failed", "reason": reason}, f"The file {ident[:SHORT_ID]} {reason}.")
            case Missed():
                show({"missed": missed_item(notice)}, notice.in_words)
            case KnockFailed(knock_id, reason):
                show({"failed": knock_id.hex(), "reason": reason}, f"A request was given up: {neutralised(reason)}")
