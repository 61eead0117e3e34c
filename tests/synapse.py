"""The real Synapse of a test run: one for all tests, with one application service that each test plays in its turn.

Tests make users and rooms of their own. A test that stops, kills or limits Synapse starts a private one.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio

from chattor_bridge import registration
from chattor_bridge.ids import GHOST_PREFIX, MatrixUserId
from chattor_bridge.matrix.settings import MatrixSettings
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.synapse import Synapse, ensure_synapse
from chattor_bridge.registration import Registration
from chattor_bridge.storage import Store, StoreKey, open_store

JsonObject = dict[str, Any]

ENVIRONMENT = Path(__file__).parent.parent / ".venv-synapse"

DOMAIN = "example.test"
"""The dot has to be escaped in the registration's patterns."""

WAIT = 30.0
"""Seconds a test waits for something that must happen; it takes well under one."""


@dataclass(frozen=True, slots=True)
class Homestead:
    """A Synapse, and the registration under which we serve it."""

    synapse: Synapse
    registration: Registration
    port: int

    def settings(self) -> MatrixSettings:
        """For a `MatrixService` in the place the registration names."""
        return settings(self.synapse.address, self.registration, self.port)

    async def person(self, name: str = "person") -> Somebody:
        """A new Matrix user."""
        account = await self.synapse.register(f"{name}-{secrets.token_hex(4)}")
        return Somebody(self.synapse.address, MatrixUserId(account.user_id), account.access_token, account.password)

    async def ping(self) -> None:
        """Have Synapse call us and, if that succeeds, bring at once what it has for us. Raises: AssertionError."""
        bot = f"@{self.registration.bot_localpart}:{self.registration.domain}"
        service = Somebody(self.synapse.address, MatrixUserId(bot), self.registration.as_token, "")
        await service.ask("POST", f"/appservice/{self.registration.id}/ping?user_id={bot}", {}, version="v1")


def settings(address: str, of: Registration, port: int) -> MatrixSettings:
    """Settings for the homeserver at ``address``."""
    return MatrixSettings(
        address=address,
        domain=of.domain,
        appservice_id=of.id,
        bot_localpart=of.bot_localpart,
        as_token=of.as_token,
        hs_token=of.hs_token,
        listen_port=port,
        encrypt_rooms=False,  # most tests look at rooms through a client that cannot decrypt
    )


def prepare(directory: Path, *, limited: bool = False, beside: Sequence[Path] = ()) -> Homestead:
    """A Synapse with all its files in ``directory``, not started yet, with other registrations ``beside`` ours."""
    port = free_port()
    ours = registration.generate(DOMAIN, f"http://127.0.0.1:{port}", "chattorbot")
    file = directory / "registration.yaml"
    registration.write(ours, file)
    synapse = Synapse(ENVIRONMENT, directory / "synapse", domain=DOMAIN, registrations=[file, *beside], limited=limited)
    return Homestead(synapse, ours, port)


@pytest_asyncio.fixture(scope="session")
async def homestead(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Homestead]:
    """The Synapse all tests share, running."""
    await ensure_synapse(ENVIRONMENT)
    shared = prepare(tmp_path_factory.mktemp("synapse"))
    async with shared.synapse:
        yield shared


@pytest_asyncio.fixture
async def private_homestead(tmp_path: Path) -> AsyncIterator[Homestead]:
    """A Synapse of this test's own, not started yet; stopped at the end."""
    await ensure_synapse(ENVIRONMENT)
    own = prepare(tmp_path)
    yield own
    await own.synapse.stop()


def new_ghost(domain: str = DOMAIN) -> MatrixUserId:
    """A user id in the ghosts' namespace that nobody has used."""
    letters = "".join(secrets.choice("abcdefghijklmnopqrstuvwxyz234567") for _ in range(32))
    return MatrixUserId(f"@{GHOST_PREFIX}{letters}:{domain}")


