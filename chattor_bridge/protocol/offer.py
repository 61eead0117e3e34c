"""What one side speaks, as it stands in bundles, knocks and hellos (docs/protocol/encoding.md, Offers).

Versions ascend and capabilities are sorted, each without repetition, so an offer has one encoding.
"""

from __future__ import annotations

import re
from typing import Final

from chattor_bridge.protocol.cbor import Fields
from chattor_bridge.protocol.limits import MAX_CAPABILITIES, MAX_CAPABILITY_NAME, MAX_VERSION, MAX_VERSIONS

_CAPABILITY: Final = re.compile(r"[a-z0-9._-]+", re.ASCII)


def read_versions(fields: Fields, name: str = "versions") -> tuple[int, ...]:
    """At least one version, ascending. Raises: MalformedData."""
    versions: list[int] = []
    for version in fields.list(name, at_most=MAX_VERSIONS):
        if type(version) is not int or not (versions[-1] if versions else 0) < version <= MAX_VERSION:
            raise fields.wrong(name)
        versions.append(version)
    if not versions:
        raise fields.wrong(name)
    return tuple(versions)


def read_capabilities(fields: Fields, name: str = "capabilities") -> tuple[str, ...]:
    """Capability names of ``a-z 0-9 . _ -``, sorted. Raises: MalformedData."""
    names: list[str] = []
    for capability in fields.list(name, at_most=MAX_CAPABILITIES):
        if not isinstance(capability, str) or len(capability) > MAX_CAPABILITY_NAME:
            raise fields.wrong(name)
        if not _CAPABILITY.fullmatch(capability) or (names and capability <= names[-1]):
            raise fields.wrong(name)
        names.append(capability)
    return tuple(names)
