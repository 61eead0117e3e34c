"""What is shown of a conversation: where days and the unread begin, who is named again, and that memory is bounded."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.timeline import MAX_HELD, Day, Row, Said, Timeline, Unread

NOON = int(time.mktime((2026, 11, 29, 12, 0, 0, 0, 0, -1)))


def message(order: int, *, sent: bool = False, at: int = NOON, state: str = "read") -> Message:
    return Message(
        order=order,
        contact=1,
        peer="aa",
        event_id=f"{order:032x}",
        sent=sent,
        kind="text",
        text=f"text {order}",
        time=at,
        stored=at,
        state=state,
        reason="",
    )


def opened(*messages: Message) -> Timeline:
    timeline = Timeline()
    timeline.open(messages, has_older=False)
    return timeline


def shape(rows: list[Row]) -> list[str]:
    """``day``, ``unread``, and each message as its order, with a colon where its sender is named."""
    words = []
    for row in rows:
        match row:
            case Day():
                words.append("day")
            case Unread():
                words.append("unread")
            case Said(said, headed):
                words.append(f"{said.order}{':' if headed else ''}")
    return words


def test_a_name_stands_once_above_what_was_said_in_one_go() -> None:
    timeline = opened(
        message(1),
        message(2, at=NOON + 60),
        message(3, sent=True, at=NOON + 61),
        message(4, sent=True, at=NOON + 62, state="queued"),  # which stands above it and would be wrong for 3
        message(5, at=NOON + 63),
        message(6, at=NOON + 3_600),
        message(7, at=NOON),  # a clock that is wrong
    )
    assert shape(timeline.rows()) == ["day", "1:", "2", "3:", "4:", "5:", "6:", "7:"]


def test_a_day_begins_by_our_own_clock() -> None:
    lying = replace(message(2), time=0)
    timeline = opened(message(1), lying, message(3, at=NOON + 86_400))
    rows = timeline.rows()
    assert shape(rows) == ["day", "1:", "2:", "day", "3:"]
    assert rows[0] == Day("Sunday, 29 November 2026")


def test_what_is_new_stays_marked_while_it_is_read() -> None:
    timeline = opened(message(1), message(2, state="received"), message(3, state="received"))
    assert shape(timeline.rows()) == ["day", "1:", "unread", "2:", "3"]
    assert timeline.put(message(2))
    assert shape(timeline.rows()) == ["day", "1:", "unread", "2:", "3"]
    timeline.read_up()
    assert shape(timeline.rows()) == ["day", "1:", "2", "3"]


def test_a_message_is_put_in_its_place_and_replaced() -> None:
    timeline = opened(message(1), message(5))
    assert timeline.put(message(3))
    assert timeline.put(message(9))
    assert timeline.put(message(3, state="failed"))
    assert [(one.order, one.state) for one in timeline.messages] == [
        (1, "read"),
        (3, "failed"),
        (5, "read"),
        (9, "read"),
    ]
    timeline.remove(message(5).event_id)
    assert timeline.find(message(5).event_id) is None
    assert timeline.find(message(9).event_id) == message(9)


def test_a_window_onto_a_long_history_moves_and_does_not_grow() -> None:
    timeline = Timeline()
    timeline.open([message(order) for order in range(951, 1_001)], has_older=True)
    for first in range(901, 0, -50):
        timeline.extend_back([message(order) for order in range(first, first + 50)], has_older=first > 1)
        assert len(timeline.messages) <= MAX_HELD
    assert [timeline.messages[0].order, timeline.messages[-1].order] == [1, MAX_HELD]
    assert (timeline.has_older, timeline.has_newer) == (False, True)
    assert not timeline.put(message(1_001)), "it is behind a gap"
    while timeline.has_newer:
        last = timeline.messages[-1].order
        timeline.extend_forward([message(order) for order in range(last + 1, last + 51)], has_newer=last + 50 < 1_000)
        assert len(timeline.messages) <= MAX_HELD
    assert [timeline.messages[0].order, timeline.messages[-1].order] == [1_001 - MAX_HELD, 1_000]
    assert timeline.has_older
    assert timeline.put(message(1_001))
    assert len(timeline.messages) == MAX_HELD
    assert not timeline.put(message(3)), "it is behind a gap"


@pytest.mark.parametrize("order", [1, 3, 9])
def test_an_empty_conversation_takes_what_comes(order: int) -> None:
    timeline = opened()
    assert timeline.rows() == []
    assert timeline.put(message(order))
    assert shape(timeline.rows()) == ["day", f"{order}:"]
