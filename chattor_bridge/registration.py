"""The registration file: what tells the homeserver about this bridge, and what proves each to the other.

The homeserver reads the same file, so its form is Matrix's (Application Service API, "Registration"). The user behind
``sender_localpart`` is never used, because Synapse answers 500 to its ``/sync``; it is random so that nobody can have
taken the name. The bot is a registered user of its own.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path

from ruamel.yaml import YAML
from ruamel.yaml.error import YAMLError

from chattor_bridge.config import LOCALPART, SERVER_NAME
from chattor_bridge.errors import ConfigError
from chattor_bridge.ids import GHOST_PREFIX

APPSERVICE_ID = "chattor-bridge"

TOKEN_BYTES = 32
"""Random bytes in a token: 256 bits, out of reach of guessing."""

SENDER_BYTES = 10
"""Random bytes in the sender's localpart: 80 bits, so that it never meets an existing user."""

MINIMUM_TOKEN_LENGTH = 16
"""Characters. A shorter token was typed by hand and can be guessed."""

MAXIMUM_FILE_SIZE = 64 * 1024
"""Bytes. A registration has well under two thousand."""

_FILE_MODE = 0o600
"""The tokens are keys to every user of the bridge: readable by the owner of the file alone."""

_HEADER = """\
# The registration of this chattor-bridge. Both the bridge and the homeserver read it, and nobody else may: the tokens
# in it are secrets. Name it in homeserver.yaml under app_service_config_files and restart the homeserver.
"""


@dataclass(frozen=True, slots=True)
class Registration:
    """What a registration file says.

    ``url`` is where the homeserver reaches us. ``as_token`` proves us to the homeserver, ``hs_token`` the homeserver
    to us; neither appears in ``repr``.
    """

    id: str
    url: str
    as_token: str = field(repr=False)
    hs_token: str = field(repr=False)
    sender_localpart: str
    domain: str
    bot_localpart: str

    @property
    def user_patterns(self) -> tuple[str, str]:
        """The regular expressions of the users that are ours alone: the bot, and the ghosts."""
        domain = re.escape(self.domain)
        return f"^@{re.escape(self.bot_localpart)}:{domain}$", f"^@{re.escape(GHOST_PREFIX)}[a-z2-7]+:{domain}$"

    def as_document(self) -> dict[str, object]:
        """The content of the file, in the order in which people read it."""
        return {
            "id": self.id,
            "url": self.url,
            "as_token": self.as_token,
            "hs_token": self.hs_token,
            "sender_localpart": self.sender_localpart,
            "rate_limited": False,
            "receive_ephemeral": True,
            "io.element.msc4190": True,
            "namespaces": {
                "users": [{"exclusive": True, "regex": pattern} for pattern in self.user_patterns],
                "aliases": [],
                "rooms": [],
            },
        }


def generate(domain: str, url: str, bot_localpart: str) -> Registration:
    """A new registration with new tokens, for the homeserver of that server name.

    Raises: ConfigError when ``domain`` or ``bot_localpart`` is not what Matrix allows.
    """
    if not re.fullmatch(SERVER_NAME, domain):
        raise ConfigError("homeserver.domain", "is not a server name such as example.org")
    if not re.fullmatch(LOCALPART, bot_localpart) or bot_localpart.startswith(GHOST_PREFIX):
        raise ConfigError("appservice.bot_localpart", f"is not a localpart, or begins with {GHOST_PREFIX}")
    return Registration(
        id=APPSERVICE_ID,
        url=url,
        as_token=secrets.token_urlsafe(TOKEN_BYTES),
        hs_token=secrets.token_urlsafe(TOKEN_BYTES),
        sender_localpart=f"_chattor_{secrets.token_hex(SENDER_BYTES)}",
        domain=domain,
        bot_localpart=bot_localpart,
    )


