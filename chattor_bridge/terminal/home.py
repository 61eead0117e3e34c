"""The home directory of one `chattor` identity: what lies in it, and who may use it.

Everything is readable for its owner alone. One daemon at a time holds the lock; the socket beside it is where the
other commands find that daemon.
"""

from __future__ import annotations

import fcntl
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from shlex import quote

from chattor_bridge.errors import AddressInUse, UsageError
from chattor_bridge.terminal.exits import CommandError, Exit

HOME_VARIABLE = "CHATTOR_HOME"
DEFAULT_HOME = "~/.local/share/chattor"

MAX_SOCKET_PATH = 107
"""Bytes of a unix socket's path on Linux (`sun_path` is 108, one of them the terminating zero)."""


def absolute(path: Path) -> Path:
    """The whole path, with a home directory in the place of ``~``. Raises: UsageError when there is no such one."""
    try:
        return path.expanduser().absolute()
    except RuntimeError:
        raise UsageError(f"{path} is nowhere: there is no home directory {path.parts[0]}") from None


class Home:
    """The paths of one identity."""

    def __init__(self, directory: Path) -> None:
        """Raises: UsageError when the directory cannot be anywhere."""
        self.directory = absolute(directory)
        self.config = self.directory / "config.yaml"
        self.key = self.directory / "store.key"
        self.database = self.directory / "chattor.db"
        self.tor = self.directory / "tor"
        self.files = self.directory / "files"
        self.socket = self.directory / "control.sock"
        self.lock = self.directory / "lock"
        self._inode: int | None = None

    @property
    def exists(self) -> bool:
        """Whether `chattor init` has been here: the database is what it makes last. Raises: CommandError when the
        directory cannot be looked into."""
        try:
            return self.database.exists()
        except OSError as error:
            raise self._closed(error) from error

    def create(self) -> None:
        """Make the directory, or take one that is ours, closed to everybody else. Raises: UsageError when that cannot
        be done."""
        try:
            self.directory.mkdir(mode=0o700, parents=True, exist_ok=True)
            self.directory.chmod(0o700)
        except OSError as error:
            what = "use" if os.path.isdir(self.directory) else "make"  # noqa: PTH112 - pathlib's raises where it is closed
            raise UsageError(
                f"cannot {what} {self.directory}: {error.strerror}: choose another --home, or run this as the user "
                "to whom that belongs"
            ) from error

    def require(self) -> None:
        """Raises: CommandError when there is no identity here, saying how to make one."""
        if not self.exists:
            raise CommandError(
                Exit.CANNOT_START, f"there is no identity in {self.directory} yet: make one with {self.command('init')}"
            )

    def command(self, words: str) -> str:
        """A `chattor` command line for this home, as a person would type it."""
        if self.directory == Path(DEFAULT_HOME).expanduser() or os.environ.get(HOME_VARIABLE) == str(self.directory):
            return f"chattor {words}"
        return f"chattor --home {quote(str(self.directory))} {words}"

    def named(self, text: str) -> str:
        """A sentence of the daemon's, with each command in it that stands between backticks as it is typed for this
        home."""
        return re.sub(r"`chattor ([^`]+)`", lambda found: self.command(found[1]), text)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold this home against a second daemon. The kernel lets go of it however this process ends.

        Raises: AddressInUse when another process holds it, CommandError when this user may not.
        """
        try:
            descriptor = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise self._closed(error) from error
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(descriptor, 20).decode(errors="replace").strip() or "unknown"
                raise AddressInUse(
                    f"another chattor (process {holder}) already uses {self.directory}: use that one, or stop it first"
                ) from error
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
            yield
        finally:
            os.close(descriptor)

    def listen(self) -> socket.socket:
        """The daemon's socket, mode 0600. Call it under the lock: a socket file left by a killed daemon is replaced."""
        with suppress(FileNotFoundError):
            self.socket.unlink()
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        mask = os.umask(0o177)  # so that the file never exists with a wider mode
        try:
            with self._reachable() as address:
                listener.bind(address)
            self._inode = self.socket.stat().st_ino
        except BaseException:
            listener.close()
            raise
        finally:
            os.umask(mask)
        listener.listen()
        listener.setblocking(False)
        return listener

    @property
    def is_listening(self) -> bool:
        """Whether commands find the socket that `listen` made last."""
        try:
            return self.socket.stat().st_ino == self._inode
        except OSError:
            return False

    def connect(self) -> socket.socket:
        """A connection to the daemon. Raises: CommandError when nobody answers."""
        self.require()
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        try:
            with self._reachable() as address:
                connection.connect(address)
        except (FileNotFoundError, ConnectionRefusedError) as error:
            connection.close()
            raise CommandError(
                Exit.NOT_RUNNING, f"chattor run is not running: start it in another terminal with {self.command('run')}"
            ) from error
        except PermissionError as error:
            connection.close()
            raise self._closed(error) from error
        except OSError as error:
            connection.close()
            raise CommandError(Exit.NOT_RUNNING, f"cannot reach chattor run: {error.strerror}") from error
        connection.setblocking(False)
        return connection

    def _closed(self, error: OSError) -> CommandError:
        return CommandError(
            Exit.CANNOT_START,
            f"{error.filename or self.socket} cannot be used: {error.strerror}: run this as the user to whom "
            f"{self.directory} belongs, or give it to this one with chown -R",
        )

    @contextmanager
    def _reachable(self) -> Iterator[str]:
        """The socket's path; by way of the open directory when it is longer than the kernel takes."""
        if len(os.fsencode(self.socket)) <= MAX_SOCKET_PATH:
            yield str(self.socket)
            return
        descriptor = os.open(self.directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            yield f"/proc/self/fd/{descriptor}/{self.socket.name}"
        finally:
            os.close(descriptor)
