"""Which tor is accepted, and how a tor that cannot be used is reported. Fake programs play the old and the odd."""

from __future__ import annotations

import asyncio
import os
import signal
import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from chattor_bridge.errors import TorUnavailable, TorUnusable, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorState, TorStatus, TorTransport
from chattor_bridge.transport.tor import control as control_module
from chattor_bridge.transport.tor import process as process_module
from chattor_bridge.transport.tor.binary import OLDEST_TOR, TorVersion, tor_version, usable_tor
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.process import TorProcess
from chattor_bridge.transport.tor.socks import connect_through
from chattor_bridge.transport.tor.vanguards import Vanguards, vanguards_of

NO_NETWORK = (
    "TestingTorNetwork 1",
    f"DirAuthority nobody orport=1 v3ident={'0' * 40} 127.0.0.1:1 {'0' * 40}",
)
"""A tor that knows one authority, which does not answer, and never gets anywhere."""

WITHIN = 30.0


def program(directory: Path, script: str) -> Path:
    path = directory / "tor"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_versions_are_compared_by_number() -> None:
    assert TorVersion(0, 4, 9, 9) < TorVersion(0, 4, 9, 11) < TorVersion(0, 4, 10, 0) < TorVersion(0, 5, 0, 0)
    assert str(OLDEST_TOR) == "0.4.9.11"


async def test_a_missing_tor_says_how_to_install_it() -> None:
    with pytest.raises(TorUnusable, match="apt install tor"):
        await usable_tor("there-is-no-such-tor", allow_old=False)


@pytest.mark.parametrize("version", ["0.4.9.10", "0.4.8.16", "0.3.5.8"])
async def test_an_old_tor_is_refused_unless_allowed(tmp_path: Path, version: str) -> None:
    old = str(program(tmp_path, f"echo 'Tor version {version}.'"))
    with pytest.raises(TorUnusable, match=rf"{version} is too old.*apt install tor"):
        await usable_tor(old, allow_old=False)
    assert str((await usable_tor(old, allow_old=True))[1]) == version


@pytest.mark.parametrize("version", ["0.4.9.11", "0.4.10.1-alpha (git-0123456789abcdef)", "1.0.0.0"])
async def test_a_new_tor_is_accepted(tmp_path: Path, version: str) -> None:
    found, _ = await usable_tor(str(program(tmp_path, f"echo 'Tor version {version}.'")), allow_old=False)
    assert found == tmp_path / "tor"


async def test_what_is_not_tor_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TorUnusable, match="is not tor"):
        await tor_version(program(tmp_path, "echo hello"))


async def test_what_cannot_be_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "tor").write_bytes(b"\x00\x01")
    (tmp_path / "tor").chmod(0o755)
    with pytest.raises(TorUnusable, match="cannot be run"):
        await tor_version(tmp_path / "tor")


@pytest.mark.parametrize("name", ["x" * 100, "with space", 'with"quote'])
def test_a_directory_tor_cannot_use_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError):
        ManagedTor(TorSettings(tmp_path / name))


@pytest.mark.tor
async def test_a_setting_tor_does_not_know_is_reported_with_tors_words(tmp_path: Path) -> None:
    transport = TorTransport(ManagedTor(TorSettings(tmp_path, extra_torrc=["NoSuchSetting 1"])))
    with pytest.raises(TorUnusable, match="NoSuchSetting"):
        await transport.start()
    assert transport.status.tor.state is TorState.STOPPED


@pytest.mark.tor
async def test_a_directory_in_use_is_refused(tmp_path: Path) -> None:
    settings = TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK)
    first, second = TorTransport(ManagedTor(settings)), TorTransport(ManagedTor(settings))
    await first.start()
    try:
        with pytest.raises(TorUnusable, match="in use"):
            await second.start()
        assert first.status.tor.state is TorState.CONNECTING
    finally:
        await first.stop()
    await second.start()
    await second.stop()


