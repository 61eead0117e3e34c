"""Synapse killed, down, late or stingy: nothing is lost and nothing comes twice. Each test owns its Synapse."""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
import pytest_asyncio
from ruamel.yaml import YAML

from chattor_bridge import registration
from chattor_bridge.bridge import missed as missed_module
from chattor_bridge.bridge.ghosts import Household
from chattor_bridge.bridge.intake import Intake as BridgeIntake
from chattor_bridge.bridge.missed import MissedTraffic
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.errors import DatabaseUnavailable, HomeserverUnavailable
from chattor_bridge.ids import MatrixRoomId, MatrixUserId
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.matrix.succession import DOUBTS
from chattor_bridge.matrix.watch import Connection
from chattor_bridge.node.clock import SteadyClock, SystemClock
from chattor_bridge.ops.synapse import ensure_synapse
from chattor_bridge.storage import Store
from tests.synapse import DOMAIN, ENVIRONMENT, WAIT, Homestead, Intake, Somebody, new_ghost, prepare

pytestmark = pytest.mark.synapse

OUTAGES = 12
"""So many that without any precaution most runs leave something behind."""


@asynccontextmanager
async def serving(homestead: Homestead, intake: Intake, keys: Store) -> AsyncIterator[MatrixService]:
    service = MatrixService(homestead.settings(), intake.accept, SystemClock(), keys)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()


class Looked:
    """A lookout that sees nothing."""

    def __init__(self) -> None:
        self.looks = 0

    async def is_overtaken(self, _events: Sequence[JsonObject]) -> bool:
        return False

    def look(self) -> None:
        self.looks += 1


async def becomes(service: MatrixService, wanted: Connection) -> None:
    """Wait until that is how things stand with the homeserver."""
    changed = asyncio.Event()
    service.on_change(lambda _status: changed.set())
    async with asyncio.timeout(WAIT + 30):
        while service.status.connection is not wanted:
            changed.clear()
            await changed.wait()


def text(body: str) -> JsonObject:
    return {"msgtype": "m.text", "body": body}


async def test_same_send_across_a_killed_synapse_is_one_message(
    private_homestead: Homestead, intake: Intake, keys: Store
) -> None:
    synapse = private_homestead.synapse
    await synapse.start()
    person = await private_homestead.person()
    ghost = new_ghost()
    async with serving(private_homestead, intake, keys) as service:
        await service.reachable()
        homeserver = service.homeserver
        room_id = await homeserver.create_room(ghost, name=None, topic=None, invite=[person.user_id], is_direct=True)
        await person.join(room_id)
        first = await homeserver.send(ghost, room_id, "m.room.message", text("once"), "txn")
        await synapse.kill()
        with pytest.raises(HomeserverUnavailable):
            await homeserver.send(ghost, room_id, "m.room.message", text("once"), "txn")
        await synapse.start()
        assert await homeserver.send(ghost, room_id, "m.room.message", text("once"), "txn") == first
    async with serving(private_homestead, Intake(), keys) as restarted:  # and across a restart of ours
        assert await restarted.homeserver.send(ghost, room_id, "m.room.message", text("once"), "txn") == first
    assert [event["event_id"] for event in await person.messages(room_id)] == [first]


async def test_homeserver_down_at_start_and_later(private_homestead: Homestead, intake: Intake, keys: Store) -> None:
    synapse = private_homestead.synapse
    await synapse.start()
    person = await private_homestead.person()
    await synapse.stop()
    async with serving(private_homestead, intake, keys) as service:
        await becomes(service, Connection.UNREACHABLE)
        await synapse.start()
        await becomes(service, Connection.CONNECTED)
        homeserver = service.homeserver
        room_id = await homeserver.create_room(
            homeserver.bot, name=None, topic=None, invite=[person.user_id], is_direct=True
        )
        await person.join(room_id)
        await person.say(room_id, "before")
        await intake.until(lambda: intake.bodies(room_id) == ["before"])
        await synapse.stop()
        with pytest.raises(HomeserverUnavailable):
            await homeserver.joined_rooms(homeserver.bot)
        await becomes(service, Connection.UNREACHABLE)
        await synapse.start()
        await becomes(service, Connection.CONNECTED)
        await person.say(room_id, "after")
        await intake.until(lambda: intake.bodies(room_id) == ["before", "after"])


async def test_what_was_said_while_we_were_away_comes_at_once(
    private_homestead: Homestead, intake: Intake, keys: Store
) -> None:
    """Synapse waits longer and longer for an application service that is away; the ping ends the wait."""
    await private_homestead.synapse.start()
    person = await private_homestead.person()
    async with serving(private_homestead, intake, keys) as service:
        await service.reachable()
        bot = service.homeserver.bot
        room_id = await service.homeserver.create_room(
            bot, name=None, topic=None, invite=[person.user_id], is_direct=True
        )
        await person.join(room_id)
    # the whole of two tries of Synapse's, 2 and 4 seconds apart, so that the next is 8 seconds away
    async with refusing(private_homestead.port) as tries:
        await person.say(room_id, "are you there?")
        async with asyncio.timeout(WAIT):
            while await tries.get() < 3:
                pass
    began = time.monotonic()
    async with serving(private_homestead, intake, keys):
        await intake.until(lambda: "are you there?" in intake.bodies(room_id))
        assert time.monotonic() - began < 6
        await person.say(room_id, "good")
        await intake.until(lambda: intake.bodies(room_id) == ["are you there?", "good"])


