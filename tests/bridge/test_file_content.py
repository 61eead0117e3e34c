"""What events say of the files they carry: as clients write it, as anybody might, and there and back."""

from __future__ import annotations

import json
import unicodedata
from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.bridge.attachment import Attachment
from chattor_bridge.bridge.files.content import (
    OCTETS,
    Description,
    Shape,
    carries_file,
    described,
    file_name,
    mime_type,
    shown_type,
    written,
)
from chattor_bridge.bridge.ghosts import MARK_KEY
from chattor_bridge.bridge.records import JsonObject
from chattor_bridge.matrix import text as conversion
from chattor_bridge.node.pictures import PICTURE_TYPES
from chattor_bridge.protocol.limits import MAX_DURATION, MAX_FILE_NAME, MAX_PIXELS, MAX_WAVEFORM, WAVEFORM_PEAK
from tests.bridge.test_attachment import SEALED, anything
from tests.homeserver_contract import GIF, PNG

CLEAR = Attachment("example.test", "abc")
HASH = "LEHV6nWB2yk8pyo0adR*.7kCMdnj"

EVENT_TYPES = st.sampled_from(["m.room.message", "m.sticker"])


def message(message_type: str, **more: object) -> JsonObject:
    return {"msgtype": message_type, "body": "a.bin", "url": CLEAR.address, **more}


def read(event_content: JsonObject, event_type: str = "m.room.message") -> Description:
    return described(conversion, event_type, event_content)


def show(said: Description, mime: str, attachment: Attachment = CLEAR) -> tuple[str, JsonObject]:
    return written(conversion, said, attachment, Shape(7, mime, said.width, said.height), None, "mark")


def test_picture_of_element() -> None:
    info = {"mimetype": "image/jpeg", "size": 5, "w": 640, "h": 480, "xyz.amorgan.blurhash": HASH}
    said = read(message("m.image", body="cat.jpg", info=info))
    assert said == Description("cat.jpg", "image/jpeg", "image", width=640, height=480, blurhash=HASH)


def test_voice_message_of_element() -> None:
    said = read(
        message(
            "m.audio",
            body="Voice message",
            info={"duration": 3000, "mimetype": "audio/ogg; codecs=opus", "size": 5},
            **{
                "org.matrix.msc1767.audio": {"duration": 3000, "waveform": [0, 512, 1024]},
                "org.matrix.msc3245.voice": {},
            },
        )
    )
    assert said == Description("Voice message", "audio/ogg", "voice", duration=3000, waveform=(0, 512, 1024))


def test_voice_message_by_its_stable_names() -> None:
    said = read(message("m.audio", **{"m.audio": {"duration": 70, "waveform": [1]}, "m.voice": {}}))
    assert (said.kind, said.duration, said.waveform) == ("voice", 70, (1,))


def test_sound_is_no_voice_message() -> None:
    assert read(message("m.audio", info={"mimetype": "audio/mpeg"})).kind == "audio"


def test_sticker_video_and_file() -> None:
    assert read({"body": "wave", "url": CLEAR.address, "info": {}}, "m.sticker") == Description("wave", kind="sticker")
    assert read(message("m.video")).kind == "video"
    assert read(message("m.file")).kind == ""


@pytest.mark.parametrize(
    ("body", "more", "name", "caption"),
    [
        ("cat.jpg", {}, "cat.jpg", ""),
        ("cat.jpg", {"filename": "cat.jpg"}, "cat.jpg", ""),
        ("Look!", {"filename": "cat.jpg"}, "cat.jpg", "Look\\!"),
        ("Look!", {"filename": ""}, "Look!", ""),
        ("Look!", {"filename": 7}, "Look!", ""),
        (
            "Look!",
            {"filename": "cat.jpg", "format": "org.matrix.custom.html", "formatted_body": "<b>Look!</b>"},
            "cat.jpg",
            "**Look\\!**",
        ),
    ],
)
def test_body_is_a_caption_when_there_is_another_name(body: str, more: JsonObject, name: str, caption: str) -> None:
    said = read(message("m.image", body=body, **more))
    assert said.name == name
    assert said.caption.replace("Look!", "Look\\!") == caption


