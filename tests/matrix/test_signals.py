"""Typing and presence: people's pass, our own and everything else are left out."""

from __future__ import annotations

import pytest

from chattor_bridge.matrix.signals import foreign_signals


def is_ours(user: str) -> bool:
    return user.startswith("@chattor")


def typing(*users: object) -> dict[str, object]:
    return {"type": "m.typing", "room_id": "!room", "content": {"user_ids": list(users)}}


def test_people_pass_and_ours_do_not() -> None:
    presence = {"type": "m.presence", "sender": "@ada:x", "content": {"presence": "online"}}
    echo = {"type": "m.presence", "sender": "@chattor_abc:x", "content": {"presence": "online"}}
    said = [typing("@ada:x", "@chattor_abc:x"), typing("@chattorbot:x"), presence, echo]
    assert foreign_signals(said, is_ours) == [typing("@ada:x"), typing(), presence]


def test_only_what_is_known_is_kept_of_a_presence() -> None:
    told = {"presence": "unavailable", "status_msg": "at the dentist's", "last_active_ago": 5}
    event = {"type": "m.presence", "sender": "@ada:x", "content": told}
    assert foreign_signals([event], is_ours) == [{**event, "content": {"presence": "unavailable"}}]


@pytest.mark.parametrize(
    "event",
    [
        None,
        {},
        {"type": "m.typing", "content": {"user_ids": []}},
        {"type": "m.typing", "room_id": "!room", "content": {"user_ids": "@ada:x"}},
        {"type": "m.presence", "content": {"presence": "online"}},
        {"type": "m.presence", "sender": "@ada:x", "content": {"presence": 1}},
        {"type": "m.receipt", "room_id": "!room", "content": {}},
    ],
)
def test_other_shapes_are_left_out(event: object) -> None:
    assert foreign_signals([event], is_ours) == []
