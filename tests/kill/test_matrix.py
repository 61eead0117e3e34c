"""The kill matrix: SIGKILL at every commit boundary of the spine, in both directions, on both engines.

After each death the bridge is started again, without help, and everything said must have arrived exactly once and in
order. The conversation goes on from one death to the next, so that a loss or a double of an earlier case is seen later
too.
"""

from __future__ import annotations

import asyncio

import pytest

from tests.kill.stage import PATIENCE, Conversation
from tests.postgres import PostgresCluster

pytestmark = pytest.mark.synapse

FROM_MATRIX = (
    "inbox-committed",  # stored, the homeserver not yet told
    "inbox-answered",
    "event-opened",  # decrypted and stored so, its key used up
    "send-committed",
    "inbox-done",  # sealed and in the outbox, the inbox row gone
    "envelope-written",  # on its way, not acknowledged
    "ack-committed",  # the friend has it, the outbox row is gone
)
TO_MATRIX = (
    "receive-committed",  # stored, not acknowledged
    "ack-written",
    "action-begun",
    "message-encrypted",  # with a key that nobody will use again
    "matrix-sent",  # in the room, not yet known to be
    "action-done",
)
BEFRIENDING = (
    "knock-attempt-stored",  # the session is on disk, the knock not sent
    "contact-stored",  # the friend's acceptance is on disk, not answered
    "room-created",  # the room exists, the database does not know
    "space-created",  # the same of the space around it
)
ACCEPTING = (
    "knock-stored",  # the request is on disk, its sender not told
    "accept-committed",
)
EXPIRING = (
    "expiry-committed",  # its time is over, and it is still in the room
    "message-redacted",  # it is gone, and the database does not know
)
RENEWING = (
    "resync-begun",  # our owner's wish is on disk
    "resync-finished",  # the new session is on disk, and the friend not told
)
BEING_RENEWED = (
    "resync-answered",  # the new session is on disk beside the old one, and the friend has not got it
    "resync-taken",  # the new session has taken its place
)


@pytest.mark.parametrize("failpoint", FROM_MATRIX)
async def test_what_alice_says_survives_a_death(conversation: Conversation, failpoint: str) -> None:
    await conversation.bridge.restart(failpoint)
    await conversation.say(*(f"{failpoint} {number} from Matrix ✓" for number in range(3)))
    await conversation.bridge.dies()
    await conversation.say(f"{failpoint} while it was dead")
    await conversation.bridge.start()
    await conversation.settled()


@pytest.mark.parametrize("failpoint", TO_MATRIX)
async def test_what_the_friend_says_survives_a_death(conversation: Conversation, failpoint: str) -> None:
    await conversation.bridge.restart(failpoint)
    await conversation.tell(*(f"{failpoint} {number} from Chattor ✓" for number in range(3)))
    await conversation.bridge.dies()
    await conversation.tell(f"{failpoint} while it was dead")
    await conversation.bridge.start()
    await conversation.settled()


async def test_a_key_that_came_before_a_death_is_kept(conversation: Conversation) -> None:
    """The homeserver forgets what it brings to a device as soon as we ask for what comes next."""
    await conversation.bridge.restart("keys-heard")
    await conversation.say_under_a_new_key("under a new key", "and again")
    await conversation.bridge.dies()
    await conversation.bridge.start()
    await conversation.settled()


async def test_a_death_of_the_homeserver_too_doubles_nothing(conversation: Conversation) -> None:
    """The point between send and commit, with a homeserver that has to remember across its own death."""
    await conversation.bridge.restart("matrix-sent")
    await conversation.tell("just before both died", "and behind it")
    await conversation.bridge.dies()
    await conversation.synapse.kill()
    await conversation.synapse.start()
    await conversation.bridge.start()
    await conversation.settled()


async def test_a_receipt_made_while_the_bridge_was_dead_is_told_once(conversation: Conversation) -> None:
    """The homeserver forgets receipts that it cannot bring."""
    await conversation.tell("read while it was dead")
    await conversation.settled()
    await conversation.bridge.kill()
    await conversation.read()
    await conversation.bridge.start()
    await conversation.told_of_reading()
    await conversation.bridge.restart()
    await conversation.tell("and read while it lives")
    await conversation.settled()
    await conversation.read()
    await conversation.told_of_reading()