@pytest.mark.parametrize(
    ("claimed", "expected"),
    [
        ("report.pdf", "report.pdf"),
        ("../../etc/passwd", "_.._etc_passwd"),
        ("..\\..\\boot.ini", "_.._boot.ini"),
        ("/etc/passwd", "_etc_passwd"),
        (".bashrc", "bashrc"),
        ("..", "image.png"),
        ("", "image.png"),
        (" \t\n", "image.png"),
        (None, "image.png"),
        (["a"], "image.png"),
        ("photo\u202egpj.exe", "photogpj.exe"),
        ("a\x00b\nc.txt", "a_b c.txt"),
        ("\u200b\ufeff", "image.png"),
        ("x" * 300 + ".jpeg", "x" * 250 + ".jpeg"),
        ("\u00e9" * 300, "\u00e9" * 127),
        ("x." + "y" * 300, "x." + "y" * 253),
    ],
)
def test_name_has_no_way_out_and_nothing_unseen(claimed: object, expected: str) -> None:
    assert file_name(claimed, "image/png", "image") == expected


@given(st.text() | st.text(alphabet="./\\\0\u202e a\u00e9"))
def test_any_name_becomes_one_that_can_be_saved_under(claimed: str) -> None:
    name = file_name(claimed)
    assert 1 <= len(name.encode()) <= MAX_FILE_NAME
    assert PurePosixPath(name).name == name
    assert not PureWindowsPath(name).root
    assert len(PureWindowsPath("C:/d", name.replace(":", "_")).parts) == 3
    assert not any(unicodedata.category(character) in ("Cc", "Cs") for character in name)
    assert file_name(name) == name


@pytest.mark.parametrize(
    ("kind", "claimed", "start", "expected"),
    [
        ("image", "image/png", PNG, "image/png"),
        ("image", "image/png", GIF, "image/gif"),
        ("image", "image/svg+xml", b"<svg onload='x()'/>", OCTETS),
        ("image", "image/png", b"<svg onload='x()'/>", OCTETS),
        ("image", "image/png", b"<!DOCTYPE html><script>", OCTETS),
        ("sticker", "text/html", PNG, "image/png"),
        ("", "image/png", b"<html>", OCTETS),
        ("", "image/png", PNG, "image/png"),
        ("", "text/html", b"<html>", OCTETS),
        ("", "application/xhtml+xml", b"", OCTETS),
        ("", "text/javascript; charset=utf-8", b"", OCTETS),
        ("", "nonsense", b"", OCTETS),
        ("", "text/plain", b"hello", "text/plain"),
        ("", "application/pdf", b"%PDF-1.7", "application/pdf"),
        ("", "application/vnd.openxmlformats-officedocument.wordprocessingml.document", b"PK", None),
        ("video", "video/mp4", b"", "video/mp4"),
    ],
)
def test_type_that_matrix_is_told(kind: str, claimed: str, start: bytes, expected: str | None) -> None:
    assert shown_type(kind, claimed, start) == (expected or claimed)


@pytest.mark.parametrize(
    ("kind", "mime", "message_type"),
    [
        ("image", "image/png", "m.image"),
        ("image", OCTETS, "m.file"),
        ("image", "video/mp4", "m.file"),
        ("video", "video/mp4", "m.video"),
        ("video", "text/plain", "m.file"),
        ("audio", "audio/mpeg", "m.audio"),
        ("voice", "application/ogg", "m.audio"),
        ("voice", OCTETS, "m.file"),
        ("", "image/png", "m.file"),
        ("hologram", "image/png", "m.file"),
    ],
)
def test_file_is_shown_as_what_its_type_lets_it_be(kind: str, mime: str, message_type: str) -> None:
    event_type, event_content = show(Description("a", mime, kind), mime)
    assert (event_type, event_content["msgtype"]) == ("m.room.message", message_type)
    assert event_content["info"] == {"mimetype": mime, "size": 7}
    assert event_content["url"] == CLEAR.address
    assert event_content[MARK_KEY] == "mark"
    assert event_content["m.mentions"] == {}


def test_sticker_is_one_where_the_specification_has_any() -> None:
    said = Description("wave", "image/png", "sticker")
    event_type, event_content = show(said, "image/png")
    assert event_type == "m.sticker"
    assert "msgtype" not in event_content
    event_type, event_content = show(said, "image/png", SEALED)
    assert (event_type, event_content["msgtype"]) == ("m.room.message", "m.image")
    assert Attachment.read(event_content) == SEALED


def test_thumbnail_is_described_where_the_picture_lies() -> None:
    said = Description("a.png", "image/png", "image")
    for small in (CLEAR, SEALED):
        _, event_content = written(
            conversion, said, SEALED, Shape(7, "image/png"), (small, Shape(5, "image/png", 3, 2)), "mark"
        )
        assert Attachment.read(event_content["info"], "thumbnail_url", "thumbnail_file") == small
        assert event_content["info"]["thumbnail_info"] == {"mimetype": "image/png", "size": 5, "w": 3, "h": 2}


