"""Sending a message once, whatever happens between sending it and saving that it was sent."""

from __future__ import annotations

from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.bridge.records import JsonObject, PendingAction
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Clock

TRUSTED_MEMORY = 12 * 3600
"""Seconds for which the homeserver's memory of transaction ids is relied on. Synapse keeps them 24 hours, cleaning up
now and then; half of that leaves room for clocks that differ."""

CLOCK_TOLERANCE = 24 * 3600
"""Seconds the homeserver's clock may be behind ours when a room is searched for what may have been sent."""


class Sender:
    """Sends messages under transaction ids that stay the same over any number of tries."""

    def __init__(self, homeserver: Homeserver, clock: Clock) -> None:
        self._homeserver = homeserver
        self._clock = clock

    async def send(
        self,
        user: MatrixUserId,
        room_id: MatrixRoomId,
        event_type: str,
        content: JsonObject,
        txn_id: str,
        pending: PendingAction,
    ) -> MatrixEventId:
        """Send as part of ``pending``; ``content`` carries ``txn_id`` under `MARK_KEY`.

        A try that may repeat one from long ago searches the room first.

        Raises: HomeserverUnavailable, HomeserverRefused.
        """
        age = self._clock.now() - pending.created_at
        if pending.attempts > 0 and not 0 <= age <= TRUSTED_MEMORY:
            # One dated later than now was so by a clock that was ahead, nobody knows how far.
            since = 0 if age < 0 else pending.created_at - CLOCK_TOLERANCE
            found = await self._homeserver.find_sent(user, room_id, MARK_KEY, txn_id, since)
            if found is not None:
                return found
        return await self._homeserver.send(user, room_id, event_type, content, txn_id)
