"""The durable tables: SQLite and PostgreSQL behind the stores that `node`, `bridge` and `terminal` ask for."""

from chattor_bridge.storage.inspection import Inspection, inspect
from chattor_bridge.storage.key import StoreKey
from chattor_bridge.storage.store import Store, open_store

__all__ = ["Inspection", "Store", "StoreKey", "inspect", "open_store"]
