"""Nothing is silently dropped: every type of event that Matrix has, and what only looks like one, sent into a portal by
its owner, is carried to the friend or answered."""

from __future__ import annotations

from typing import Any

import pytest_asyncio

from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.bridge.speech.answers import told_prefix
from chattor_bridge.node.happenings import EventArrived
from chattor_bridge.protocol.events import Receipt, Text
from tests.bridge.fake_homeserver import BOT, Room
from tests.bridge.test_polls import STABLE, UNSTABLE, to
from tests.bridge.test_relations import edit_of, reply_to, shown, tell
from tests.bridge.town import ALICE, STRANGER, Town
from tests.peer import Peer

ODD: tuple[Any, ...] = ({}, {"msgtype": None}, {"msgtype": 7}, {"body": []}, {"m.relates_to": 7}, {"x": {"y": [None]}})
"""Contents that no client makes."""

MEDIA = {"body": "x", "url": "mxc://example.test/1", "info": {"mimetype": "image/png", "size": 1}}

MESSAGES: list[JsonObject] = [
    {"msgtype": "m.text", "body": "text"},
    {"msgtype": "m.text", "body": "**x**", "format": "org.matrix.custom.html", "formatted_body": "<b>x</b>"},
    {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": ""},
    {"msgtype": "m.text", "body": "x", "format": "org.matrix.custom.html", "formatted_body": 7},
    {"msgtype": "m.text", "body": "x", "format": "org.example.other", "formatted_body": "y"},
    {"msgtype": "m.text"},
    {"msgtype": "m.text", "body": ""},
    {"msgtype": "m.text", "body": {"not": "text"}},
    {"msgtype": "m.text", "body": "\x00\x07\ud7ff"},
    {"msgtype": "m.text", "body": "x" * 60_000},
    {"msgtype": "m.emote", "body": "waves"},
    {"msgtype": "m.notice", "body": "beeps"},
    {"msgtype": "m.server_notice", "body": "x", "server_notice_type": "m.server_notice.usage_limit_reached"},
    {"msgtype": "m.key.verification.request", "body": "x", "from_device": "A", "methods": [], "to": ALICE},
    {"msgtype": "m.location", "body": "x", "geo_uri": "geo:1,2"},
    {"msgtype": "m.location", "body": "x", "geo_uri": "geo:nowhere"},
    {"msgtype": "m.location", "body": "x"},
    {"msgtype": "m.location", "body": 7, "geo_uri": 7, "m.location": 7},
    *({"msgtype": kind, **MEDIA} for kind in ("m.image", "m.file", "m.audio", "m.video")),
    *({"msgtype": kind} for kind in ("m.image", "m.file", "m.audio", "m.video")),
    {"msgtype": "m.audio", **MEDIA, "org.matrix.msc3245.voice": {}, "org.matrix.msc1767.audio": {"duration": 1}},
    {"msgtype": "m.gallery", "body": "x", "itemtypes": []},
    {"msgtype": "m.bad.encrypted", "body": "** Unable to decrypt **"},
    {"msgtype": "org.example.hologram", "body": "x"},
    {"msgtype": "m.text", "body": "!chattor"},
    {"msgtype": "m.text", "body": "!chattor nonsense"},
]

CALLS = [
    f"m.call.{step}"
    for step in (
        "invite",
        "candidates",
        "answer",
        "hangup",
        "negotiate",
        "select_answer",
        "reject",
        "replaces",
        "notify",
    )
]
VERIFYING = [f"m.key.verification.{step}" for step in ("ready", "start", "accept", "key", "mac", "done", "cancel")]
EXTENSIBLE = ["m.message", "m.file", "m.image", "m.video", "m.audio", "m.voice", "m.emote", "m.markup", "m.encrypted"]
OTHER = [
    *(
        "m.sticker",
        "m.beacon",
        "org.matrix.msc3672.beacon",
        "m.rtc.notification",
        "org.matrix.msc4075.rtc.notification",
    ),
    *(
        "m.room.encrypted",
        "m.room.message.feedback",
        "org.example.unheard.of",
        "x",
        "m.poll.refresh",
        "m.typing",
        "m.receipt",
    ),
    *("m.dummy", "m.room_key", "com.beeper.message_send_status", "io.element.call.encryption_keys", "m.tag", "\u202e⚠"),
]
POLLS = [
    *("m.poll.start", "m.poll.response", "m.poll.end"),
    *(f"org.matrix.msc3381.poll.{step}" for step in ("start", "response", "end")),
]

STATES = [
    *(f"m.room.{what}" for what in ("name", "topic", "avatar", "pinned_events", "join_rules", "history_visibility")),
    *(f"m.room.{what}" for what in ("guest_access", "server_acl", "third_party_invite", "canonical_alias", "aliases")),
    *("m.room.power_levels", "m.room.create", "m.room.encryption", "m.room.retention", "m.room.related_groups"),
    *("m.space.child", "m.space.parent", "m.policy.rule.user", "m.policy.rule.room", "m.policy.rule.server"),
    *(
        "m.call.member",
        "m.call",
        "org.matrix.msc3672.beacon_info",
        "m.beacon_info",
        "im.vector.modular.widgets",
        "m.widget",
    ),
    *("m.room.image_pack", "im.ponies.room_emotes", "org.example.state", "m.bridge", "io.element.functional_members"),
]


class Ledger:
    """Counts what the friend heard and what the bot said."""

    def __init__(self, town: Town, friend: Peer, room: Room) -> None:
        self.town, self.friend, self.room = town, friend, room

    def _count(self) -> tuple[int, int]:
        heard = [h for h in self.friend.ears.happenings if isinstance(h, EventArrived)]
        heard = [one for one in heard if not isinstance(one.event.body, Receipt)]
        said = [event for event in self.room.timeline if event["sender"] == BOT and "body" in event["content"]]
        return len(heard), len(said)

    async def forget(self) -> None:
        """What is said once and for all is said again."""
        portal = await self.town.portal(self.room)
        async with self.town.store.transaction() as tx:
            await self.town.store.remove_settings(tx, told_prefix(portal))

    async def unanswered(self, events: list[tuple[str, Any]], *, state: bool = False) -> list[tuple[str, Any]]:
        """Those of these events that were neither carried nor answered."""
        dropped = []
        for kind, content in events:
            await self.forget()
            before = self._count()
            if state:
                self.town.homeserver.person_sends_state(ALICE, self.room.room_id, kind, content)
                await self.town.deliver()
            else:
                await self.town.send(self.room, content, kind)
            await self.town.idle()
            if self._count()[1] == before[1]:
                await self._mark()
                # the marker itself is one
                if self._count()[0] - before[0] < 2:
                    dropped.append((kind, content))
        return dropped

    async def _mark(self) -> None:
        """Everything sent so far has arrived when this returns."""
        texts = len(self.friend.ears.texts())
        await self.town.say(self.room, "mark")
        await self.friend.ears.wait_until(lambda: self.friend.ears.texts()[texts:][-1:] == ["mark"], 20)


@pytest_asyncio.fixture
async def ledger(town: Town, friend: Peer) -> Ledger:
    room = await town.befriend(friend)
    await town.idle()
    return Ledger(town, friend, room)


async def test_every_message_is_carried_or_answered(ledger: Ledger) -> None:
    events = [("m.room.message", content) for content in (*MESSAGES, *ODD)]
    assert await ledger.unanswered(events) == []


async def test_every_other_event_is_carried_or_answered(ledger: Ledger) -> None:
    kinds = [*CALLS, *VERIFYING, *EXTENSIBLE, *OTHER, *POLLS, "m.reaction"]
    events: list[tuple[str, Any]] = [(kind, content) for kind in kinds for content in (MEDIA, *ODD[:1], *ODD[-2:])]
    events += [("m.poll.start", STABLE), ("org.matrix.msc3381.poll.start", UNSTABLE), ("m.poll.start", UNSTABLE)]
    assert await ledger.unanswered(events) == []


async def test_every_relation_is_carried_or_answered(ledger: Ledger) -> None:
    room, town = ledger.room, ledger.town
    mine = await town.say(room, "mine")
    await tell(ledger.friend, Text("theirs"))
    theirs = (await shown(town, room, 1))[0]["event_id"]
    notice = next(event["event_id"] for event in room.timeline if event["sender"] == BOT and "state_key" not in event)
    poll = await town.send(room, STABLE, "m.poll.start")
    events: list[tuple[str, Any]] = []
    for target in (mine, theirs, notice, poll, "$unknown", "", 7, None, {"a": 1}):
        relation = {"event_id": target}
        types = ("m.thread", "m.replace", "m.annotation", "m.reference", "org.example.x", 7, None)
        related = [{"m.relates_to": {"rel_type": rel_type, **relation}} for rel_type in types]
        annotation = {"rel_type": "m.annotation", **relation}
        events += [
            ("m.room.message", edit_of(target, "changed")),  # type: ignore[arg-type]
            ("m.room.message", {**edit_of("x", "changed"), "m.new_content": None, "m.relates_to": relation}),
            ("m.room.message", reply_to(target, "answer")),  # type: ignore[arg-type]
            *(("m.room.message", {"msgtype": "m.text", "body": "x", **one}) for one in related),
            *(("m.reaction", {"m.relates_to": {**annotation, "key": key}}) for key in ("👍", "", 7)),
            ("m.poll.response", to(target, **{"m.selections": ["tea"]})),  # type: ignore[arg-type]
            ("m.poll.response", to(target, **{"m.selections": 7})),  # type: ignore[arg-type]
            ("org.matrix.msc3381.poll.response", to(target)),  # type: ignore[arg-type]
            ("m.poll.end", to(target)),  # type: ignore[arg-type]
        ]
    assert await ledger.unanswered(events) == []


async def test_every_state_is_answered_once(ledger: Ledger) -> None:
    events: list[tuple[str, Any]] = [(kind, content) for kind in STATES for content in ({"x": "y"}, *ODD[:1])]
    assert await ledger.unanswered(events, state=True) == []
    before = len(ledger.room.bodies(BOT))
    for kind in STATES[:2]:
        ledger.town.homeserver.person_sends_state(ALICE, ledger.room.room_id, kind, {"x": "z"})
    await ledger.town.deliver()
    await ledger.town.idle()
    assert len(ledger.room.bodies(BOT)) == before, "said already"


async def test_what_others_do_and_what_was_removed_before_it_was_seen_is_nobodys_business(ledger: Ledger) -> None:
    """The list of what may pass in silence is short, and here is all of it."""
    room, town = ledger.room, ledger.town
    await ledger.forget()
    before = len(room.bodies(BOT))
    removed = town.homeserver.person_sends(ALICE, room.room_id, {})
    town.homeserver.pending_events[-1]["unsigned"] = {"redacted_because": {"type": "m.room.redaction"}}
    await town.send(room, {"redacts": removed}, "m.room.redaction")
    await town.send(room, {"redacts": "$unknown"}, "m.room.redaction")
    for kind in ("m.reaction", "m.room.redaction"):
        await town.send(room, {"redacts": removed}, kind, person=STRANGER)
    town.homeserver.person_sends_state(STRANGER, room.room_id, "m.room.topic", {"topic": "x"})
    await town.deliver()
    await town.idle()
    assert len(room.bodies(BOT)) == before
