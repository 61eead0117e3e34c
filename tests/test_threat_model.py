"""docs/threat-model.md claims nothing that no test tries."""

from __future__ import annotations

import ast
import re
from itertools import takewhile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs/threat-model.md").read_text(encoding="utf-8")

_LINK = re.compile(r"`(tests/[\w/]+\.py)::(test_\w+)`")

ADVERSARIES = {
    "provider",
    "HSDir",
    "stranger",
    "malicious friend",
    "colluding",
    "carrier",
    "admin",
    "same bridge",
    "with the database",
    "key file",
    "while it runs",
    "same machine",
    "quantum",
    "global observer",
}
"""Words of the headings, one adversary each."""


def test_every_test_it_names_exists() -> None:
    links = _LINK.findall(TEXT)
    assert len(links) == TEXT.count("::test_") > 50
    known: dict[str, set[str]] = {}
    for path, name in links:
        if path not in known:
            tree = ast.parse((ROOT / path).read_text(encoding="utf-8"))
            known[path] = {
                node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
            }
        assert name in known[path], f"{path} has no {name}"


@pytest.mark.parametrize("adversary", sorted(ADVERSARIES))
def test_every_adversary_has_its_page(adversary: str) -> None:
    (section,) = [part for part in TEXT.split("\n## ")[1:] if adversary in part.splitlines()[0]]
    assert "Can: " in section or "Not built" in section


def test_every_cannot_is_tried() -> None:
    claims, bullets = [], 0
    for section in TEXT.split("\n## ")[1:]:
        _, cannot, lists = section.partition("\nCannot:\n\n")
        for paragraph in takewhile(lambda one: one.startswith("- "), lists.split("\n\n")):
            claims += paragraph.removeprefix("- ").split("\n- ")
        bullets += section.count("\n- ") if cannot else 0
    assert len(claims) == bullets > 70  # none is passed over, whatever stands between them
    for claim in claims:
        assert _LINK.search(claim), claim


def test_it_says_loudly_who_reads_along() -> None:
    loud = " ".join(re.findall(r"\*\*(.+?)\*\*", TEXT, re.DOTALL))
    assert "The operator of a bridge can read everything it bridges." in loud
    assert "unencrypted Matrix room the homeserver reads along" in loud
