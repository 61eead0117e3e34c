"""The part of the command line that is about files."""

from __future__ import annotations

from pathlib import Path

from chattor_bridge.terminal.parsing import Add, adder

_FILE = """{"file": "a1…", "contact": 1, "name": "Bob", "event_id": "5f…", "sent": false, "state": "accepted",
 "reason": "", "file_name": "song.ogg", "mime": "audio/ogg", "size": 3100000, "done": 61440,
 "streams": 2, "carried": false, "time": 1793000000}
state is offered, accepted, arrived (whole, and to be saved), done or failed; size and done are bytes; carried: all that
is still to go over is with your friend's carriers."""


def _absolute(path: str) -> str:
    """As the daemon finds it, which may have been started elsewhere."""
    return str(Path(path).absolute())


def add_files(add: Add) -> None:
    """Add the command."""
    files = add(
        "file",
        "send and fetch files",
        "A file that you send is offered: your friend sees what it is, and fetches it or not; small ones are fetched\n"
        "unasked (see config.yaml). It is read where it lies, so keep it there, unchanged, until it has gone over.\n"
        "What you fetch is kept encrypted until you save it. Either side may go offline meanwhile: it goes on where\n"
        "it was. A file of up to 1 MiB for a friend who is away is left with those who hold its mail.",
        _FILE,
    )
    add_action = adder(files.add_subparsers(dest="action", metavar="ACTION", required=True))
    send = add_action("send", "offer a file to a friend")
    send.add_argument("contact", help="number, alias or name")
    send.add_argument("path", help="the file", type=_absolute)
    send.add_argument("--caption", default="", metavar="TEXT", help="what to say with it, in CommonMark")
    send.add_argument("--voice", action="store_true", help="it is a voice message")
    send.add_argument("--wait", action="store_true", help="wait until your friend has it, and show how far it is")
    listing = add_action("list", "show files and how far they are")
    listing.add_argument("contact", nargs="?", help="number, alias or name; without it, of everybody")
    for name, summary in (
        ("accept", "fetch a file that is offered"),
        ("cancel", "decline, withdraw or give up a file"),
    ):
        action = add_action(name, summary)
        action.add_argument("file", help="the beginning of its id, or its name")
    save = add_action(
        "save",
        "write a file into a directory",
        "Fetches the file if that is to be done yet, and shows how far it is. It gets its own name, made harmless, or\n"
        "a number behind it when there is such a file: nothing is ever overwritten.",
    )
    save.add_argument("file", help="the beginning of its id, or its name")
    save.add_argument("directory", nargs="?", default=".", type=_absolute, help="where to (default: here)")
