"""How a mailbox and the node whose mail it is to hold find each other: a one-time code made there, and used here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import suppress

from chattor_bridge.errors import LimitReached, NotFound, Unavailable, UsageError
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Clock
from chattor_bridge.node.records import KnockState, OutgoingKnock
from chattor_bridge.protocol.limits import MAX_CARRIED_SHELVES, MAX_CARRIERS, MAX_HELD_SHELVES
from chattor_bridge.terminal import arguments
from chattor_bridge.terminal.addressing import numbered, shown_name
from chattor_bridge.terminal.bell import Bell, Changed, first_of
from chattor_bridge.terminal.codes import code_item
from chattor_bridge.terminal.control import Answer, Done, Item, JsonObject
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.ports import TerminalStore

LABEL = "pairing"
"""Of the codes that a mailbox makes."""

CODE_LIFETIME = 86_400
"""Seconds that such a code can be used: it is typed in at another machine, and that may be at home."""

LOOK = 1.0
"""Seconds after which a pairing is looked at again when no bell has rung: not all of its steps ring one."""

RETRY = 30.0
"""Seconds until another try at accepting, when the database would not have it."""

NO_MAILBOX = (
    "this is no mailbox: stop chattor run and start it with chattor run --headless. To pair with a mailbox, type "
    "chattor pair there, and here chattor pair and the code that it shows"
)
FULL = (
    "this mailbox has {shelves} shelves, as many as one can: `chattor carry` shows whose they are, and `chattor carry "
    "stop NAME` ends some"
)
NOT_REACHED = (
    "the mailbox is not reached yet{because}: see that it is on, and that its code was made less than a day ago"
)
NOT_ACCEPTED = "the code has arrived there, and is not accepted yet: does chattor run --headless run there?"
NOT_AGREED = "its owner has not agreed to hold your mail yet, and decides, for it is no mailbox"
GOES_ON = "{said}. It goes on by itself; `chattor carry` shows when your mail is held"

log = logging.getLogger(__name__)


class Pairing:
    """Answers over one node. ``headless``: it is a mailbox."""

    def __init__(self, node: Node, store: TerminalStore, clock: Clock, bell: Bell, *, headless: bool) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._bell = bell
        self._headless = headless

    async def pair(self, args: JsonObject, gone: asyncio.Event) -> AsyncGenerator[Answer, None]:
        """Without ``code`` make one, here on the mailbox; with it pair with the mailbox that made it, telling each step
        for ``wait`` seconds at most."""
        code = arguments.optional_text(args, "code")
        if code is None:
            yield Item(await self._new_code())
        else:
            async for item in self._with(code, arguments.number(args, "wait"), gone):
                yield item
        yield Done({})

    async def _new_code(self) -> JsonObject:
        if not self._headless:
            raise UsageError(NO_MAILBOX)
        async with self._store.transaction() as tx:
            hosted, kept = await self._store.carriages.count_shelves(tx)
            if hosted >= MAX_CARRIED_SHELVES or kept >= MAX_HELD_SHELVES:
                raise LimitReached(FULL.format(shelves=kept))
            code = await self._node.create_code(tx, LABEL, one_time=True, lifetime=CODE_LIFETIME)
            tx.after_commit(lambda: self._bell.ring(Changed.CODES))
        return code_item(code)

    async def _with(self, code: str, wait: int, gone: asyncio.Event) -> AsyncGenerator[Item, None]:
        async with self._store.transaction() as tx:
            knock_id = await self._node.add(tx, code, "", pair=True)
            knock = await self._store.knocks.get_outgoing(tx, knock_id)
            tx.after_commit(lambda: self._bell.ring(Changed.REQUESTS))
        assert knock is not None  # it was made just now
        deadline = self._clock.monotonic() + wait
        said: list[JsonObject] = []
        while not gone.is_set():
            news = self._bell.next()
            standing, missing = await self._standing(knock)
            if standing not in said:  # each step once, also when one was missed and is seen behind the next
                yield Item(standing)
                said.append(standing)
            if not missing:
                return
            left = deadline - self._clock.monotonic()
            if left <= 0:
                raise CommandError(Exit.NOT_YET, GOES_ON.format(said=missing))
            await first_of(news, gone, timeout=min(left, LOOK))

    async def _standing(self, asked: OutgoingKnock) -> tuple[JsonObject, str]:
        """How far it has come, and what it waits for: nothing when it is done. Raises: CommandError when it failed."""
        for knock in await self._node.outgoing():
            if knock.knock_id == asked.knock_id:
                if knock.state is KnockState.FAILED:
                    raise CommandError(Exit.REFUSED, knock.reason)
                because = f" ({knock.reason})" if knock.reason else ""
                missing = NOT_ACCEPTED if knock.state is KnockState.LEFT else NOT_REACHED.format(because=because)
                return {"state": str(knock.state), "name": "", "reason": knock.reason}, missing
        agreed = {info.peer_id: info.carrier for info in await self._node.carrying.overview()}
        used = sum(carrier is not None and carrier.used for carrier in agreed.values())
        async with self._store.transaction() as tx:
            known = await self._store.contacts.of_node(tx, self._node.node_id)
        mailbox = [contact.peer_id for contact in known if contact.own_static == asked.static_key]  # of several at once
        for number, contact in numbered(await self._node.contacts()):
            carrier = agreed.get(contact.peer_id)
            if contact.peer_id in mailbox and carrier is not None and carrier.asked:
                if carrier.used or (carrier.willing and used >= MAX_CARRIERS):
                    state = "paired" if carrier.used else "spare"
                    return {"state": state, "name": shown_name(number, contact), "reason": ""}, ""
                return {"state": "friend", "name": "", "reason": ""}, NOT_AGREED
        raise CommandError(Exit.REFUSED, "it was given up meanwhile")


class AcceptingPairs:
    """On a headless node nobody is asked: whoever comes with a code for one person is whom its owner gave that to."""

    def __init__(self, node: Node, store: TerminalStore, bell: Bell) -> None:
        self._node = node
        self._store = store
        self._bell = bell

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            news, again = self._bell.next(), None
            try:
                await self._accept()
            except Unavailable as error:
                log.warning("who came with a one-time code could not be accepted yet: %s", error)
                again = RETRY
            await first_of(news, timeout=again)

    async def _accept(self) -> None:
        for request in await self._node.requests():
            if request.one_time and not request.ignored:
                with suppress(NotFound):  # its owner was quicker
                    async with self._store.transaction() as tx:
                        await self._node.accept(tx, request.knock_id)
