"""Whose keys the bot takes, and how many: anybody at any homeserver may send its device anything."""

from __future__ import annotations

from collections import Counter, OrderedDict

from mautrix.types import IdentityKey, UserID

from chattor_bridge.matrix.encryption.identity import Identity
from chattor_bridge.matrix.encryption.records import INBOUND, OLM, EncryptionStore
from chattor_bridge.node.ports import Clock

MAX_FROM_STRANGERS = 20_000
"""Sessions kept, of either kind, above which nobody new can make us keep more: some 40 MB of disk."""

MAX_FROM_ONE = 5_000
"""Megolm sessions kept of one person, some 10 MB: they would have to say half a million things in the time for which
such are kept."""

LOOK_UP_INTERVAL = 60.0
"""Seconds between two looks whether somebody has a device that they were not known to have. Homeservers tell of new
ones before anything comes from those, or hardly later."""

MAX_LOOKED_UP = 1_000
"""People of whom we remember when we last looked, the one looked up longest ago forgotten first."""


class Welcome:
    """Within a `turn` of the bot's."""

    def __init__(self, bot: Identity, store: EncryptionStore, clock: Clock) -> None:
        self._bot = bot
        self._store = store
        self._clock = clock
        self._looked_up: OrderedDict[UserID, float] = OrderedDict()
        self._kept: Counter[str] | None = None

    async def lets_in(self, sender: UserID, key: IdentityKey) -> bool:
        """What people whose rooms we know send from devices of theirs; of others, who may be about to become so, as
        much as there is room for."""
        keys = self._bot.keys
        if await keys.knows(sender):
            return await keys.read(OLM, key) is not None or await self._is_theirs(sender, key)
        async with self._store.transaction() as tx:
            counts = [await self._store.room_keys.count(tx, self._bot.user, kind) for kind in (OLM, INBOUND)]
        return max(counts) < MAX_FROM_STRANGERS

    async def has_room_for(self, sender: UserID) -> bool:
        """Whether one more Megolm session of this person may be kept."""
        if self._kept is None:
            self._kept = Counter(name.partition(" ")[2] for name in await self._bot.keys.names(INBOUND))
        return self._kept[sender] < MAX_FROM_ONE

    def took(self, sender: UserID) -> None:
        """One more is kept."""
        if self._kept is not None:
            self._kept[sender] += 1

    def recount(self) -> None:
        """Some were removed."""
        self._kept = None

    async def _is_theirs(self, sender: UserID, key: IdentityKey) -> bool:
        """Whether this person has such a device. Who makes keys up is not looked up again for each of them."""
        if await self._bot.keys.get_devices(sender) is not None:
            if await self._bot.keys.find_device_by_key(sender, key) is not None:
                return True
            now = self._clock.monotonic()
            if now < self._looked_up.get(sender, -LOOK_UP_INTERVAL) + LOOK_UP_INTERVAL:
                return False
            self._looked_up[sender] = now
            self._looked_up.move_to_end(sender)
            if len(self._looked_up) > MAX_LOOKED_UP:
                self._looked_up.popitem(last=False)
        return await self._bot.machine.get_or_fetch_device_by_key(sender, key) is not None