async def test_what_is_said_while_an_outage_ends_is_neither_left_behind_nor_late(
    private_homestead: Homestead, intake: Intake, keys: Store
) -> None:
    """Synapse by itself keeps such a transaction until the next outage, after every seventh one or so."""
    await private_homestead.synapse.start()
    person = await private_homestead.person()
    async with serving(private_homestead, intake, keys) as service:
        await service.reachable()
        lookout = Looked()
        service.watched_by(lookout)
        bot = service.homeserver.bot
        room_id = await service.homeserver.create_room(
            bot, name=None, topic=None, invite=[person.user_id], is_direct=True
        )
        await person.join(room_id)

        async def talk() -> None:
            for number in range(5):
                await person.say(room_id, f"{number}")

        for _ in range(OUTAGES):
            intake.failures.append(DatabaseUnavailable("gone"))
            talking = asyncio.gather(*(talk() for _ in range(4)))
            await intake.until(lambda: not intake.failures)
            await private_homestead.ping()
            await talking
        said = await person.messages(room_id)
        await intake.until(lambda: len(intake.bodies(room_id)) == len(said))
        ids = [event["event_id"] for event in intake.events if event["type"] == "m.room.message"]
        assert ids == [event["event_id"] for event in said]
        assert lookout.looks  # at least the first was refused, of which nobody knows what was before it


class Beside:
    """We and another application service at one Synapse, which hears all that people say, so that no two transactions
    of ours have numbers that follow one another. What the bridge keeps is kept as it does."""

    def __init__(self, directory: Path, intake: Intake, keys: Store) -> None:
        other = directory / "other.yaml"
        YAML().dump(
            {
                "id": "other",
                "url": None,
                "as_token": secrets.token_hex(),
                "hs_token": secrets.token_hex(),
                "sender_localpart": "otherbot",
                "namespaces": {"users": [{"exclusive": False, "regex": "@person.*"}]},
            },
            other,
        )
        self.homestead = prepare(directory, beside=[other])
        self.intake = intake
        self._keys = keys
        bot = MatrixUserId(f"@{self.homestead.registration.bot_localpart}:{self.homestead.registration.domain}")
        self._inbox = BridgeIntake(keys, SteadyClock(SystemClock()), Household(bot, DOMAIN), lambda _room_id: None)
        self._database = directory / "synapse" / "homeserver.db"

    async def _accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        await self.intake.accept(txn_id, events, ephemeral)
        await self._inbox.accept(txn_id, events, ephemeral)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[MatrixService]:
        """With the lookout of a bridge."""
        service = MatrixService(self.homestead.settings(), self._accept, SystemClock(), self._keys)
        missed = MissedTraffic(self._keys, service.homeserver, self._inbox, SystemClock())
        service.watched_by(missed)
        await service.start()
        looking = asyncio.create_task(missed.run())
        try:
            await service.reachable()
            yield service
        finally:
            looking.cancel()
            await service.stop()

    async def leave_behind(self, person: Somebody, room_id: str, body: str) -> None:
        """Say something that Synapse stores as it stores what is said at the moment in which its repeating ends."""
        await self._until("SELECT NOT EXISTS (SELECT 1 FROM application_services_state WHERE state = 'down')")
        self._set_state("down")
        await person.say(room_id, body)
        await self._until("SELECT EXISTS (SELECT 1 FROM application_services_txns WHERE as_id != 'other')")
        self._set_state("up")

    async def _until(self, condition: str) -> None:
        async with asyncio.timeout(WAIT):
            while self._ask(condition) != [(1,)]:  # noqa: ASYNC110
                await asyncio.sleep(0.01)  # Synapse tells nobody

    def _set_state(self, state: str) -> None:
        ours = self.homestead.registration.id
        self._ask("INSERT OR REPLACE INTO application_services_state (as_id, state) VALUES (?, ?)", ours, state)

    def _ask(self, query: str, *values: str) -> list[object]:
        with closing(sqlite3.connect(self._database, timeout=WAIT)) as database, database:
            return database.execute(query, values).fetchall()


@pytest_asyncio.fixture
async def beside(tmp_path: Path, intake: Intake, keys: Store) -> AsyncIterator[Beside]:
    await ensure_synapse(ENVIRONMENT)
    one = Beside(tmp_path, intake, keys)
    async with one.homestead.synapse:
        yield one


async def _room_with(service: MatrixService, person: Somebody) -> MatrixRoomId:
    homeserver = service.homeserver
    room_id = await homeserver.create_room(
        homeserver.bot, name=None, topic=None, invite=[person.user_id], is_direct=True
    )
    await person.join(room_id)
    return room_id


