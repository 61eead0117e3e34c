"""chattor-bridge: a Chattor node, a Matrix bridge around it, and a terminal client beside it."""

__version__ = "0.1.0.dev0"
