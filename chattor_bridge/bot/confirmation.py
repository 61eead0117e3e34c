"""Asking back before something that cannot be undone: it is done when the command comes again with a number."""

from __future__ import annotations

import json
import secrets

from chattor_bridge.bot.request import Request
from chattor_bridge.node.ports import Transaction

VALID_FOR = 600
"""Seconds in which the number counts: long enough to think, too short to be found in the room next week."""

NUMBERS = 9_000
"""Numbers of four digits. Nobody guesses at them; they only make sure that the question was read."""


async def confirmed(tx: Transaction, request: Request, deed: str, given: str) -> bool:
    """Whether ``given`` is the number this person was told for this ``deed`` a moment ago. It counts once."""
    stored = await request.desk.store.get_setting(tx, _name(request, deed))
    await request.desk.store.remove_settings(tx, _name(request, deed))
    if stored is None or not given:
        return False
    number, until = json.loads(stored)
    return bool(given == number and 0 <= until - request.desk.clock.now() <= VALID_FOR)


async def question(tx: Transaction, request: Request, deed: str) -> str:
    """The number that will confirm it."""
    number = str(1_000 + secrets.randbelow(NUMBERS))
    until = request.desk.clock.now() + VALID_FOR
    await request.desk.store.set_setting(tx, _name(request, deed), json.dumps([number, until]))
    return number


def _name(request: Request, deed: str) -> str:
    return f"confirm:{request.owner} {deed} "
