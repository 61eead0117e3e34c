"""The attacked live in the same worlds and towns as everybody else."""

from __future__ import annotations

from tests.bridge.conftest import friend, town
from tests.node.conftest import anna, ben, peer, puppet, world

__all__ = ["anna", "ben", "friend", "peer", "puppet", "town", "world"]
