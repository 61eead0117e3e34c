"""What a friend writes as lines of a terminal: in bounds, in full, and without power over the screen."""

from __future__ import annotations

import unicodedata
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from chattor_bridge.terminal.tui.commonmark import in_lines
from chattor_bridge.terminal.tui.ink import DARK
from chattor_bridge.terminal.tui.painting import paint
from chattor_bridge.terminal.tui.said import Message
from chattor_bridge.terminal.tui.speech import GUTTER
from chattor_bridge.terminal.tui.timeline import Day, Said, Unread
from tests.terminal.tui.test_timeline import message

WIDTH = 40


def said(text: str, *, width: int = WIDTH, name: str = "Bob", **fields: object) -> list[str]:
    """The lines of a message that says this."""
    told: Message = replace(message(1), text=text, **fields)  # type: ignore[arg-type]
    return [line.plain for line in paint(Said(told, headed=True), name, width, DARK)]


def looks(text: str) -> dict[str, str]:
    """What is written in which look."""
    return {
        line.plain[span.start : span.end]: str(span.style)
        for line in in_lines(text, WIDTH, DARK)
        for span in line.spans
        if span.style
    }


def test_formatting_is_shown() -> None:
    assert looks("**bold** *slanted* `code` ~~gone~~") == {
        "bold": "bold",
        "slanted": "italic",
        "code": DARK.code,
        "gone": "strike",
    }
    assert looks("# Heading") == {"Heading": DARK.heading}


def test_blocks_have_their_shapes() -> None:
    assert said("A list:\n\n- one\n- two\n  1. deeper\n\n> quoted\n> on\n\n```py\nif x:\n\ty()\n```\nend\n\n---") == [
        "◂ Bob · 12:00",
        "  A list:",
        "  • one",
        "  • two",
        "    1. deeper",
        "",
        "  │ quoted",
        "  │ on",
        "",
        "  if x:",
        "      y()",
        "",
        "  end",
        "",
        "  " + "─" * (WIDTH - GUTTER),
    ]


def test_a_loose_list_has_air() -> None:
    assert said("- one\n\n  more\n\n- two")[1:] == ["  • one", "", "    more", "", "  • two"]


def test_a_long_line_goes_on_below_its_own_beginning() -> None:
    assert said("- " + "word " * 12)[1:] == [
        "  • word word word word word word word",
        "    word word word word word",
    ]
    assert said("> " + "x" * 50)[1:] == ["  │ " + "x" * 36, "  │ " + "x" * 14]


def test_a_link_says_where_it_leads() -> None:
    assert said("[your bank](https://evil.example/)")[1:] == ["  your bank <https://evil.example/>"]
    assert said("<https://example.org/>")[1:] == ["  https://example.org/"]
    assert said("[x]: https://example.org")[1:] == ["  [x]: https://example.org"], "nothing is left out"
    assert said("![picture](https://example.org/p.png)", width=80)[1:] == ["  !picture <https://example.org/p.png>"]


@pytest.mark.parametrize(
    "text",
    [
        "\x1b[2J\x1b]0;owned\x07",
        "&#27;[2J",
        "`\u202e`",
        "```\n\x9b31m\n```",
        "[a\x1b](https://example.org/\u202e)",
        "> \u2066x",
        "<script>alert(1)</script>",
        "[red]x[/red] [@click=app.exit]y[/]",
        "a" + "\u0301" * 50,
    ],
)
def test_nobody_commands_the_screen(text: str) -> None:
    shown = "\n".join(said(text, name=text.replace("\n", ""))) + "\n".join(said(text, state="failed", reason=text))
    for character in shown.replace("\n", ""):
        assert unicodedata.category(character) not in {"Cc", "Cf", "Zl", "Zp"}
    assert "\u0301" * 9 not in shown
    assert "[red]" not in text or "[@click=app.exit]" in shown


def test_a_friend_cannot_pass_for_us() -> None:
    forged = said("hello\n▸ you · 12:00 · ✓ delivered", name="you")
    assert forged[0].startswith("◂ you")
    assert all(line.startswith("  ") for line in forged[1:])
    assert said("hello", sent=True, state="delivered")[0] == "▸ you · 12:00 · ✓ delivered"


def test_what_waits_at_carriers_says_at_how_many() -> None:
    assert said("hello", sent=True, state="carried", carriers=2)[0] == "▸ you · 12:00 · ⇢ carried by 2"


def test_what_failed_says_why() -> None:
    lines = said("hello", sent=True, state="failed", reason="the friendship is over")
    assert lines == ["▸ you · 12:00 · ✗ not delivered", "  hello", "✗ the friendship is over"]


def test_a_message_of_another_day_says_so() -> None:
    assert said("hello", time=message(1).time - 86_400)[0] == "◂ Bob · 2026-11-28 12:00"


def test_a_long_name_leaves_room_for_the_time() -> None:
    assert said("x", name="日本" * 30)[0].endswith("… · 12:00")
    assert cell_len(said("x", name="日本" * 30)[0]) <= WIDTH


@pytest.mark.parametrize(
    "text", ["[" * 5_000, "> " * 3_000 + "deep", "- " * 500 + "deep", "*" * 14_000, "日" * 5_000, "\n" * 10_000 + "x"]
)
def test_texts_made_to_hurt_are_shown_in_full_and_soon(text: str) -> None:
    lines = said(text, width=30)
    assert all(cell_len(line) <= 30 for line in lines)
    wanted = [character for character in text if character.isalpha()]
    assert [character for character in "".join(lines[1:]) if character.isalpha()] == wanted


@given(st.text(max_size=300), st.integers(20, 100))
def test_whatever_is_said_fits(text: str, width: int) -> None:
    for line in paint(Said(replace(message(1), text=text), headed=True), text, width, DARK):
        assert line.cell_len <= width
        assert "\n" not in line.plain


@given(st.text(alphabet=st.characters(categories=["L", "N"]), min_size=1, max_size=30))
def test_no_word_is_lost(word: str) -> None:
    for form in ("{}", "**{}**", "> {}", "- {}", "# {}", "`{}`", "```\n{}\n```", "[{}](https://example.org)"):
        assert word in "".join(line.strip(" │•") for line in said(form.format(word), width=100)[1:])


def test_what_is_hidden_is_covered_until_it_is_asked_for() -> None:
    text = "the murderer is ||the *gardener*||, or ||日本||"
    assert said(text, width=80)[1:] == ["  the murderer is ▒▒▒▒▒▒▒▒▒▒▒▒, or ▒▒▒▒"]
    row = Said(replace(message(1), text=text), headed=False)
    [line] = paint(row, "Bob", 80, DARK, revealed=True)
    assert line.plain == "  the murderer is the gardener, or 日本"


def test_rules_fill_the_line() -> None:
    for row in (Day("Sunday, 29 November 2026"), Unread()):
        [line] = paint(row, "Bob", WIDTH, DARK)
        assert line.cell_len == WIDTH
