"""Three points of the matrix over real tor processes: the bridge as it is shipped, killed, and tor with it."""

from __future__ import annotations

import pytest

from tests.kill.stage import Conversation

pytestmark = [pytest.mark.tor, pytest.mark.synapse]


@pytest.mark.parametrize("failpoint", ["inbox-done", "receive-committed", "matrix-sent"])
async def test_a_death_over_tor_loses_and_doubles_nothing(conversation_over_tor: Conversation, failpoint: str) -> None:
    conversation = conversation_over_tor
    await conversation.bridge.restart(failpoint)
    await conversation.say(*(f"{failpoint} {number} from Matrix ✓" for number in range(3)))
    await conversation.tell(*(f"{failpoint} {number} from Chattor ✓" for number in range(3)))
    await conversation.bridge.dies()
    await conversation.say(f"{failpoint} while it was dead")
    await conversation.tell(f"{failpoint} while it was dead")
    await conversation.bridge.start()
    await conversation.settled()
