"""What is shipped to run the programs unattended, systemd's units and containers: each confined to what it needs."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import tomllib
from configparser import ConfigParser
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

from chattor_bridge.terminal.parser import parse

ROOT = Path(__file__).parents[1]
UNITS = ROOT / "config" / "systemd"

EXPOSURE = {"chattor-bridge.service": 20, "chattor-mailbox.service": 15}
"""The most that `systemd-analyze security` may find of each system service, in tenths: 10 is wide open, 0 is shut."""

COMPOSE: dict[str, Any] = YAML(typ="safe").load(ROOT / "docker-compose.yml")


def unit(name: str) -> ConfigParser:
    parser = ConfigParser(strict=False, interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(UNITS / name, encoding="utf-8")
    return parser


def test_what_the_readme_has_people_type_is_taken() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    typed = [shlex.split(line, comments=True) for line in lines if line.startswith("chattor ")]
    taken = [parse(words[1:]).command for words in typed]
    assert taken.count("pair") == 2
    assert {"init", "run", "add", "send"} <= set(taken)


@pytest.mark.parametrize("name", sorted(EXPOSURE))
def test_a_system_service_is_confined(name: str) -> None:
    service = unit(name)["Service"]
    assert service["User"] == service["StateDirectory"] == name.removesuffix(".service")
    assert service["CapabilityBoundingSet"] == ""
    on = ("NoNewPrivileges", "PrivateTmp", "PrivateDevices", "ProtectHome", "RestrictNamespaces", "LockPersonality")
    assert {key: service[key] for key in on} == dict.fromkeys(on, "true")
    assert (service["ProtectSystem"], service["UMask"]) == ("strict", "0077")
    assert (service["Restart"], service["RestartPreventExitStatus"]) == ("on-failure", "2 4")


@pytest.mark.parametrize("name", ["chattor.service", "chattor-mailbox.service"])
def test_its_command_is_one_of_ours(name: str) -> None:
    words = shlex.split(unit(name)["Service"]["ExecStart"])
    arguments = parse(words[1:])
    assert arguments.command == "run"
    assert arguments.headless is (name == "chattor-mailbox.service")


@pytest.mark.parametrize("file", sorted(UNITS.glob("*.service")), ids=lambda file: file.name)
def test_systemd_takes_the_unit_and_finds_little_open(file: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd is not installed")
    program = unit(file.name)["Service"]["ExecStart"].split()[0]
    there = tmp_path / file.name
    there.write_text(file.read_text(encoding="utf-8").replace(program, "/bin/true"), encoding="utf-8")
    verified = subprocess.run(["systemd-analyze", "verify", there], capture_output=True, text=True, check=False)
    assert [line for line in verified.stderr.splitlines() if file.name in line] == []
    if (threshold := EXPOSURE.get(file.name)) is not None:
        words = ("security", "--offline=true", f"--threshold={threshold}", there)
        judged = subprocess.run(["systemd-analyze", *words], capture_output=True, text=True, check=False)
        assert judged.returncode == 0, judged.stdout.splitlines()[-1]


@pytest.mark.parametrize("name", ["bridge", "mailbox"])
def test_a_container_may_write_its_volume_and_nothing_else(name: str) -> None:
    service = COMPOSE["services"][name]
    assert service["read_only"] is True
    assert (service["cap_drop"], service["security_opt"]) == (["ALL"], ["no-new-privileges:true"])
    assert [volume.partition(":")[2] for volume in service["volumes"]] == ["/data"]
    assert "ports" not in service
    assert "privileged" not in service


def test_the_mailbox_starts_by_its_name_alone_and_is_looked_at() -> None:
    mailbox = COMPOSE["services"]["mailbox"]
    assert mailbox["profiles"] == ["mailbox"]
    assert mailbox["entrypoint"] == ["chattor"]
    assert parse(mailbox["command"]).headless
    program, *words = mailbox["healthcheck"]["test"][1:]
    assert (program, parse(words).command) == ("chattor", "status")
    assert "profiles" not in COMPOSE["services"]["bridge"]


def test_an_image_is_built_from_what_pip_needs_and_nothing_of_a_users() -> None:
    lines = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    ruled = [line for line in lines if line and not line.startswith("#")]
    assert ruled[0] == "*", "what is not named stays out, ./data and ./mailbox with their keys too"
    let_in = {line.removeprefix("!") for line in ruled if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    built_from = {*wheel["packages"], *wheel["force-include"], *project["project"]["license-files"]}
    assert let_in == {"pyproject.toml", project["project"]["readme"], *built_from}
