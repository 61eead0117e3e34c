"""Findings as they are shown, and the exit codes."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator

import pytest

from chattor_bridge.ops.doctor.finding import Finding, fine, problem, warning
from chattor_bridge.ops.doctor.report import FOUND, SOUND, report


async def each(*findings: Finding) -> AsyncIterator[Finding]:
    for finding in findings:
        yield finding


async def test_warnings_are_no_problem(capsys: pytest.CaptureFixture[str]) -> None:
    assert await report(each(fine("a", "well"), warning("b", "soon", "do it")), as_json=False) == SOUND
    assert capsys.readouterr().out.endswith("\nno problems, 1 warning.\n")


async def test_a_problem_is_shown_with_its_mend(capsys: pytest.CaptureFixture[str]) -> None:
    assert await report(each(problem("a", "broken", "mend it")), as_json=False) == FOUND
    assert "FAIL  a              broken\n" in (said := capsys.readouterr().out)
    assert "-> mend it\n" in said


async def test_nothing_a_terminal_obeys_gets_through(capsys: pytest.CaptureFixture[str]) -> None:
    strange = fine("a", "calls itself \x1b[2Jexample\u202e.org\nok")
    assert await report(each(strange), as_json=False) == SOUND
    assert "calls itself \ufffd[2Jexample\ufffd.org\ufffdok\n" in capsys.readouterr().out
    assert await report(each(strange), as_json=True) == SOUND
    line = capsys.readouterr().out
    assert line.isascii()
    assert line.count("\n") == 1
    assert json.loads(line)["what"] == strange.what
