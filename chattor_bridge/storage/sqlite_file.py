"""The file a SQLite database lives in: made whole, closed to others, held by one process, looked over before use."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import sqlite3
import struct
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from chattor_bridge.errors import ChattorError, DatabaseUnavailable, DatabaseUnusable
from chattor_bridge.storage.key import FILE_MODE, FORBIDDEN_MODE, sync_directory
from chattor_bridge.storage.touches import Touches

COMPANIONS = ("", "-wal", "-shm")
"""The file, and what SQLite keeps beside it while it is open."""

MIN_FILE_SIZE = 512
"""Bytes: SQLite's smallest page."""

MARK_OFFSET, MARK_SIZE = 60, 4
"""Where SQLite's header has ``user_version``, which is the program's to use (https://www.sqlite.org/fileformat.html)."""

MARK_BITS = 31
"""Of a random ``user_version``, which is signed."""

INDEX_SIZE = 136
SALTS, CARRIED, BEGUN = slice(32, 40), slice(96, 100), slice(128, 132)
"""Where the ``-shm`` says how much of which log SQLite has carried over into the file, and how much it has begun to
(https://www.sqlite.org/walformat.html, 2.1)."""

SHARED_LOCK, SHARED_LOCK_SIZE = 0x40000002, 510
"""Bytes that whoever reads a database has locked, so that SQLite does not end its log meanwhile
(https://www.sqlite.org/src/file/src/os.h)."""

NO_MARK = 1 << MARK_BITS
"""What no file has for a mark."""

MAX_LOCK_LENGTH = 64
"""Bytes read of a lock file: a process id and two marks."""

