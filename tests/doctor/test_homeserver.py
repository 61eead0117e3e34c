"""The doctor beside a real Synapse: each thing that can be wrong between the two, shown wrong."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import sys
import time
from asyncio.subprocess import PIPE, create_subprocess_exec
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web

from chattor_bridge.ids import MatrixRoomId
from chattor_bridge.matrix.service import MatrixService
from chattor_bridge.node.clock import SystemClock
from chattor_bridge.ops.doctor.finding import Verdict
from chattor_bridge.ops.ports import free_port
from chattor_bridge.storage import Store
from tests.doctor.practice import Practice, of, the_problem
from tests.synapse import WAIT, Homestead, Intake

synapse = pytest.mark.synapse


@pytest.fixture
def practice(homestead: Homestead, tmp_path: Path) -> Practice:
    """What the homeserver knows, in a bridge's directory."""
    return Practice(tmp_path, homestead.registration, homeserver=homestead.synapse.address, port=homestead.port)


@pytest_asyncio.fixture
async def running(homestead: Homestead, keys: Store) -> AsyncIterator[Intake]:
    """The Matrix side of the bridge, at work."""
    intake = Intake()
    service = MatrixService(homestead.settings(), intake.accept, SystemClock(), keys)
    await service.start()
    try:
        await service.reachable()
        yield intake
    finally:
        await service.stop()


@asynccontextmanager
async def server(handler: Callable[[web.Request], Awaitable[web.StreamResponse]], **options: int) -> AsyncIterator[str]:
    """An HTTP server for everything; its address."""
    app = web.Application(**options)  # type: ignore[arg-type]
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    port = free_port()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await runner.cleanup()


MATRIX = ("homeserver", "clock", "registration", "namespaces", "listener", "way back", "body limits")


@synapse
async def test_all_is_well_while_the_bridge_does_not_run(practice: Practice) -> None:
    findings = await practice.examine()
    for check in MATRIX:
        assert of(findings, check, Verdict.FINE), check
        assert of(findings, check) == of(findings, check, Verdict.FINE)
    assert of(findings, "listener") == ["the bridge does not run; its port is free"]
    assert not practice.database.exists()


@synapse
async def test_all_is_well_while_it_runs_and_nothing_is_told_to_it(practice: Practice, running: Intake) -> None:
    began = int(time.time() * 1_000)  # what was said before may still arrive
    findings = await practice.examine()
    for check in MATRIX:
        assert of(findings, check) == of(findings, check, Verdict.FINE) != []
    [said] = of(findings, "listener")
    assert said.startswith("the bridge runs")
    assert [event for event in running.events if event.get("origin_server_ts", began) >= began] == []


@synapse
async def test_a_bot_that_cannot_read_encrypted_rooms_yet(
    private_homestead: Homestead, tmp_path: Path, keys: Store
) -> None:
    """Never started; then started."""
    await private_homestead.synapse.start()
    practice = Practice(
        tmp_path,
        private_homestead.registration,
        homeserver=private_homestead.synapse.address,
        port=private_homestead.port,
    )
    assert "no device" in of(await practice.examine(), "encryption", Verdict.WARNING)[0]
    service = MatrixService(private_homestead.settings(), Intake().accept, SystemClock(), keys)
    await service.start()
    try:
        async with asyncio.timeout(WAIT):
            while not of(await practice.examine(), "encryption", Verdict.FINE):  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.2)
    finally:
        await service.stop()


@synapse
async def test_what_the_homeserver_keeps_for_us_is_not_swallowed(
    practice: Practice, homestead: Homestead, keys: Store
) -> None:
    """Said while the bridge is down, examined while it is down, heard when it is up."""
    intake = Intake()
    service = MatrixService(homestead.settings(), intake.accept, SystemClock(), keys)
    await service.start()
    await service.reachable()
    person = await homestead.person()
    bot = service.homeserver.bot
    room = await person.create_room(bot)
    await service.homeserver.join(bot, MatrixRoomId(room))
    await service.stop()
    event_id = await person.say(room, "are you there?")
    assert not [each for each in await practice.examine() if each.check in MATRIX and each.verdict is Verdict.PROBLEM]
    later = Intake()
    service = MatrixService(homestead.settings(), later.accept, SystemClock(), keys)
    await service.start()
    try:
        await later.until(lambda: any(event["event_id"] == event_id for event in later.events))
    finally:
        await service.stop()


@synapse
async def test_a_wrong_as_token(practice: Practice) -> None:
    practice.change(as_token=secrets.token_urlsafe(32))
    found = the_problem(await practice.examine(), "registration")
    assert "does not know our as_token" in found.what
    assert "app_service_config_files" in found.mend


@synapse
async def test_a_wrong_hs_token(practice: Practice) -> None:
    practice.change(hs_token=secrets.token_urlsafe(32))
    found = the_problem(await practice.examine(), "way back")
    assert "another hs_token" in found.what
    assert "restart the homeserver" in found.mend


@synapse
async def test_a_bridge_that_runs_with_another_hs_token(practice: Practice, running: Intake) -> None:
    practice.change(hs_token=secrets.token_urlsafe(32))
    found = the_problem(await practice.examine(), "listener")
    assert "another hs_token" in found.what
    assert "restart the bridge" in found.mend


