"""The bot's cross-signing seeds, kept at the homeserver too, for the day the database is lost and the store key is not.

To clients the bot is who its cross-signing keys say it is, and one with other keys is somebody to be warned of. They
are kept as Matrix keeps such secrets (Client-Server API, "Secret storage"), under a recovery key that is derived from
the store key, so that there is nothing to write down. The homeserver can delete them, and neither read nor change them.
"""

from __future__ import annotations

import base64
import logging
import secrets

from mautrix.crypto.cross_signing_key import CrossSigningSeeds
from mautrix.crypto.ssss.key import Key, KeyMetadata
from mautrix.crypto.ssss.types import Algorithm
from mautrix.crypto.ssss.util import calculate_hash

from chattor_bridge.errors import HomeserverRefused, Unavailable
from chattor_bridge.matrix.discretion import without_content
from chattor_bridge.matrix.encryption.device import Machine

KEY_ID = "chattor-bridge"
"""What the recovery key is called in the bot's account data. A bridge with another store key replaces it."""

IV_LENGTH = 16
"""Bytes, as AES wants."""

_log = logging.getLogger(__name__)


async def keep(machine: Machine, recovery_key: bytes, seeds: CrossSigningSeeds) -> None:
    """Raises: HomeserverUnavailable, HomeserverRefused, DatabaseUnavailable."""
    iv = base64.b64encode(secrets.token_bytes(IV_LENGTH)).decode().rstrip("=")
    metadata = KeyMetadata(
        algorithm=Algorithm.AES_HMAC_SHA2, passphrase=None, mac=calculate_hash(recovery_key, iv), iv=iv
    )
    await machine.ssss.set_key_data(KEY_ID, metadata)
    await machine._upload_cross_signing_keys_to_ssss(Key(KEY_ID, recovery_key, metadata), seeds)
    await machine.ssss.set_default_key_id(KEY_ID)


async def find(machine: Machine, recovery_key: bytes) -> CrossSigningSeeds | None:
    """Those that were kept under this key, if there are any. Raises: as `keep`."""
    try:
        metadata = await machine.ssss.get_key_data(KEY_ID)
        return await machine._fetch_cross_signing_keys_from_ssss(metadata.verify_raw_key(KEY_ID, recovery_key))
    except HomeserverRefused as refusal:
        if refusal.errcode != "M_NOT_FOUND":
            raise
    except Unavailable:
        raise
    except Exception as error:  # kept under another key, or changed
        _log.warning("the bot's old cross-signing keys cannot be recovered: %s", without_content(error))
    return None
