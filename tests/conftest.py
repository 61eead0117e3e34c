"""The servers of a test run, one of each for all tests of a process: started when first asked for, ended with it."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.kill.stage")  # it asserts, and is to say what it found

pytest_plugins = ("tests.disk", "tests.postgres", "tests.synapse", "tests.tornet")

RERUNS = 2
"""How often a test that failed is tried again: most of them run other programs, and machines stall."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Those that were tried again are listed at the end, with what failed, and want mending."""
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=RERUNS))
