"""What the bot says of its own accord: contact requests, what became of ours, new contacts."""

from __future__ import annotations

from chattor_bridge.bot.numbers import Kind, Numbers
from chattor_bridge.bridge.actions import AskAboutKnock, TellMissed
from chattor_bridge.bridge.content import literal
from chattor_bridge.bridge.lane_names import owner_lane
from chattor_bridge.bridge.speaking import ACCEPT_MARK, IGNORE_MARK
from chattor_bridge.bridge.store_ports import BridgeStore
from chattor_bridge.bridge.voice import Place, Voice
from chattor_bridge.ids import KnockId, MatrixUserId, NodeId
from chattor_bridge.node.happenings import (
    CodeClosed,
    ContactAdded,
    Happening,
    KnockFailed,
    KnockGone,
    KnockLeft,
    KnockReceived,
    Missed,
)
from chattor_bridge.node.ports import Transaction

NO_NAME = "Somebody who gives no name"


class Announcements:
    """Implements `chattor_bridge.bridge.listener.Announcer`."""

    def __init__(self, store: BridgeStore, voice: Voice) -> None:
        self._store = store
        self._voice = voice
        self._numbers = Numbers(store)

    async def happened(self, tx: Transaction, owner: MatrixUserId, node_id: NodeId, happening: Happening) -> None:
        match happening:
            case KnockReceived():
                await self._knock_received(tx, owner, node_id, happening)
            case KnockLeft(knock_id):
                number, _ = await self._numbers.one(tx, node_id, Kind.KNOCK, knock_id)
                text = f"Your request {number} has been left at the door. Now they decide; I tell you if they accept."
                await self._voice.say(tx, Place.management(owner), text)
            case KnockFailed(knock_id, reason):
                number, _ = await self._numbers.one(tx, node_id, Kind.KNOCK, knock_id)
                text = f"⚠ Your request {number} was given up: {literal(reason)}"
                await self._voice.say(tx, Place.management(owner), text)
            case KnockGone(knock_id, reason):
                notice = await self._store.knock_notices.by_knock(tx, knock_id)
                if notice is not None:  # it stays known, so that a reaction on it is answered
                    text = f"{IGNORE_MARK} This request is not open any more: {reason}."
                    place = Place.management(owner, notice.room_id)
                    await self._voice.edit(tx, place, notice.matrix_event_id, text)
            case CodeClosed(label, reason):
                text = f"Your friend code “{literal(label)}” {reason}. `code new` makes another."
                await self._voice.say(tx, Place.management(owner), text)
            case ContactAdded(peer_id, knock_id, name):
                number, _ = await self._numbers.one(tx, node_id, Kind.CONTACT, peer_id)
                told = await self._accepted(tx, node_id, knock_id, name)
                await answered(tx, self._store, self._voice, owner, knock_id, told)
                text = f"{told} I invite you to the room of your conversation. (This is contact {number}.)"
                await self._voice.say(tx, Place.management(owner), text)
            case Missed():
                tell = TellMissed(owner, f"📬 {happening.in_words}", happening.over)
                await self._voice.arrange(tx, owner_lane(owner), tell)
            case _:
                return

    async def _accepted(self, tx: Transaction, node_id: NodeId, knock_id: KnockId, name: str) -> str:
        ours = await self._numbers.known(tx, node_id, Kind.KNOCK, knock_id)
        if ours is None:
            return f"{ACCEPT_MARK} **{from_whom(name)}** is your contact now."
        by = f" by **{literal(name)}**" if name else ""  # they introduce themselves when they first call
        return f"{ACCEPT_MARK} Your request {ours} was accepted{by}."

    async def _knock_received(
        self, tx: Transaction, owner: MatrixUserId, node_id: NodeId, knock: KnockReceived
    ) -> None:
        number, is_new = await self._numbers.one(tx, node_id, Kind.REQUEST, knock.knock_id)
        if not is_new:  # a repetition, because its receipt was lost on the way
            return
        at = f", by your code “{literal(knock.door_label)}”" if knock.door_label else ""
        lines = [f"**{from_whom(knock.name)}** asks to be your contact (request {number}{at})."]
        if knock.note.strip():
            lines.append("\n".join(f"> {literal(line)}" for line in knock.note.strip().splitlines()))
        lines.append(
            f"React with {ACCEPT_MARK} to accept or {IGNORE_MARK} to ignore, or write `accept {number}` or "
            f"`ignore {number}`. If you ignore it, nobody is told."
        )
        question = AskAboutKnock(owner, knock.knock_id.hex(), "\n\n".join(lines))
        await self._voice.arrange(tx, owner_lane(owner), question)


def from_whom(name: str) -> str:
    """A stranger's or friend's name for a CommonMark text."""
    return literal(name) or NO_NAME


async def answered(
    tx: Transaction, store: BridgeStore, voice: Voice, owner: MatrixUserId, knock_id: KnockId, text: str
) -> None:
    """Let the notice of a request say what became of it; it cannot be answered again."""
    notice = await store.knock_notices.by_knock(tx, knock_id)
    if notice is not None:
        await store.knock_notices.remove(tx, knock_id)
        await voice.edit(tx, Place.management(owner, notice.room_id), notice.matrix_event_id, text)
