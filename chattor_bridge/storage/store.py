"""The one store of a process: `BridgeStore` and `TerminalStore` over one database."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from pathlib import Path
from types import TracebackType

from mautrix.util.async_db import Database

from chattor_bridge.errors import DatabaseUnusable
from chattor_bridge.node.ports import Transaction
from chattor_bridge.packaged import packaged_directory
from chattor_bridge.storage.actions import SqlActions
from chattor_bridge.storage.alone import OnlyCopy
from chattor_bridge.storage.carriages import SqlCarriages
from chattor_bridge.storage.carriers import SqlCarriers
from chattor_bridge.storage.contacts import SqlContacts
from chattor_bridge.storage.deposits import SqlDeposits
from chattor_bridge.storage.doors import SqlDoors
from chattor_bridge.storage.engine import Dialect, Engine
from chattor_bridge.storage.event_links import SqlEventLinks, SqlKnockNotices, SqlPortalNotices
from chattor_bridge.storage.expiring import SqlExpiring
from chattor_bridge.storage.history import SqlHistory
from chattor_bridge.storage.inbox import SqlInbox
from chattor_bridge.storage.key import StoreKey
from chattor_bridge.storage.knocks import SqlKnocks
from chattor_bridge.storage.management_rooms import SqlManagementRooms
from chattor_bridge.storage.migrations import apply, load, outstanding
from chattor_bridge.storage.missed import SqlMissed
from chattor_bridge.storage.nodes import SqlNodes
from chattor_bridge.storage.outbox import SqlOutbox
from chattor_bridge.storage.pictures import SqlPictures
from chattor_bridge.storage.portals import SqlPortals
from chattor_bridge.storage.postgres import PostgresEngine
from chattor_bridge.storage.preferences import SqlPreferences
from chattor_bridge.storage.received import SqlReceived
from chattor_bridge.storage.room_keys import SqlRoomKeys
from chattor_bridge.storage.sealing import Sealer, derive, identity_from_key_check, new_key_check
from chattor_bridge.storage.settings import SqlSettings
from chattor_bridge.storage.spaces import SqlSpaces
from chattor_bridge.storage.sqlite import SqliteEngine
from chattor_bridge.storage.transaction import Transactions, sql
from chattor_bridge.storage.transfers import SqlTransfers
from chattor_bridge.storage.unread import SqlUnread


class Store:
    """A database, opened with its key. Use it as a context manager, or call `start` and `stop`.

    A `Transaction` of one store is good for that store, in the task that began it, until its block is left.
    """

    nodes: SqlNodes
    doors: SqlDoors
    knocks: SqlKnocks
    contacts: SqlContacts
    outbox: SqlOutbox
    received: SqlReceived
    carriers: SqlCarriers
    carriages: SqlCarriages
    deposits: SqlDeposits
    preferences: SqlPreferences
    expiring: SqlExpiring
    pictures: SqlPictures
    missed: SqlMissed
    transfers: SqlTransfers
    inbox: SqlInbox
    actions: SqlActions
    portals: SqlPortals
    management_rooms: SqlManagementRooms
    spaces: SqlSpaces
    event_links: SqlEventLinks
    portal_notices: SqlPortalNotices
    unread: SqlUnread
    knock_notices: SqlKnockNotices
    history: SqlHistory
    room_keys: SqlRoomKeys

    def __init__(self, engine: Engine, key: StoreKey, migrations: Path) -> None:
        self._engine = engine
        self._key = key
        self._migrations = migrations
        self._transactions = Transactions(engine)
        self._only_copy = OnlyCopy()

    @property
    def database(self) -> Database:
        """mautrix's view of the database, for those parts of mautrix that keep tables of their own."""
        return self._engine.database

    async def start(self) -> None:
        """Take the database, bring it to the newest schema, and check the key.

        Raises: DatabaseUnavailable when it may work later; DatabaseUnusable, WrongStoreKey. Nothing is left open then.
        """
        try:
            migrations = load(self._migrations)
            await self._engine.start()
            missing = await outstanding(self._transactions, migrations)
            identity = None if len(missing) == len(migrations) else await self._identity()  # before anything changes
            for migration in missing:
                await apply(self._transactions, migration)
            await self._engine.claim()
            identity = identity or await self._new_identity()
            if self._engine.dialect is Dialect.SQLITE:  # a server has no copies, and knows its one process itself
                self._only_copy.hold(identity)
            self._furnish(Sealer(self._key, identity))
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let transactions end, close, and let the next process in. Bounded; safe to call again."""
        await self._engine.stop()
        self._only_copy.release()

    async def __aenter__(self) -> Store:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Begin; see `chattor_bridge.node.store_ports.NodeStore.transaction`.

        A transaction inside a transaction of the same task raises RuntimeError. After a statement has failed the
        transaction can only be rolled back. When the connection to PostgreSQL breaks during COMMIT, and it cannot be
        asked what became of it, DatabaseUnavailable is raised although the data may be on disk: whoever tries again
        looks first. The callbacks run later if it was.

        Raises: DatabaseUnavailable; DatabaseUnusable when the file is damaged or another process has taken over.
        """
        return self._transactions.begin()

    async def scrub(self) -> None:
        """See `chattor_bridge.node.store_ports.NodeStore.scrub`."""
        await self._engine.scrub()

    async def secret(self, tx: Transaction, name: str, length: int) -> bytes:
        """A random secret of this installation, made at the first call; ``length`` in bytes, always the same."""
        return await self._settings.secret(tx, name, length)

    def recovery_key(self) -> bytes:
        """32 bytes that whoever has the store key has too, with or without a database."""
        return derive(self._key, b"chattor/v1/matrix/recovery", b"")

    async def get_setting(self, tx: Transaction, name: str) -> str | None:
        """A small piece of state under a name."""
        return await self._settings.get(tx, name)

    async def setting_for_update(self, tx: Transaction, name: str) -> str | None:
        """The same, locked until the end of the transaction, also when there is none yet."""
        await sql(tx).serialise(f"setting {name}")
        return await self._settings.get(tx, name)

    async def set_setting(self, tx: Transaction, name: str, value: str) -> None:
        """Keep a small piece of state under a name."""
        await self._settings.set(tx, name, value)

    async def remove_settings(self, tx: Transaction, prefix: str) -> None:
        """Remove every setting whose name begins so."""
        await self._settings.remove(tx, prefix)

    async def _identity(self) -> bytes | None:
        """Who this database is; ``None`` when it was left before it knew. Raises: WrongStoreKey."""
        async with self._transactions.begin() as tx:
            check = await sql(tx).fetch_value("SELECT key_check AS value FROM store WHERE id = 1")
        return None if check is None else identity_from_key_check(self._key, check)

    async def _new_identity(self) -> bytes:
        identity, check = new_key_check(self._key)
        async with self._transactions.begin() as tx:
            await sql(tx).execute("INSERT INTO store (id, key_check) VALUES (1, $1)", check)
        return identity

    def _furnish(self, sealer: Sealer) -> None:
        self.nodes = SqlNodes(sealer)
        self.doors = SqlDoors(sealer)
        self.knocks = SqlKnocks(sealer)
        self.contacts = SqlContacts(sealer)
        self.outbox = SqlOutbox(sealer)
        self.received = SqlReceived(sealer)
        self.carriers = SqlCarriers(sealer)
        self.carriages = SqlCarriages(sealer)
        self.deposits = SqlDeposits(sealer)
        self.preferences = SqlPreferences(sealer)
        self.expiring = SqlExpiring()
        self.pictures = SqlPictures(sealer)
        self.missed = SqlMissed()
        self.transfers = SqlTransfers(sealer)
        self.inbox = SqlInbox(sealer)
        self.actions = SqlActions(sealer)
        self.portals = SqlPortals()
        self.management_rooms = SqlManagementRooms()
        self.spaces = SqlSpaces()
        self.portal_notices = SqlPortalNotices()
        self.event_links = SqlEventLinks(sealer)
        self.unread = SqlUnread()
        self.knock_notices = SqlKnockNotices()
        self.history = SqlHistory(sealer)
        self.room_keys = SqlRoomKeys(sealer)
        self._settings = SqlSettings(sealer)


def open_store(url: str, key: StoreKey, *, migrations: Path | None = None) -> Store:
    """The store at ``url``: ``sqlite:<path>`` (or ``sqlite:///<absolute path>``), nothing in the path escaped, or
    ``postgresql://user:password@host/database``. Not started yet.

    ``migrations`` is the directory with the schema, ``None`` for the one that was installed with this program.

    Raises: DatabaseUnusable for any other address.
    """
    directory = migrations or packaged_directory("migrations")
    scheme, _, rest = url.partition(":")
    if scheme == "sqlite" and rest:
        path = Path(rest.removeprefix("//"))
        return Store(SqliteEngine(path), key, directory)
    if scheme in ("postgres", "postgresql"):
        return Store(PostgresEngine(url), key, directory)
    raise DatabaseUnusable("the address of the database must begin with sqlite: or postgresql://")
