"""`pair` on a mailbox, and `pair CODE` where its mail is to be held: what they say, also when it goes wrong."""

from __future__ import annotations

import asyncio
import signal
from contextlib import aclosing
from functools import partial
from pathlib import Path

import pytest

from chattor_bridge.errors import DatabaseUnavailable, LimitReached
from chattor_bridge.node.happenings import ContactAdded, KnockReceived
from chattor_bridge.node.views import RequestInfo
from chattor_bridge.terminal import pairing
from chattor_bridge.terminal.bell import Bell
from chattor_bridge.terminal.control import Item
from chattor_bridge.terminal.exits import CommandError, Exit
from chattor_bridge.terminal.pairing import CODE_LIFETIME, AcceptingPairs, Pairing
from tests.carrying.circle_of_three import until
from tests.carrying.test_programs import until_carry
from tests.node.world import PATIENCE, Person, World
from tests.terminal.resident import Program, Resident, residents


async def mailbox_of(resident: Resident) -> Program:
    program = await resident.launch("run", "--headless")
    await program.saw("answering")
    return program


async def refusal(resident: Resident, *words: str, stdin: str | None = None) -> tuple[int, str]:
    """The exit code and the complaint of a command that does not succeed."""
    outcome = await resident.do(*words, stdin=stdin, json=False)
    return outcome.code, outcome.complaint


async def test_a_person_is_told_what_to_type_and_what_happens(directory: Path) -> None:
    async with residents(directory, "Rita", "Mailbox") as (rita, mailbox):
        await mailbox_of(mailbox)
        await rita.start()
        shown = (await mailbox.do("pair", json=False)).output
        command, blank, *advice = shown.splitlines()
        assert (blank, "within a day" in advice[0], "the bot" in advice[0]) == ("", True, True)
        program, *words = command.split()
        assert (program, words[0]) == ("chattor", "pair")
        told = (await rita.do(*words, json=False)).output.splitlines()
        assert told[-1] == "Paired. Mailbox holds your mail from now on while you are offline."
        (code,) = await mailbox.get("code")
        assert (code["once"], code["uses"]) == (True, 1)


async def test_who_looks_after_a_mailbox_sees_how_it_stands(directory: Path) -> None:
    async with residents(directory, "Rita", "Mailbox") as (rita, mailbox):
        await mailbox_of(mailbox)
        await rita.start()
        assert "mailbox   for nobody yet" in (await mailbox.do("status", json=False)).output
        await rita.get("pair", (await mailbox.get("pair"))[0]["code"])
        (status,) = await mailbox.get("status")
        found = status["mailbox"]
        assert found == {
            "headless": True,
            "carried": [{"contact": 1, "name": "Rita", "held": 0}],
            "held": 0,
            "limit": 200_998_912,
            "shelves": 0,
            "most_shelves": 48,
            "tor": None,
            "free": found["free"],
        }
        assert found["free"] > 0
        lines = (await mailbox.do("status", json=False)).output.splitlines()
        assert "mailbox   0.0 MB held for 1 friend, of 201.0 MB at most, on 0 of 48 shelves" in lines
        assert "          1 Rita: 0 blocks" in lines
        assert lines[-1].startswith("disk      ")
        assert "mailbox" not in (await rita.get("status"))[0]


async def test_what_is_no_mailbox_makes_no_code(directory: Path) -> None:
    async with residents(directory, "Rita") as (rita,):
        assert (await refusal(rita, "pair"))[0] == Exit.NOT_RUNNING
        await rita.start()
        code, complaint = await refusal(rita, "pair")
        assert (code, "start it with chattor run --headless" in complaint) == (Exit.REFUSED, True)
        assert await rita.get("code") == []


async def test_codes_that_will_not_do(directory: Path) -> None:
    async with residents(directory, "Rita", "Mailbox") as (rita, mailbox):
        assert (await refusal(rita, "pair", "x"))[0] == Exit.REFUSED
        await mailbox_of(mailbox)
        code = (await mailbox.get("pair"))[0]["code"]
        assert (await refusal(rita, "pair", code))[0] == Exit.NOT_RUNNING
        await rita.start()
        assert (await refusal(mailbox, "pair", code))[1] == "chattor: this is a friend code of your own\n"
        assert (await refusal(rita, "pair", code[:-1]))[0] == Exit.REFUSED
        assert (await rita.get("pair", "-", stdin=f"{code}\n"))[-1]["state"] == "paired"
        # by whoever comes later, also if that is the same again
        ended, complaint = await refusal(rita, "pair", code)
        assert (ended, "has been used up or has expired" in complaint) == (Exit.REFUSED, True)
        assert len(await rita.get("contacts")) == 1


async def test_a_friend_who_is_no_mailbox_decides(directory: Path) -> None:
    async with residents(directory, "Rita", "Carl") as (rita, carl):
        carls = await carl.start()
        await rita.start()
        code = (await carl.get("code", "new", "--once"))[0]["code"]
        ended, complaint = await refusal(rita, "pair", code, "--timeout", "2")
        assert (ended, "does chattor run --headless run there?" in complaint) == (Exit.NOT_YET, True)
        assert "waits for its owner's answer" in (await refusal(rita, "pair", code))[1]
        waiting = await rita.launch("pair", (await carl.get("code", "new", "--once"))[0]["code"])
        await carl.get("accept", (await carls.saw("request", 2))["request"])
        await waiting.saw_all(lambda step: step.get("state") == "friend", 1)
        await carl.get("carry", "offer", "1")
        await waiting.saw_all(lambda step: step.get("state") == "paired", 1)
        assert await waiting.ended() == Exit.DONE


