"""The read receipts among the ephemeral events of a transaction.

The homeserver echoes the receipts of our own users to us; taken for a person's, they would tell a friend that a
message was read which nobody has seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chattor_bridge.bridge.records import JsonObject


def foreign_receipts(ephemeral: Iterable[object], is_ours: Callable[[str], bool]) -> list[JsonObject]:
    """The ``m.receipt`` events with nothing left in them but public read receipts of users other than ours.

    Events without any are dropped, and so are other kinds (typing, presence) and whatever is not shaped as it should
    be: nothing ephemeral is worth stopping a transaction for.
    """
    kept = []
    for event in ephemeral:
        if not isinstance(event, dict) or event.get("type") != "m.receipt" or not isinstance(event.get("room_id"), str):
            continue
        content = event.get("content")
        read: JsonObject = {}
        for event_id, kinds in content.items() if isinstance(content, dict) else ():
            readers = kinds.get("m.read") if isinstance(kinds, dict) else None
            others = (
                {user: data for user, data in readers.items() if not is_ours(user)} if isinstance(readers, dict) else {}
            )
            if others:
                read[event_id] = {"m.read": others}
        if read:
            kept.append({"type": "m.receipt", "room_id": event["room_id"], "content": read})
    return kept
