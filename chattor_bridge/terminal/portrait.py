"""A picture file made into one for a profile: small, square, and with nothing in it but the picture."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from shlex import quote
from typing import Final

from chattor_bridge.protocol.limits import MAX_AVATAR
from chattor_bridge.terminal.exits import CommandError, Exit

SIDES: Final = (256, 192, 128, 96, 64)
"""Dots in width and height, the first that fits."""

QUALITIES: Final = (85, 70, 50)
"""Of JPEG, the first that fits."""

MAX_DOTS: Final = 64_000_000
"""Dots of the file's picture: any camera's, and a quarter of a gigabyte while it is being scaled."""


def portrait(path: Path) -> bytes:
    """The picture of this file, scaled. Made anew from its dots, so that neither place, time nor camera goes with it.

    Raises: CommandError.
    """
    try:
        from PIL import Image, ImageOps
    except ImportError as error:
        raise CommandError(
            Exit.REFUSED, f"pictures need Pillow: install it with {quote(sys.executable)} -m pip install pillow"
        ) from error
    try:
        with Image.open(path) as image:
            if image.width * image.height > MAX_DOTS:
                raise CommandError(Exit.REFUSED, f"this picture has more than {MAX_DOTS // 1_000_000} million dots")
            upright = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) else None  # of the system's; Pillow's own have none
        said = f"{path} cannot be read: {reason}" if reason else "this is no picture that can be read"
        raise CommandError(Exit.REFUSED, said) from error
    background = Image.new("RGBA", upright.size, "white")
    flat = Image.alpha_composite(background, upright).convert("RGB")
    for side in SIDES:
        scaled = ImageOps.fit(flat, (side, side))
        for quality in QUALITIES:
            data = io.BytesIO()
            scaled.save(data, "JPEG", quality=quality)
            if data.tell() <= MAX_AVATAR:
                return data.getvalue()
    raise CommandError(Exit.REFUSED, "this picture does not become small enough")
