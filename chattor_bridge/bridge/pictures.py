"""The picture of a person at the homeserver, small enough for a profile."""

from __future__ import annotations

from typing import Final

from chattor_bridge.bridge.ports import Homeserver
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.protocol.limits import MAX_AVATAR

SIDES: Final = (96, 64, 32)
"""Dots in width and height, the first that fits `MAX_AVATAR`: 32 and 96 every homeserver has at hand."""


async def picture_of(homeserver: Homeserver, user: MatrixUserId) -> bytes | None:
    """What the homeserver made of the user's own picture, by which nothing is told of the file it came from; None when
    there is none, or none that fits.

    Raises: HomeserverUnavailable, HomeserverRefused.
    """
    attachment = await homeserver.profile_picture(user)
    if attachment is None:
        return None
    for side in SIDES:
        picture = await homeserver.thumbnail(attachment, side, side, crop=True, at_most=MAX_AVATAR)
        if picture is not None:
            return picture.data
    return None
