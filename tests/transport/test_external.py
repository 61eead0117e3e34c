"""A tor that runs already: used, never changed, and gone back to whenever it goes away."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chattor_bridge.errors import TorUnavailable, TorUnusable
from chattor_bridge.ids import OnionKey
from chattor_bridge.ops.ports import free_port
from chattor_bridge.ops.tornet import TorNetwork
from chattor_bridge.protocol.primitives import ed25519_public, x25519_public
from chattor_bridge.transport.tor import ExternalSettings, ExternalTor, TorState, TorTransport
from chattor_bridge.transport.tor import control as control_module
from chattor_bridge.transport.tor import external as external_module
from chattor_bridge.transport.tor import transport as tor_transport
from chattor_bridge.transport.tor.address import Address
from chattor_bridge.transport.tor.binary import TorVersion
from chattor_bridge.transport.tor.control import Control
from chattor_bridge.transport.tor.entrance import check_entrance
from chattor_bridge.transport.tor.listeners import NO_EXTENDED, choose_socks
from chattor_bridge.transport.tor.transport import LONG_SLEEP
from tests.transport.conftest import Parties
from tests.transport.foreign import NO_NETWORK, ForeignTor, hashed
from tests.transport.streams import PUBLISHED_WITHIN, announcing, dialled, echo, published, read_exactly, read_to_end

COOKIE = "CookieAuthentication 1"


@pytest.fixture
async def foreign(tor_network: TorNetwork, tmp_path: Path) -> AsyncIterator[ForeignTor]:
    async with ForeignTor(tmp_path / "foreign", [COOKIE, *tor_network.client_torrc]) as tor:
        yield tor


async def _lost(tor: ExternalTor) -> None:
    """Wait until the loss has been noticed."""
    async with asyncio.timeout(PUBLISHED_WITHIN):
        while tor.is_ready:  # noqa: ASYNC110 - there is no event for the loss of readiness
            await asyncio.sleep(0.01)


@pytest.mark.tor
async def test_it_is_used_and_gets_everything_back_that_it_lost(
    foreign: ForeignTor, tor_parties: Parties, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    command = Control.command

    async def noted(control: Control, line: str) -> list[str]:
        told.append(line.split()[0])
        return await command(control, line)

    monkeypatch.setattr(Control, "command", noted)
    monkeypatch.setattr(tor_transport, "ATTEMPT_FIRST", 3.0)
    tor = ExternalTor(ExternalSettings(foreign.control, tmp_path / "onions"))
    transport = TorTransport(tor)
    own, theirs = os.urandom(32), os.urandom(32)
    await transport.start()
    try:
        async with (
            published(transport, announcing(b"ours"), clients=[x25519_public(own)]) as onion,
            published(tor_parties.host, echo, clients=[x25519_public(theirs)]) as other,
        ):

            async def both_ways(isolation: str) -> None:
                await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
                await asyncio.wait_for(tor.ready(), PUBLISHED_WITHIN)
                async with dialled(tor_parties.guest, onion.onion, client_key=own, isolation=isolation) as stream:
                    assert await read_to_end(stream) == b"ours"
                async with dialled(transport, other.onion, client_key=theirs, isolation=isolation) as stream:
                    await stream.write(b"theirs")
                    assert await read_exactly(stream, 6) == b"theirs"

            await both_ways("at first")

            control = transport._control
            assert control is not None
            await control.close()
            await _lost(tor)
            await both_ways("after the control connection was lost")
            assert foreign.process is not None
            assert foreign.process.returncode is None

            await foreign.kill()
            await _lost(tor)
            await foreign.start()
            await both_ways("after tor was restarted")

            await transport.woken(LONG_SLEEP)
            await asyncio.wait_for(onion.lost(), PUBLISHED_WITHIN)
            await asyncio.wait_for(onion.published(), PUBLISHED_WITHIN)
    finally:
        await transport.stop()
    assert set(told) == {
        *("GETINFO", "GETCONF", "ADD_ONION", "DEL_ONION", "ONION_CLIENT_AUTH_ADD", "ONION_CLIENT_AUTH_REMOVE"),
        *({"HSFETCH"} & set(told)),
    }
    left = await foreign.ask("GETINFO onions/current", "GETINFO onions/detached", "ONION_CLIENT_AUTH_VIEW")
    assert [line for line in left if not line.endswith("=")] == ["OK", "OK", "ONION_CLIENT_AUTH_VIEW", "OK"]


KILLED_RUN = """
import asyncio, sys
from pathlib import Path
from chattor_bridge.transport.tor import ExternalSettings, ExternalTor, TorTransport

async def main():
    transport = TorTransport(ExternalTor(ExternalSettings(("127.0.0.1", int(sys.argv[1])), Path(sys.argv[2]))))
    await transport.start()
    onion = await transport.publish(bytes.fromhex(sys.argv[3]), None, clients=[bytes.fromhex(sys.argv[4])])
    await onion.published()
    print("published", flush=True)
    await asyncio.Event().wait()

