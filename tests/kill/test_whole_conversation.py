"""One conversation with everything in it, through a real Synapse and real tor, as people have it who notice no bridge.

Each line of the table in the README is said here, both ways, and looked at from the other side: on SQLite in plain
rooms, and on PostgreSQL in rooms that are encrypted from end to end.
"""

from __future__ import annotations

import io
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from random import Random

import nio
import pytest
from mautrix.types import EventID, PresenceState, RoomID

from chattor_bridge.ids import EventId
from chattor_bridge.node.files import prepare
from chattor_bridge.node.happenings import TIMER_SET, EventDelivered, FileArrived, FileSent
from chattor_bridge.node.preferences import Shared
from chattor_bridge.ops.person import JsonObject, Person
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.events import (
    Body,
    Delete,
    Edit,
    Event,
    FileOffer,
    Location,
    Poll,
    PollEnd,
    Reaction,
    Receipt,
    Text,
    Unknown,
    Vote,
)
from chattor_bridge.protocol.signals import Here, Presence, Typing
from tests.bridge.test_relations import edit_of
from tests.kill.conftest import over_tor
from tests.kill.stage import PATIENCE, Conversation
from tests.nio_person import NioPerson
from tests.postgres import PostgresCluster

pytestmark = [pytest.mark.tor, pytest.mark.synapse]

LONG = "All that is said is carried, whatever its length. " * 500
"""25,000 bytes: two events of Chattor, and one of Matrix."""


@dataclass
class Talk:
    """The two people, and how many things they have said to each other so far."""

    conversation: Conversation
    exchanged: int = 0

    @property
    def alice(self) -> Person:
        return self.conversation.alice

    # --- from Matrix -------------------------------------------------------------------------------------------------

    async def say(self, content: JsonObject, kind: str = "m.room.message") -> str:
        return await self.alice.send(self.conversation.room, kind, content)

    async def heard(self, is_it: Callable[[Event], bool]) -> Event:
        """What of that kind the friend hears of Alice, which is one thing more."""
        ears, found = self.conversation.peer.ears, list[Event]()

        def came() -> bool:
            found[:] = [event for event in ears.arrived() if is_it(event)]
            return bool(found)

        await ears.wait_until(came, PATIENCE)
        self.exchanged += 1
        return found[-1]

    async def heard_text(self, text: str) -> Event:
        return await self.heard(lambda event: isinstance(event.body, Text) and event.body.text == text)

    async def heard_body(self, body: Body) -> Event:
        return await self.heard(lambda event: event.body == body)

    async def upload(self, data: bytes, mime: str) -> JsonObject:
        """The part of a Matrix event that says where a file lies, encrypted where the room is."""
        if isinstance(self.alice, NioPerson):
            answer, keys = await self.alice.nio.upload(io.BytesIO(data), mime, encrypt=True, filesize=len(data))
            assert isinstance(answer, nio.UploadResponse), answer
            return {"file": {**keys, "url": answer.content_uri}}
        return {"url": str(await self.alice._client.upload_media(data, mime_type=mime))}

    async def redact(self, event_id: str) -> None:
        room = self.conversation.room
        if isinstance(self.alice, NioPerson):
            await self.alice.nio.room_redact(room, event_id)
        else:
            await self.alice._client.redact(RoomID(room), EventID(event_id))

    async def be_typing(self) -> None:
        if isinstance(self.alice, NioPerson):
            await self.alice.nio.room_typing(self.conversation.room, True)
        else:
            await self.alice._client.set_typing(RoomID(self.conversation.room), timeout=20_000)

    async def be_away(self) -> None:
        if isinstance(self.alice, NioPerson):
            await self.alice.nio.set_presence("unavailable")
        else:
            await self.alice._client.set_presence(PresenceState.UNAVAILABLE)

    # --- from Chattor ------------------------------------------------------------------------------------------------

    async def tell(self, body: Body, *, reply: EventId | None = None, thread: EventId | None = None) -> EventId:
        peer = self.conversation.peer
        async with peer.store.transaction() as tx:
            return await peer.node.send(tx, self.conversation.friend, body, reply=reply, thread=thread)

    async def shown(self, is_it: Callable[[JsonObject], bool], *, ephemeral: bool = False) -> JsonObject:
        """What of that kind Alice sees of the friend, which is one thing more."""
        ghost = self.conversation.ghost
        event = await self.alice.wait_for(
            lambda event: (ephemeral or event["sender"] == ghost) and is_it(event), PATIENCE, ephemeral=ephemeral
        )
        self.exchanged += 1
        return event

    async def shown_text(self, text: str) -> JsonObject:
        return await self.shown(lambda event: event["content"].get("body") == text)

    async def shown_in(self, relation: str, target: str) -> JsonObject:
        def is_it(event: JsonObject) -> bool:
            relates = event["content"].get("m.relates_to", {})
            return (relates.get("rel_type"), relates.get("event_id")) == (relation, target)

        return await self.shown(is_it)

    async def bot_says(self, words: str) -> None:
        await self.alice.wait_for(lambda event: words in str(event["content"].get("body", "")), PATIENCE)


