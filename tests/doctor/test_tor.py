"""The doctor and tor: missing, old, misconfigured, blocked, with a wrong clock, and well."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from chattor_bridge.config import TorOptions
from chattor_bridge.ops.doctor import examine_home
from chattor_bridge.ops.doctor.finding import Verdict
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.terminal.exits import Exit
from chattor_bridge.terminal.home import Home
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport
from chattor_bridge.transport.tor import control as control_module
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.network import has_relays
from tests.doctor.practice import NO_TOR, Practice, of, the_problem
from tests.terminal.resident import WAIT, Resident, residents
from tests.transport.foreign import NO_NETWORK, ForeignTor
from tests.transport.road import road_to

PATIENCE = 120.0
"""Seconds for what crosses the private Tor network."""


@pytest.fixture
def practice(tmp_path: Path) -> Practice:
    return Practice.alone(tmp_path)


def program(practice: Practice, script: str) -> None:
    """Put a program in the place of tor."""
    file = practice.directory / "tor-program"
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o700)
    practice.options["tor"] = {"executable": str(file)}


async def test_tor_is_missing(practice: Practice) -> None:
    found = the_problem(await practice.examine(), "tor")
    assert NO_TOR in found.what
    assert found.mend == "install it, on Debian with: apt install tor"


async def test_tor_is_old(practice: Practice) -> None:
    program(practice, "echo 'Tor version 0.4.7.13.'")
    found = the_problem(await practice.examine(), "tor")
    assert found.what.startswith("tor 0.4.7.13 has known holes")
    assert "upgrade" in found.mend


@pytest.mark.tor
async def test_a_torrc_line_that_tor_does_not_know(practice: Practice) -> None:
    practice.options["tor"] = {"torrc_lines": ["UseBridgse 1"]}
    assert "UseBridgse" in the_problem(await practice.examine(), "tor").what


@pytest.mark.tor
async def test_tor_is_blocked(practice: Practice) -> None:
    fingerprint = "0123456789ABCDEF0123456789ABCDEF01234567"
    practice.options["tor"] = {
        "torrc_lines": ["UseBridges 1", f"Bridge 127.0.0.1:{free_port()} {fingerprint}"],
    }
    found = the_problem(await practice.examine(patience=3), "tor network")
    assert "%: " in found.what
    assert "bridges" in found.mend


@pytest.mark.tor
async def test_the_clock_is_wrong(practice: Practice, tor_network: TorNetwork) -> None:
    program(practice, f'exec faketime -f +3h {shutil.which("tor")} "$@"')
    practice.options["tor"]["torrc_lines"] = list(tor_network.client_torrc)
    found = the_problem(await practice.examine(patience=PATIENCE), "clock")
    assert "clock" in found.what.lower()
    assert "timedatectl" in found.mend


@pytest.mark.tor
async def test_tor_connects_and_one_that_runs_is_asked(practice: Practice, tor_network: TorNetwork) -> None:
    practice.options["tor"] = {"torrc_lines": list(tor_network.client_torrc)}
    findings = await practice.examine(patience=PATIENCE)
    assert of(findings, "tor network", Verdict.FINE) == ["a tor with these options is connected"]

    running = ManagedTor(TorSettings(practice.directory / "tor", extra_torrc=tor_network.client_torrc))
    transport = TorTransport(running)
    await transport.start()
    try:
        await running.ready()
        pid = running.pid
        findings = await practice.examine(patience=PATIENCE)
        assert of(findings, "tor network", Verdict.FINE) == ["the tor that runs is connected"]
        assert of(findings, "vanguards", Verdict.FINE) == ["on: vanguards-lite, tor's own"]
        assert running.is_ready
        assert running.pid == pid
    finally:
        await transport.stop()


@pytest.mark.tor
@pytest.mark.parametrize(
    ("directory", "which"),
    [("tor", "the tor that runs"), ("tor-shelves", "the tor that runs for what is held for friends")],
)
async def test_one_that_runs_and_hangs(
    practice: Practice, monkeypatch: pytest.MonkeyPatch, directory: str, which: str
) -> None:
    practice.options["tor"] = {"torrc_lines": list(NO_NETWORK)}
    running = ManagedTor(TorSettings(practice.directory / directory, extra_torrc=NO_NETWORK))
    transport = TorTransport(running)
    await transport.start()
    try:
        assert running.pid is not None
        os.kill(running.pid, signal.SIGSTOP)
        monkeypatch.setattr(control_module, "COMMAND_TIMEOUT", 1.0)
        found = the_problem(await practice.examine(patience=1.0), "tor")
        os.kill(running.pid, signal.SIGCONT)
    finally:
        await transport.stop()
    assert found.what == f"{which} is of no use (tor does not answer its control connection)"
    assert found.mend == "restart the program whose tor it is"


@pytest.mark.tor
async def test_one_that_was_connected_and_has_lost_its_network(
    practice: Practice, monkeypatch: pytest.MonkeyPatch
) -> None:
    command = Control.command

    async def connected_once(control: Control, line: str) -> list[str]:
        answer = await command(control, line)
        return [re.sub(r"PROGRESS=\d+", "PROGRESS=100", one) for one in answer]

    practice.options["tor"] = {"torrc_lines": list(NO_NETWORK)}
    transport = TorTransport(ManagedTor(TorSettings(practice.directory / "tor", extra_torrc=NO_NETWORK)))
    await transport.start()
    monkeypatch.setattr(Control, "command", connected_once)
    try:
        found = the_problem(await practice.examine(), "tor network")
    finally:
        await transport.stop()
    assert "hears nothing from its network now" in found.what
    assert "reaches the internet" in found.mend


@pytest.mark.tor
async def test_one_that_is_connected_to_nobody(practice: Practice, monkeypatch: pytest.MonkeyPatch) -> None:
    """tor takes its network for alive until something that it tried there got no answer."""
    command = Control.command

    async def believing(control: Control, line: str) -> list[str]:
        done = 'PROGRESS=100 TAG=done SUMMARY="Done"'
        answer = [re.sub("PROGRESS=.*", done, one) for one in await command(control, line)]
        return ["network-liveness=up" if one == "network-liveness=down" else one for one in answer]

    practice.options["tor"] = {"torrc_lines": list(NO_NETWORK)}
    transport = TorTransport(ManagedTor(TorSettings(practice.directory / "tor", extra_torrc=NO_NETWORK)))
    await transport.start()
    monkeypatch.setattr(Control, "command", believing)
    try:
        (found,) = of(await practice.examine(), "tor network", Verdict.WARNING)
    finally:
        await transport.stop()
    assert found.startswith("the tor that runs has no connection to a relay")


@pytest.mark.tor
async def test_one_that_runs_already(practice: Practice, tor_network: TorNetwork) -> None:
    foreign = ForeignTor(
        practice.directory / "foreign", ["CookieAuthentication 1", *tor_network.client_torrc], socks=""
    )
    options = practice.options["tor"] = {"mode": "external", "control": foreign.address}
    found = the_problem(await practice.examine(), "tor")
    assert found.what == f"tor does not accept a control connection at {foreign.address}"
    assert "start that tor" in found.mend
    onions = practice.directory / "onions"
    assert not onions.exists()  # whoever examines may be another than who runs
    onions.mkdir(mode=0o700)
    async with foreign:
        findings = await practice.examine(patience=PATIENCE)
        assert of(findings, "tor network", Verdict.FINE) == ["the tor that runs is connected"]
        [said] = of(findings, "tor", Verdict.WARNING)
        assert "no ExtendedErrors" in said
        [said] = of(findings, "shelves", Verdict.FINE)
        assert "on that tor too" in said
        await foreign.ask("SETCONF VanguardsLiteEnabled=0")
        [said] = of(await practice.examine(patience=PATIENCE), "vanguards", Verdict.WARNING)
        assert "off" in said
        options["control_password_file"] = "nowhere"
        assert "cannot be read" in the_problem(await practice.examine(), "tor").what
        onions.chmod(0o755)
        assert "chmod" in the_problem(await practice.examine(), "permissions").mend


@pytest.mark.tor
async def test_one_that_runs_already_and_has_lost_its_relays(practice: Practice, tor_network: TorNetwork) -> None:
    async with road_to(None) as road:
        lines = ["CookieAuthentication 1", *tor_network.client_torrc, f"Socks5Proxy 127.0.0.1:{road.port}"]
        async with ForeignTor(practice.directory / "foreign", lines) as foreign:
            practice.options["tor"] = {"mode": "external", "control": foreign.address}
            findings = await practice.examine(patience=PATIENCE)
            assert of(findings, "tor network", Verdict.FINE) == ["the tor that runs is connected"]
            road.close()
            async with asyncio.timeout(PATIENCE):
                while has_relays(await foreign.ask("GETINFO orconn-status")):
                    pass
            (found,) = of(await practice.examine(patience=PATIENCE), "tor network", Verdict.WARNING)
    assert found.startswith("the tor that runs has no connection to a relay")


@pytest.mark.tor
async def test_friend_codes_are_dialled_from_outside(tor_network: TorNetwork, tmp_path: Path) -> None:
    """Published by nobody first, as by a tor that has gone deaf; then by `chattor run` over tor."""
    torrc = tor_network.client_torrc
    async with residents(tmp_path, "Alice") as (over_memory,):
        daemon = await over_memory.start()
        [code] = await over_memory.get("code", "new", "for bob")
        assert await daemon.stop() == 0

        home = Home(over_memory.home)
        options = TorOptions("tor", home.tor, torrc, allow_old=False)
        findings = [
            each
            async for each in examine_home(
                home.directory,
                key_file=home.key,
                database=home.database,
                read_tor=lambda: options,
                onions=True,
                patience=PATIENCE,
            )
        ]
        assert "cannot be reached" in the_problem(findings, "onions").what

    alice = Resident(tmp_path, "Alice", torrc=torrc)
    try:
        daemon = await alice.start()
        await daemon.saw("ready", timeout=PATIENCE)
        async with asyncio.timeout(PATIENCE):
            while not (await alice.get("code"))[0]["published"]:
                pass
        doctor = await alice.launch("doctor", "--onions")
        [onions] = await doctor.saw_all(lambda said: said["check"] == "onions", 1, timeout=PATIENCE)
        assert onions["what"] == "friend code 1 of 1: reached over tor"
        assert await doctor.ended() == 0
        assert code["code"] not in repr(doctor.said)
    finally:
        await alice.leave()


@pytest.fixture
def temporary() -> Iterator[Path]:
    """A directory with a short path: one of a socket has 107 bytes at most."""
    with tempfile.TemporaryDirectory(prefix="chattor-") as directory:
        yield Path(directory)


@pytest.mark.tor
async def test_it_leaves_nothing_behind_when_it_is_ended(tmp_path: Path, temporary: Path) -> None:
    async with residents(tmp_path, "Alice", torrc=NO_NETWORK) as (alice,):
        doctor = await alice.launch("doctor", TMPDIR=str(temporary))
        async with asyncio.timeout(WAIT):
            while not _within(temporary, "chattor-doctor-*/torrc"):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.05)
        assert await doctor.stop() == Exit.INTERRUPTED
    assert _within(temporary, "*") == []


def _within(directory: Path, pattern: str) -> list[Path]:
    return list(directory.glob(pattern))


async def test_chattor_says_what_is_wrong_in_a_home(tmp_path: Path) -> None:
    async with residents(tmp_path, "Alice") as (alice,):
        (alice.home / "store.key").chmod(0o644)
        outcome = await alice.do("doctor", CHATTOR_TOR_EXECUTABLE=NO_TOR)
        assert outcome.code == 1
        problems = [each["check"] for each in outcome.objects if each["verdict"] == "problem"]
        assert problems == ["permissions", "store key", "tor"]
        (alice.home / "config.yaml").write_text("tor:\n  torr: 1\n")
        outcome = await alice.do("doctor")
        assert outcome.code == 1
        [found] = [each for each in outcome.objects if each["check"] == "configuration"]
        assert found["what"].startswith("tor.torr: no such option")
        assert "tor" not in [each["check"] for each in outcome.objects]