@pytest.mark.tor
async def test_vanguards_are_on(tmp_path: Path) -> None:
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    transport = TorTransport(tor)
    await transport.start()
    control = await Control.connect(tor.sockets / "control", lambda action, address: None)
    try:
        assert await control.command("GETCONF VanguardsLiteEnabled") == ["VanguardsLiteEnabled=1"]
        assert await vanguards_of(control) is Vanguards.LITE
        await control.command(f"SETCONF HSLayer2Nodes={'A' * 40}")  # as the add-on does
        assert await vanguards_of(control) is Vanguards.FULL
        await control.command("SETCONF HSLayer2Nodes= VanguardsLiteEnabled=0")
        assert await vanguards_of(control) is Vanguards.OFF
    finally:
        await control.close()
        await transport.stop()


@pytest.mark.tor
async def test_a_full_disk_is_waited_for(tmp_path: Path) -> None:
    (tmp_path / "tor").mkdir()
    (torrc := tmp_path / "tor" / "torrc").symlink_to("/dev/full")
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    transport = TorTransport(tor)
    await transport.start()
    try:
        assert tor.status.state is TorState.RESTARTING
        assert tor.status.problem == f"the disk of tor's directory {tmp_path / 'tor'} is full: make room"
        torrc.unlink()
        await _reach(tor, lambda status: status.state is TorState.CONNECTING)
        assert tor.status.problem == ""
    finally:
        await transport.stop()


@pytest.mark.tor
async def test_a_directory_that_cannot_be_used_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(TorUnusable, match="tor's directory cannot be used: "):
        await TorTransport(ManagedTor(TorSettings(tmp_path / "file"))).start()
    (tmp_path / "tor" / "torrc").mkdir(parents=True)
    with pytest.raises(TorUnusable, match=r"cannot be written \(Is a directory\): run this as"):
        await TorTransport(ManagedTor(TorSettings(tmp_path / "tor"))).start()


@pytest.mark.tor
async def test_files_are_for_the_owner_alone(tmp_path: Path) -> None:
    (tmp_path / "tor").mkdir()
    (tmp_path / "tor").chmod(0o777)
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    transport = TorTransport(tor)
    await transport.start()
    try:
        await transport.publish(os.urandom(32), _nobody, clients=None)
        assert (tmp_path / "tor").stat().st_mode & 0o077 == 0
        assert tor.sockets.stat().st_mode & 0o077 == 0
        assert len(list(tor.sockets.iterdir())) == 3  # control, SOCKS, the onion
        assert "SafeLogging 1" in (tmp_path / "tor" / "torrc").read_text()
    finally:
        await transport.stop()


@pytest.mark.tor
async def test_a_tor_that_does_not_get_connected_shows_where_it_stands(tmp_path: Path) -> None:
    told: list[TorStatus] = []
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK), told=told.append)
    transport = TorTransport(tor)
    with pytest.raises(TorUnavailable):
        await transport.dial(OnionKey(ed25519_public(bytes(32))), client_key=bytes(32), isolation="x", timeout=1)
    await transport.start()
    try:
        onion = await transport.publish(os.urandom(32), _nobody, clients=None)
        assert str(transport.status).startswith("tor is connecting: ")
        assert str(transport.status).endswith("0 of 1 onions published")
        assert transport.status.tor.version
        with pytest.raises(TorUnavailable, match="tor is connecting"):
            await transport.dial(onion.onion, client_key=None, isolation="x", timeout=0.5)
        await onion.withdraw()
    finally:
        await transport.stop()
    assert told[0].state is TorState.STARTING
    assert told[-1].state is TorState.STOPPED


@pytest.mark.tor
async def test_a_tor_that_keeps_dying_is_started_again_and_again_visibly(tmp_path: Path) -> None:
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    transport = TorTransport(tor)
    await transport.start()
    try:
        for restarts in (1, 2):
            assert tor.pid is not None
            os.kill(tor.pid, signal.SIGKILL)
            await _reach(tor, lambda status: status.state is TorState.RESTARTING)
            assert "signal 9" in tor.status.problem
            await _reach(tor, lambda status: status.state is TorState.CONNECTING)
            assert tor.status.restarts == restarts
    finally:
        await transport.stop()


@pytest.mark.tor
@pytest.mark.parametrize("address", ["example.org", "203.0.113.9"])
async def test_our_tor_leads_to_onions_and_nowhere_else(tmp_path: Path, address: str) -> None:
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    transport = TorTransport(tor)
    await transport.start()
    try:
        assert isinstance(tor.socks, Path)
        with pytest.raises(TorUnavailable, match="configured not to make this connection"):
            await connect_through(tor.socks, address, 80, isolation="x", timeout=WITHIN)
    finally:
        await transport.stop()


