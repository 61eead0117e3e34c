"""Read receipts: people's pass, our own and everything else are left out."""

from __future__ import annotations

import pytest

from chattor_bridge.matrix.receipts import foreign_receipts


def is_ours(user: str) -> bool:
    return user.startswith("@chattor")


def receipt(**readers: list[str]) -> dict[str, object]:
    return {
        "type": "m.receipt",
        "room_id": "!room",
        "content": {
            f"${event}": {"m.read": {user: {"ts": 1} for user in users}, "m.read.private": {"@ada:x": {"ts": 1}}}
            for event, users in readers.items()
        },
    }


def test_receipts_of_people_pass() -> None:
    assert foreign_receipts([receipt(a=["@ada:x"], b=["@chattorbot:x", "@ada:x"])], is_ours) == [
        {
            "type": "m.receipt",
            "room_id": "!room",
            "content": {"$a": {"m.read": {"@ada:x": {"ts": 1}}}, "$b": {"m.read": {"@ada:x": {"ts": 1}}}},
        }
    ]


def test_nothing_is_left_of_our_own() -> None:
    assert foreign_receipts([receipt(a=["@chattorbot:x"], b=["@chattor_abc:x"])], is_ours) == []


@pytest.mark.parametrize(
    "event",
    [
        None,
        "m.receipt",
        {},
        {"type": "m.typing", "room_id": "!room", "content": {"user_ids": ["@ada:x"]}},
        {"type": "m.receipt", "content": {}},
        {"type": "m.receipt", "room_id": "!room"},
        {"type": "m.receipt", "room_id": "!room", "content": {"$a": None}},
        {"type": "m.receipt", "room_id": "!room", "content": {"$a": {"m.read": ["@ada:x"]}}},
    ],
)
def test_other_shapes_are_left_out(event: object) -> None:
    assert foreign_receipts([event], is_ours) == []
