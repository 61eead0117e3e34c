"""The servers of a test run, one of each for all tests of a process: started when first asked for, ended with it."""

from __future__ import annotations

import pytest

pytest.register_assert_rewrite("tests.kill.stage")  # it asserts, and is to say what it found

pytest_plugins = ("tests.postgres", "tests.synapse", "tests.tornet")

RERUNS = 2
"""How often a test that failed is tried again when tor or Synapse takes part: circuits break, and machines stall."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """No other test is tried again. Those that were are listed at the end, with what failed, and want mending."""
    for item in items:
        if item.get_closest_marker("tor") or item.get_closest_marker("synapse"):
            item.add_marker(pytest.mark.flaky(reruns=RERUNS))
