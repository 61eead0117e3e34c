"""Entries of the history as the daemon shows them: with the changes that were made to them.

The shape is described in the manual of `chattor history`.
"""

from __future__ import annotations

from collections.abc import Sequence

from chattor_bridge.ids import FileId
from chattor_bridge.node.ports import Transaction
from chattor_bridge.node.views import ContactInfo
from chattor_bridge.terminal.addressing import numbered, shown_name
from chattor_bridge.terminal.control import Item, JsonObject
from chattor_bridge.terminal.forms import counted
from chattor_bridge.terminal.ports import Direction, HistoryEntry, TerminalStore
from chattor_bridge.terminal.recorder import MOST_CHANGES

QUOTED = 200
"""Characters of a message that are shown with what refers to it."""


async def message_items(
    store: TerminalStore, entries: Sequence[HistoryEntry], contacts: Sequence[ContactInfo]
) -> list[Item]:
    """Entries of these contacts as `history` shows them."""
    numbers = {contact.peer_id: (number, shown_name(number, contact)) for number, contact in numbered(contacts)}
    async with store.transaction() as tx:
        return [
            Item(await _message(store, tx, entry, *numbers[entry.peer_id]))
            for entry in entries
            if entry.peer_id in numbers
        ]


async def _message(store: TerminalStore, tx: Transaction, entry: HistoryEntry, number: int, name: str) -> JsonObject:
    changes = []
    if entry.target is None:
        changes = await store.history.changes(tx, entry.node_id, entry.peer_id, entry.event_id, MOST_CHANGES)
    edit = _last_edit(entry, changes)
    message: JsonObject = {
        "order": entry.order,
        "contact": number,
        "name": name,
        "peer": entry.peer_id.hex(),
        "event_id": entry.event_id.hex(),
        "sent": entry.direction is Direction.OUT,
        "kind": entry.kind if edit is None or edit.detail is None or entry.kind == "file" else edit.detail["kind"],
        "text": entry.text if edit is None else edit.text,
        "time": entry.sent_at,
        "stored": entry.stored_at,
        "state": state_of(entry),
    }
    if message["state"] == "queued" and (
        carriers := await store.deposits.places(tx, entry.node_id, entry.peer_id, entry.event_id)
    ):
        message |= {"state": "carried", "carriers": carriers}
    if entry.failure:
        message["reason"] = entry.failure
    if edit is not None:
        message["edited"] = edit.sent_at
    if entry.deleted_at is not None:
        message["deleted"] = entry.deleted_at
    for key, other in (("target", entry.target), ("reply", entry.reply), ("thread", entry.thread)):
        if other is not None:
            found = await store.history.get(tx, entry.node_id, entry.peer_id, other)
            message[key] = {"event_id": other.hex(), **(await _quoted(store, tx, found) if found is not None else {})}
    if entry.kind == "file" and entry.detail is not None:
        message["file"] = await _file(store, tx, entry, entry.detail)
    if entry.kind == "location":
        message["location"] = entry.detail
    if entry.kind == "poll" and entry.detail is not None:
        message["poll"] = _poll(entry, entry.detail, changes)
    if entry.kind == "vote" and entry.detail is not None:
        message["choices"] = entry.detail["choices"]
    if reactions := _reactions(changes):
        message["reactions"] = reactions
    if troubles := [{"kind": one.kind, "reason": one.failure} for one in changes if one.failure]:
        message["failed"] = troubles
    return message


async def _file(store: TerminalStore, tx: Transaction, entry: HistoryEntry, detail: JsonObject) -> JsonObject:
    """What was offered, and how far it is: ``gone`` when nothing is known of it any more."""
    file_id = FileId(bytes.fromhex(detail["file"]))
    transfer = await store.transfers.get(tx, entry.node_id, entry.peer_id, file_id)
    return {**detail, "state": "gone" if transfer is None else transfer.state.value}


def _last_edit(entry: HistoryEntry, changes: Sequence[HistoryEntry]) -> HistoryEntry | None:
    edits = [one for one in changes if one.kind == "edit" and one.direction is entry.direction and not one.failure]
    if entry.kind != "file":  # of which alone everything that is said can be taken away
        edits = [one for one in edits if one.text]
    return edits[-1] if edits and entry.kind in ("text", "emote", "notice", "file") else None


async def _quoted(store: TerminalStore, tx: Transaction, entry: HistoryEntry) -> JsonObject:
    """A message as what refers to it shows it: the beginning of how it reads now."""
    changes = await store.history.changes(tx, entry.node_id, entry.peer_id, entry.event_id, MOST_CHANGES)
    edit = _last_edit(entry, changes)
    text = entry.text if edit is None else edit.text
    return {
        "order": entry.order,
        "sent": entry.direction is Direction.OUT,
        "text": text if len(text) <= QUOTED else f"{text[:QUOTED]}…",
        "deleted": entry.deleted_at is not None,
    }


def _reactions(changes: Sequence[HistoryEntry]) -> list[JsonObject]:
    """Each reaction once for each of the two people."""
    found = dict.fromkeys(
        (one.text, one.direction is Direction.OUT) for one in changes if one.kind == "reaction" and not one.failure
    )
    return [{"emoji": emoji, "sent": sent} for emoji, sent in found]


def _poll(entry: HistoryEntry, detail: JsonObject, changes: Sequence[HistoryEntry]) -> JsonObject:
    """The poll with the last vote of each side that came before its end; the friend's is hidden until then if the poll
    hides votes."""
    votes: dict[Direction, list[int]] = {}
    ended = False
    for one in changes:
        if one.kind == "poll_end" and one.direction is entry.direction:
            ended = True
            break
        choices = None if one.detail is None or one.kind != "vote" else counted(detail, one.detail["choices"])
        if choices is not None and not one.failure:
            votes[one.direction] = choices
    shown = ended or detail["disclosed"]
    return {
        **detail,
        "ended": ended,
        "mine": votes.get(Direction.OUT, []),
        "theirs": votes.get(Direction.IN, []) if shown else None,
    }


def state_of(entry: HistoryEntry) -> str:
    """received or read; of what was sent queued, wherever it waits, delivered, read or failed."""
    if entry.direction is Direction.IN:
        return "received" if entry.read_at is None else "read"
    if entry.failure:
        return "failed"
    if entry.read_at is not None:
        return "read"
    return "queued" if entry.delivered_at is None else "delivered"
