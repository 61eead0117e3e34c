"""The part of the command line that is about what people want with a friend, and show of themselves."""

from __future__ import annotations

from chattor_bridge.terminal.parsing import Add, timer


def add_person(add: Add) -> None:
    """Add the commands."""
    privacy = add(
        "privacy",
        "what friends see of you",
        "receipts: what you have read; typing: that you are writing to them; presence: whether you are there.\n"
        "Receipts are on, the others off, until you want it otherwise. That something has arrived friends always see:\n"
        "without that nothing could be sent reliably. all is every friend you have and will have.",
        "an object as in contacts, for each friend",
    )
    privacy.add_argument("who", nargs="?", default="all", help="number, alias or name, or all (the default)")
    privacy.add_argument(
        "what",
        nargs="?",
        choices=("receipts", "typing", "presence"),
        metavar="WHAT",
        help="receipts, typing or presence; without it, how it is now",
    )
    privacy.add_argument("on", nargs="?", choices=("on", "off"), metavar="on|off", help="whether they see it")
    for name, summary in (
        ("mute", "be disturbed no more by a friend; nobody is told"),
        ("unmute", "hear a muted friend again"),
    ):
        muting = add(
            name,
            summary,
            "A muted friend's messages arrive and are shown as ever, and status does not count them as unread.",
            "an object as in contacts",
        )
        muting.add_argument("contact", help="number, alias or name")
    note = add(
        "note",
        "keep a note about a friend, or read it",
        "It is encrypted where it is kept, and nobody else sees it.",
        "an object as in contacts",
    )
    note.add_argument("contact", help="number, alias or name")
    note.add_argument(
        "text", nargs="*", default=[], metavar="TEXT", help="the note; without it, the one there is is shown"
    )
    note.add_argument("--remove", action="store_true", help="take the note away")
    disappearing = add(
        "disappearing",
        "let what you and a friend say disappear after a while",
        "For what both of you say from now on, at both ends: your own messages go so long after you sent them, the\n"
        "friend's so long after you read them, with all that was put under them. Either of you can change it, and\n"
        "both are told. It is agreed between the two programs; a friend can keep a copy all the same.",
        "an object as in contacts; timer is in seconds, 0 for never",
    )
    disappearing.add_argument("contact", help="number, alias or name")
    disappearing.add_argument(
        "after",
        nargs="?",
        type=timer,
        metavar="TIME",
        help="30s, 5m, 12h, 7d or 2w; or off. Without it, how it is now",
    )
    typing = add(
        "typing",
        "show a friend that you are writing",
        "For programs that know: the friend sees it for half a minute unless it is said again, and only when you show\n"
        "it that (privacy NAME typing on).",
    )
    typing.add_argument("contact", help="number, alias or name")
    typing.add_argument(
        "on", nargs="?", default="on", choices=("on", "off"), metavar="on|off", help="off: not any more"
    )
    presence = add(
        "presence",
        "say whether you are there",
        "Friends to whom you show it (privacy NAME presence on) see it until chattor run ends. unknown takes it back.",
    )
    presence.add_argument(
        "state",
        choices=("online", "away", "offline", "unknown"),
        metavar="STATE",
        help="online, away, offline or unknown",
    )
