"""Whoever comes to an onion of ours without business there gets nothing, learns nothing and blocks nobody."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from chattor_bridge.errors import ChattorError
from chattor_bridge.ids import NodeId, OnionKey
from chattor_bridge.node.happenings import ContactAdded, KnockLeft, KnockReceived
from chattor_bridge.node.ports import Stream, Transaction
from chattor_bridge.node.proving import Proving
from chattor_bridge.node.records import Contact, NodeRecord
from chattor_bridge.protocol.effort import Proof
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.friendcode import FriendCode
from chattor_bridge.protocol.introduction import Introduction
from chattor_bridge.protocol.knock import KnockingSide, KnockReady
from chattor_bridge.protocol.limits import (
    DOOR_STREAM_TIMEOUT,
    HANDSHAKE_TIMEOUT,
    LINK_TIMEOUT,
    MAX_DOOR_STREAMS,
    MAX_UNPROVEN_STREAMS,
)
from chattor_bridge.protocol.link import Link, LinkKeys, Pattern
from chattor_bridge.protocol.primitives import ed25519_public
from chattor_bridge.protocol.session import Session
from tests.node.puppet import Puppet
from tests.node.world import PATIENCE, Person, World, read_to_end

GARBAGE = {
    "noise": secrets.token_bytes(4096),
    "a length too long": b"\xff\xff" + bytes(65_535),
    "an empty message": b"\x00\x00",
    "a message of zeros": frame(bytes(1024)),
    "half a message": frame(bytes(1024))[:500],
    "http": b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
}


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_at_a_door_ends_its_own_stream(world: World, data: bytes) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    async with _dial(world, FriendCode.parse(code).door) as stream:
        await stream.write(data)
        answer = await _answer_of(world, stream, DOOR_STREAM_TIMEOUT)
    assert answer == b""
    await anna.add(code)
    await ben.until(lambda: bool(ben.of(KnockReceived)))
    assert (await ben.node.status()).counters.door_refused == 1


@pytest.mark.parametrize("data", GARBAGE.values(), ids=GARBAGE.keys())
async def test_garbage_at_a_friends_onion_gets_no_answer_and_harms_no_link(world: World, data: bytes) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await _hosted(anna)
    async with _dial(world, onion, key) as stream:
        await stream.write(data)
        answer = await _answer_of(world, stream, HANDSHAKE_TIMEOUT)
    assert answer == b""
    await anna.say(peer_id, "still here")
    await ben.until(lambda: ben.texts() == ["still here"])
    assert (await anna.node.status()).counters.strangers == 1


async def test_silent_streams_at_a_door_are_closed_and_keep_nobody_out(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    door = FriendCode.parse(code).door
    silent = [await _open(world, door) for _ in range(MAX_DOOR_STREAMS + 10)]
    await anna.add(code)
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    assert await read_to_end(silent[0]) == b""  # it made room
    await world.clock.advance(DOOR_STREAM_TIMEOUT)
    for stream in silent:
        assert await read_to_end(stream) == b""
        await stream.close()


async def test_a_knock_whose_proof_is_being_checked_makes_no_room(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    checking, go_on = asyncio.Event(), asyncio.Event()
    effort_of = Proving.effort

    async def effort(self: Proving, proof: Proof) -> int:
        checking.set()
        await go_on.wait()
        return await effort_of(self, proof)

    monkeypatch.setattr(Proving, "effort", effort)
    anna, ben = await world.person("Anna"), await world.person("Ben")
    code = await ben.code()
    await anna.add(code)
    await asyncio.wait_for(checking.wait(), PATIENCE)
    silent = [await _open(world, FriendCode.parse(code).door) for _ in range(MAX_DOOR_STREAMS + 10)]
    assert await read_to_end(silent[0]) == b""
    go_on.set()
    await anna.until(lambda: bool(anna.of(KnockLeft)))
    for stream in silent:
        await stream.close()


async def test_a_door_fed_byte_by_byte_gives_up(world: World) -> None:
    ben = await world.person("Ben")
    door = FriendCode.parse(await ben.code()).door
    async with _dial(world, door) as stream:
        for byte in b"\x00\xff slow":
            await stream.write(bytes([byte]))
            await world.clock.advance(DOOR_STREAM_TIMEOUT / 4)
            await asyncio.sleep(0)
            if (await ben.node.status()).counters.door_refused:
                break
        assert await read_to_end(stream) == b""
    assert (await ben.node.status()).counters.door_refused == 1


async def test_silent_streams_at_a_friends_onion_keep_the_friend_not_out(world: World) -> None:
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await _hosted(anna)
    await ben.house.stop()
    silent = [await _open(world, onion, key) for _ in range(MAX_UNPROVEN_STREAMS + 5)]
    await ben.house.start()
    await ben.until(lambda: ben.online(peer_id), time_passes=True)
    for stream in silent:
        await stream.close()


async def test_a_replayed_first_message_takes_no_link_away(world: World) -> None:
    """Somebody between recorded how the friend dialled, and says it again: it cannot say what follows."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await _hosted(anna)
    async with ben.house.store.transaction() as tx:
        (contact,) = await ben.house.store.contacts.of_node(tx, ben.node_id)
    session = Session.deserialize(contact.session)
    keys = LinkKeys(contact.own_static, contact.peer_static, session.link_psk, Pattern.KK, contact.role)
    recorded = Link.dial(keys, onion, secrets.token_bytes).data_to_send()
    async with _dial(world, onion, key) as stream:
        await stream.write(recorded)
        assert await stream.read()  # message 2 does come, and is of no use to whoever replays
        await anna.say(peer_id, "on the old link")
        await ben.until(lambda: ben.texts() == ["on the old link"])
        assert anna.house.diary.links[anna.node_id, peer_id]
        await world.clock.pass_slowly(LINK_TIMEOUT + 20)
        await read_to_end(stream)
    assert anna.online(peer_id)


