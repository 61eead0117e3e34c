"""What `chattor run` tells, and to whom: a service's log is kept, and is no place for names and words."""

from __future__ import annotations

from pathlib import Path

import pytest

from chattor_bridge.ids import KnockId, PeerId
from chattor_bridge.node.happenings import CodeClosed, ContactAdded, KnockReceived
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.notices import Notices
from chattor_bridge.terminal.output import Output

KNOCK = KnockId(bytes(16))
NOTICES = (
    KnockReceived(KNOCK, "Roberta", "from the choir", "singers", 3),
    ContactAdded(PeerId(bytes(16)), KNOCK, "Roberta"),
    CodeClosed("singers", "has expired"),
)


def told(named: bool, capsys: pytest.CaptureFixture[str]) -> list[str]:
    notices = Notices(Home(Path("/x")), Output(as_json=False), named=named)
    for notice in NOTICES:
        notices.notify(notice)
    return capsys.readouterr().out.splitlines()


def test_a_person_at_the_terminal_is_told_who_and_what(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(True, capsys) == [
        "Roberta asks to be your friend: chattor --home /x accept 3",
        "    from the choir",
        "Roberta is your friend now. chattor --home /x contacts lists your friends.",
        "The friend code singers has expired.",
    ]


def test_the_log_of_a_service_is_told_that_and_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    assert told(False, capsys) == [
        "Somebody asks to be your friend: chattor --home /x requests shows who.",
        "You have a new friend: chattor --home /x contacts lists them.",
        "A friend code has expired.",
    ]