def descriptions() -> st.SearchStrategy[Description]:
    kinds = {"image": "image/png", "video": "video/mp4", "audio": "audio/ogg", "voice": "audio/ogg", "": "text/plain"}

    def build(kind: str, name: str, caption: str, sizes: tuple[int, int], wave: list[int]) -> Description:
        sounds, seen = kind in ("audio", "voice"), kind in ("image", "video")
        return Description(
            file_name(name),
            kinds[kind],
            kind,
            caption,
            *sizes,
            1_000 if sounds or kind == "video" else 0,
            tuple(wave) if sounds else (),
            HASH if seen else "",
        )

    wave = st.lists(st.integers(0, WAVEFORM_PEAK), max_size=MAX_WAVEFORM)
    words = st.text("abc \u00e9", min_size=1).map(str.strip)
    sizes = st.tuples(st.integers(0, MAX_PIXELS), st.integers(0, MAX_PIXELS))
    return st.builds(build, st.sampled_from(sorted(kinds)), st.text(), words, sizes, wave)


@given(descriptions(), st.sampled_from([CLEAR, SEALED]))
def test_what_is_written_is_read_again(said: Description, attachment: Attachment) -> None:
    event_type, event_content = show(said, said.mime, attachment)
    again = read(json.loads(json.dumps(event_content)), event_type)
    if said.caption == said.name:  # which Matrix cannot say
        said = Description(**{name: getattr(said, name) for name in said.__slots__} | {"caption": ""})
    assert again == Description(**{name: getattr(said, name) for name in said.__slots__} | {"caption": again.caption})
    assert " ".join(again.caption.split()) == " ".join(said.caption.split())
    assert Attachment.read(event_content) == attachment


@given(
    EVENT_TYPES,
    st.dictionaries(
        st.sampled_from(
            [
                "msgtype",
                "body",
                "filename",
                "format",
                "formatted_body",
                "info",
                "url",
                "file",
                "m.audio",
                "m.voice",
                "org.matrix.msc1767.audio",
                "org.matrix.msc3245.voice",
                "m.relates_to",
            ]
        ),
        anything,
    ),
)
def test_anything_at_all_is_read_within_bounds(event_type: str, event_content: JsonObject) -> None:
    _check(read(event_content, event_type))


@given(
    st.dictionaries(
        st.sampled_from(["mimetype", "w", "h", "duration", "size", "blurhash", "xyz.amorgan.blurhash"]),
        anything | st.integers() | st.floats() | st.just(HASH),
    ),
    st.lists(st.integers() | st.booleans() | st.none()),
)
def test_any_numbers_are_kept_within_bounds(info: JsonObject, wave: list[object]) -> None:
    said = read(message("m.audio", info=info, **{"m.audio": {"duration": info.get("duration"), "waveform": wave}}))
    _check(said)


@given(
    st.text(),
    st.sampled_from(["", "image", "sticker", "video", "audio", "voice", "new"]),
    st.text(),
    st.binary(max_size=16) | st.sampled_from([PNG, GIF]),
)
def test_nothing_a_browser_might_run_is_shown_as_such(claimed: str, kind: str, name: str, start: bytes) -> None:
    mime = shown_type(kind, claimed, start)
    event_type, event_content = show(Description(name or "a", claimed, kind, name), mime)
    assert mime_type(mime) == mime
    if event_type == "m.sticker" or event_content["msgtype"] == "m.image":
        assert event_content["info"]["mimetype"] in PICTURE_TYPES
    json.dumps(event_content)


def test_which_events_carry_files() -> None:
    for message_type in ("m.image", "m.video", "m.audio", "m.file"):
        assert carries_file("m.room.message", message(message_type))
    assert carries_file("m.sticker", {})
    assert not carries_file("m.room.message", message("m.text"))
    assert not carries_file("m.room.message", {"msgtype": ["m.image"]})
    assert not carries_file("m.reaction", message("m.image"))


def _check(said: Description) -> None:
    assert 1 <= len(said.name.encode()) <= MAX_FILE_NAME
    assert said.mime == mime_type(said.mime)
    for number, most in ((said.width, MAX_PIXELS), (said.height, MAX_PIXELS), (said.duration, MAX_DURATION)):
        assert type(number) is int
        assert 0 <= number <= most
    assert len(said.waveform) <= MAX_WAVEFORM
    assert all(type(value) is int and 0 <= value <= WAVEFORM_PEAK for value in said.waveform)
    assert said.blurhash in ("", HASH) or said.blurhash.isascii()
