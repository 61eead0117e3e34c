"""Contact requests, both ways: add, requests, accept, ignore."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence

from chattor_bridge.bot.notices import answered, from_whom
from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.lane_names import owner_lane
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.errors import Unavailable, UsageError
from chattor_bridge.ids import KnockId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import KnockState
from chattor_bridge.node.views import OutgoingInfo, RequestInfo
from chattor_bridge.typed_code import split_code
from chattor_bridge.wording import MANY_REQUESTS

GROUP = "Contacts"

STATES = {
    KnockState.CALLING: "not at the door yet",
    KnockState.LEFT: "left at the door; they decide now",
    KnockState.FAILED: "given up",
}


async def add(request: Request) -> Deed:
    if not request.rest:
        raise UsageError("Put the friend code behind add, and after it a line about who you are if you like.")
    code, note = split_code(request.rest) or _at_first_space(request.rest)

    async def deed(tx: Transaction) -> None:
        number = await _bring(tx, request, code, note)
        await request.answer(
            tx,
            f"I am bringing your request there (your request {number}); over Tor that can take a minute. I tell you "
            f"when it has been left at the door, and when it is accepted. They see you as "
            f"**{literal(await _own_name(tx, request))}**.",
        )

    return deed


async def pair(request: Request) -> Deed:
    if not request.rest:
        raise UsageError("Put the code behind pair that `chattor pair` shows on your mailbox.")

    async def deed(tx: Transaction) -> None:
        number = await _bring(tx, request, request.rest, "", pair=True)
        await request.answer(
            tx,
            f"I am bringing the code there (your request {number}); over Tor that can take a minute. A mailbox is your "
            "contact at once, and says in its conversation that it holds your mail.",
        )

    return deed


async def _bring(tx: Transaction, request: Request, code: str, note: str, *, pair: bool = False) -> int:
    """The number by which its owner is told of a request."""
    knock_id = await request.node.add(tx, code, note, pair=pair)
    number, _ = await Numbers(request.desk.store).one(tx, request.node.node_id, Kind.KNOCK, knock_id)
    return number


async def list_requests(request: Request) -> Deed:
    request.nothing_more("requests")
    node = request.node
    waiting, ours = await node.requests(), await node.outgoing()
    blocked = await node.requests(blocked=True)

    async def deed(tx: Transaction) -> None:
        numbers = Numbers(request.desk.store)
        text = []
        of = await numbers.of(tx, node.node_id, Kind.REQUEST, [item.knock_id for item in (*waiting, *blocked)])
        if waiting:
            lines = [f"- **{of[item.knock_id]}** {_line(item, many=len(waiting) >= MANY_REQUESTS)}" for item in waiting]
            await node.see_requests(tx, [item.knock_id for item in waiting])
            text.append("Waiting for your answer (`accept 1`, `ignore 1`):\n\n" + "\n".join(lines))
        if ours:
            ours_of = await numbers.of(tx, node.node_id, Kind.KNOCK, [item.knock_id for item in ours])
            lines = [f"- your request {ours_of[item.knock_id]}: {_own_line(item)}" for item in ours]
            text.append("Yours to others:\n\n" + "\n".join(lines))
        if blocked:
            lines = [f"- **{of[item.knock_id]}** **{from_whom(item.name)}**" for item in blocked]
            text.append("Blocked (`unblock request 1`):\n\n" + "\n".join(lines))
        await request.answer(tx, "\n\n".join(text) or "There are no contact requests.")

    return deed


async def accept(request: Request) -> Deed:
    node = request.node

    async def deed(tx: Transaction, item: RequestInfo) -> None:
        # the announcement of the new contact is the answer, and stamps the notice
        await node.accept(tx, item.knock_id)

    return await _with_request(request, "accept", deed)


async def ignore(request: Request) -> Deed:
    node = request.node

    async def deed(tx: Transaction, item: RequestInfo) -> None:
        await node.ignore(tx, item.knock_id)
        await answered(tx, request.desk.store, request.desk.voice, request.owner, item.knock_id, _ignored(item))
        await request.answer(tx, f"{_ignored(item)} Nobody is told. You can still accept it later.")

    return await _with_request(request, "ignore", deed)


async def block_request(request: Request) -> Deed:
    node = request.node

    async def deed(tx: Transaction, item: RequestInfo) -> None:
        await node.block_request(tx, item.knock_id)
        told = f"\N{CROSS MARK} You blocked the request of **{from_whom(item.name)}**."
        await answered(tx, request.desk.store, request.desk.voice, request.owner, item.knock_id, told)
        await request.answer(tx, f"{told} Nobody is told, and it does not come again.")

    return await _with_request(request, "block request", deed)


async def unblock_request(request: Request) -> Deed:
    node = request.node
    waiting, blocked = await node.requests(), await node.requests(blocked=True)
    if not request.rest:
        raise UsageError("Say which request: unblock request 1. requests shows the numbers.")

    async def deed(tx: Transaction) -> None:
        item = await _by_word(tx, request, blocked, waiting)
        await node.unblock_request(tx, item.knock_id)
        await request.answer(
            tx, f"The request of **{from_whom(item.name)}** is not blocked any more. You can still accept it."
        )

    return deed


async def _by_word(
    tx: Transaction, request: Request, items: Sequence[RequestInfo], besides: Sequence[RequestInfo]
) -> RequestInfo:
    return await Numbers(request.desk.store).find(
        tx,
        request.node.node_id,
        Kind.REQUEST,
        request.rest,
        items,
        ident=lambda item: item.knock_id,
        names=lambda item: (item.name,),
        besides=besides,
    )


async def answer_knock(request: Request, knock_id: KnockId, *, yes: bool) -> Deed:
    """Accept or ignore the very request a notice told of.

    Raises: UsageError when it is not open any more.
    """
    item = next((item for item in await request.node.requests() if item.knock_id == knock_id), None)
    if item is None:
        raise UsageError("That request is not open any more. Write requests to see those that are.")

    async def deed(tx: Transaction) -> None:
        if yes:
            await request.node.accept(tx, knock_id)
        elif not item.ignored:
            await request.node.ignore(tx, knock_id)
            await answered(tx, request.desk.store, request.desk.voice, request.owner, knock_id, _ignored(item))

    return deed


async def _with_request(
    request: Request, verb: str, act: Callable[[Transaction, RequestInfo], Awaitable[None]]
) -> Deed:
    """Find the request that is meant: by number or name, by the notice that is replied to, or the only one."""
    node = request.node
    waiting, blocked = await node.requests(), await node.requests(blocked=True)

    async def find(tx: Transaction) -> RequestInfo:
        if request.rest:
            return await _by_word(tx, request, waiting, blocked)
        if request.heard.reply_to is not None:
            notice = await request.desk.store.knock_notices.by_matrix_event(tx, request.heard.reply_to)
            if notice is None and await request.desk.voice.is_under_way(tx, owner_lane(request.owner)):
                raise Unavailable("an answer came before its notice was saved")
            for item in waiting:
                if notice is not None and item.knock_id == notice.knock_id:
                    return item
            raise UsageError("That is not the latest notice of an open request. Write requests to see those there are.")
        fresh = [item for item in waiting if not item.ignored]
        if len(fresh) == 1:
            return fresh[0]
        if not fresh:
            raise UsageError("There is no request waiting for your answer.")
        raise UsageError(f"Say which request: {verb} and its number. requests shows them.")

    async def deed(tx: Transaction) -> None:
        await act(tx, await find(tx))

    return deed


def _at_first_space(text: str) -> tuple[str, str]:
    """What does not look like a friend code: take the first word for it, and let the node say what is wrong."""
    code, _, note = text.partition(" ")
    return code, note.strip()


async def _own_name(tx: Transaction, request: Request) -> str:
    record = await request.desk.store.nodes.get(tx, request.node.node_id)
    return record.profile_name if record is not None else ""


def _line(item: RequestInfo, *, many: bool) -> str:
    effort = f", effort {item.effort}" if many else ""
    at = f", at your code “{literal(item.door_label)}”" if item.door_label else ""
    note = f": {literal(item.note)}" if item.note else ""
    return f"**{from_whom(item.name)}**{at}{effort}{' (ignored)' if item.ignored else ''}{note}"


def _own_line(item: OutgoingInfo) -> str:
    reason = f" ({literal(item.reason)})" if item.reason else ""
    note = f", with your note “{literal(item.note)}”" if item.note else ""
    return f"{STATES[item.state]}{reason}{note}"


def _ignored(item: RequestInfo) -> str:
    return f"\N{CROSS MARK} You ignored the request of **{from_whom(item.name)}**."


COMMANDS = (
    Command(
        "add",
        "CODE [NOTE]",
        GROUP,
        "ask somebody to be your contact",
        add,
        details="CODE is the friend code you were given. NOTE is shown to them with your name; up to 1,000 bytes.",
        examples=("add chattor:… Hello, this is Ada from the choir",),
    ),
    Command(
        "pair",
        "CODE",
        GROUP,
        "have a mailbox of your own hold your mail while this bridge is down",
        pair,
        details="A mailbox is a `chattor run --headless` on a machine of yours. CODE is what `chattor pair` shows "
        "there; it is good for one node, for a day. The mailbox can neither read your mail nor tell whom it is from.",
        examples=("pair chattor:…",),
    ),
    Command(
        "requests",
        "",
        GROUP,
        "contact requests, theirs and yours",
        list_requests,
        details="Each request costs its sender some computing work, and those that cost the most come first. 100 wait "
        "for you at most. When more come, those you ignored make room first, then those that cost the least; what this "
        "list has shown you stays. When many wait, the list shows the effort: each point more is twice the work.",
        aliases=("request",),
    ),
    Command(
        "accept",
        "[NUMBER]",
        GROUP,
        "accept a contact request",
        accept,
        details="You can also react to its notice with \N{WHITE HEAVY CHECK MARK}, or reply to it with just accept.",
        examples=("accept 1", "accept Ada"),
    ),
    Command(
        "ignore",
        "[NUMBER]",
        GROUP,
        "ignore a contact request; nobody is told",
        ignore,
        details="You can also react to its notice with \N{CROSS MARK}, or reply to it with just ignore.",
        examples=("ignore 1", "ignore Ada"),
    ),
    Command(
        "block request",
        "[NUMBER]",
        GROUP,
        "hear no more of a contact request; nobody is told",
        block_request,
        details="It does not come again, unless you write unblock request. You can also reply to its notice "
        "with just block.",
        examples=("block request 1", "block request Ada"),
    ),
    Command(
        "unblock request",
        "NUMBER",
        GROUP,
        "take the block of a contact request back",
        unblock_request,
        examples=("unblock request 1",),
    ),
)
