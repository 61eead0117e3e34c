"""Every error this project raises on purpose, sorted by whose fault it is.

::

    ChattorError
    ├── UsageError                   ours: the caller or the person asked for something that cannot be
    │   ├── ConfigError              a setting is wrong; names its path in the file
    │   ├── FriendCodeError          what was typed is not a friend code
    │   ├── NotFound                 no such node, contact, request or code
    │   ├── FriendshipEnded          nothing can be said to this friend ever again
    │   ├── AlreadyExists            it is there already, and there can be only one
    │   ├── NotNow                   it is right and cannot be done at the moment; kept to be tried again
    │   └── LimitReached             a bound of docs/protocol/limits.md or of the configuration
    ├── PeerMisbehaved               theirs: what came over the wire breaks the protocol
    │   ├── MalformedData            not deterministic CBOR, not the agreed structure, or oversized
    │   ├── AuthenticationFailed     a signature, MAC, tag or handshake that does not verify
    │   ├── NoCommonVersion          nothing both sides speak
    │   ├── SessionBroken            authentic outside, wrong inside (protocol/session.py)
    │   └── OutOfWindow              too much would be missing before it (protocol/session.py)
    ├── FileChanged                  nobody's: a file is not any more what was offered, or is gone
    ├── Undecryptable                nobody's any more: an encrypted message that will not be opened
    ├── HomeserverRefused            the homeserver's: it said no, and asking again will not change that
    ├── Unavailable                  nobody's: it may work later, so it is retried
    │   ├── OnionUnreachable         offline, unpublished, or the network between is in trouble
    │   ├── OnionNotAuthorised       the descriptor cannot be read with the key we hold
    │   ├── TorUnavailable           tor is not running or not connected to the network
    │   ├── HomeserverUnavailable    the homeserver does not answer or says "later"
    │   ├── FileUnavailable          a file cannot be read or written at the moment
    │   ├── KeyMissing               an encrypted message came before its key
    │   ├── OutOfTurn                the homeserver may have an older transaction, which is to come first
    │   └── DatabaseUnavailable      the database does not answer
    └── Unusable                     the operator's: start-up refuses, with the mend in the message
        ├── TorUnusable              tor is missing or too old
        ├── WrongStoreKey            the key file does not open this database
        ├── DatabaseUnusable         newer schema, not durable, moved away, or owned by another process
        │   └── DatabaseDamaged      its file is corrupted
        └── AddressInUse             the port or socket we must listen on is taken

The message of an error is one line for a person and says what to do. It never holds message text, a friend code,
an onion address, a token or a key: errors are logged.
"""

from __future__ import annotations


class ChattorError(Exception):
    """Base of the tree; never raised itself."""


class UsageError(ChattorError):
    """What was asked for cannot be done as asked."""


class NotNow(UsageError):
    """What was asked for is right and cannot be done at the moment."""


class FriendshipEnded(UsageError):
    """It was ended for good, by either side, and its keys may be in other hands."""


class ConfigError(UsageError):
    """A setting is wrong.

    ``path`` is the dotted path of the setting in the configuration file, for example ``homeserver.address``.
    """

    def __init__(self, path: str, message: str) -> None:
        super().__init__(f"{path}: {message}")
        self.path = path


class FriendCodeError(UsageError):
    """What was typed is not a friend code, or not one this version understands."""


class NotFound(UsageError):
    """No such node, contact, request or code."""


class AlreadyExists(UsageError):
    """It is there already, and there can be only one; nothing was changed."""


class LimitReached(UsageError):
    """A bound was reached; nothing was changed."""


class PeerMisbehaved(ChattorError):
    """The other side broke the protocol. The stream it happened on is closed."""


class MalformedData(PeerMisbehaved):
    """Bytes that are not the agreed structure, or exceed its limits."""


class AuthenticationFailed(PeerMisbehaved):
    """A signature, MAC, tag or handshake does not verify."""


class NoCommonVersion(PeerMisbehaved):
    """The two sides speak no common protocol version, or it would be a downgrade."""


class FileChanged(ChattorError):
    """What is read of a file is not what was offered to a friend, or it is gone."""


class HomeserverRefused(ChattorError):
    """The homeserver said no for good.

    ``status`` is the HTTP status, ``errcode`` Matrix's own, for example ``M_FORBIDDEN``.
    """

    def __init__(self, message: str, status: int, errcode: str) -> None:
        super().__init__(message)
        self.status = status
        self.errcode = errcode


class Undecryptable(ChattorError):
    """An encrypted Matrix message cannot be opened; the message says why, to be read after "because"."""


class Unavailable(ChattorError):
    """Not now; the caller retries with back-off."""


class OnionUnreachable(Unavailable):
    """The onion service does not answer."""


class OnionNotAuthorised(Unavailable):
    """The onion service's descriptor is closed to the key we hold."""


class TorUnavailable(Unavailable):
    """tor is not running, not answering its control port or not connected."""


class HomeserverUnavailable(Unavailable):
    """The homeserver does not answer, or asks for patience.

    ``retry_after`` is what it asked for, in seconds, or ``None``.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class FileUnavailable(Unavailable):
    """A file cannot be read, or a part of one cannot be written, at the moment: the disk is full, say."""


class KeyMissing(Unavailable):
    """An encrypted Matrix message came, and its key has not yet."""


class OutOfTurn(Unavailable):
    """A transaction that is to come again, after any older one."""


class DatabaseUnavailable(Unavailable):
    """The database does not answer."""


class Unusable(ChattorError):
    """Start-up refuses; the message says how to mend it."""


class TorUnusable(Unusable):
    """tor is missing or too old."""


class WrongStoreKey(Unusable):
    """The key file does not open this database."""


class DatabaseUnusable(Unusable):
    """The database has a newer schema, is not durable, was moved away, or belongs to another running process."""


class DatabaseDamaged(DatabaseUnusable):
    """The database file is corrupted: nothing is written to it any more."""


class AddressInUse(Unusable):
    """The port or socket to listen on is taken."""
