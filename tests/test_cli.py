"""`chattor-bridge`: what init and registration write, what they refuse, and the exit codes."""

from __future__ import annotations

import io
import stat
import sys
from pathlib import Path

import pytest

from chattor_bridge import registration
from chattor_bridge.cli import Exit, main
from chattor_bridge.config import Permission, load_config
from chattor_bridge.ids import MatrixUserId

FLAGS = ("--homeserver", "http://localhost:8008", "--domain", "example.org")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "bridge" / "config.yaml"


def init(file: Path, *more: str) -> int:
    return main(["init", "--config", str(file), *FLAGS, *more])


def test_init_writes_three_private_files_that_fit_together(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = ("--port", "4000", "--bot", "friendlybot", "--admin", "@alice:example.org", "--listen", "0.0.0.0")
    assert init(file, *more) == Exit.DONE
    config = load_config(file, {})
    assert (config.homeserver.address, config.homeserver.domain) == ("http://localhost:8008", "example.org")
    assert (config.appservice.listen_host, config.appservice.listen_port) == ("0.0.0.0", 4000)
    assert config.appservice.url == "http://127.0.0.1:4000"
    assert config.permissions.of(MatrixUserId("@alice:example.org")) is Permission.ADMIN
    assert config.permissions.of(MatrixUserId("@bob:example.org")) is Permission.USER
    made = registration.load(config.appservice.registration_file, "example.org", "friendlybot")
    assert made.url == config.appservice.url
    written = {path.name for path in file.parent.iterdir()}
    assert written == {"config.yaml", "registration.yaml", "store.key"}
    for path in file.parent.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    said = capsys.readouterr().out
    assert f'app_service_config_files: ["{config.appservice.registration_file}"]' in said
    assert f"chgrp matrix-synapse {config.appservice.registration_file} && chmod 640" in said
    assert "@friendlybot:example.org" in said
    assert f"chattor-bridge run --config {file}" in said
    assert made.as_token not in said


def test_init_takes_another_way_to_the_bridge(file: Path) -> None:
    assert init(file, "--url", "http://bridge:29390") == Exit.DONE
    config = load_config(file, {})
    assert config.appservice.url == "http://bridge:29390"
    assert (
        registration.load(config.appservice.registration_file, "example.org", "chattorbot").url == "http://bridge:29390"
    )


def test_init_keeps_the_comments_of_the_template(file: Path) -> None:
    assert init(file) == Exit.DONE
    template = (Path(__file__).parents[1] / "config" / "example-config.yaml").read_text(encoding="utf-8")
    comments = [line for line in template.splitlines() if line.lstrip().startswith("#")]
    assert [line for line in file.read_text(encoding="utf-8").splitlines() if line.lstrip().startswith("#")] == comments


def test_init_overwrites_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(file) == Exit.DONE
    before = {path: path.read_bytes() for path in file.parent.iterdir()}
    assert init(file) == Exit.REFUSED
    assert "exists already" in capsys.readouterr().err
    assert {path: path.read_bytes() for path in file.parent.iterdir()} == before
    file.unlink()
    assert init(file) == Exit.REFUSED
    assert "registration.yaml exists already" in capsys.readouterr().err
    assert not file.exists()


@pytest.mark.parametrize("words", [("init", *FLAGS), ("registration", "--new-tokens")])
def test_of_two_that_write_at_once_one_does_and_the_other_says_so(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...]
) -> None:
    """The other would take the drafts of the first for leftovers."""
    if words[0] == "registration":
        assert init(file) == Exit.DONE
    write, ended = registration.write, []

    def interrupted(made: registration.Registration, registration_file: Path) -> None:
        monkeypatch.undo()
        ended.append(main([*words, "--config", str(file)]))
        write(made, registration_file)

    monkeypatch.setattr(registration, "write", interrupted)
    assert main([*words, "--config", str(file)]) == Exit.DONE
    assert ended == [Exit.REFUSED]
    assert f"is at work in {file.parent}; nothing was changed" in capsys.readouterr().err
    config = load_config(file, {})
    registration.load(config.appservice.registration_file, "example.org", "chattorbot")
    left = {path.name for path in file.parent.iterdir()} - {"registration.yaml.old"}
    assert left == {"config.yaml", "registration.yaml", "store.key"}


def test_init_keeps_a_store_key_that_is_there(file: Path) -> None:
    assert init(file) == Exit.DONE
    key = (file.parent / "store.key").read_bytes()
    file.unlink()
    (file.parent / "registration.yaml").unlink()
    assert init(file) == Exit.DONE
    assert (file.parent / "store.key").read_bytes() == key


