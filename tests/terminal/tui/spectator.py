"""Somebody who looks at `chattor tui`: what is on the screen, and waiting until it is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from textual.pilot import Pilot

from chattor_bridge.terminal.home import Home
from chattor_bridge.terminal.tui.app import ChattorApp
from chattor_bridge.terminal.tui.desk import Desk
from tests.terminal.resident import WAIT, Resident

SIZE = (80, 24)


class Spectator:
    """The program without a terminal, and the keys to press."""

    def __init__(self, app: ChattorApp, pilot: Pilot[None]) -> None:
        self.app = app
        self._pilot = pilot

    @property
    def screen(self) -> str:
        """The text on the whole screen, line by line; the notices that lie over it included."""
        # what `App.export_screenshot` draws, without drawing it
        return "\n".join(strip.text.rstrip() for strip in self.app.screen._compositor.render_strips())

    async def press(self, *keys: str) -> None:
        await self._pilot.press(*keys)

    async def write(self, text: str) -> None:
        """Type it, key by key."""
        await self._pilot.press(*(key if key != "\n" else "ctrl+j" for key in text))

    async def sees(self, *words: str) -> None:
        """Wait until all of this is on the screen."""
        await self.until(lambda: all(word in self.screen for word in words))

    async def misses(self, *words: str) -> None:
        """Wait until none of this is on the screen."""
        await self.until(lambda: not any(word in self.screen for word in words))

    async def until(self, found: Callable[[], bool]) -> None:
        """Wait until this holds."""
        try:
            async with asyncio.timeout(WAIT):
                while not found():
                    await self._pilot.pause(0.05)
        except TimeoutError:
            raise AssertionError(f"never came to be on this screen:\n{self.screen}") from None


@asynccontextmanager
async def watched(resident: Resident, size: tuple[int, int] = SIZE) -> AsyncIterator[Spectator]:
    """`chattor tui` of a resident whose daemon runs."""
    app = ChattorApp(Desk(Home(resident.home)))
    async with app.run_test(size=size, notifications=True) as pilot:
        yield Spectator(app, pilot)
