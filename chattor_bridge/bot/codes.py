"""Friend codes: list, new, show, retire."""

from __future__ import annotations

import base64
import io

import segno

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.actions import ShowImage
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import CodeInfo

GROUP = "Friend codes"

PIXELS = 8
"""Pixels of a side of one square: a telephone reads the picture from a screen at arm's length."""

QUIET_ZONE = 4
"""Squares of white around the code, as the QR standard demands."""

DEFAULT_LABEL = "friends"

HOW_TO_SHARE = (
    "Give it to whoever may ask to be your contact: they write `add` and the code to the bot, or type "
    "`chattor add` and the code. Everybody who has it can knock; you can retire it at any time, and your contacts stay."
)


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
        lines = [f"- **{numbers[code.door_id]}** {_labelled(code)}: `{code.code}`{_state(code)}" for code in codes]
        await request.answer(
            tx, "Your friend codes:\n\n" + "\n".join(lines) + "\n\n`code show 1` shows one as a picture."
        )

    return deed


async def new_code(request: Request) -> Deed:
    node = request.node

    async def deed(tx: Transaction) -> None:
        code = await node.create_code(tx, request.rest or DEFAULT_LABEL)
        number, _ = await Numbers(request.desk.store).one(tx, node.node_id, Kind.CODE, code.door_id)
        await request.answer(tx, f"Your new friend code (code {number}):\n\n`{code.code}`\n\n{HOW_TO_SHARE}")
        await _show_picture(tx, request, code)

    return deed


async def show_code(request: Request) -> Deed:
    node = request.node
    codes = await node.codes()

    async def deed(tx: Transaction) -> None:
        code = await _find(tx, request, codes)
        await request.answer(tx, f"{_labelled(code)}: `{code.code}`")
        await _show_picture(tx, request, code)

    return deed


async def retire_code(request: Request) -> Deed:
    node = request.node
    codes = await node.codes()

    async def deed(tx: Transaction) -> None:
        if not request.rest:
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
    return await Numbers(request.desk.store).find(
        tx,
        request.node.node_id,
        Kind.CODE,
        request.rest,
        codes,
        ident=lambda code: code.door_id,
        names=lambda code: (code.label, code.code),
    )


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


def _state(code: CodeInfo) -> str:
    return "" if code.published else " (not reachable yet: its door is being put up)"


COMMANDS = (
    Command("code", "", GROUP, "your friend codes", list_codes, aliases=("codes", "code list")),
    Command(
        "code new",
        "[LABEL]",
        GROUP,
        "make a friend code, as text and as a picture to scan",
        new_code,
        details="The label is for you alone; it is shown with each request that comes by this code.",
        examples=("code new friends", "code new business card"),
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
        "code retire",
        "NUMBER",
        GROUP,
        "close the door behind a code; contacts stay",
        retire_code,
        examples=("code retire 1", "code retire friends"),
    ),
)
