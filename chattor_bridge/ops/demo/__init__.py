"""The demo: a private Tor network, a Synapse, the bridge and a Chattor peer on this machine, and a conversation.

Everything is the real thing, run as its users run it: tor processes, Synapse, ``chattor-bridge run`` and
``chattor run`` in processes of their own, a Matrix client and the command line of ``chattor`` to talk through. All of
it lives in one temporary directory, and all of it is gone afterwards.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import tempfile
from pathlib import Path

from chattor_bridge.errors import ChattorError
from chattor_bridge.ops.demo.play import ConversationError, befriend, chat, converse
from chattor_bridge.ops.demo.screen import Screen
from chattor_bridge.ops.demo.stage import Stage

OK = 0
FAILED = 1


async def run_demo(*, check: bool) -> int:
    """Set the stage, play the conversation, and with ``check`` end; otherwise say how to log in and stay up until
    Ctrl-C. The exit code: 0 only when every message arrived once and in order."""
    screen = Screen()
    interrupted = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, interrupted.set)
    try:
        playing = asyncio.create_task(_play(screen, check))
        waiting = asyncio.create_task(interrupted.wait())
        await asyncio.wait({playing, waiting}, return_when=asyncio.FIRST_COMPLETED)
        if playing.done():
            waiting.cancel()
            return playing.result()
        screen.line()
        screen.stage("stopping")
        playing.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await playing
        return FAILED if check else OK
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _play(screen: Screen, check: bool) -> int:
    with tempfile.TemporaryDirectory(prefix="chattor-demo-") as directory:
        try:
            async with Stage.set(Path(directory), screen) as stage:
                room = await befriend(stage, screen)
                await converse(stage, screen, room)
                if not check:
                    for line in stage.how_to_log_in():
                        screen.line(line)
                    await chat(stage, screen)
        except (ConversationError, ChattorError) as error:
            screen.stage(f"FAILED: {error}")
            return FAILED
        except TimeoutError:
            screen.stage("FAILED: a message did not arrive in time")
            return FAILED
    screen.stage("everything is stopped and removed")
    return OK
