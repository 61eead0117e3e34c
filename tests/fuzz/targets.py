"""All targets."""

from tests.fuzz import local, wire

TARGETS = (*wire.TARGETS, *local.TARGETS)
