"""Nodes at work: over the memory network and a real SQLite store, with time moved by hand."""
