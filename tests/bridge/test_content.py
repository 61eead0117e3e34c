"""Matrix content, read and written; and the names of what is ours."""

from __future__ import annotations

import json
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.bridge import actions, content
from chattor_bridge.bridge.ghosts import Household, transaction_id
from chattor_bridge.ids import GHOST_PREFIX, MatrixRoomId, MatrixUserId, PeerId
from chattor_bridge.matrix import text as conversion
from chattor_bridge.node.names import presentable

SECRET = bytes(32)
BOB = PeerId(bytes(16))
HOUSEHOLD = Household(MatrixUserId("@chattorbot:example.test"), "example.test")
ALICE, CAROL = MatrixUserId("@alice:example.test"), MatrixUserId("@carol:example.test")


def test_formatting_that_would_not_fit_is_left_out_and_the_words_stay() -> None:
    text = "**x** " + '"<&' * 4_900
    written = content.written(conversion, text, "mark", notice=False)
    assert "formatted_body" not in written
    assert len(json.dumps(written, ensure_ascii=False).encode()) < 60_000
    assert '"<&' * 4_900 in written["body"]


def test_control_characters_are_replaced() -> None:
    assert content.written(conversion, "a\x00b\x1b[31m\tc\nd\r\ne", "mark", notice=False)["body"] == "a�b�[31m\tc\nd\ne"


def test_nobody_is_mentioned_by_accident() -> None:
    assert content.written(conversion, "hi", "mark", notice=True)["m.mentions"] == {}


@given(st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1))
def test_literal_words_are_never_formatting(words: str) -> None:
    written = content.written(conversion, content.literal(words), "mark", notice=True)
    assert written["body"].strip("\u2068\u2069") == presentable(words)


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"])).map(str.strip).filter(bool))
def test_plain_text_comes_back_as_it_was(words: str) -> None:
    markdown = content.spoken(conversion, {"msgtype": "m.text", "body": words})
    written = content.written(conversion, markdown, "mark", notice=False)
    assert written["body"] == words
    assert "formatted_body" not in written


def test_the_quotation_of_an_answered_message_is_left_out() -> None:
    reply = {"m.in_reply_to": {"event_id": "$1"}}
    quoted = {"body": "> <@a:b> line\n> more\n\nanswer\n\n> own quote", "m.relates_to": reply}
    assert content.plain(quoted) == "answer\n\n> own quote"
    assert content.plain({"body": "> not a reply\n\nanswer"}) == "> not a reply\n\nanswer"
    assert content.plain({"body": "no fallback", "m.relates_to": reply}) == "no fallback"


def test_content_that_has_not_the_form_of_it_is_taken_for_nothing() -> None:
    assert content.plain({"body": 7}) == ""
    assert content.relation({"m.relates_to": "x"}) == {}
    assert content.reply_target({"m.relates_to": {"m.in_reply_to": []}}) is None
    assert content.reply_target({"m.relates_to": {"m.in_reply_to": {"event_id": 7}}}) is None


def test_a_threads_fallback_is_no_answer() -> None:
    thread = {"rel_type": "m.thread", "event_id": "$0", "m.in_reply_to": {"event_id": "$1"}}
    assert content.reply_target({"m.relates_to": {**thread, "is_falling_back": True}}) is None
    assert content.reply_target({"m.relates_to": thread}) == "$1"


def test_ghosts_of_one_friend_differ_by_owner_and_stay_the_same() -> None:
    ghost = HOUSEHOLD.ghost(SECRET, ALICE, BOB)
    assert ghost == HOUSEHOLD.ghost(SECRET, ALICE, BOB)
    assert ghost != HOUSEHOLD.ghost(SECRET, CAROL, BOB)
    assert ghost != HOUSEHOLD.ghost(bytes([1]) * 32, ALICE, BOB)
    assert ghost.startswith(f"@{GHOST_PREFIX}")
    assert set(ghost[len(GHOST_PREFIX) + 1 : ghost.index(":")]) <= set("abcdefghijklmnopqrstuvwxyz234567")


def test_what_is_ours_and_what_only_looks_like_it() -> None:
    assert HOUSEHOLD.is_ours("@chattorbot:example.test")
    assert HOUSEHOLD.is_ours(HOUSEHOLD.ghost(SECRET, ALICE, BOB))
    for other in (ALICE, "@chattorbot:elsewhere.test", "@chattor_abc:elsewhere.test", "chattor_abc:example.test", ""):
        assert not HOUSEHOLD.is_ours(other)


def test_transaction_ids_differ_by_sender_room_event_and_part() -> None:
    room = MatrixRoomId("!a:b")
    ids = {
        transaction_id(ALICE, room, b"1", 0),
        transaction_id(CAROL, room, b"1", 0),
        transaction_id(ALICE, MatrixRoomId("!b:b"), b"1", 0),
        transaction_id(ALICE, room, b"2", 0),
        transaction_id(ALICE, room, b"1", 1),
    }
    assert len(ids) == 5


def test_every_action_comes_back_from_the_database_as_it_was() -> None:
    kinds: dict[str, actions.Action] = {
        "say": actions.Say(ALICE, None, "text", "$1"),
        "show-image": actions.ShowImage(ALICE, "!r", "ZGF0YQ==", "a.png", "caption", 100),
        "ask-about-knock": actions.AskAboutKnock(ALICE, "00", "text"),
        "tell-missed": actions.TellMissed(ALICE, "text", True),
        "react": actions.React(ALICE, "!r", "$1", "x"),
        "welcome": actions.Welcome(ALICE, "!r", "a", "b"),
        "open-management": actions.OpenManagement(ALICE, "a"),
        "leave": actions.Leave("@a", "!r", "b"),
        "open-portal": actions.OpenPortal("00", "01"),
        "rename-portal": actions.RenamePortal("00", "01"),
        "close-portal": actions.ClosePortal(ALICE, "00", "01", "@ghost", None),
        "tell-waiting": actions.TellWaiting("00", "01", 2),
        "tell-held": actions.TellHeld(ALICE, "!r", "text", "$1", 7),
        "take-back": actions.TakeBack("!r", "$1"),
        "report-status": actions.ReportStatus("!r", "$1", "PENDING", "@ghost"),
        "show-event": actions.ShowEvent("00", "01", "c2FpZA=="),
        "part-from-room": actions.PartFromRoom("00", "01", "@ghost", "!r", True),
        "consider-room": actions.ConsiderRoom("00", "01", "!r"),
        "prove-puppet": actions.ProvePuppet(ALICE, "!r", "$1"),
        "tend-puppet": actions.TendPuppet(ALICE),
        "tend-space": actions.TendSpace(ALICE),
        "close-space": actions.CloseSpace(ALICE, None, search=True),
        "show-unknown": actions.ShowUnknown("00", "01", "02", "type"),
        "offer-file": actions.OfferFile("00", "01", {"type": "m.room.message"}),
        "weigh-file": actions.WeighFile("00", "01", "02"),
        "show-file": actions.ShowFile("00", "01", "02"),
        "tell-progress": actions.TellProgress("00", "01", "02", "text"),
        "mark-read": actions.MarkRead(ALICE, "!r", "$1"),
        "disappear": actions.Disappear("00", "01", "02"),
    }
    assert {type(action) for action in kinds.values()} == set(get_args(actions.Action))
    for kind, action in kinds.items():
        stored = actions.to_json(action)
        assert stored["kind"] == kind
        assert actions.from_json(json.loads(json.dumps(stored))) == action
