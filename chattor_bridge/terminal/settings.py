"""What ``config.yaml`` in the home directory can say; ``config/example-chattor.yaml`` explains each option."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from chattor_bridge.config import CarryingOptions, TorOptions, read_carrying, read_tor
from chattor_bridge.options import Options, Section

MIB = 1_048_576
"""Bytes in the unit of the options about files."""

MAX_MIB = 104_857_600
"""The largest of these: a hundred terabytes."""

MAX_KEEP_DAYS = 36_500
"""Days that history can be told to stay: a hundred years, so that a slip of the finger is noticed."""


@dataclass(frozen=True, slots=True)
class TerminalSettings:
    """The options of `chattor`. ``keep_days`` bounds the history, ``None`` keeps all of it."""

    tor: TorOptions
    carrying: CarryingOptions
    keep_days: int | None
    files: FileBounds


class FileBounds(NamedTuple):
    """Bytes, as `FileSettings` has them."""

    auto_accept: int
    per_friend: int
    in_all: int


def load_settings(file: Path, environment: Mapping[str, str] = os.environ) -> TerminalSettings:
    """Read and check the options. Raises: ConfigError, naming the option and where it stands."""
    options = Options(file, environment)
    settings = TerminalSettings(
        read_tor(options.section("tor")),
        read_carrying(options.section("carrying"), unasked=False),
        _keep_days(options.section("history")),
        _files(options.section("files")),
    )
    options.close()
    return settings


def _files(section: Section) -> FileBounds:
    auto_accept, per_friend, in_all = (
        section.integer(key, default, low=low, high=MAX_MIB) * MIB
        for key, default, low in (("auto_accept", 10, 0), ("per_friend", 4_096, 1), ("in_all", 16_384, 1))
    )
    section.close()
    return FileBounds(auto_accept, per_friend, in_all)


def _keep_days(section: Section) -> int | None:
    days = section.integer("keep_days", 0, low=0, high=MAX_KEEP_DAYS)
    section.close()
    return days or None
