"""Key files: made whole, closed to others, never replaced, never shown."""

from __future__ import annotations

import os
import secrets
import stat
from pathlib import Path

import pytest

from chattor_bridge.errors import AlreadyExists, WrongStoreKey
from chattor_bridge.storage import StoreKey


def test_a_new_key_is_random_private_and_read_back(tmp_path: Path) -> None:
    path = tmp_path / "store.key"
    key = StoreKey.create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert StoreKey.load(path).secret == key.secret
    assert len(key.secret) == 32
    assert StoreKey.create(tmp_path / "other").secret != key.secret
    assert sorted(each.name for each in tmp_path.iterdir()) == ["other", "store.key"], "no draft stays"


def test_a_key_file_is_never_replaced(tmp_path: Path) -> None:
    path = tmp_path / "store.key"
    path.write_text("something")
    with pytest.raises(AlreadyExists):
        StoreKey.create(path)
    assert path.read_text() == "something"
    assert [each.name for each in tmp_path.iterdir()] == ["store.key"]


def test_nothing_is_left_of_an_attempt_that_was_killed(tmp_path: Path) -> None:
    """Who moves the key away, apart from the database, would leave a copy."""
    path = tmp_path / "store.key"
    (left := tmp_path / ".store.key.0123456789abcdef").write_text(secrets.token_hex(32))
    StoreKey.create(path)
    assert list(tmp_path.iterdir()) == [path]
    os.link(path, left)
    with pytest.raises(AlreadyExists):
        StoreKey.create(path)
    assert list(tmp_path.iterdir()) == [path]


def test_a_key_that_cannot_be_written_says_where(tmp_path: Path) -> None:
    with pytest.raises(WrongStoreKey, match="nowhere"):
        StoreKey.create(tmp_path / "nowhere" / "store.key")


def test_a_missing_key_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(WrongStoreKey, match="backup"):
        StoreKey.load(tmp_path / "store.key")


def test_a_directory_is_no_key(tmp_path: Path) -> None:
    with pytest.raises(WrongStoreKey, match="cannot be read"):
        StoreKey.load(tmp_path)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_a_key_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "store.key"
    StoreKey.create(path)
    path.chmod(mode)
    with pytest.raises(WrongStoreKey, match="chmod 600"):
        StoreKey.load(path)


@pytest.mark.parametrize("content", [b"", b"00" * 31, b"00" * 33, b"zz" * 32, b"\xff" * 64, b"0" * 1_000_000])
def test_what_is_no_key_is_refused_and_not_quoted(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "store.key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(WrongStoreKey) as caught:
        StoreKey.load(path)
    assert "0000" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_text_form_as_an_environment_variable_holds_it() -> None:
    assert StoreKey.parse(f" {'0a' * 32}\n").secret == b"\x0a" * 32
    with pytest.raises(WrongStoreKey):
        StoreKey.parse("secret")


def test_a_key_does_not_show_itself() -> None:
    key = StoreKey(b"planted-planted-planted-planted-")
    assert "planted" not in f"{key!r} {key} {[key]}"
