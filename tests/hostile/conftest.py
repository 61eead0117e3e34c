"""The attacked live in the same worlds as everybody else."""

from __future__ import annotations

from tests.node.conftest import world

__all__ = ["world"]
