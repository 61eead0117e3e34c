"""Files on their way: list, fetch, cancel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.files.words import called
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.counting import sized
from chattor_bridge.errors import UsageError
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import TransferState
from chattor_bridge.node.views import TransferInfo

GROUP: Final = "Files"

NOTHING: Final = "No file is on its way."

Act = Callable[[Transaction, TransferInfo], Awaitable[str]]
"""Does something with a file; what there is to say about it, if anything."""


async def list_files(request: Request) -> Deed:
    request.nothing_more("files")
    node, files, everything = request.node, await _under_way(request), await _all(request.node)
    names = {contact.peer_id: contact.alias or contact.name for contact in await node.contacts()}
    if not files:
        return request.answering(NOTHING)

    async def deed(tx: Transaction) -> None:
        numbers = await Numbers(request.desk.store).of(tx, node.node_id, Kind.FILE, [one.file_id for one in everything])
        lines = [
            f"- **{numbers[one.file_id]}** {_line(one, literal(names.get(one.peer_id) or NAMELESS))}" for one in files
        ]
        tail = "`files accept 1` fetches one that is offered, and `files cancel 1` ends one, whoever offers it."
        await request.answer(tx, "\n\n".join(["Files on their way:", "\n".join(lines), tail]))

    return deed


async def accept(request: Request) -> Deed:
    node = request.node

    async def fetch(tx: Transaction, one: TransferInfo) -> str:
        await node.files.accept(tx, one.peer_id, one.file_id)
        return f"{called(one.name)} is fetched as soon as your friend is there, and then shown in your conversation."

    waiting = [one for one in await _under_way(request) if not one.outgoing and one.state is TransferState.OFFERED]
    return await _with(request, waiting, fetch, "No file is offered to you that you have not accepted.")


async def cancel(request: Request) -> Deed:
    node = request.node

    async def end(tx: Transaction, one: TransferInfo) -> str:
        await node.files.cancel(tx, one.peer_id, one.file_id)
        told_anyway = request.heard.portal is not None and one.state is not TransferState.ARRIVED
        return "" if told_anyway else f"{called(one.name)} will not go over."

    return await _with(request, await _under_way(request), end, NOTHING)


async def _with(request: Request, files: Sequence[TransferInfo], act: Act, nothing: str) -> Deed:
    """Do it with the file that is meant; without a number with the only one there is."""
    if not files:
        raise UsageError(nothing)
    node, everything = request.node, await _all(request.node)

    async def deed(tx: Transaction) -> None:
        numbers = Numbers(request.desk.store)
        given = await numbers.of(tx, node.node_id, Kind.FILE, [one.file_id for one in everything])
        if not request.rest and len(files) > 1:
            which = ", ".join(f"{given[one.file_id]} ({called(one.name)})" for one in files)
            raise UsageError(f"Say which, by its number: {which}.")
        one = files[0]
        if request.rest:
            one = await numbers.find(
                tx,
                node.node_id,
                Kind.FILE,
                request.rest,
                everything,
                ident=lambda file: file.file_id,
                names=lambda file: (file.name,),
            )
        if answer := await act(tx, one):
            await request.answer(tx, answer)

    return deed


async def _all(node: Node) -> list[TransferInfo]:
    return [one for one in await node.files.list() if not one.state.over]


async def _under_way(request: Request) -> list[TransferInfo]:
    """Of the conversation in whose room it was asked, or of all."""
    portal = request.heard.portal
    return [one for one in await _all(request.node) if portal is None or one.peer_id == portal.peer_id]


def _line(one: TransferInfo, friend: str) -> str:
    what = f"{called(one.name)} ({sized(one.size)}) {'to' if one.outgoing else 'from'} **{friend}**"
    match one.state:
        case TransferState.OFFERED:
            state = "offered, and not accepted yet"
        case TransferState.ARRIVED:
            state = "has come, and is being uploaded"
        case _:
            state = f"{100 * one.done // one.size if one.size else 0} %"
    return f"{what}: {state}" + (f", {literal(one.reason)}" if one.reason else "")


COMMANDS = (
    Command(
        "files",
        "",
        GROUP,
        "files on their way, to friends and from them",
        list_files,
        there="",
    ),
    Command(
        "files accept",
        "[NUMBER]",
        GROUP,
        "fetch a file that a friend offers",
        accept,
        details="Small ones are fetched unasked. In the room of a conversation no number is needed while there is one.",
        examples=("files accept", "files accept 2"),
        aliases=("files fetch",),
        there="[NUMBER]",
    ),
    Command(
        "files cancel",
        "[NUMBER]",
        GROUP,
        "decline, withdraw or give up a file",
        cancel,
        examples=("files cancel 2",),
        aliases=("files decline",),
        there="[NUMBER]",
    ),
)
