"""Contact requests, both ways."""

from __future__ import annotations

from chattor_bridge.storage.outgoing_knocks import SqlOutgoingKnocks
from chattor_bridge.storage.pending_knocks import SqlPendingKnocks


class SqlKnocks(SqlOutgoingKnocks, SqlPendingKnocks):
    """See `chattor_bridge.node.store_ports.Knocks`."""
