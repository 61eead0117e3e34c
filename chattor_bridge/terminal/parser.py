"""The command line of `chattor`: argparse, written so that ``--help`` is the manual."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from chattor_bridge.durations import read_duration, read_timer
from chattor_bridge.errors import UsageError
from chattor_bridge.protocol.limits import MAX_ANSWERS, MAX_CODE_USES
from chattor_bridge.terminal.carry_parser import add_carrying
from chattor_bridge.terminal.exits import MEANINGS
from chattor_bridge.terminal.file_parser import add_files
from chattor_bridge.terminal.home import DEFAULT_HOME, HOME_VARIABLE
from chattor_bridge.terminal.talk_parser import add_talk

if TYPE_CHECKING:  # a private name of argparse, and generic to the type checker alone
    _Commands = argparse._SubParsersAction[argparse.ArgumentParser]

DEFAULT_HISTORY = 20
"""Messages that `history` shows: a screenful."""

MAX_HISTORY = 1_000
"""Messages that one `history` may ask for, as in `conversation`; further ones with --after."""

MAX_ORDER = 2**63 - 1
"""The largest order number: what a signed 64-bit column holds."""

DEFAULT_WAIT = 60
"""Seconds that `send --wait` waits: a link over Tor comes up well within them when the friend is online."""

MAX_WAIT = 86_400
"""Seconds that `send --wait --timeout` may ask for: a day; after that `history` tells."""

_INTRODUCTION = """\
Chattor in a terminal: private chat between friends over Tor onion services, with no server and no account.

first steps:
  chattor init                   make an identity in this home
  chattor run                    be online; leave it running, use another terminal for the rest
  chattor code new               make a friend code and hand it to somebody, or
  chattor add CODE               ask the owner of a friend code to be your friend
  chattor requests               see who asks; chattor accept NAME makes friends
  chattor send NAME Hello!       write; chattor follow shows what arrives, as it arrives
  chattor tui                    or all of it on one screen, with or without chattor run
"""

_EPILOGUE = """\
names:
  A contact is meant by its number in "chattor contacts", by your own alias for it, or by its name. A name that two
  contacts share is refused: use the number. A request or a friend code is meant by its short id, its name or its label.

for scripts:
  With --json every command writes one JSON object a line to standard output, in ASCII, and errors as
  {{"error": "..."}} to standard error. Each command's --help shows its objects. Times are seconds since 1970 (UTC), ids
  are hexadecimal.

files ({default_home}, or --home, or ${home_variable}):
  config.yaml    options, each explained in it; written by init, never rewritten
  store.key      opens everything stored here: without it nothing can be read again. Back it up apart from the rest.
  chattor.db     the identity, the contacts, the history; texts and keys are encrypted with store.key
  files/         files of friends that were fetched and not saved yet, encrypted
  tor/           what tor keeps
  control.sock   where the other commands find chattor run

exit codes:
{codes}
"""

_RECEIPTS = """\
Friends' messages that were shown are marked as read, and their senders get a read receipt; --no-receipts leaves them
unread."""

_MESSAGE = """{"order": 7, "contact": 1, "name": "Bob", "peer": "a1…", "event_id": "5f…", "sent": false,
 "kind": "text", "text": "Hello", "time": 1793000000, "stored": 1793000002, "state": "received"}
