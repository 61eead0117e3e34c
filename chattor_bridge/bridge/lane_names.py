"""Which lane an action waits in.

A *lane* is a queue (`chattor_bridge.bridge.lanes`). Everything said in a portal shares one, and everything the bot says
to one owner elsewhere shares another, so that it is read in the order it happened.
"""

from __future__ import annotations

from chattor_bridge.bridge.records import Portal
from chattor_bridge.ids import MatrixRoomId, MatrixUserId


def owner_lane(owner: MatrixUserId) -> str:
    """The lane of everything the bot says to this owner outside portals."""
    return f"owner:{owner}"


def portal_lane(portal: Portal) -> str:
    """The lane of everything that happens in this portal."""
    return f"portal:{portal.ghost}"


def space_lane(owner: MatrixUserId) -> str:
    """The lane of everything about this owner's space."""
    return f"space:{owner}"


FILES = "files:"
"""How lanes of files begin."""


def files_lane(portal: Portal) -> str:
    """The lane of files in this portal, which may take long: what is said there does not wait for them."""
    return f"{FILES}{portal.ghost}"


def puppet_lane(owner: MatrixUserId) -> str:
    """The lane of everything done in this owner's name."""
    return f"puppet:{owner}"


def room_lane(room_id: MatrixRoomId) -> str:
    """The lane of a room that belongs to no owner."""
    return f"room:{room_id}"