@synapse
async def test_a_registration_that_differs_from_the_loaded_one(practice: Practice) -> None:
    practice.change(sender_localpart="_chattor_somebody")
    assert "sender_localpart differs" in the_problem(await practice.examine(), "registration").what


@synapse
async def test_another_id(practice: Practice) -> None:
    practice.change(id="another-bridge")
    assert "another id" in the_problem(await practice.examine(), "way back").what


@synapse
async def test_a_domain_that_is_not_the_homeservers(practice: Practice) -> None:
    practice.change(domain="elsewhere.test")
    practice.options["homeserver"]["domain"] = "elsewhere.test"
    found = the_problem(await practice.examine(), "registration")
    assert found.what == "homeserver.domain is elsewhere.test, and the homeserver calls itself example.test"


@synapse
async def test_a_bot_outside_the_loaded_namespaces(practice: Practice) -> None:
    practice.change(bot_localpart="otherbot")
    practice.options["appservice"]["bot_localpart"] = "otherbot"
    findings = await practice.examine()
    assert the_problem(findings, "namespaces").what.endswith("speak as the bot")
    assert of(findings, "namespaces", Verdict.FINE) == ["ghosts: ours"]


@synapse
async def test_the_homeserver_calls_where_nobody_listens(practice: Practice) -> None:
    port = free_port()
    practice.options["appservice"] |= {"listen_port": port, "url": f"http://127.0.0.1:{port}"}
    findings = await practice.examine()
    assert "its url is not the one" in the_problem(findings, "registration").what
    assert "cannot reach us" in the_problem(findings, "way back").what


@synapse
async def test_a_small_body_limit_before_us(practice: Practice, homestead: Homestead) -> None:
    async def forward(request: web.Request) -> web.StreamResponse:
        body = await request.read()
        headers = {"Authorization": request.headers["Authorization"]}
        async with (
            aiohttp.ClientSession() as session,
            session.request(
                request.method, f"http://127.0.0.1:{homestead.port}{request.path}", data=body, headers=headers
            ) as answer,
        ):
            return web.Response(status=answer.status, body=await answer.read())

    async with server(forward, client_max_size=2**20) as proxy:
        practice.options["appservice"]["url"] = proxy
        found = the_problem(await practice.examine(), "body limits")
    assert "413" in found.what
    assert "client_max_body_size" in found.mend


async def test_a_homeserver_that_does_not_answer(tmp_path: Path) -> None:
    found = the_problem(await Practice.alone(tmp_path).examine(), "homeserver")
    assert "does not answer" in found.what


async def test_something_else_at_the_address(tmp_path: Path) -> None:
    async def shop(_request: web.Request) -> web.Response:
        return web.Response(text="Welcome to our shop")

    practice = Practice.alone(tmp_path)
    async with server(shop) as practice.options["homeserver"]["address"]:
        assert "no Matrix homeserver" in the_problem(await practice.examine(), "homeserver").what


async def test_two_clocks_that_differ(tmp_path: Path) -> None:
    async def late(_request: web.Request) -> web.Response:
        return web.json_response({"versions": []}, headers={"Date": "Mon, 01 Jan 2024 00:00:00 GMT"})

    practice = Practice.alone(tmp_path)
    async with server(late) as practice.options["homeserver"]["address"]:
        [said] = of(await practice.examine(), "clock", Verdict.WARNING)
    assert "differ by" in said


async def test_another_program_at_our_port(tmp_path: Path) -> None:
    async def shop(_request: web.Request) -> web.Response:
        return web.Response(text="Welcome to our shop", status=418)

    practice = Practice.alone(tmp_path)
    async with server(shop) as address:
        practice.options["appservice"]["listen_port"] = int(address.rpartition(":")[2])
        found = the_problem(await practice.examine(), "listener")
    assert "another program" in found.what
    assert "appservice.listen_port" in found.mend


async def test_a_registration_that_is_missing(tmp_path: Path) -> None:
    practice = Practice.alone(tmp_path)
    practice.write()
    (tmp_path / "registration.yaml").unlink()
    assert "chattor-bridge registration" in the_problem(await practice.look(), "registration").mend


@synapse
async def test_the_command_line(practice: Practice) -> None:
    practice.write()
    command = (sys.executable, "-m", "chattor_bridge.cli", "doctor", "--config", str(practice.file))
    process = await create_subprocess_exec(*command, "--json", stdout=PIPE, env=os.environ)
    said, _ = await process.communicate()
    findings = [json.loads(line) for line in said.decode().splitlines()]
    assert all(set(finding) == {"check", "verdict", "what", "mend"} for finding in findings)
    assert [each["check"] for each in findings if each["verdict"] == "problem"] == ["tor"]
    warned = [each["check"] for each in findings if each["verdict"] == "warning"]
    assert warned in ([], ["encryption"])  # the latter until a bridge has run beside this homeserver
    assert process.returncode == 1

    process = await create_subprocess_exec(*command, stdout=PIPE, env=os.environ)
    said, _ = await process.communicate()
    assert said.decode().endswith(f"\n1 problem, {'1 warning' if warned else 'no warnings'}.\n")
    assert "-> install it, on Debian with: apt install tor" in said.decode()