async def test_what_was_left_behind_is_not_overtaken_where_numbers_are_skipped_anyhow(beside: Beside) -> None:
    person = await beside.homestead.person()
    async with beside.serving() as service:
        room_id = await _room_with(service, person)
        for number in range(DOUBTS * 2):  # those that are doubted unseen
            await person.say(room_id, f"{number}")
            await beside.intake.until(lambda: len(beside.intake.bodies(room_id)) > number)  # noqa: B023
        for body in ("one", "two"):
            await beside.leave_behind(person, room_id, f"{body} left behind")
            await person.say(room_id, f"{body} after it")
            await beside.intake.until(lambda: f"{body} after it" in beside.intake.bodies(room_id))  # noqa: B023
        said = [event["content"]["body"] for event in await person.messages(room_id)]
        assert len(said) == DOUBTS * 2 + 4
        await beside.intake.until(lambda: len(beside.intake.bodies(room_id)) == len(said))
        assert beside.intake.bodies(room_id) == said


async def test_the_last_word_that_was_left_behind_comes_when_things_have_settled(
    beside: Beside, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(missed_module, "SETTLED", 0.5)
    person = await beside.homestead.person()
    async with beside.serving() as service:
        room_id = await _room_with(service, person)
        beside.intake.failures.append(DatabaseUnavailable("gone"))
        await person.say(room_id, "first")
        await beside.intake.until(lambda: beside.intake.bodies(room_id) == ["first"])
        await beside.leave_behind(person, room_id, "good night")
        await beside.intake.until(lambda: beside.intake.bodies(room_id) == ["first", "good night"])


async def test_a_ping_while_synapse_repeats_something_does_not_make_us_deaf(
    private_homestead: Homestead, intake: Intake, keys: Store
) -> None:
    """It calls us, finds that it is repeating already, and says that it could not."""
    await private_homestead.synapse.start()
    person = await private_homestead.person()
    async with serving(private_homestead, intake, keys) as service:
        await service.reachable()
        bot = service.homeserver.bot
        room_id = await service.homeserver.create_room(
            bot, name=None, topic=None, invite=[person.user_id], is_direct=True
        )
        await person.join(room_id)
        intake.failures.append(DatabaseUnavailable("gone"))
        await person.say(room_id, "repeated")
        await intake.until(lambda: not intake.failures)
        async with intake._news:  # so that the repetition is not answered yet
            async with asyncio.timeout(WAIT):
                while await _can_ping(private_homestead):
                    pass
            connection, _ = await service._watch._ping()
        assert connection is Connection.CONNECTED
        await intake.until(lambda: intake.bodies(room_id) == ["repeated"])


async def _can_ping(homestead: Homestead) -> bool:
    try:
        await homestead.ping()
    except AssertionError:
        return False
    return True


@asynccontextmanager
async def refusing(port: int) -> AsyncIterator[asyncio.Queue[int]]:
    """Hang up on whoever calls this port; the number of each call so far."""
    calls: asyncio.Queue[int] = asyncio.Queue()
    count = 0

    def hang_up(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal count
        count += 1
        calls.put_nowait(count)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", port)
    try:
        yield calls
    finally:
        server.close()
        await server.wait_closed()


async def test_synapse_with_a_token_of_ours_it_does_not_know_is_waited_for(
    private_homestead: Homestead, intake: Intake, tmp_path: Path, keys: Store
) -> None:
    """The registration was made anew and Synapse not restarted since."""
    await private_homestead.synapse.start()
    made_anew = registration.generate(
        private_homestead.synapse.domain, private_homestead.registration.url, "chattorbot"
    )
    service = MatrixService(
        Homestead(private_homestead.synapse, made_anew, private_homestead.port).settings(),
        intake.accept,
        SystemClock(),
        keys,
    )
    await service.start()
    try:
        await becomes(service, Connection.REFUSED)
        assert "registration.yaml" in service.status.detail
        registration.write(made_anew, tmp_path / "registration.yaml", replace=True)
        await private_homestead.synapse.restart()
        await becomes(service, Connection.CONNECTED)
    finally:
        await service.stop()


async def test_default_limits_of_synapse_lose_nothing(
    tmp_path: Path, intake: Intake, caplog: pytest.LogCaptureFixture, keys: Store
) -> None:
    """With ``rate_limited: true``, which our registration never says, Synapse limits our users as it does people."""
    await ensure_synapse(ENVIRONMENT)
    homestead = prepare(tmp_path, limited=True)
    file = tmp_path / "registration.yaml"
    file.write_text(file.read_text().replace("rate_limited: false", "rate_limited: true"))
    async with homestead.synapse:
        person = await homestead.person()
        async with serving(homestead, intake, keys) as service:
            await service.reachable()
            homeserver = service.homeserver
            room_id = await homeserver.create_room(
                homeserver.bot, name=None, topic=None, invite=[person.user_id], is_direct=True
            )
            await person.join(room_id)
            caplog.set_level("INFO", "chattor_bridge")
            for number in range(12):
                await homeserver.send(homeserver.bot, room_id, "m.room.message", text(str(number)), str(number))
            assert "asks us to wait" in caplog.text
            assert [event["content"]["body"] for event in await person.messages(room_id)] == [
                str(number) for number in range(12)
            ]
