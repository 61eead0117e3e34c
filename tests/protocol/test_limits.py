"""docs/protocol/limits.md is protocol/limits.py, in words."""

from __future__ import annotations

import re
from pathlib import Path

from chattor_bridge import errors
from chattor_bridge.protocol import limits

_ROWS = re.findall(
    r"^\| `([A-Z_]+)` \| ([^|]+) \| ([^|]+) \|[^|]*\| ([^|]+) \|$",
    (Path(__file__).parents[2] / "docs/protocol/limits.md").read_text(encoding="utf-8"),
    re.MULTILINE,
)


def _number(text: str) -> int:
    power = re.fullmatch(r"2\^(\d+)-1", text)
    return 2 ** int(power[1]) - 1 if power else int(text.replace(",", ""))


def _value(text: str) -> int | tuple[int, ...]:
    numbers = tuple(_number(part) for part in text.split(" / "))
    return numbers if len(numbers) > 1 else numbers[0]


def test_the_table_has_every_limit_with_its_value() -> None:
    table = {name: _value(value) for name, value, _, _ in _ROWS}
    assert len(table) == len(_ROWS)
    assert table == {name: value for name, value in vars(limits).items() if name.isupper()}


def test_every_limit_says_its_unit_and_what_happens_beyond_it() -> None:
    for name, _, unit, beyond in _ROWS:
        assert unit.strip(), name
        assert beyond in {"-", "not acknowledged"} or issubclass(getattr(errors, beyond), errors.ChattorError), name
