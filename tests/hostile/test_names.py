"""Names made to be taken for something else: docs/threat-model.md, "A stranger with a friend code"."""

from __future__ import annotations

import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.bridge.content import literal
from chattor_bridge.ids import PeerId
from chattor_bridge.node.names import MAX_MARKS, presentable, resemble, told_apart
from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import neutralised
from chattor_bridge.terminal.talk_commands import message_lines

TRICKS = {
    "an override": ("\u202eannA", "annA"),
    "isolates left open": ("Anna\u2066\u2067\u2068", "Anna"),
    "marks of direction": ("\u200fAnna\u200e\u061c", "Anna"),
    "zero width": ("An\u200bn\ufeffa\u2060", "Anna"),
    "tags": ("Anna\U000e0061\U000e007f", "Anna"),
    "controls": ("An\x1b[2Jna\x07\x9b", "An[2Jna"),
    "line separators": ("Anna\u2028accept\u2029all\x0b1", "Anna accept all 1"),
    "blanks that are letters": ("\u3164\u115f\uffa0\u2800", ""),
    "nothing but joiners": ("\u200d\u200c \u200d", ""),
    "nothing but variations": ("\ufe0f\ufe0f \U000e0101", ""),
    "nothing but marks": ("\u0300\u20dd", ""),
    "what will be drawn as nothing": ("Anna\u2065\ufff8\U000e0080\U000e0fff", "Anna"),
    "a private sign of trust": ("Anna\ue000", "Anna"),
    "spaces to push something out of sight": ("Anna" + "\u3000" * 20 + "x", "Anna x"),
    "marks without end": ("A" + "\u0300" * 30 + "nna", unicodedata.normalize("NFC", "A" + "\u0300" * 5) + "nna"),
}


@pytest.mark.parametrize(("name", "shown"), TRICKS.values(), ids=TRICKS.keys())
def test_tricks_do_not_show(name: str, shown: str) -> None:
    assert presentable(name) == shown


@pytest.mark.parametrize(
    "name", ["Ada Lovelace", "Żółć", "Nguyễn Thị Ánh", "שָׁלוֹם", "مریم‌السادات", "李小龍", "👩‍👩‍👧‍👦", "ก็ยังดี", "🏳️‍🌈"]
)
def test_names_of_people_stay_as_they_are(name: str) -> None:
    assert presentable(name) == unicodedata.normalize("NFC", name)


@given(st.text())
def test_whatever_the_name_it_stays_on_its_line_and_turns_nothing(name: str) -> None:
    shown = presentable(name)
    assert presentable(shown) == shown
    assert len(shown.splitlines()) <= 1
    assert all(unicodedata.category(character) not in ("Cc", "Cs", "Co", "Zl", "Zp") for character in shown)
    assert not any(unicodedata.bidirectional(c) in ("LRE", "RLE", "LRO", "RLO", "LRI", "RLI", "FSI") for c in shown)
    run = 0
    for character in shown:
        run = run + 1 if unicodedata.category(character).startswith("M") else 0
        assert run <= MAX_MARKS
    # what the bot writes around it keeps its own direction
    inside = literal(name)
    assert inside.count("\u2068") == inside.count("\u2069") <= 1


@given(st.text())
def test_nothing_a_terminal_obeys_is_left(text: str) -> None:
    assert all(unicodedata.category(c) not in ("Cc", "Cs", "Zl", "Zp") for c in neutralised(text))


def test_accents_piled_up_on_a_terminal_are_written_out() -> None:
    assert neutralised("e" + "\u0301" * 6 + "f") == "e" + "\u0301" * MAX_MARKS + r"\u0301\u0301f"


def test_no_name_makes_a_line_of_another_on_a_terminal() -> None:
    """A line of a friend begins with its number, and one of ours with a word."""
    home = Home(Path("/x"))
    message = {"contact": 3, "sent": False, "state": "received", "time": 0, "text": "yes", "order": 9, "kind": "text"}
    for name in ("you to Anna [delivered]", "Anna: I owe you", "\x1b[1A\x1b[2KAnna", "2 Anna"):
        (line,) = message_lines({**message, "name": name}, home)
        assert line.split("  ", 1)[1].startswith("3 ")
        assert line.isprintable()
        (note,) = message_lines({**message, "name": name, "kind": "note", "text": "[compare]"}, home)
        assert note.split("  ", 1)[1].startswith("about 3 ")
    (ours,) = message_lines({**message, "name": "Anna", "sent": True, "state": "delivered"}, home)
    assert ours.endswith("  you to Anna [delivered]: yes")


@pytest.mark.parametrize(
    "imitation",
    ["anna", "Аnna", "Αnna", "An\u200bna", "A n n a", "Ánnà", "𝐀𝐧𝐧𝐚", "ＡＮＮＡ", "Anna.", "Anпa"],  # noqa: RUF001
)
def test_an_imitation_is_told_apart(imitation: str) -> None:
    assert resemble(imitation, "Anna")
    assert told_apart(imitation, PeerId(b"\xab\xcd" + bytes(14)), ["Ben", "Anna"]) == f"{imitation} (contact abcd)"


@pytest.mark.parametrize("other", ["Hanna", "Ann", "", "Anne", "Иван"])
def test_another_name_is_left_alone(other: str) -> None:
    assert told_apart(other, PeerId(bytes(16)), ["Anna", ""]) == other
