"""Typing and presence among the ephemeral events of a transaction.

The homeserver echoes what our own users show to us; taken for a person's, it would be told to the very friend it came
from.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from chattor_bridge.bridge.records import JsonObject


def foreign_signals(ephemeral: Iterable[object], is_ours: Callable[[str], bool]) -> list[JsonObject]:
    """The ``m.typing`` events, with users other than ours left in them, and the ``m.presence`` events of others.

    That nobody types any more is a signal too. Whatever is not shaped as it should be is dropped: nothing ephemeral is
    worth stopping a transaction for.
    """
    kept: list[JsonObject] = []
    for event in ephemeral:
        match event:
            case {"type": "m.typing", "room_id": str(room_id), "content": {"user_ids": list(users)}}:
                others = [user for user in users if isinstance(user, str) and not is_ours(user)]
                kept.append({"type": "m.typing", "room_id": room_id, "content": {"user_ids": others}})
            case {"type": "m.presence", "sender": str(sender), "content": {"presence": str(state)}}:
                if not is_ours(sender):
                    kept.append({"type": "m.presence", "sender": sender, "content": {"presence": state}})
    return kept
