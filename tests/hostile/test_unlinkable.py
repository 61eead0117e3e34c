"""Two friends of one person put together everything they have of it: docs/threat-model.md, "Two colluding friends"."""

from __future__ import annotations

from dataclasses import astuple

from chattor_bridge.node.records import Contact
from chattor_bridge.protocol import cbor
from tests.hostile.attacker import contacts_of
from tests.node.world import World

SHORTEST = 12
"""Bytes: less than any key, address or id has, more than chance makes equal."""


async def test_two_friends_find_nothing_of_one_person_that_is_the_same(world: World) -> None:
    """Whether it knocked at theirs or they at one code of its own. The profile name is the person's to give."""
    anna, ben, carol, dora = [await world.person(name) for name in ("Anna", "Ben", "Carol", "Dora")]
    await anna.befriend(ben)
    await anna.befriend(carol)
    await dora.befriend(anna)
    seen = [_pieces((await contacts_of(friend))[0]) for friend in (ben, carol, dora)]
    assert all(len(pieces) > 10 for pieces in seen)
    for number, one in enumerate(seen):
        for other in seen[number + 1 :]:
            assert not one & other


def _pieces(value: object) -> set[bytes]:
    """Every piece of bytes in what a friend has stored of the other, the session opened up."""
    if isinstance(value, Contact):
        session = cbor.decode(value.session)
        # its own side's node and keys are not what it learnt, and differ anyway
        return _pieces(astuple(value)) | _pieces(session)
    if isinstance(value, bytes):
        return {value} if SHORTEST <= len(value) <= 64 else set()
    if isinstance(value, dict):
        return set().union(*(_pieces(item) for item in value.values()))
    if isinstance(value, list | tuple):
        return set().union(*(_pieces(item) for item in value))
    return set()
