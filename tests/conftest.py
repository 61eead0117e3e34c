"""The servers of a test run, one of each for everybody: started by the first test that asks, stopped at the end."""

from __future__ import annotations

import pytest

pytest_plugins = ("tests.postgres", "tests.synapse", "tests.tornet")

REAL_SERVERS = frozenset({"tor", "synapse", "postgres"})
"""Marks of tests in which other people's programs run, whose timing on a busy machine is not ours to decide."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try a failed test among real servers once more; it is listed as RERUN at the end, and wants mending."""
    for item in items:
        if REAL_SERVERS.intersection(mark.name for mark in item.iter_markers()):
            item.add_marker(pytest.mark.flaky(reruns=1))
