"""A message that means nobody rings for nobody, and says so only where somebody's name stands in it."""

from __future__ import annotations

import pytest

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix.members import Member
from chattor_bridge.matrix.ringing import MENTIONS, means_nobody, shortened
from chattor_bridge.matrix.service import MatrixService
from tests.matrix.test_homeserver import shared_room
from tests.synapse import Homestead, Intake, Somebody, new_ghost

ANN = Member(MatrixUserId("@ann.b:example.test"), "Dr. Ann")


def _said(body: str, **more: object) -> JsonObject:
    return {"msgtype": "m.text", "body": body, MENTIONS: {}, **more}


@pytest.mark.parametrize("body", ["hello", "Ann", "ann b", "dr ann", "@ room", ""])
def test_nothing_is_said_where_no_name_stands(body: str) -> None:
    assert shortened(_said(body), [ANN]) == {"msgtype": "m.text", "body": body}


@pytest.mark.parametrize("body", ["ask Dr. Ann", "DR. ANN!", "so ann.b it", "xann.by", "@room", "to @Room"])
def test_it_is_said_where_a_search_might_find_a_name(body: str) -> None:
    assert shortened(_said(body), [ANN]) == _said(body)


@pytest.mark.parametrize("name", ["*", "a?"])
def test_it_is_said_where_a_name_stands_for_any_letters(name: str) -> None:
    assert shortened(_said("hello"), [ANN, Member(MatrixUserId("@x:y"), name)]) == _said("hello")


def test_names_that_letter_case_changes_are_found() -> None:
    loud = Member(MatrixUserId("@k:y"), "STRASSE")
    assert shortened(_said("in der Straße"), [loud]) == _said("in der Straße")


@pytest.mark.parametrize(
    "content",
    [
        {"msgtype": "m.text", "body": "hello"},
        {"msgtype": "m.text", "body": "hello", MENTIONS: {"user_ids": [ANN.user]}},
        {"m.relates_to": {}, MENTIONS: {}},
        _said("* hello", **{"m.new_content": _said("hello")}),
    ],
)
def test_what_means_somebody_or_is_no_new_message_is_none_of_it(content: JsonObject) -> None:
    assert not means_nobody(content)


@pytest.mark.synapse
async def test_nobody_is_rung_for_by_their_name(homestead: Homestead, service: MatrixService, intake: Intake) -> None:
    person, ghost = await homestead.person("zelda"), new_ghost()
    homeserver = service.homeserver
    room_id = await shared_room(homeserver, ghost, person)
    await homeserver.invite(ghost, room_id, homeserver.bot)
    await homeserver.join(homeserver.bot, room_id)
    texts = ["hello", f"so {person.user_id[1:].partition(':')[0]} it is", "@room"]
    for number, text in enumerate(texts):
        await homeserver.send(ghost, room_id, "m.room.message", _said(text), str(number))
    await person.ask("PUT", f"/profile/{person.user_id}/displayname", {"displayname": "Zaphod"})
    await intake.until(lambda: any(event["content"].get("displayname") == "Zaphod" for event in intake.events))
    await homeserver.send(ghost, room_id, "m.room.message", _said("hello Zaphod"), "renamed")
    messages = await person.messages(room_id)
    assert [MENTIONS in event["content"] for event in messages] == [False, True, True, True]
    assert await _rung_for(person) == []
    bare = {"msgtype": "m.text", "body": "Zaphod, hello"}
    await homeserver.send(ghost, room_id, "m.room.message", bare, "bare")
    assert await _rung_for(person) == ["Zaphod, hello"]


async def _rung_for(person: Somebody) -> list[str]:
    """What was said that is shown to this person with more than a notification."""
    answer = await person.ask("GET", "/notifications?only=highlight")
    return [str(notification["event"]["content"].get("body")) for notification in answer["notifications"]]