async def test_a_mailbox_that_is_off_is_paired_when_it_is_back_whatever_happens_meanwhile(directory: Path) -> None:
    async with residents(directory, "Rita", "Mailbox") as (rita, mailbox):
        headless = await mailbox_of(mailbox)
        code = (await mailbox.get("pair"))[0]["code"]
        await headless.stop()
        ritas = await rita.start()
        ended, complaint = await refusal(rita, "pair", code, "--timeout", "1")
        assert (ended, "see that it is on" in complaint, "goes on by itself" in complaint) == (5, True, True)
        await ritas.stop(signal.SIGKILL)
        await rita.start()
        await mailbox_of(mailbox)
        await until_carry(rita, lambda one: one["carries"])


async def _new_code(world: World, person: Person) -> str:
    house = person.house
    async with aclosing(
        Pairing(person.node, house.store, world.clock, Bell(), headless=True).pair({}, asyncio.Event())
    ) as answers:
        return str((await anext(answers)).fields["code"])


async def test_a_full_mailbox_says_so(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    carl = await world.person("Carl")
    monkeypatch.setattr(pairing, "MAX_CARRIED_SHELVES", 0)
    with pytest.raises(LimitReached, match="as many as one can: `chattor carry` shows whose"):
        await _new_code(world, carl)


async def test_a_code_of_a_mailbox_is_for_one_node_and_a_day(world: World) -> None:
    carl = await world.person("Carl")
    await _new_code(world, carl)
    (code,) = await carl.node.codes()
    assert (code.one_time, code.max_uses, code.expires_at) == (True, 1, world.clock.now() + CODE_LIFETIME)


async def test_a_mailbox_whose_database_fails_accepts_later(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    rita, carl = await world.person("Rita"), await world.person("Carl")
    node, failures = carl.node, [DatabaseUnavailable("the disk is full")]
    requests = node.requests

    async def failing() -> list[RequestInfo]:
        found = await requests()
        if found and failures:
            raise failures.pop()
        return found

    monkeypatch.setattr(pairing, "RETRY", 0.01)
    monkeypatch.setattr(node, "requests", failing)
    code = await _new_code(world, carl)
    await rita.add(code)
    await carl.until(lambda: bool(carl.of(KnockReceived)), time_passes=True)
    accepting = asyncio.create_task(AcceptingPairs(node, carl.house.store, Bell()).run())
    try:
        await carl.until(lambda: bool(carl.of(ContactAdded)))
        assert not failures
    finally:
        accepting.cancel()


async def test_a_mailbox_accepts_who_has_a_one_time_code_and_nobody_else(world: World) -> None:
    rita, sam, carl = [await world.person(name) for name in ("Rita", "Sam", "Carl")]
    await sam.add(await carl.code())
    await carl.until(lambda: len(carl.of(KnockReceived)) == 1)
    await rita.add(await _new_code(world, carl))
    await carl.until(lambda: len(carl.of(KnockReceived)) == 2, time_passes=True)
    accepting = asyncio.create_task(AcceptingPairs(carl.node, carl.house.store, Bell()).run())
    try:
        await carl.until(lambda: bool(carl.of(ContactAdded)))
        assert [request.name for request in await carl.node.requests()] == ["Sam"]
        assert [friend.name for friend in await carl.node.contacts()] == ["Rita"]
    finally:
        accepting.cancel()


async def test_that_it_is_a_friend_is_said_once(world: World) -> None:
    """And not again by the complaint that it is no more yet."""
    rita, carl = await world.person("Rita"), await world.person("Carl")
    steps: list[str] = []

    async def pair() -> None:
        one = Pairing(rita.node, rita.house.store, world.clock, Bell(), headless=False)
        async with aclosing(one.pair({"code": await carl.code(), "wait": 60}, asyncio.Event())) as answers:
            async for answer in answers:
                assert isinstance(answer, Item)
                steps.append(answer.fields["state"])

    pairing_ = asyncio.create_task(pair())
    await carl.until(lambda: bool(carl.of(KnockReceived)))
    await carl.accept()
    await asyncio.wait_for(until(_none, lambda _: "friend" in steps), PATIENCE)
    await world.clock.advance(61)
    with pytest.raises(CommandError) as told:
        await asyncio.wait_for(pairing_, PATIENCE)
    assert "its owner has not agreed to hold your mail yet" in str(told.value)
    assert "friend" not in str(told.value)
    assert steps.count("friend") == 1


async def test_two_at_once_name_each_its_own_mailbox(world: World) -> None:
    rita, carl, olga = [await world.person(name) for name in ("Rita", "Carl", "Olga")]
    named: dict[str, str] = {}

    async def pair(mailbox: Person) -> None:
        one = Pairing(rita.node, rita.house.store, world.clock, Bell(), headless=False)
        async with aclosing(one.pair({"code": await mailbox.code(), "wait": 60}, asyncio.Event())) as answers:
            async for answer in answers:
                if isinstance(answer, Item):
                    named[mailbox.owner] = answer.fields["name"]

    pairs = [asyncio.create_task(pair(mailbox)) for mailbox in (carl, olga)]
    for mailbox in (carl, olga):
        await mailbox.until(partial(_was_asked, mailbox))
        peer_id = await mailbox.accept()
        async with mailbox.house.store.transaction() as tx:
            await mailbox.node.carrying.offer(tx, peer_id, 1, 1)
    await asyncio.wait_for(asyncio.gather(*pairs), PATIENCE)
    assert named == {"carl": "Carl", "olga": "Olga"}


def _was_asked(mailbox: Person) -> bool:
    return bool(mailbox.of(KnockReceived))


async def _none() -> None:
    pass
