"""Polls and places, in both directions and in both of Matrix's forms."""

from __future__ import annotations

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.protocol.events import Delete, Location, Poll, PollEnd, Text, Vote
from tests.bridge.fake_homeserver import BOT
from tests.bridge.test_relations import next_heard, shown, tell
from tests.bridge.town import Town
from tests.peer import Peer

ASKED = Poll("Tea or coffee?", ("Tea", "Coffee", "Both"), 2, True)

STABLE: JsonObject = {
    "m.text": [{"body": "Tea or coffee? Tea Coffee Both"}],
    "m.poll": {
        "kind": "m.disclosed",
        "max_selections": 2,
        "question": {"m.text": [{"body": "<b>Tea</b>", "mimetype": "text/html"}, {"body": "Tea or coffee?"}]},
        "answers": [{"m.id": name, "m.text": [{"body": name.title()}]} for name in ("tea", "coffee", "both")],
    },
}
UNSTABLE: JsonObject = {
    "org.matrix.msc1767.text": "Tea or coffee? Tea Coffee Both",
    "org.matrix.msc3381.poll.start": {
        "kind": "org.matrix.msc3381.poll.undisclosed",
        "max_selections": 1,
        "question": {"org.matrix.msc1767.text": "Tea or coffee?", "body": "Tea or coffee?", "msgtype": "m.text"},
        "answers": [{"id": name, "org.matrix.msc1767.text": name.title()} for name in ("tea", "coffee", "both")],
    },
}


def to(poll: str, **more: object) -> JsonObject:
    return {**more, "m.relates_to": {"rel_type": "m.reference", "event_id": poll}}


