"""Friend codes: list, new, show, park, rotate, retire."""

from __future__ import annotations

import base64
import io
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import replace

import segno

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.actions import ShowImage
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.counting import counted
from chattor_bridge.durations import in_words, read_duration
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import CodeInfo

GROUP = "Friend codes"

_MOST_DIGITS = 9
"""Digits of a number that are looked at: enough to be too many uses."""

PIXELS = 8
"""Pixels of a side of one square: a telephone reads the picture from a screen at arm's length."""

QUIET_ZONE = 4
"""Squares of white around the code, as the QR standard demands."""

DEFAULT_LABEL = "friends"

HOW_TO_SHARE = (
    "Give it to whoever may ask to be your contact: they write `add` and the code to the bot, or type "
    "`chattor add` and the code. Everybody who has it can knock; you can retire it at any time, and your contacts stay."
)
HOW_TO_SHARE_ONCE = (
    "Give it to one person, over a channel you trust: they write `add` and the code to the bot, or type `chattor add` "
    "and the code. It is good for one request, and without it nobody can even see that there is a door."
)

DEFAULT_GRACE = "1d"
"""How long an old code stays open after a rotation, unless its owner says otherwise: for those who just got it."""

_DASHES = re.compile(r"(?<!\S)[\u2013\u2014](?=[a-z])")
"""What telephones make of two hyphens before a word."""


async def list_codes(request: Request) -> Deed:
    request.nothing_more("code list")
    node = request.node
    codes = await node.codes()
    if not codes:
        return request.answering(
            "You have no friend code. Write `code new` and a label, for example `code new friends`, to make one."
        )

    async def deed(tx: Transaction) -> None:
        numbers = await Numbers(request.desk.store).of(tx, node.node_id, Kind.CODE, [code.door_id for code in codes])
        now = request.desk.clock.now()
        lines = [f"- **{numbers[code.door_id]}** {_labelled(code)}: `{code.code}`{_state(code, now)}" for code in codes]
        await request.answer(
            tx, "Your friend codes:\n\n" + "\n".join(lines) + "\n\n`code show 1` shows one as a picture."
        )

    return deed


async def new_code(request: Request) -> Deed:
    node = request.node
    label, options = _options(request.rest, {"once": False, "expires": True, "uses": True})
    lifetime = read_duration(options["expires"]) if "expires" in options else None
    max_uses = _whole_number(options["uses"]) if "uses" in options else None

    async def deed(tx: Transaction) -> None:
        code = await node.create_code(
            tx, label or DEFAULT_LABEL, one_time="once" in options, lifetime=lifetime, max_uses=max_uses
        )
        await _present(tx, request, code)

    return deed


async def show_code(request: Request) -> Deed:
    node = request.node
    codes = await node.codes()

    async def deed(tx: Transaction) -> None:
        code = await _find(tx, request, codes)
        await request.answer(tx, f"{_labelled(code)}: `{code.code}`")
        await _show_picture(tx, request, code)

    return deed


async def park_code(request: Request) -> Deed:
    return await _set_parked(request, parked=True)


async def unpark_code(request: Request) -> Deed:
    return await _set_parked(request, parked=False)


async def _set_parked(request: Request, *, parked: bool) -> Deed:
    node = request.node
    codes = await node.codes()

    async def deed(tx: Transaction) -> None:
        code = await _find(tx, request, codes)
        await node.park_code(tx, code.door_id, parked=parked)
        told = "is parked: its door is closed until you write `code unpark`" if parked else "is open again"
        await request.answer(tx, f"{_labelled(code)} {told}. The code stays the same.")

    return deed


async def rotate_code(request: Request) -> Deed:
    node = request.node
    codes = await node.codes()
    which, options = _options(request.rest, {"grace": True})
    grace = read_duration(options.get("grace", DEFAULT_GRACE))

    async def deed(tx: Transaction) -> None:
        old = await _find(tx, replace(request, rest=which), codes)
        new = await node.rotate_code(tx, old.door_id, grace=grace)
        until = f"closes in {in_words(grace)}" if grace else "is retired"
        await request.answer(tx, f"The old code {_labelled(old)} {until}. Your contacts stay as they are.")
        await _present(tx, request, new)

    return deed


async def retire_code(request: Request) -> Deed:
    node = request.node
    codes = await node.codes()

    async def deed(tx: Transaction) -> None:
        if not request.rest:  # there may be only one, and this has no way back
            raise UsageError("Say which code: code retire and its number. code list shows them.")
        code = await _find(tx, request, codes)
        await node.retire_code(tx, code.door_id)
        await request.answer(
            tx, f"{_labelled(code)} is retired: nobody can knock there any more. Your contacts stay as they are."
        )

    return deed


async def _find(tx: Transaction, request: Request, codes: list[CodeInfo]) -> CodeInfo:
    if not request.rest and len(codes) == 1:
        return codes[0]
    if codes and not request.rest:
        raise UsageError("Say which code, by its number or label. code list shows them.")
    return await Numbers(request.desk.store).find(
        tx,
        request.node.node_id,
        Kind.CODE,
        request.rest,
        codes,
        ident=lambda code: code.door_id,
        names=lambda code: (code.label, code.code),
    )