@pytest.mark.parametrize(
    ("flags", "path"),
    [
        (("--homeserver", "localhost"), "homeserver.address"),
        (("--domain", "@a:b"), "homeserver.domain"),
        (("--port", "70000"), "appservice.listen_port"),
        (("--bot", "Bot!"), "appservice.bot_localpart"),
        (("--admin", "@alice"), "permissions.@alice"),
        (("--admin", "alice"), "permissions.alice"),
    ],
)
def test_init_with_a_wrong_answer_writes_nothing(
    file: Path, capsys: pytest.CaptureFixture[str], flags: tuple[str, str], path: str
) -> None:
    assert init(file, *flags) == Exit.CANNOT_START
    complaint = capsys.readouterr().err
    assert complaint.startswith(f"chattor-bridge: {path}: ")
    assert complaint.count("\n") == 1
    assert list(file.parent.iterdir()) == []


def test_init_asks_nobody_when_there_is_nobody(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    assert main(["init", "--config", str(file)]) == Exit.REFUSED
    assert "--homeserver is missing" in capsys.readouterr().err
    assert not file.exists()


def test_init_asks_nobody_for_what_would_be_refused(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert init(file) == Exit.DONE
    capsys.readouterr()
    assert main(["init", "--config", str(file)]) == Exit.REFUSED
    assert "exists already" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["help"], Exit.DONE, "first steps:"),
        (["help", "init"], Exit.DONE, "usage: chattor-bridge init"),
        ([], Exit.USAGE, "say what to do: chattor-bridge help lists the commands\n"),
    ],
)
def test_help_is_found(words: list[str], code: Exit, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(words)
    assert caught.value.code == code
    shown = capsys.readouterr()
    assert said in (shown.err if code else shown.out)


def test_init_asks_at_a_terminal(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal("\n\nexample.org\n"))
    assert main(["--config", str(file), "init"]) == Exit.DONE
    config = load_config(file, {})
    assert config.homeserver.address == "http://localhost:8008"
    assert config.homeserver.domain == "example.org"
    assert capsys.readouterr().out.count("Server name") == 2  # it asked again after nothing was said


def test_registration_leaves_a_file_that_fits(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    init(file)
    made = file.parent / "registration.yaml"
    before = made.read_bytes()
    assert main(["registration", "--config", str(file)]) == Exit.DONE
    assert made.read_bytes() == before
    said = capsys.readouterr().out
    assert "Nothing to change" in said
    assert f'app_service_config_files: ["{made}"]' in said


def test_registration_follows_the_url_and_keeps_the_tokens(
    file: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    init(file)
    made = file.parent / "registration.yaml"
    before = registration.load(made, "example.org", "chattorbot")
    monkeypatch.setenv("CHATTOR_APPSERVICE_URL", "http://bridge:29390")
    assert main(["registration", "--config", str(file)]) == Exit.DONE
    after = registration.load(made, "example.org", "chattorbot")
    assert after.url == "http://bridge:29390"
    assert (after.as_token, after.hs_token) == (before.as_token, before.hs_token)
    assert "Restart the homeserver" in capsys.readouterr().out


@pytest.mark.parametrize("way", ["another bot", "asked for"])
def test_registration_keeps_the_old_file_when_it_makes_new_tokens(
    file: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    init(file)
    made = file.parent / "registration.yaml"
    before = made.read_bytes()
    bot = "chattorbot"
    flags = []
    if way == "another bot":
        bot = "otherbot"
        monkeypatch.setenv("CHATTOR_APPSERVICE_BOT_LOCALPART", bot)
    else:
        flags = ["--new-tokens"]
    assert main(["registration", "--config", str(file), *flags]) == Exit.DONE
    assert (file.parent / "registration.yaml.old").read_bytes() == before
    assert registration.load(made, "example.org", bot).as_token.encode() not in before


def test_registration_makes_a_missing_file_and_leaves_a_strangers_one(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    init(file)
    made = file.parent / "registration.yaml"
    made.unlink()
    assert main(["registration", "--config", str(file)]) == Exit.DONE
    registration.load(made, "example.org", "chattorbot")
    made.write_text("- somebody's shopping list\n", encoding="utf-8")
    assert main(["registration", "--config", str(file)]) == Exit.CANNOT_START
    assert made.read_text(encoding="utf-8") == "- somebody's shopping list\n"


@pytest.mark.parametrize("command", ["run", "registration"])
def test_a_missing_configuration_is_named(file: Path, capsys: pytest.CaptureFixture[str], command: str) -> None:
    assert main([command, "--config", str(file)]) == Exit.CANNOT_START
    assert capsys.readouterr().err == (
        f"chattor-bridge: {file}: is not there; make it with `chattor-bridge init`, or name another with --config\n"
    )


def test_version_names_what_is_at_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["version"]) == Exit.DONE
    said = capsys.readouterr().out
    assert said.startswith("chattor-bridge 0.")
    assert "mautrix 0.21" in said


@pytest.mark.parametrize("command", ["init", "registration", "run", "demo", "version"])
def test_every_command_has_a_manual(capsys: pytest.CaptureFixture[str], command: str) -> None:
    with pytest.raises(SystemExit) as caught:
        main([command, "--help"])
    assert caught.value.code == Exit.DONE
    assert "--config" in capsys.readouterr().out


def test_a_wrong_command_line_is_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(["fly"])
    assert caught.value.code == Exit.USAGE
    assert "invalid choice" in capsys.readouterr().err
