"""docs/protocol/files.md, "Stream" and "Fetching"."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from chattor_bridge.errors import AuthenticationFailed, MalformedData, PeerMisbehaved, UsageError
from chattor_bridge.ids import FileId
from chattor_bridge.protocol.chunks import SealedChunk
from chattor_bridge.protocol.fetching import Bitmap, Fetching
from chattor_bridge.protocol.fileframes import (
    End,
    FileFrame,
    Open,
    Ready,
    Want,
    decode_file_frame,
    encode_file_frame,
)
from chattor_bridge.protocol.filestream import Begun, Ended, FileStream, Opened, Part
from chattor_bridge.protocol.framing import frame
from chattor_bridge.protocol.handshake import LinkKeys, Purpose
from chattor_bridge.protocol.limits import CHUNK_SIZE, CHUNKS_OF_GROUP, FILE_SIZES, MAX_CHUNKS_WANTED
from chattor_bridge.protocol.link import Established, Link, Pattern
from chattor_bridge.protocol.padding import pad
from chattor_bridge.protocol.primitives import TAG_SIZE
from tests.protocol.links import Friendship, messages_in
from tests.protocol.sources import Source
from tests.protocol.test_file_tree import data_of, offered

FILE = FileId(b"f" * 16)
FRIENDS = Friendship("files")


def _file_keys(keys: LinkKeys) -> LinkKeys:
    return replace(keys, purpose=Purpose.FILE)


def dialled(part: Part = Part.FETCHES) -> tuple[FileStream, FileStream]:
    """The dialling end, with its part, and the answering end, the file named."""
    dialling = FileStream.dial(
        _file_keys(FRIENDS.owner(Pattern.KK)), FRIENDS.onion, Source("file dialling"), FILE, part
    )
    keys = FRIENDS.knocker(Pattern.KK)
    link = Link.answer([keys, _file_keys(keys)], FRIENDS.onion, Source("file answering"))
    [established] = link.receive(dialling.data_to_send())
    assert isinstance(established, Established)
    assert established.candidate == 1
    answering = FileStream.answered(*link.hand_over())
    assert dialling.receive(answering.data_to_send()) == []
    assert answering.receive(dialling.data_to_send()) == [Opened(FILE)]
    return dialling, answering


def joined() -> tuple[FileStream, FileStream]:
    """A fetching and an offering end, open."""
    fetching, offering = dialled()
    offering.ready(Part.OFFERS)
    assert fetching.receive(offering.data_to_send()) == [Begun()]
    return fetching, offering


def test_a_file_stream_is_told_from_a_link_and_passes_for_none() -> None:
    dialling = FileStream.dial(
        _file_keys(FRIENDS.owner(Pattern.KK)), FRIENDS.onion, Source("file dialling"), FILE, Part.FETCHES
    )
    with pytest.raises(AuthenticationFailed):
        FRIENDS.answer(Pattern.KK).receive(dialling.data_to_send())
    link = FRIENDS.dial(Pattern.KK)
    only_files = Link.answer([_file_keys(FRIENDS.knocker(Pattern.KK))], FRIENDS.onion, Source("answering"))
    with pytest.raises(AuthenticationFailed):
        only_files.receive(link.data_to_send())


def test_nothing_is_shown_of_a_replayed_handshake() -> None:
    dialling = FileStream.dial(_file_keys(FRIENDS.owner(Pattern.KK)), FRIENDS.onion, Source("d"), FILE, Part.FETCHES)
    first = dialling.data_to_send()
    for _ in range(2):
        link = Link.answer([_file_keys(FRIENDS.knocker(Pattern.KK))], FRIENDS.onion, Source("a"))
        link.receive(first)
        answering = FileStream.answered(*link.hand_over())
        answering.data_to_send()
        with pytest.raises(UsageError):
            answering.ready(Part.OFFERS)  # nobody has shown that they are there


def test_chunks_go_over_however_the_bytes_arrive() -> None:
    fetching, offering = joined()
    data = data_of(3 * CHUNK_SIZE + 5)
    file = offered(data)
    fetching.want(0, 4)
    assert fetching.under_way == 4
    events = [event for byte in fetching.data_to_send() for event in offering.receive(bytes([byte]))]
    assert events == [Want(0, 4)]
    for chunk in file.sealed_chunks(0, data, 0, 4):
        offering.send(chunk)
    sent = offering.data_to_send()
    assert messages_in(sent) == [FILE_SIZES[1]] * 3 + [FILE_SIZES[0]]
    came = [event for at in range(0, len(sent), 7_001) for event in fetching.receive(sent[at : at + 7_001])]
    assert b"".join(file.content.check(*_parts(chunk)) for chunk in came) == data
    assert fetching.under_way == offering.under_way == 0


def _parts(chunk: object) -> tuple[int, bytes, tuple[bytes, ...]]:
    assert isinstance(chunk, SealedChunk)
    return chunk.index, chunk.sealed, chunk.path


def test_an_end_is_the_last_word() -> None:
    fetching, offering = joined()
    offering.end("later")
    offering.end("later")  # once is enough
    assert fetching.receive(offering.data_to_send()) == [Ended("later")]
    fetching.end("done")
    assert fetching.data_to_send() == b""
    with pytest.raises(UsageError):
        fetching.want(0, 1)


def test_an_answering_side_may_end_instead_of_opening() -> None:
    dialling, answering = dialled()
    answering.end("unknown")
    assert dialling.receive(answering.data_to_send()) == [Ended("unknown")]


CHUNK = SealedChunk(0, (), bytes(17))


def _say(stream: FileStream, said: FileFrame | bytes) -> bytes:
    """Bytes of the stream with this frame, whatever its sender may send."""
    assert stream._secured is not None
    encoded = said if isinstance(said, bytes) else encode_file_frame(said)
    size = next(size for size in FILE_SIZES if len(encoded) < size - TAG_SIZE)
    return frame(stream._secured.seal(pad(encoded, size - TAG_SIZE)))


@pytest.mark.parametrize(
    "said",
    [Open(FILE), Ready(), CHUNK, b"", b"\x09\x00\x00", b"\x02\x00\x05\xa0", Want(0, 1)],
    ids=["open", "ready", "chunk", "nothing", "unknown type", "wrong length", "want at a fetching side"],
)
def test_what_is_out_of_turn_is_a_violation(said: FileFrame | bytes) -> None:
    fetching, offering = joined()
    with pytest.raises(MalformedData):
        fetching.receive(_say(offering, said))
    with pytest.raises(PeerMisbehaved):
        fetching.receive(b"")
    with pytest.raises(PeerMisbehaved):
        fetching.want(0, 1)


def _violates(stream: FileStream, data: bytes) -> None:
    """These bytes end the stream: nothing is read or said any more."""
    stream._out += b"what waits to be written"
    with pytest.raises(MalformedData):
        stream.receive(data)
    with pytest.raises(MalformedData):
        stream.receive(b"")
    stream.end("done")
    assert stream.data_to_send() == b""


def test_an_answering_side_is_told_of_one_file_and_of_nothing_before() -> None:
    for said in (Open(FILE), Ready(), Want(0, 1), CHUNK):
        dialling, answering = dialled()
        _violates(answering, _say(dialling, said))
    for part, theirs in ((Part.FETCHES, Part.OFFERS), (Part.OFFERS, Part.FETCHES)):
        dialling, answering = dialled(theirs)
        answering.ready(part)
        _violates(answering, _say(dialling, Open(FILE)))


@pytest.mark.parametrize("part", list(Part))
def test_nothing_comes_on_a_stream_before_it_is_open(part: Part) -> None:
    for said in (Open(FILE), Want(0, 1), CHUNK):
        dialling, answering = dialled(part)
        _violates(dialling, _say(answering, said))


def test_each_side_keeps_to_its_part() -> None:
    fetching, offering = joined()
    fetching.want(0, 1)
    offering.receive(fetching.data_to_send())
    _violates(offering, _say(fetching, CHUNK))


def test_nothing_comes_after_the_last_word() -> None:
    fetching, offering = joined()
    offering.end("later")
    fetching.receive(offering.data_to_send())
    _violates(fetching, _say(offering, End("later")))


def test_our_own_mistakes_are_refused() -> None:
    fetching, offering = joined()
    mistakes: list[Callable[[], None]] = [
        lambda: offering.ready(Part.OFFERS),
        lambda: fetching.ready(Part.FETCHES),
        lambda: offering.want(0, 1),
        lambda: offering.send(CHUNK),
    ]
    for mistake in mistakes:
        with pytest.raises(UsageError):
            mistake()
    fetching.want(0, 2)
    offering.receive(fetching.data_to_send())
    for stream, chunk in ((offering, SealedChunk(1, (), bytes(17))), (fetching, CHUNK)):
        with pytest.raises(UsageError):
            stream.send(chunk)
    assert fetching.data_to_send() == offering.data_to_send() == b""
    offering.send(CHUNK)
    assert fetching.receive(offering.data_to_send()) == [CHUNK]


def test_a_chunk_that_was_not_asked_for_next_is_a_violation() -> None:
    fetching, offering = joined()
    fetching.want(0, 2)
    with pytest.raises(MalformedData):
        fetching.receive(_say(offering, SealedChunk(1, (), bytes(17))))


def test_an_endless_window_is_a_violation() -> None:
    fetching, offering = joined()
    for group in range(MAX_CHUNKS_WANTED // CHUNKS_OF_GROUP):
        fetching.want(group * CHUNKS_OF_GROUP, CHUNKS_OF_GROUP)
    with pytest.raises(UsageError):
        fetching.want(0, 1)
    assert len(offering.receive(fetching.data_to_send())) == MAX_CHUNKS_WANTED // CHUNKS_OF_GROUP
    with pytest.raises(MalformedData):
        offering.receive(_say(fetching, Want(0, 1)))


def test_a_message_of_another_size_is_a_violation() -> None:
    fetching, offering = joined()
    assert offering._secured is not None
    with pytest.raises(MalformedData):
        fetching.receive(frame(offering._secured.seal(pad(encode_file_frame(End("done")), 2_000))))


@pytest.mark.parametrize(
    "said", [Open(FILE, 3), Open(FILE), Ready(), Ready(0), Want(15, 1), Want(0, 16), CHUNK, End("done")]
)
def test_a_frame_is_the_same_after_a_journey(said: FileFrame) -> None:
    assert decode_file_frame(encode_file_frame(said)) == said


@pytest.mark.parametrize(
    "wrong", [Want(15, 2), Want(-1, 1), Want(0, 0), Want(2**40, 1), Open(FileId(b"")), End("?"), End("")]
)
def test_a_frame_that_breaks_a_rule_is_not_sent(wrong: FileFrame) -> None:
    with pytest.raises(ValueError):
        encode_file_frame(wrong)


def test_a_chunk_frame_has_no_other_size_than_chunks_have() -> None:
    head = bytes(4)
    for body in (
        b"",
        head + b"\x00",
        head + b"\x00" + bytes(16),
        head + b"\x01" + bytes(20),
        head + b"\xff" + bytes(60_000),
    ):
        with pytest.raises(MalformedData):
            decode_file_frame(b"\x04" + len(body).to_bytes(2, "big") + body)


# --- fetching --------------------------------------------------------------------------------------------------------


def test_a_bitmap_is_the_same_after_a_journey_and_no_other_is_read() -> None:
    bits = Bitmap(11)
    for index in (0, 7, 10):
        bits.add(index)
    again = Bitmap(11, bits.encode())
    assert again.encode() == b"\x81\x20"
    assert [index for index in range(11) if index in again] == [0, 7, 10]
    assert again.missing == 8
    again.add(10)
    assert again.missing == 8
    assert Bitmap(0).missing == 0
    for wrong in (b"\x81", b"\x81\x20\x00", b"\x81\x30", b"\x81\x21"):
        with pytest.raises(ValueError):
            Bitmap(11, wrong)
    with pytest.raises(IndexError):
        bits.add(11)


COUNT = 3 * CHUNKS_OF_GROUP + 5
SMALL = data_of((COUNT - 1) * CHUNK_SIZE + 9)
SMALL_FILE = offered(SMALL)


class Fetches(RuleBasedStateMachine):
    """Streams that begin, break and lose what was under way, a friend that lies now and then, and a side that crashes
    with only what it has stored."""

    @initialize()
    def begin(self) -> None:
        self.on_disk = bytearray(len(SMALL))
        self.fetching = Fetching(SMALL_FILE.content)
        self.asked: dict[str, list[int]] = {}
        self.unstored: list[tuple[int, bytes]] = []
        self.saved = b""

    @rule(stream=st.sampled_from("abc"), at_most=st.integers(1, 20))
    def ask(self, stream: str, at_most: int) -> None:
        run = self.fetching.ask(stream, at_most)
        if run is None:
            return
        assert 0 < len(run) <= at_most
        assert run[0] // CHUNKS_OF_GROUP == run[-1] // CHUNKS_OF_GROUP
        self.asked.setdefault(stream, []).extend(run)

    @precondition(lambda self: any(self.asked.values()))
    @rule(data=st.data(), lie=st.sampled_from([None, None, None, "swap", "bit"]))
    def chunk(self, data: st.DataObject, lie: str | None) -> None:
        stream = data.draw(st.sampled_from(sorted(name for name, asked in self.asked.items() if asked)))
        index = self.asked[stream].pop(0)
        group, start = index // CHUNKS_OF_GROUP, index // CHUNKS_OF_GROUP * CHUNKS_OF_GROUP * CHUNK_SIZE
        content = SMALL[start : start + CHUNKS_OF_GROUP * CHUNK_SIZE]
        [chunk] = SMALL_FILE.sealed_chunks(group, content, index, 1)
        if lie == "bit":
            chunk = replace(chunk, sealed=bytes([chunk.sealed[0] ^ 1]) + chunk.sealed[1:])
        if lie == "swap":
            chunk = replace(chunk, path=(bytes(32), *chunk.path[1:]))
        known = any(index == one for one, _ in self.unstored) or index in self.fetching.stored
        if lie:
            with pytest.raises(PeerMisbehaved):
                self.fetching.check(chunk)
            self.broken(stream)
            return
        self.fetching.check(chunk)
        assert self.fetching.came(stream, index) is not known
        if not known:
            self.unstored.append((index, SMALL[index * CHUNK_SIZE : (index + 1) * CHUNK_SIZE]))

    @rule(stream=st.sampled_from("abc"))
    def broken(self, stream: str) -> None:
        self.fetching.lost(stream)
        self.asked.pop(stream, None)

    @rule()
    def store(self) -> None:
        for index, plaintext in self.unstored:
            self.on_disk[index * CHUNK_SIZE : index * CHUNK_SIZE + len(plaintext)] = plaintext
            self.fetching.stored.add(index)
        self.unstored.clear()
        self.saved = self.fetching.stored.encode()

    @rule()
    def crash(self) -> None:
        self.fetching = Fetching(SMALL_FILE.content, self.saved)
        self.asked.clear()
        self.unstored.clear()

    @invariant()
    def nothing_is_asked_for_more_than_twice(self) -> None:
        everything = [index for asked in self.asked.values() for index in asked]
        assert all(everything.count(index) <= 2 for index in set(everything))

    def teardown(self) -> None:
        """However it went, one good stream brings the rest."""
        for stream in "abc":
            self.broken(stream)
        while not self.fetching.all_came:
            self.ask("a", 16)
            assert self.asked.get("a")
            while self.asked["a"]:
                index = self.asked["a"].pop(0)
                if self.fetching.came("a", index):
                    self.unstored.append((index, SMALL[index * CHUNK_SIZE : (index + 1) * CHUNK_SIZE]))
        self.store()
        assert self.fetching.complete
        assert self.on_disk == SMALL
        assert self.fetching.ask("a", 16) is None


TestFetching = Fetches.TestCase
TestFetching.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)


def test_a_stalled_stream_does_not_hold_up_the_end() -> None:
    fetching = Fetching(SMALL_FILE.content)
    stalled = fetching.ask("slow", 16)
    assert stalled == range(16)
    asked: list[int] = []
    while (run := fetching.ask("quick", 16)) is not None:
        asked += run
        for index in run:  # as they come
            assert fetching.came("quick", index)
    assert sorted(asked) == list(range(COUNT))
    assert fetching.all_came
    for index in stalled:  # after all
        assert not fetching.came("slow", index)


def test_a_chunk_is_on_its_way_twice_at_most_and_again_when_one_way_broke() -> None:
    fetching = Fetching(SMALL_FILE.content)
    while (run := fetching.ask("slow", 16)) is not None:
        pass
    assert fetching.ask("quick", 0) is None
    run = fetching.ask("quick", 16)
    assert run == range(16)
    assert fetching.ask("quick", 16) is None  # it has enough to do
    others = [fetching.ask(stream, 16) for stream in ("third", "fourth", "fifth")]
    assert others == [range(16, 32), range(32, 48), range(48, COUNT)]
    assert fetching.ask("sixth", 16) is None
    fetching.lost("quick")
    assert fetching.ask("sixth", 16) == range(16)


def test_what_a_lost_stream_was_to_bring_is_asked_for_in_one_go_and_in_order() -> None:
    fetching = Fetching(SMALL_FILE.content)
    for stream in ("one", "two"):
        fetching.ask(stream, 8)
    fetching.lost("two")
    fetching.lost("one")
    assert fetching.ask("three", 16) == range(16)


def test_what_is_stored_is_not_asked_for() -> None:
    bits = Bitmap(COUNT)
    for index in (0, 3):
        bits.add(index)
    fetching = Fetching(SMALL_FILE.content, bits.encode())
    assert [fetching.ask("a", 16) for _ in range(3)] == [range(1, 3), range(4, 16), range(16, 32)]
