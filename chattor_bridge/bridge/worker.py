"""Works off pending actions, lane by lane, each in order and each finished in one transaction."""

from __future__ import annotations

import logging

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.look import NAMELESS
from chattor_bridge.bridge.performer import Performer
from chattor_bridge.bridge.records import PendingAction
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import HomeserverRefused, Unavailable
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import MatrixUserId, NodeId, PeerId
from chattor_bridge.node.patience import describe
from chattor_bridge.node.ports import Transaction

TRIES = 5
"""How often an action that fails for a reason nobody foresaw is tried before it is set aside: a hiccup passes, a bug
should not hold up what waits behind it for longer than some seconds."""

NOT_SHOWN = (
    "⚠ A message from **{name}** could not be shown: the homeserver does not take it ({reason}). "
    "It is kept in the bridge's database: `parked` shows it. Or ask {name} to say it again in other words."
)

NOT_OPENED = (
    "⚠ The room for your conversation with **{name}** could not be opened: the homeserver says no ({reason}). "
    "Please tell whoever runs this bridge."
)

NOT_GONE_OVER = (
    "⚠ A file in your conversation with **{name}** could not be dealt with ({reason}). `parked retry` tries it again."
)

NOT_MOVED = (
    "⚠ The conversation with **{name}** could not go on in the room you wanted it in: the homeserver says no "
    "({reason}). What you say there goes nowhere until `parked retry` succeeds."
)

_SPARED = (
    actions.MarkRead,
    actions.React,
    actions.Leave,
    actions.ClosePortal,
    actions.PartFromRoom,
    actions.TendPuppet,
    actions.TendSpace,
    actions.CloseSpace,
)
"""What nobody misses when the homeserver does not take it."""

log = logging.getLogger(__name__)


class ActionWorker:
    """One step per call, as `Lanes` wants it."""

    def __init__(self, store: BridgeStore, performer: Performer, voice: Voice) -> None:
        self._store = store
        self._performer = performer
        self._voice = voice

    async def step(self, lane: str) -> bool:
        """Do the oldest action of the lane.

        Raises: Unavailable, when it is to be tried again later.
        """
        async with self._store.transaction() as tx:
            pending = await self._store.actions.next(tx, lane)
            if pending is None:
                return False
            await self._store.actions.begun(tx, pending.order)
        failpoint("action-begun")
        try:
            await self._do(pending)
        except Exception:
            async with self._store.transaction() as tx:
                await self._store.actions.failed(tx, pending.order)
            raise
        return True

    async def _do(self, pending: PendingAction) -> None:
        try:
            action = actions.from_json(pending.action)
        except ValueError as error:
            await self._give_up(pending, None, describe(error))
            return
        try:
            deed = await self._performer.perform(action, pending)
        except Unavailable:
            raise
        except Exception as error:
            if not isinstance(error, HomeserverRefused) and pending.attempts + 1 < TRIES:
                raise
            await self._give_up(pending, action, describe(error))
            return
        failpoint("matrix-sent")
        async with self._store.transaction() as tx:
            await deed(tx)
            await self._store.actions.remove(tx, pending.order)
        failpoint("action-done")

    async def _give_up(self, pending: PendingAction, action: actions.Action | None, reason: str) -> None:
        """Set aside what can never be done, and say so where a person loses something by it."""
        kind = type(action).__name__
        async with self._store.transaction() as tx:
            if isinstance(action, _SPARED):
                log.info("gave up %s: %s", kind, reason)
                await self._store.actions.remove(tx, pending.order)
                return
            log.error("set action %d (%s) aside: %s", pending.order, kind, reason)
            await self._store.actions.park(tx, pending.order, reason)
            match action:
                case actions.ShowEvent() | actions.ShowUnknown() | actions.ShowFile():
                    await self._tell_owner(tx, action.node, action.peer, NOT_SHOWN, reason)
                case actions.ConsiderRoom():
                    await self._tell_owner(tx, action.node, action.peer, NOT_MOVED, reason)
                case actions.OpenPortal():
                    await self._tell_owner(tx, action.node, action.peer, NOT_OPENED, reason)
                case actions.OfferFile() | actions.WeighFile():
                    await self._tell_owner(tx, action.node, action.peer, NOT_GONE_OVER, reason)
                case _:
                    pass

    async def _tell_owner(self, tx: Transaction, node: str, peer: str, text: str, reason: str) -> None:
        node_id, peer_id = NodeId(bytes.fromhex(node)), PeerId(bytes.fromhex(peer))
        record = await self._store.nodes.get(tx, node_id)
        contact = await self._store.contacts.get(tx, node_id, peer_id)
        if record is None:
            return
        name = (contact.alias or contact.peer_name) if contact is not None else ""
        said = text.format(name=literal(name or NAMELESS), reason=literal(reason))
        await self._voice.say(tx, Place.management(MatrixUserId(record.owner)), said)
