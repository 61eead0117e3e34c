"""A private Synapse on the loopback interface, for tests and for the demonstration.

It is installed into a virtual environment of its own, keeps everything in one directory, uses SQLite, and needs no
internet: it federates with nobody, trusts no key server and reports to nobody. It ends with the process that started
it, however that ends.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import secrets
import shutil
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from ruamel.yaml import YAML

from chattor_bridge.errors import Unusable
from chattor_bridge.ops.ports import free_port

SYNAPSE_VERSION = "1.163.2"
"""The release this bridge was verified with."""

INSTALL_TIMEOUT = 300.0
"""Seconds for installing Synapse from the package registry; it takes about 15."""

START_TIMEOUT = 60.0
"""Seconds until a Synapse that does not answer is given up; it takes 2 to 5 on two busy cores."""

STOP_TIMEOUT = 20.0
"""Seconds between asking it to stop and killing it."""

POLL = 0.05
"""Seconds between two looks whether it answers."""

START_TRIES = 3
"""Synapse takes its port by number, so somebody else may take it first; then another one is tried."""

_LISTENS = "now listening on TCP port"
_CANNOT_LISTEN = "Failed to listen on TCP port"
"""Synapse's own words. It does not end when its port is taken."""

_UNLIMITED = {"per_second": 10_000, "burst_count": 10_000}


@dataclass(frozen=True, slots=True)
class Account:
    """A registered user: ``access_token`` belongs to a device that was made with it."""

    user_id: str
    password: str = field(repr=False)
    access_token: str = field(repr=False)


async def ensure_synapse(environment: Path) -> None:
    """Install Synapse into the virtual environment ``environment`` unless that release is there already.

    Raises: Unusable when it cannot be installed.
    """
    if (environment / f".synapse-{SYNAPSE_VERSION}").exists():
        return
    if not (environment / "bin" / "python").exists():
        await _succeed("making a virtual environment", sys.executable, "-m", "venv", str(environment))
    pip = (str(environment / "bin" / "pip"), "install", "--quiet", "--disable-pip-version-check")
    await _succeed("installing Synapse", *pip, f"matrix-synapse=={SYNAPSE_VERSION}")
    (environment / f".synapse-{SYNAPSE_VERSION}").touch()


