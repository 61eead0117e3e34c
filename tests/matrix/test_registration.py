"""The registration file: made, read back, and refused when something would silently be missing."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chattor_bridge.errors import ConfigError
from chattor_bridge.registration import MAXIMUM_FILE_SIZE, generate, load, write

DOMAIN = "my-host.example.org"

Change = Callable[[dict[str, Any]], object]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    file = tmp_path / "registration.yaml"
    write(generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot"), file)
    return file


def change(file: Path, how: Change) -> None:
    yaml = YAML()
    document = yaml.load(file.read_text())
    how(document)
    with file.open("w") as stream:
        yaml.dump(document, stream)


def test_written_registration_reads_back(tmp_path: Path) -> None:
    made = generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot")
    write(made, tmp_path / "r.yaml")
    assert load(tmp_path / "r.yaml", DOMAIN, "chattorbot") == made


def test_nothing_is_left_of_an_attempt_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Killed(BaseException):
        pass

    def kill(_descriptor: int) -> None:
        raise Killed

    made = generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", kill)
        with pytest.raises(Killed):
            write(made, tmp_path / "registration.yaml")
    assert len(list(tmp_path.iterdir())) == 1
    write(made, tmp_path / "registration.yaml")
    assert list(tmp_path.iterdir()) == [tmp_path / "registration.yaml"]


def test_file_is_for_its_owner_alone(file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [each.name for each in file.parent.iterdir()] == [file.name]


def test_content_is_what_the_homeserver_needs(file: Path) -> None:
    document = YAML(typ="safe").load(file.read_text())
    assert document["rate_limited"] is False
    assert document["receive_ephemeral"] is True
    assert document["io.element.msc4190"] is True
    bot, ghosts = document["namespaces"]["users"]
    assert bot["exclusive"] is ghosts["exclusive"] is True
    assert re.fullmatch(bot["regex"], f"@chattorbot:{DOMAIN}")
    assert re.fullmatch(ghosts["regex"], f"@chattor_abc234:{DOMAIN}")
    assert not re.match(ghosts["regex"], "@chattor_abc:my-hostXexample.org")
    assert not re.match(ghosts["regex"], f"@chattor_abc:{DOMAIN}.evil.org")
    assert not re.match(ghosts["regex"], f"@chattorbot:{DOMAIN}")


def test_secrets_differ_and_stay_out_of_repr() -> None:
    one, other = (generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot") for _ in range(2))
    assert len({one.as_token, one.hs_token, other.as_token, other.hs_token}) == 4
    assert one.sender_localpart != other.sender_localpart
    assert one.as_token not in repr(one)
    assert one.hs_token not in repr(one)


def test_existing_file_is_kept_unless_told(file: Path) -> None:
    before = file.read_text()
    with pytest.raises(ConfigError, match="exists already"):
        write(generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot"), file)
    assert file.read_text() == before
    write(generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot"), file, replace=True)
    assert file.read_text() != before


def test_unwritable_place_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot write"):
        write(generate(DOMAIN, "http://127.0.0.1:9998", "chattorbot"), tmp_path / "missing" / "r.yaml")


@pytest.mark.parametrize("domain", ["", "https://example.org", "exa mple.org", "example.org\n", "@bot:example.org"])
def test_domain_must_be_a_server_name(domain: str) -> None:
    with pytest.raises(ConfigError, match=r"homeserver\.domain"):
        generate(domain, "http://127.0.0.1:9998", "chattorbot")


@pytest.mark.parametrize("localpart", ["", "Bot", "chattor_bot", "a b"])
def test_bot_stays_out_of_the_namespace_of_ghosts(localpart: str) -> None:
    with pytest.raises(ConfigError, match=r"appservice\.bot_localpart"):
        generate(DOMAIN, "http://127.0.0.1:9998", localpart)


@pytest.mark.parametrize(
    ("path", "how"),
    [
        ("id", lambda document: document.pop("id")),
        ("as_token", lambda document: document.pop("as_token")),
        ("as_token", lambda document: document.update(as_token=5)),
        ("hs_token", lambda document: document.update(hs_token="short")),
        ("hs_token", lambda document: document.update(hs_token="ä" * 30)),
        ("hs_token", lambda document: document.update(hs_token=document["as_token"])),
        ("sender_localpart", lambda document: document.update(sender_localpart="chattorbot")),
        ("receive_ephemeral", lambda document: document.pop("receive_ephemeral")),
        ("io.element.msc4190", lambda document: document.update({"io.element.msc4190": "yes"})),
        ("rate_limited", lambda document: document.pop("rate_limited")),
        ("namespaces.users", lambda document: document.pop("namespaces")),
        ("namespaces.users", lambda document: document["namespaces"]["users"].pop()),
        ("namespaces.users", lambda document: document["namespaces"]["users"][0].update(exclusive=False)),
    ],
)
def test_what_would_silently_be_missing_is_refused(file: Path, path: str, how: Change) -> None:
    change(file, how)
    with pytest.raises(ConfigError) as refusal:
        load(file, DOMAIN, "chattorbot")
    assert refusal.value.path == f"registration.{path}"


def test_registration_of_another_domain_or_bot_is_refused(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"namespaces\.users"):
        load(file, "example.org", "chattorbot")
    with pytest.raises(ConfigError, match=r"namespaces\.users"):
        load(file, DOMAIN, "otherbot")


@pytest.mark.parametrize(
    "text",
    [b"", b"- a list", b"just text", b"a: [", b"\xff\xfe", b"&a [*a", b"[" * 1_500, b"x" * (MAXIMUM_FILE_SIZE + 1)],
)
def test_what_is_no_registration_is_refused_without_quoting_it(file: Path, text: bytes) -> None:
    file.write_bytes(text)
    with pytest.raises(ConfigError) as refusal:
        load(file, DOMAIN, "chattorbot")
    assert refusal.value.path == "appservice.registration_file"
    assert refusal.value.__cause__ is None


def test_missing_file_says_how_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="chattor-bridge registration"):
        load(tmp_path / "none.yaml", DOMAIN, "chattorbot")
    with pytest.raises(ConfigError, match="cannot read"):
        load(tmp_path, DOMAIN, "chattorbot")