PASSING = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM})
PASSING_CODES = frozenset(
    {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
)
"""What goes by without anybody changing the file: a full disk above all."""

NOT_NOW = {
    sqlite3.SQLITE_BUSY: "it is locked by another program",
    sqlite3.SQLITE_LOCKED: "it is locked by another program",
    sqlite3.SQLITE_FULL: "the disk is full",
    sqlite3.SQLITE_IOERR: "the disk does not work",
    sqlite3.SQLITE_CANTOPEN: "its files cannot be opened",
    sqlite3.SQLITE_READONLY: "its files cannot be written",
    sqlite3.SQLITE_PERM: "its files cannot be accessed",
    sqlite3.SQLITE_NOMEM: "there is no memory left",
    sqlite3.SQLITE_PROTOCOL: "its lock is contended",
    sqlite3.SQLITE_INTERRUPT: "the statement was interrupted",
}
"""What an operation of SQLite's fails with for now, in words, by its primary code."""

NOT_OURS = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
NOT_OURS_CODES = frozenset({sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM})
"""What somebody else's file or directory answers."""

_AS_OWNER = ": run this as the user to whom it and its directory belong, or give both to this one with chown"


class _Progress(NamedTuple):
    """How much of a log is in the file, as SQLite's index has it."""

    log: bytes
    carried: bytes
    begun: bytes


class SqliteFile:
    """One database file. ``open`` and ``close`` block: run them in a thread where that matters."""

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        self._lock: int | None = None
        self._marks: tuple[int, ...] = ()
        self._identities: dict[Path, tuple[int, int]] = {}
        self._index: int | None = None
        self._progress: _Progress | None = None
        self._written_at = 0
        self._touches: Touches | None = None
        self._reading: int | None = None

    def open(self) -> None:
        """Take the file for this process; make it if it is not there, check it if it is.

        Raises: DatabaseUnusable; DatabaseUnavailable when the disk is full, say, and it may work later.
        """
        try:
            self._take()
            self._close_to_others()
            if self.path.exists():
                self._require_own_log()
                self._check()
            else:
                self._make()
            self._marks = () if self._has_log() else (self._marked(),)  # else what is in it may take its place
            self._identities = {self.path: _identity(self.path.stat())}
        except sqlite3.Error as error:
            self.close()
            raise self._explain(error) from None
        except OSError as error:
            self.close()
            kind = DatabaseUnavailable if error.errno in PASSING else DatabaseUnusable
            mend = _AS_OWNER if error.errno in NOT_OURS else ""
            raise kind(f"the database {self.path} cannot be opened: {error.strerror}{mend}") from None

    def opened(self) -> None:
        """SQLite has made its companions: they stay as they are until it closes them."""
        paths = [self._beside(companion) for companion in COMPANIONS]
        self._identities = {path: _identity(path.stat()) for path in paths if path.exists()}
        self._progress = None
        with contextlib.suppress(OSError):  # then a touch is taken for a backup
            self._touches = Touches(self.path)

    def require_in_place(self) -> None:
        """Raises: DatabaseUnusable when a file that was opened is not the one at its path any more, or was cut off or
        written over: what is written would be lost with it."""
        found: dict[Path, os.stat_result] = {}
        for path in self._identities:
            try:
                found[path] = path.stat()
            except FileNotFoundError:
                pass
            except OSError:
                return  # which is not to say that it was moved
        strange = {path for path, one in self._identities.items() if path not in found or _identity(found[path]) != one}
        if self.path not in strange and self._is_written_over(found[self.path]):
            self._leave_as_it_is()
            raise DatabaseUnusable(
                f"the database {self.path} was cut off or written over while it was in use: put a backup there, move "
                f"{self._beside('-wal')} and {self._beside('-shm')} away, and start again; or, if only its time was "
                f"changed, as touch does, leave them and remove {self._beside('.lock')}"
            )
        if strange:
            raise DatabaseUnusable(
                f"the database {self.path}, or a file of SQLite's beside it, was moved, removed or replaced while it "
                "was in use: put back what belongs there, and start again"
            )

    def wrote(self) -> None:
        """SQLite may have written to the file just now, for us."""
        if self._reading is None and (progress := self._look()) != self._progress:
            with contextlib.suppress(OSError):  # `require_in_place` will see why
                self._progress, self._written_at = progress, self.path.stat().st_mtime_ns
                self._were_touches()  # what was before counts no more

    def mark(self, write: Callable[[int], bool]) -> None:
        """Have ``write`` mark the database; it says whether the mark is in the file, or perhaps in the log alone.

        Whenever this process dies, the lock names the mark that the file has. See `_require_own_log`.
        """
        mark = secrets.randbits(MARK_BITS)
        self._sign((*self._marks, mark) if self._marks else ())
        self._sign((mark,) if write(mark) else ())

    def close(self) -> None:
        """Let the next process in. Not before SQLite has closed its files: see `_take`."""
        for descriptor in (self._index, self._reading, self._lock):
            if descriptor is not None:
                os.close(descriptor)
        self._index = self._reading = self._lock = None
        if self._touches is not None:
            self._touches.close()
            self._touches = None

    def _is_written_over(self, found: os.stat_result) -> bool:
        """Whether somebody has written to the file otherwise than by way of SQLite: it writes what the log has, or cuts
        off what is not needed any more, says in its index that it will before it does, and when it has."""
        if self._reading is not None:
            return True
        progress, before = self._look(), self._progress
        if before is not None and progress == before and before.carried == before.begun:
            if found.st_mtime_ns == self._written_at:
                return False
            self._written_at = found.st_mtime_ns
            return not self._were_touches()
        self.wrote()
        return False

    def _were_touches(self) -> bool:
        return self._touches is not None and self._touches.were_all()

    def _look(self) -> _Progress | None:
        if self._index is None:
            with contextlib.suppress(FileNotFoundError):  # SQLite makes it when it first reads in this journal mode
                self._index = os.open(self._beside("-shm"), os.O_RDONLY | os.O_CLOEXEC)
        if self._index is None:
            return None
        index = os.pread(self._index, INDEX_SIZE, 0)
        return _Progress(index[SALTS], index[CARRIED], index[BEGUN])

    def _leave_as_it_is(self) -> None:
        """Keep SQLite from writing the log into what is there now, which may be a backup: at its closing, as a reader
        does, and at the next start, by a mark that no file has."""
        if self._reading is None:
            with contextlib.suppress(OSError):  # what cannot be locked or signed is refused all the same
                self._reading = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
                self._sign((NO_MARK,))
                lock = struct.pack("hhqqi4x", fcntl.F_RDLCK, os.SEEK_SET, SHARED_LOCK, SHARED_LOCK_SIZE, 0)
                fcntl.fcntl(self._reading, fcntl.F_OFD_SETLK, lock)

    def _take(self) -> None:
        """Lock a file beside the database, because closing any descriptor of the database itself would drop SQLite's
        own locks. The file stays, since removing it could leave two processes with a lock each; the lock goes with the
        process, however it ends."""
        descriptor = os.open(self._beside(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, FILE_MODE)
        try:
            holder, _, marks = os.pread(descriptor, MAX_LOCK_LENGTH, 0).decode("ascii", "replace").partition("\n")
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._lock = descriptor
            self._sign(tuple(int(mark) for mark in marks.split() if mark.isdecimal()))
        except BlockingIOError:
            os.close(descriptor)
            raise DatabaseUnusable(
                f"the database {self.path} is in use by another running process ({holder or 'unknown'}): stop that "
                "one first"
            ) from None
        except BaseException:
            self._lock = None
            os.close(descriptor)
            raise

    def _sign(self, marks: tuple[int, ...]) -> None:
        """Write down who has the database, and which of these marks it has; with none, any."""
        assert self._lock is not None
        content = f"{os.getpid()}\n{' '.join(map(str, marks))}\n".encode()
        os.pwrite(self._lock, content, 0)  # before it is cut: what stands there may be of use to somebody yet
        os.ftruncate(self._lock, len(content))
        os.fsync(self._lock)
        self._marks = marks

    def _require_own_log(self) -> None:
        """A log that a killed process left is played into whatever database it finds, also into a backup that was put
        there since. Raises: DatabaseUnusable."""
        log = self._beside("-wal")
        if self._marks and self._has_log() and self._marked() not in self._marks:
            raise DatabaseUnusable(
                f"the database {self.path} is not the one that {log} belongs to: if you have restored a backup, move "
                f"{log} and {self._beside('-shm')} away; or remove {self._beside('.lock')}, if they came with it or "
                "nobody has restored any"
            )

    def _has_log(self) -> bool:
        log = self._beside("-wal")
        return log.exists() and log.stat().st_size > 0

    def _marked(self) -> int:
        """The mark of the database, as far as it is not in the log alone. Not while SQLite has it open: see `_take`."""
        with self.path.open("rb") as file:
            return int.from_bytes(file.read(MARK_OFFSET + MARK_SIZE)[MARK_OFFSET:])

    def _beside(self, ending: str) -> Path:
        return self.path.with_name(self.path.name + ending)

    def _close_to_others(self) -> None:
        for companion in COMPANIONS:
            path = self._beside(companion)
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
        why = NOT_NOW.get(code & 0xFF) or getattr(error, "sqlite_errorname", "unknown error")
        return kind(f"the database {self.path} cannot be opened: {why}")


def _identity(status: os.stat_result) -> tuple[int, int]:
    return status.st_dev, status.st_ino
