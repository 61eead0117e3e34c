"""The homeserver, as the bridge calls it: does it answer, does it know us, and as what?

Nothing is registered, sent or changed there. The way back, from the homeserver to us, is in `way_back`.
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import AsyncIterator
from pathlib import Path

from chattor_bridge.config import HomeserverOptions
from chattor_bridge.errors import HomeserverUnavailable
from chattor_bridge.ids import GHOST_PREFIX
from chattor_bridge.ops.doctor.asking import Answer, Asker
from chattor_bridge.ops.doctor.finding import Finding, fine, problem, warning
from chattor_bridge.registration import Registration

CLOCK_TOLERANCE = 60
"""Seconds two clocks may differ. Tor refuses to work from an hour on; times on messages look odd much earlier."""

UPLOAD_WANTED = 10 * 1024 * 1024
"""Bytes of a file: below it most phones' photographs would be refused."""

_RENEW = "run `chattor-bridge registration`"

_WHOAMI = "/_matrix/client/v3/account/whoami"

_NOT_IN_NAMESPACE = "masquerade"
"""A word of Synapse's when a user is outside our namespaces; it has no error code of its own for that."""


class HomeserverCheck:
    """``knows_us`` is, once `findings` is through, whether our as_token was accepted."""

    def __init__(self, options: HomeserverOptions, registration: Registration, registration_file: Path) -> None:
        self._options = options
        self._registration = registration
        self._load = (
            f'have app_service_config_files: ["{registration_file.resolve()}"] in homeserver.yaml, '
            "and restart the homeserver"
        )
        self.knows_us = False

    async def findings(self, homeserver: Asker) -> AsyncIterator[Finding]:
        """``homeserver`` asks with our as_token."""
        try:
            versions = await homeserver.ask("GET", "/_matrix/client/versions", anonymous=True)
            if versions.status != 200 or "versions" not in versions.body:
                said = f"what answers at homeserver.address is no Matrix homeserver (HTTP {versions.status})"
                yield problem("homeserver", said, "correct homeserver.address, or what a proxy in front of it does")
                return
            yield fine("homeserver", "answers")
            yield self._clock(versions)
            who = await homeserver.ask("GET", _WHOAMI)
            yield self._identity(who)
            if not self.knows_us:
                return
            async for finding in self._users(homeserver):
                yield finding
        except HomeserverUnavailable as error:
            mend = "start it, or correct homeserver.address and homeserver.proxy; the bridge waits for it meanwhile"
            yield problem("homeserver", f"does not answer: {error}", mend)

    def _clock(self, answer: Answer) -> Finding:
        difference = 0 if answer.date is None else round(time.time() - answer.date)
        if abs(difference) <= CLOCK_TOLERANCE:
            return fine("clock", "agrees with the homeserver's")
        return warning(
            "clock",
            f"this machine's clock and the homeserver's differ by {abs(difference)} s",
            "set the one that is wrong, on Debian with: timedatectl set-ntp true",
        )

    def _identity(self, who: Answer) -> Finding:
        ours = self._registration
        if who.errcode in ("M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"):
            said = "the homeserver does not know our as_token: it has not loaded our registration, or an older one"
            return problem("registration", said, self._load)
        if who.status != 200:
            said = f"the homeserver does not say who we are (HTTP {who.status} {who.errcode}".rstrip() + ")"
            return problem("registration", said, "look into the homeserver's log")
        self.knows_us = True
        localpart, _, domain = str(who.body.get("user_id", "")).partition(":")
        if domain != ours.domain:
            said = f"homeserver.domain is {ours.domain}, and the homeserver calls itself {domain}"
            return problem("registration", said, f"correct homeserver.domain; then {_RENEW}")
        if localpart != f"@{ours.sender_localpart}":
            said = "the homeserver has loaded another registration with our as_token: its sender_localpart differs"
            return problem("registration", said, self._load)
        return fine("registration", "the homeserver has loaded it and accepts our as_token")

    async def _encryption(self, homeserver: Asker, bot: str) -> Finding:
        """Has the bot a device that can read encrypted rooms, and that clients show no warning about?"""
        asked = json.dumps({"device_keys": {bot: []}}).encode()
        answer = await homeserver.ask("POST", "/_matrix/client/v3/keys/query", asked, {"user_id": bot})
        keys = answer.body.get("self_signing_keys", {}).get(bot, {}).get("keys", {})
        devices = answer.body.get("device_keys", {}).get(bot, {}).values()
        if any(set(keys) & set(device.get("signatures", {}).get(bot, {})) for device in devices):
            return fine("encryption", "the bot has a device that can read in encrypted rooms")
        return warning(
            "encryption",
            "the bot has no device of its own yet that could read in encrypted rooms",
            f"start the bridge, which makes one; if it runs, the homeserver does not let it: {_RENEW} and {self._load}",
        )

    async def _users(self, homeserver: Asker) -> AsyncIterator[Finding]:
        """May we be the bot and the ghosts, and how large may their files be?"""
        domain = self._registration.domain
        stranger = f"{GHOST_PREFIX}{''.join(secrets.choice('abcdefghijklmnopqrstuvwxyz234567') for _ in range(32))}"
        for what, localpart in (("the bot", self._registration.bot_localpart), ("ghosts", stranger)):
            answer = await homeserver.ask("GET", _WHOAMI, query={"user_id": f"@{localpart}:{domain}"})
            if answer.errcode == "M_EXCLUSIVE" or (answer.status == 403 and _NOT_IN_NAMESPACE in answer.error):
                said = f"the registration that the homeserver has loaded does not let us speak as {what}"
                yield problem("namespaces", said, f"{_RENEW}; {self._load}")
            else:  # whoever was never registered is refused too, with other words
                yield fine("namespaces", f"{what}: ours")
        yield await self._encryption(homeserver, f"@{self._registration.bot_localpart}:{domain}")
        config = await homeserver.ask("GET", "/_matrix/client/v1/media/config")
        limit = config.body.get("m.upload.size")
        if isinstance(limit, int) and limit < UPLOAD_WANTED:
            yield warning(
                "body limits",
                f"the homeserver takes no file above {limit} bytes",
                "raise max_upload_size in homeserver.yaml, and the limit of a proxy in front of it",
            )
