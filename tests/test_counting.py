"""Numbers of things as a person reads them."""

from __future__ import annotations

from chattor_bridge.counting import counted, sized
from chattor_bridge.ids import PeerId
from chattor_bridge.node.carrying.records import Carriage, Carrier, CarryingInfo
from chattor_bridge.node.happenings import MISSING, Missed
from chattor_bridge.node.notices import in_words
from chattor_bridge.terminal.carry_commands import mailbox_lines


def test_one_is_no_plural() -> None:
    assert [counted(number, "shelf", "shelves") for number in (0, 1, 2)] == ["0 shelves", "1 shelf", "2 shelves"]
    assert [counted(number, "message") for number in (1, 1200)] == ["1 message", "1,200 messages"]


def test_a_size_is_never_a_thousand_of_its_unit() -> None:
    sizes = {0: "0 bytes", 1: "1 byte", 999: "999 bytes", 1000: "1.0 kB", 999_949: "999.9 kB", 999_950: "1.0 MB"}
    sizes |= {12_345_678: "12.3 MB", 999_950_000: "1.0 GB", 64 * 2**30: "68.7 GB", 2**40: "1099.5 GB"}
    assert {size: sized(size) for size in sizes} == sizes


def test_nobody_is_told_of_one_shelves() -> None:
    peer_id = PeerId(bytes(16))
    info = CarryingInfo(peer_id, Carrier(peer_id, True, 1, 1, used=True), Carriage(peer_id, 1, 1), 1, 1)
    assert info.in_words == (
        "holds your mail on up to 1 shelf of 1 block",
        "has its mail held by you: 1 block on 1 shelf now, 0.0 MB, of up to 1 shelf of 1 block, 0.0 MB",
    )
    held = {
        "carried": [{"contact": 1, "name": "Bob", "held": 1}],
        "held": 0,
        "limit": 0,
        "shelves": 1,
        "most_shelves": 48,
    }
    mailbox = mailbox_lines({**held, "tor": None, "free": 0})
    assert mailbox[0].startswith("mailbox   0.0 MB held for 1 friend, ")
    assert mailbox[1].endswith("Bob: 1 block")
    assert (
        in_words(MISSING, {"count": 1}, typed=lambda command, rest="": command)
        == "Missing here: 1 message that has not arrived."
    )
    assert Missed(1, 1, over=True).in_words == "1 missed message has come, from a friend."
