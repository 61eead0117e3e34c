"""`chattor doctor`: what a home of the terminal program needs."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

from chattor_bridge.config import TorOptions
from chattor_bridge.errors import ConfigError, WrongStoreKey
from chattor_bridge.ops.doctor.database import DatabaseCheck
from chattor_bridge.ops.doctor.files import check_database_files, check_private, check_room
from chattor_bridge.ops.doctor.finding import Finding, from_error
from chattor_bridge.ops.doctor.tor import PATIENCE, TorCheck, tor_files
from chattor_bridge.storage import StoreKey


async def examine_home(
    directory: Path,
    *,
    key_file: Path,
    database: Path,
    read_tor: Callable[[], TorOptions],
    onions: bool,
    patience: float = PATIENCE,
) -> AsyncIterator[Finding]:
    """Look at a home and what is in it; with ``onions`` also dial its friend codes over tor. ``read_tor`` reads the
    configuration; ``patience`` is in seconds, for tor to connect."""
    tor: TorOptions | None = None
    try:
        tor = read_tor()
    except ConfigError as error:
        yield from_error("configuration", error)
    for finding in (
        *check_private("home", directory, written=True),
        *check_private("store key", key_file),
        *check_database_files(database),
        *check_room("the home", directory),
        *(tor_files(tor) if tor is not None else ()),
    ):
        yield finding
    key: StoreKey | None = None
    try:
        key = StoreKey.load(key_file)
    except WrongStoreKey as error:
        yield from_error("store key", error)
    looked_at = DatabaseCheck(f"sqlite:{database}", key)
    async for finding in looked_at.findings():
        yield finding
    if tor is None:
        return
    async for finding in TorCheck(tor, patience=patience).findings(looked_at.doors if onions else None):
        yield finding