asyncio.run(main())
"""


@pytest.mark.tor
async def test_what_a_killed_run_published_goes_with_it_and_is_published_by_the_next(
    foreign: ForeignTor, tor_parties: Parties, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    seed, key, sockets = os.urandom(32), os.urandom(32), tmp_path / "onions"
    killed = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", KILLED_RUN, str(foreign.control[1]), sockets, seed.hex(), x25519_public(key).hex()),
        stdout=asyncio.subprocess.PIPE,
    )
    assert killed.stdout is not None
    assert await asyncio.wait_for(killed.stdout.readline(), PUBLISHED_WITHIN) == b"published\n"
    killed.kill()
    await killed.wait()
    transport = TorTransport(ExternalTor(ExternalSettings(foreign.control, sockets)))
    await transport.start()
    try:
        async with (
            published(transport, announcing(b"next"), clients=[x25519_public(key)], seed=seed) as onion,
            dialled(tor_parties.guest, onion.onion, client_key=key) as stream,
        ):
            assert await read_to_end(stream) == b"next"
    finally:
        await transport.stop()
    assert [record for record in caplog.records if "could not be added" in record.message] == []


@pytest.mark.tor
@pytest.mark.parametrize(
    ("lines", "password", "complaint"),
    [
        pytest.param([f"HashedControlPassword {hashed('right')}"], "wrong", "does not take the password", id="wrong"),
        pytest.param([f"HashedControlPassword {hashed('right')}"], None, "asks for a password", id="none"),
        pytest.param([COOKIE], None, "cookie .* cannot be read", id="cookie"),
        pytest.param([COOKIE, "ORPort 127.0.0.1:auto", "AssumeReachable 1"], None, "is a relay", id="relay"),
    ],
)
async def test_one_that_will_not_do_is_refused(
    tmp_path: Path, lines: list[str], password: str | None, complaint: str
) -> None:
    file = None
    if password is not None:
        file = tmp_path / "password"
        file.write_text(f"{password}\n")
    async with ForeignTor(tmp_path / "foreign", [*NO_NETWORK, *lines]) as foreign:
        if complaint.startswith("cookie"):  # root could read one that is closed to us
            (foreign.directory / "data" / "control_auth_cookie").unlink()
        transport = TorTransport(ExternalTor(ExternalSettings(foreign.control, tmp_path / "onions", file)))
        with pytest.raises(TorUnusable, match=complaint):
            await transport.start()
        assert transport.status.tor.state is TorState.STOPPED


@pytest.mark.tor
async def test_what_it_is_asked_for_before_it_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that is right lets us in; then its version, what it can do and its SOCKS port count."""
    foreign = ForeignTor(
        tmp_path / "foreign", [*NO_NETWORK, f"HashedControlPassword {hashed('right')}"], socks="NoIsolateSOCKSAuth"
    )
    (tmp_path / "password").write_text("right\n")
    settings = ExternalSettings(foreign.control, tmp_path / "onions", tmp_path / "password")
    async with foreign:
        with pytest.raises(TorUnusable, match="friends on circuits of their own: add the line SocksPort"):
            await TorTransport(ExternalTor(settings)).start()
        monkeypatch.setattr(external_module, "OLDEST_TOR", TorVersion(9, 0, 0, 0))
        with pytest.raises(TorUnusable, match=r"9\.0\.0\.0 or newer is needed: upgrade it"):
            await TorTransport(ExternalTor(settings)).start()


@pytest.mark.tor
async def test_one_that_hosts_without_anonymity_is_refused(tmp_path: Path) -> None:
    lines = ["HiddenServiceNonAnonymousMode 1", "HiddenServiceSingleHopMode 1", COOKIE, *NO_NETWORK]
    foreign = ForeignTor(tmp_path / "foreign", lines)
    torrc = foreign.directory / "torrc"
    torrc.write_text(torrc.read_text().replace(f"SocksPort {foreign.socks_port}", "SocksPort 0 #"))
    async with foreign:
        with pytest.raises(TorUnusable, match="no HiddenServiceNonAnonymousMode"):
            await TorTransport(ExternalTor(ExternalSettings(foreign.control, tmp_path / "onions"))).start()


async def test_one_that_is_not_there_is_waited_for(tmp_path: Path) -> None:
    transport = TorTransport(ExternalTor(ExternalSettings(("127.0.0.1", port := free_port()), tmp_path / "onions")))
    await transport.start()
    try:
        status = transport.status.tor
        assert status.state is TorState.ABSENT
        assert status.problem == f"tor does not accept a control connection at 127.0.0.1:{port}"
    finally:
        await transport.stop()


