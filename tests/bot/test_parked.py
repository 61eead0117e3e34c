"""What was set aside can be seen, tried again in order, and dropped; by its owner alone, and across restarts."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from chattor_bridge.bridge.permissions import Level
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.matrix import text as conversion
from tests.bridge.fake_homeserver import BOT, DOMAIN, WAIT, Room
from tests.bridge.town import Town
from tests.peer import Peer

pytestmark = pytest.mark.engines("sqlite", "postgres")

POISON = "poison"


def _management(town: Town, portal: Room) -> Room:
    return next(room for room in town.homeserver.rooms.values() if room is not portal)


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Texts with the word in them break the conversion, until what the fixture gives is called."""
    healthy = conversion.html_to_markdown

    def breaks(source: str) -> str:
        if POISON in source:
            raise ZeroDivisionError
        return healthy(source)

    with monkeypatch.context() as patched:
        patched.setattr(conversion, "html_to_markdown", breaks)
        yield patched.undo


async def _poison(town: Town, portal: Room, *texts: str) -> None:
    before = len(portal.bodies(BOT))
    for text in texts:
        await town.say(portal, text)
    await town.homeserver.until(lambda: len(portal.bodies(BOT)) >= before + len(texts))
    assert "write `!chattor parked`" in portal.bodies(BOT)[-1]
    await town.idle()


async def test_nothing_parked_says_so(town: Town) -> None:
    room = await town.open_management()
    for command in ("parked", "parked retry", "parked drop all"):
        assert "Nothing is set aside" in await town.ask(room, command)
    assert "Say which" in await town.ask(room, "parked drop")


async def test_parked_messages_are_listed_retried_in_order_and_blocked_nobody(
    town: Town, friend: Peer, poisoned: Callable[[], None]
) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    await _poison(town, portal, f"first {POISON}", f"second {POISON}")
    await town.say(portal, "healthy")
    await friend.ears.wait_until(lambda: friend.ears.texts() == ["healthy"], WAIT)
    assert (await town.bridge.status()).parked == 2
    listed = await town.ask(room, "parked")
    assert listed.count("what you wrote") == 2
    assert "ZeroDivisionError" in listed
    assert POISON not in listed

    await town.restart()
    poisoned()
    assert "I try again: 2" in await town.ask(room, "parked retry")
    everything = ["healthy", f"first {POISON}", f"second {POISON}"]
    await friend.ears.wait_until(lambda: len(friend.ears.texts()) == 3, WAIT)
    assert friend.ears.texts() == everything
    assert "Nothing is set aside" in await town.ask(room, "parked")


async def test_one_can_be_dropped_and_one_retried_and_numbers_stay(
    town: Town, friend: Peer, poisoned: Callable[[], None]
) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    await _poison(town, portal, *(f"{number} {POISON}" for number in range(3)))
    await town.ask(room, "parked")
    assert "Given up: 1" in await town.ask(room, "parked drop 1")
    assert "no such" in await town.ask(room, "parked drop 1")
    poisoned()
    assert "I try again: 1" in await town.ask(room, "parked retry 3")
    await friend.ears.wait_until(lambda: friend.ears.texts() == [f"2 {POISON}"], WAIT)
    listed = await town.ask(room, "!chattor parked")
    assert "2 [what you wrote]" in listed.replace("*", "")
    assert "Given up: 1" in await town.ask(room, "parked drop all")


async def test_what_fails_again_is_set_aside_again_and_told(
    town: Town, friend: Peer, poisoned: Callable[[], None]
) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    await _poison(town, portal, POISON)
    before = len(portal.bodies(BOT))
    await town.ask(room, "parked retry")
    await town.homeserver.until(lambda: len(portal.bodies(BOT)) > before)
    await town.idle()
    assert (await town.bridge.status()).parked == 1


async def test_a_message_the_homeserver_refused_is_shown_when_it_is_retried(town: Town, friend: Peer) -> None:
    portal = await town.befriend(friend)
    room = _management(town, portal)
    ghost = (await town.portal(portal)).ghost
    town.homeserver.refusals.append(
        lambda method, user, _: "M_TOO_LARGE" if (method, user) == ("send", ghost) else None
    )
    peer_id = await friend.friend(WAIT)
    before = len(room.bodies(BOT))
    await friend.send(peer_id, "too much")
    await town.homeserver.until(lambda: len(room.bodies(BOT)) > before)
    assert "parked" in room.bodies(BOT)[-1]
    town.homeserver.refusals.clear()
    await friend.send(peer_id, "and more")
    await town.homeserver.until(lambda: portal.bodies(ghost) == ["and more"])
    await town.idle()
    assert "something they said" in await town.ask(room, "parked")
    await town.ask(room, "parked retry 1")
    await town.homeserver.until(lambda: portal.bodies(ghost) == ["and more", "too much"])
    await town.idle()
    assert (await town.bridge.status()).parked == 0


async def test_nobody_sees_or_touches_what_is_another_s(town: Town, friend: Peer, poisoned: Callable[[], None]) -> None:
    portal = await town.befriend(friend)
    await _poison(town, portal, POISON)
    operator = MatrixUserId(f"@operator:{DOMAIN}")
    town.levels[operator] = Level.ADMIN
    room = await town.open_management(operator)
    for command in ("parked", "parked retry", "parked drop all"):
        assert "Nothing is set aside" in await town.ask(room, command, operator)
    text = await town.ask(room, "nodes", operator)
    assert "Set aside: 1." in text
    assert "1 set aside" in text