@dataclass(frozen=True, slots=True)
class Somebody:
    """A person at the homeserver, who can do what its client API allows."""

    address: str
    user_id: MatrixUserId
    access_token: str
    password: str

    async def ask(
        self, method: str, path: str, content: JsonObject | None = None, *, version: str = "v3"
    ) -> JsonObject:
        """One request to ``/_matrix/client``. Raises: AssertionError when it is refused."""
        headers = {"Authorization": f"Bearer {self.access_token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.address}/_matrix/client/{version}{path}", json=content) as answer,
        ):
            value: JsonObject = await answer.json()
            assert answer.status == 200, value
            return value

    async def refused(self, method: str, path: str, content: JsonObject | None = None) -> str:
        """The error code with which a request below ``/_matrix/client`` is refused. Raises: AssertionError when it is
        not."""
        headers = {"Authorization": f"Bearer {self.access_token}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.request(method, f"{self.address}/_matrix/client{path}", json=content) as answer,
        ):
            value: JsonObject = await answer.json()
            assert 400 <= answer.status < 500, value
            return str(value["errcode"])

    async def fetch(self, address: str) -> bytes:
        """What is behind an ``mxc://`` address."""
        path = f"/_matrix/client/v1/media/download/{address.removeprefix('mxc://')}"
        headers = {"Authorization": f"Bearer {self.access_token}"}
        async with aiohttp.ClientSession(headers=headers) as session, session.get(self.address + path) as answer:
            assert answer.status == 200
            return await answer.read()

    async def upload(self, data: bytes, mime_type: str) -> str:
        """Put a file into the media repository; its address."""
        headers = {"Authorization": f"Bearer {self.access_token}", "Content-Type": mime_type}
        address = f"{self.address}/_matrix/media/v3/upload"
        async with aiohttp.ClientSession(headers=headers) as session, session.post(address, data=data) as answer:
            assert answer.status == 200
            return str((await answer.json())["content_uri"])

    async def create_room(self, *invitees: str) -> str:
        return str((await self.ask("POST", "/createRoom", {"invite": list(invitees)}))["room_id"])

    async def join(self, room_id: str) -> None:
        await self.ask("POST", f"/rooms/{room_id}/join", {})

    async def say(self, room_id: str, text: str) -> str:
        """Send a text message; its event id."""
        path = f"/rooms/{room_id}/send/m.room.message/{secrets.token_hex(8)}"
        return str((await self.ask("PUT", path, {"msgtype": "m.text", "body": text}))["event_id"])

    async def messages(self, room_id: str) -> list[JsonObject]:
        """The messages of a room, oldest first."""
        answer = await self.ask("GET", f"/rooms/{room_id}/messages?dir=b&limit=1000")
        return [event for event in reversed(answer["chunk"]) if event["type"] == "m.room.message"]


@pytest_asyncio.fixture
async def keys(tmp_path: Path) -> AsyncIterator[Store]:
    """Where a `MatrixService` keeps its keys."""
    async with open_store(f"sqlite:{tmp_path / 'keys.db'}", StoreKey(secrets.token_bytes(32))) as store:
        yield store


class Intake:
    """An ``accept`` that keeps what it accepts, each event once as the inbox does, and can be told to fail.

    A homeserver that ends before it noted our answer sends the same transaction again.
    """

    def __init__(self) -> None:
        self.events: list[JsonObject] = []
        self.ephemeral: list[JsonObject] = []
        self.transactions: list[str] = []
        self.failures: list[Exception] = []
        """Raised one after the other, the next time first, instead of accepting."""
        self._news = asyncio.Condition()

    async def accept(self, txn_id: str, events: Sequence[JsonObject], ephemeral: Sequence[JsonObject]) -> None:
        async with self._news:
            self._news.notify_all()
            if self.failures:
                raise self.failures.pop(0)
            self.transactions.append(txn_id)
            known = {event["event_id"] for event in self.events}
            self.events.extend(event for event in events if event["event_id"] not in known)
            self.ephemeral.extend(ephemeral)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until ``condition``, looked at after every transaction. Raises: TimeoutError."""
        async with asyncio.timeout(WAIT), self._news:
            await self._news.wait_for(condition)

    def bodies(self, room_id: str) -> list[str]:
        """What was said in a room, in the order it came."""
        return [
            event["content"]["body"]
            for event in self.events
            if event["room_id"] == room_id and event["type"] == "m.room.message"
        ]