def write(registration: Registration, file: Path, *, replace: bool = False) -> None:
    """Write the file, readable by its owner only, and let it be on disk.

    Raises: ConfigError when there is a file already and ``replace`` is false (new tokens would cut a working bridge
    off), or when it cannot be written.
    """
    text = StringIO()
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.indent(mapping=2, sequence=4, offset=2)
    yaml.dump(registration.as_document(), text)
    if file.exists() and not replace:
        raise ConfigError("appservice.registration_file", f"{file} exists already; nothing was changed")
    new = file.with_name(f".{file.name}.new")
    try:
        new.unlink(missing_ok=True)  # of an attempt cut short: there are secrets in it
        with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, _FILE_MODE), "w", encoding="utf-8") as stream:
            stream.write(_HEADER + text.getvalue())
            stream.flush()
            os.fsync(stream.fileno())
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise ConfigError("appservice.registration_file", f"cannot write {file}: {error.strerror}") from error


def load(file: Path, domain: str, bot_localpart: str) -> Registration:
    """Read a registration and check that it fits the configuration: the same domain and bot, and the settings without
    which messages would silently be missing.

    Raises: ConfigError, naming the setting in the registration file.
    """
    document = _read(file)
    registration = Registration(
        id=_text(document, "id"),
        url=_text(document, "url"),
        as_token=_token(document, "as_token"),
        hs_token=_token(document, "hs_token"),
        sender_localpart=_text(document, "sender_localpart"),
        domain=domain,
        bot_localpart=bot_localpart,
    )
    if registration.as_token == registration.hs_token:
        raise _wrong("hs_token", "must differ from as_token")
    if registration.sender_localpart == bot_localpart:
        raise _wrong("sender_localpart", "must not be the bot: the homeserver cannot sync that user")
    for name, wanted in (("receive_ephemeral", True), ("io.element.msc4190", True), ("rate_limited", False)):
        if document.get(name) is not wanted:
            raise _wrong(name, f"must be {str(wanted).lower()}")
    _check_namespaces(document, registration)
    return registration


def _read(file: Path) -> Mapping[str, object]:
    try:
        with file.open("rb") as stream:
            text = stream.read(MAXIMUM_FILE_SIZE + 1)
    except FileNotFoundError:
        raise ConfigError(
            "appservice.registration_file", f"{file} does not exist; make it with `chattor-bridge registration`"
        ) from None
    except OSError as error:
        raise ConfigError("appservice.registration_file", f"cannot read {file}: {error.strerror}") from error
    if len(text) > MAXIMUM_FILE_SIZE:
        raise ConfigError("appservice.registration_file", f"{file} is no registration: it is far too long")
    try:
        document: object = YAML(typ="safe", pure=True).load(text.decode())
    except (YAMLError, UnicodeDecodeError, ValueError, RecursionError):
        # the parser's own message quotes the file, and with it tokens
        raise ConfigError("appservice.registration_file", f"{file} is not YAML") from None
    if not isinstance(document, Mapping):
        raise ConfigError("appservice.registration_file", f"{file} is not a registration")
    return document


def _wrong(name: str, message: str) -> ConfigError:
    return ConfigError(f"registration.{name}", f"{message}; make a new file with `chattor-bridge registration`")


def _text(document: Mapping[str, object], name: str) -> str:
    value = document.get(name)
    if not isinstance(value, str) or not value:
        raise _wrong(name, "is missing or is not text")
    return value


def _token(document: Mapping[str, object], name: str) -> str:
    token = _text(document, name)
    if len(token) < MINIMUM_TOKEN_LENGTH or not re.fullmatch(r"[!-~]+", token):
        raise _wrong(name, f"must be at least {MINIMUM_TOKEN_LENGTH} ASCII characters without spaces")
    return token


def _check_namespaces(document: Mapping[str, object], registration: Registration) -> None:
    namespaces = document.get("namespaces")
    users = namespaces.get("users") if isinstance(namespaces, Mapping) else None
    exclusive = {
        entry.get("regex")
        for entry in (users if isinstance(users, list) else ())
        if isinstance(entry, Mapping) and entry.get("exclusive") is True
    }
    for pattern in registration.user_patterns:
        if pattern not in exclusive:
            raise _wrong("namespaces.users", f"lacks the exclusive pattern {pattern}")
