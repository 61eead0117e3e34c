"""The map of docs/architecture.md shows what is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.mark.parametrize("layer", ["node", "bridge"])
def test_every_module_has_its_place_on_the_map(layer: str) -> None:
    document = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    _, _, rest = document.partition(f"| where in `{layer}/` | what |")
    assert rest, f"no table of {layer}/"
    named = set(re.findall(r"`(\w+\.py|\w+/)`", rest.partition("\n\n")[0]))
    there = {
        f"{path.name}/" if path.is_dir() else path.name
        for path in (ROOT / "chattor_bridge" / layer).iterdir()
        if not path.name.startswith("__")
    }
    assert named == there
