"""`chattor-bridge registration`: the registration file in line with the configuration."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

from chattor_bridge import registration
from chattor_bridge.config import BridgeConfig, load_config
from chattor_bridge.errors import ConfigError, UsageError
from chattor_bridge.setup import alone, homeserver_line

RESTART = "Restart the homeserver, so that it reads it."


def bring_in_line(config_file: Path, *, new_tokens: bool) -> None:
    """Make, mend or leave the file, and say what was done and which line of homeserver.yaml names it.

    Tokens are kept as long as the file fits; what does not fit is kept beside the new one.
    Raises: AlreadyExists, ConfigError, UsageError.
    """
    config = load_config(config_file)
    appservice = config.appservice
    with alone(config_file.parent):
        if not appservice.registration_file.exists():
            said = _make(config, "There was none, so I made")
        elif new_tokens:
            said = _set_aside_and_make(config, "As asked, I made new tokens in")
        else:
            said = _mend(config)
    sys.stdout.write(
        f"{said} {appservice.registration_file}.\n"
        f"The homeserver reads it by this line in homeserver.yaml:\n\n{homeserver_line(appservice.registration_file)}\n"
    )


def _mend(config: BridgeConfig) -> str:
    appservice = config.appservice
    try:
        found = registration.load(appservice.registration_file, config.homeserver.domain, appservice.bot_localpart)
    except ConfigError as error:
        if error.path == "appservice.registration_file":  # not a registration at all: whose file is it?
            raise
        return _set_aside_and_make(config, f"The old one did not fit ({error.path}). I made new tokens in")
    if found.url == appservice.url:
        return "Nothing to change in"
    registration.write(replace(found, url=appservice.url), appservice.registration_file, replace=True)
    return f"The url was another. {RESTART} I changed"


def _set_aside_and_make(config: BridgeConfig, said: str) -> str:
    file = config.appservice.registration_file
    old = file.with_name(f"{file.name}.old")
    try:
        file.replace(old)
    except OSError as error:
        raise UsageError(f"cannot move {file} to {old}: {error.strerror}") from error
    return _make(config, f"{said.removesuffix(' in')} and kept the old file as {old.name}, in")


def _make(config: BridgeConfig, said: str) -> str:
    appservice = config.appservice
    made = registration.generate(config.homeserver.domain, appservice.url, appservice.bot_localpart)
    registration.write(made, appservice.registration_file)
    return f"{RESTART} {said}"