@pytest.mark.parametrize("failpoint", BEFRIENDING)
async def test_becoming_friends_survives_a_death(strangers: Conversation, failpoint: str) -> None:
    """Alice asks; the bridge dies on the way."""
    await strangers.bridge.restart(failpoint)
    await strangers.ask()
    if failpoint == "knock-attempt-stored":
        await strangers.bridge.dies()
        await strangers.bridge.start()
        await strangers.friends()
    else:
        strangers.friend = await strangers.peer.accept_next(timeout=60)
        await strangers.bridge.dies()
        await strangers.bridge.start()
        await strangers.shown()
    await strangers.say("we are friends")
    await strangers.tell("so we are")
    await strangers.settled()
    assert strangers.rooms_with_ghosts() == 1
    assert await strangers.spaces() == 1


@pytest.mark.parametrize("failpoint", ACCEPTING)
async def test_being_asked_survives_a_death(strangers: Conversation, failpoint: str) -> None:
    """The friend asks, Alice accepts; the bridge dies on the way."""
    code = await strangers.code_of_alice()
    await strangers.bridge.restart(failpoint)
    await strangers.peer.add(code, "hello")
    if failpoint == "knock-stored":
        await strangers.bridge.dies()
        await strangers.bridge.start()
        await strangers.alice_accepts()
    else:
        await strangers.alice_accepts()
        await strangers.bridge.dies()
        await strangers.bridge.start()
    strangers.friend = await strangers.peer.friend(timeout=60)
    await strangers.shown()
    await strangers.say("we are friends")
    await strangers.tell("so we are")
    await strangers.settled()
    assert strangers.rooms_with_ghosts() == 1


@pytest.mark.parametrize("failpoint", EXPIRING)
async def test_what_is_to_disappear_does_over_a_death_and_once(strangers: Conversation, failpoint: str) -> None:
    await strangers.ask()
    await strangers.friends()
    alice = strangers.alice
    await alice.say(strangers.room, "!chattor disappearing 2s")
    await alice.wait_for(lambda event: "You have set" in event["content"].get("body", ""), PATIENCE)
    await strangers.bridge.restart(failpoint)
    said = await alice.say(strangers.room, "not for long")
    await strangers.bridge.dies()
    await strangers.bridge.start()

    def removals() -> list[str]:
        gone = [event for event in alice.timeline if event["type"] == "m.room.redaction"]
        return [event.get("redacts") or event["content"]["redacts"] for event in gone]

    await alice.wait_for(lambda _: removals() == [said], PATIENCE)
    again = await alice.say(strangers.room, "nor this")
    await alice.wait_for(lambda _: again in removals(), PATIENCE)
    assert removals() == [said, again]


@pytest.mark.parametrize("failpoint", [*RENEWING, *BEING_RENEWED])
async def test_a_session_is_renewed_over_a_death(strangers: Conversation, failpoint: str) -> None:
    """What was said and not delivered is sealed anew, under the same ids; on both sides of a death it arrives once."""
    await strangers.ask()
    await strangers.friends()
    await strangers.say("under the first session")
    await strangers.tell("under the first session too")
    await strangers.settled()
    await strangers.bridge.restart(failpoint)
    await strangers.tell("as it begins")
    if failpoint in RENEWING:
        await strangers.alice.say(strangers.management, "resync 1")
    else:
        await strangers.peer.renew_session(strangers.friend)
    await strangers.bridge.dies()
    await strangers.say("while it was dead")
    await strangers.tell("while it was dead too")
    await strangers.bridge.start()
    await strangers.peer.renewed(PATIENCE)
    await strangers.settled()
    await strangers.say("under the new session")
    await strangers.tell("under the new session too")
    await strangers.settled()
    assert strangers.peer.renewals() == 1


@pytest.mark.postgres
async def test_a_restart_of_the_database_server_loses_and_doubles_nothing(
    conversation: Conversation, postgres: PostgresCluster
) -> None:
    """A crash and a proper restart of it, in the middle of what both say. On SQLite it is somebody else's, and nothing
    at all happens."""
    for mode in ("immediate", "fast"):
        await conversation.bridge.restart()
        await conversation.say(f"before a stop that is {mode}")
        await conversation.tell(f"before a stop that is {mode}")
        await asyncio.to_thread(postgres.stop, mode)
        try:
            await conversation.say(f"without a database ({mode})", "and without an answer")
            await conversation.tell(f"without a database ({mode})")
        finally:
            await asyncio.to_thread(postgres.start)
        await conversation.settled()
        await conversation.say(f"after it ({mode})")
        await conversation.tell(f"after it ({mode})")
        await conversation.settled()
