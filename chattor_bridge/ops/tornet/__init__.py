"""A private Tor network of real tor processes on this machine, for tests and for the demonstration.

It needs no internet, and nothing it does leaves the loopback interface. It is for trying things out: three
authorities and a few relays in one place hide nothing from whoever watches the place.
"""

from chattor_bridge.ops.tornet.network import Progress, TorNetwork

__all__ = ["Progress", "TorNetwork"]