time is the sender's clock, stored ours. kind is text, emote, notice, location, poll, unknown, or note for what this
program says itself. Where it applies there are besides:
 "edited": 1793000009, the text is the newest then; "deleted": 1793000009, the text is empty then
 "reply": {"event_id": "5f…", "order": 5, "sent": true, "text": "Hi", "deleted": false}, what it answers, without the
   last four when that is not here; "thread": the same of the first message of its thread
 "reactions": [{"emoji": "👍", "sent": true}]
 "location": {"latitude": 51.5007, "longitude": -0.1246, "accuracy": 35, "name": "Big Ben"}
 "poll": {"question": "Tea?", "answers": ["yes", "no"], "choices": 1, "disclosed": true, "ended": false, "mine": [0],
   "theirs": [1]}, the numbers of answers from 0; theirs is null while they are hidden
 "failed": [{"kind": "edit", "reason": "…"}], changes of it that will not arrive"""

_STATES = """ state is received or read; for what you sent queued,
carried with "carriers": 2, at which it waits for the friend, delivered, read, or failed with a "reason"."""

_CHANGES = """
follow also shows what changes an earlier message, when it comes: kind edit, delete, reaction, vote ("choices": [0]) or
poll_end, with that message as "target", in the shape of "reply"."""


def build_parser() -> argparse.ArgumentParser:
    """The whole command line. ``command`` names the command, ``--home`` and ``--json`` stand before or after it."""
    codes = "\n".join(f"  {int(code):<5}{meaning}" for code, meaning in MEANINGS.items())
    parser = argparse.ArgumentParser(
        prog="chattor",
        description=_INTRODUCTION,
        epilog=_EPILOGUE.format(codes=codes, default_home=DEFAULT_HOME, home_variable=HOME_VARIABLE),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    _add_common(parser, absent=None)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_identity(commands)
    _add_friends(commands)
    _add_person(commands)
    _add_messages(commands)
    add_files(partial(_command, commands))
    add_carrying(partial(_command, commands))
    return parser


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    """Parse a command line (``None``: this process's). Like argparse, exits with 2 when it is wrong."""
    parser = build_parser()
    arguments, extra = parser.parse_known_args(argv)
    # argparse takes no more words for a list once an option came between: "send bob --wait hello"
    rest = {"send": "text", "reply": "text", "edit": "text", "add": "code", "pair": "code"}.get(arguments.command)
    if extra and rest is not None and not getattr(arguments, rest) and not any(word.startswith("-") for word in extra):
        setattr(arguments, rest, extra)
    elif extra:
        parser.error(f"unrecognized arguments: {' '.join(extra)}")
    return arguments


def _add_common(parser: argparse.ArgumentParser, absent: object) -> None:
    parser.add_argument(
        "--home", type=Path, metavar="DIR", default=absent, help=f"the identity's directory (default {DEFAULT_HOME})"
    )
    parser.add_argument(
        "--json", action="store_true", default=absent or False, help="write JSON objects, one a line, for scripts"
    )


def _command(
    commands: _Commands, name: str, summary: str, manual: str = "", shape: str = ""
) -> argparse.ArgumentParser:
    paragraphs = [f"{summary[0].upper()}{summary[1:]}.", manual]
    if shape:
        paragraphs.append(f"with --json:\n{shape}")
    command: argparse.ArgumentParser = commands.add_parser(
        name,
        help=summary,
        description="\n\n".join(paragraph for paragraph in paragraphs if paragraph),
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    # not given here, what stood before the command must stay
    _add_common(command, absent=argparse.SUPPRESS)
    return command


def _add_identity(commands: _Commands) -> None:
    init = _command(
        commands,
        "init",
        "make an identity in this home",
        "Asks for the name that friends will see, unless --name gives it. Nothing is sent to anybody, and nothing\n"
        "that exists is overwritten.",
        '{"home": "/home/you/.local/share/chattor", "name": "Alice"}',
    )
    init.add_argument("--name", help="what friends will see, 64 bytes at most; it can be changed with profile")
    run = _command(
        commands,
        "run",
        "be online: hold the identity, its onions and its messages until Ctrl-C",
        "Starts tor, shows how it connects, and answers the other commands. Stops cleanly on SIGINT and SIGTERM, and\n"
        "loses nothing when it is killed. Only one can run for a home. With --headless it is a mailbox, for a machine\n"
        "that is always on and where nobody looks: it holds the mail of every friend who asks, and whoever comes with\n"
        "a code for one person (pair, or code new --once) is a friend at once.",
        '{"answering": true} once commands are answered, {"tor": 45, "summary": "…"} while tor connects,\n'
        '{"ready": true} when it has, and as they happen {"request": "1d…", "name": "Bob", "note": "…"},\n'
        '{"friend": "Bob"}, {"failed": "77…", "reason": "…"}, {"closed": "work", "reason": "…"}, and, after having\n'
        'been away, {"missed": {"messages": 1200, "friends": 3, "over": false, "words": "…"}}, again until it is over',
    )
    run.add_argument("--headless", action="store_true", help="be a mailbox: hold mail for friends who ask")
    _command(
        commands,
        "tui",
        "everything on the whole screen: contacts, requests, conversations",
        "With the chattor run of this home, or, when none runs, online by itself until it is closed. F1 shows the\n"
        "keys, Ctrl-P everything that can be done, by its name. NO_COLOR in the environment turns colours off.",
    )
    profile = _command(
        commands,
        "profile",
        "show or change the name and the picture that friends see",
        "A picture is made small and square, and nothing else of its file goes with it.",
        '{"name": "Alice", "avatar": true}',
    )
    profile.add_argument("name", nargs="?", help="the new name, 64 bytes at most; friends are told")
    picture = profile.add_mutually_exclusive_group()
    picture.add_argument("--avatar", type=Path, metavar="FILE", help="a picture of you for friends to see")
    picture.add_argument("--no-avatar", action="store_true", help="show friends no picture any more")
    avatar = _command(
        commands,
        "avatar",
        "the picture that a friend shows of itself",
        shape='{"contact": 1, "type": "image/jpeg", "data": "base64…"}',
    )
    avatar.add_argument("contact", help="number, alias or name")
    avatar.add_argument("file", nargs="?", type=Path, metavar="FILE", help="where to put it; it must not exist yet")
    _command(
        commands,
        "status",
        "show how things stand: tor, friends, messages on their way",
        shape='{"name": "Alice", "tor": {"ready": true, "summary": "Done"}, "codes": 1, "published": 1,\n'
        ' "onions": {"all": 3, "published": 3},\n'
        ' "contacts": 2, "online": 1, "requests": 1, "asked": 0, "queued": 0, "unread": 3, "uptime": 3600,\n'
        ' "trouble": []}\n'
        'An object of trouble is {"what": "friend", "reason": "…", "failures": 2, "next_try_in": 60}. Times are in\n'
        'seconds. While messages come that were missed there is "missed": {"messages": 1200, "friends": 3, "over":\n'
        'false, "words": "…"}. A node that holds mail for friends has besides, in bytes of its disk:\n'
        ' "mailbox": {"headless": true, "carried": [{"contact": 1, "name": "Bob", "held": 3}], "held": 49152,\n'
        ' "limit": 200998912, "shelves": 2, "most_shelves": 48, "tor": {"ready": true, "summary": "Done"},\n'
        ' "free": 36171579392}\n'
        "The held of a friend counts blocks; tor is that of the shelves, null when they have none of their own.",
    )
    doctor = _command(
        commands,
        "doctor",
        "find out what is wrong here, and what mends it",
        "Looks at the home's files, the disk, the database and tor; takes no lock and changes nothing, so chattor run\n"
        "may run meanwhile. Where it does not, a tor is started in a directory of its own. Exit code 0: no problem;\n"
        "1: there is one.",
        '{"check": "disk", "verdict": "fine|warning|problem", "what": "…", "mend": "…"}',
    )
    doctor.add_argument("--onions", action="store_true", help="also dial your friend codes over tor")


def _add_friends(commands: _Commands) -> None:
    code = _command(
        commands,
        "code",
        "list, make and retire friend codes",
        "A friend code is what you hand out so that people can ask to be your friend. Make one for each group of\n"
        "people you meet: retiring it stops further requests through it and changes nothing for friends you have.\n"
        "Whoever has a code can see whether you are online. Without a further word, lists.",
        '{"id": "9c…", "label": "work", "code": "chattor:…", "published": true, "once": false, "expires": null,\n'
        ' "uses": 0, "max_uses": null, "parked": false, "created": 1793000000}',
    )
    code.add_argument("--qr", action="store_true", help="draw them as QR codes too")
    actions = code.add_subparsers(dest="action", metavar="ACTION")
    listing = _command(actions, "list", "list your friend codes")
    new = _command(actions, "new", "make a friend code")
    new.add_argument("label", nargs="?", default="", help="what you call it; never sent to anybody")
    new.add_argument(
        "--once",
        action="store_true",
        help="for one person: longer, good for one request, and nobody without it can see that you are online",
    )
    new.add_argument("--expires", type=_duration, metavar="TIME", help="close it after this time: 30m, 12h, 7d, 2w")
    new.add_argument(
        "--uses", type=_bounded(1, MAX_CODE_USES), metavar="N", help=f"close it after N requests, up to {MAX_CODE_USES}"
    )
    park = _command(actions, "park", "close the door behind a friend code for now; the code stays")
    unpark = _command(actions, "unpark", "open a parked door again")
    rotate = _command(
        actions, "rotate", "put a new friend code in the place of one", "Friends made through the old one stay."
    )
    rotate.add_argument(
        "--grace",
        type=_duration,
        metavar="TIME",
        default="1d",
        help="how long the old code stays open, 0d to 7d (default 1d)",
    )
    for showing in (listing, new, rotate):
        showing.add_argument("--qr", action="store_true", default=argparse.SUPPRESS, help="draw as QR code too")
    retire = _command(actions, "retire", "take a friend code out of use, for good")
    for one in (park, unpark, rotate, retire):
        one.add_argument("code", help="its id (or the beginning of it) or its label")

    add = _command(
        commands,
        "add",
        "ask the owner of a friend code to be your friend",
        "The request is left at the owner's door as soon as it can be reached; requests shows where it stands. Other\n"
        "users of this machine can see command lines: without CODE, it is read from standard input.",
        '{"request": "1d…"}',
    )
    add.add_argument("code", nargs="*", metavar="CODE", help="the friend code; upper case and spaces do no harm")
    add.add_argument("--note", default="", help="who you are and why, 1,000 bytes at most; the owner reads it")
    _command(
        commands,
        "requests",
        "list contact requests, received and sent",
        "A request costs its sender some computing work; those that cost the most come first, and when many wait the\n"
        "effort is shown: each point more is twice the work. 100 wait at most. When more come, those you ignored make\n"
        "room first, then those with the least effort that this list has not shown yet.",
        shape='{"direction": "received", "id": "1d…", "name": "Bob", "note": "from school", "label": "work",\n'
        ' "ignored": false, "blocked": false, "effort": 4, "time": 1793000000}\n'
        '{"direction": "sent", "id": "77…", "state": "calling|left|failed", "reason": "", "note": "…",\n'
        ' "time": 1793000000}',
    )
    for name, summary, shape in (
        ("accept", "accept a contact request", '{"contact": 1, "name": "Bob"}'),
        ("ignore", "leave a contact request unanswered; its sender is not told", '{"id": "1d…"}'),
    ):
        answer = _command(commands, name, summary, shape=shape)
        answer.add_argument("request", help="its id (or the beginning of it) or the name in it")

    block = _command(
        commands,
        "block",
        "be unreachable for a friend, or hear no more of a request",
        "A blocked friend sees you offline; what you had not sent yet waits. Nobody is told. With --request it is a\n"
        "contact request that is meant: it is gone, and does not come again.",
        '{"contact": 1, "name": "Bob"} or {"id": "1d…"}',
    )
    block.add_argument("who", help="number, alias or name; with --request the request's id or the name in it")
    block.add_argument("--request", action="store_true", help="block a contact request")
    unblock = _command(
        commands,
        "unblock",
        "be there for a blocked friend again, or take the block of a request back",
        shape='{"contact": 1, "name": "Bob"} or {"id": "1d…"}',
    )
    unblock.add_argument("who", help="number, alias or name; with --request the request's id or the name in it")
    unblock.add_argument("--request", action="store_true", help="unblock a contact request")
    forget = _command(
        commands,
        "forget",
        "end a friendship for good",
        "Erases the keys of the friendship, what was said and what was not sent yet. This cannot be undone: to be\n"
        "friends again, one of you needs a friend code of the other. The friend is not told, and sees you offline.",
        '{"contact": 1, "name": "Bob"}',
    )
    merge = _command(
        commands,
        "merge",
        "make one of two contacts that are the same person",
        "It happens when two people have added each other at the same time. Your friend has to say the same; when\n"
        "your friend was first, one of the two is enough. What was said and what waits goes on under the contact that\n"
        "stays.",
        '{"contact": 1, "name": "Bob"}',
    )
    merge.add_argument("contact", help="number, alias or name")
    merge.add_argument("other", nargs="?", help="the other one: number, alias or name")
    retire = _command(
        commands,
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
    _command(
        commands,
        "contacts",
        "list your friends",
        shape='{"contact": 1, "name": "Bob", "alias": "", "online": true, "blocked": false,\n'
        ' "retired": false, "queued": 0, "unread": 2, "since": 1793000000,\n'
        ' "verification": "unverified|verified|mismatch", "here": "online|away|offline|unknown",\n'
        ' "typing": false, "shares": ["receipts"], "muted": false, "note": "", "timer": 0, "last": 7}\n'
        "online says that the friend's program can be reached, here whether the person shows itself there;\n"
        "last is the order number of the last message with this friend, or null.",
    )
    rename = _command(
        commands,
        "rename",
        "give a friend a name of your own",
        "The alias is shown instead of the name the friend chose, and is never sent to anybody.",
        '{"contact": 1, "name": "Bob", "alias": "Bobby"}',
    )
    rename.add_argument("contact", help="number, alias or name")
    rename.add_argument(
        "alias", nargs="?", default="", help="the alias; without it, the friend's own name is shown again"
    )
    resync = _command(
        commands,
        "resync",
        "begin the encryption with a friend anew",
        "It begins anew by itself when it has to, for example after a database was restored; you need this only when\n"
        "messages stay away although both of you are online. Nothing that waits is lost. Once a day at most.",
        '{"contact": 1, "name": "Bob"}',
    )
    resync.add_argument("contact", help="number, alias or name")
    verify = _command(
        commands,
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


def _add_person(commands: _Commands) -> None:
    privacy = _command(
        commands,
        "privacy",
        "what friends see of you",
        "receipts: what you have read; typing: that you are writing to them; presence: whether you are there.\n"
        "Receipts are on, the others off, until you want it otherwise. That something has arrived friends always see:\n"
        "without that nothing could be sent reliably. all is every friend you have and will have.",
        "an object as in contacts, for each friend",
    )
    privacy.add_argument("who", nargs="?", default="all", help="number, alias or name, or all (the default)")
    privacy.add_argument("what", nargs="?", choices=("receipts", "typing", "presence"), metavar="WHAT")
    privacy.add_argument("on", nargs="?", choices=("on", "off"), metavar="on|off")
    for name, summary in (
        ("mute", "be disturbed no more by a friend; nobody is told"),
        ("unmute", "hear a muted friend again"),
    ):
        muting = _command(
            commands,
            name,
            summary,
            "A muted friend's messages arrive and are shown as ever, and status does not count them as unread.",
            "an object as in contacts",
        )
        muting.add_argument("contact", help="number, alias or name")
    note = _command(
        commands,
        "note",
        "keep a note about a friend, or read it",
        "It is encrypted where it is kept, and nobody else sees it.",
        "an object as in contacts",
    )
    note.add_argument("contact", help="number, alias or name")
    note.add_argument("text", nargs="*", metavar="TEXT", help="the note; without it, the one there is is shown")
    note.add_argument("--remove", action="store_true", help="take the note away")
    disappearing = _command(
        commands,
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
        type=_timer,
        metavar="TIME",
        help="30s, 5m, 12h, 7d or 2w; or off. Without it, how it is now",
    )
    typing = _command(
        commands,
        "typing",
        "show a friend that you are writing",
        "For programs that know: the friend sees it for half a minute unless it is said again, and only when you show\n"
        "it that (privacy NAME typing on).",
    )
    typing.add_argument("contact", help="number, alias or name")
    typing.add_argument("on", nargs="?", default="on", choices=("on", "off"), metavar="on|off")
    presence = _command(
        commands,
        "presence",
        "say whether you are there",
        "Friends to whom you show it (privacy NAME presence on) see it until chattor run ends. unknown takes it back.",
    )
    presence.add_argument("state", choices=("online", "away", "offline", "unknown"), metavar="STATE")


def _add_messages(commands: _Commands) -> None:
    send = _command(
        commands,
        "send",
        "send a message to a friend",
        "The text may use CommonMark (**bold**, *italics*, `code`). Without TEXT it is read from standard input. It\n"
        "is on disk when this returns and goes out as soon as the friend can be reached. A long text becomes several\n"
        "messages; their event ids are shown, one a line.",
        '{"event_id": "5f…", "state": "queued"}\n'
        'and with --wait later {"event_id": "5f…", "state": "delivered|failed"}',
    )
    send.add_argument("contact", help="number, alias or name")
    send.add_argument("text", nargs="*", metavar="TEXT", help="what to say; put -- before it if it begins with a dash")
    send.add_argument("--emote", action="store_true", help="tell of yourself in the third person: * Alice waves")
    send.add_argument("--wait", action="store_true", help="wait until the friend has it on disk")
    send.add_argument(
        "--timeout",
        type=_bounded(1, MAX_WAIT),
        default=DEFAULT_WAIT,
        metavar="SECONDS",
        help=f"how long --wait waits at most (default {DEFAULT_WAIT}, up to {MAX_WAIT})",
    )
    add_talk(partial(_command, commands), _bounded(1, MAX_ORDER), _bounded(1, MAX_ANSWERS))
    history = _command(
        commands,
        "history",
        "show messages, oldest first",
        _RECEIPTS,
        _MESSAGE + _STATES,
    )
    history.add_argument("contact", help="number, alias or name")
    history.add_argument(
        "--limit",
        type=_bounded(1, MAX_HISTORY),
        default=DEFAULT_HISTORY,
        metavar="N",
        help=f"how many: the last ones, or with --after the next (default {DEFAULT_HISTORY}, up to {MAX_HISTORY})",
    )
    place = history.add_mutually_exclusive_group()
    place.add_argument(
        "--after",
        type=_bounded(0, MAX_ORDER),
        metavar="ORDER",
        help="begin behind this order number; 0 is the beginning",
    )
    place.add_argument(
        "--before", type=_bounded(1, MAX_ORDER), metavar="ORDER", help="the last ones in front of this order number"
    )
    follow = _command(
        commands,
        "follow",
        "show messages as they arrive, until Ctrl-C",
        "Every message carries an order number that only grows. --after ORDER begins behind that message, so a script\n"
        "that remembers the last order it handled misses nothing and sees nothing twice, whatever happens between.\n"
        "Without it, what is unread comes first. When chattor run stops, this ends with exit code 3.\n\n" + _RECEIPTS,
        _MESSAGE + _CHANGES,
    )
    follow.add_argument("contact", nargs="?", help="number, alias or name; without it, all conversations together")
    follow.add_argument("--after", type=_bounded(0, MAX_ORDER), metavar="ORDER", help="begin behind this order number")
    follow.add_argument("--sent", action="store_true", help="show your own messages too")
    _command(
        commands,
        "watch",
        "tell what changes, as it changes, until Ctrl-C",
        "Messages with their states, friends coming and going, requests, codes. Each change comes once however often\n"
        "it happened meanwhile, with how things are now. Marks nothing as read. What must not be missed when this\n"
        "command stands still is follow's to tell.",
        '{"change": "everything"} first, and whenever it was too much to say one by one: look at all anew\n'
        '{"change": "message", "message": {…}} as in history, {"change": "gone", "contact": 1, "event_id": "5f…"}\n'
        '{"change": "contact", "contact": {…}} as in contacts\n'
        '{"change": "missed", "messages": 1200, "friends": 3, "over": false, "words": "…"}\n'
        '{"change": "contacts|requests|codes|status"}: ask for these anew',
    )
    for reading in (history, follow):
        reading.add_argument("--no-receipts", action="store_true", help="leave what is shown unread")


def _duration(text: str) -> int:
    """A length of time, in seconds."""
    try:
        return read_duration(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _timer(text: str) -> int:
    """The same with seconds, or off."""
    try:
        return read_timer(text)
    except UsageError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _bounded(low: int, high: int) -> Callable[[str], int]:
    """A reader of whole numbers within bounds, both included."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = low - 1
        if not low <= number <= high:
            raise argparse.ArgumentTypeError(f"must be a whole number from {low} to {high}")
        return number

    return read
