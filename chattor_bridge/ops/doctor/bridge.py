"""`chattor-bridge doctor`: everything a bridge needs, in the order in which one thing needs another."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

from chattor_bridge.config import BridgeConfig, load_config
from chattor_bridge.errors import ConfigError, WrongStoreKey
from chattor_bridge.ops.doctor.asking import asking
from chattor_bridge.ops.doctor.database import DatabaseCheck
from chattor_bridge.ops.doctor.files import READABLE_TO_A_GROUP, check_database_files, check_private, check_room
from chattor_bridge.ops.doctor.finding import Finding, fine, from_error
from chattor_bridge.ops.doctor.homeserver import HomeserverCheck
from chattor_bridge.ops.doctor.tor import PATIENCE, TorCheck, tor_files
from chattor_bridge.ops.doctor.way_back import WayBackCheck
from chattor_bridge.registration import Registration
from chattor_bridge.registration import load as load_registration
from chattor_bridge.storage import StoreKey


async def examine_bridge(file: Path, *, onions: bool, patience: float = PATIENCE) -> AsyncIterator[Finding]:
    """Look at everything that the configuration in ``file`` names; with ``onions`` also dial our friend codes over
    tor. ``patience`` is in seconds, for tor to connect."""
    try:
        config = load_config(file)
    except ConfigError as error:
        yield from_error("configuration", error)
        return
    yield fine("configuration", str(file))
    async for finding in _examine(config, file, onions, patience):
        yield finding


async def _examine(config: BridgeConfig, file: Path, onions: bool, patience: float) -> AsyncIterator[Finding]:
    for finding in _files(config, file):
        yield finding
    key: StoreKey | None = None
    try:
        key = StoreKey.find(config.store_key_file, os.environ, config.database.url)
    except WrongStoreKey as error:
        yield from_error("store key", error)
    database = DatabaseCheck(config.database.url, key)
    async for finding in database.findings():
        yield finding
    registration: Registration | None = None
    appservice = config.appservice
    try:
        registration = load_registration(
            appservice.registration_file, config.homeserver.domain, appservice.bot_localpart
        )
    except ConfigError as error:
        yield from_error("registration", error)
    if registration is not None:
        async for finding in _matrix(config, registration):
            yield finding
    async for finding in TorCheck(config.tor, patience=patience).findings(database.doors if onions else None):
        yield finding


def _files(config: BridgeConfig, file: Path) -> list[Finding]:
    registration, tor = config.appservice.registration_file, config.tor.data_directory
    found = [
        *check_private("configuration", file, forbidden=READABLE_TO_A_GROUP),
        *check_private("registration", registration, forbidden=READABLE_TO_A_GROUP),
        *check_private("store key", config.store_key_file),
        *tor_files(config.tor),
        *check_room("tor", tor),
    ]
    scheme, _, path = config.database.url.partition(":")
    if scheme == "sqlite":
        found += [*check_database_files(Path(path)), *check_room("the database", Path(path).parent)]
    return found


async def _matrix(config: BridgeConfig, registration: Registration) -> AsyncIterator[Finding]:
    file = config.appservice.registration_file
    async with asking(config.homeserver.address, registration.as_token, config.homeserver.proxy) as homeserver:
        there = HomeserverCheck(config.homeserver, registration, file)
        async for finding in there.findings(homeserver):
            yield finding
        way_back = WayBackCheck(config.appservice, registration, file)
        async for finding in way_back.findings(homeserver if there.knows_us else None):
            yield finding
