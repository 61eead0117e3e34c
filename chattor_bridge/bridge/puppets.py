"""Acting for an owner, who gave us an access token of theirs: double puppeting.

What the bridge does with it is little: it joins the rooms it invites them to, and keeps their list of direct chats
(``m.direct``), by which clients sort rooms. It says and reads nothing in their name. As with a space there is one deed,
*tending*, which compares what is with what should be. The token is sealed, never logged, and forgotten as soon as the
homeserver does not know it any more.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict, dataclass

from chattor_bridge.bridge import actions
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.lane_names import puppet_lane
from chattor_bridge.bridge.listener import Deed, nothing
from chattor_bridge.bridge.ports import Homeserver, Person
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.errors import HomeserverRefused
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction

DIRECT = "m.direct"

UNKNOWN_TOKEN = "M_UNKNOWN_TOKEN"  # noqa: S105 - an error code

LOGGED_IN = (
    "From now on I join your conversations for you, and keep them among your direct chats. `logout-matrix` ends that."
)
NOT_YOURS = "⚠ That access token is not valid, or belongs to somebody else. I have forgotten it."
EXPIRED = (
    "⚠ The homeserver does not know your access token any more, so I do not join conversations for you now. "
    "`login-matrix` takes another."
)
KEPT = (
    "⚠ I could not remove your message with the access token from the room: please do so yourself, for whoever can "
    "read it can act as you."
)


@dataclass(frozen=True, slots=True)
class Puppet:
    """``proven`` once the homeserver said whose token it is."""

    token: str
    proven: bool

    def __repr__(self) -> str:  # records are easily logged
        return f"Puppet(proven={self.proven})"


async def puppet_of(store: BridgeStore, tx: Transaction, owner: MatrixUserId) -> Puppet | None:
    stored = await store.get_setting(tx, _name(owner))
    return None if not stored else Puppet(**json.loads(stored))


async def save_puppet(store: BridgeStore, tx: Transaction, owner: MatrixUserId, puppet: Puppet | None) -> None:
    """``None`` forgets it."""
    await store.remove_settings(tx, _name(owner))
    if puppet is not None:
        await store.set_setting(tx, _name(owner), json.dumps(asdict(puppet)))


def _name(owner: MatrixUserId) -> str:
    return f"puppet:{owner} "


class Puppets:
    """Proves and uses what owners gave us. Each method may be cut off anywhere and run again from its start."""

    def __init__(self, store: BridgeStore, homeserver: Homeserver, household: Household, voice: Voice) -> None:
        self._store = store
        self._homeserver = homeserver
        self._household = household
        self._voice = voice

    async def prove(self, action: actions.ProvePuppet) -> Deed:
        """Remove the message with the token from the room, and find out whose it is.

        Raises: HomeserverUnavailable, DatabaseUnavailable.
        """
        owner, room_id = MatrixUserId(action.owner), MatrixRoomId(action.room)
        place, said = Place.management(owner), []
        try:
            bot = self._homeserver.bot
            await self._homeserver.redact(bot, room_id, MatrixEventId(action.event), action.key)
        except HomeserverRefused:
            said.append(KEPT)
        async with self._store.transaction() as tx:
            puppet = await puppet_of(self._store, tx, owner)
        if puppet is not None:
            try:
                proven = await self._homeserver.person(puppet.token).whoami() == owner
            except HomeserverRefused:
                proven = False
            said.append(LOGGED_IN if proven else NOT_YOURS)

        async def deed(tx: Transaction) -> None:
            if puppet is not None and await puppet_of(self._store, tx, owner) == puppet:
                await save_puppet(self._store, tx, owner, Puppet(puppet.token, proven=True) if proven else None)
                if proven:
                    await self._voice.arrange(tx, puppet_lane(owner), actions.TendPuppet(owner))
            for text in said:
                await self._voice.say(tx, place, text)

        return deed

    async def tend(self, action: actions.TendPuppet) -> Deed:
        """Join what the owner is invited to, and list it among their direct chats.

        Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable.
        """
        owner = MatrixUserId(action.owner)
        async with self._store.transaction() as tx:
            puppet = await puppet_of(self._store, tx, owner)
            portals = await self._store.portals.of_owner(tx, owner)
            space = await self._store.spaces.of_owner(tx, owner)
        if puppet is None or not puppet.proven:
            return nothing
        person = self._homeserver.person(puppet.token)
        shown = {portal.room_id: portal for portal in portals if portal.room_id and portal.merged_into is None}
        wanted = [*shown, *([space.room_id] if space.room_id is not None else [])]
        try:
            joined = set(await person.joined_rooms())
            for room_id in wanted:
                if room_id not in joined:
                    with suppress(HomeserverRefused):  # not invited yet, or not any more
                        await person.join(room_id)
            await self._list(person, owner, shown)
        except HomeserverRefused as error:
            if error.errcode != UNKNOWN_TOKEN:
                raise
            return self._forget(owner, puppet)
        return nothing

    async def _list(self, person: Person, owner: MatrixUserId, shown: dict[MatrixRoomId, Portal]) -> None:
        """What is not ours among the direct chats stays as it is."""
        listed = await person.account_data(owner, DIRECT) or {}
        direct = {user: rooms for user, rooms in listed.items() if not self._household.is_ghost(user)}
        direct |= {portal.ghost: [room_id] for room_id, portal in shown.items()}
        if direct != listed:
            await person.set_account_data(owner, DIRECT, direct)

    def _forget(self, owner: MatrixUserId, puppet: Puppet) -> Deed:
        async def deed(tx: Transaction) -> None:
            if await puppet_of(self._store, tx, owner) == puppet:
                await save_puppet(self._store, tx, owner, None)
                await self._voice.say(tx, Place.management(owner), EXPIRED)

        return deed
