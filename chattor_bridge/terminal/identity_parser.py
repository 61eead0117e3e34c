"""The part of the command line that is about one's own identity, and about the program."""

from __future__ import annotations

from pathlib import Path

from chattor_bridge.terminal.parsing import Add


def add_identity(add: Add) -> None:
    """Add the commands."""
    init = add(
        "init",
        "make an identity in this home",
        "Asks for the name that friends will see, unless --name gives it. Nothing is sent to anybody, and nothing\n"
        "that exists is overwritten.",
        '{"home": "/home/you/.local/share/chattor", "name": "Alice"}',
    )
    init.add_argument("--name", help="what friends will see, 64 bytes at most; it can be changed with profile")
    run = add(
        "run",
        "be online: hold the identity, its onions and its messages until Ctrl-C",
        "Starts tor, shows how it connects, and answers the other commands. Stops cleanly on SIGINT and SIGTERM, and\n"
        "loses nothing when it is killed. Only one can run for a home. With --headless it is a mailbox, for a machine\n"
        "that is always on and where nobody looks: it holds the mail of every friend who asks, and whoever comes with\n"
        "a code for one person (pair, or code new --once) is a friend at once.",
        '{"answering": true} once commands are answered, {"tor": 45, "summary": "…"} while tor connects,\n'
        '{"ready": true} when it has, and as they happen {"request": "1d…", "number": 3, "name": "Bob", "note": "…"},\n'
        '{"friend": "Bob"}, {"failed": "77…", "reason": "…"}, {"closed": "work", "reason": "…"}, and, after having\n'
        'been away, {"missed": {"messages": 1200, "friends": 3, "over": false, "words": "…"}}, again until it is over',
    )
    run.add_argument("--headless", action="store_true", help="be a mailbox: hold mail for friends who ask")
    add(
        "tui",
        "everything on the whole screen: contacts, requests, conversations",
        "With the chattor run of this home, or, when none runs, online by itself until it is closed. F1 shows the\n"
        "keys, Ctrl-P everything that can be done, by its name. NO_COLOR in the environment turns colours off.",
    )
    profile = add(
        "profile",
        "show or change the name and the picture that friends see",
        "A picture is made small and square, and nothing else of its file goes with it.",
        '{"name": "Alice", "avatar": true}',
    )
    profile.add_argument("name", nargs="?", help="the new name, 64 bytes at most; friends are told")
    picture = profile.add_mutually_exclusive_group()
    picture.add_argument("--avatar", type=Path, metavar="FILE", help="a picture of you for friends to see")
    picture.add_argument("--no-avatar", action="store_true", help="show friends no picture any more")
    avatar = add(
        "avatar",
        "the picture that a friend shows of itself",
        shape='{"contact": 1, "type": "image/jpeg", "data": "base64…"}',
    )
    avatar.add_argument("contact", help="number, alias or name")
    avatar.add_argument("file", nargs="?", type=Path, metavar="FILE", help="where to put it; it must not exist yet")
    add(
        "status",
        "show how things stand: tor, friends, messages on their way",
        shape='{"name": "Alice", "tor": {"ready": true, "summary": "Done"}, "codes": 1, "published": 1,\n'
        ' "onions": {"all": 3, "published": 3},\n'
        ' "contacts": 2, "online": 1, "requests": 1, "asked": 0, "queued": 0, "unread": 3, "uptime": 3600,\n'
        ' "trouble": []}\n'
        'An object of trouble is {"what": "friend", "name": "Bob", "reason": "…", "failures": 2, "next_try_in": 60}.\n'
        'Times are in seconds. While messages come that were missed there is "missed": {"messages": 1200,\n'
        '"friends": 3, "over": false, "words": "…"}. What was dropped since it started, once there is any, is\n'
        '"dropped": {"door_refused": 3, "strangers": 0, "undecryptable": 0, "unreadable": 0, "duplicates": 1,\n'
        '"words": "…"}. A node that holds mail for friends has besides,\n'
        "in bytes of its disk:\n"
        ' "mailbox": {"headless": true, "carried": [{"contact": 1, "name": "Bob", "held": 3}], "held": 49152,\n'
        ' "limit": 200998912, "shelves": 2, "most_shelves": 48, "tor": {"ready": true, "summary": "Done"},\n'
        ' "free": 36171579392}\n'
        "The held of a friend counts blocks; tor is that of the shelves, null when they have none of their own.",
    )
    doctor = add(
        "doctor",
        "find out what is wrong here, and what mends it",
        "Looks at the home's files, the disk, the database and tor; takes no lock and changes nothing, so chattor run\n"
        "may run meanwhile. Where it does not, a tor is started in a directory of its own. Exit code 0: no problem;\n"
        "1: there is one.",
        '{"check": "disk", "verdict": "fine|warning|problem", "what": "…", "mend": "…"}',
    )
    doctor.add_argument("--onions", action="store_true", help="also dial your friend codes over tor")
