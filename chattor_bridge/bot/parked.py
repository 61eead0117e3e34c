"""What was set aside because it could not be worked off: list, retry, drop."""

from __future__ import annotations

import hashlib
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.bridge.parking import Aside, Side
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import MatrixUserId, NodeId
from chattor_bridge.node.ports import Transaction

GROUP = "When something fails"

NOTHING = "Nothing is set aside."
SET_ASIDE = "Set aside, because it could not be done:"
WHAT_NOW = (
    "`parked retry` tries all of it again, in this order, and `parked retry 1` one of it; `parked drop 1` gives one up."
)

KINDS = {
    "show-event": "something they said",
    "show-file": "a file of theirs",
    "weigh-file": "a file they offer",
    "offer-file": "a file of yours",
    "show-unknown": "something they said that this version does not know",
    "open-portal": "opening the room of your conversation",
    "rename-portal": "showing their new name",
    "ask-about-knock": "a contact request I wanted to tell you of",
}
"""What a pending action was to do, by its kind; any other is something I wanted to say."""


def series_of(owner: MatrixUserId) -> NodeId:
    """Under what the numbers of this owner's parked rows are kept: rows can be parked before there is a node."""
    return NodeId(hashlib.sha256(f"parked:{owner}".encode()).digest()[:16])


async def list_parked(request: Request) -> Deed:
    request.nothing_more("parked")

    async def deed(tx: Transaction) -> None:
        asides = await request.desk.parking.of(tx, request.owner)
        if not asides:
            await request.answer(tx, NOTHING)
            return
        numbers = await _numbers(request).of(
            tx, series_of(request.owner), Kind.PARKED, [aside.ident for aside in asides]
        )
        lines = [f"- **{numbers[aside.ident]}** {await _line(tx, request, aside)}" for aside in asides]
        await request.answer(tx, "\n\n".join([SET_ASIDE, "\n".join(lines), WHAT_NOW]))

    return deed


async def retry(request: Request) -> Deed:
    return _with(request, request.desk.parking.retry, "I try again: {count}. If it fails once more, I tell you.")


async def drop(request: Request) -> Deed:
    if not request.rest:
        raise UsageError("Say which: parked drop and its number, or parked drop all. parked shows the numbers.")
    return _with(request, request.desk.parking.drop, "Given up: {count}.")


def _with(request: Request, act: Callable[[Transaction, Aside], Awaitable[None]], answer: str) -> Deed:
    async def deed(tx: Transaction) -> None:
        asides = await request.desk.parking.of(tx, request.owner)
        if not asides:
            await request.answer(tx, NOTHING)
            return
        if request.rest not in ("", "all"):
            asides = [
                await _numbers(request).find(
                    tx,
                    series_of(request.owner),
                    Kind.PARKED,
                    request.rest,
                    asides,
                    ident=lambda aside: aside.ident,
                    names=lambda _: (),
                )
            ]
        for aside in asides:
            await act(tx, aside)
        await request.answer(tx, answer.format(count=len(asides)))

    return deed


def _numbers(request: Request) -> Numbers:
    return Numbers(request.desk.store)


async def _line(tx: Transaction, request: Request, aside: Aside) -> str:
    since = datetime.fromtimestamp(aside.row.since, UTC).strftime("%Y-%m-%d %H:%M UTC")
    where = "between you and me"
    if aside.portal is not None:
        contact = await request.desk.store.contacts.get(tx, aside.portal.node_id, aside.portal.peer_id)
        name = (contact.alias or contact.peer_name) if contact is not None else ""
        where = f"with **{literal(name or NAMELESS)}**"
    return f"{_what(aside)}, {where}, {since}: {literal(aside.row.reason)}"


def _what(aside: Aside) -> str:
    if aside.side is Side.ACTIONS:
        return KINDS.get(str(aside.row.content.get("kind")), "something I wanted to say")
    event_id = str(aside.row.content.get("event_id"))
    if not event_id.startswith("$"):
        return "your having read something"
    return f"[what you wrote](https://matrix.to/#/{aside.row.queue}/{event_id})"


COMMANDS = (
    Command("parked", "", GROUP, "what could not be done and was set aside", list_parked),
    Command(
        "parked retry",
        "[NUMBER]",
        GROUP,
        "try again what was set aside, all of it in order or one",
        retry,
        examples=("parked retry", "parked retry 2"),
    ),
    Command(
        "parked drop",
        "NUMBER",
        GROUP,
        "give up what was set aside",
        drop,
        examples=("parked drop 2", "parked drop all"),
    ),
)
