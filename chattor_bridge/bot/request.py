"""One command as its handler sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from chattor_bridge.bridge.bridge import Desk
from chattor_bridge.bridge.listener import Deed, Heard
from chattor_bridge.errors import UsageError
from chattor_bridge.ids import MatrixUserId
from chattor_bridge.node.node import Node
from chattor_bridge.node.ports import Transaction


@dataclass(frozen=True, slots=True)
class Request:
    """``rest`` is what was typed after the words of the command, trimmed; ``phrased`` puts an answer as it has to read
    where it is given."""

    desk: Desk
    heard: Heard
    rest: str
    phrased: Callable[[str], str] = str

    @property
    def owner(self) -> MatrixUserId:
        return self.heard.sender

    @property
    def node(self) -> Node:
        """The node of whoever asks. Raises: UsageError, with what to do about it, when there is none or it is
        stopped."""
        node = self.any_node
        if not node.running:
            raise UsageError("Your Chattor node is stopped. Write start to bring it back.")
        return node

    @property
    def any_node(self) -> Node:
        """The same, stopped or not. Raises: UsageError."""
        node = self.desk.host.node_of(self.owner)
        if node is None:
            raise UsageError("You have no Chattor node here yet. Write start to get one.")
        return node

    def nothing_more(self, usage: str) -> None:
        """Raises: UsageError when something was typed that this command has no use for."""
        if self.rest:
            raise UsageError(f"I do not understand what comes after the command. Write just: {usage}")

    async def answer(self, tx: Transaction, text: str) -> None:
        """Answer where it was asked, in CommonMark."""
        await self.desk.voice.say(tx, self.heard.place, self.phrased(text))

    def answering(self, text: str) -> Deed:
        """The deed of answering and nothing else."""

        async def deed(tx: Transaction) -> None:
            await self.answer(tx, text)

        return deed