@pytest.mark.tor
async def test_one_that_hangs_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_module, "COMMAND_TIMEOUT", 1.0)
    async with ForeignTor(tmp_path / "foreign", [COOKIE, *NO_NETWORK]) as foreign:
        assert foreign.process is not None
        transport = TorTransport(ExternalTor(ExternalSettings(foreign.control, tmp_path / "onions")))
        foreign.process.send_signal(signal.SIGSTOP)
        try:
            await transport.start()
            assert transport.status.tor.state is TorState.ABSENT
            assert transport.status.tor.problem == "tor does not answer its control connection"
            foreign.process.send_signal(signal.SIGCONT)
            async with asyncio.timeout(PUBLISHED_WITHIN):
                while not str(transport.status).startswith("tor is connecting"):  # noqa: ASYNC110 - it asks for no event
                    await asyncio.sleep(0.01)
        finally:
            await transport.stop()


@pytest.mark.tor
async def test_nothing_goes_through_one_that_came_back_as_another(tmp_path: Path) -> None:
    async with ForeignTor(tmp_path / "foreign", [COOKIE, *NO_NETWORK]) as foreign:
        tor = ExternalTor(ExternalSettings(foreign.control, tmp_path / "onions"))
        transport = TorTransport(tor)
        await transport.start()
        torrc = foreign.directory / "torrc"
        try:
            await foreign.kill()
            torrc.write_text(torrc.read_text().replace(" IsolateSOCKSAuth", " NoIsolateSOCKSAuth"))
            await foreign.start()
            async with asyncio.timeout(PUBLISHED_WITHIN):
                while "circuits of their own" not in transport.status.tor.problem:  # noqa: ASYNC110 - it asks for no event
                    await asyncio.sleep(0.01)
            with pytest.raises(TorUnavailable, match="circuits of their own"):
                await transport.dial(OnionKey(ed25519_public(bytes(32))), client_key=None, isolation="x", timeout=1.0)
            assert tor.socks is None
        finally:
            await transport.stop()


async def test_a_directory_that_everybody_may_enter_is_refused(tmp_path: Path) -> None:
    (tmp_path / "onions").mkdir(mode=0o755)
    with pytest.raises(TorUnusable, match="chmod o="):
        await TorTransport(ExternalTor(ExternalSettings(("127.0.0.1", free_port()), tmp_path / "onions"))).start()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a directory to another group")
def test_the_user_that_tor_runs_as_must_be_able_to_come_to_the_sockets() -> None:
    nobody = pwd.getpwnam("nobody")
    above = Path(tempfile.mkdtemp(prefix="chattor-"))
    try:
        (directory := above / "onions").mkdir(mode=0o700)
        check_entrance(directory, 0, 1000)
        check_entrance(directory, 1000, 1000)
        check_entrance(directory, 987_654, 1000)  # whom this machine does not know
        with pytest.raises(TorUnusable, match="install -d -m 2750"):
            check_entrance(directory, nobody.pw_uid, 0)
        os.chown(directory, 0, nobody.pw_gid)
        directory.chmod(0o2750)
        with pytest.raises(TorUnusable, match="cannot pass through"):
            check_entrance(directory, nobody.pw_uid, 0)
        above.chmod(0o711)
        check_entrance(directory, nobody.pw_uid, 0)
    finally:
        shutil.rmtree(above)


LOCAL, BESIDE = ("127.0.0.1", 9051), ("tor", 9051)


@pytest.mark.parametrize(
    ("listeners", "lines", "control", "chosen"),
    [
        pytest.param('"127.0.0.1:9050"', [""], LOCAL, ("127.0.0.1", 9050), id="the default"),
        pytest.param('"127.0.0.1:9050"', ["9050 NoIsolateSOCKSAuth"], LOCAL, None, id="shared circuits"),
        pytest.param('"127.0.0.1:9050"', ["9050 PreferSOCKSNoAuth"], LOCAL, None, id="no credentials"),
        pytest.param('"127.0.0.1:9050"', ["9050 NoOnionTraffic"], LOCAL, None, id="no onions"),
        pytest.param('"127.0.0.1:4711"', ["auto NoIsolateSOCKSAuth"], LOCAL, None, id="a port of its choice"),
        pytest.param(
            '"127.0.0.1:9050" "127.0.0.1:9052"', ["9050", "9052 ExtendedErrors"], LOCAL, ("127.0.0.1", 9052), id="best"
        ),
        pytest.param('"unix:/nowhere/socks" "127.0.0.1:9050"', [""], LOCAL, ("127.0.0.1", 9050), id="closed to us"),
        pytest.param('"0.0.0.0:9050"', ["0.0.0.0:9050"], BESIDE, ("tor", 9050), id="container"),
        pytest.param('"127.0.0.1:9050"', [""], BESIDE, None, id="inside a container"),
        pytest.param("", ["0"], LOCAL, None, id="none"),
    ],
)
def test_a_socks_port_must_keep_friends_apart(
    listeners: str, lines: list[str], control: Address, chosen: Address | None
) -> None:
    said = f"net/listeners/socks={listeners}"
    if chosen is None:
        with pytest.raises(TorUnusable, match="SocksPort"):
            choose_socks(said, lines, control)
        return
    found = choose_socks(said, lines, control)
    assert found.address == chosen
    assert found.advice == (() if isinstance(chosen, tuple) and chosen[1] == 9052 else (NO_EXTENDED,))
