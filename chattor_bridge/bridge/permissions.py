"""Who may use the bridge."""

from __future__ import annotations

from collections.abc import Callable
from enum import StrEnum

from chattor_bridge.ids import MatrixUserId


class Level(StrEnum):
    """What a Matrix user may do with this bridge; the words are those of the configuration file."""

    NONE = "none"
    USER = "user"
    ADMIN = "admin"

    def grants(self, needed: Level) -> bool:
        """Whether somebody of this level may do what needs ``needed``."""
        ranks = list(Level)
        return ranks.index(self) >= ranks.index(needed)


LevelOf = Callable[[MatrixUserId], Level]
"""Asked at every command, so that a changed permission counts at once."""
