"""Works off the inbox, room by room, each event in order and each finished in one transaction.

What an event brings about (an envelope in the outbox, an answer of the bot, a new code) is committed together with the
removal of the event, so a crash neither loses it nor does it twice.
"""

from __future__ import annotations

import logging

from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.intake import READ_ID_PREFIX
from chattor_bridge.bridge.ports import BridgeStore
from chattor_bridge.bridge.records import InboxItem
from chattor_bridge.bridge.router import Router, Situation
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import Unavailable, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixEventId, MatrixRoomId
from chattor_bridge.node.patience import describe
from chattor_bridge.node.ports import Transaction

REFUSED = "⚠ {reason}"

POISONED = (
    "⚠ This could not be processed because of an error in the bridge; it was **not** sent. It is kept aside: write "
    "`parked` to me to see it and to try it again. Whoever runs this bridge finds the reason in its log."
)

log = logging.getLogger(__name__)


class InboxWorker:
    """One step per call, as `Lanes` wants it; a lane is a room."""

    def __init__(self, store: BridgeStore, router: Router, voice: Voice) -> None:
        self._store = store
        self._router = router
        self._voice = voice

    async def step(self, lane: str) -> bool:
        """Finish the oldest event of the room.

        Raises: Unavailable, when it is to be tried again later.
        """
        async with self._store.transaction() as tx:
            item = await self._store.inbox.next(tx, MatrixRoomId(lane))
            if item is None:
                return False
            situation = await self._router.situation(tx, item.room_id)
        try:
            deed = await self._router.deed(item, situation)
            async with self._store.transaction() as tx:
                await deed(tx)
                await self._store.inbox.remove(tx, item.order)
        except Unavailable:
            raise
        except UsageError as error:
            await self._refuse(item, situation, str(error))
        except Exception as error:
            await self._set_aside(item, situation, describe(error))
        failpoint("inbox-done")
        return True

    async def _refuse(self, item: InboxItem, situation: Situation, reason: str) -> None:
        async with self._store.transaction() as tx:
            await self._answer(tx, item, situation, REFUSED.format(reason=literal(reason)))
            await self._store.inbox.remove(tx, item.order)

    async def _set_aside(self, item: InboxItem, situation: Situation, reason: str) -> None:
        log.error("set inbox item %d aside: %s", item.order, reason)
        async with self._store.transaction() as tx:
            await self._answer(tx, item, situation, POISONED)
            await self._store.inbox.park(tx, item.order, reason)

    async def _answer(self, tx: Transaction, item: InboxItem, situation: Situation, text: str) -> None:
        """Only to whom the room belongs, and only about what they did there: a receipt that fails is not worth it."""
        place, event_id = situation.place(item.room_id), item.event["event_id"]
        if place is not None and item.event["sender"] == place.owner and not event_id.startswith(READ_ID_PREFIX):
            await self._voice.say(tx, place, text, reply_to=MatrixEventId(event_id))
