"""Findings as they are shown: lines for a person, or one JSON object a line for a script."""

from __future__ import annotations

import asyncio
import json
import logging
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict

from chattor_bridge.logs import PACKAGE
from chattor_bridge.ops.doctor.finding import Finding, Verdict

SOUND = 0
"""The exit code when nothing is wrong; warnings are not."""

FOUND = 1
"""The exit code when there is a problem."""

_SIGNS = {Verdict.FINE: "ok  ", Verdict.WARNING: "warn", Verdict.PROBLEM: "FAIL"}


async def report(findings: AsyncIterator[Finding], *, as_json: bool) -> int:
    """Show each finding as soon as there is one. The exit code: `FOUND` if one is a problem, else `SOUND`.

    SIGTERM cancels it, as Ctrl-C does, so that a tor of its own and what that keeps do not stay behind.
    """
    task = asyncio.current_task()
    assert task is not None
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, task.cancel)
    # what is tried here logs as if it ran; Python would write that between the findings, which say it better
    logging.getLogger(PACKAGE).addHandler(logging.NullHandler())
    counts = dict.fromkeys(Verdict, 0)
    async for finding in findings:
        counts[finding.verdict] += 1
        sys.stdout.write(json.dumps(asdict(finding)) + "\n" if as_json else _lines(finding))
        sys.stdout.flush()
    if not as_json:
        problems, warnings = counts[Verdict.PROBLEM], counts[Verdict.WARNING]
        sys.stdout.write(f"\n{_number(problems, 'problem')}, {_number(warnings, 'warning')}.\n")
    return FOUND if counts[Verdict.PROBLEM] else SOUND


def _lines(finding: Finding) -> str:
    """Without what a terminal would obey: some words are the homeserver's or tor's."""
    what = "".join(character if character.isprintable() else "\ufffd" for character in finding.what)
    head = f"{_SIGNS[finding.verdict]}  {finding.check:<14} {what}\n"
    return head + (f"{'':<21}-> {finding.mend}\n" if finding.mend else "")


def _number(count: int, noun: str) -> str:
    return f"{count or 'no'} {noun}{'' if count == 1 else 's'}"