async def test_the_owners_poll_is_voted_in_by_both_and_ended(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    poll_id = await town.send(room, STABLE, "m.poll.start")
    vote_id = await town.send(room, to(poll_id, **{"m.selections": ["both", "tea"]}), "m.poll.response")
    await town.send(room, to(poll_id, **{"m.selections": ["beer"]}), "m.poll.response")
    await town.send(room, {"redacts": vote_id}, "m.room.redaction")
    asked, vote, spoiled, back = await next_heard(friend, 4)
    assert asked.body == ASKED
    assert vote.body == Vote(asked.event_id, (0, 2))
    assert spoiled.body == Vote(asked.event_id, ())
    assert back.body == Delete(vote.event_id)
    await tell(friend, Vote(asked.event_id, (1,)))
    await tell(friend, Vote(asked.event_id, (7,)))
    await tell(friend, PollEnd(asked.event_id))
    await tell(friend, Vote(asked.event_id, ()))
    first, second = await shown(town, room, 2)
    assert first["type"] == "m.poll.response"
    assert first["content"]["m.selections"] == ["coffee"]
    assert first["content"]["m.relates_to"] == {"rel_type": "m.reference", "event_id": poll_id}
    assert second["content"]["m.selections"] == []
    await town.send(room, to(poll_id, **{"m.text": [{"body": "over"}]}), "m.poll.end")
    assert (await next_heard(friend, 5))[-1].body == PollEnd(asked.event_id)


async def test_a_hidden_poll_of_an_older_client_is_hidden(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    poll_id = await town.send(room, UNSTABLE, "org.matrix.msc3381.poll.start")
    [asked] = await next_heard(friend, 1)
    assert asked.body == Poll("Tea or coffee?", ("Tea", "Coffee", "Both"), 1, False)
    await tell(friend, Vote(asked.event_id, (2,)))
    [vote] = await shown(town, room, 1)
    assert vote["type"] == "org.matrix.msc3381.poll.response"
    assert vote["content"]["org.matrix.msc3381.poll.response"] == {"answers": ["both"]}
    assert vote["content"]["m.relates_to"]["event_id"] == poll_id


async def test_a_friends_poll_is_shown_voted_in_and_ended(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    asked = await tell(friend, ASKED)
    [poll] = await shown(town, room, 1)
    content = poll["content"]["org.matrix.msc3381.poll.start"]
    assert poll["type"] == "org.matrix.msc3381.poll.start"
    assert (content["kind"], content["max_selections"]) == ("org.matrix.msc3381.poll.disclosed", 2)
    ids = [answer["id"] for answer in content["answers"]]
    response = {"org.matrix.msc3381.poll.response": {"answers": [ids[1], ids[0], ids[2]]}}
    await town.send(room, to(poll["event_id"], **response), "org.matrix.msc3381.poll.response")
    assert (await next_heard(friend, 1))[0].body == Vote(asked, (0, 1))  # the third is beyond what the poll allows
    await town.send(room, to(poll["event_id"]), "org.matrix.msc3381.poll.end")
    await town.homeserver.until(lambda: "only your friend can end it" in room.bodies(BOT)[-1])
    mine = await tell(friend, Vote(asked, (2,)))
    again = await tell(friend, Vote(asked, (1, 2)))
    await tell(friend, Delete(again))
    await tell(friend, Delete(mine))
    await tell(friend, PollEnd(asked))
    _poll, first, second, end = await shown(town, room, 4)
    assert first["content"] == second["content"] == {}, "or the vote before would count again"
    assert end["type"] == "org.matrix.msc3381.poll.end"
    assert end["content"]["m.relates_to"]["event_id"] == poll["event_id"]


async def test_a_poll_that_is_too_large_or_edited_is_refused(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    poll_id = await town.send(room, STABLE, "m.poll.start")
    await town.send(room, {**STABLE, "m.relates_to": {"rel_type": "m.replace", "event_id": poll_id}}, "m.poll.start")
    await town.homeserver.until(lambda: "a poll cannot be changed" in room.bodies(BOT)[-1])
    answers = [{"m.id": str(number), "m.text": [{"body": "x"}]} for number in range(21)]
    await town.send(room, {"m.poll": {**STABLE["m.poll"], "answers": answers}}, "m.poll.start")
    await town.homeserver.until(lambda: "20 answers at most" in room.bodies(BOT)[-1])
    answers = [{"m.id": "1", "m.text": [{"body": "x" * 501}]}]
    await town.send(room, {"m.poll": {**STABLE["m.poll"], "answers": answers}}, "m.poll.start")
    await town.homeserver.until(lambda: "each answer 500" in room.bodies(BOT)[-1])
    assert len(await next_heard(friend, 1)) == 1


async def test_places_go_both_ways_with_their_names_and_how_sure_they_are(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    extended = {"uri": "geo:51.5008,-0.12469;u=35.4", "description": "Big Ben, London"}
    await town.send(room, {"msgtype": "m.location", "body": "Location geo:51.5008,-0.12469", "m.location": extended})
    await town.send(room, {"msgtype": "m.location", "body": "Here", "geo_uri": "geo:-1.23456789,180,20.5"})
    first, second = await next_heard(friend, 2)
    assert first.body == Location(51_500_800, -124_690, 35, "Big Ben, London")
    assert second.body == Location(-1_234_568, 180_000_000, None, "Here")
    for body in (first.body, second.body):
        await tell(friend, body)
    one, two = [event["content"] for event in await shown(town, room, 2)]
    assert one["msgtype"] == "m.location"
    assert one["geo_uri"] == "geo:51.5008,-0.12469;u=35"
    assert one["m.location"] == {"uri": one["geo_uri"], "description": "Big Ben, London"}
    assert one["body"] == "📍 Big Ben, London (51.5008, -0.12469 ± 35 m) geo:51.5008,-0.12469;u=35"
    assert two["geo_uri"] == "geo:-1.234568,180"


async def test_a_name_too_long_for_a_place_follows_it(town: Town, friend: Peer) -> None:
    room = await town.befriend(friend)
    await town.send(room, {"msgtype": "m.location", "body": "x" * 1_001, "geo_uri": "geo:1,2"})
    place, name = await next_heard(friend, 2)
    assert (place.body, name.body) == (Location(1_000_000, 2_000_000), Text("x" * 1_001))
