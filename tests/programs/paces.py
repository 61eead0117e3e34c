"""How patient the programs of tests are, where waiting proves nothing."""

from __future__ import annotations

from chattor_bridge.node.patience import Pace

QUICK = Pace(
    start_jitter=0,
    dial_first=0.1,
    dial_most=1,
    knock_first=0.1,
    knock_most=1,
    deposit_wait=0.2,
    deposit_jitter=0.2,
    deposit_gathering=0.2,
    repair_first=0.1,
)
"""The memory network answers at once."""

QUICK_OVER_TOR = Pace(
    start_jitter=0.5,
    dial_first=2.0,
    dial_most=6.0,
    knock_first=2.0,
    knock_most=6.0,
    deposit_wait=0.2,
    deposit_jitter=0.2,
    deposit_gathering=0.2,
)
"""Who dials sooner may find a relay that has not noticed yet whose tor died; what it passes on is lost, and tor waits
for an answer."""

PATIENT = Pace(start_jitter=0, dial_first=600, dial_most=600, knock_first=0.1, knock_most=1, repair_first=0.1)
"""Whoever dials within a test did not wait for its turn."""
