"""Letting the bridge act for its owner at the homeserver, so that nobody has to accept every invitation."""

from __future__ import annotations

import re
from typing import Final

from chattor_bridge.bot.parser import Command
from chattor_bridge.bot.request import Request
from chattor_bridge.bot.rooms import GROUP
from chattor_bridge.bridge.actions import ProvePuppet
from chattor_bridge.bridge.lane_names import owner_lane
from chattor_bridge.bridge.listener import Deed
from chattor_bridge.bridge.puppets import Puppet, puppet_of, save_puppet
from chattor_bridge.errors import UsageError
from chattor_bridge.node.ports import Transaction

TOKEN: Final = re.compile(r"[!-~]{8,2000}")
"""Homeservers choose what their tokens look like: printable, and longer than anything that is typed by mistake."""

HOW: Final = (
    "With an access token of yours I join the rooms I invite you to, and keep your list of direct chats; I say and "
    "read nothing in your name. **Whoever has the token can act as you**, so give me that of a session made for this "
    "alone: log in once more, with a browser's private window say, copy the token there (in Element: settings, help "
    "and about, access token), and close the window without signing out. Then write `login-matrix` and the token. I "
    "keep it sealed, and remove your message."
)


async def login_matrix(request: Request) -> Deed:
    request.node  # noqa: B018 - it raises when there are no conversations to join
    token, room = request.rest, request.heard.place.room_id
    if not token:
        return request.answering(HOW)
    if room is None or TOKEN.fullmatch(token) is None:
        raise UsageError("That is no access token. Write login-matrix alone to see how to get one.")

    async def deed(tx: Transaction) -> None:
        await save_puppet(request.desk.store, tx, request.owner, Puppet(token, proven=False))
        prove = ProvePuppet(request.owner, room, request.heard.event_id)
        await request.desk.voice.arrange(tx, owner_lane(request.owner), prove)

    return deed


async def logout_matrix(request: Request) -> Deed:
    request.nothing_more("logout-matrix")

    async def deed(tx: Transaction) -> None:
        if await puppet_of(request.desk.store, tx, request.owner) is None:
            raise UsageError("I have no access token of yours.")
        await save_puppet(request.desk.store, tx, request.owner, None)
        await request.answer(
            tx,
            "I have forgotten your access token. To be sure that nobody can use it, sign out the session it belongs to "
            "in your client's settings.",
        )

    return deed


COMMANDS = (
    Command(
        "login-matrix",
        "[TOKEN]",
        GROUP,
        "let me join your conversations for you, and list them among your direct chats",
        login_matrix,
        details=HOW,
    ),
    Command("logout-matrix", "", GROUP, "have me forget the access token you gave me", logout_matrix),
)
