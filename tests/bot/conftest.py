"""The bot at work in a town of its own for each test."""

from __future__ import annotations

from tests.bridge.conftest import friend, town

__all__ = ["friend", "town"]
