"""The onion network over tor: a process of our own, its control port, its SOCKS socket."""

from chattor_bridge.transport.tor.managed import ManagedTor, TorSettings
from chattor_bridge.transport.tor.status import TorState, TorStatus
from chattor_bridge.transport.tor.transport import TorTransport, TransportStatus

__all__ = ["ManagedTor", "TorSettings", "TorState", "TorStatus", "TorTransport", "TransportStatus"]
