"""The part of the command line that is about friends: who they are, and what ends, mends or proves a friendship."""

from __future__ import annotations

from chattor_bridge.terminal.parsing import Add


def add_friends(add: Add) -> None:
    """Add the commands."""
    block = add(
        "block",
        "be unreachable for a friend, or hear no more of a request",
        "A blocked friend sees you offline; what you had not sent yet waits. Nobody is told. With --request it is a\n"
        "contact request that is meant: it is gone, and does not come again.",
        '{"contact": 1, "name": "Bob"} or {"id": "1d…"}',
    )
    block.add_argument("who", help="number, alias or name; with --request the request's number or the name in it")
    block.add_argument("--request", action="store_true", help="block a contact request")
    unblock = add(
        "unblock",
        "be there for a blocked friend again, or take the block of a request back",
        shape='{"contact": 1, "name": "Bob"} or {"id": "1d…"}',
    )
    unblock.add_argument("who", help="number, alias or name; with --request the request's number or the name in it")
    unblock.add_argument("--request", action="store_true", help="unblock a contact request")
    forget = add(
        "forget",
        "end a friendship for good",
        "Erases the keys of the friendship, what was said and what was not sent yet. This cannot be undone: to be\n"
        "friends again, one of you needs a friend code of the other. The friend is not told, and sees you offline.",
        '{"contact": 1, "name": "Bob"}',
    )
    merge = add(
        "merge",
        "make one of two contacts that are the same person",
        "It happens when two people have added each other at the same time. Your friend has to say the same; when\n"
        "your friend was first, one of the two is enough. What was said and what waits goes on under the contact that\n"
        "stays.",
        '{"contact": 1, "name": "Bob"}',
    )
    merge.add_argument("contact", help="number, alias or name")
    merge.add_argument("other", nargs="?", help="the other one: number, alias or name")
    retire = add(
        "retire",
        "end friendships because somebody else may have their keys",
        "For example when a device or a backup was stolen. Your friend is told, and to exchange a new friend code\n"
        "with you; what was said stays. With --all it is every friendship that ends, and every friend code is taken\n"
        "back. This cannot be undone.",
        '{"contact": 1, "name": "Bob"}',
    )
    retire.add_argument("contact", nargs="?", help="number, alias or name")
    retire.add_argument("--all", action="store_true", help="end every friendship")
    forget.add_argument("contact", help="number, alias or name")
    for final in (forget, retire):
        final.add_argument("--yes", action="store_true", help="do not ask back, as is done at a terminal")
    add(
        "contacts",
        "list your friends",
        shape='{"contact": 1, "name": "Bob", "alias": "", "online": true, "blocked": false,\n'
        ' "retired": false, "queued": 0, "unread": 2, "since": 1793000000,\n'
        ' "verification": "unverified|verified|mismatch", "here": "online|away|offline|unknown",\n'
        ' "typing": false, "shares": ["receipts"], "muted": false, "note": "", "timer": 0, "last": 7}\n'
        "online says that the friend's program can be reached, here whether the person shows itself there;\n"
        "last is the order number of the last message with this friend, or null.",
    )
    rename = add(
        "rename",
        "give a friend a name of your own",
        "The alias is shown instead of the name the friend chose, and is never sent to anybody.",
        '{"contact": 1, "name": "Bob", "alias": "Bobby"}',
    )
    rename.add_argument("contact", help="number, alias or name")
    rename.add_argument(
        "alias", nargs="?", default="", help="the alias; without it, the friend's own name is shown again"
    )
    resync = add(
        "resync",
        "begin the encryption with a friend anew",
        "It begins anew by itself when it has to, for example after a database was restored; you need this only when\n"
        "messages stay away although both of you are online. Nothing that waits is lost. Once a day at most.",
        '{"contact": 1, "name": "Bob"}',
    )
    resync.add_argument("contact", help="number, alias or name")
    verify = add(
        "verify",
        "make sure that nobody stands between you and a friend",
        "Shows the safety number, 60 digits that are the same on both sides when nobody stands between: compare it by\n"
        "voice or in person. emoji does the same with seven pictures, while both of you are there: one starts, the\n"
        "other takes part with the same words. match or mismatch says what you found.",
        '{"contact": 1, "name": "Bob", "verification": "unverified|verified|mismatch", "number": "0123…",\n'
        ' "emoji": [["🐶", "Dog"], …]}\n'
        "emoji is null unless they are to be compared now.",
    )
    verify.add_argument("contact", help="number, alias or name")
    verify.add_argument(
        "what",
        nargs="?",
        default="",
        choices=("", "emoji", "match", "mismatch"),
        metavar="WHAT",
        help="emoji, match or mismatch",
    )
