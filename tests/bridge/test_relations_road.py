"""Everything that refers to what was said, through a real Synapse, in plain rooms and in encrypted ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from chattor_bridge.bridge import waiting
from chattor_bridge.bridge.statuses import STATUS
from chattor_bridge.ops.person import Condition, JsonObject, Person
from chattor_bridge.protocol.events import Delete, Edit, Location, Poll, PollEnd, Reaction, Text, Vote
from tests.bridge.test_relations import edit_of, next_heard, tell
from tests.bridge.test_road_synapse import befriended, road_to
from tests.nio_person import NioPerson
from tests.postgres import Databases
from tests.synapse import WAIT, Homestead

pytestmark = [pytest.mark.synapse, pytest.mark.engines("postgres")]


@pytest.mark.parametrize("kind", [Person, NioPerson])
async def test_a_conversation_with_everything(
    homestead: Homestead, tmp_path: Path, databases: Databases, kind: type[Person], monkeypatch: pytest.MonkeyPatch
) -> None:
    async with road_to(homestead, tmp_path, kind, databases=databases) as (road, friend):
        alice, room_id, ghost = await befriended(road, friend)

        async def related(rel_type: str, target: str) -> JsonObject:
            """The ghost's event in this relation, as Alice's client reads it."""
            return await alice.wait_for(
                lambda event: (
                    event["sender"] == ghost
                    and event["content"].get("m.relates_to", {}).get("rel_type") == rel_type
                    and event["content"]["m.relates_to"].get("event_id") == target
                ),
                WAIT,
            )

        # the owner's words
        mine = await alice.say(room_id, "helo")
        await alice.send(room_id, "m.room.message", edit_of(mine, "hello"))
        relation = {"rel_type": "m.thread", "event_id": mine, "is_falling_back": True}
        thread = {"msgtype": "m.emote", "body": "waves", "m.relates_to": relation}
        waved = await alice.send(room_id, "m.room.message", thread)
        await alice.react(room_id, mine, "👍")
        await alice.send(room_id, "m.room.message", {"msgtype": "m.location", "body": "x", "geo_uri": "geo:1,2;u=3"})
        await redact(alice, room_id, waved)
        said, edit, wave, thumb, place, gone = await next_heard(friend, 6)
        assert edit.body == Edit(said.event_id, "hello")
        assert (wave.body, wave.thread) == (Text("waves", "emote"), said.event_id)
        assert thumb.body == Reaction(said.event_id, "👍")
        assert place.body == Location(1_000_000, 2_000_000, 3, "x")
        assert gone.body == Delete(wave.event_id)

        # the friend's
        text_id = await tell(friend, Text("secrt"), reply=said.event_id)
        shown = await alice.wait_for(lambda event: event["content"].get("body") == "secrt", WAIT)
        assert shown["content"]["m.relates_to"] == {"m.in_reply_to": {"event_id": mine}}
        await tell(friend, Edit(text_id, "secret"))
        edited = await related("m.replace", shown["event_id"])
        assert edited["content"]["m.new_content"]["body"] == "secret"
        await tell(friend, Reaction(said.event_id, "🎉"))
        assert (await related("m.annotation", mine))["content"]["m.relates_to"]["key"] == "🎉"
        poll_id = await tell(friend, Poll("Tea?", ("yes", "no")))
        poll = await alice.wait_for(lambda event: event["type"] == "org.matrix.msc3381.poll.start", WAIT)
        relates = {"rel_type": "m.reference", "event_id": poll["event_id"]}
        answer = {"m.relates_to": relates, "org.matrix.msc3381.poll.response": {"answers": ["1"]}}
        await alice.send(room_id, "org.matrix.msc3381.poll.response", answer)
        assert (await next_heard(friend, 7))[-1].body == Vote(poll_id, (1,))
        await tell(friend, Vote(poll_id, (0,)))
        vote = await related("m.reference", poll["event_id"])
        assert vote["content"]["org.matrix.msc3381.poll.response"] == {"answers": ["0"]}
        await tell(friend, PollEnd(poll_id))
        await alice.wait_for(lambda event: event["type"] == "org.matrix.msc3381.poll.end", WAIT)
        await tell(friend, Delete(text_id))
        for event_id in (shown["event_id"], edited["event_id"]):
            await alice.wait_for(removes(ghost, event_id), WAIT)

        # and how far a message has come
        monkeypatch.setattr(waiting, "GRACE", 0.2)
        await friend.go_offline()
        late = await alice.say(room_id, "are you there?")
        notice = await alice.wait_for(lambda event: "cannot be reached" in event["content"].get("body", ""), WAIT)
        for status in ("PENDING", "SUCCESS"):
            reported = await alice.wait_for(is_status(late, status), WAIT)
            assert reported["sender"] == road.bot
            await friend.come_back()
        await alice.wait_for(removes(road.bot, notice["event_id"]), WAIT)


def is_status(event_id: str, status: str) -> Condition:
    return lambda event: (
        (event["type"], event["content"].get("status")) == (STATUS, status)
        and event["content"]["m.relates_to"]["event_id"] == event_id
    )


def removes(sender: str, event_id: str) -> Condition:
    return lambda event: (
        (event["type"], event["sender"]) == ("m.room.redaction", sender)
        and event_id in (event.get("redacts"), event["content"].get("redacts"))
    )


async def redact(person: Person, room_id: str, event_id: str) -> None:
    if isinstance(person, NioPerson):
        await person.nio.room_redact(room_id, event_id)
    else:
        await person._client.redact(room_id, event_id)  # type: ignore[arg-type]
