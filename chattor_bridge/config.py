"""What the bridge can be told: every section as a frozen record, read strictly from ``config.yaml``.

``config/example-config.yaml`` is the same list with each option's unit and reason, for people. How a file is read,
and how the environment overrides it, is in `options`. Secrets are never options: the store key and the database
password are files, the tokens live in the registration file.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import MappingProxyType
from urllib.parse import quote, urlsplit

from chattor_bridge.errors import ConfigError
from chattor_bridge.ids import GHOST_PREFIX, MatrixUserId
from chattor_bridge.options import Options, Section

SERVER_NAME = r"(?:[A-Za-z0-9.-]{1,230}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?"
"""The grammar of a Matrix server name; 230 characters leave room for the longest localpart we make."""

LOCALPART = r"[a-z0-9._=/+-]{1,64}"
"""The grammar of a Matrix localpart; 64 characters are enough for a bot and keep the whole id below 255 bytes."""

HTTP_ADDRESS = r"https?://[^/@?#\s]+/?"
ONION = re.compile(r"\.onion\.?(?::[0-9]*)?$", re.IGNORECASE)
"""At the end of an address: a name that no name server is to be asked for."""

PROXY_ADDRESS = r"(?:socks5|socks4|http)://(?:[^/@?#\s]+@)?[^/@?#\s]+"
TORRC_LINE = r"[^\r\n]{1,1000}"
"""One line each, or a line could hide another; 1,000 characters hold the longest bridge line in use."""

CONTROL_ADDRESS = r"unix:/[^\s\"]+|(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}"
MODES = ("managed", "external")

MAX_SHELVES = 16
MAX_SHELF_BLOCKS = 128
MAX_HELD_MEGABYTES = 201
"""What the protocol allows to be offered (`chattor_bridge.protocol.limits`), which this layer does not import; a test
compares them."""


@dataclass(frozen=True, slots=True)
class HomeserverOptions:
    """Where the homeserver is. ``proxy`` is a SOCKS or HTTP proxy's address, or ``None`` to connect directly."""

    address: str
    domain: str
    proxy: str | None


@dataclass(frozen=True, slots=True)
class AppserviceOptions:
    """Where we listen, and how the homeserver reaches that (``url``)."""

    listen_host: str
    listen_port: int
    url: str
    bot_localpart: str
    registration_file: Path


@dataclass(frozen=True, slots=True)
class DatabaseOptions:
    """``url`` is ``sqlite:<absolute path>`` or ``postgres://…``, the password of ``password_file`` filled in."""

    url: str

    def __repr__(self) -> str:  # the address may hold the password, and records are easily logged
        return f"DatabaseOptions({urlsplit(self.url).scheme})"


@dataclass(frozen=True, slots=True)
class ExternalTorOptions:
    """A tor that runs already: its control port (``unix:<path>`` or ``host:port``), the file with that port's password
    if it has one, and where the sockets of our onions are."""

    control: str
    password_file: Path | None
    socket_directory: Path


@dataclass(frozen=True, slots=True)
class TorOptions:
    """The tor we start. ``torrc_lines`` are added to the configuration we write for it, one option each. With
    ``external`` none is started, and that one is used."""

    executable: str
    data_directory: Path
    torrc_lines: tuple[str, ...]
    allow_old: bool
    external: ExternalTorOptions | None = None


@dataclass(frozen=True, slots=True)
class FileOptions:
    """Files of friends, in bytes: one of ``unasked`` or less is fetched without asking; ``per_friend`` is kept of one
    friend at most until it is in Matrix, and ``in_all`` of everybody's friends, in ``directory``."""

    directory: Path
    unasked: int
    per_friend: int
    in_all: int


MEGABYTE = 1_000_000

MOST_MEGABYTES = 100_000_000
"""100 TB, which no configuration means."""


@dataclass(frozen=True, slots=True)
class CarryingOptions:
    """For whom mail is held: with ``unasked`` for every friend who asks, on so many ``shelves`` of so many
    ``blocks``; of everybody's friends together ``in_all`` bytes at most."""

    unasked: bool
    shelves: int
    blocks: int
    in_all: int


class KeySharing(StrEnum):
    """Which devices of the people in an encrypted room can read what the bridge says there."""

    ALL = "all"
    CROSS_SIGNED = "cross-signed"


@dataclass(frozen=True, slots=True)
class EncryptionOptions:
    """``rooms`` says whether rooms that the bridge opens are encrypted."""

    rooms: bool
    share_keys_with: KeySharing


class Permission(StrEnum):
    """What a Matrix user may do with this bridge."""

    NONE = "none"
    USER = "user"
    ADMIN = "admin"


