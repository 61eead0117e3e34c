"""What ``config.yaml`` in the home directory can say; ``config/example-chattor.yaml`` explains each option."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chattor_bridge.config import TorOptions, read_tor
from chattor_bridge.options import Options, Section

MAX_KEEP_DAYS = 36_500
"""Days that history can be told to stay: a hundred years, so that a slip of the finger is noticed."""


@dataclass(frozen=True, slots=True)
class TerminalSettings:
    """The options of `chattor`. ``keep_days`` bounds the history, ``None`` keeps all of it."""

    tor: TorOptions
    keep_days: int | None


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> TerminalSettings:
    """Read and check the options. Raises: ConfigError, naming the option and where it stands."""
    options = Options(file, environment)
    settings = TerminalSettings(read_tor(options.section("tor")), _keep_days(options.section("history")))
    options.close()
    return settings


def _keep_days(section: Section) -> int | None:
    days = section.integer("keep_days", 0, low=0, high=MAX_KEEP_DAYS)
    section.close()
    return days or None
