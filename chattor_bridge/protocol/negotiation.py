"""Which version and which capabilities two friends use. Implements docs/protocol/link.md, "Negotiation".

Both offers travel inside an authenticated transcript (the knock, or the hellos of a link), so nobody in between can
take anything out of them; and a friendship never goes below a version it has used, so neither can an old backup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from chattor_bridge.errors import NoCommonVersion
from chattor_bridge.protocol.events import EVENT_TYPES

PROTOCOL_VERSIONS: Final = (1,)
"""Versions of the protocol this program speaks, ascending."""

CAPABILITIES: Final = EVENT_TYPES
"""What this program understands beyond the bare version, sorted: one name for every type of event."""


class Offer(Protocol):
    """What one side speaks; `frames.Hello` and `introduction.Introduction` are offers."""

    @property
    def versions(self) -> Sequence[int]: ...
    @property
    def capabilities(self) -> Sequence[str]: ...


@dataclass(frozen=True, slots=True)
class Ours:
    """Our own offer."""

    versions: tuple[int, ...] = PROTOCOL_VERSIONS
    capabilities: tuple[str, ...] = CAPABILITIES


@dataclass(frozen=True, slots=True)
class Agreed:
    """What both sides speak: one version, and capabilities sorted."""

    version: int
    capabilities: tuple[str, ...]


def negotiate(ours: Offer, theirs: Offer, floor: int) -> Agreed:
    """The highest version in both offers and the capabilities in both.

    ``floor`` is the highest version ever used with this friend, 0 when there was none.

    Raises: NoCommonVersion when there is none in both, or only below the floor.
    """
    common = set(ours.versions) & set(theirs.versions)
    if not common:
        raise NoCommonVersion("this friend's program and ours speak no common version; the older one needs an update")
    version = max(common)
    if version < floor:
        raise NoCommonVersion("this friend's program offers only versions older than one used before")
    return Agreed(version, tuple(sorted(set(ours.capabilities) & set(theirs.capabilities))))