@dataclass(frozen=True, slots=True)
class Permissions:
    """Who may use the bridge: the user's own entry counts, else its domain's, else nothing is allowed."""

    entries: Mapping[str, Permission]

    def of(self, user_id: MatrixUserId) -> Permission:
        """The permission of a full Matrix user id."""
        _localpart, _, domain = user_id.partition(":")
        return self.entries.get(user_id, self.entries.get(domain, Permission.NONE))


@dataclass(frozen=True, slots=True)
class LoggingOptions:
    """``level`` is one of `LEVELS`."""

    level: str


LEVELS = ("DEBUG", "INFO", "WARNING", "ERROR")


@dataclass(frozen=True, slots=True)
class BridgeConfig:
    """Everything the bridge was told."""

    homeserver: HomeserverOptions
    appservice: AppserviceOptions
    database: DatabaseOptions
    store_key_file: Path
    tor: TorOptions
    encryption: EncryptionOptions
    files: FileOptions
    carrying: CarryingOptions
    permissions: Permissions
    logging: LoggingOptions


def load_config(file: Path, environment: Mapping[str, str] = os.environ) -> BridgeConfig:
    """Read and check the bridge's configuration. Relative paths in it start from the directory of ``file``.

    Raises: ConfigError, naming the option and where it stands.
    """
    if not file.exists():
        raise ConfigError(str(file), "is not there; make it with `chattor-bridge init`, or name another with --config")
    options = Options(file, environment)
    homeserver = _homeserver(options.section("homeserver"))
    config = BridgeConfig(
        homeserver=homeserver,
        appservice=_appservice(options.section("appservice")),
        database=_database(options.section("database")),
        store_key_file=_store_key(options.section("store_key")),
        tor=read_tor(options.section("tor")),
        encryption=_encryption(options.section("encryption")),
        files=_files(options.section("files")),
        carrying=read_carrying(options.section("carrying"), unasked=True),
        permissions=_permissions(options, homeserver.domain),
        logging=_logging(options.section("logging")),
    )
    options.close()
    return config


def read_tor(section: Section) -> TorOptions:
    """The tor section, which the terminal program's file has too."""
    tor = TorOptions(
        executable=section.text("executable", "tor", wanted="the tor program: a name or a path"),
        data_directory=section.path("data_directory", "tor"),
        torrc_lines=section.texts("torrc_lines", pattern=TORRC_LINE, wanted="one line of a torrc file"),
        allow_old=section.flag("allow_old", False),
        external=_external_tor(section),
    )
    if tor.external is not None and tor.torrc_lines:
        raise section.wrong("torrc_lines", "is for a tor that is started here: put the lines into the torrc of yours")
    section.close()
    return tor


def _external_tor(section: Section) -> ExternalTorOptions | None:
    mode = section.text("mode", MODES[0], pattern="|".join(MODES), wanted=f"one of {', '.join(MODES)}")
    control = section.optional_text(
        "control", pattern=CONTROL_ADDRESS, wanted="tor's control port: unix:/run/tor/control or 127.0.0.1:9051"
    )
    password_file = section.optional_text("control_password_file", wanted="a path")
    socket_directory = section.path("socket_directory", "onions")
    if mode == MODES[0]:
        for key, value in (("control", control), ("control_password_file", password_file)):
            if value is not None:
                raise section.wrong(key, "is for a tor that runs already: set mode to external, or leave this empty")
        return None
    if control is None:
        raise section.wrong("control", "is missing: where the control port is, such as unix:/run/tor/control")
    password = None if password_file is None else section.path("control_password_file", password_file)
    return ExternalTorOptions(control, password, socket_directory)


def read_carrying(section: Section, *, unasked: bool) -> CarryingOptions:
    """The options about holding mail for friends. Raises: ConfigError."""
    carrying = CarryingOptions(
        section.flag("unasked", unasked),
        section.integer("shelves", MAX_SHELVES, low=1, high=MAX_SHELVES),
        section.integer("blocks", MAX_SHELF_BLOCKS, low=1, high=MAX_SHELF_BLOCKS),
        section.integer("in_all", MAX_HELD_MEGABYTES, low=1, high=MAX_HELD_MEGABYTES) * MEGABYTE,
    )
    section.close()
    return carrying


def _encryption(section: Section) -> EncryptionOptions:
    values = "|".join(KeySharing)
    encryption = EncryptionOptions(
        rooms=section.flag("rooms", True),
        share_keys_with=KeySharing(
            section.text("share_keys_with", KeySharing.ALL, pattern=values, wanted=f"one of {', '.join(KeySharing)}")
        ),
    )
    section.close()
    return encryption


def _files(section: Section) -> FileOptions:
    def megabytes(key: str, default: int) -> int:
        return section.integer(key, default, low=0, high=MOST_MEGABYTES) * MEGABYTE

    files = FileOptions(
        directory=section.path("directory", "files"),
        unasked=megabytes("fetch_unasked", 100),
        per_friend=megabytes("keep_per_friend", 5_000),
        in_all=megabytes("keep_in_all", 20_000),
    )
    section.close()
    return files


