"""Pictures for profiles: made small, stripped of what tells of their making, and shown to friends."""

from __future__ import annotations

import asyncio
import base64
import io
from pathlib import Path

import pytest
from PIL import Image

from chattor_bridge.protocol.limits import MAX_AVATAR
from chattor_bridge.terminal import portrait as making
from chattor_bridge.terminal.exits import CommandError
from chattor_bridge.terminal.portrait import portrait
from tests.terminal.resident import WAIT
from tests.terminal.test_chattor import two_friends

ORIENTATION, MAKER = 0x0112, 0x010F
TURNED = 6
"""The camera was held upright: the picture is to be turned a quarter to the right."""


def photograph(path: Path, size: tuple[int, int] = (400, 300)) -> Path:
    """Red in its upper half once it is turned as its file says, and with a word in it about its maker."""
    picture = Image.new("RGB", size, "blue")
    picture.paste("red", (0, 0, size[0] // 2, size[1]))
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKER] = TURNED, "planted maker"
    picture.save(path, "JPEG", exif=exif)
    return path


def test_a_portrait_is_small_upright_and_holds_nothing_but_the_picture(tmp_path: Path) -> None:
    path = photograph(tmp_path / "me.jpg")
    assert b"planted" in path.read_bytes()
    data = portrait(path)
    assert b"planted" not in data
    assert len(data) <= MAX_AVATAR
    with Image.open(io.BytesIO(data)) as picture:
        assert (picture.format, picture.width) == ("JPEG", picture.height)
        assert not picture.getexif()
        red, _, blue = picture.getpixel((picture.width // 2, 5))  # type: ignore[misc]
        assert red > 200 > 50 > blue


def test_a_picture_that_is_hard_to_make_small_becomes_so(tmp_path: Path) -> None:
    noise = Image.effect_noise((900, 900), 120)
    noise.save(tmp_path / "noise.png")
    assert len(portrait(tmp_path / "noise.png")) <= MAX_AVATAR


def test_what_cannot_be_read_or_is_too_large_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "none.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    with pytest.raises(CommandError, match="no picture"):
        portrait(tmp_path / "none.png")
    with pytest.raises(CommandError, match=r"missing\.png cannot be read: No such file"):
        portrait(tmp_path / "missing.png")
    monkeypatch.setattr(making, "MAX_DOTS", 1_000_000)
    with pytest.raises(CommandError, match="1 million dots"):
        portrait(photograph(tmp_path / "large.jpg", (2_000, 1_000)))


async def test_friends_see_it_until_it_is_taken_back(tmp_path: Path) -> None:
    async with two_friends(tmp_path) as friends:
        path = photograph(tmp_path / "me.jpg")
        (profile,) = await friends.alice.get("profile", "--avatar", str(path))
        assert profile["avatar"]
        async with asyncio.timeout(WAIT):
            while (outcome := await friends.bob.do("avatar", "1", str(tmp_path / "alice.jpg"))).code:
                assert "no picture" in outcome.complaint
        (picture,) = outcome.objects
        assert picture["type"] == "image/jpeg"
        assert (tmp_path / "alice.jpg").read_bytes() == base64.b64decode(picture["data"]) == portrait(path)
        assert (await friends.bob.do("avatar", "1", str(tmp_path / "alice.jpg"))).code
        (profile,) = await friends.alice.get("profile", "--no-avatar")
        assert not profile["avatar"]
        async with asyncio.timeout(WAIT):
            while not (await friends.bob.do("avatar", "1")).code:
                pass
