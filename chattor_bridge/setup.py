"""`chattor-bridge init`: from a few answers to a configuration, a registration and a store key."""

from __future__ import annotations

import argparse
import fcntl
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from shlex import quote
from typing import Any

from ruamel.yaml import YAML

from chattor_bridge import registration
from chattor_bridge.config import BridgeConfig, load_config
from chattor_bridge.errors import AlreadyExists, ConfigError, UsageError
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage.key import StoreKey

FILE_MODE = 0o600
"""Readable by its owner alone: it says who uses the bridge, and somebody may put a proxy's password into it."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What the template must be filled in with; ``None`` keeps what stands in it."""

    homeserver: str
    domain: str
    listen: str | None = None
    port: int | None = None
    url: str | None = None
    bot: str | None = None
    admin: str | None = None


def answers(arguments: argparse.Namespace) -> Answers:
    """What the flags say, and what the person at the terminal does. Raises: UsageError when there is nobody to ask."""
    return Answers(
        homeserver=arguments.homeserver
        or _ask("--homeserver", "Address of the homeserver, as reached from here", "http://localhost:8008"),
        domain=arguments.domain or _ask("--domain", "Server name: what stands behind the colon in user ids", ""),
        listen=arguments.listen,
        port=arguments.port,
        url=arguments.url,
        bot=arguments.bot,
        admin=arguments.admin,
    )


def refuse_to_begin_again(file: Path) -> None:
    """Before anybody is asked anything. Raises: AlreadyExists."""
    if file.exists():
        raise AlreadyExists(f"{file} exists already: edit it, or move it away first; nothing was changed")


@contextmanager
def alone(directory: Path) -> Iterator[None]:
    """Hold the directory of a configuration against others that write into it, and would take a draft at work for one
    of an attempt cut short. The kernel lets go of it however this process ends. Raises: AlreadyExists."""
    descriptor = None
    try:
        with suppress(OSError):  # not every network's file system can lock; what else is wrong shows soon
            descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyExists(
                    f"another `chattor-bridge init` or `registration` is at work in {directory}; nothing was changed"
                ) from None
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def initialise(file: Path, given: Answers) -> None:
    """Write all three files, or, when one is there already or an answer is wrong, none.

    Raises: AlreadyExists, ConfigError naming the option, UsageError when a file cannot be written.
    """
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"cannot write into {file.parent}: {error.strerror}") from error
    with alone(file.parent):
        config = _write_all(file, given)
    say_next_steps(file, config)


def _write_all(file: Path, given: Answers) -> BridgeConfig:
    refuse_to_begin_again(file)
    try:
        draft = file.with_name(f".{file.name}.new")
        draft.unlink(missing_ok=True)
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, FILE_MODE), "w", encoding="utf-8") as new:
            new.write(_filled_in(given))
    except OSError as error:
        raise UsageError(f"cannot write into {file.parent}: {error.strerror}") from error
    try:
        config = _checked(draft)
        _refuse_to_trust_everybody(given.admin)
        _refuse_to_overwrite(config)
        _make_key(config.store_key_file)
        made = registration.generate(config.homeserver.domain, config.appservice.url, config.appservice.bot_localpart)
        registration.write(made, config.appservice.registration_file)
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    return config


def say_next_steps(file: Path, config: BridgeConfig) -> None:
    """What is left to do, each step as it is typed."""
    bot = f"@{config.appservice.bot_localpart}:{config.homeserver.domain}"
    registration_file = config.appservice.registration_file
    file_name = quote(str(registration_file.resolve()))
    run = "chattor-bridge run" if file == Path("config.yaml") else f"chattor-bridge run --config {file}"
    sys.stdout.write(
        f"""\
Wrote {file}, {registration_file} and {config.store_key_file}.
Keep a copy of the last one apart from the database: nothing else opens what is stored.

1. Let the homeserver read the registration (only it and the bridge may: there are secrets in it), with this line in
   homeserver.yaml, and restart the homeserver:

{homeserver_line(registration_file)}

   Where it runs as another user, such as Debian's matrix-synapse, let that read the file, or, where it may not enter
   the directory, name a copy of it in the line, after one of these:

       chgrp matrix-synapse {file_name} && chmod 640 {file_name}
       install -m 640 -g matrix-synapse {file_name} /etc/matrix-synapse/chattor.yaml

2. Start the bridge:

       {run}

3. In your Matrix client, start a chat with {bot}
   (searching does not find it; type the whole id, or follow https://matrix.to/#/{bot})
"""
    )


def homeserver_line(file: Path) -> str:
    """The line for homeserver.yaml."""
    return f'       app_service_config_files: ["{file.resolve()}"]'


def _checked(draft: Path) -> BridgeConfig:
    """As it will be read, without what this shell's environment would change. The draft's name is not shown."""
    try:
        return load_config(draft, {})
    except ConfigError as error:
        message = str(error).removeprefix(f"{error.path}: ").partition(" (line ")[0]
        raise ConfigError(error.path, message) from None


def _refuse_to_trust_everybody(admin: str | None) -> None:
    """A name without @ would be a domain, which may stand in the file: everybody there were an administrator."""
    if admin is not None and not admin.startswith("@"):
        raise ConfigError(f"permissions.{admin}", "must be a full user id such as @name:example.org")


def _filled_in(given: Answers) -> str:
    """The commented template with the answers in it."""
    yaml = YAML(typ="rt")
    yaml.preserve_quotes = True
    yaml.width = 4096  # never fold a line of ours
    document: Any = yaml.load((packaged_directory("config") / "example-config.yaml").read_text(encoding="utf-8"))
    document["homeserver"]["address"] = given.homeserver
    document["homeserver"]["domain"] = given.domain
    appservice = document["appservice"]
    for key, value in (("listen_host", given.listen), ("listen_port", given.port), ("bot_localpart", given.bot)):
        if value is not None:
            appservice[key] = value
    appservice["url"] = given.url or f"http://127.0.0.1:{appservice['listen_port']}"
    if given.admin is not None:
        document["permissions"] = {given.admin: "admin"}
    text = StringIO()
    yaml.dump(document, text)
    return text.getvalue()


def _refuse_to_overwrite(config: BridgeConfig) -> None:
    if config.appservice.registration_file.exists():
        raise AlreadyExists(
            f"{config.appservice.registration_file} exists already: move it away first; nothing was changed"
        )


def _make_key(file: Path) -> None:
    """A key that is there stays: an earlier database may need it, and a new one takes it as well."""
    if not file.exists():
        StoreKey.create(file)


def _ask(flag: str, question: str, default: str) -> str:
    if not sys.stdin.isatty():
        raise UsageError(f"{flag} is missing, and there is no terminal to ask at")
    suffix = f" [{default}]" if default else ""
    while True:
        sys.stdout.write(f"{question}{suffix}: ")
        sys.stdout.flush()
        line = sys.stdin.readline()
        if not line:
            raise UsageError(f"{flag} is missing")
        if answer := line.strip() or default:
            return answer
