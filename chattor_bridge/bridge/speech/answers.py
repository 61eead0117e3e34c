"""What the bot answers in a portal to what cannot be sent."""

from __future__ import annotations

import hashlib

from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.records import Portal
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.ids import MatrixEventId
from chattor_bridge.node.ports import Transaction

NOT_SENT = "⚠ This could not be sent: {reason}"


def told_prefix(portal: Portal) -> str:
    """How the settings begin that are about this portal alone, such as what it was told once and for all."""
    return f"told:{portal.ghost}:"


class Answers:
    """Each method makes a deed of an answer."""

    def __init__(self, store: BridgeStore, voice: Voice) -> None:
        self._store = store
        self._voice = voice

    def say(self, portal: Portal, text: str, event_id: MatrixEventId | None = None) -> Deed:
        """Say it, as an answer to ``event_id`` if given."""

        async def deed(tx: Transaction) -> None:
            await self._voice.say(tx, Place.portal(portal), text, reply_to=event_id)

        return deed

    def not_sent(self, portal: Portal, reason: str, event_id: MatrixEventId) -> Deed:
        return self.say(portal, NOT_SENT.format(reason=reason), event_id)

    def once(self, portal: Portal, topic: str, text: str, event_id: MatrixEventId | None = None) -> Deed:
        """Say it the first time this topic comes up in this portal."""
        digest = hashlib.sha256(f"{portal.ghost}\0{topic}".encode()).hexdigest()[:32]
        name = told_prefix(portal) + digest

        async def deed(tx: Transaction) -> None:
            if await self._store.get_setting(tx, name) is None:
                await self._store.set_setting(tx, name, "1")
                await self._voice.say(tx, Place.portal(portal), text, reply_to=event_id)

        return deed
