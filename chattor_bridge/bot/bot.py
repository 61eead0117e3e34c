"""The bot: who may talk to it, and what it does about what it hears."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from chattor_bridge.bot import (
    acting,
    carrying,
    codes,
    contacts,
    disappearing,
    disclosure,
    files,
    identity,
    leaving,
    overview,
    parked,
    requests,
    rooms,
    verifying,
)
from chattor_bridge.bot.parser import PORTAL_LEAD, Command, Commands
from chattor_bridge.bot.request import Request
from chattor_bridge.bridge.actions import Leave, OpenManagement, Say, Welcome
from chattor_bridge.bridge.bridge import Desk
from chattor_bridge.bridge.lane_names import owner_lane, room_lane
from chattor_bridge.bridge.listener import Deed, Heard, nothing
from chattor_bridge.bridge.permissions import Level
from chattor_bridge.bridge.speaking import ACCEPT_MARK, IGNORE_MARK
from chattor_bridge.bridge.voice import Place
from chattor_bridge.errors import NotNow, Unavailable, UsageError
from chattor_bridge.ids import MatrixEventId, MatrixRoomId, MatrixUserId
from chattor_bridge.node.ports import Transaction

GREETING = (
    "Hello! I am the way from Matrix to Chattor: encrypted chat between people who know each other, over Tor, without "
    "a server in the middle. Talk to me here; I answer commands.\n\n"
    "Write `start` to get your own Chattor node, or `help` to see everything I can do."
)
WELCOME_BACK = "Hello again! From now on this is the room where I tell you what happens. `help` shows what I can do."

CROWDED = (
    "There are others in this room. What we talk about (friend codes, who your contacts are) is for you alone, so I am "
    "in a room with just you; please talk to me there. I am leaving this one."
)
NOT_ALLOWED = "I am sorry: you may not use this bridge. Whoever runs it can allow it."
NOT_ALLOWED_ANY_MORE = (
    "You may not use this bridge any more; your node rests, and whoever runs the bridge can allow it again. Write "
    "delete-everything to have your node and everything of it removed."
)
FOR_ADMINS = "Only who runs this bridge may do that."
ONLY_TEXT = (
    "I only understand text. Write help to see what I can do. If you corrected a command, please send it again. If "
    "this is to be the picture that contacts see: set it in your Matrix profile, and write profile avatar."
)

LED = "Here commands begin with !chattor."
TYPED_HERE = "Here it is !chattor {usage}."
"""In the room of a conversation, behind a refusal that names commands as they are typed in the room with the bot."""

HELP_TAIL = "`help add` explains a command with examples. In the room of a conversation begin with `!chattor`."
HELP_THERE = (
    "What you can do here, about your friend and this conversation:\n\n{commands}\n\n`help rename` explains one. All "
    "else that I can do works here too, begun in the same way; `help` in the room with me alone lists it."
)

ACCEPT_MARKS = frozenset({ACCEPT_MARK, "\N{HEAVY CHECK MARK}", "\N{BALLOT BOX WITH CHECK}"})
IGNORE_MARKS = frozenset({IGNORE_MARK, "\N{HEAVY MULTIPLICATION X}", "\N{NEGATIVE SQUARED CROSS MARK}"})
VARIATION_SELECTOR = "\N{VARIATION SELECTOR-16}"
"""Clients add it to ask for the coloured form of a sign, or leave it out."""


class Bot:
    """Implements `chattor_bridge.bridge.listener.Listener`."""

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._commands = Commands(
            (
                Command("help", "[COMMAND]", "Help", "this list, or all about one command", self._help),
                *identity.COMMANDS,
                *codes.COMMANDS,
                *requests.COMMANDS,
                *contacts.COMMANDS,
                *disclosure.COMMANDS,
                *disappearing.COMMANDS,
                *carrying.COMMANDS,
                *verifying.COMMANDS,
                *rooms.COMMANDS,
                *files.COMMANDS,
                *acting.COMMANDS,
                *parked.COMMANDS,
                *leaving.COMMANDS,
                *overview.COMMANDS,
            )
        )

    async def invited(self, sender: MatrixUserId, room_id: MatrixRoomId) -> Deed:
        if not self._may_use(sender):

            async def decline(tx: Transaction) -> None:
                # without coming in: the rooms of people who may not use the bridge are no place for it
                action = Leave(self._desk.voice.bot, room_id, NOT_ALLOWED)
                await self._desk.voice.arrange(tx, room_lane(room_id), action)

            return decline

        async def welcome(tx: Transaction) -> None:
            await self._desk.store.management_rooms.save(tx, sender, room_id, self._desk.clock.now())
            action = Welcome(sender, room_id, self._greeting(sender), CROWDED)
            await self._desk.voice.arrange(tx, owner_lane(sender), action)
            await self._desk.conversations.tend(tx, sender)

        return welcome

    async def heard(self, heard: Heard) -> Deed:
        if not self._may_use(heard.sender) and self._desk.host.node_of(heard.sender) is None:
            raise UsageError(NOT_ALLOWED)
        if heard.text is None:
            raise UsageError(ONLY_TEXT)
        sign = heard.text.strip().replace(VARIATION_SELECTOR, "")
        if heard.reply_to is not None and sign in ACCEPT_MARKS | IGNORE_MARKS:
            command, rest = self._commands.find("accept" if sign in ACCEPT_MARKS else "ignore"), ""
        else:
            command, rest = self._commands.parse(heard.text, "" if heard.portal is None else PORTAL_LEAD)
        if not self._may_run(command, heard.sender):
            raise UsageError(FOR_ADMINS if self._may_use(heard.sender) else NOT_ALLOWED_ANY_MORE)
        request = Request(self._desk, heard, rest)
        if heard.portal is None:
            return await command.run(request)
        return await self._run_there(command, replace(request, phrased=self._commands.led))

    async def _run_there(self, command: Command, request: Request) -> Deed:
        """In the room of a conversation, where a command as it is typed to the bot would be said to the friend."""
        with self._refusing_there(command):
            deed = await command.run(request)

        async def there(tx: Transaction) -> None:
            with self._refusing_there(command):
                await deed(tx)

        return there

    @contextmanager
    def _refusing_there(self, command: Command) -> Iterator[None]:
        try:
            yield
        except NotNow:
            raise
        except UsageError as error:
            said = str(error)
            if PORTAL_LEAD in said or not self._commands.names_one(said):
                raise
            tail = TYPED_HERE.format(usage=command.usage_there) if command.counts_contacts else LED
            raise UsageError(f"{said.removesuffix('.')}. {tail}") from error

    async def reacted(self, sender: MatrixUserId, place: Place, target: MatrixEventId, emoji: str) -> Deed:
        sign = emoji.replace(VARIATION_SELECTOR, "")
        if sign not in ACCEPT_MARKS | IGNORE_MARKS or not self._may_use(sender):
            return nothing
        async with self._desk.store.transaction() as tx:
            notice = await self._desk.store.knock_notices.by_matrix_event(tx, target)
            if notice is None and await self._desk.voice.is_under_way(tx, place.lane):
                raise Unavailable("a reaction came before its notice was saved")
        if notice is None:
            return nothing
        request = Request(self._desk, Heard(sender, place, target, sign, target, None), "")
        return await requests.answer_knock(request, notice.knock_id, yes=sign in ACCEPT_MARKS)

    async def crowded(self, owner: MatrixUserId, room_id: MatrixRoomId) -> Deed:
        async def deed(tx: Transaction) -> None:
            rooms = self._desk.store.management_rooms
            await rooms.remove(tx, room_id)
            if await rooms.of_owner(tx, owner) is None:
                await self._open_another(tx, owner)
            await self._desk.voice.arrange(tx, owner_lane(owner), Say(owner, room_id, CROWDED, only_there=True))
            await self._desk.voice.arrange(tx, owner_lane(owner), Leave(self._desk.voice.bot, room_id))

        return deed

    async def _open_another(self, tx: Transaction, owner: MatrixUserId) -> None:
        await self._desk.voice.arrange(tx, owner_lane(owner), OpenManagement(owner, self._greeting(owner)))

    async def _help(self, request: Request) -> Deed:
        if request.rest:
            command = self._commands.find(request.rest)
            related = [each for each in self._commands.related(command.name) if each is not command]
            shown = [each for each in (command, *related) if self._may_run(each, request.owner)]
            if not shown:
                raise UsageError(FOR_ADMINS)
            there = request.heard.portal is not None
            return request.answering("\n\n".join(_explain(each, there=there) for each in shown))
        if request.heard.portal is not None:
            here = [each for each in self._commands.all if each.there is not None]
            lines = "\n".join(f"- `{each.usage_there}`: {each.about}" for each in here)
            return request.answering(HELP_THERE.format(commands=lines))
        groups: dict[str, list[Command]] = defaultdict(list)
        for command in self._commands.all:
            if not self._may_run(command, request.owner):
                continue
            groups[command.group].append(command)
        text = [
            f"**{group}**\n\n" + "\n".join(f"- `{each.usage}`: {each.about}" for each in members)
            for group, members in groups.items()
        ]
        return request.answering("\n\n".join([*text, HELP_TAIL]))

    def _may_run(self, command: Command, user: MatrixUserId) -> bool:
        may = self._desk.level_of(user).grants(command.level)
        return may or (command.everybody_with_a_node and self._desk.host.node_of(user) is not None)

    def _may_use(self, user: MatrixUserId) -> bool:
        return self._desk.level_of(user) is not Level.NONE

    def _greeting(self, owner: MatrixUserId) -> str:
        return GREETING if self._desk.host.node_of(owner) is None else WELCOME_BACK


def _explain(command: Command, *, there: bool) -> str:
    """All about a command, as it is typed in the room with the bot or ``there``, in that of a conversation."""
    text = [f"`{command.usage_there if there else command.usage}`: {command.about}."]
    if command.details:
        text.append(command.details)
    examples = command.examples
    if there and command.counts_contacts:
        examples = [example for example in examples if example.startswith(PORTAL_LEAD)]
    if examples:
        text.append("For example: " + ", ".join(f"`{example}`" for example in examples))
    return "\n\n".join(text)
