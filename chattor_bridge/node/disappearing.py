"""The timer of a conversation, as our owner sets it. See docs/protocol/events.md, "timer"."""

from __future__ import annotations

from dataclasses import replace

from chattor_bridge.errors import UsageError
from chattor_bridge.ids import PeerId
from chattor_bridge.node.happenings import TIMER_SET, EventArrived
from chattor_bridge.node.part import NodePart
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import NO_VERSION
from chattor_bridge.protocol.events import Timer, Unknown
from chattor_bridge.protocol.limits import MAX_TIMER, MAX_TIMER_ROUND


class Disappearing(NodePart):
    """The part of a node that is about the timers of its conversations."""

    async def set_timer(self, tx: Transaction, peer_id: PeerId, seconds: int) -> None:
        """What both say from now on disappears so long after it was read; 0 for never.

        Raises: NotFound; UsageError when it is longer than `MAX_TIMER` or the friend's program does not know this.
        """
        if not 0 <= seconds <= MAX_TIMER:
            raise UsageError(f"messages can be made to disappear after {MAX_TIMER // 86_400} days at most")
        contact = await self.work.mailbox.locked(tx, peer_id)
        if contact.version != NO_VERSION and Timer.TYPE not in contact.capabilities:
            raise UsageError(
                "your friend's program does not know disappearing messages: they would stay with your friend. Ask for "
                "a newer version there"
            )
        preferences = await self.work.preferences(tx, peer_id)
        timer = Timer(seconds, min(preferences.timer_round + 1, MAX_TIMER_ROUND))
        await self.work.mailbox.send(tx, peer_id, self.work.mailbox.event(timer))
        agreed_on = replace(preferences, timer=timer.seconds, timer_round=timer.round)
        await self._store.preferences.save(tx, self.node_id, peer_id, agreed_on)
        notice = self.work.mailbox.event(Unknown(TIMER_SET, {"seconds": seconds, "ours": True}))
        happening = EventArrived(peer_id, notice, received_at=self.work.mailbox.now())
        await self._around.observer.record(tx, self.node_id, happening)
        tx.after_commit(lambda: self.work.wake(peer_id))
