"""The bridge's configuration: what is accepted, and how every mistake is named."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from chattor_bridge import config
from chattor_bridge.config import CarryingOptions, ExternalTorOptions, FileOptions, Permission, load_config
from chattor_bridge.errors import ConfigError
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.options import MAX_FILE_BYTES
from chattor_bridge.protocol import limits

ROOT = Path(__file__).parents[1]

MINIMAL = """\
homeserver:
  address: http://localhost:8008
  domain: example.org
"""


def write(directory: Path, text: str) -> Path:
    file = directory / "config.yaml"
    file.write_text(text, encoding="utf-8")
    return file


def complaint(directory: Path, text: str, environment: dict[str, str] | None = None) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        load_config(write(directory, text), environment or {})
    return caught.value


def test_little_is_required_and_the_rest_has_defaults(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL), {})
    assert config.homeserver.address == "http://localhost:8008"
    assert config.homeserver.proxy is None
    assert config.appservice.listen_host == "127.0.0.1"
    assert config.appservice.url == f"http://127.0.0.1:{config.appservice.listen_port}"
    assert config.appservice.bot_localpart == "chattorbot"
    assert config.appservice.registration_file == tmp_path / "registration.yaml"
    assert config.database.url == f"sqlite:{tmp_path / 'chattor-bridge.db'}"
    assert config.store_key_file == tmp_path / "store.key"
    assert config.tor.executable == "tor"
    assert config.tor.data_directory == tmp_path / "tor"
    assert config.tor.torrc_lines == ()
    assert not config.tor.allow_old
    assert config.carrying == CarryingOptions(unasked=True, shelves=16, blocks=128, in_all=201_000_000)
    assert config.logging.level == "INFO"
    assert config.files == FileOptions(tmp_path / "files", 100_000_000, 5_000_000_000, 20_000_000_000)


def test_the_commented_template_is_valid_and_names_every_default(tmp_path: Path) -> None:
    template = (ROOT / "config" / "example-config.yaml").read_text(encoding="utf-8")
    assert load_config(write(tmp_path, template), {}) == load_config(write(tmp_path, MINIMAL), {})


def test_a_read_only_file_is_read_and_left_alone(tmp_path: Path) -> None:
    file = write(tmp_path, MINIMAL)
    file.chmod(0o400)
    load_config(file, {})
    assert file.read_text(encoding="utf-8") == MINIMAL
    assert stat.S_IMODE(file.stat().st_mode) == 0o400


def test_relative_paths_start_at_the_file_and_absolute_ones_stay(tmp_path: Path) -> None:
    text = MINIMAL + "store_key: {file: keys/store.key}\ntor: {data_directory: /var/lib/somewhere}\n"
    config = load_config(write(tmp_path, text), {})
    assert config.store_key_file == tmp_path / "keys" / "store.key"
    assert config.tor.data_directory == Path("/var/lib/somewhere")


@pytest.mark.parametrize(
    ("text", "path", "line"),
    [
        ("homeservr: {}\n", "homeservr", 4),
        ("appservice:\n  listen_prt: 1\n", "appservice.listen_prt", 5),
        ("appservice:\n  listen_port: many\n", "appservice.listen_port", 5),
        ("appservice:\n  listen_port: true\n", "appservice.listen_port", 5),
        ("appservice:\n  listen_port: 0\n", "appservice.listen_port", 5),
        ("appservice:\n  listen_port: 65536\n", "appservice.listen_port", 5),
        ("appservice:\n  listen_host: 'a b'\n", "appservice.listen_host", 5),
        ("appservice:\n  url: localhost:29390\n", "appservice.url", 5),
        ("appservice:\n  bot_localpart: Chattor Bot\n", "appservice.bot_localpart", 5),
        ("appservice:\n  bot_localpart: chattor_bot\n", "appservice.bot_localpart", 5),
        ("appservice: 7\n", "appservice", 4),
        ("database:\n  url: mysql://localhost/x\n", "database.url", 5),
        ("database:\n  url: sqlite://x.db\n", "database.url", 5),
        ("database:\n  url: postgres://me:secret@localhost/x\n", "database.url", 5),
        ("database:\n  url: sqlite:x.db\n  password_file: x\n", "database.password_file", 6),
        ("database:\n  url: postgres://me@localhost/x\n  password_file: missing\n", "database.password_file", 6),
        ("database:\n  password_file: p\n  url: postgres://localhost/x\n", "database.url", 6),
        ("database:\n  url: sqlite:~nobody-here/x.db\n", "database.url", 5),
        ("store_key:\n  file: [1]\n", "store_key.file", 5),
        ("store_key:\n  file: ~nobody-here/store.key\n", "store_key.file", 5),
        ("tor:\n  allow_old: 'yes'\n", "tor.allow_old", 5),
        ("tor:\n  torrc_lines: UseBridges 1\n", "tor.torrc_lines", 5),
        ("tor:\n  torrc_lines:\n    - 7\n", "tor.torrc_lines[0]", 5),
        ('tor:\n  torrc_lines: ["A 1", "B\\nC"]\n', "tor.torrc_lines[1]", 5),
        ("tor:\n  mode: theirs\n", "tor.mode", 5),
        ("tor:\n  mode: external\n  control: 9051\n", "tor.control", 6),
        ("tor:\n  mode: external\n  control: unix:relative\n", "tor.control", 6),
        ("tor:\n  control: unix:/run/tor/control\n", "tor.control", 5),
        ("tor:\n  control_password_file: x\n", "tor.control_password_file", 5),
        ("tor:\n  mode: external\n  control: tor:9051\n  torrc_lines: [A 1]\n", "tor.torrc_lines", 7),
        ("permissions:\n  example.org: owner\n", "permissions.example.org", 5),
        ("permissions:\n  alice@example.org: user\n", "permissions.alice@example.org", 5),
        ("permissions:\n  '@alice': user\n", "permissions.@alice", 5),
        ("permissions: all\n", "permissions", 4),
        ("logging:\n  level: LOUD\n", "logging.level", 5),
        ("logging:\n  level: 10\n", "logging.level", 5),
    ],
)
def test_every_mistake_names_its_path_and_line(tmp_path: Path, text: str, path: str, line: int) -> None:
    error = complaint(tmp_path, MINIMAL + text)
    assert error.path == path
    assert str(error).startswith(f"{path}: ")
    assert f"(line {line} of {tmp_path / 'config.yaml'})" in str(error)
    assert "\n" not in str(error)
    assert "secret" not in str(error)


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("homeserver:\n  domain: example.org\n", "homeserver.address"),
        ("homeserver:\n  address: http://localhost\n", "homeserver.domain"),
        ("homeserver:\n  address: http://localhost/path\n  domain: example.org\n", "homeserver.address"),
        ("homeserver:\n  address: http://u:p@localhost\n  domain: example.org\n", "homeserver.address"),
        ("homeserver:\n  address: http://localhost\n  domain: '@a:b'\n", "homeserver.domain"),
        (MINIMAL + "  proxy: 127.0.0.1:9050\n", "homeserver.proxy"),
        ("homeserver:\n  address: http://Abc.Onion:8008\n  domain: example.org\n", "homeserver.proxy"),
        ("homeserver:\n  address: http://abc.onion.\n  domain: example.org\n", "homeserver.proxy"),
        ("", "homeserver.address"),
    ],
)
def test_the_homeserver_must_be_named(tmp_path: Path, text: str, path: str) -> None:
    assert complaint(tmp_path, text).path == path


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"homeserver: [", "not valid YAML"),
        (b"a: 1\na: 2\n", "not valid YAML"),
        (b"a: \x00\n", "not valid YAML"),
        (b"- a\n", "must hold sections"),
        (b"\xff\xfe", "not UTF-8"),
        (b"#" * (MAX_FILE_BYTES + 1), "larger than"),
    ],
)
def test_what_is_no_configuration_file_is_refused_in_one_line(tmp_path: Path, content: bytes, words: str) -> None:
    file = tmp_path / "config.yaml"
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=words) as caught:
        load_config(file, {})
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.yaml: is not there; make it with"):
        load_config(tmp_path / "config.yaml", {})


def test_a_tor_that_runs_already(tmp_path: Path) -> None:
    assert load_config(write(tmp_path, MINIMAL), {}).tor.external is None
    environment = {"CHATTOR_TOR_MODE": "external", "CHATTOR_TOR_CONTROL": "unix:/run/tor/control"}
    external = load_config(write(tmp_path, MINIMAL), environment).tor.external
    assert external == ExternalTorOptions("unix:/run/tor/control", None, tmp_path / "onions")
    file = write(tmp_path, MINIMAL + "tor: {mode: external, control: 'tor:9051', control_password_file: p}\n")
    external = load_config(file, {}).tor.external
    assert external == ExternalTorOptions("tor:9051", tmp_path / "p", tmp_path / "onions")
    with pytest.raises(ConfigError, match=r"tor\.control: is missing"):
        load_config(write(tmp_path, MINIMAL + "tor: {mode: external}\n"), {})


def test_the_environment_overrides_the_file(tmp_path: Path) -> None:
    environment = {
        "CHATTOR_HOMESERVER_ADDRESS": "https://matrix.example.org/",
        "CHATTOR_APPSERVICE_LISTEN_PORT": "4000",
        "CHATTOR_TOR_ALLOW_OLD": "true",
        "CHATTOR_TOR_TORRC_LINES": '["UseBridges 1"]',
        "CHATTOR_DATABASE_URL": "postgres://me:secret@localhost/x",
        "CHATTOR_PERMISSIONS": '{"@alice:example.org": admin}',
        "CHATTOR_HOME": "belongs to the terminal program",
        "PATH": "/usr/bin",
    }
    config = load_config(write(tmp_path, MINIMAL + "permissions: {friends.example: user}\n"), environment)
    assert config.homeserver.address == "https://matrix.example.org"
    assert config.appservice.url == "http://127.0.0.1:4000"
    assert config.tor.allow_old
    assert config.tor.torrc_lines == ("UseBridges 1",)
    assert config.database.url == "postgres://me:secret@localhost/x"
    assert config.permissions.of(MatrixUserId("@alice:example.org")) is Permission.ADMIN
    assert config.permissions.of(MatrixUserId("@bob:friends.example")) is Permission.NONE
    assert "secret" not in repr(config)


@pytest.mark.parametrize(
    ("variable", "value", "path"),
    [
        ("CHATTOR_APPSERVICE_LISTEN_PORT", "many", "appservice.listen_port"),
        ("CHATTOR_APPSERVICE_LISTEN_PORT", "[", "appservice.listen_port"),
        ("CHATTOR_LOGGING_COLOUR", "true", "logging.colour"),
        ("CHATTOR_PERMISSIONS", "all", "permissions"),
        ("CHATTOR_PERMISSIONS", "{example.org: owner}", "permissions.example.org"),
    ],
)
def test_a_wrong_variable_is_named(tmp_path: Path, variable: str, value: str, path: str) -> None:
    error = complaint(tmp_path, MINIMAL, {variable: value})
    assert error.path == path
    assert f"(from {variable})" in str(error)


@pytest.mark.parametrize("url", ["sqlite:/var/lib/x.db", "sqlite:///var/lib/x.db"])
def test_both_ways_to_write_an_absolute_path_mean_the_same(tmp_path: Path, url: str) -> None:
    text = MINIMAL + f"database: {{url: '{url}'}}\n"
    assert load_config(write(tmp_path, text), {}).database.url == "sqlite:/var/lib/x.db"


def test_the_database_password_comes_from_its_file(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("a/b c\n", encoding="utf-8")
    text = MINIMAL + "database:\n  url: postgres://me@localhost:5433/x\n  password_file: password\n"
    config = load_config(write(tmp_path, text), {})
    assert config.database.url == "postgres://me:a%2Fb%20c@localhost:5433/x"
    assert "a%2Fb" not in repr(config)


@pytest.mark.parametrize(
    ("user", "expected"),
    [
        ("@anybody:example.org", Permission.USER),
        ("@alice:example.org", Permission.ADMIN),
        ("@mallory:example.org", Permission.NONE),
        ("@anybody:friends.example:8448", Permission.USER),
        ("@anybody:friends.example", Permission.NONE),
        ("@carol:elsewhere.example", Permission.USER),
        ("@anybody:elsewhere.example", Permission.NONE),
        ("not a user", Permission.NONE),
    ],
)
def test_permissions_go_by_user_then_by_domain(tmp_path: Path, user: str, expected: Permission) -> None:
    text = (
        MINIMAL
        + """\
permissions:
  "@alice:example.org": admin
  "@mallory:example.org": none
  "friends.example:8448": user
  "@carol:elsewhere.example": user
"""
    )
    assert load_config(write(tmp_path, text), {}).permissions.of(MatrixUserId(user)) is expected


def test_the_local_domain_can_be_shut_out(tmp_path: Path) -> None:
    config = load_config(write(tmp_path, MINIMAL + "permissions: {example.org: none}\n"), {})
    assert config.permissions.of(MatrixUserId("@anybody:example.org")) is Permission.NONE


def test_what_may_be_held_is_what_the_protocol_allows() -> None:
    assert (config.MAX_SHELVES, config.MAX_SHELF_BLOCKS) == (limits.MAX_SHELVES, limits.MAX_SHELF_BLOCKS)
    in_all = limits.MAX_HELD_SHELVES * limits.MAX_SHELF_BLOCKS * limits.BLOCK_SIZE
    assert in_all // config.MEGABYTE == config.MAX_HELD_MEGABYTES
