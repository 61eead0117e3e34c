"""Where the file of an event lies: what people's clients write there, and what anybody else might."""

from __future__ import annotations

import secrets
from copy import deepcopy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.bridge.attachment import Attachment, AttachmentKey
from chattor_bridge.node.pictures import picture_type
from tests.homeserver_contract import GIF, PNG

KEY = AttachmentKey(secrets.token_bytes(32), secrets.token_bytes(8) + bytes(8), secrets.token_bytes(32))
SEALED = Attachment("example.test", "abc_-D9", KEY)

anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)


@pytest.mark.parametrize("attachment", [Attachment("example.test", "abc"), SEALED])
def test_what_is_written_is_read_again(attachment: Attachment) -> None:
    assert Attachment.read(attachment.to_content()) == attachment
    assert Attachment.read(attachment.to_content("thumbnail_url", "thumbnail_file"), "thumbnail_url", "thumbnail_file")


@pytest.mark.parametrize("server", ["example.test", "example.test:8448", "1.2.3.4:80", "[::1]:8448", "[fe80::1]"])
def test_every_form_of_a_server_name_is_read(server: str) -> None:
    attachment = Attachment.read({"url": f"mxc://{server}/a"})
    assert attachment is not None
    assert attachment.server == server


@pytest.mark.parametrize(
    "address",
    [
        "",
        "mxc://",
        "mxc://example.test",
        "mxc://example.test/",
        "mxc:///abc",
        "mxc://example.test/abc/def",
        "mxc://example.test/..",
        "mxc://example.test/a.b",
        "mxc://../abc",
        "mxc://./abc",
        "mxc://example.test/a%2fb",
        "mxc://example.test/abc?x=y",
        "mxc://example.test/abc#x",
        "mxc://example.test/abc\n",
        "mxc://exa mple.test/abc",
        "mxc://user@example.test/abc",
        "mxc://ex\u00e4mple.test/abc",
        "mxc://example.test/\u0661",
        "MXC://example.test/abc",
        "https://example.test/abc",
        "file:///etc/passwd",
        f"mxc://example.test/{'a' * 256}",
        f"mxc://{'a' * 256}/abc",
        None,
        7,
        ["mxc://example.test/abc"],
    ],
)
def test_what_is_no_address_is_nothing(address: object) -> None:
    assert Attachment.read({"url": address}) is None
    assert Attachment.read({"file": {**SEALED.to_content()["file"], "url": address}}) is None


def test_key_in_either_base64_is_read_and_an_incomplete_one_is_nothing() -> None:
    file = SEALED.to_content()["file"]
    padded = deepcopy(file)
    padded["key"]["k"] += "="
    padded["iv"] += "=="
    padded["hashes"]["sha256"] = padded["hashes"]["sha256"].replace("+", "-").replace("/", "_")
    assert Attachment.read({"file": padded}) == SEALED
    for path in (("v",), ("url",), ("iv",), ("key",), ("hashes",), ("key", "k"), ("key", "alg"), ("hashes", "sha256")):
        wrong: object
        for wrong in (None, "", "A", "!" * 43, "A" * 42, "A" * 44, "A" * 1_000_000, {}, []):
            assert Attachment.read({"file": _with(file, path, wrong)}) is None


def test_encrypted_file_is_never_taken_for_one_in_clear() -> None:
    broken = _with(SEALED.to_content()["file"], ("iv",), "")
    assert Attachment.read({"file": broken, "url": "mxc://example.test/abc"}) is None


@given(anything)
def test_anything_at_all_is_read_without_a_crash(value: object) -> None:
    for content in ({"url": value}, {"file": value}, {"file": {**SEALED.to_content()["file"], "key": value}}):
        attachment = Attachment.read(content)
        assert attachment is None or Attachment.read(attachment.to_content()) == attachment


def test_key_is_not_in_what_may_be_logged() -> None:
    assert SEALED.to_content()["file"]["key"]["k"] not in repr(SEALED)
    assert repr(KEY.key) not in repr(SEALED)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (PNG, "image/png"),
        (GIF, "image/gif"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF", "image/jpeg"),
        (b"RIFF\x10\0\0\0WEBPVP8 ", "image/webp"),
        (b"RIFF\x10\0\0\0WAVEfmt ", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'>", None),
        (b"<!DOCTYPE html>", None),
        (b"", None),
        (b"\x89PN", None),
    ],
)
def test_a_picture_is_what_its_first_bytes_say(data: bytes, expected: str | None) -> None:
    assert picture_type(data) == expected


def _with(file: dict[str, Any], path: tuple[str, ...], value: object) -> dict[str, Any]:
    changed = deepcopy(file)
    inner = changed
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return changed
