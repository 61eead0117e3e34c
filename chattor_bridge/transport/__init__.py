"""The onion network, behind `chattor_bridge.node.ports.Transport`: over tor, and in memory for tests.

docs/protocol/transport.md says how streams reach onions. One contract suite, tests/transport/test_contract.py, runs
over both implementations.
"""