async def _succeed(purpose: str, *command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        async with asyncio.timeout(INSTALL_TIMEOUT):
            output, _ = await process.communicate()
    except TimeoutError:
        raise Unusable(f"{purpose} took longer than {INSTALL_TIMEOUT:.0f} s") from None
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode != 0:
        lines = output.decode(errors="replace").strip().splitlines()
        raise Unusable(f"{purpose} failed: {lines[-1] if lines else 'no output'}")


class Synapse:
    """One homeserver. ``environment`` is where `ensure_synapse` put the program, ``directory`` holds everything else.

    ``registrations`` are the registration files of application services. ``limited`` keeps Synapse's own rate limits,
    which answer 429 to quick scripts; otherwise there are none to speak of. Use it as an asynchronous context manager,
    or call `start` and `stop`; after `stop` or `kill` it can be started again, on the same port and data.
    """

    def __init__(
        self,
        environment: Path,
        directory: Path,
        *,
        domain: str = "localhost",
        registrations: Sequence[Path] = (),
        limited: bool = False,
    ) -> None:
        self.domain = domain
        self.port = 0
        self._python = environment.absolute() / "bin" / "python"
        self._directory = directory.absolute()
        self._registrations = [str(file.absolute()) for file in registrations]
        self._limited = limited
        self._shared_secret = secrets.token_urlsafe(32)
        self._process: asyncio.subprocess.Process | None = None
        self._log_start = 0

    @property
    def address(self) -> str:
        """The base URL of its client API."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def log_file(self) -> Path:
        return self._directory / "homeserver.log"

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start, and wait until it answers. Raises: Unusable."""
        first_time = self.port == 0
        for tries_left in reversed(range(START_TRIES if first_time else 1)):
            if first_time:
                self.port = free_port()
                self._write_files()
            try:
                await self._run()
            except Unusable:
                if not tries_left or _CANNOT_LISTEN not in self._last_words():
                    raise
            else:
                return

    async def stop(self) -> None:
        """Ask it to stop, wait until it has, and kill it when it does not within `STOP_TIMEOUT`."""
        if self._process is None or self._process.returncode is not None:
            return
        self._process.terminate()
        try:
            async with asyncio.timeout(STOP_TIMEOUT):
                await self._process.wait()
        except TimeoutError:
            await self.kill()

    async def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def restart(self) -> None:
        """Stop and start."""
        await self.stop()
        await self.start()

    async def register(self, localpart: str, *, password: str | None = None, admin: bool = False) -> Account:
        """Register a user with the shared secret; without ``password`` a random one is made.

        Raises: Unusable when Synapse refuses.
        """
        chosen = password or secrets.token_urlsafe(16)
        url = f"{self.address}/_synapse/admin/v1/register"
        async with aiohttp.ClientSession() as session:
            async with session.get(url) as answer:
                nonce = (await answer.json())["nonce"]
            parts = (nonce, localpart, chosen, "admin" if admin else "notadmin")
            mac = hmac.new(self._shared_secret.encode(), "\0".join(parts).encode(), hashlib.sha1).hexdigest()
            request = {"nonce": nonce, "username": localpart, "password": chosen, "admin": admin, "mac": mac}
            async with session.post(url, json=request) as answer:
                account: dict[str, Any] = await answer.json()
                if answer.status != 200:
                    raise Unusable(f"Synapse did not register {localpart}: {account.get('error')}")
        return Account(account["user_id"], chosen, account["access_token"])

    async def _run(self) -> None:
        command = [str(self._python), "-m", "synapse.app.homeserver", "-c", str(self._directory / "homeserver.yaml")]
        setpriv = shutil.which("setpriv")
        if setpriv is not None:  # util-linux: the kernel ends it when we die, even by SIGKILL
            command = [setpriv, "--pdeathsig", "TERM", *command]
        with self.log_file.open("ab") as output:
            self._log_start = output.tell()
            self._process = await asyncio.create_subprocess_exec(
                *command, cwd=self._directory, stdin=asyncio.subprocess.DEVNULL, stdout=output, stderr=output
            )
        try:
            async with asyncio.timeout(START_TIMEOUT):
                await self._answers()
        except TimeoutError:
            await self.kill()
            raise Unusable(f"Synapse does not answer after {START_TIMEOUT:.0f} s: {self._last_words()}") from None
        except BaseException:
            await self.kill()
            raise

    async def _answers(self) -> None:
        assert self._process is not None
        async with aiohttp.ClientSession() as session:
            while True:
                said = self._said()
                if self._process.returncode is not None or _CANNOT_LISTEN in said:
                    raise Unusable(f"Synapse ended at its start: {self._last_words()}")
                if _LISTENS not in said:  # whoever answers at that port now is somebody else
                    await asyncio.sleep(POLL)
                    continue
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with session.get(f"{self.address}/_matrix/client/versions") as answer:
                        if answer.status == 200:
                            return
                await asyncio.sleep(POLL)

    def _said(self) -> str:
        """What it logged since it was last started."""
        with self.log_file.open("rb") as log:
            log.seek(self._log_start)
            return log.read().decode(errors="replace")

    def _last_words(self) -> str:
        lines = self._said().strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def _write_files(self) -> None:
        self._directory.mkdir(parents=True, exist_ok=True)
        key_file = self._directory / "signing.key"
        if not key_file.exists():
            _write_signing_key(key_file)
        yaml = YAML()
        with (self._directory / "log.yaml").open("w") as stream:
            yaml.dump(_LOGGING, stream)
        with (self._directory / "homeserver.yaml").open("w") as stream:
            yaml.dump(self._configuration(), stream)

    def _configuration(self) -> dict[str, object]:
        configuration: dict[str, object] = {
            "server_name": self.domain,
            "public_baseurl": f"{self.address}/",
            "pid_file": str(self._directory / "homeserver.pid"),
            "listeners": [
                {
                    "port": self.port,
                    "bind_addresses": ["127.0.0.1"],
                    "type": "http",
                    "resources": [{"names": ["client"], "compress": False}],
                }
            ],
            "database": {"name": "sqlite3", "args": {"database": str(self._directory / "homeserver.db")}},
            "log_config": str(self._directory / "log.yaml"),
            "media_store_path": str(self._directory / "media"),
            "signing_key_path": str(self._directory / "signing.key"),
            "trusted_key_servers": [],
            "federation_domain_whitelist": [],
            "report_stats": False,
            "registration_shared_secret": self._shared_secret,
            "macaroon_secret_key": secrets.token_urlsafe(32),
            "form_secret": secrets.token_urlsafe(32),
            "app_service_config_files": self._registrations,
        }
        return configuration if self._limited else configuration | _GENEROUS


def _write_signing_key(file: Path) -> None:
    """A key in the form of the ``signedjson`` library: algorithm, version, seed in unpadded base64."""
    seed = Ed25519PrivateKey.generate().private_bytes_raw()
    file.touch(mode=0o600)
    file.write_text(f"ed25519 a_{secrets.token_hex(2)} {base64.b64encode(seed).decode().rstrip('=')}\n")


_LOGGING = {
    "version": 1,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"output": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"level": "WARNING", "handlers": ["output"]},
    "loggers": {"synapse.app._base": {"level": "INFO"}},  # says when it listens
    "disable_existing_loggers": False,
}

_GENEROUS: dict[str, object] = {
    "rc_message": _UNLIMITED,
    "rc_registration": _UNLIMITED,
    "rc_admin_redaction": _UNLIMITED,
    "rc_login": {"address": _UNLIMITED, "account": _UNLIMITED, "failed_attempts": _UNLIMITED},
    "rc_joins": {"local": _UNLIMITED, "remote": _UNLIMITED},
    "rc_joins_per_room": _UNLIMITED,
    "rc_invites": {"per_room": _UNLIMITED, "per_user": _UNLIMITED, "per_issuer": _UNLIMITED},
    "rc_room_creation": _UNLIMITED,
    "rc_media_create": _UNLIMITED,
    "max_upload_size": "512M",
}