async def _present(tx: Transaction, request: Request, code: CodeInfo) -> None:
    number, _ = await Numbers(request.desk.store).one(tx, request.node.node_id, Kind.CODE, code.door_id)
    how = HOW_TO_SHARE_ONCE if code.one_time else HOW_TO_SHARE
    await request.answer(tx, f"Your new friend code (code {number}):\n\n`{code.code}`\n\n{how}")
    await _show_picture(tx, request, code)


def _options(text: str, known: Mapping[str, bool]) -> tuple[str, dict[str, str]]:
    """The words of a command and its options (``--uses 5``); ``known`` says which take a value.

    Raises: UsageError.
    """
    words, rest, options = deque(_DASHES.sub("--", text).split()), [], {}
    while words:
        word = words.popleft()
        name = word.removeprefix("--").lower()
        if not word.startswith("--"):
            rest.append(word)
        elif name not in known:
            raise UsageError(f"There is no option {word} here; there are {', '.join(f'--{one}' for one in known)}.")
        elif known[name] and not words:
            raise UsageError(f"Something is missing after {word}.")
        else:
            options[name] = words.popleft() if known[name] else ""
    return " ".join(rest), options


def _whole_number(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise UsageError("The number of uses is a whole number, such as 5.")
    return int(text[:_MOST_DIGITS])


async def _show_picture(tx: Transaction, request: Request, code: CodeInfo) -> None:
    room_id = request.heard.place.room_id
    if room_id is None:
        return
    png, width = qr_png(code.code)
    image = ShowImage(
        request.owner, room_id, base64.b64encode(png).decode(), "friend-code.png", "Your friend code to scan", width
    )
    await request.desk.voice.arrange(tx, request.heard.place.lane, image)


def qr_png(code: str) -> tuple[bytes, int]:
    """The code as a QR image: PNG, and its side in pixels. In capitals, which make a QR code of fewer squares."""
    symbol = segno.make(code.upper(), error="m", micro=False)
    buffer = io.BytesIO()
    symbol.save(buffer, kind="png", scale=PIXELS, border=QUIET_ZONE)
    return buffer.getvalue(), int(symbol.symbol_size(scale=PIXELS, border=QUIET_ZONE)[0])


def _labelled(code: CodeInfo) -> str:
    return f"“{literal(code.label)}”"


def _state(code: CodeInfo, now: int) -> str:
    """What there is to know of a code, in brackets; nothing for an ordinary one at work."""
    facts = ["one-time"] if code.one_time else []
    if code.max_uses is not None and not code.one_time:
        facts.append(f"{code.uses} of {counted(code.max_uses, 'use')}")
    if code.is_used_up:
        facts.append("used up")
    elif code.expires_at is not None:
        facts.append(f"closes in {in_words(code.expires_at - now)}")
    if code.parked:
        facts.append("parked")
    elif not code.published:
        facts.append("not reachable yet: its door is being put up")
    return f" ({'; '.join(facts)})" if facts else ""


COMMANDS = (
    Command("code", "", GROUP, "your friend codes", list_codes, aliases=("codes", "code list")),
    Command(
        "code new",
        "[LABEL] [--once] [--expires 7d] [--uses 5]",
        GROUP,
        "make a friend code, as text and as a picture to scan",
        new_code,
        details="The label is for you alone; it is shown with each request that comes by this code. --once makes a "
        "code for one person: it is longer and good for one request, which no others push out, and without it nobody "
        "can see whether you are online. --expires closes it after a time (30m, 12h, 7d, 2w), --uses after so many "
        "requests.",
        examples=("code new friends", "code new business card --uses 20 --expires 2w", "code new Ada --once"),
    ),
    Command(
        "code show",
        "NUMBER",
        GROUP,
        "show a friend code as a picture again",
        show_code,
        examples=("code show 1", "code show friends"),
    ),
    Command(
        "code park",
        "NUMBER",
        GROUP,
        "close the door behind a code for now; the code stays",
        park_code,
        details="Whoever has a code can see from its door whether you are online. Park a code nobody needs just now.",
        examples=("code park 1", "code park friends"),
    ),
    Command("code unpark", "NUMBER", GROUP, "open a parked door again", unpark_code, examples=("code unpark 1",)),
    Command(
        "code rotate",
        "NUMBER [--grace 1d]",
        GROUP,
        "put a new code in the place of one; contacts stay",
        rotate_code,
        details="The old code stays open for a day, or as long as --grace says (0d to 7d), for those who just got it.",
        examples=("code rotate 1", "code rotate friends --grace 7d", "code rotate 2 --grace 0d"),
    ),
    Command(
        "code retire",
        "NUMBER",
        GROUP,
        "close the door behind a code; contacts stay",
        retire_code,
        examples=("code retire 1", "code retire friends"),
    ),
)
