"""Findings as they are shown, and the exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import AsyncIterator

import pytest

from chattor_bridge.errors import ConfigError
from chattor_bridge.ops.doctor.finding import Finding, fine, from_error, problem, warning
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


def test_what_is_tried_does_not_log_between_the_findings() -> None:
    """In a process of its own: here pytest listens to what is logged."""
    program = """
import asyncio, logging
from chattor_bridge.ops.doctor.finding import fine
from chattor_bridge.ops.doctor.report import report

async def findings():
    logging.getLogger("chattor_bridge.matrix.listener").warning("as if it ran")
    yield fine("a", "well")

asyncio.run(report(findings(), as_json=False))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "well" in done.stdout


def test_a_wrong_option_is_mended_as_its_error_says() -> None:
    assert from_error("a", ConfigError("tor.mode", "must be one of two")).mend == "correct that option"
    found = from_error("a", ConfigError("x.yaml", "is not there; make it with `chattor-bridge init`"))
    assert (found.what, found.mend) == ("x.yaml: is not there", "make it with `chattor-bridge init`")
