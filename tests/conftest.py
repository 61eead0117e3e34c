"""The servers of a test run, one of each for all tests of a process: started when first asked for, ended with it."""

from __future__ import annotations

import pytest

pytest_plugins = ("tests.postgres", "tests.synapse", "tests.tornet")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a failed test again, twice at most: most of them run other programs, and machines stall. It is listed as
    RERUN at the end, and wants mending."""
    for item in items:
        item.add_marker(pytest.mark.flaky(reruns=2))
