"""The friend codes of a node: made, bounded, parked, rotated and retired. See docs/protocol/friend-code.md."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from chattor_bridge.errors import LimitReached, NotFound, UsageError
from chattor_bridge.failpoints import failpoint
from chattor_bridge.ids import DoorId, OnionKey
from chattor_bridge.node.door import ID_SIZE
from chattor_bridge.node.part import NodePart
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.records import DoorRecord
from chattor_bridge.node.texts import MAX_LABEL, check_line
from chattor_bridge.node.views import CodeInfo
from chattor_bridge.protocol.friendcode import SECRET_SIZE, FriendCode
from chattor_bridge.protocol.limits import MAX_CODE_LIFETIME, MAX_CODE_USES, MAX_ROTATION_GRACE
from chattor_bridge.protocol.primitives import KEY_SIZE, ed25519_public

MAX_CODES: Final = 8
"""Friend codes of one node at a time: each one hosts an onion, and they are told apart by a label."""


class Codes(NodePart):
    """The part of a node that is about friend codes."""

    async def codes(self) -> list[CodeInfo]:
        """Friend codes that are not retired, oldest first. Raises: DatabaseUnavailable, as every read does."""
        async with self._store.transaction() as tx:
            doors = await self._store.doors.of_node(tx, self.node_id)
        now = self._around.clock.now()
        return [self._code_info(door) for door in doors if not door.has_expired(now)]

    async def create_code(
        self,
        tx: Transaction,
        label: str,
        *,
        one_time: bool = False,
        lifetime: int | None = None,
        max_uses: int | None = None,
    ) -> CodeInfo:
        """A new friend code. ``label`` is for our owner's eyes, up to `MAX_LABEL` bytes.

        It expires after ``lifetime`` seconds and is used up by ``max_uses`` requests, unless these are None.
        ``one_time`` makes a longer one, good for one request, without which its door cannot even be seen.

        Raises: LimitReached, UsageError when the label cannot be one or the bounds contradict each other.
        """
        check_line(label, MAX_LABEL, "the label of a code")
        self._around.budget.check_room(self.node_id)
        if lifetime is not None and not 0 < lifetime <= MAX_CODE_LIFETIME:
            raise LimitReached(f"a friend code can expire after {MAX_CODE_LIFETIME // 86_400} days at most")
        if max_uses is not None and not 0 < max_uses <= MAX_CODE_USES:
            raise LimitReached(f"a friend code can be good for 1 to {MAX_CODE_USES} requests")
        if one_time and max_uses not in (None, 1):
            raise UsageError("a one-time code is good for one request; leave out the number of uses")
        now, random = self._around.clock.now(), self._around.random
        return await self._add_code(
            tx,
            DoorRecord(
                door_id=DoorId(random(ID_SIZE)),
                node_id=self.node_id,
                label=label,
                onion_seed=random(KEY_SIZE),
                identity_key=random(KEY_SIZE),
                created_at=now,
                secret=random(SECRET_SIZE) if one_time else b"",
                expires_at=None if lifetime is None else now + lifetime,
                max_uses=1 if one_time else max_uses,
            ),
        )

    async def retire_code(self, tx: Transaction, door_id: DoorId) -> None:
        """Take a friend code back: its keys are erased, nobody can knock there any more. Requests already left there
        and friends made through it stay. Raises: NotFound."""
        await self._locked_code(tx, door_id)
        await self._store.doors.retire(tx, door_id, self._around.clock.now())
        tx.after_commit(self.work.look_again)

    async def park_code(self, tx: Transaction, door_id: DoorId, *, parked: bool) -> CodeInfo:
        """Close the door behind a friend code for now, or open it again: whoever has the code sees from the door
        whether we are online. Raises: NotFound."""
        door = replace(await self._locked_code(tx, door_id), parked=parked)
        await self._store.doors.save(tx, door)
        tx.after_commit(self.work.look_again)
        return self._code_info(door)

    async def rotate_code(self, tx: Transaction, door_id: DoorId, *, grace: int = 0) -> CodeInfo:
        """Put a new friend code, with a new door and the same label and bounds, in the place of this one, which closes
        after ``grace`` seconds. Friends made through it stay. Raises: NotFound, LimitReached."""
        if not 0 <= grace <= MAX_ROTATION_GRACE:
            raise LimitReached(f"an old friend code can stay open for {MAX_ROTATION_GRACE // 86_400} days at most")
        old = await self._locked_code(tx, door_id)
        now, random = self._around.clock.now(), self._around.random
        if grace == 0:
            await self._store.doors.retire(tx, door_id, now)
        else:
            await self._store.doors.save(tx, old.closing(now + grace))
        new = replace(
            old,
            door_id=DoorId(random(ID_SIZE)),
            onion_seed=random(KEY_SIZE),
            identity_key=random(KEY_SIZE),
            created_at=now,
            secret=random(SECRET_SIZE) if old.secret else b"",
            uses=0,
            parked=False,
            closes_at=None,
        )
        return await self._add_code(tx, new)

    async def code_published(self, door_id: DoorId) -> None:
        """Wait until the door behind this code can be reached. Not bounded by itself. Raises: NotFound."""
        for code in await self.codes():
            if code.door_id == door_id:
                await self.work.hostings.reachable(FriendCode.parse(code.code).door)
                return
        raise NotFound("no such friend code")

    async def _add_code(self, tx: Transaction, door: DoorRecord) -> CodeInfo:
        if len(await self._store.doors.of_node(tx, self.node_id)) >= MAX_CODES:
            raise LimitReached(f"there are {MAX_CODES} friend codes, as many as there can be; retire one first")
        await self._store.doors.add(tx, door)
        tx.after_commit(lambda: failpoint("code-committed"))
        tx.after_commit(self.work.look_again)
        return self._code_info(door)

    async def _locked_code(self, tx: Transaction, door_id: DoorId) -> DoorRecord:
        door = await self._store.doors.for_update(tx, door_id)
        if door is None or door.node_id != self.node_id or door.has_expired(self._around.clock.now()):
            raise NotFound("no such friend code")
        return door

    def _code_info(self, door: DoorRecord) -> CodeInfo:
        onion = OnionKey(ed25519_public(door.onion_seed))
        return CodeInfo(
            door_id=door.door_id,
            label=door.label,
            code=FriendCode.of_door(onion, door.secret).encode(),
            created_at=door.created_at,
            published=self.work.hostings.is_published(onion),
            one_time=bool(door.secret),
            expires_at=door.ends_at,
            max_uses=door.max_uses,
            uses=door.uses,
            parked=door.parked,
        )
