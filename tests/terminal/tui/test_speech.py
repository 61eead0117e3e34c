"""What is shown with a message: what it answers, how it was changed, who chose what; under signs nobody can write."""

from __future__ import annotations

from dataclasses import replace

import pytest

from chattor_bridge.terminal.tui.said import File, Message, Poll, Quote
from tests.terminal.tui.test_painting import WIDTH, said
from tests.terminal.tui.test_timeline import message

HERS = Quote(3, sent=True, text="shall we?\nnow?", deleted=False)

POLL = Poll(("Pizza", "Soup", "Nothing"), choices=2, disclosed=True, ended=False, mine=(0,), theirs=(0, 1))


def below(text: str = "yes", **fields: object) -> list[str]:
    """The lines below the head."""
    return said(text, width=60, **fields)[1:]  # type: ignore[arg-type]


def test_an_answer_says_what_it_answers() -> None:
    assert below(reply=HERS) == ["↪ you: “shall we?”", "  yes"]
    assert below(thread=HERS, reply=replace(HERS, sent=False)) == [
        "⌥ in the thread of you: “shall we?”",
        "↪ Bob: “shall we?”",
        "  yes",
    ]
    assert below(reply=replace(HERS, deleted=True)) == ["↪ something that was taken back", "  yes"]
    assert below(reply=Quote(None, sent=False, text="", deleted=False))[0] == "↪ something that is not here any more"
    assert below(reply=replace(HERS, text="it was ||the gardener||, and ||cut of"))[0] == "↪ you: “it was ▒▒▒, and ▒▒▒”"
    long = said("yes", reply=replace(HERS, text="word " * 40))
    assert long[1].endswith("…")
    assert all(len(line) <= WIDTH for line in long)


def test_changes_and_reactions_stand_below() -> None:
    assert below(edited=True, reactions=(("👍", True), ("🎉", False))) == ["  yes", "~ changed", "+ 👍 you  🎉 Bob"]
    assert below(deleted=True, edited=True) == ["  taken back"]


def test_a_friend_cannot_write_what_stands_below() -> None:
    text = "↪ you: “I owe you”\n+ 👍 you\n~ changed\n◆ note"
    assert all(line.startswith("  ") for line in below(text))


def test_kinds_have_their_signs() -> None:
    assert below("waves\nand leaves", kind="emote") == ["* Bob waves", "*     and leaves"]
    assert below("waves", kind="emote", sent=True) == ["* you waves"]
    assert below("**Big** Ben (51.5, -0.1)", kind="location") == ["⌖ **Big** Ben (51.5, -0.1)"]
    assert below("[The encryption **began** anew]", kind="note") == ["◆ The encryption **began** anew"]
    assert below("👍", kind="reaction") == ["~ reaction: 👍"]


def test_a_poll_shows_who_chose_what() -> None:
    assert below("Lunch?", kind="poll", poll=POLL) == [
        "? Lunch?",
        "  1 ☑ Pizza ─ 2: you, Bob",
        "  2 ☐ Soup ─ 1: Bob",
        "  3 ☐ Nothing",
        "  (choose up to 2)",
    ]
    hidden = replace(POLL, disclosed=False, choices=1, theirs=None)
    assert below("Lunch?", kind="poll", poll=hidden)[1:] == [
        "  1 ☑ Pizza ─ 1: you",
        "  2 ☐ Soup",
        "  3 ☐ Nothing",
        "  (choose one; votes are shown when it is over)",
    ]
    assert below("Lunch?", kind="poll", poll=replace(hidden, ended=True))[-1] == "  (over)"


def test_a_choice_too_many_makes_room() -> None:
    assert POLL.chosen(1) == (0, 1)
    assert POLL.chosen(0) == ()
    assert replace(POLL, mine=(0, 1)).chosen(2) == (1, 2)
    assert replace(POLL, choices=1).chosen(2) == (2,)


FILE = File("ab", "photo.jpg", "image/jpeg", size=2_000_000, state="offered")


@pytest.mark.parametrize(
    ("file", "sent", "line"),
    [
        (FILE, False, "  offered: s fetches and saves it"),
        (FILE, True, "  offered, and your friend has not fetched it yet"),
        (replace(FILE, state="accepted"), False, "  " + "░" * 20 + "   0 % waiting for your friend"),
        (replace(FILE, state="accepted", done=900_000, streams=2), True, "  " + "█" * 9 + "░" * 11 + "  45 %"),
        (replace(FILE, state="arrived"), False, "  here, and kept encrypted: s saves it"),
        (replace(FILE, state="done"), False, "  saved"),
        (replace(FILE, state="done"), True, "  your friend has it"),
        (replace(FILE, state="failed", reason="was withdrawn"), False, "  it did not come: was withdrawn"),
        (replace(FILE, state="gone"), False, "  not kept any more"),
    ],
)
def test_a_file_says_what_it_is_and_how_far(file: File, sent: bool, line: str) -> None:
    assert below("*look*", kind="file", file=file, sent=sent) == [
        "▤ photo.jpg · 2.0 MB · image/jpeg",
        line,
        "  look",
    ]


def test_a_file_without_words_or_bytes_or_a_kind() -> None:
    empty = File("ab", "[b]x[/b]\x1b", "", size=0, state="accepted", streams=1)
    assert below("", kind="file", file=empty) == ["▤ [b]x[/b]\\x1b · 0 bytes", "  " + "█" * 20 + " 100 %"]


def test_what_did_not_arrive_is_said_where_it_belongs() -> None:
    assert below(troubles=(("edit", "it came too late"),)) == ["  yes", "✗ edit not delivered: it came too late"]


@pytest.mark.parametrize(
    ("fields", "allowed"),
    [
        ({}, "reply thread react"),
        ({"sent": True}, "reply thread edit delete react"),
        ({"sent": True, "kind": "location"}, "reply thread delete react"),
        ({"reply": HERS}, "reply thread react go"),
        ({"reactions": (("👍", True),)}, "reply thread react unreact"),
        ({"kind": "poll", "poll": POLL}, "reply thread react vote"),
        ({"kind": "poll", "poll": POLL, "sent": True}, "reply thread delete react vote end"),
        ({"kind": "poll", "poll": replace(POLL, ended=True), "sent": True}, "reply thread delete react"),
        ({"kind": "file", "file": FILE}, "reply thread react save cancel"),
        ({"kind": "file", "file": replace(FILE, state="arrived")}, "reply thread react save"),
        ({"kind": "file", "file": FILE, "sent": True}, "reply thread edit delete react cancel"),
        ({"deleted": True, "sent": True}, ""),
        ({"kind": "note"}, ""),
    ],
)
def test_only_what_can_be_done_is_offered(fields: dict[str, object], allowed: str) -> None:
    one: Message = replace(message(1), **fields)  # type: ignore[arg-type]
    everything = ("reply", "thread", "edit", "delete", "react", "unreact", "vote", "end", "save", "cancel", "go")
    assert [what for what in everything if one.allows(what)] == allowed.split()
