"""Small numbers by which people refer to requests, codes and contacts.

A number stays with what it was first given to and is never given again, so ``accept 2`` means the same request before
and after another one was answered.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Final, TypeVar

from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import NodeId
from chattor_bridge.node.ports import Transaction

Thing = TypeVar("Thing")


class Kind(StrEnum):
    """What is numbered; each kind has its own series. The value is the word for one of them."""

    CODE = "code"
    REQUEST = "request"
    KNOCK = "request of yours"
    CONTACT = "contact"
    PARKED = "parked row"
    FILE = "file"

    @property
    def listed_by(self) -> str:
        """The command that shows them."""
        return _LISTED_BY[self]


_LISTED_BY: Final = {
    Kind.CODE: "code",
    Kind.REQUEST: "requests",
    Kind.KNOCK: "requests",
    Kind.CONTACT: "contacts",
    Kind.PARKED: "parked",
    Kind.FILE: "files",
}


_NUMBER: Final = re.compile("#*[0-9]+")


class Numbers:
    """The numbers of every node's things, kept in the bridge's settings."""

    def __init__(self, store: BridgeStore) -> None:
        self._store = store

    async def of(self, tx: Transaction, node_id: NodeId, kind: Kind, ids: Sequence[bytes]) -> dict[bytes, int]:
        """The numbers of all there are of this kind; those of anything else are forgotten."""
        series = await self._locked(tx, node_id, kind)
        numbers = {ident: series.of.get(ident.hex()) or series.draw() for ident in ids}
        series.of = {ident.hex(): number for ident, number in numbers.items()}
        await self._write(tx, node_id, kind, series)
        return numbers

    async def one(self, tx: Transaction, node_id: NodeId, kind: Kind, ident: bytes) -> tuple[int, bool]:
        """The number of one, and whether it is new."""
        series = await self._locked(tx, node_id, kind)
        known = series.of.get(ident.hex())
        if known is not None:
            return known, False
        number = series.of[ident.hex()] = series.draw()
        await self._write(tx, node_id, kind, series)
        return number, True

    async def known(self, tx: Transaction, node_id: NodeId, kind: Kind, ident: bytes) -> int | None:
        """The number this one has, if it has one."""
        return _read(await self._store.get_setting(tx, _name(node_id, kind))).of.get(ident.hex())

    async def find(
        self,
        tx: Transaction,
        node_id: NodeId,
        kind: Kind,
        reference: str,
        things: Sequence[Thing],
        *,
        ident: Callable[[Thing], bytes],
        names: Callable[[Thing], Sequence[str]],
        besides: Sequence[Thing] = (),
    ) -> Thing:
        """The one of ``things`` that is meant: by number, by name, or by the beginning of a name, in any case. With
        those ``besides``, which keep their numbers and are not meant, these are all there are of this kind.

        Raises: UsageError when it is none of them, or more than one.
        """
        wanted = reference.strip().lstrip("#")
        numbers = await self.of(tx, node_id, kind, [ident(thing) for thing in (*things, *besides)])
        for thing in things:
            if wanted == str(numbers[ident(thing)]):
                return thing
        folded = wanted.casefold()
        exact = [thing for thing in things if folded in (name.casefold() for name in names(thing) if name)]
        begun = [thing for thing in things if any(name.casefold().startswith(folded) for name in names(thing) if name)]
        found = exact or begun
        if is_number(
            wanted
        ):  # what had it is gone, and others could take it for a name; the label of a code is our own
            found = exact if kind is Kind.CODE else []
        if len(found) == 1 and folded:
            return found[0]
        if found and folded:
            which = ", ".join(str(numbers[ident(thing)]) for thing in found)
            raise UsageError(f"More than one {kind} has that name. Use its number: {which}.")
        raise UsageError(f"There is no such {kind}: {kind.listed_by} shows what there is.")

    async def forget(self, tx: Transaction, node_id: NodeId) -> None:
        """Every number of this node's things."""
        await self._store.remove_settings(tx, _prefix(node_id))

    async def _locked(self, tx: Transaction, node_id: NodeId, kind: Kind) -> _Series:
        """To draw from: what comes at two doors at once is given two numbers."""
        return _read(await self._store.setting_for_update(tx, _name(node_id, kind)))

    async def _write(self, tx: Transaction, node_id: NodeId, kind: Kind, series: _Series) -> None:
        await self._store.set_setting(tx, _name(node_id, kind), json.dumps({"last": series.last, "of": series.of}))


def is_number(word: str) -> bool:
    """Whether it is a number and nothing else."""
    return _NUMBER.fullmatch(word) is not None


class _Series:
    def __init__(self, last: int = 0, of: dict[str, int] | None = None) -> None:
        self.last = last
        self.of = {} if of is None else of

    def draw(self) -> int:
        self.last += 1
        return self.last


def _read(stored: str | None) -> _Series:
    return _Series() if stored is None else _Series(**json.loads(stored))


def _name(node_id: NodeId, kind: Kind) -> str:
    return f"{_prefix(node_id)}{kind.name.lower()}"


def _prefix(node_id: NodeId) -> str:
    return f"numbers:{node_id.hex()}:"