@pytest.fixture(
    params=[
        pytest.param(Person, id="sqlite-plain"),
        pytest.param(NioPerson, id="postgresql-encrypted", marks=pytest.mark.postgres),
    ]
)
async def talk(
    request: pytest.FixtureRequest, tor_network: TorNetwork, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Talk]:
    settings = {}
    if request.param is NioPerson:
        cluster: PostgresCluster = request.getfixturevalue("postgres")
        settings["CHATTOR_DATABASE_URL"] = cluster.create_database()
    directory = tmp_path_factory.mktemp("talk")
    async with (
        over_tor(directory, tor_network, settings=settings, client=request.param) as ground,
        ground.strangers() as conversation,
    ):
        await conversation.be_asked()
        yield Talk(conversation)


async def test_people_notice_no_bridge(talk: Talk) -> None:
    await _alice_writes(talk)
    await _the_friend_writes(talk)
    await _both_vote(talk)
    await _alice_sends_files(talk)
    await _the_friend_sends_files(talk)
    await _both_are_there(talk)
    await _it_disappears(talk)
    assert talk.exchanged >= 60


async def _alice_writes(talk: Talk) -> None:
    await talk.say({"msgtype": "m.text", "body": "hello over there"})
    first = await talk.heard_text("hello over there")
    html = (
        "<b>bold</b> <i>slanted</i> <del>gone</del> <code>code</code> <a href='https://example.org'>link</a> "
        "<span data-mx-spoiler>secret</span><ul><li>one</li><li>two</li></ul><blockquote>said</blockquote>"
    )
    rich = {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": html}
    await talk.say(rich)
    marked = await talk.heard(lambda event: isinstance(event.body, Text) and "**bold**" in event.body.text)
    assert isinstance(marked.body, Text)
    for mark in ("*slanted*", "`code`", "(https://example.org)", "secret", "- one", "> said"):
        assert mark in marked.body.text
    mine = await talk.say({"msgtype": "m.text", "body": "to be answred"})
    said = await talk.heard_text("to be answred")
    await talk.say(edit_of(mine, "to be answered"))
    await talk.heard_body(Edit(said.event_id, "to be answered"))
    relation: JsonObject = {"m.in_reply_to": {"event_id": mine}}
    await talk.say({"msgtype": "m.text", "body": "I answer myself", "m.relates_to": relation})
    assert (await talk.heard_text("I answer myself")).reply == said.event_id
    thread = {"rel_type": "m.thread", "event_id": mine, "is_falling_back": True}
    await talk.say({"msgtype": "m.text", "body": "in a thread", "m.relates_to": thread})
    assert (await talk.heard_text("in a thread")).thread == said.event_id
    relation = {"rel_type": "m.annotation", "event_id": mine, "key": "👍"}
    thumb = await talk.say({"m.relates_to": relation}, "m.reaction")
    reaction = await talk.heard_body(Reaction(said.event_id, "👍"))
    await talk.redact(thumb)
    await talk.heard_body(Delete(reaction.event_id))
    await talk.redact(mine)
    await talk.heard_body(Delete(said.event_id))
    await talk.say({"msgtype": "m.emote", "body": "waves"})
    await talk.heard_body(Text("waves", "emote"))
    await talk.say({"msgtype": "m.notice", "body": "by a program"})
    await talk.heard_body(Text("by a program", "notice"))
    await talk.say({"msgtype": "m.location", "body": "Zürich", "geo_uri": "geo:47.3769,8.5417;u=12"})
    await talk.heard_body(Location(47_376_900, 8_541_700, 12, "Zürich"))
    await talk.say({"msgtype": "m.text", "body": LONG})
    pieces = [await talk.heard(lambda event: isinstance(event.body, Text) and event.body.text.startswith("All that"))]
    assert isinstance(pieces[0].body, Text)
    await talk.conversation.peer.ears.wait_until(lambda: LONG.strip() in _joined(talk), PATIENCE)
    pill = f'<a href="https://matrix.to/#/{talk.conversation.ghost}">Bob</a>, look'
    mention: JsonObject = {"format": "org.matrix.custom.html", "formatted_body": pill, "m.mentions": {}}
    await talk.say({"msgtype": "m.text", "body": "Bob, look", **mention})
    await talk.heard(lambda event: isinstance(event.body, Text) and event.body.text.endswith("Bob, look"))
    assert first.event_id in {one.event_id for one in talk.conversation.peer.ears.arrived()}


def _joined(talk: Talk) -> str:
    return "".join(talk.conversation.peer.ears.texts())


async def _the_friend_writes(talk: Talk) -> None:
    said = await talk.tell(Text("hello back"))
    hello = await talk.shown_text("hello back")
    relation = {"rel_type": "m.annotation", "event_id": hello["event_id"], "key": "🧅"}
    await talk.say({"m.relates_to": relation}, "m.reaction")
    await talk.heard_body(Reaction(said, "🧅"))
    answering = {"m.relates_to": {"m.in_reply_to": {"event_id": hello["event_id"]}}}
    await talk.say({"msgtype": "m.text", "body": "I answer you", **answering})
    assert (await talk.heard_text("I answer you")).reply == said
    await talk.tell(Text("**bold**, *slanted*, `code`, [link](https://example.org)\n\n- one\n- two\n\n> said"))
    rich = await talk.shown(lambda event: "<strong>bold</strong>" in event["content"].get("formatted_body", ""))
    for tag in ("<em>", "<code>", "<li>", "<blockquote>", 'href="https://example.org"'):
        assert tag in rich["content"]["formatted_body"]
    await talk.tell(Text("an answer"), reply=said)
    answer = await talk.shown_text("an answer")
    assert answer["content"]["m.relates_to"]["m.in_reply_to"]["event_id"] == hello["event_id"]
    await talk.tell(Text("in its thread"), thread=said)
    assert (await talk.shown_text("in its thread"))["content"]["m.relates_to"]["event_id"] == hello["event_id"]
    await talk.tell(Edit(said, "hello back!"))
    edited = await talk.shown_in("m.replace", hello["event_id"])
    assert edited["content"]["m.new_content"]["body"] == "hello back!"
    reaction = await talk.tell(Reaction(said, "🎉"))
    party = await talk.shown_in("m.annotation", hello["event_id"])
    await talk.tell(Delete(reaction))
    await talk.shown(lambda event: _removes(event, party["event_id"]))
    gone = await talk.tell(Text("never mind"))
    mind = await talk.shown_text("never mind")
    await talk.tell(Delete(gone))
    await talk.shown(lambda event: _removes(event, mind["event_id"]))
    await talk.tell(Text("laughs", "emote"))
    assert (await talk.shown_text("laughs"))["content"]["msgtype"] == "m.emote"
    await talk.tell(Text("says a program", "notice"))
    assert (await talk.shown_text("says a program"))["content"]["msgtype"] == "m.notice"
    await talk.tell(Location(-33_856_800, 151_215_300, 5, "Opera"))
    place = await talk.shown(lambda event: event["content"].get("msgtype") == "m.location")
    assert place["content"]["geo_uri"].startswith("geo:-33.8568,151.2153")


def _removes(event: JsonObject, event_id: str) -> bool:
    redacted = (event.get("redacts"), event["content"].get("redacts"))
    return event["type"] == "m.room.redaction" and event_id in redacted


async def _both_vote(talk: Talk) -> None:
    poll_id = await talk.tell(Poll("Tea?", ("yes", "no")))
    start = await talk.shown(lambda event: event["type"] == "org.matrix.msc3381.poll.start")
    relates = {"rel_type": "m.reference", "event_id": start["event_id"]}
    response = "org.matrix.msc3381.poll.response"
    await talk.say({"m.relates_to": relates, response: {"answers": ["1"]}}, response)
    await talk.heard_body(Vote(poll_id, (1,)))
    await talk.tell(Vote(poll_id, (0,)))
    assert (await talk.shown_in("m.reference", start["event_id"]))["content"][response] == {"answers": ["0"]}
    await talk.tell(PollEnd(poll_id))
    await talk.shown(lambda event: event["type"] == "org.matrix.msc3381.poll.end")
    question = {
        "question": {"org.matrix.msc1767.text": "Cake?"},
        "kind": "org.matrix.msc3381.poll.disclosed",
        "max_selections": 1,
        "answers": [{"id": word, "org.matrix.msc1767.text": word} for word in ("yes", "no")],
    }
    content = {"org.matrix.msc3381.poll.start": question, "org.matrix.msc1767.text": "Cake?"}
    mine = await talk.say(content, "org.matrix.msc3381.poll.start")
    asked = await talk.heard_body(Poll("Cake?", ("yes", "no")))
    await talk.tell(Vote(asked.event_id, (0,)))
    assert (await talk.shown_in("m.reference", mine))["content"][response] == {"answers": ["yes"]}
    relates = {"rel_type": "m.reference", "event_id": mine}
    end = {"m.relates_to": relates, "org.matrix.msc3381.poll.end": {}, "org.matrix.msc1767.text": "over"}
    await talk.say(end, "org.matrix.msc3381.poll.end")
    await talk.heard_body(PollEnd(asked.event_id))


_FILES: tuple[tuple[str, str, str, dict[str, int]], ...] = (
    ("m.image", "image", "image/png", {"w": 4, "h": 3}),
    ("m.video", "video", "video/mp4", {"w": 4, "h": 3, "duration": 1_500}),
    ("m.audio", "audio", "audio/ogg", {"duration": 2_500}),
    ("m.file", "file", "application/pdf", {}),
)


async def _alice_sends_files(talk: Talk) -> None:
    for number, (kind, meant, mime, info) in enumerate(_FILES):
        data = b"\x89PNG\r\n\x1a\n" + Random(number).randbytes(70_000)
        name = f"of Alice {number}"
        content = {"msgtype": kind, "filename": name, "body": f"caption {number}", **await talk.upload(data, mime)}
        await talk.say({**content, "info": {"mimetype": mime, "size": len(data), **info}})
        offer = await _fetch(talk, name, data)
        assert (offer.caption, offer.kind or "file") == (f"caption {number}", meant)
        assert (offer.width, offer.duration) == (info.get("w", 0), info.get("duration", 0))
    voice = Random("voice").randbytes(5_000)
    waveform = {"org.matrix.msc1767.audio": {"duration": 900, "waveform": [0, 512, 1024]}}
    content = {"msgtype": "m.audio", "body": "Voice.ogg", "org.matrix.msc3245.voice": {}, **waveform}
    about: JsonObject = {"mimetype": "audio/ogg", "size": len(voice), "duration": 900}
    await talk.say({**content, **await talk.upload(voice, "audio/ogg"), "info": about})
    offer = await _fetch(talk, "Voice.ogg", voice)
    assert (offer.kind, offer.waveform, offer.duration) == ("voice", (0, 512, 1024), 900)
    sticker = b"\x89PNG\r\n\x1a\n" + bytes(900)
    about = {"mimetype": "image/png", "size": len(sticker), "w": 8, "h": 8}
    where = await talk.upload(sticker, "image/png")
    await talk.say({"body": "a cat", "info": about, **where}, "m.sticker")
    assert (await _fetch(talk, "a cat", sticker)).kind == "sticker"


async def _fetch(talk: Talk, name: str, data: bytes) -> FileOffer:
    """The friend is offered a file of Alice's, and has it whole."""
    event = await talk.heard(lambda event: isinstance(event.body, FileOffer) and event.body.name == name)
    offer = event.body
    assert isinstance(offer, FileOffer)
    peer, friend, file_id = talk.conversation.peer, talk.conversation.friend, offer.content.file_id
    async with peer.store.transaction() as tx:
        await peer.node.files.accept(tx, friend, file_id)

    def came() -> bool:
        return any(isinstance(one, FileArrived) and one.file_id == file_id for one in peer.ears.happenings)

    await peer.ears.wait_until(came, PATIENCE)
    assert b"".join([piece async for piece in peer.node.files.read(friend, file_id)]) == data
    async with peer.store.transaction() as tx:
        await peer.node.files.release(tx, friend, file_id)
    return offer


async def _the_friend_sends_files(talk: Talk) -> None:
    peer = talk.conversation.peer
    is_encrypted = isinstance(talk.alice, NioPerson)
    voice, sticker = ("m.audio", "voice", "audio/ogg", {"duration": 700}), (None, "sticker", "image/png", {"w": 8})
    for number, (kind, meant, mime, info) in enumerate((*_FILES, voice, sticker)):
        name, data = f"of Bob {number}", b"\x89PNG\r\n\x1a\n" + Random(number + 100).randbytes(70_000)
        peer.shelf.files[name] = data
        prepared = await prepare(await peer.shelf.open(peer.node.node_id, name))
        async with peer.store.transaction() as tx:
            _, file_id = await peer.node.files.offer(
                tx,
                talk.conversation.friend,
                prepared,
                name,
                name=name,
                mime=mime,
                kind=meant,
                caption="" if kind is None else f"*caption* {number}",
                duration=info.get("duration", 0),
                waveform=(0, 500) if meant == "voice" else (),
            )
        where = "body" if kind is None else "filename"
        event = await talk.shown(lambda event, where=where, name=name: event["content"].get(where) == name)  # type: ignore[misc]
        # an encrypted file can be no sticker, whose place is a plain address
        assert event["content"].get("msgtype") == (kind or ("m.image" if is_encrypted else None))
        assert ("<em>caption</em>" in event["content"].get("formatted_body", "")) == (kind is not None)
        assert event["content"]["info"]["size"] == len(data)
        assert ("org.matrix.msc3245.voice" in event["content"]) == (meant == "voice")
        assert ("file" in event["content"]) == is_encrypted

        def went(file_id: object = file_id) -> bool:
            return any(isinstance(one, FileSent) and one.file_id == file_id for one in peer.ears.happenings)

        await peer.ears.wait_until(went, PATIENCE)


async def _both_are_there(talk: Talk) -> None:
    peer, friend, ears = talk.conversation.peer, talk.conversation.friend, talk.conversation.peer.ears
    async with peer.store.transaction() as tx:
        await peer.node.share(tx, friend, Shared.TYPING, on=True)
        await peer.node.share(tx, friend, Shared.PRESENCE, on=True)
    for what, words in (("typing", "that you are typing from"), ("presence", "whether you are there from")):
        await talk.alice.say(talk.conversation.room, f"!chattor privacy {what} on")
        await talk.bot_says(words)
    await peer.node.type(friend, on=True)
    ghost = talk.conversation.ghost
    await talk.shown(
        lambda event: event["type"] == "m.typing" and ghost in event["content"]["user_ids"], ephemeral=True
    )
    await talk.be_typing()
    await ears.wait_until(lambda: Typing(on=True) in ears.signals, PATIENCE)
    await talk.be_away()
    await ears.wait_until(lambda: any(isinstance(one, Presence) for one in ears.signals), PATIENCE)
    await peer.node.be(Here.AWAY)
    talk.exchanged += 2

    mine = await talk.say({"msgtype": "m.text", "body": "have you seen this?"})
    seen = await talk.heard_text("have you seen this?")
    await talk.conversation.receipted(mine)  # delivered
    await talk.tell(Receipt("read", (seen.event_id,)))
    await talk.shown(
        lambda event: event["type"] == "m.receipt" and ghost in event["content"].get(mine, {}).get("m.read", {}),
        ephemeral=True,
    )
    said = await talk.tell(Text("and you this?"))
    shown = await talk.shown_text("and you this?")
    await talk.alice.mark_read(talk.conversation.room, shown["event_id"])
    await ears.wait_until(lambda: said in ears.read(), PATIENCE)
    await ears.wait_until(
        lambda: any(isinstance(one, EventDelivered) and one.event_id == said for one in ears.happenings), PATIENCE
    )
    talk.exchanged += 2
    async with peer.store.transaction() as tx:
        await peer.node.set_profile_name(tx, "Robert")
    await talk.shown(lambda event: event["type"] == "m.room.member" and event["content"].get("displayname") == "Robert")


async def _it_disappears(talk: Talk) -> None:
    await talk.alice.say(talk.conversation.room, "!chattor disappearing 1s")
    await talk.heard(lambda event: _sets_timer(event, 1))
    mine = await talk.say({"msgtype": "m.text", "body": "not for long"})
    await talk.heard_text("not for long")
    await talk.alice.wait_for(lambda event: _removes(event, mine), PATIENCE)
    await talk.alice.say(talk.conversation.room, "!chattor disappearing off")
    await talk.heard(lambda event: _sets_timer(event, 0))
    await talk.tell(Text("this stays"))
    await talk.shown_text("this stays")
    talk.exchanged += 1


def _sets_timer(event: Event, seconds: int) -> bool:
    body = event.body
    return isinstance(body, Unknown) and body.type == TIMER_SET and body.fields["seconds"] == seconds
