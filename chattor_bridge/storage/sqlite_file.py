"""The file a SQLite database lives in: made whole, closed to others, held by one process, looked over before use."""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
from pathlib import Path

from chattor_bridge.errors import DatabaseUnusable
from chattor_bridge.storage.key import FILE_MODE, FORBIDDEN_MODE, sync_directory

COMPANIONS = ("", "-wal", "-shm")
"""The file, and what SQLite keeps beside it while it is open."""

MIN_FILE_SIZE = 512
"""Bytes: SQLite's smallest page."""

MAX_PID_LENGTH = 20


class SqliteFile:
    """One database file. ``open`` and ``close`` block: run them in a thread where that matters."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None

    def open(self) -> None:
        """Take the file for this process; make it if it is not there, check it if it is.

        Raises: DatabaseUnusable.
        """
        try:
            self._take()
            self._close_to_others()
            if self.path.exists():
                self._check()
            else:
                self._make()
        except sqlite3.Error as error:
            raise DatabaseUnusable(self._explain(error)) from None
        except OSError as error:
            raise DatabaseUnusable(f"the database {self.path} cannot be opened: {error.strerror}") from None

    def close(self) -> None:
        """Let the next process in."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def _take(self) -> None:
        """Lock a file beside the database, because closing any descriptor of the database itself would drop SQLite's
        own locks. The file stays, since removing it could leave two processes with a lock each; the lock goes with the
        process, however it ends."""
        path = self.path.with_name(f"{self.path.name}.lock")
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            holder = os.pread(descriptor, MAX_PID_LENGTH, 0).decode("ascii", "replace").strip() or "unknown"
            os.close(descriptor)
            raise DatabaseUnusable(
                f"the database {self.path} is in use by another running process ({holder}): stop that one first"
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        self._lock = descriptor

    def _close_to_others(self) -> None:
        for companion in COMPANIONS:
            path = self.path.with_name(self.path.name + companion)
            with contextlib.suppress(FileNotFoundError):
                if path.stat().st_mode & FORBIDDEN_MODE:
                    path.chmod(FILE_MODE)

    def _make(self) -> None:
        """Make an empty database under another name and link it into place, so that a file without content is always
        the sign of a damage and never of a beginning."""
        draft = self.path.with_name(f".{self.path.name}.new")
        draft.unlink(missing_ok=True)  # of an attempt cut short; we hold the lock
        try:
            os.close(os.open(draft, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE))
            with contextlib.closing(sqlite3.connect(draft)) as connection:
                connection.execute("PRAGMA synchronous = FULL")
                connection.execute("PRAGMA journal_mode = WAL")
            os.link(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)
        sync_directory(self.path.parent)

    def _check(self) -> None:
        if self.path.stat().st_size < MIN_FILE_SIZE:  # SQLite would take it for a new one and begin anew in silence
            raise DatabaseUnusable(
                f"the database {self.path} was cut off and is empty: restore a backup, or remove it to begin anew"
            )
        with contextlib.closing(sqlite3.connect(self.path)) as connection:
            (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise DatabaseUnusable(f"the database {self.path} is damaged: restore it from a backup")

    def _explain(self, error: sqlite3.Error) -> str:
        code = getattr(error, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_NOTADB:
            return f"{self.path} is not a SQLite database: check the path, or restore it from a backup"
        if code == sqlite3.SQLITE_CORRUPT:
            return f"the database {self.path} is damaged: restore it from a backup"
        return f"the database {self.path} cannot be opened: {getattr(error, 'sqlite_errorname', 'unknown error')}"
