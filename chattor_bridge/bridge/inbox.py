"""Works off the inbox, room by room, each event in order and each finished in one transaction.

What an event brings about (an envelope in the outbox, an answer of the bot, a new code) is committed together with the
removal of the event, so a crash neither loses it nor does it twice.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from chattor_bridge.bridge.actions import TellHeld
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.intake import READ_ID_PREFIX
from chattor_bridge.bridge.lane_names import portal_lane
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import InboxItem
from chattor_bridge.bridge.router import Router, Situation
from chattor_bridge.bridge.store_ports import NEVER_CAME, BridgeStore
from chattor_bridge.bridge.voice import Voice
from chattor_bridge.errors import NotNow, Unavailable, Undecryptable, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixEventId, MatrixRoomId
from chattor_bridge.node.patience import describe
from chattor_bridge.node.ports import Transaction

REFUSED = "⚠ {reason}"

HELD = "⚠ {reason} I keep it: touch the sign under this, or answer `retry`, and I try again; `drop` gives it up."

MOST_HELD = 200
"""Messages of one room that are kept to be tried again; each further one is only answered."""

POISONED = (
    "⚠ This could not be processed because of an error in the bridge; it was **not** sent. It is kept aside: write "
    "`!chattor parked` to see it and to try it again. Whoever runs this bridge finds the reason in its log."
)

UNOPENED = (
    "⚠ I could not read this message, so it was **not** sent: {reason}. Please send it again. If that happens again, "
    "check in your client's settings that it shares keys with unverified devices, or write in a room that is not "
    "encrypted. The message is kept aside: `!chattor parked` shows it."
)

NO_KEY = (
    "⚠ I could not read this message, so it was **not** sent: {reason}, though I asked your devices for it. If it "
    "comes later, I send the message then, after what was sent meanwhile. If you would rather send it again now, "
    "`!chattor parked drop` gives this one up. If it happens again, check in your client's settings that it shares "
    "keys with unverified devices, or write in a room that is not encrypted."
)

ENCRYPTED = "m.room.encrypted"

log = logging.getLogger(__name__)


class InboxWorker:
    """One step per call, as `Lanes` wants it; a lane is a room."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, router: Router, voice: Voice) -> None:
        self._store = store
        self._homeserver = homeserver
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
            place = situation.place(item.room_id)
            if item.event["type"] == ENCRYPTED and place is not None and item.event["sender"] == place.owner:
                item = await self._open(item)
            deed = await self._router.deed(item, situation)
            async with self._store.transaction() as tx:
                await deed(tx)
                await self._store.inbox.remove(tx, item.order)
        except Unavailable:
            raise
        except Undecryptable as error:
            await self._unopened(item, situation, str(error))
        except NotNow as error:
            await self._hold(item, situation, str(error))
        except UsageError as error:
            await self._refuse(item, situation, str(error))
        except Exception as error:
            await self._set_aside(item, situation, describe(error))
        failpoint("inbox-done")
        return True

    async def _open(self, item: InboxItem) -> InboxItem:
        """The item with the event that was inside the encrypted one, which is on disk when this returns: its key may
        be good for one use only."""
        async with (
            self._homeserver.opened(item.event, item.received_at) as (event, save),
            self._store.transaction() as tx,
        ):
            await save(tx)
            await self._store.inbox.replace(tx, item, event)
        failpoint("event-opened")
        return replace(item, event=event)

    async def _unopened(self, item: InboxItem, situation: Situation, reason: str) -> None:
        """Keep it: the key may still turn up, and then `LateKeys` puts it back."""
        log.warning("inbox item %d cannot be decrypted: %s", item.order, reason)
        async with self._store.transaction() as tx:
            await self._answer(
                tx, item, situation, (NO_KEY if reason == NEVER_CAME else UNOPENED).format(reason=reason)
            )
            await self._store.inbox.park(tx, item.order, reason)

    async def _hold(self, item: InboxItem, situation: Situation, reason: str) -> None:
        """Keep it, and let the owner have it tried again."""
        portal, event_id = situation.portal, item.event["event_id"]
        async with self._store.transaction() as tx:
            held = await self._store.inbox.parked(tx, [item.room_id])
            if portal is None or len(held) >= MOST_HELD or event_id.startswith(READ_ID_PREFIX):
                await self._answer(tx, item, situation, REFUSED.format(reason=_sentence(reason)))
                await self._store.inbox.remove(tx, item.order)
                return
            text = HELD.format(reason=_sentence(reason))
            action = TellHeld(portal.owner, item.room_id, text, event_id, item.order)
            await self._voice.arrange(tx, portal_lane(portal), action)
            await self._store.inbox.park(tx, item.order, reason)

    async def _refuse(self, item: InboxItem, situation: Situation, reason: str) -> None:
        """Say why not; unless the room is another's meanwhile, or its conversation goes on elsewhere: then the item is
        looked at again, as it is now."""
        async with self._store.transaction() as tx:
            if await self._router.situation(tx, item.room_id) != situation:
                return
            await self._answer(tx, item, situation, REFUSED.format(reason=_sentence(reason)))
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


def _sentence(reason: str) -> str:
    """What an error says, as somebody in a chat says it: errors of the node begin small and end without a full stop."""
    end = "" if reason.endswith((".", "!", "?")) else "."
    return literal(f"{reason[:1].upper()}{reason[1:]}{end}")