def _homeserver(section: Section) -> HomeserverOptions:
    homeserver = HomeserverOptions(
        address=section.text("address", pattern=HTTP_ADDRESS, wanted="an address such as http://localhost:8008").rstrip(
            "/"
        ),
        domain=section.text(
            "domain", pattern=SERVER_NAME, wanted="the server name in your users' ids, such as example.org"
        ),
        proxy=section.optional_text(
            "proxy", pattern=PROXY_ADDRESS, wanted="an address such as socks5://127.0.0.1:9050"
        ),
    )
    if homeserver.proxy is None and ONION.search(homeserver.address):
        raise section.wrong(
            "proxy",
            "must be tor's SOCKS port, such as socks5://127.0.0.1:9050, for an address that is an onion: without it "
            "whoever resolves names here would learn that",
        )
    section.close()
    return homeserver


def _appservice(section: Section) -> AppserviceOptions:
    host = section.text("listen_host", "127.0.0.1", pattern=r"[A-Za-z0-9.:_-]+", wanted="a host name or address")
    port = section.integer("listen_port", 29390, low=1, high=65535)
    appservice = AppserviceOptions(
        listen_host=host,
        listen_port=port,
        url=section.text("url", f"http://127.0.0.1:{port}", pattern=HTTP_ADDRESS, wanted="an http address").rstrip("/"),
        bot_localpart=section.text(
            "bot_localpart", "chattorbot", pattern=LOCALPART, wanted="lower-case letters, digits and ._=/+-"
        ),
        registration_file=section.path("registration_file", "registration.yaml"),
    )
    if appservice.bot_localpart.startswith(GHOST_PREFIX):
        raise section.wrong(
            "bot_localpart", f"must not begin with {GHOST_PREFIX}: that is where the friends of users live"
        )
    section.close()
    return appservice


def _database(section: Section) -> DatabaseOptions:
    url = section.text(
        "url",
        "sqlite:chattor-bridge.db",
        pattern=r"(?:sqlite:(?!//)|sqlite:///|postgres(?:ql)?://).+",
        wanted="sqlite:<path> or postgres://user@host/database",
    )
    password_file = section.optional_text("password_file", wanted="a path")
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite":
        if password_file is not None:
            raise section.wrong("password_file", "is for PostgreSQL; SQLite has no password")
        url = f"sqlite:{section.placed('url', rest.removeprefix('//'))}"
    else:
        url = _postgres(section, url, None if password_file is None else section.path("password_file", password_file))
    section.close()
    return DatabaseOptions(url)


def _postgres(section: Section, url: str, password_file: Path | None) -> str:
    try:
        parts = urlsplit(url)
        has_password = parts.password is not None
    except ValueError as error:
        raise section.wrong("url", "is not a valid address") from error
    if has_password:
        if not section.from_environment("url"):
            raise section.wrong("url", "must not hold a password: put it into a file and name that as password_file")
        if password_file is not None:
            raise section.wrong("password_file", "would replace the password in CHATTOR_DATABASE_URL: keep one of them")
    if password_file is None:
        return url
    if parts.username is None:
        raise section.wrong("url", "needs a user name when there is a password_file: postgres://user@host/database")
    try:
        password = password_file.read_text(encoding="utf-8").strip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        raise section.wrong("password_file", "cannot be read as text") from error
    host = parts.netloc.rpartition("@")[2]
    return parts._replace(netloc=f"{quote(parts.username, safe='%')}:{quote(password, safe='')}@{host}").geturl()


def _store_key(section: Section) -> Path:
    path = section.path("file", "store.key")
    section.close()
    return path


def _permissions(options: Options, domain: str) -> Permissions:
    entries = {domain: Permission.USER}
    for key, (value, where) in options.mapping("permissions").items():
        path = f"permissions.{key}"
        if value not in list(Permission):
            raise ConfigError(path, f"must be none, user or admin{where}")
        localpart, colon, server = key.partition(":") if key.startswith("@") else ("@", ":", key)
        if not colon or not localpart or not _is_server_name(server):
            raise ConfigError(path, f"must be a domain or a full user id such as @name:example.org{where}")
        entries[key] = Permission(str(value))
    return Permissions(MappingProxyType(entries))


def _is_server_name(text: str) -> bool:
    return re.fullmatch(SERVER_NAME, text) is not None


def _logging(section: Section) -> LoggingOptions:
    level = section.text("level", "INFO", pattern="|".join(LEVELS), wanted=f"one of {', '.join(LEVELS)}")
    section.close()
    return LoggingOptions(level)
