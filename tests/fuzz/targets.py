"""All targets."""

from tests.fuzz import files, local, shelves, wire

TARGETS = (*wire.TARGETS, *shelves.TARGETS, *files.TARGETS, *local.TARGETS)
