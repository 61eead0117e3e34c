"""The conversation: become friends by friend code, talk both ways, and check every word of it."""

from __future__ import annotations

import asyncio
import time

from chattor_bridge.ops.demo.screen import Screen
from chattor_bridge.ops.demo.script import ALICE, BOB, Line
from chattor_bridge.ops.demo.stage import Stage
from chattor_bridge.ops.person import JsonObject

PATIENCE = 90.0
"""Seconds one step may take: a knock that fails at the first try comes again after half a minute."""


class ConversationError(Exception):
    """What arrived is not what was sent."""


async def befriend(stage: Stage, screen: Screen) -> str:
    """Alice in Matrix asks Bob in Chattor by his friend code; he accepts. The room of their conversation."""
    alice, bob = stage.alice, stage.bob
    screen.stage("Alice opens a chat with the bot")
    management = await alice.open_chat(stage.bot)
    await alice.next_from(stage.bot, management, PATIENCE)
    await alice.say(management, "start")
    await alice.next_from(stage.bot, management, PATIENCE)

    code = (await bob.do("code", "new", "for Alice"))[0]["code"]
    screen.stage(f"Bob makes a friend code for her: {code}")
    screen.stage("Alice tells the bot: add " + code[:16] + "… It's me, Alice")
    await alice.say(management, f"add {code} It's me, Alice")
    requests: list[JsonObject] = []
    async with asyncio.timeout(PATIENCE):
        while not requests:  # each look takes a process of its own, which is pause enough
            requests = [one for one in await bob.do("requests") if one["direction"] == "received"]
    screen.stage(f"Bob sees a request, “{requests[0]['note']}”, and accepts")
    await bob.do("accept", requests[0]["id"])
    room = await _portal(stage)
    screen.stage("they are friends, and Alice's client shows a chat with Bob")
    return room


async def converse(stage: Stage, screen: Screen, room: str) -> None:
    """Every line both ways, in turns; then a look at everything that arrived, on both sides."""
    screen.line()
    screen.line(f"  {'arrives in':>9} {'who':<16} says")
    follower = await stage.bob.follow()
    try:
        heard: list[str] = []
        for hers, his in zip(ALICE, BOB, strict=True):
            begun = time.monotonic()
            await stage.alice.say(room, hers.plain, hers.html)
            heard.append((await follower.next(PATIENCE))["text"])
            screen.said("Alice (Matrix)", hers.plain, time.monotonic() - begun)

            before = len(_from_bob(stage, room))
            await stage.bob.do("send", "1", "--", his.markdown)
            begun = time.monotonic()
            await stage.alice.wait_for(lambda _: len(_from_bob(stage, room)) > before, PATIENCE)  # noqa: B023
            screen.said("Bob (Chattor)", his.markdown, time.monotonic() - begun)
    finally:
        await follower.stop()
    screen.line()
    _compare("Alice to Bob", [line.markdown for line in ALICE], heard)
    _compare_html(BOB, _from_bob(stage, room))
    screen.stage(f"{len(ALICE)} messages each way, each exactly once and in order")


async def chat(stage: Stage, screen: Screen) -> None:
    """Bob answers whatever he is told, until the demo is ended."""
    follower = await stage.bob.follow()
    try:
        while True:
            message = await follower.next(timeout=None)
            screen.stage(f"Bob was told something by {message['name']} and answers")
            await stage.bob.do("send", str(message["contact"]), "--", f"You said: {message['text']}")
    finally:
        await follower.stop()


async def _portal(stage: Stage) -> str:
    """The room of the conversation: where somebody other than the bot has spoken or joined as Bob."""

    def is_bob(event: JsonObject) -> bool:
        who, how = str(event.get("state_key", "")), event["content"].get("membership")
        return event["type"] == "m.room.member" and who.startswith("@chattor_") and how == "join"

    found = await stage.alice.wait_for(is_bob, PATIENCE)
    stage.ghost = found["state_key"]
    return str(found["room_id"])


def _from_bob(stage: Stage, room: str) -> list[JsonObject]:
    return [
        event["content"]
        for event in stage.alice.timeline
        if event["type"] == "m.room.message" and event["room_id"] == room and event["sender"] == stage.ghost
    ]


def _compare(direction: str, expected: list[str], heard: list[str]) -> None:
    if heard != expected:
        wrong = next((n for n, pair in enumerate(zip(expected, heard, strict=False), 1) if pair[0] != pair[1]), 0)
        raise ConversationError(f"{direction}: message {wrong} differs, or {len(heard)} arrived of {len(expected)}")


def _compare_html(said: tuple[Line, ...], seen: list[JsonObject]) -> None:
    if len(seen) != len(said):
        raise ConversationError(f"Bob to Alice: {len(seen)} arrived of {len(said)}")
    for number, (line, content) in enumerate(zip(said, seen, strict=True), 1):
        if line.html is None:
            right = content["body"] == line.markdown
        else:
            right = line.html in content.get("formatted_body", "")
        if not right:
            raise ConversationError(f"Bob to Alice: message {number} differs")
