"""The file a SQLite database lives in: made whole, closed to others, held by one process, looked over before use."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import sqlite3
from pathlib import Path

from chattor_bridge.errors import ChattorError, DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.storage.key import FILE_MODE, FORBIDDEN_MODE, sync_directory

COMPANIONS = ("", "-wal", "-shm")
"""The file, and what SQLite keeps beside it while it is open."""

MIN_FILE_SIZE = 512
"""Bytes: SQLite's smallest page."""

MAX_PID_LENGTH = 20

PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
PASSING_CODES = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
)
"""What goes by without anybody changing the file: a full disk above all."""

NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
NOT_OURS_CODES = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
"""What somebody else's file or directory answers."""

_AS_OWNER = ": run this as the user to whom it and its directory belong, or give both to this one with chown"


class SqliteFile:
    """One database file. ``open`` and ``close`` block: run them in a thread where that matters."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None
        self._identity = (0, 0)

    def open(self) -> None:
        """Take the file for this process; make it if it is not there, check it if it is.

        Raises: DatabaseUnusable; DatabaseUnavailable when the disk is full, say, and it may work later.
        """
        try:
            self._take()
            self._close_to_others()
            if self.path.exists():
                self._check()
            else:
                self._make()
            self._identity = self._look()
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from None
        except OSError as error:
            self.close()
            kind = DatabaseUnavailable if error.errno in PASSING else DatabaseUnusable
            mend = _AS_OWNER if error.errno in NOT_OURS else ""
            raise kind(f"the database {self.path} cannot be opened: {error.strerror}{mend}") from None

    def require_in_place(self) -> None:
        """Raises: DatabaseUnusable when the file that was opened is not the one at its path any more: what is written
        would be lost with it."""
        try:
            in_place = self._look() == self._identity
        except FileNotFoundError:
            in_place = False
        except OSError:
            return  # which is not to say that it was moved
        if not in_place:
            raise DatabaseUnusable(
                f"the database {self.path} was moved, removed or replaced while it was in use: put back what belongs "
                "there, and start again"
            )

    def _look(self) -> tuple[int, int]:
        status = self.path.stat()
        return status.st_dev, status.st_ino

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

    def _explain(self, error: sqlite3.Error) -> ChattorError:
        code = getattr(error, "sqlite_errorcode", 0)
        if code == sqlite3.SQLITE_NOTADB:
            return DatabaseUnusable(
                f"{self.path} is not a SQLite database: check the path, or restore it from a backup"
            )
        if code == sqlite3.SQLITE_CORRUPT:
            return DatabaseUnusable(f"the database {self.path} is damaged: restore it from a backup")
        if code & 0xFF in NOT_OURS_CODES:
            return DatabaseUnusable(f"the database {self.path} cannot be opened: it cannot be written{_AS_OWNER}")
        kind = DatabaseUnavailable if code & 0xFF in PASSING_CODES else DatabaseUnusable
        name = getattr(error, "sqlite_errorname", "unknown error")
        return kind(f"the database {self.path} cannot be opened: {name}")
