"""A friend who turned hostile begins resyncs, and does not end them, or not as it should."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import replace

import pytest

from chattor_bridge.ids import EventId, PeerId
from chattor_bridge.node.happenings import SESSION_RENEWED
from chattor_bridge.protocol.events import Text, decode_event
from chattor_bridge.protocol.frames import Bye, EnvelopeFrame, Hello, ResyncAnswer, ResyncDone, ResyncStart
from chattor_bridge.protocol.limits import MAX_RESYNC_CANDIDATES
from chattor_bridge.protocol.resync import answer
from chattor_bridge.protocol.session import Session
from tests.node.puppet import Puppet
from tests.node.renewing import session_of, told
from tests.node.world import Person, World

LINKS = 12
"""Several times as many as a friend may have, or are remembered."""


async def _said(puppet: Puppet) -> str:
    """What the next envelope says."""
    frame = await puppet.hear(EnvelopeFrame)
    opened = puppet.session.open(frame.envelope, random=secrets.token_bytes, now=puppet.contact.created_at)
    assert opened.inner is not None
    body = decode_event(opened.inner).body
    assert isinstance(body, Text)
    return body.text


async def _answered(puppet: Puppet) -> tuple[ResyncAnswer, Session]:
    """An answer to the start that comes next, and the session that it is about."""
    start = await puppet.hear(ResyncStart)
    now = puppet.contact.created_at
    return answer(start, puppet.session, puppet.handshake_hash, random=secrets.token_bytes, now=now)


@pytest.mark.parametrize("who", ["knocker", "owner"])
async def test_resyncs_that_are_begun_and_never_ended_change_nothing(world: World, who: str) -> None:
    """However many, on links that all stay open; of several friends that one alone waits for its messages."""
    anna, ben, carol = [await world.person(name) for name in ("Anna", "Ben", "Carol")]
    peer = await (anna.befriend(ben) if who == "knocker" else ben.befriend(anna))
    honest = await anna.befriend(carol)
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer))
    before = await session_of(anna, peer)
    links = [Puppet(puppet.contact, world.clock) for _ in range(LINKS)]
    for link in links:
        await link.greet(anna)
        await link.say(link.start_resync().frame)
        await link.hear(ResyncAnswer)
    await anna.say(peer, "for Ben")
    await anna.say(honest, "for Carol")
    await carol.say(honest, "for Anna")
    await carol.until(lambda: carol.texts() == ["for Carol"])
    await anna.until(lambda: anna.texts() == ["for Anna"])
    session = await session_of(anna, peer)
    assert session.session_id == before.session_id
    assert len(session.renewal.candidates) == MAX_RESYNC_CANDIDATES
    assert told(anna, SESSION_RENEWED) == []
    for link in links:
        await link.close()
    await puppet.greet(anna)
    assert await _said(puppet) == "for Ben"
    await puppet.close()


_DAMAGES: dict[str, Callable[[ResyncAnswer], ResyncAnswer]] = {
    "ratchet": lambda said: replace(said, ratchet_ciphertext=bytes(len(said.ratchet_ciphertext))),
    "header": lambda said: replace(said, ratchet_header=bytes(len(said.ratchet_header))),
    "key": lambda said: replace(said, head=said.head[:-1] + bytes([said.head[-1] ^ 1])),
}


@pytest.mark.parametrize("damage", _DAMAGES)
async def test_a_wrong_answer_ends_the_link_and_changes_nothing(
    anna: Person, peer: PeerId, puppet: Puppet, damage: str
) -> None:
    before = await session_of(anna, peer)
    async with anna.house.store.transaction() as tx:
        await anna.node.renew_session(tx, peer)
    for _ in range(3):
        await puppet.greet(anna)
        said, _ = await _answered(puppet)
        await puppet.say(_DAMAGES[damage](said))
        with pytest.raises(EOFError):
            await puppet.hear(ResyncDone)
    assert (await session_of(anna, peer)).session_id == before.session_id
    assert told(anna, SESSION_RENEWED) == []
    await puppet.greet(anna)
    said, renewed = await _answered(puppet)
    await puppet.say(said)
    await puppet.hear(ResyncDone)
    assert (await session_of(anna, peer)).session_id == renewed.session_id


_LIES: tuple[Callable[[Hello], Hello], ...] = (
    lambda hello: replace(hello, session_id=secrets.token_bytes(16)),
    lambda hello: replace(hello, highest_received=hello.highest_received + 1_000),
    lambda hello: replace(hello, highest_sent=0),
    lambda hello: replace(hello, epoch=hello.epoch + 10),
)


async def test_a_hello_that_contradicts_on_every_link_changes_nothing(
    anna: Person, peer: PeerId, puppet: Puppet
) -> None:
    before = await session_of(anna, peer)
    await anna.say(peer, "for Ben")
    starts = set()
    for lie in _LIES * 3:
        await puppet.dial(anna)
        await puppet.say(lie(puppet.hello()))
        starts.add((await puppet.hear(ResyncStart)).encoded)
        await puppet.say(Bye("closing"))
    assert len(starts) == 3 * len(_LIES)  # each with keys of its own
    after = await session_of(anna, peer)
    assert (after.session_id, after.renewal.candidates) == (before.session_id, ())
    assert told(anna, SESSION_RENEWED) == []
    await puppet.greet(anna)
    said, puppet.session = await _answered(puppet)
    await puppet.say(said)
    await puppet.hear(ResyncDone)
    await puppet.close()
    await puppet.greet(anna)
    assert await _said(puppet) == "for Ben"


async def test_what_was_shown_is_not_shown_again_under_a_new_session(
    anna: Person, peer: PeerId, puppet: Puppet
) -> None:
    event_id = EventId(secrets.token_bytes(16))
    await puppet.greet(anna)
    await puppet.say(EnvelopeFrame(puppet.seal(Text("said"), event_id)))
    await anna.until(lambda: anna.texts() == ["said"])
    starting = puppet.start_resync()
    await puppet.say(starting.frame)
    said = await puppet.hear(ResyncAnswer)
    puppet.session = starting.finish(said, puppet.session, random=secrets.token_bytes, now=puppet.contact.created_at)
    await puppet.say(ResyncDone())
    assert await puppet.hear(Bye) == Bye("renewed")
    await puppet.greet(anna)
    await puppet.say(EnvelopeFrame(puppet.seal(Text("said"), event_id)), EnvelopeFrame(puppet.seal(Text("afterwards"))))
    await anna.until(lambda: "afterwards" in anna.texts())
    assert anna.texts() == ["said", "afterwards"]
