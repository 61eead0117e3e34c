"""docs/protocol/carriers.md, "Depositing"."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chattor_bridge.errors import AuthenticationFailed, MalformedData, PeerMisbehaved, UsageError
from chattor_bridge.ids import OnionKey
from chattor_bridge.protocol import cbor
from chattor_bridge.protocol.carrying import Deposit
from chattor_bridge.protocol.deposit import BlockReceived, CarrierEnd, DepositorEnd, Stored, auth_key
from chattor_bridge.protocol.limits import BLOCK_SIZE, HANDSHAKE_SIZE, LINK_SIZES, MAX_SHELF_BLOCKS
from chattor_bridge.protocol.primitives import x25519_public
from tests.protocol.sources import Source, onion_key

_STATIC, _CAPABILITY = Source("static")(32), Source("capability")(32)
_ONION = onion_key("shelf")
_SMALL_ORDER = bytes.fromhex("e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800")


def _pair(
    *, static: bytes = _STATIC, onion: OnionKey = _ONION, capability: bytes = _CAPABILITY
) -> tuple[DepositorEnd, CarrierEnd]:
    """Both ends before their handshake; what is given differs at the depositor."""
    depositor = DepositorEnd(Deposit(onion, x25519_public(static), capability), Source("depositor"))
    return depositor, CarrierEnd(_STATIC, _ONION, _CAPABILITY, Source("carrier"))


def _established() -> tuple[DepositorEnd, CarrierEnd]:
    depositor, carrier = _pair()
    carrier.receive(depositor.data_to_send())
    depositor.receive(carrier.data_to_send())
    return depositor, carrier


def _block(number: int) -> bytes:
    return Source(f"block {number}")(BLOCK_SIZE)


def test_blocks_arrive_in_order_and_are_said_to_be_stored() -> None:
    depositor, carrier = _established()
    assert depositor.room == 0
    told = [depositor.told]
    carrier.stored(0, 3)
    assert depositor.receive(carrier.data_to_send()) == [Stored(0, 3)]
    assert [*told, depositor.told] == [False, True]
    for number in range(3):
        assert depositor.room == 3 - number
        depositor.send(_block(number))
    assert carrier.receive(depositor.data_to_send()) == [BlockReceived(_block(number)) for number in range(3)]
    carrier.stored(2, 1)
    carrier.stored(3, 1)  # its owner has collected one meanwhile
    assert depositor.receive(carrier.data_to_send()) == [Stored(2, 1), Stored(3, 1)]
    assert depositor.room == 1


def test_there_is_no_room_when_others_took_it_meanwhile() -> None:
    depositor, carrier = _established()
    carrier.stored(0, 3)
    depositor.receive(carrier.data_to_send())
    for number in range(3):
        depositor.send(_block(number))
    carrier.stored(1, 0)
    depositor.receive(carrier.data_to_send())
    assert depositor.room == 0
    with pytest.raises(UsageError, match="no room"):
        depositor.send(_block(3))


@given(st.lists(st.integers(1, 5_000), min_size=1, max_size=30))
def test_bytes_come_in_any_pieces(sizes: list[int]) -> None:
    depositor, carrier = _pair()
    carrier.receive(depositor.data_to_send())
    carrier.stored(0, 2)
    answer = carrier.data_to_send()
    said: list[Stored] = []
    for at in range(0, len(answer), sizes[0]):
        said += depositor.receive(answer[at : at + sizes[0]])
    assert said == [Stored(0, 2)]
    depositor.send(_block(1))
    data, blocks = depositor.data_to_send(), []
    for size in sizes:
        blocks += carrier.receive(data[:size])
        data = data[size:]
    blocks += carrier.receive(data)
    assert blocks == [BlockReceived(_block(1))]


def test_both_handshake_messages_and_all_later_ones_have_one_size_each() -> None:
    depositor, carrier = _pair()
    first = depositor.data_to_send()
    carrier.receive(first)
    second = carrier.data_to_send()
    depositor.receive(second)
    carrier.stored(0, 128)
    small = carrier.data_to_send()
    depositor.receive(small)
    depositor.send(_block(1))
    assert {len(first), len(second)} == {HANDSHAKE_SIZE + 2}
    assert (len(small), len(depositor.data_to_send())) == (1_026, 18_434)


@pytest.mark.parametrize(
    "differing",
    [
        {"static": Source("another static")(32)},
        {"onion": onion_key("another")},
        {"capability": Source("another capability")(32)},
    ],
    ids=lambda one: next(iter(one)),
)
def test_who_does_not_know_the_shelf_gets_no_answer(differing: dict[str, bytes]) -> None:
    depositor, carrier = _pair(**differing)  # type: ignore[arg-type]
    with pytest.raises(AuthenticationFailed):
        carrier.receive(depositor.data_to_send())
    assert carrier.data_to_send() == b""
    assert not carrier.established


def test_a_shelf_with_a_key_of_small_order_is_not_used() -> None:
    with pytest.raises(AuthenticationFailed):
        DepositorEnd(Deposit(_ONION, _SMALL_ORDER, _CAPABILITY), Source("depositor"))


def test_a_replayed_handshake_deposits_nothing() -> None:
    depositor, carrier = _pair()
    first = depositor.data_to_send()
    carrier.receive(first)
    carrier.stored(0, 5)
    depositor.receive(carrier.data_to_send())
    depositor.send(_block(1))
    recorded = depositor.data_to_send()
    again = CarrierEnd(_STATIC, _ONION, _CAPABILITY, Source("another time"))
    again.receive(first)
    again.stored(0, 5)
    with pytest.raises(AuthenticationFailed):
        again.receive(recorded)


def test_a_block_beyond_the_room_is_a_violation() -> None:
    depositor, carrier = _established()
    carrier.stored(0, 1)
    depositor.receive(carrier.data_to_send())
    depositor.send(_block(1))
    with pytest.raises(UsageError):
        depositor.send(_block(2))
    depositor._stored = Stored(0, 2)  # a depositor that does not count
    depositor.send(_block(2))
    said = depositor.data_to_send()
    carrier.stored(0, 1)  # waits to be written
    with pytest.raises(MalformedData):
        carrier.receive(said)
    with pytest.raises(PeerMisbehaved):
        carrier.receive(b"")
    assert carrier.data_to_send() == b""


@pytest.mark.parametrize("size", [0, 1, BLOCK_SIZE - 1, BLOCK_SIZE + 1])
def test_what_is_no_block_is_not_kept(size: int) -> None:
    depositor, carrier = _established()
    carrier.stored(0, 1)
    depositor.receive(carrier.data_to_send())
    depositor._say(bytes(size), LINK_SIZES[2])  # a depositor that does not measure
    with pytest.raises(MalformedData):
        carrier.receive(depositor.data_to_send())


def test_nothing_is_read_or_said_after_what_does_not_open() -> None:
    depositor, carrier = _established()
    carrier.stored(0, 1)
    depositor.receive(carrier.data_to_send())
    depositor.send(_block(1))
    damaged = bytearray(depositor.data_to_send())
    damaged[-1] ^= 1
    carrier.stored(0, 1)
    with pytest.raises(AuthenticationFailed):
        carrier.receive(bytes(damaged))
    with pytest.raises(AuthenticationFailed):
        carrier.receive(b"")
    assert carrier.data_to_send() == b""


def test_a_message_that_is_smaller_than_any_is_a_violation() -> None:
    depositor, carrier = _established()
    carrier._say(cbor.encode({"room": 1, "stored": 0}), 500)  # a carrier that saves
    with pytest.raises(MalformedData):
        depositor.receive(carrier.data_to_send())


def test_a_carrier_that_speaks_before_it_has_said_what_room_there_is() -> None:
    depositor, carrier = _established()
    depositor._stored = Stored(0, 1)
    depositor.send(_block(1))
    with pytest.raises(MalformedData):
        carrier.receive(depositor.data_to_send())


@pytest.mark.parametrize("said", [[(1, 5)], [(0, 5), (0, 6)]], ids=["more than was sent", "nothing new"])
def test_a_carrier_that_miscounts_is_left(said: list[tuple[int, int]]) -> None:
    depositor, carrier = _established()
    for count, room in said:
        carrier.stored(count, room)
    with pytest.raises(MalformedData):
        depositor.receive(carrier.data_to_send())


def test_what_is_no_block_is_not_sent() -> None:
    depositor, carrier = _established()
    carrier.stored(0, 1)
    depositor.receive(carrier.data_to_send())
    with pytest.raises(ValueError):
        depositor.send(bytes(BLOCK_SIZE - 1))


def test_nothing_is_said_before_the_handshake() -> None:
    _, carrier = _pair()
    with pytest.raises(UsageError):
        carrier.stored(0, 1)


@pytest.mark.parametrize("at", [2, 30, 34, 1_000])
def test_a_damaged_handshake_is_refused(at: int) -> None:
    depositor, carrier = _pair()
    first = bytearray(depositor.data_to_send())
    first[at] ^= 1
    with pytest.raises(PeerMisbehaved):
        carrier.receive(bytes(first))


def test_the_keys_of_descriptors_differ_by_shelf() -> None:
    keys = {auth_key(_CAPABILITY, _ONION), auth_key(_CAPABILITY, onion_key("another")), auth_key(_STATIC, _ONION)}
    assert len(keys) == 3


def test_more_blocks_than_a_shelf_holds_go_over_one_stream() -> None:
    """Its owner collects meanwhile."""
    depositor, carrier = _established()
    carrier.stored(0, 1)
    for number in range(1, MAX_SHELF_BLOCKS + 2):
        depositor.receive(carrier.data_to_send())
        depositor.send(_block(number))
        carrier.receive(depositor.data_to_send())
        carrier.stored(number, 1)
    assert depositor.receive(carrier.data_to_send()) == [Stored(MAX_SHELF_BLOCKS + 1, 1)]
