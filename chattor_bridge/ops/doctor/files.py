"""Who may read and write our files, and how much room there is for more."""

from __future__ import annotations

import os
import pwd
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

from chattor_bridge.ops.doctor.finding import Finding, fine, problem, warning
from chattor_bridge.storage.key import FORBIDDEN_MODE
from chattor_bridge.storage.sqlite_file import COMPANIONS

MIB = 1024 * 1024

DISK_NEEDED = 64 * MIB
"""Bytes free below which work is about to stop: SQLite's write-ahead log alone may grow to as much in a burst."""

DISK_WANTED = 512 * MIB
"""Bytes free below which it is time to look: a full inbox takes some 100 MB, an upgrade of a database a copy of it."""


READABLE_TO_A_GROUP = 0o027
"""Forbidden ways for what another program must read too: the homeserver reads the registration."""

_AS_OWNER = "run this as the user whose files these are, or give them to that user with chown"


def check_private(
    what: str, file: Path, *, forbidden: int = FORBIDDEN_MODE, written: bool = False
) -> Iterator[Finding]:
    """A file or directory that others may not use in the ways of ``forbidden``, and we must be able to read, and to
    write if it is ``written``. Nothing is said of one that does not exist."""
    try:
        found = file.stat()
    except FileNotFoundError:
        return
    except OSError as error:
        yield problem("permissions", f"{file} ({what}) cannot be looked at: {error.strerror}", _AS_OWNER)
        return
    mode = stat.S_IMODE(found.st_mode)
    if mode & forbidden:
        mend = f"run chmod {mode & ~forbidden:o} {file}"
        yield problem("permissions", f"others may read or write {file} ({what})", mend)
    elif not os.access(file, os.R_OK | (os.W_OK if written else 0)):
        yield problem("permissions", f"{file} ({what}) cannot be used by {_user(os.geteuid())}", _AS_OWNER)
    elif written and found.st_uid != os.geteuid():
        owner = _user(found.st_uid)
        yield warning("permissions", f"{file} ({what}) belongs to {owner}", f"run this as {owner}")
    else:
        yield fine("permissions", f"{what}: as they should be")


def check_database_files(database: Path) -> Iterator[Finding]:
    """The files of a SQLite database, and the directory in which it makes others beside them."""
    for companion in COMPANIONS:
        yield from check_private(f"database{companion}", database.with_name(database.name + companion), written=True)
    yield from check_writable_directory("the database", database.parent)


def check_writable_directory(what: str, directory: Path) -> Iterator[Finding]:
    """A directory in which files are made."""
    if not directory.is_dir():
        yield problem("permissions", f"there is no directory {directory} for {what}", f"run mkdir -p {directory}")
    elif not os.access(directory, os.W_OK | os.X_OK):
        yield problem("permissions", f"{directory}, the directory of {what}, cannot be written", _AS_OWNER)


def check_room(what: str, directory: Path) -> Iterator[Finding]:
    """How much of its disk is free. ``directory`` need not exist yet."""
    existing = next(each for each in (directory, *directory.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    said = f"{free // MIB} MiB free for {what} in {existing}"
    mend = "free some room, or move it to another disk"
    if free < DISK_NEEDED:
        yield problem("disk", said, mend)
    elif free < DISK_WANTED:
        yield warning("disk", said, mend)
    else:
        yield fine("disk", said)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return f"user {number}"
