"""A bridge's configuration to be examined, and the examination of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from ruamel.yaml import YAML

from chattor_bridge import registration
from chattor_bridge.ops.doctor import examine_bridge
from chattor_bridge.ops.doctor.finding import Finding, Verdict
from chattor_bridge.ops.ports import free_port
from chattor_bridge.registration import Registration
from chattor_bridge.storage import StoreKey

NO_TOR = "/nowhere/tor"
"""For tests of the rest: it is looked for and not found, which takes no time."""


class Practice:
    """A directory with all that `chattor-bridge init` makes. Change ``registration`` or ``options``, then `examine`."""

    def __init__(self, directory: Path, ours: Registration, *, homeserver: str, port: int) -> None:
        self.directory = directory
        self.file = directory / "config.yaml"
        self.registration = ours
        self.database = directory / "bridge.db"
        self.key = StoreKey.create(directory / "store.key")
        self.options: dict[str, Any] = {
            "homeserver": {"address": homeserver, "domain": ours.domain},
            "appservice": {"listen_port": port, "url": f"http://127.0.0.1:{port}", "bot_localpart": ours.bot_localpart},
            "database": {"url": f"sqlite:{self.database}"},
            "tor": {"executable": NO_TOR},
        }

    @classmethod
    def alone(cls, directory: Path) -> Practice:
        """Without a homeserver."""
        port = free_port()
        ours = registration.generate("example.test", f"http://127.0.0.1:{port}", "chattorbot")
        return cls(directory, ours, homeserver=f"http://127.0.0.1:{free_port()}", port=port)

    def change(self, **parts: str) -> None:
        """Change the registration that the bridge has, and the homeserver has not."""
        self.registration = replace(self.registration, **parts)

    def write(self) -> None:
        with self.file.open("w", encoding="utf-8") as stream:
            YAML().dump(self.options, stream)
        self.file.chmod(0o600)
        (self.directory / "registration.yaml").unlink(missing_ok=True)
        registration.write(self.registration, self.directory / "registration.yaml")

    async def examine(self, *, patience: float = 60.0) -> list[Finding]:
        """Write the files and look at them."""
        self.write()
        return await self.look(patience=patience)

    async def look(self, *, patience: float = 60.0) -> list[Finding]:
        """Every finding; none may hold a secret."""
        findings = [each async for each in examine_bridge(self.file, onions=False, patience=patience)]
        said = repr(findings)
        for secret in (self.registration.as_token, self.registration.hs_token, self.key.secret.hex()):
            assert secret not in said
        for finding in findings:
            assert bool(finding.mend) == (finding.verdict is not Verdict.FINE), finding
        return findings


def of(findings: list[Finding], check: str, verdict: Verdict | None = None) -> list[str]:
    """What was said about ``check``."""
    return [each.what for each in findings if each.check == check and verdict in (None, each.verdict)]


def the_problem(findings: list[Finding], check: str) -> Finding:
    """The one problem of ``check``."""
    found = [each for each in findings if each.check == check and each.verdict is Verdict.PROBLEM]
    assert len(found) == 1, "\n".join(map(repr, findings))
    return found[0]
