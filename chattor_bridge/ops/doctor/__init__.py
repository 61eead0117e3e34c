"""`chattor-bridge doctor` and `chattor doctor`: what is wrong, and what mends it.

Works while what it examines runs and while it does not: it takes no lock, holds no lease and changes nothing. No
finding holds a token, a key, a friend code or an onion address, so a report can be shown to whoever helps.
"""

from chattor_bridge.ops.doctor.bridge import examine_bridge
from chattor_bridge.ops.doctor.report import report
from chattor_bridge.ops.doctor.terminal import examine_home

__all__ = ["examine_bridge", "examine_home", "report"]
