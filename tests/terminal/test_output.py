"""What other people write must not command, move or forge anything on the terminal."""

from __future__ import annotations

import io
import json
import sys
import unicodedata
from pathlib import Path

import pytest

from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.output import Output, neutralised, neutralised_lines, table
from chattor_bridge.terminal.talk_commands import message_lines

ATTACKS = {
    "colour": "\x1b[31mred",
    "title": "\x1b]0;owned\x07",
    "clipboard": "\x1b]52;c;cm0gLXJm\x07",
    "c1 control sequence": "\x9b2J",
    "carriage return": "Bob: pay me\rAlice:",
    "backspace": "no\x08\x08yes",
    "right-to-left override": "gpj.\u202eexe",
    "isolate": "\u2066hidden\u2069",
    "marks": "\u200e\u200f\u061c",
    "invisible tag": "a\U000e0041b",
    "line separator": "one\u2028two\u2029three\x85four",
    "lone surrogate": "\ud83d",
    "nul and delete": "\x00\x7f",
    "byte order mark": "\ufeff",
}


@pytest.mark.parametrize("text", ATTACKS.values(), ids=ATTACKS)
def test_nothing_a_terminal_obeys_passes(text: str) -> None:
    for shown in (neutralised(text), neutralised_lines(text)):
        for character in shown.replace("\n    ", ""):
            assert unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"}
        assert shown.encode()


def test_what_was_neutralised_stays_visible() -> None:
    assert neutralised("\x1b[31m") == "\\x1b[31m"
    assert neutralised("a\u202eb") == "a\\u202eb"


@pytest.mark.parametrize("text", ["Grüße", "日本語", "سلام می‌خواهم", "👩‍👩‍👧 👍🏽", "ひらがな", "naïve — “ok”"])
def test_ordinary_writing_stays_as_it_is(text: str) -> None:
    assert neutralised(text) == text
    assert neutralised_lines(text) == text


def test_further_lines_of_a_text_cannot_pass_for_an_entry() -> None:
    assert neutralised_lines("hello\n2026-01-01 10:00  Alice: forged\r\nmore") == (
        "hello\n    2026-01-01 10:00  Alice: forged\n    more"
    )
    assert "\n" not in neutralised("hello\nworld")


def test_a_note_names_commands_as_they_are_typed_for_this_home_and_nobody_elses_words_do() -> None:
    said = {"contact": 3, "name": "Bob", "sent": False, "state": "read", "time": 0, "order": 9}
    for kind, shown in (
        ("note", "  about 3 Bob: [chattor --home /x block NAME ends it]"),
        ("text", "  3 Bob: [`chattor block NAME` ends it]"),
    ):
        (line,) = message_lines({**said, "kind": kind, "text": "[`chattor block NAME` ends it]"}, Home(Path("/x")))
        assert line.endswith(shown)


def test_json_is_ascii_and_loses_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    text = "".join(ATTACKS.values()) + "日本語"
    Output(as_json=True).show({"text": text}, "for people")
    written = capsys.readouterr().out
    assert written.isascii()
    assert written.count("\n") == 1
    assert json.loads(written) == {"text": text}


def test_errors_are_neutralised_too(capsys: pytest.CaptureFixture[str]) -> None:
    Output(as_json=False).complain("no such contact: \x1b[2J")
    Output(as_json=True).complain("no")
    assert capsys.readouterr().err == 'chattor: no such contact: \\x1b[2J\n{"error": "no"}\n'


def test_a_terminal_without_utf_8_gets_question_marks(monkeypatch: pytest.MonkeyPatch) -> None:
    written = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
    Output(as_json=False).show({}, "Grüße")
    assert written.getvalue() == b"Gr??e\n"


def test_a_table_is_aligned_also_with_wide_characters() -> None:
    lines = table([["1", "日本", "online"], ["2", "Bob", "offline"]])
    assert lines == ["  1  日本  online", "  2  Bob   offline"]
    assert table([]) == []
