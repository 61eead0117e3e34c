"""The other half of the matrix: `chattor` itself is killed, with the bridge and a real Synapse on the far side."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from chattor_bridge.ops.person import Person
from tests.kill.chattor import ChattorProcess
from tests.kill.conftest import Ground
from tests.kill.stage import PATIENCE, Acquaintance
from tests.terminal.resident import Resident

pytestmark = pytest.mark.synapse

# The first acknowledgement on a link only says where the two stand; the second is for what was just said.
TO_CHATTOR = ("receive-committed", "ack-written:2")
FROM_CHATTOR = ("envelope-written", "ack-committed:2")


class Pair(Acquaintance):
    """Alice, and a friend whose process can be killed."""

    def __init__(self, ground: Ground, alice: Person, chattor: ChattorProcess) -> None:
        super().__init__(ground.synapse, ground.bridge, alice, chattor)
        self.chattor = chattor

    async def revived(self) -> list[str]:
        """Wait for the death, start again, and see that both know everything that was said; what the friend has said
        since the last time, as it remembers it."""
        await self.chattor.dies()
        await self.chattor.start()
        said = (await self.chattor.said())[len(self._told) :]
        self.told(said)
        await self.settled()
        return said


@pytest.fixture(scope="module")
async def pair(ground_on_sqlite: Ground) -> AsyncIterator[Pair]:
    """Two friends, and one conversation through all the deaths."""
    chattor = ChattorProcess(Resident(ground_on_sqlite.directory, "Bob"))
    try:
        await chattor.init()
        async with ground_on_sqlite.alice() as alice:
            pair = Pair(ground_on_sqlite, alice, chattor)
            await pair.start()
            await pair.ask()
            await chattor.accept_next(PATIENCE)
            await pair.shown()
            yield pair
    finally:
        await chattor.leave()


@pytest.mark.parametrize("failpoint", TO_CHATTOR)
async def test_what_alice_says_survives_a_death_of_the_friend(pair: Pair, failpoint: str) -> None:
    await pair.chattor.restart(failpoint)
    await pair.say(*(f"{failpoint} {number} from Matrix ✓" for number in range(3)))
    await pair.revived()


@pytest.mark.parametrize("failpoint", FROM_CHATTOR)
async def test_what_the_friend_said_survives_its_death(pair: Pair, failpoint: str) -> None:
    await pair.bridge.stop()
    texts = [f"{failpoint} {number} from Chattor ✓" for number in range(3)]
    assert await pair.chattor.say(texts) == texts
    await pair.chattor.restart(failpoint)
    await pair.bridge.start()
    assert await pair.revived() == texts


async def test_a_death_while_it_is_told_to_send_is_seen_and_loses_nothing(pair: Pair) -> None:
    """The command does not say that it is sent, and it was: as after any crash, the history tells."""
    await pair.chattor.restart("send-committed")
    assert await pair.chattor.say(["sent, and told so by nobody"]) == []
    assert await pair.revived() == ["sent, and told so by nobody"]
