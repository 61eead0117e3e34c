"""The onion network over tor: a process of our own or one that runs already, its control port, its SOCKS port."""

from chattor_bridge.transport.tor.external import ExternalSettings, ExternalTor
from chattor_bridge.transport.tor.managed import ManagedTor, TorSettings
from chattor_bridge.transport.tor.status import TorState, TorStatus
from chattor_bridge.transport.tor.transport import TorTransport, TransportStatus

__all__ = [
    "ExternalSettings",
    "ExternalTor",
    "ManagedTor",
    "TorSettings",
    "TorState",
    "TorStatus",
    "TorTransport",
    "TransportStatus",
]