@pytest.mark.tor
async def test_a_tor_that_hangs_is_given_up_and_started_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much it is asked at once, nothing else of the program waits for it."""
    monkeypatch.setattr(control_module, "COMMAND_TIMEOUT", 1.0)
    monkeypatch.setattr(process_module, "STOP_TIMEOUT", 0.5)
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    transport = TorTransport(tor)
    await transport.start()
    try:
        assert tor.pid is not None
        os.kill(hung := tor.pid, signal.SIGSTOP)
        control = transport._control
        assert control is not None
        asked = [asyncio.create_task(control.command("GETINFO version")) for _ in range(64)]
        async with asyncio.timeout(WITHIN):
            assert {type(said) for said in await asyncio.gather(*asked, return_exceptions=True)} == {TorUnavailable}
            await asyncio.to_thread(int)
        await _reach(tor, lambda status: status.state is TorState.CONNECTING)
        assert tor.pid != hung
        assert tor.status.restarts == 1
    finally:
        await asyncio.wait_for(transport.stop(), WITHIN)


KILLED_RUN = """
import asyncio, sys
from collections.abc import Callable
from pathlib import Path
from chattor_bridge.transport.tor import ManagedTor, TorSettings, TorTransport

async def main():
    tor = ManagedTor(TorSettings(Path(sys.argv[1]), extra_torrc=sys.argv[2:]))
    await TorTransport(tor).start()
    print(tor.pid, flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.tor
async def test_the_tor_of_a_killed_run_is_ended_by_the_next(tmp_path: Path) -> None:
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_RUN, tmp_path / "tor", *NO_NETWORK), stdout=asyncio.subprocess.PIPE
    )
    assert killed.stdout is not None
    orphan = int(await asyncio.wait_for(killed.stdout.readline(), WITHIN))
    killed.kill()
    await killed.wait()
    transport = TorTransport(ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK)))
    await asyncio.wait_for(transport.start(), WITHIN)
    try:
        assert not _runs_tor(orphan)
    finally:
        await transport.stop()


@pytest.mark.tor
@pytest.mark.parametrize("hangs", [False, True])
async def test_a_tor_whose_run_was_killed_before_it_owned_it_is_ended_by_the_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hangs: bool
) -> None:
    monkeypatch.setattr(control_module, "COMMAND_TIMEOUT", 1.0 if hangs else WITHIN)
    tor = ManagedTor(TorSettings(tmp_path / "tor", extra_torrc=NO_NETWORK))
    tor.sockets.mkdir(mode=0o700, parents=True)
    orphan = await TorProcess.launch((await usable_tor("tor", allow_old=False))[0], tor._torrc(), tmp_path / "tor")
    try:
        async with asyncio.timeout(WITHIN):
            while not (tor.sockets / "control").exists():  # noqa: ASYNC110 - it has no event for being there
                await asyncio.sleep(0.01)
        if hangs:
            os.kill(orphan.pid, signal.SIGSTOP)
        transport = TorTransport(tor)
        await asyncio.wait_for(transport.start(), WITHIN)
        assert not _runs_tor(orphan.pid)
        await transport.stop()
    finally:
        await orphan.stop()


@pytest.mark.tor
async def test_a_stopped_tor_is_gone(tmp_path: Path) -> None:
    process = await TorProcess.launch(
        (await usable_tor("tor", allow_old=False))[0], ["SocksPort 0", *NO_NETWORK], tmp_path / "tor"
    )
    assert _runs_tor(process.pid)
    await process.stop()
    assert not _runs_tor(process.pid)
    await process.stop()


async def _nobody(stream: object) -> None:
    raise AssertionError("nobody dials here")


async def _reach(tor: ManagedTor, wanted: Callable[[TorStatus], bool]) -> None:
    """Wait for a status, which a tor tells to whoever made it: these tests look instead."""
    async with asyncio.timeout(WITHIN):
        while not wanted(tor.status):  # noqa: ASYNC110 - the test asks for no event of its own
            await asyncio.sleep(0.01)


def _runs_tor(pid: int) -> bool:
    """Whether this process runs, and is not merely waiting for its parent to notice that it ended."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
