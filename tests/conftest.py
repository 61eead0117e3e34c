"""Fixtures shared by the whole run."""

pytest_plugins = ("tests.tornet",)