async def test_a_friend_without_the_session_key_is_not_let_in(world: World) -> None:
    """Static keys alone do not open a link; the accepting handshake is answered no more once a KK was seen."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    onion, key = await _hosted(anna)
    await ben.house.stop()
    await ben.house.start()
    await anna.until(lambda: anna.online(peer_id), time_passes=True)
    async with ben.house.store.transaction() as tx:
        (contact,) = await ben.house.store.contacts.of_node(tx, ben.node_id)
    psk = Session.deserialize(contact.session).link_psk
    attempts = [
        LinkKeys(contact.own_static, contact.peer_static, secrets.token_bytes(32), Pattern.KK, "owner"),
        LinkKeys(secrets.token_bytes(32), contact.peer_static, psk, Pattern.KK, "owner"),
        LinkKeys(contact.own_static, contact.peer_static, psk, Pattern.IK, "owner"),
    ]
    for keys in attempts:
        async with _dial(world, onion, key) as stream:
            await stream.write(Link.dial(keys, onion, secrets.token_bytes).data_to_send())
            assert await read_to_end(stream) == b""
    assert (await anna.node.status()).counters.strangers == len(attempts)


async def test_a_knock_is_not_accepted_again_under_another_key(world: World) -> None:
    """Until the friend has shown that it learnt of the answer it may accept again, but as nobody else."""
    anna, ben = await world.person("Anna"), await world.person("Ben")
    peer_id = await anna.befriend(ben)
    puppet = await Puppet.of(ben)
    await anna.until(lambda: not anna.online(peer_id))
    async with anna.house.store.transaction() as tx:
        contact = await anna.house.store.contacts.for_update(tx, anna.node_id, peer_id)
        assert contact is not None
        await anna.house.store.contacts.save(tx, replace(contact, established=False))
    true, puppet.contact = puppet.contact, replace(puppet.contact, own_static=secrets.token_bytes(32))
    with pytest.raises(EOFError):
        await puppet.dial(anna, Pattern.IK)
    puppet.contact = true
    await puppet.dial(anna, Pattern.IK)
    await puppet.close()


async def test_nothing_sent_to_one_nodes_onion_reaches_or_reveals_another(world: World) -> None:
    """Three nodes in one process. Whatever is meant for one of them is nothing at the onions of the others."""
    house = await world.house("shared")
    one, two, three = [await house.person(name, name.title()) for name in ("one", "two", "three")]
    outsider = await world.person("Outsider")
    for person in (one, two, three):
        await person.befriend(outsider)  # each of the three hosts an onion for the outsider
    codes = {person.owner: await person.code() for person in (one, two, three)}

    # A knock for the door of one, taken word for word to the doors of the others, is nobody's knock.
    for victim in (two, three):
        assert not await _knock_elsewhere(world, codes[one.owner], FriendCode.parse(codes[victim.owner]).door)
        assert await victim.node.requests() == []
    assert await one.node.requests() == []

    # The outsider's key for one node opens neither the descriptor nor the link of another.
    contacts = await _contacts(outsider)
    hosted = {person.owner: await _hosted(person) for person in (one, two, three)}
    by_onion = {contact.peer_onion: contact for contact in contacts}
    for owner, (onion, _) in hosted.items():
        for other, (elsewhere, key) in hosted.items():
            if other == owner:
                continue
            contact = by_onion[onion]
            session = Session.deserialize(contact.session)
            with pytest.raises(ChattorError):
                await world.network.transport().dial(
                    elsewhere, client_key=session.onion_auth_key(elsewhere), isolation="x", timeout=5
                )
            keys = LinkKeys(contact.own_static, contact.peer_static, session.link_psk, Pattern.KK, contact.role)
            async with _dial(world, elsewhere, key) as stream:
                await stream.write(Link.dial(keys, elsewhere, secrets.token_bytes).data_to_send())
                assert await read_to_end(stream) == b""

    # Each one's messages arrive at that one alone.
    for person, contact in zip((one, two, three), contacts, strict=True):
        await outsider.say(contact.peer_id, f"for {person.owner}")
    for person in (one, two, three):
        await person.until(lambda person=person: bool(person.texts()))  # type: ignore[misc]
        assert person.texts() == [f"for {person.owner}"]


async def test_two_nodes_of_one_process_become_friends_like_any_others(world: World) -> None:
    house = await world.house("shared")
    anna, ben = await house.person("anna", "Anna"), await house.person("ben", "Ben")
    peer_id = await anna.befriend(ben)
    assert [added.name for added in ben.of(ContactAdded)] == ["Anna"]
    await anna.say(peer_id, "to you")
    await ben.say(peer_id, "and to you")
    await ben.until(lambda: ben.texts() == ["to you"])
    await anna.until(lambda: anna.texts() == ["and to you"])


async def test_a_node_that_fails_takes_no_other_down(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    house = await world.house("shared")
    anna, ben = await house.person("anna", "Anna"), await house.person("ben", "Ben")
    cleo = await world.person("Cleo")
    peer_id = await cleo.befriend(ben)

    nodes, mended = house.store.nodes, False
    get = nodes.get

    async def broken(tx: Transaction, node_id: NodeId) -> NodeRecord | None:
        if node_id == anna.node_id and not mended:
            raise RuntimeError("a bug")
        return await get(tx, node_id)

    monkeypatch.setattr(nodes, "get", broken)
    anna.node.work.look_again()
    await world.clock.pass_slowly(60)
    (line, *_) = (await anna.node.status()).work
    assert line.failures > 0
    await cleo.say(peer_id, "all well?")
    await ben.until(lambda: ben.texts() == ["all well?"])
    mended = True
    await world.clock.pass_slowly(60)
    assert (await anna.node.status()).work[0].failures == 0


# --- what strangers do -----------------------------------------------------------------------------------------------


async def _open(world: World, onion: OnionKey, client_key: bytes | None = None) -> Stream:
    transport = world.network.transport()
    return await transport.dial(onion, client_key=client_key, isolation="stranger", timeout=5)


@asynccontextmanager
async def _dial(world: World, onion: OnionKey, client_key: bytes | None = None) -> AsyncIterator[Stream]:
    stream = await _open(world, onion, client_key)
    try:
        yield stream
    finally:
        await stream.close()


async def _answer_of(world: World, stream: Stream, limit: float) -> bytes:
    """Everything the other side says until it hangs up, which it does within ``limit`` virtual seconds."""
    reading = asyncio.ensure_future(read_to_end(stream))
    await asyncio.sleep(0.05)
    await world.clock.advance(limit)
    return await asyncio.wait_for(reading, PATIENCE)


async def _contacts(person: Person) -> list[Contact]:
    async with person.house.store.transaction() as tx:
        return await person.house.store.contacts.of_node(tx, person.node_id)


async def _hosted(person: Person) -> tuple[OnionKey, bytes]:
    """The onion this person hosts for its first friend, and the key that opens its descriptor."""
    contact = (await _contacts(person))[0]
    assert contact.hosted_seed is not None
    onion = OnionKey(ed25519_public(contact.hosted_seed))
    return onion, Session.deserialize(contact.session).onion_auth_key(onion)


async def _knock_elsewhere(world: World, code: str, door: OnionKey) -> bool:
    """Knock with the code of one door at another; whether a knock could be made at all."""
    introduction = Introduction("Stranger", "", OnionKey(ed25519_public(secrets.token_bytes(32))))
    side = KnockingSide(
        FriendCode.parse(code),
        introduction,
        static_key=secrets.token_bytes(32),
        random=secrets.token_bytes,
        now=world.clock.now(),
    )
    async with _dial(world, door) as stream:
        await stream.write(side.start())
        try:
            return any(isinstance(event, KnockReady) for event in side.receive(await stream.read()))
        except ChattorError:
            return False
